"""``GET /metrics``: the figures of all workers together, in Prometheus' text format or OpenMetrics.

Names are those of OpenTelemetry's conventions for GenAI and HTTP in Prometheus' spelling; metrics
without a name there begin with ``tailrace_``. prometheus-client writes them; `StreamFigures` and
`RequestFigures` count.
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
from tailrace._histogram import (
    FIRST_TOKEN_BOUNDS,
    OUTPUT_TOKEN_BOUNDS,
    REQUEST_BOUNDS,
)
from tailrace.gateway._figures.requests import merge_request_snapshots
from tailrace.gateway._figures.streams import merge_stream_snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tailrace._histogram import HistogramCounts
    from tailrace.gateway._figures.requests import RequestSnapshot
    from tailrace.gateway._figures.shared import WorkerFigures
    from tailrace.gateway._figures.streams import ModelFigures

__all__ = ["routes"]

_MODEL = ("gen_ai_provider_name", "gen_ai_request_model", "gen_ai_operation_name")


def routes(figures: Callable[[], list[WorkerFigures]]) -> list[web.AbstractRouteDef]:
    """Make the route; `figures` collects the figures of each worker."""

    async def metrics(request: web.Request) -> web.Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(figures()))
        body, content_type = _exposition(registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    return [web.get("/metrics", metrics)]


def _exposition(registry: CollectorRegistry, accepted: str) -> tuple[bytes, str]:
    """Return the figures in a format that the scraper accepts, and its Content-Type."""
    if "application/openmetrics-text" in accepted:
        body: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call] # theirs has no types
        return body, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _Collector:
    """prometheus-client's interface for figures that are counted elsewhere."""

    def __init__(self, figures: list[WorkerFigures]) -> None:
        self._figures = merge_stream_snapshots(each.streams for each in figures).figures
        self._requests = merge_request_snapshots(each.requests for each in figures)
        self._workers = len(figures)

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield from _stream_families(self._figures)
        yield from _request_families(self._requests)
        workers = GaugeMetricFamily("tailrace_workers", "Workers that have put down their figures.")
        workers.add_metric([], self._workers)
        yield workers
        build = GaugeMetricFamily(
            "tailrace_build_info", "The version that runs.", labels=["version"]
        )
        build.add_metric([__version__], 1)
        yield build


def _stream_families(figures: list[ModelFigures]) -> Iterator[Metric]:
    for name, shows, bounds, counts in _DISTRIBUTIONS:
        family = HistogramMetricFamily(name, shows, labels=_MODEL)
        for each in figures:
            _add_counts(family, _labels_of(each), counts(each), bounds)
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
    passed_over = CounterMetricFamily(
        "tailrace_passed_over",
        "What answers held that the gateway's wires do not carry, by kind.",
        labels=[*_MODEL, "kind"],
    )
    for each in figures:
        model = _labels_of(each)
        open_now.add_metric(model, each.open)
        begun.add_metric(model, each.streams)
        deltas.add_metric(model, each.deltas)
        tokens.add_metric([*model, "input"], each.input_tokens)
        tokens.add_metric([*model, "output"], each.output_tokens)
        for outcome, count in each.outcomes.items():
            ended.add_metric([*model, outcome], count)
        for kind, count in each.errors.items():
            failed.add_metric([*model, kind], count)
        for kind, count in each.passed_over.items():
            passed_over.add_metric([*model, kind], count)
    yield from (open_now, begun, ended, failed, deltas, tokens, passed_over)


def _labels_of(figures: ModelFigures) -> list[str]:
    return [figures.site, figures.model, figures.operation]


_DISTRIBUTIONS: tuple[
    tuple[str, str, tuple[float, ...], Callable[[ModelFigures], HistogramCounts]], ...
] = (
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


def _request_families(requests: RequestSnapshot) -> Iterator[Metric]:
    answered = HistogramMetricFamily(
        "http_server_request_duration_seconds",
        "Requests, by how long they took.",
        labels=["http_request_method", "http_route", "http_response_status_code"],
    )
    for each in requests.answered:
        _add_counts(
            answered, [each.method, each.route, str(each.status)], each.seconds, REQUEST_BOUNDS
        )
    yield answered
    under_way = GaugeMetricFamily("http_server_active_requests", "Requests being answered.")
    under_way.add_metric([], requests.requests)
    yield under_way
    connections = GaugeMetricFamily("tailrace_connections", "Connections open.")
    connections.add_metric([], requests.connections)
    yield connections
    refused = CounterMetricFamily(
        "tailrace_refused", "Requests and connections refused, by reason.", labels=["reason"]
    )
    for reason, count in requests.refused.items():
        refused.add_metric([reason], count)
    yield refused
    dropped = CounterMetricFamily(
        "tailrace_dropped_fields",
        "Requests of which a field was left out, which the site has no place for.",
        labels=["field"],
    )
    for field, count in requests.dropped.items():
        dropped.add_metric([field], count)
    yield dropped


def _add_counts(
    family: HistogramMetricFamily,
    labels: list[str],
    counts: HistogramCounts,
    bounds: tuple[float, ...],
) -> None:
    edges = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    family.add_metric(
        labels, list(zip(edges, counts.cumulative(bounds), strict=True)), counts.total
    )
