"""What is to be seen of a gateway: /metrics, /live, its logs and its traces; and what is never in
them.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import SSE, Asked, Line
from calls_site import Site as SiteByHand
from gateway_sockets import (
    KEYS,
    MODEL,
    QUESTION,
    SECRET,
    ask,
    gateway_of,
    get,
    held_site,
    post,
    read_chunk,
    read_head,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from tailrace import RetryPolicy, Site
from tailrace._histogram import FIRST_TOKEN_BOUNDS
from tailrace.gateway._figures import live
from tailrace.gateway._figures.shared import SharedFigures
from tailrace.gateway._logs import log_handler
from tailrace.providers import OpenAIProvider
from tailrace.replica import Replica
from tailrace.sites import ModelGroup, Secret
from tailrace.sites._verdicts import Verdict, store_verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from gateway_sockets import HeldSite

AUTHORIZED = f"Authorization: Bearer {SECRET}"
LABELS = {
    "gen_ai_provider_name": "held",
    "gen_ai_request_model": "gpt-4o",
    "gen_ai_operation_name": "chat",
}
NOBODYS = (QUESTION, SECRET, "first last")


@pytest.fixture
async def site() -> AsyncIterator[HeldSite]:
    async with held_site() as held:
        held.let_go.set()
        yield held


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What the gateway logs as JSON."""
    written = io.StringIO()
    handler = log_handler("json", 3, written)
    logger = logging.getLogger("tailrace.gateway")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def text() -> Iterator[io.StringIO]:
    """What the gateway logs as text."""
    written = io.StringIO()
    handler = log_handler("text", stream=written)
    logger = logging.getLogger("tailrace")
    logger.addHandler(handler)
    yield written
    logger.removeHandler(handler)


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_have_the_fields_usual_names(site: HeldSite) -> None:
    async with gateway_of([site.provider()]) as served:
        for _ in range(3):
            assert (await ask(served.port, post())).status == 200
        assert (await ask(served.port, get("/v1/nothing"))).status == 404
        answer = await ask(served.port, get("/metrics"))
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.body.decode())
    model = tuple(sorted(LABELS.items()))
    for name in (
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_server_time_per_output_token_seconds",
        "gen_ai_server_request_duration_seconds",
    ):
        assert found[f"{name}_count", model] == 3
        assert found[f"{name}_bucket", tuple(sorted({**LABELS, "le": "+Inf"}.items()))] == 3
    buckets = {
        dict(labels)["le"]
        for name, labels in found
        if name == "gen_ai_server_time_to_first_token_seconds_bucket"
    }
    assert {float(each) for each in buckets} == {*FIRST_TOKEN_BOUNDS, float("inf")}
    assert found["gen_ai_server_time_to_first_token_seconds_sum", model] > 0
    assert (
        0 <= found["gen_ai_client_operation_time_per_output_chunk_seconds_count", model] <= 3
    )  # reads, not deltas
    assert found["tailrace_streams_begun_total", model] == 3
    assert found["tailrace_streams_ended_total", (*model, ("outcome", "done"))] == 3
    assert found["tailrace_streams_open", model] == 0
    assert found["tailrace_deltas_total", model] == 6
    assert found["http_server_active_requests", ()] == 1
    assert found["tailrace_connections", ()] == 1
    route = (
        ("http_request_method", "POST"),
        ("http_response_status_code", "200"),
        ("http_route", "/v1/chat/completions"),
    )
    assert found["http_server_request_duration_seconds_count", route] == 3
    assert not [word for word in NOBODYS if word in answer.body.decode()]


async def test_metrics_speak_openmetrics(site: HeldSite) -> None:
    async with gateway_of([site.provider()]) as served:
        await ask(served.port, post())
        answer = await ask(
            served.port, get("/metrics", "Accept: application/openmetrics-text; version=1.0.0")
        )
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    found = openmetrics_families(answer.body.decode())  # type: ignore[no-untyped-call] # theirs has no types
    families = {family.name: family for family in found}
    assert families["gen_ai_server_time_to_first_token_seconds"].type == "histogram"


