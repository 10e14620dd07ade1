"""``tailrace doctor --every``: looks, changes, webhooks, figures."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cli_process import interrupt, run, run_process, start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SOON = "1ms"
ANSWER = 'data: {"choices": [{"delta": {"content": "Hello."}}]}\n\ndata: [DONE]\n\n'


@asynccontextmanager
async def changing_site(*statuses: int) -> AsyncIterator[str]:
    """A server that answers with these statuses, one after the other."""
    left = list(statuses)

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        status = left.pop(0) if len(left) > 1 else left[0]
        text = ANSWER if status == 200 else "closed"
        return web.Response(text=text, status=status, content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1"))


@asynccontextmanager
async def hooked(*statuses: int) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook that answers with these statuses, the last one from then on; and what it got."""
    left, got = list(statuses), list[dict[str, Any]]()

    async def hook(request: web.Request) -> web.Response:
        got.append(await request.json())
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0])

    app = web.Application()
    app.router.add_post("/hook", hook)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook")), got


def guarding(url: str, *arguments: str) -> tuple[str, ...]:
    return ("doctor", url, "--software", "openai", "--model", "m", "--every", SOON, *arguments)


async def test_only_changes_are_told_and_the_last_failure_is_the_code() -> None:
    async with changing_site(200, 200, 503, 503, 429, 200) as url:
        end = await run(*guarding(url, "--count", "7", "--json"))
    assert (end.code, end.stderr) == (3, "")
    changes = [json.loads(line) for line in end.stdout.splitlines()]
    assert [(each["was"], each["is"]) for each in changes] == [
        (None, "ok"),
        ("ok", "post"),
        ("post", "ok"),
    ]
    assert changes[1]["error"]["status"] == 503
    assert changes[1]["advice"].startswith("wait and try again")
    assert re.search(r" answers again after \d+ s$", changes[2]["text"])


async def test_as_lines_and_without_a_failure_the_code_is_0() -> None:
    async with changing_site(200) as url:
        end = await run(*guarding(url, "--count", "3"))
    assert end.code == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  http://\S+ answers\n", end.stdout)
    async with changing_site(503) as url:
        end = await run_process(*guarding(url, "--count", "2"))
    assert end.code == 3
    # The state folder of the tests cannot be written to; that does not change between looks.
    assert end.stderr.count("verdict cannot be kept") == 1
    first, advice = end.stdout.splitlines()
    assert " fails at the step post: the site reported an error (HTTP 503)" in first
    assert advice.strip().startswith("what to do: wait")


async def test_a_webhook_gets_each_change_once_and_its_failures_stop_nothing() -> None:
    async with changing_site(200, 503, 503, 503, 200) as url, hooked(500, 302, 204) as (hook, got):
        end = await run(*guarding(url, "--count", "6", "--webhook", hook, "--json"))
    assert end.code == 3
    assert [each["is"] for each in got] == ["post", "post", "post", "ok"]
    assert got[0] == got[1] == got[2] == json.loads(end.stdout.splitlines()[1])
    assert end.stderr.count("the webhook did not take a change") == 2
    assert "look: it answered with HTTP 500\n" in end.stderr
    async with changing_site(503) as url:
        end = await run(*guarding(url, "--count", "2", "--webhook", "http://127.0.0.1:1/"))
    assert end.code == 3
    assert end.stderr.count("connection refused") == 2


async def test_what_changed_while_a_webhook_was_down_is_sent_in_its_order() -> None:
    async with changing_site(200, 503, 200, 503, 200) as url, hooked(500, 500, 204) as (hook, got):
        end = await run(*guarding(url, "--count", "5", "--webhook", hook, "--json"))
    changes = [json.loads(line) for line in end.stdout.splitlines()]
    assert [each["is"] for each in changes] == ["ok", "post", "ok", "post", "ok"]
    assert got == [changes[1], changes[1], *changes[1:]]
    async with changing_site(200, 503, 200) as url, hooked(500) as (hook, got):
        end = await run(*guarding(url, "--count", "3", "--webhook", hook))
    assert "tailrace: 2 changes were not sent to the webhook\n" in end.stderr


async def test_figures_are_served_while_it_is_on_guard() -> None:
    async with changing_site(503) as url:
        process = await start(*guarding(url, "--metrics", "0"))
        assert process.stderr is not None
        assert process.stdout is not None
        told = b""
        while b"/metrics\n" not in told:
            told += await process.stderr.readline()
        await process.stdout.readline()  # a look is over
        figures = re.search(r"Figures: (\S+)", told.decode())
        assert figures is not None
        async with aiohttp.ClientSession() as session, session.get(figures[1]) as reply:
            assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = await reply.text()
        end = await interrupt(process)
    assert end.code == 0
    site = re.escape(url.removesuffix("/v1"))
    assert re.search(rf'tailrace_doctor_up{{site="{site}"}} 0\.0', text)
    assert re.search(r'tailrace_doctor_looks_total{failed_step="post",site="[^"]+"} [1-9]', text)
    assert re.search(r'tailrace_doctor_step_seconds{site="[^"]+",step="tcp"} ', text)


async def test_ctrl_c_in_the_middle_of_counted_looks_is_130() -> None:
    async with changing_site(503) as url:
        process = await start(*guarding(url, "--count", "9", "--every", "1h"))
        assert process.stdout is not None
        await process.stdout.readline()
        end = await interrupt(process)
    assert end.code == 130


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--count", "3"], "are for a guard: give --every"),
        (["--webhook", "http://127.0.0.1:1/"], "are for a guard: give --every"),
        (["--metrics", "9"], "are for a guard: give --every"),
        (["--every", "soon"], "'soon' is no time such as 30s, 2m or 500ms"),
        (["--every", "0s"], "'0s' is no time above 0"),
        (["--every", "1m", "--count", "0"], "0 is not in the range"),
        (["--every", "1m", "--webhook", "my.example/hook"], "the URL has no scheme"),
    ],
)
async def test_wrong_usage_is_2(arguments: list[str], says: str) -> None:
    end = await run("doctor", "http://127.0.0.1:1/", *arguments)
    assert (end.code, end.stdout) == (2, "")
    assert says in end.stderr
