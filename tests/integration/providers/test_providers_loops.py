"""Calls where no event loop of asyncio runs, and in another one than that in which they began."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import DONE, SSE, Site, bot, delta, page

import tailrace
from tailrace import errors, sites
from tailrace._calls.token_cache import TokenCache
from tailrace.transport import make_transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Generator

    from calls_site import Asked, Line


def stepped(work: Awaitable[Any]) -> object:
    """Begin `work` as a framework other than asyncio does: without a loop of asyncio's."""
    steps: Generator[Any, Any, Any] = work.__await__()
    with pytest.raises(errors.InvalidRequestError, match="event loop of asyncio") as caught:
        next(steps)
    assert caught.value.__context__ is None
    return caught.value


async def _once(site: tailrace.Site) -> None:
    async with site.stream("Hi") as stream:
        await stream.read()


async def _chunks() -> Any:
    yield b"data: [DONE]\n\n"


async def _decoded() -> None:
    async with tailrace.stream_deltas(_chunks()) as deltas:
        await deltas.read()


@pytest.mark.parametrize("kind", ["aiohttp", "impersonate"])
def test_elsewhere_than_in_asyncio_a_call_says_so(kind: Any) -> None:
    site = tailrace.Site("http://127.0.0.1:9/", transport=kind, throttle=tailrace.Throttle(rate=9))
    transport = make_transport(kind)
    session = transport.session()
    begun: list[Coroutine[Any, Any, Any]] = [
        site.ask("Hi"),
        _once(site),
        site.stream("Hi").read(),
        session.get("http://127.0.0.1:9/"),
        session.post("http://127.0.0.1:9/", body=b""),
        sites.discover("http://127.0.0.1:9/"),
        sites.doctor(site, keep=False),
        _decoded(),
    ]
    for each in begun:
        stepped(each)
    transport.abort()


@pytest.mark.parametrize("kind", ["aiohttp", "impersonate"])
async def test_a_stream_is_read_and_left_in_the_loop_it_began_in(kind: Any) -> None:
    """Elsewhere it is refused; closing it there has its own loop close it, if that still runs."""

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(page())
            return
        await line.begin(SSE)
        await line.chunks([delta("Hello")])
        await line.stall()

    async with Site(answer) as served:
        site = tailrace.Site(served.url, transport=kind, token_cache=TokenCache())
        stream, other = site.stream("Hi"), asyncio.new_event_loop()
        assert await asyncio.to_thread(other.run_until_complete, stream.read())
        with pytest.raises(errors.InvalidRequestError, match="another event loop"):
            await stream.read()
        await stream.aclose()
        for _ in range(5):
            await asyncio.to_thread(other.run_until_complete, asyncio.sleep(0))
        await served.settled()
        other.close()


@pytest.mark.parametrize("kind", ["aiohttp", "impersonate"])
async def test_a_transport_whose_loop_is_closed(kind: Any) -> None:
    async with Site(bot(delta("Hello"), DONE)) as served:
        transport = make_transport(kind)
        site = tailrace.Site(served.url, transport=transport, token_cache=TokenCache())
        text = await asyncio.to_thread(lambda: asyncio.run(site.ask("Hi")))
        assert text == "Hello"
        with pytest.raises(errors.InvalidRequestError, match="another event loop"):
            await site.ask("Hi")
        await transport.aclose()