async def test_refusals_are_counted_and_nothing_a_client_makes_up(site: HeldSite) -> None:
    async with gateway_of([site.provider()], keys=KEYS) as served:
        for number in range(20):
            await ask(served.port, get(f"/made-up-{number}", AUTHORIZED))
            await ask(served.port, get(f"/v1/made-up-{number}"))
            await ask(
                served.port, post({"model": f"held/made-up-{number}", "messages": []}, AUTHORIZED)
            )
        answer = await ask(served.port, get("/metrics", AUTHORIZED))
    text = answer.body.decode()
    assert "made-up" not in text
    found = samples(text)
    assert found["tailrace_refused_total", (("reason", "invalid_api_key"),)] == 20
    assert found["tailrace_refused_total", (("reason", "unknown_url"),)] == 20


async def test_live_says_what_the_page_shows(site: HeldSite, tmp_path: Path) -> None:
    provider = site.provider()
    store_verdict(Verdict(site="held", url=provider.url, failed="widget", at=1234.5), tmp_path)
    other = type(
        "other", (OpenAIProvider,), {"url": site.url, "__module__": __name__, "models": ["x"]}
    )
    site.let_go.clear()
    async with gateway_of([provider, other], verdicts_in=tmp_path) as served:
        asking = asyncio.create_task(ask(served.port, post()))
        await site.until_open(1)
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(get("/live"))
        status, headers = await read_head(reader)
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert "content-encoding" not in headers
        first = event(await read_chunk(reader))
        while not first["deltas"]:
            first = event(await read_chunk(reader))
        assert (first["open_streams"], first["streams"]) == (1, 1)
        site.let_go.set()
        await asking
        second = event(await read_chunk(reader))
        while second["open_streams"]:
            second = event(await read_chunk(reader))
        writer.close()
    assert set(first) == {
        *(
            "at",
            "open_streams",
            "streams",
            "deltas",
            "deltas_per_second",
            "first_delta",
            "gap",
            "errors",
            "sites",
        ),
    }
    assert second["at"] > first["at"]
    assert second["deltas"] == 2
    assert set(second["first_delta"]) == set(second["gap"]) == {"p50", "p95", "p99"}
    assert second["gap"]["p50"] > 0
    assert second["sites"] == [
        {
            "name": "held",
            "models": [MODEL],
            "open": 0,
            "streams": 1,
            "errors": {},
            "verdict": {"failed": "widget", "at": 1234.5},
        },
        {
            "name": "other",
            "models": ["other/x"],
            "open": 0,
            "streams": 0,
            "errors": {},
            "verdict": None,
        },
    ]


