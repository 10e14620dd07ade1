"""``tailrace load --engine fleet``: the same counts as in the process, no time too early."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from loopback import hang, serve

from tailrace import Site, load
from tailrace._over_fleet import FleetPosts
from tailrace.errors import InvalidProxyError, InvalidRequestError, NetworkError
from tailrace.fleet import Fleet
from tailrace.load import Plan, compare, read_report
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from aiohttp.typedefs import Handler
    from loopback import Exchange

    from tailrace._over_fleet import Engine

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
END = (
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":9,"total_tokens":10}}\n\ndata: [DONE]\n\n'
)
PACE = 0.02
ENGINES: tuple[Engine, ...] = ("process", "fleet")


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[Site]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    async with TestServer(app, handler_cancellation=True) as server:
        yield Site(str(server.make_url("/v1")), software="openai", model="m")


def pacing(sent: list[list[int]]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        times: list[int] = []
        sent.append(times)
        for _ in range(4):
            await asyncio.sleep(PACE)
            times.append(time.monotonic_ns())
            await response.write(EVENT)
        await response.write(END)
        return response

    return handle


async def test_no_time_is_reported_as_earlier_than_it_was() -> None:
    sent: list[list[int]] = []
    async with served(pacing(sent)) as site:
        report = await load.run(site, Plan(users=3, requests=9), engine="fleet")
    assert (report.requests, report.ends, report.statuses) == (9, {"done": 9}, {"200": 9})
    assert (report.ttft.count, report.gap.count, report.whole.count) == (9, 27, 9)
    assert (report.engine, report.client.lag.count) == ("fleet", 0)
    assert (report.tokens.source, report.tokens.from_usage) == ("usage", 81)
    assert (report.ttft.least or 0) >= PACE * 0.95
    assert (report.whole.least or 0) >= 4 * PACE * 0.95
    true = sum(times[-1] - times[1] for times in sent)
    assert (report.gap.mean or 0) * 27 >= true / 1e9


async def test_an_open_model_sends_each_when_it_is_due() -> None:
    sent: list[list[int]] = []
    async with served(pacing(sent)) as site:
        plan = Plan(rate=100.0, arrivals="constant", requests=10)
        report = await load.run(site, plan, engine="fleet")
    assert report.ends == {"done": 10}
    assert report.late.count == 10
    assert (report.late.least or 0) >= 0
    assert (report.whole.least or 0) >= 4 * PACE * 0.95


async def test_what_is_open_at_the_end_is_cut_and_counted() -> None:
    closed = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await response.write(EVENT)
            await asyncio.Event().wait()
        finally:
            closed.set()
        return response

    plan = Plan(rate=100.0, arrivals="constant", requests=3, most_open=1, grace=0.1)
    async with served(handle) as site:
        report = await load.run(site, plan, engine="fleet")
        await closed.wait()
    assert report.ends == {"unfinished": 3}
    assert report.statuses == {"200": 1, "none": 2}
    assert (report.ttft.count, report.whole.count) == (1, 0)


async def test_what_is_cancelled_all_at_once_ends() -> None:
    """As `asyncio.run` does where its main task fails: what hands ends on is cancelled, too."""
    async with serve(hang) as server, Fleet(keep="body") as fleet:
        posts = FleetPosts(fleet)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(posts._deliver()),
            *(asyncio.create_task(posts.post(server.url, b"{}", {})) for _ in range(3)),
        ]
        while len(server.requests) < 3:  # noqa: ASYNC110 - its event tells of one
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert [task.cancelled() for task in tasks] == [True] * 4
        with pytest.raises(NetworkError, match="stopped"):
            await posts.post(server.url, b"{}", {})


async def test_a_post_that_cannot_be_sent_ends_no_other() -> None:
    """Those of one turn of the loop are handed to the fleet together."""
    async with serve(answered) as server, AsyncExitStack() as stack:
        posts = FleetPosts(await stack.enter_async_context(Fleet(keep="body")))
        delivering = asyncio.create_task(posts._deliver())
        wrong = {"Cookie": "a=b"}
        ends = await asyncio.gather(
            *(posts.post(server.url, b"[%d]" % number, {}) for number in range(3)),
            posts.post(server.url, b"[3]", wrong),
            posts.post(server.url, b"[4]", {}),
            return_exceptions=True,
        )
        await posts._stop(delivering)
    assert [getattr(each, "body", None) for each in ends] == [b"[0]", b"[1]", b"[2]", None, b"[4]"]
    assert "Cookie" in str(ends[3])
    assert sorted(each.body for each in server.requests) == [b"[0]", b"[1]", b"[2]", b"[4]"]


async def answered(exchange: Exchange) -> None:
    await exchange.send_reply(exchange.body, "Content-Type: application/json")


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_commands_end_by_ctrl_c_as_without_a_fleet(tmp_path: Path, engine: str) -> None:
    """By one of a load, by two of a batch, which waits for what is under way at the first."""
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"prompt": "hello"}\n', "utf-8")
    for words, count in ((["load"], 1), (["batch", str(rows), str(tmp_path / "out"), "--site"], 2)):
        async with serve(hang) as server:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tailrace", *words, f"{server.url}/v1"),
                *("--software", "openai", "--model", "m", "--engine", engine),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            await server.got_request.wait()
            said = b""
            for left in range(count, 0, -1):
                process.send_signal(signal.SIGINT)
                if left > 1 and process.stderr is not None:
                    said += await process.stderr.readuntil(b"again to cut")
            _, rest = await process.communicate()
        assert process.returncode == 130, said + rest
        assert (said + rest).splitlines()[-1].startswith(b"interrupted")
        assert b"Traceback" not in said + rest


async def test_failures_are_counted_as_in_the_process() -> None:
    async def handle(request: web.Request) -> web.Response:
        prompt = json.loads(await request.read())["messages"][-1]["content"]
        if prompt == "slow down":
            body = {"error": {"message": "slow", "code": "rate_limit_exceeded"}}
            return web.json_response(body, status=429)
        return web.Response(text="<html>", content_type="text/html")

    reports = []
    async with served(handle) as site:
        for engine in ENGINES:
            plan = Plan(users=1, requests=4)
            prompts = ("slow down", "hello")
            reports.append(await load.run(site, plan, engine=engine, prompts=prompts))
    over, ours = reports
    for name in ("ends", "errors", "examples", "statuses"):
        assert getattr(ours, name) == getattr(over, name), name
    assert any("engine" in each for each in compare(over, ours).warnings)


MODELS = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-2.5-flash",
    "ollama": "llama3.2:latest",
}


@pytest.mark.parametrize("software", MODELS)
async def test_every_software_with_an_api(software: Any) -> None:
    tool = {
        "type": "function",
        "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
    }
    async with Replica(shutdown_timeout=0.1) as replica:
        path = "/v1" if software == "openai" else ""
        site = Site(f"{replica.url(software)}{path}", software=software, model=MODELS[software])
        for options in ({}, {"tools": [tool]}, {"max_tokens": 20}):
            report = await load.run(site, Plan(requests=2), engine="fleet", **options)
            assert report.whole_answers == 2, (report.errors, report.examples)
            assert report.tokens.source == "usage"


async def test_what_a_fleet_cannot_ask_is_refused_by_name() -> None:
    url = "http://127.0.0.1:1/v1"
    for site, named in (
        (Site(url, software="wordpress"), "wordpress"),
        (Site(url, software="ai-engine"), "ai-engine"),
        (Site(url, software="geminiprochat"), "geminiprochat"),
        (Site(url, software="openai", model="m", cookies={"a": "b"}), "cookies"),
        (Site(url, software="openai", model="m", transport="impersonate"), "transport"),
        (Site(url, software="openai", model="m", comments_restart_idle=True), "comments"),
    ):
        with pytest.raises(InvalidRequestError, match=named):
            await load.run(site, Plan(requests=1), engine="fleet")
    socks = Site(url, software="openai", model="m", proxy="socks5://127.0.0.1:1")
    with pytest.raises(InvalidProxyError, match="socks5"):
        await load.run(socks, Plan(requests=1), engine="fleet")
    with pytest.raises(InvalidRequestError, match="engine"):
        await load.run(Site(url, software="openai", model="m"), engine="ships")  # type: ignore[arg-type]


async def test_the_command(tmp_path: Path) -> None:
    async with Replica(shutdown_timeout=0.1) as replica:
        options = ["--users", "4", "--requests", "20", "--engine", "fleet"]
        for more in ([], ["--json"]):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tailrace", "load", f"{replica.url('openai')}/v1"),
                *("--software", "openai", "--model", "gpt-4o-mini", *options, *more),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, said = await process.communicate()
            assert process.returncode == 0, said.decode()
            assert "over a fleet" in said.decode()
            if more:
                file = tmp_path / "report.json"
                file.write_bytes(out)
                assert read_report(file).engine == "fleet"
            else:
                assert "20 done" in out.decode()
                assert "times by a fleet" in out.decode()
