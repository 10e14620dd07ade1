"""Requests for several answers: what clients of evaluations ask with `n`, and with several prompts
of a legacy completion.
"""

from __future__ import annotations

import asyncio
import json
import logging
from itertools import count
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from calls_site import SSE, Asked, Line, Site, delta
from gateway_app import (
    RunningGateway,
    asked,
    asking,
    made,
    outcomes,
    posting,
    replicas_sites,
    serving,
    until,
)
from gateway_sockets import KEYS, SECRET, ask, gateway_of, held_site, post

from tailrace.providers import OpenAIProvider
from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tailrace.providers import ChatProvider

AUTHORIZED = f"Authorization: Bearer {SECRET}"


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[RunningGateway]:
    async with serving(replicas_sites(replica)) as running:
        yield running


async def answer(text: str) -> str:
    return await builtin_answer(Question("any", text))


def made_site(site: Site) -> type[ChatProvider]:
    url = f"{site.url}/v1"
    return made("site", OpenAIProvider, url, models=["m"], default_model="m")


@pytest.mark.parametrize("model", ["shop/default", "engine/default", "gem/default", "open/mini"])
async def test_n_answers_are_n_choices(
    gateway: RunningGateway, replica: Replica, model: str
) -> None:
    async with posting(gateway, asking("Hello", model)) as reply:
        one = await reply.json()
    before = asked(replica)
    async with posting(gateway, asking("Hello", model, n=3, seed=7)) as reply:
        three = await reply.json()
        dropped = reply.headers.get("X-Tailrace-Dropped")
    assert asked(replica) - before == 3
    assert dropped == (None if model == "open/mini" else "seed")
    assert [each["index"] for each in three["choices"]] == [0, 1, 2]
    assert [{**each, "index": 0} for each in three["choices"]] == one["choices"] * 3
    assert three.keys() == one.keys()
    assert three["usage_estimated"] == one["usage_estimated"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert three["usage"][name] == 3 * one["usage"][name]


async def test_prompts_are_answered_in_their_order(gateway: RunningGateway) -> None:
    body = {"model": "shop/default", "prompt": ["One", "Two"], "n": 2, "best_of": 2}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.base_url}/completions", json=body) as reply,
    ):
        choices = (await reply.json())["choices"]
    one, two = await answer("One"), await answer("Two")
    assert [each["text"] for each in choices] == [one, one, two, two]
    assert [each["index"] for each in choices] == [0, 1, 2, 3]


async def test_each_answer_is_its_own() -> None:
    """The site that answers last was asked first; calls without ids get different ones."""
    release, numbers = asyncio.Event(), count()

    async def call(_: Asked, line: Line) -> None:
        if number := next(numbers):
            release.set()
        else:
            await release.wait()
        await line.begin(SSE)
        pieces = [{"index": 0, "function": {"name": f"f{number}", "arguments": "{}"}}]
        end = {"choices": [{"delta": {"tool_calls": pieces}, "finish_reason": "tool_calls"}]}
        await line.chunks([f"data: {json.dumps(end)}\n\ndata: [DONE]\n\n".encode()])
        await line.end()

    tools = [{"type": "function", "function": {"name": "f0"}}]
    async with (
        Site(call) as site,
        serving([made_site(site)]) as gateway,
        posting(gateway, asking("x", "site/m", n=2, tools=tools)) as reply,
    ):
        choices = (await reply.json())["choices"]
    calls = [each["message"]["tool_calls"][0] for each in choices]
    assert sorted(each["function"]["name"] for each in calls) == ["f0", "f1"]
    assert len({each["id"] for each in calls}) == 2
    assert [each["finish_reason"] for each in choices] == ["tool_calls"] * 2


async def test_one_that_fails_is_the_failure_of_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    numbers = count()

    async def fail_the_second(_: Asked, line: Line) -> None:
        if next(numbers):
            await line.reply(b"{}", "application/json", "429 Too Many", "Retry-After: 7\r\n")
            return
        await line.begin(SSE)
        await line.chunks([delta("Hello")])
        await line.stall()

    async with (
        Site(fail_the_second) as site,
        serving([made_site(site)]) as gateway,
    ):
        async with posting(gateway, asking("x", "site/m", n=2)) as reply:
            assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
            assert (await reply.json())["error"]["code"] == "rate_limit_exceeded"
        assert outcomes(gateway) == {"failed": 1, "left": 1}
        await site.until(lambda: site.open == 0)
    fields = line_of(caplog)
    assert (fields["status"], fields["error"], fields["answers"]) == (429, "rate_limit", 2)
    assert "tried_before" not in fields


def line_of(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The fields of the one request's line."""
    (record,) = [each for each in caplog.records if each.name == "tailrace.gateway.requests"]
    fields: dict[str, Any] = record.__dict__["tailrace"]
    return fields


async def test_the_line_in_the_log_has_all_of_them(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with posting(gateway, asking("Hello", "open/mini", n=2)) as reply:
        usage = (await reply.json())["usage"]
    await until(lambda: bool(caplog.records))
    fields = line_of(caplog)
    assert (fields["answers"], fields["outcome"]) == (2, "done")
    assert fields["output_tokens"] == usage["completion_tokens"]
    assert "tried_before" not in fields


async def test_a_client_that_leaves_closes_all_of_its_connections() -> None:
    async with held_site() as site, gateway_of([site.provider()]) as served:
        body = asking("x", "held/gpt-4o", n=3)
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(body))
        await site.until_open(3)
        writer.close()
        await site.until_open(0)
        figures = served.gateway.context.stream_figures
        await until(lambda: not any(each.open for each in figures.snapshot().figures))
        (counted,) = figures.snapshot().figures
        assert {name: each for name, each in counted.outcomes.items() if each} == {"left": 3}


async def test_a_key_pays_for_each_answer() -> None:
    async with held_site() as site, gateway_of([site.provider()], keys=KEYS, rate=4) as served:
        site.let_go.set()
        several = asking("x", "held/gpt-4o", n=4)
        assert (await ask(served.port, post(several, AUTHORIZED))).status == 200
        refused = await ask(served.port, post(asking("x", "held/gpt-4o"), AUTHORIZED))
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert len(site.asked) == 4
