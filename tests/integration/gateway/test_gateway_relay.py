"""What comes while an answer is relayed: each event where it arrives, no faster than it is taken,
and the failures of all who take part.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from calls_site import SSE, Asked, Line, Site, delta
from gateway_app import asking, content, events, outcomes, posting, serving, until

from tailrace import sites

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from calls_site import Answer
    from gateway_app import RunningGateway

DONE = b"data: [DONE]\n\n"


def event(**fields: Any) -> bytes:
    return f"data: {json.dumps({'choices': [{'delta': fields}]})}\n\n".encode()


@asynccontextmanager
async def fronted(answer: Answer, **options: Any) -> AsyncIterator[RunningGateway]:
    """A gateway in front of one site that answers so, ``site``, which ``group`` asks first."""
    async with Site(answer) as site:
        own = sites.Site(f"{site.url}/v1", name="site", software="openai", models=["m"], **options)
        groups = [sites.ModelGroup("group", ("site/m", "twin/m"))]
        async with serving([own, own.replace(name="twin")], groups) as gateway:
            yield gateway


@pytest.mark.parametrize("model", ["site/m", "group"])
@pytest.mark.parametrize("options", [{}, {"timings": True}], ids=["", "observed"])
async def test_each_event_is_sent_on_before_the_next_one_comes(
    model: str, options: dict[str, Any]
) -> None:
    read = asyncio.Event()
    words = [f"word {number} " for number in range(6)]

    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        for word in words:
            await line.chunks([delta(word)])
            await read.wait()
            read.clear()
        await line.chunks([DONE])
        await line.end()

    async with (
        fronted(answer, **options) as gateway,
        posting(gateway, asking("x", model, stream=True)) as reply,
    ):
        assert b'"role"' in await reply.content.readuntil(b"\n\n")
        for word in words:
            assert content([json.loads((await reply.content.readuntil(b"\n\n"))[6:])]) == word
            read.set()
        assert (await events(reply))[-1] == "[DONE]"
    (figures,) = gateway.context.stream_figures.snapshot().figures
    assert (figures.deltas, figures.output_tokens) == (6, 11)
    assert (figures.gap.count, figures.first_delta.count) == (5, 1)
    assert outcomes(gateway) == {"done": 1}


async def test_every_kind_is_relayed_in_its_order() -> None:
    pieces = [
        event(content="Let me look. "),
        event(reasoning_content="Hm"),
        event(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]),
        event(tool_calls=[{"index": 0, "function": {"arguments": "}"}}]),
        event(refusal="No"),
        event(content="\u2028é"),
    ]
    begun = asyncio.Event()

    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        await line.chunks(pieces[:1])
        await begun.wait()
        await line.send(b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces[1:]))
        await line.chunks([DONE])
        await line.end()

    async with (
        fronted(answer) as gateway,
        posting(gateway, asking("x", "site/m", stream=True)) as reply,
    ):
        await reply.content.readuntil(b"look")
        begun.set()
        *chunks, _ = await events(reply)
    told = [next(iter(each["choices"][0]["delta"].items()), None) for each in chunks[-6:]]
    assert [name for name, _ in filter(None, told)] == [
        "reasoning_content",
        "tool_calls",
        "tool_calls",
        "refusal",
        "content",
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-2]["choices"][0]["delta"]["content"] == "\u2028é"


async def test_no_more_is_taken_from_a_site_than_the_client_takes() -> None:
    piece, count = "x" * 2**17, 400
    sent = 0

    async def answer(_: Asked, line: Line) -> None:
        nonlocal sent
        await line.begin(SSE)
        for _number in range(count):
            await line.chunks([delta(piece)])
            sent += 1
        await line.chunks([DONE])
        await line.end()

    async with (
        fronted(answer) as gateway,
        posting(gateway, asking("x", "site/m", stream=True), read_bufsize=2**16) as reply,
    ):
        taken = most = 0
        while line := await reply.content.readany():
            taken += len(line)
            most = max(most, sent - taken // len(piece))
    assert sent == count
    assert taken > count * len(piece)
    # The kernel's buffers of two connections, and what each side may hold.
    assert most * len(piece) < 24 * 2**20
    assert outcomes(gateway) == {"done": 1}


async def test_a_client_that_leaves_ends_the_relay_and_the_sites_stream() -> None:
    left = asyncio.Event()

    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        try:
            while True:
                await line.chunks([delta("on and on")])
                await asyncio.sleep(0)
        finally:
            left.set()

    async with fronted(answer) as gateway:
        async with posting(gateway, asking("x", "site/m", stream=True)) as reply:
            for _ in range(20):
                await reply.content.readuntil(b"\n\n")
        await left.wait()
        await until(lambda: outcomes(gateway) == {"left": 1})


@pytest.mark.parametrize("model", ["site/m", "group"])
async def test_a_site_that_breaks_off_is_the_last_event_and_the_connection_lives(
    model: str,
) -> None:
    begun = asyncio.Event()

    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        await line.chunks([delta("Hel")])
        await begun.wait()
        await line.chunks([delta("lo")])
        line.reset()

    async with fronted(answer) as gateway, aiohttp.ClientSession() as session:
        asked = session.post(
            f"{gateway.base_url}/chat/completions", json=asking("x", model, stream=True)
        )
        async with asked as reply:
            await reply.content.readuntil(b"Hel")
            begun.set()
            *chunks, failure = await events_behind(reply)
            assert reply.connection is None  # given back, for the next request
        assert content(chunks) == "lo"
        assert failure["error"]["type"] == "upstream_error"
    assert outcomes(gateway) == {"truncated": 1}


async def events_behind(reply: aiohttp.ClientResponse) -> list[Any]:
    """The events that follow the one in the middle of which `reply` stands."""
    await reply.content.readuntil(b"\n\n")
    return await events(reply)


async def test_an_encoder_that_fails_tells_so_once_and_at_once() -> None:
    begun = asyncio.Event()

    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        await line.chunks([delta("Hello")])
        await begun.wait()
        call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
        again = {"index": 0, "function": {"arguments": "{}"}}
        for fields in ({"tool_calls": [call]}, {"content": "so"}, {"tool_calls": [again]}):
            await line.chunks([event(**fields)])
        await line.stall()

    async with fronted(answer) as gateway, aiohttp.ClientSession() as session:
        body = {**asking("x", "site/m", stream=True), "max_tokens": 9}
        async with session.post(f"{gateway.base_url}/messages", json=body) as reply:
            await reply.content.readuntil(b"Hello")
            begun.set()
            told = (await reply.read()).decode()
    assert told.count("event: error") == 1
    assert told.rstrip().endswith("}}")
    assert "goes on behind its whole arguments" in told
    assert outcomes(gateway) == {"failed": 1}