async def test_live_begins_with_the_last_minutes_where_it_is_asked_to(
    site: HeldSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PERIOD", 0.02)
    async with gateway_of([site.provider()]) as served:
        await ask(served.port, post())
        seen = await live_events(served.port, "/live", 3)
        begun, *others = await live_events(served.port, "/live?past=300", 2)
        (nothing, *_) = await live_events(served.port, "/live?past=0", 1)
        refused = await ask(served.port, get("/live?past=-1"))
    moments = begun["past"]
    assert [each["at"] for each in moments] == sorted({each["at"] for each in moments})
    for each in seen:
        assert [each[name] for name in moments[0]] in [
            [other[name] for name in moments[0]] for other in (*moments, *others)
        ]
    assert others[0]["at"] > moments[-1]["at"]
    assert others[0]["streams"] == 1
    assert nothing == {"past": []}
    assert (refused.status, refused.error["param"]) == (400, "past")


async def test_live_keeps_no_more_than_the_last_minutes(
    site: HeldSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PERIOD", 0.02)
    monkeypatch.setattr(live, "KEPT_SECONDS", 0.06)
    async with gateway_of([site.provider()]) as served:
        await live_events(served.port, "/live", 5)
        (begun,) = await live_events(served.port, "/live?past=999999999", 1)
    assert len(begun["past"]) == 3


async def test_live_of_a_worker_that_replaces_another_begins_with_its_minutes(
    site: HeldSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PERIOD", 0.02)
    slot = SharedFigures(1).slot(0)
    async with gateway_of([site.provider()], slot=slot) as served:
        await ask(served.port, post())
        seen, newest = await live_events(served.port, "/live", 2)
        while not newest["deltas"]:
            (newest,) = await live_events(served.port, "/live", 1)
    async with gateway_of([site.provider()], slot=slot) as served:
        begun, first = await live_events(served.port, "/live?past=300", 2)
        again, *_ = await live_events(served.port, "/live?past=300", 1)
    for each in (seen, newest):
        assert each["at"] in [moment["at"] for moment in begun["past"]]
    # The counts of before are no deltas of its first second.
    own = [each for each in again["past"] if each["at"] > newest["at"]]
    assert [each["deltas_per_second"] for each in own] == [0] * len(own)
    assert first["deltas"] == newest["deltas"] == 2


async def live_events(port: int, path: str, number: int) -> list[dict[str, Any]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get(path))
    assert (await read_head(reader))[0] == 200
    events = [event(await read_chunk(reader)) for _ in range(number)]
    writer.close()
    return events


def event(chunk: bytes) -> dict[str, Any]:
    assert chunk.startswith(b"data: ")
    assert chunk.endswith(b"\n\n")
    fields: dict[str, Any] = json.loads(chunk[6:])
    return fields


async def test_a_request_is_one_line_without_what_it_said(
    site: HeldSite, logged: io.StringIO
) -> None:
    async with gateway_of([site.provider()], keys=KEYS) as served:
        answer = await ask(served.port, post(None, AUTHORIZED, path="/v1/chat/completions?trace=1"))
    assert answer.status == 200
    (line,) = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert line.pop("at").endswith("Z")
    assert line.pop("seconds") > 0
    assert line.pop("first_delta_seconds") > 0
    assert line.pop("input_tokens") > 0
    assert line.pop("output_tokens") > 0
    assert line == {
        "level": "info",
        "logger": "tailrace.gateway.requests",
        "event": "request",
        "worker": 3,
        "id": answer.headers["x-request-id"],
        "key": "first",
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 200,
        "model": MODEL,
        "streams": True,
        "outcome": "done",
        "error": None,
        "deltas": 2,
    }
    assert not [word for word in NOBODYS if word in logged.getvalue()]


async def test_refused_and_failed_requests_are_lines_too(
    site: HeldSite, logged: io.StringIO
) -> None:
    gone = type(
        "gone",
        (OpenAIProvider,),
        {"url": "http://127.0.0.1:1/v1", "__module__": __name__, "models": ["x"]},
    )
    async with gateway_of([site.provider(), gone], keys=KEYS) as served:
        await ask(served.port, get(f"/v1/models?key={SECRET}"))
        await ask(served.port, get(f"/v1/models/{SECRET}", AUTHORIZED))
        await ask(served.port, get("/v1/models", "Authorization: Bearer wrong-wrong-wrong-wrong"))
        body = {"model": "gone/x", "messages": [{"role": "user", "content": QUESTION}]}
        assert (await ask(served.port, post(body, AUTHORIZED))).status == 502
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert [(line["status"], line["key"]) for line in lines] == [
        (400, None),
        (404, "first"),
        (401, None),
        (502, "first"),
    ]
    assert (lines[3]["model"], lines[3]["outcome"], lines[3]["error"]) == (
        "gone/x",
        "failed",
        "network",
    )
    told = [(line["level"], line["code"], line["param"], line["detail"]) for line in lines]
    assert told == [
        ("info", "key_in_url", None, None),
        ("info", "model_not_found", "model", None),
        ("info", "invalid_api_key", None, None),
        (
            *("warning", "connection_failed", None),
            "http://127.0.0.1:1 could not be reached: connection refused",
        ),
    ]
    for word in (*NOBODYS, "wrong-wrong"):
        assert word not in logged.getvalue()


async def test_a_failure_is_a_line_of_text_too(text: io.StringIO) -> None:
    """Of the site, the kind, the request and what is missing; no word of the site or the client."""
    async with Replica() as replica:
        url = f"{replica.url('openai')}/v1"
        secret = Secret(variable="NO_SUCH_KEY", environ={}, file="tailrace.toml", key="sites.unset")
        sites = [
            Site(url, software="openai", name="open", models=["gpt-4o-mini"]),
            Site(url, software="openai", name="unset", models=["x"], api_key=secret),
            Site("http://127.0.0.1:1/v1", software="openai", name="gone", models=["x"]),
        ]
        async with gateway_of(sites, keys=KEYS) as served:
            asked = [
                ("open/gpt-4o-mini", f"{QUESTION} [[err500]]", False),
                ("open/gpt-4o-mini", f"{QUESTION} [[midfail]]", True),
                ("open/gpt-4o-mini", f"{QUESTION} [[too-long]]", False),
                ("open/none", QUESTION, False),
                ("unset/x", QUESTION, False),
                ("gone/x", QUESTION, True),
            ]
            ids = []
            for model, question, stream in asked:
                message = {"role": "user", "content": question}
                body = {"model": model, "messages": [message], "stream": stream}
                answer = await ask(served.port, post(body, AUTHORIZED))
                ids.append(answer.headers["x-request-id"])
    missing = "tailrace.toml: sites.unset: the environment variable NO_SUCH_KEY is not set"
    gone = "http://127.0.0.1:1 could not be reached: connection refused"
    assert text.getvalue().splitlines() == [
        f"tailrace: open/gpt-4o-mini failed (upstream): HTTP 500 [{ids[0]}, key first]",
        f"tailrace: open/gpt-4o-mini failed (upstream): HTTP 200 [{ids[1]}, key first]",
        f"tailrace: unset/x failed (not_set_up, site_not_set_up): {missing} [{ids[4]}, key first]",
        f"tailrace: gone/x failed (network, connection_failed): {gone} [{ids[5]}, key first]",
    ]


async def test_words_of_a_site_are_left_out_of_every_warning(text: io.StringIO) -> None:
    async with Replica() as replica:
        policy = RetryPolicy(attempts=2, first_wait=0)
        url = f"{replica.url('openai')}/v1"
        site = Site(url, software="openai", name="open", models=["gpt-4o-mini"], retry=policy)
        other = site.replace(name="other")
        group = ModelGroup("any", ("open/gpt-4o-mini", "other/gpt-4o-mini"))
        async with gateway_of([site, other], groups=[group]) as served:
            message = {"role": "user", "content": "[[err500]]"}
            answer = await ask(served.port, post({"model": "any", "messages": [message]}))
    assert answer.status == 502
    again, over, _, last = text.getvalue().splitlines()
    of_request = f" [{answer.headers['x-request-id']}]"
    assert again.endswith(f"failed with ResponseStatusError: again in 0.00 s: HTTP 500{of_request}")
    assert over == (
        "tailrace: open/gpt-4o-mini failed before its first delta, "
        f"other/gpt-4o-mini is asked next: ResponseStatusError: HTTP 500{of_request}"
    )
    assert last == f"tailrace: other/gpt-4o-mini failed (upstream): HTTP 500{of_request}"


async def test_a_client_that_left_is_a_line_too(site: HeldSite, logged: io.StringIO) -> None:
    site.let_go.clear()
    async with gateway_of([site.provider()]) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post())
        await read_head(reader)
        writer.close()
        await site.until_open(0)
    (line,) = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert (line["status"], line["outcome"]) == (499, "left")


async def test_a_failure_of_our_own_is_logged_without_its_words(
    site: HeldSite, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway_of([site.provider()]) as served:

        def fails(**_options: Any) -> None:
            raise KeyError(QUESTION)

        monkeypatch.setattr(served.gateway.context.stream_figures, "begin", fails)
        answer = await ask(served.port, post())
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    failure, line = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert failure["event"].startswith("KeyError in the gateway\n")
    assert line["status"] == 500
    assert QUESTION not in logged.getvalue()


async def test_a_call_is_a_span_of_the_genai_conventions(site: HeldSite) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    gone = type(
        "gone",
        (OpenAIProvider,),
        {"url": "http://127.0.0.1:1/v1", "__module__": __name__, "models": ["x"]},
    )
    parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with gateway_of([site.provider(), gone], tracer_provider=provider) as served:
        await ask(served.port, post(None, parent))
        await ask(
            served.port,
            post({"model": "gone/x", "messages": [{"role": "user", "content": QUESTION}]}),
        )
    good, bad = exporter.get_finished_spans()
    assert (good.name, good.kind) == ("chat gpt-4o", SpanKind.CLIENT)
    attributes = dict(good.attributes or {})
    assert attributes.pop("gen_ai.response.time_to_first_chunk")
    assert attributes.pop("gen_ai.usage.input_tokens")
    assert attributes.pop("gen_ai.usage.output_tokens")
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "held",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": True,
        "gen_ai.output.type": "text",
        "tailrace.outcome": "done",
    }
    assert good.parent is not None
    assert f"{good.parent.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert good.status.status_code is StatusCode.UNSET
    assert (bad.status.status_code, (bad.attributes or {})["error.type"]) == (
        StatusCode.ERROR,
        "network",
    )
    assert bad.parent is None
    assert not [word for word in NOBODYS if word in good.to_json() + bad.to_json()]


async def test_without_an_sdk_nothing_is_kept(site: HeldSite) -> None:
    async with gateway_of([site.provider()]) as served:
        assert (
            await ask(
                served.port, post(None, "traceparent: 00-" + "ab" * 16 + "-" + "cd" * 8 + "-01")
            )
        ).status == 200
        (tracing,) = served.gateway.context.stream_figures.listeners
        assert tracing._spans == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize("stream", [True, False])
async def test_what_the_wires_do_not_carry_is_counted_and_in_the_log(
    logged: io.StringIO, *, stream: bool
) -> None:
    source = {"type": "url_citation", "url_citation": {"url": "https://mill.example"}}
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    delta = {"content": "Hi", "annotations": [source, source], "images": [image]}
    events = [
        {"choices": [{"delta": delta}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    ]

    async def answer(_: Asked, line: Line) -> None:
        text = "".join(f"data: {json.dumps(each)}\n\n" for each in events)
        await line.reply(f"{text}data: [DONE]\n\n".encode(), SSE)

    async with SiteByHand(answer) as site:
        own = Site(f"{site.url}/v1", software="openai", name="own", models=["m"])
        async with gateway_of([own]) as served:
            messages = [{"role": "user", "content": "x"}]
            body = {"model": "own/m", "messages": messages, "stream": stream}
            assert (await ask(served.port, post(body))).status == 200
            metrics = (await ask(served.port, get("/metrics"))).body.decode()
    line = json.loads(logged.getvalue().splitlines()[0])
    assert line["passed_over"] == {"citation": 2, "image": 1}
    labels = {**LABELS, "gen_ai_provider_name": "own", "gen_ai_request_model": "m"}
    found = samples(metrics)
    for kind, count in line["passed_over"].items():
        key = tuple(sorted({**labels, "kind": kind}.items()))
        assert found["tailrace_passed_over_total", key] == count
