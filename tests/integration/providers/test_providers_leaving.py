"""Leaving a call at any point: afterwards no connection of it is left, and no task."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import (
    AJAX,
    DONE,
    HTML,
    JSON,
    NONCE,
    SESSION,
    SITES_TASK,
    SSE,
    START,
    SUBMIT,
    TEXT,
    Asked,
    Line,
    Site,
    bot,
    delta,
    end_of,
    engine,
    live,
    open_sockets,
    page,
    sockets_to,
)

from tailrace import ChatGptEs, ChatgptFree, ChatGptt, GPROChat
from tailrace._calls.token_cache import TokenCache
from tailrace.errors import InvalidRequestError, StreamError
from tailrace.providers import ChatProvider
from tailrace.transport import make_transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tailrace import ChatStream

HELLO = [{"role": "user", "content": "Hello"}]
PHASES = ("page head", "page body", "head", "stream")
POSTING = ("session", "head", "stream")
"""The phases in which something was posted."""


class Engine(ChatProvider):
    """A user's own class for sites with AI Engine."""

    software = "ai-engine"


PROVIDERS: list[type[ChatProvider]] = [ChatGptt, ChatGptEs, Engine, GPROChat]


def both(nonce: str | None = NONCE) -> bytes:
    """A page with bots of both plugins."""
    return page(rest=engine(nonce))


def stalling_in(phase: str) -> Callable[[Asked, Line], Any]:
    """A site that goes silent in one phase of a call."""

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            if phase == "page head":
                await line.stall()
            if phase == "page body":
                await line.begin(HTML)
                await line.chunks([b"<html>"])
                await line.stall()
            await line.reply(both(None if phase == "session" else NONCE))
            return
        if phase == "head" or asked.path == START:
            await line.stall()
        frames, content_type = answering(asked)
        await line.begin(content_type)
        await line.chunks(frames[:1])
        await line.stall()

    return answer


def call(provider: type[ChatProvider], url: str, **more: Any) -> ChatStream:
    if provider is not GPROChat:
        more.setdefault("token_cache", TokenCache())
    return provider.create_async_generator("", HELLO, url=url, **more)


def phases_of(provider: type[ChatProvider]) -> tuple[str, ...]:
    if provider is Engine:
        return (*PHASES, "session")
    return PHASES[2:] if provider is GPROChat else PHASES


async def arrived(site: Site, phase: str) -> None:
    """Wait until the call is in the phase the site is silent in."""
    await site.until(lambda: site.methods["POST" if phase in POSTING else "GET"] == 1)


def check_gone(site: Site, *, shared: bool = False) -> None:
    """No socket and no task of the call is left; a shared transport's own task may be."""
    assert sockets_to(site.port) == 0
    others = asyncio.all_tasks() - {asyncio.current_task()}
    left = {repr(task.get_coro()) for task in others if task.get_name() != SITES_TASK}
    assert {each for each in left if not (shared and "AsyncCurl." in each)} == set()


CASES = [(provider, phase) for provider in PROVIDERS for phase in phases_of(provider)]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("provider", "phase"), CASES)
async def test_a_read_that_is_cancelled(
    provider: type[ChatProvider], phase: str, *, shared: bool
) -> None:
    async with (
        Site(stalling_in(phase)) as site,
        make_transport(provider.transport_kind) as transport,
    ):
        stream = call(provider, site.url, transport=transport if shared else None)
        reading = asyncio.ensure_future(read_on(stream))
        await arrived(site, phase)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        check_gone(site, shared=shared)
        assert await stream.read() == []
        assert stream.error is None


