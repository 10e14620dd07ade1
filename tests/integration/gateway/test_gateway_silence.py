"""When a stream's first byte goes out, and what breaks the silence of a site that has answered."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import SSE, Asked, Line, Site, delta
from gateway_app import asking, content, events, outcomes, posting, serving

from tailrace import sites

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp
    from calls_site import Answer
    from gateway_app import RunningGateway

FOREVER = 1000.0
SOON = 0.02
COMMENT = b": keep-alive\n\n"


def event(**fields: Any) -> bytes:
    return f"data: {json.dumps({'choices': [{'delta': fields}]})}\n\n".encode()


@asynccontextmanager
async def asked(
    answer: Answer, *, interval: float, **options: Any
) -> AsyncIterator[tuple[RunningGateway, aiohttp.ClientResponse]]:
    """A stream asked for through the gateway, at a site that answers so."""
    async with (
        Site(answer) as site,
        serving(
            [sites.Site(f"{site.url}/v1", name="site", software="openai", models=["m"], **options)],
            keep_alive_interval=interval,
        ) as gateway,
        posting(gateway, asking("x", "site/m", stream=True)) as reply,
    ):
        yield gateway, reply


@pytest.mark.parametrize(
    "first",
    [
        event(role="assistant", content=""),
        event(reasoning_content="Hm"),
        event(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f"}}]),
        event(refusal="No"),
        b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0}}\n\n',
    ],
    ids=["role", "reasoning", "call", "refusal", "usage"],
)
async def test_the_first_byte_goes_out_with_the_first_event_of_any_kind(first: bytes) -> None:
    seen = asyncio.Event()

    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        await line.chunks([first])
        await seen.wait()
        await line.chunks([delta("Hello"), b"data: [DONE]\n\n"])
        await line.end()

    async with asked(answer, interval=FOREVER) as (_, reply):
        assert reply.status == 200
        begun = await reply.content.readuntil(b"\n\n")
        assert json.loads(begun[6:])["choices"][0]["delta"]["role"] == "assistant"
        seen.set()
        *chunks, end = await events(reply)
    assert (content(chunks), end) == ("Hello", "[DONE]")


async def test_a_comment_breaks_the_silence_of_a_site_that_has_answered() -> None:
    seen = asyncio.Event()

    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        await seen.wait()
        seen.clear()
        await line.chunks([delta("Hel")])
        await seen.wait()
        await line.chunks([delta("lo"), b"data: [DONE]\n\n"])
        await line.end()

    async with asked(answer, interval=SOON) as (_, reply):
        assert b'"role":"assistant"' in await reply.content.readuntil(b"\n\n")
        assert await reply.content.readuntil(b"\n\n") == COMMENT
        assert await reply.content.readuntil(b"\n\n") == COMMENT
        seen.set()
        while (told := await reply.content.readuntil(b"\n\n")) == COMMENT:
            pass
        assert b'"content":"Hel"' in told
        assert await reply.content.readuntil(b"\n\n") == COMMENT
        seen.set()
        *chunks, end = await events(reply)
    assert (content(chunks), end) == ("lo", "[DONE]")


async def test_a_site_that_has_not_answered_still_has_a_status_of_its_own() -> None:
    async def answer(_: Asked, line: Line) -> None:
        await asyncio.sleep(5 * SOON)
        await line.begin("application/json", "429 Too Many Requests")
        await asyncio.sleep(5 * SOON)
        await line.chunks([b'{"error": {"message": "slow down"}}'])
        await line.end()

    async with asked(answer, interval=SOON) as (_, reply):
        assert reply.status == 429


async def test_a_failure_behind_a_comment_is_an_event() -> None:
    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        await asyncio.sleep(5 * SOON)
        await line.chunks([b'data: {"error": {"message": "out of memory"}}\n\n'])
        await line.end()

    async with asked(answer, interval=SOON) as (gateway, reply):
        assert reply.status == 200
        *_, failure = await events(reply)
        assert "out of memory" in failure["error"]["message"]
    assert outcomes(gateway) == {"failed": 1}


@pytest.mark.parametrize("counts", [False, True])
async def test_a_sites_comments_keep_the_idle_clock_alive_where_its_profile_says_so(
    *, counts: bool
) -> None:
    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        await line.chunks([delta("Hel")])
        for _number in range(12):
            await asyncio.sleep(0.05)
            await line.chunks([b": still here\n\n"])
        await line.chunks([delta("lo"), b"data: [DONE]\n\n"])
        await line.end()

    options = {"timeout": 0.5, "comments_restart_idle": counts}
    async with asked(answer, interval=FOREVER, **options) as (_, reply):
        *_, last = await events(reply)
    assert last == "[DONE]" if counts else last["error"]["code"] == "timeout"


async def test_a_client_that_leaves_a_silent_site_leaves_nothing_behind() -> None:
    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        await line.stall()

    async with asked(answer, interval=SOON) as (gateway, reply):
        assert await reply.content.readuntil(COMMENT)
        reply.close()
        async with asyncio.timeout(10):
            while not outcomes(gateway):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0)
    assert outcomes(gateway) == {"left": 1}
