"""Loads on a server that says when it sent what, or sends nothing until it is told.

A time that is reported can be later than the truth, as the machine has other things to do, and
never earlier: that is what is held here. `benchmarks/load.py` measures by how much.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tailrace import RetryPolicy, Site, Throttle, load
from tailrace.errors import InvalidRequestError
from tailrace.load import Plan
from tailrace.load._running import Load
from tailrace.sites import Secret
from tailrace.transport import AiohttpTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp.typedefs import Handler

EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
DONE = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
PACE = 0.02
MS = 1e-3


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[Site]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    async with TestServer(app, handler_cancellation=True) as server:
        yield Site(str(server.make_url("/v1")), software="openai", model="m")


async def begun(request: web.Request) -> tuple[web.StreamResponse, str]:
    message = json.loads(await request.read())["messages"][-1]["content"]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response, message


def pacing(sent: list[list[int]]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler whose replies have four events, `PACE` seconds apart, and note when they went."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response, _ = await begun(request)
        times: list[int] = []
        sent.append(times)
        for _ in range(4):
            await asyncio.sleep(PACE)
            times.append(time.monotonic_ns())
            await response.write(EVENT.encode())
        await response.write(DONE.encode())
        return response

    return handle


async def test_no_time_is_reported_as_earlier_than_it_was() -> None:
    sent: list[list[int]] = []
    async with served(pacing(sent)) as site:
        begin = time.monotonic_ns()
        report = await load.run(site, Plan(users=3, requests=9))
        end = time.monotonic_ns()
    assert (report.requests, report.ends, report.statuses) == (9, {"done": 9}, {"200": 9})
    assert (report.ttft.count, report.gap.count, report.whole.count) == (9, 27, 9)
    assert report.tokens.source == "deltas"
    assert report.tokens.from_deltas == 36
    assert (report.ttft.least or 0) >= PACE * 0.95
    assert (report.whole.least or 0) >= 4 * PACE * 0.95
    # All gaps of an answer together are no shorter than from its second write to its last.
    true = sum(times[-1] - times[1] for times in sent)
    assert (report.gap.mean or 0) * 27 >= true / 1e9
    assert report.seconds <= (end - begin) / 1e9
    assert sum(slot.begun for slot in report.series.slots) == 9


async def test_an_open_models_requests_are_due_though_the_server_stands_still() -> None:
    """One place: what waits for it counts from when it was due."""
    held = 0.2

    async def handle(request: web.Request) -> web.StreamResponse:
        response, message = await begun(request)
        if message == "first":
            await asyncio.sleep(held)
        await response.write((EVENT + DONE).encode())
        return response

    plan = Plan(rate=100.0, arrivals="constant", requests=4, most_open=1)
    async with served(handle) as site:
        report = await load.run(site, plan, prompts=("first", "next", "next", "next"))
    assert report.ends == {"done": 4}
    assert (report.ttft.least or 0) >= held - 3 / 100 - 5 * MS  # even the last one has waited
    assert (report.late.most or 0) >= held - 1 / 100 - 5 * MS
    assert report.client.limited_by[-1] == "3 requests waited, with 1 open"


async def test_what_is_open_at_the_end_is_cut_and_counted() -> None:
    closed = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response, _ = await begun(request)
        try:
            await response.write(EVENT.encode())
            await asyncio.Event().wait()
        finally:
            closed.set()
        return response

    plan = Plan(rate=100.0, arrivals="constant", requests=3, most_open=1, grace=0.1)
    async with served(handle) as site:
        report = await load.run(site, plan)
        await closed.wait()
    assert report.ends == {"unfinished": 3}
    assert report.statuses == {"200": 1, "none": 2}
    assert (report.ttft.count, report.whole.count) == (1, 0)


async def test_the_garbage_collector_is_as_before_when_it_has_ended() -> None:
    seen = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(gc.get_threshold())
        response, _ = await begun(request)
        await response.write((EVENT + DONE).encode())
        return response

    before = gc.get_threshold()
    async with served(handle) as site:
        await load.run(site, Plan(requests=1))
    assert (seen[0][0], gc.get_threshold()) == (before[0], before)
    assert min(seen[0][1:]) >= 1000


async def hanging(request: web.Request) -> web.StreamResponse:
    response, _ = await begun(request)
    await asyncio.Event().wait()
    return response


async def test_users_whose_last_requests_hang_get_the_grace_and_no_more() -> None:
    async with served(hanging) as site:
        report = await load.run(site, Plan(users=2, requests=2, grace=0.1))
    assert (report.ends, report.warm_up_unfinished) == ({"unfinished": 2}, 0)


async def test_users_who_wait_from_the_warm_up_on_are_counted() -> None:
    async with served(hanging) as site:
        report = await load.run(site, Plan(users=2, seconds=0.1, warm_up=0.1, grace=0.1))
    assert (report.requests, report.warm_up_unfinished) == (0, 2)
    assert read_report_of(report) == report


def read_report_of(report: load.Report) -> load.Report:
    return msgspec.json.decode(report.to_json(), type=load.Report)


async def test_cancelled_it_closes_its_connections_and_can_still_report() -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response, _ = await begun(request)
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()
        return response

    async with served(handle) as site:
        work = Load(site, Plan(users=1, warm_up=0.0))
        running = asyncio.create_task(work.until_end())
        await asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await closed.wait()
    report = work.report()
    assert (report.interrupted, report.ends, report.under_way) == (True, {"unfinished": 1}, 0)


async def test_what_cannot_be_asked_ends_the_run() -> None:
    site = Site("http://127.0.0.1:9/v1", software="openai")
    with pytest.raises(InvalidRequestError, match="wants a model"):
        await load.run(site, Plan(users=3))
    with pytest.raises(InvalidRequestError, match="wants a model"):
        await load.run(site, Plan(rate=100.0))
    with pytest.raises(InvalidRequestError, match="no prompt"):
        await load.run(site, prompts=())
    with pytest.raises(TypeError, match="no option"):
        await load.run(site, max_token=5)
    with pytest.raises(InvalidRequestError, match="NOT_SET_AT_ALL"):
        await load.run(
            site.replace(api_key=Secret(variable="NOT_SET_AT_ALL", origin="http://127.0.0.1:9"))
        )


async def test_nothing_is_asked_twice_and_no_throttle_slows_it() -> None:
    asked = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        await request.read()
        return web.Response(status=503, text="not now")

    async with served(handle) as site, AiohttpTransport() as transport:
        slow = site.replace(throttle=Throttle(rate=1), transport=transport, retry=RetryPolicy())
        report = await load.run(slow, Plan(users=4, requests=4))
    assert asked == 4
    assert report.statuses == {"503": 4}
    assert report.ends == {"failed": 4}
    assert "503" in next(iter(report.examples.values()))