async def read_on(stream: ChatStream) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("provider", "phase"), CASES)
async def test_a_stream_closed_while_another_task_reads_it(
    provider: type[ChatProvider], phase: str, *, shared: bool
) -> None:
    async with (
        Site(stalling_in(phase)) as site,
        make_transport(provider.transport_kind) as transport,
    ):
        stream = call(provider, site.url, transport=transport if shared else None)
        reading = asyncio.ensure_future(read_on(stream))
        await arrived(site, phase)
        await stream.aclose()
        assert sockets_to(site.port) == 0
        # The reader itself has still to run to its end.
        await reading
        assert reading.cancelling() == 0
        assert stream.error is None
        check_gone(site, shared=shared)
        posted = site.methods["POST"]
        assert posted == (phase in POSTING)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_block_that_is_left_early(provider: type[ChatProvider], *, shared: bool) -> None:
    async with (
        Site(stalling_in("stream")) as site,
        make_transport(provider.transport_kind) as transport,
    ):
        async with call(provider, site.url, transport=transport if shared else None) as stream:
            assert await anext(stream) == "Hel"
        check_gone(site, shared=shared)
        assert (stream.end, await stream.read()) == ("open", [])
        await stream.aclose()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_block_that_is_left_by_an_error(provider: type[ChatProvider]) -> None:
    async with Site(stalling_in("stream")) as site:
        with suppress(ZeroDivisionError):
            async with call(provider, site.url) as stream:
                await anext(stream)
                raise ZeroDivisionError
        check_gone(site)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_bare_break(provider: type[ChatProvider]) -> None:
    async with Site(stalling_in("stream")) as site:
        stream = call(provider, site.url)
        async for _ in stream:
            break
        del stream
        gc.collect()
        await site.settled()
        assert sockets_to(site.port) == 0


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_stream_nobody_reads_sends_nothing(provider: type[ChatProvider]) -> None:
    async with Site(stalling_in("stream")) as site:
        async with call(provider, site.url):
            pass
        stream = call(provider, site.url)
        del stream
        gc.collect()
        await asyncio.sleep(0)
        assert site.asked == []


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_after_its_end_a_stream_has_closed_by_itself(provider: type[ChatProvider]) -> None:
    frames = {GPROChat: [b"hi"], Engine: [live("hi"), end_of("hi")]}.get(
        provider, [delta("hi"), DONE]
    )
    content_type = TEXT if provider is GPROChat else SSE
    async with Site(bot(*frames, content_type=content_type, pages=both)) as site:
        stream = call(provider, site.url)
        assert await stream.read() == ["hi"]
        assert await stream.read() == []
        check_gone(site)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_two_tasks_cannot_read_one_call(provider: type[ChatProvider]) -> None:
    async with Site(stalling_in("head")) as site, call(provider, site.url) as stream:
        reading = asyncio.ensure_future(stream.read())
        await arrived(site, "head")
        with pytest.raises(InvalidRequestError, match="another task"):
            await stream.read()
        assert not reading.done()
        reading.cancel()
        await asyncio.wait([reading])


async def test_a_caller_who_leaves_the_page_to_others() -> None:
    """The first caller leads the fetch and goes; the page comes all the same, and his connections
    close after it.
    """
    go = asyncio.Event()

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await go.wait()
            await line.reply(page())
        else:
            await line.reply(delta("hi") + DONE, SSE)

    cache: TokenCache[Any] = TokenCache()
    async with Site(answer) as site:
        leader = asyncio.ensure_future(call(ChatgptFree, site.url, token_cache=cache).read())
        await arrived(site, "page head")
        others = [
            asyncio.ensure_future(call(ChatgptFree, site.url, token_cache=cache).read())
            for _ in range(5)
        ]
        await asyncio.sleep(0)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        go.set()
        assert await asyncio.gather(*others) == [["hi"]] * 5
        assert site.methods == {"GET": 1, "POST": 5}
        await site.settled()
        assert sockets_to(site.port) == 0


