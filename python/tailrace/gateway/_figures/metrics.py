"""``GET /metrics``: the figures of all workers together, in Prometheus' text format or OpenMetrics.

Names are those of OpenTelemetry's conventions for GenAI and HTTP as Prometheus writes them; what
they have no name for begins with ``tailrace_``. prometheus-client does the writing; the counting is
`watch`'s and `traffic`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics

from tailrace import __version__
from tailrace.gateway._figures.histogram import (
    FIRST_TOKEN_BOUNDS,
    OUTPUT_TOKEN_BOUNDS,
    REQUEST_BOUNDS,
)
from tailrace.gateway._figures.requests import traffic_added_up
from tailrace.gateway._figures.streams import added_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tailrace.gateway._figures.histogram import Counts
    from tailrace.gateway._figures.requests import TrafficSnapshot
    from tailrace.gateway._figures.shared import Known
    from tailrace.gateway._figures.streams import Figures

__all__ = ["routes"]

_MODEL = ("gen_ai_provider_name", "gen_ai_request_model")


def routes(known: Callable[[], list[Known]]) -> list[web.AbstractRouteDef]:
    """The route; `known` gives what each worker knows."""

    async def metrics(request: web.Request) -> web.Response:
        figures = CollectorRegistry(auto_describe=False)
        figures.register(_Collected(known()))
        body, content_type = _written(figures, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    return [web.get("/metrics", metrics)]


def _written(figures: CollectorRegistry, accepted: str) -> tuple[bytes, str]:
    """The figures as the scraper wants them, and that form's Content-Type."""
    if "application/openmetrics-text" in accepted:
        body: bytes = openmetrics.generate_latest(figures)  # type: ignore[no-untyped-call] # theirs has no types
        return body, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(figures), CONTENT_TYPE_PLAIN_0_0_4


class _Collected:
    """prometheus-client's own idea of where figures come from."""

    def __init__(self, known: list[Known]) -> None:
        self._figures = added_up(each.streams for each in known).figures
        self._traffic = traffic_added_up(each.traffic for each in known)
        self._workers = len(known)

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield from _of_streams(self._figures)
        yield from _of_traffic(self._traffic)
        workers = GaugeMetricFamily("tailrace_workers", "Workers that have put down their figures.")
        workers.add_metric([], self._workers)
        yield workers
        build = GaugeMetricFamily(
            "tailrace_build_info", "The version that runs.", labels=["version"]
        )
        build.add_metric([__version__], 1)
        yield build


def _of_streams(figures: list[Figures]) -> Iterator[Metric]:
    for name, shows, bounds, counts in _DISTRIBUTIONS:
        family = HistogramMetricFamily(name, shows, labels=_MODEL)
        for each in figures:
            _add_counts(family, [each.site, each.model], counts(each), bounds)
        yield family
    open_now = GaugeMetricFamily(
        "tailrace_streams_open", "Calls to sites under way.", labels=_MODEL
    )
    begun = CounterMetricFamily("tailrace_streams_begun", "Calls to sites.", labels=_MODEL)
    ended = CounterMetricFamily(
        "tailrace_streams_ended", "Calls by how they ended.", labels=[*_MODEL, "outcome"]
    )
    failed = CounterMetricFamily(
        "tailrace_stream_errors", "Calls that failed, by kind.", labels=[*_MODEL, "error_type"]
    )
    deltas = CounterMetricFamily("tailrace_deltas", "Deltas that came from sites.", labels=_MODEL)
    tokens = CounterMetricFamily(
        "tailrace_tokens",
        "Tokens, as sites counted them; estimated where they do not.",
        labels=[*_MODEL, "gen_ai_token_type"],
    )
    for each in figures:
        model = [each.site, each.model]
        open_now.add_metric(model, each.open)
        begun.add_metric(model, each.streams)
        deltas.add_metric(model, each.deltas)
        tokens.add_metric([*model, "input"], each.input_tokens)
        tokens.add_metric([*model, "output"], each.output_tokens)
        for outcome, count in each.outcomes.items():
            ended.add_metric([*model, outcome], count)
        for kind, count in each.errors.items():
            failed.add_metric([*model, kind], count)
    yield from (open_now, begun, ended, failed, deltas, tokens)


_DISTRIBUTIONS: tuple[tuple[str, str, tuple[float, ...], Callable[[Figures], Counts]], ...] = (
    (
        "gen_ai_server_time_to_first_token_seconds",
        "From a call's beginning to its first delta.",
        FIRST_TOKEN_BOUNDS,
        lambda each: each.first_delta,
    ),
    (
        "gen_ai_server_time_per_output_token_seconds",
        "Mean time of a delta after the first, of whole answers.",
        OUTPUT_TOKEN_BOUNDS,
        lambda each: each.per_delta,
    ),
    (
        "gen_ai_client_operation_time_per_output_chunk_seconds",
        "From one read with deltas to the next.",
        FIRST_TOKEN_BOUNDS,
        lambda each: each.gap,
    ),
    (
        "gen_ai_server_request_duration_seconds",
        "From a call's beginning to its end.",
        REQUEST_BOUNDS,
        lambda each: each.duration,
    ),
)


def _of_traffic(traffic: TrafficSnapshot) -> Iterator[Metric]:
    answered = HistogramMetricFamily(
        "http_server_request_duration_seconds",
        "Requests, by how long they took.",
        labels=["http_request_method", "http_route", "http_response_status_code"],
    )
    for each in traffic.answered:
        _add_counts(
            answered, [each.method, each.route, str(each.status)], each.seconds, REQUEST_BOUNDS
        )
    yield answered
    requests = GaugeMetricFamily("http_server_active_requests", "Requests being answered.")
    requests.add_metric([], traffic.requests)
    yield requests
    connections = GaugeMetricFamily("tailrace_connections", "Connections open.")
    connections.add_metric([], traffic.connections)
    yield connections
    refused = CounterMetricFamily(
        "tailrace_refused", "Requests and connections refused, by reason.", labels=["reason"]
    )
    for reason, count in traffic.refused.items():
        refused.add_metric([reason], count)
    yield refused


def _add_counts(
    family: HistogramMetricFamily, labels: list[str], counts: Counts, bounds: tuple[float, ...]
) -> None:
    edges = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    family.add_metric(labels, list(zip(edges, counts.up_to(bounds), strict=True)), counts.total)