@pytest.mark.parametrize(("provider", "streams"), [(each, 1000) for each in PROVIDERS])
async def test_a_thousand_streams_left_early(provider: type[ChatProvider], streams: int) -> None:
    before = open_sockets()
    cache: TokenCache[Any] = TokenCache()
    options: dict[str, Any] = {} if provider is GPROChat else {"token_cache": cache}
    async with Site(stalling_in("stream")) as site:

        async def leave_early() -> None:
            async with call(provider, site.url, **options) as stream:
                assert await anext(stream) == "Hel"

        for _ in range(streams // 50):
            await asyncio.gather(*(leave_early() for _ in range(50)))
        left = sockets_to(site.port)
        assert site.methods["POST"] == streams
    await asyncio.sleep(0)
    sys.stdout.write(
        f"{provider.__name__}: {streams} streams left early, {left} sockets left open\n"
    )
    assert left == 0
    assert open_sockets() <= before


# -- without asyncio -------------------------------------------------------------------------------


@contextmanager
def elsewhere(
    answer: Callable[[Asked, Line], Any],
) -> Iterator[tuple[Site, asyncio.AbstractEventLoop]]:
    """A site in a thread of its own, for callers that block theirs."""
    ready, done = threading.Event(), threading.Event()
    made: list[tuple[Site, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with Site(answer) as site:
            made.append((site, asyncio.get_running_loop()))
            ready.set()
            await asyncio.to_thread(done.wait)

    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(asyncio.run, serve())
        assert ready.wait(10)
        try:
            yield made[0]
        finally:
            done.set()
            serving.result(10)


def answering(asked: Asked) -> tuple[list[bytes], str]:
    frames = {
        AJAX: ([delta("Hel"), delta("lo"), DONE], SSE),
        SUBMIT: ([live("Hel"), live("lo"), end_of("Hello")], SSE),
        START: ([SESSION], JSON),
    }
    return frames.get(asked.path, ([b"Hel", b"lo"], TEXT))


async def saying_hello(asked: Asked, line: Line) -> None:
    if asked.method == "GET":
        await line.reply(both(None))
        return
    frames, content_type = answering(asked)
    await line.begin(content_type)
    await line.chunks(frames)
    await line.end()


def completion(provider: type[ChatProvider], url: str, **more: Any) -> Iterator[str]:
    options: dict[str, Any] = {} if provider is GPROChat else {"token_cache": TokenCache()}
    return provider.create_completion("", HELLO, url=url, **options, **more)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_completion_outside_any_loop(provider: type[ChatProvider]) -> None:
    threads = threading.active_count()
    with elsewhere(saying_hello) as (site, _):
        assert "".join(completion(provider, site.url)) == "Hello"
        assert list(completion(provider, site.url, stream=False)) == ["Hello"]
        assert sockets_to(site.port) == 0
    assert threading.active_count() <= threads + 1  # curl's own


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_completion_inside_a_running_loop(provider: type[ChatProvider]) -> None:
    with elsewhere(saying_hello) as (site, _):
        assert "".join(completion(provider, site.url)) == "Hello"
        assert sockets_to(site.port) == 0


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("leave", ["close", "drop"])
def test_a_completion_left_early(provider: type[ChatProvider], leave: str) -> None:
    with elsewhere(stalling_in("stream")) as (site, _):
        text: Any = completion(provider, site.url)
        assert next(text) == "Hel"  # it came before the end: there is none
        if leave == "close":
            text.close()
        del text
        gc.collect()
        assert sockets_to(site.port) == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "tailrace"]


def test_a_completion_that_fails_delivers_what_came_first() -> None:
    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(page())
        else:
            await line.reply(delta("Hel") + b'data: {"error":{"message":"no"}}\n\n', SSE)

    with elsewhere(answer) as (site, _):
        text = completion(ChatGptt, site.url)
        assert next(text) == "Hel"
        with pytest.raises(StreamError, match="no"):
            next(text)
        assert next(text, None) is None
        assert sockets_to(site.port) == 0
        with pytest.raises(StreamError, match="no"):
            next(completion(ChatGptt, site.url, stream=False))


def test_a_completion_nobody_reads_starts_nothing() -> None:
    with elsewhere(saying_hello) as (site, _):
        text = completion(ChatGptt, site.url)
        del text
        gc.collect()
        assert site.asked == []


async def test_a_completion_takes_no_transport() -> None:
    async with make_transport() as transport:
        with pytest.raises(InvalidRequestError, match="loop of its own"):
            completion(ChatGptt, "http://site.invalid", transport=transport)
