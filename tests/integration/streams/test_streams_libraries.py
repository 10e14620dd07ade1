"""Replies of the HTTP libraries people use, over real sockets, with asyncio and without it."""

from __future__ import annotations

import asyncio
import gc
import ssl
import urllib.error
import urllib.request
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import trustme
import urllib3
from reply_server import DONE, FRAMINGS, delta, serving

from tailrace import errors, stream_deltas, stream_events
from tailrace.errors import InvalidRequestError, RateLimitError, ReplyBrokenError, StreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from reply_server import ReplyServer

HELLO = (delta("Hel"), delta("lo"), DONE)


# -- who opens -------------------------------------------------------------------------------------


@contextmanager
def of_requests() -> Iterator[Any]:
    with requests.Session() as session:
        session.trust_env = False
        yield lambda url: session.get(url, stream=True)


@contextmanager
def of_httpx(library: Any = httpx) -> Iterator[Any]:
    with library.Client(trust_env=False, timeout=None) as client:
        yield lambda url: client.send(client.build_request("GET", url), stream=True)


def of_httpx2() -> Any:
    return of_httpx(httpx2)


@contextmanager
def of_urllib3() -> Iterator[Any]:
    with urllib3.PoolManager() as pool:
        yield lambda url: pool.request("GET", url, preload_content=False, retries=False)


@contextmanager
def of_urllib() -> Iterator[Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(url: str) -> Any:
        try:
            return opener.open(url)
        except urllib.error.HTTPError as error:
            return error

    yield ask


@asynccontextmanager
async def of_aiohttp() -> AsyncIterator[Any]:
    async with aiohttp.ClientSession() as session:
        yield session.get


@asynccontextmanager
async def of_aiohttp_body() -> AsyncIterator[Any]:
    """Which cannot close its response."""
    async with of_aiohttp() as get, AsyncExitStack() as responses:

        async def ask(url: str) -> Any:
            return (await responses.enter_async_context(get(url))).content

        yield ask


@asynccontextmanager
async def of_async_httpx(library: Any = httpx) -> AsyncIterator[Any]:
    async with library.AsyncClient(trust_env=False, timeout=None) as client:
        yield lambda url: client.send(client.build_request("GET", url), stream=True)


def of_async_httpx2() -> Any:
    return of_async_httpx(httpx2)


@asynccontextmanager
async def in_a_thread(opened: Any) -> AsyncIterator[Any]:
    """A blocking library, asked by asyncio."""
    client = opened()
    yield partial(asyncio.to_thread, await asyncio.to_thread(client.__enter__))
    await asyncio.to_thread(client.__exit__, None, None, None)


POOLS = [of_requests, of_httpx, of_httpx2, of_urllib3]
BLOCKING = [*POOLS, of_urllib]
ASYNC = [of_aiohttp, of_async_httpx, of_async_httpx2]
blocking = pytest.mark.parametrize("opened", BLOCKING)
either = pytest.mark.parametrize("opened", [*ASYNC, *BLOCKING])


def asking(opened: Any) -> Any:
    return in_a_thread(opened) if opened in BLOCKING else opened()


@asynccontextmanager
async def opening(opened: Any, url: str) -> AsyncIterator[Any]:
    """A response."""
    async with asking(opened) as ask:
        yield await ask(url)


@contextmanager
def opening_now(opened: Any, url: str) -> Iterator[Any]:
    """The same without asyncio."""
    with opened() as ask:
        yield ask(url)


# -- as it comes -----------------------------------------------------------------------------------


def framings(opened: list[Any]) -> pytest.MarkDecorator:
    """All framings with all who open, but for the library that does not unpack."""
    cases = [
        (one, framing)
        for one in opened
        for framing in FRAMINGS
        if (one, framing) != (of_urllib, "gzip")
    ]
    return pytest.mark.parametrize(("opened", "framing"), cases)


@framings([*ASYNC, of_aiohttp_body, *BLOCKING])
async def test_each_delta_comes_before_the_next_is_sent(opened: Any, framing: str) -> None:
    async with (
        serving(*HELLO, framing=framing, held=True) as server,
        opening(opened, server.url) as source,
    ):
        async with stream_deltas(source) as deltas:
            seen = []
            async for text in deltas:
                seen.append(text)
                server.go_on()
        assert (seen, deltas.end, deltas.error) == (["Hel", "lo"], "done", None)


@framings(BLOCKING)
async def test_the_same_without_asyncio(opened: Any, framing: str) -> None:
    def read(server: ReplyServer) -> None:
        seen = []
        with opening_now(opened, server.url) as source, stream_deltas(source) as deltas:
            for text in deltas:
                seen.append(text)
                server.go_on()
        assert (seen, deltas.end, deltas.error) == (["Hel", "lo"], "done", None)

    async with serving(*HELLO, framing=framing, held=True) as server:
        await asyncio.to_thread(read, server)


@either
async def test_events_are_read_from_all_of_them(opened: Any) -> None:
    sent = (
        b"id: 7\nretry: 30\nevent: note\ndata: a\n\n",
        b"data: b\ndata: c\n\n",
        b"data: never finished\n",
    )
    async with (
        serving(*sent) as server,
        opening(opened, server.url) as source,
        stream_events(source) as events,
    ):
        seen = [(each.event, each.data, each.id) async for each in events]
    assert seen == [("note", "a", "7"), ("message", "b\nc", "7")]
    assert (events.end, events.error, events.last_event_id, events.retry) == ("done", None, "7", 30)


@blocking
async def test_events_are_read_without_asyncio(opened: Any) -> None:
    def read(url: str) -> list[str]:
        with opening_now(opened, url) as source, stream_events(source) as events:
            return [each.data for each in events]

    async with serving(b"data: a\n\n", b"data: b\n\n") as server:
        assert await asyncio.to_thread(read, server.url) == ["a", "b"]


# -- closed ----------------------------------------------------------------------------------------


@either
async def test_leaving_closes_the_connection(opened: Any) -> None:
    async with serving(*HELLO, held=True) as server, opening(opened, server.url) as source:
        async with stream_deltas(source) as deltas:
            assert await anext(deltas) == "Hel"
        await server.left.wait()
        assert deltas.end == "open"


@blocking
async def test_leaving_without_asyncio_closes_the_connection(opened: Any) -> None:
    async with serving(*HELLO, held=True) as server, opening(opened, server.url) as source:

        def read() -> str:
            with stream_deltas(source) as deltas:
                return next(deltas)

        assert await asyncio.to_thread(read) == "Hel"
        await server.left.wait()


@either
async def test_a_bare_break_closes_the_connection(opened: Any) -> None:
    async with serving(*HELLO, held=True) as server, opening(opened, server.url) as source:
        async for _ in stream_deltas(source):
            break
        gc.collect()
        await server.left.wait()


@blocking
async def test_a_bare_break_without_asyncio_closes_the_connection(opened: Any) -> None:
    async with serving(*HELLO, held=True) as server, opening(opened, server.url) as source:

        def read() -> None:
            for _ in stream_deltas(source):
                break
            gc.collect()

        await asyncio.to_thread(read)
        await server.left.wait()


@either
async def test_a_read_that_is_cancelled_closes_the_connection(opened: Any) -> None:
    """Also where a thread waits for bytes that never come."""
    async with serving(*HELLO, held=True) as server, opening(opened, server.url) as source:
        deltas = stream_deltas(source)
        assert await anext(deltas) == "Hel"
        reading = asyncio.ensure_future(anext(deltas))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await server.left.wait()


async def test_a_thread_that_waits_for_tls_is_woken_too(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    servers, clients = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(),
    )
    authority.issue_cert("127.0.0.1").configure_cert(servers)
    authority.configure_trust(clients)
    with (
        requests.Session() as session,
        httpx.Client(trust_env=False, timeout=60, verify=clients) as client,
    ):
        session.trust_env = False
        session.verify = str(tmp_path / "authority.pem")
        for get in (
            partial(session.get, stream=True),
            lambda url: client.send(client.build_request("GET", url), stream=True),
        ):
            async with serving(*HELLO, held=True, tls=servers) as server:
                deltas = stream_deltas(await asyncio.to_thread(get, server.url))
                assert await anext(deltas) == "Hel"
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await anext(deltas)
                await server.left.wait()


@blocking
async def test_another_thread_ends_a_read_by_closing(opened: Any) -> None:
    """Whether the read is under way by then or not."""
    async with serving(*HELLO, held=True) as server, opening(opened, server.url) as source:
        deltas = stream_deltas(source)
        assert await asyncio.to_thread(next, deltas) == "Hel"
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def read() -> list[str]:
            loop.call_soon_threadsafe(begun.set)
            return list(deltas)

        reading = asyncio.ensure_future(asyncio.to_thread(read))
        await begun.wait()
        await asyncio.to_thread(deltas.close)
        await server.left.wait()
        assert (await reading, deltas.end, deltas.error) == ([], "open", None)


# -- failures --------------------------------------------------------------------------------------


@either
@pytest.mark.parametrize("framing", ["chunked", "length", "gzip"])
async def test_a_reply_that_breaks_off(opened: Any, framing: str) -> None:
    if (opened, framing) == (of_urllib, "gzip"):
        return  # it does not unpack
    async with serving(*HELLO[:2], delta("!"), framing=framing, cut=True) as server:
        seen: list[str] = []
        async with opening(opened, server.url) as source, stream_deltas(source) as deltas:
            with suppress(StreamError):
                async for text in deltas:
                    seen.append(text)  # noqa: PERF401 - a comprehension would lose what came before an error
        assert "".join(seen).startswith("Hello")
        assert isinstance(deltas.error, StreamError)
        assert (deltas.error.kind, deltas.end) == ("truncated", "truncated")


@either
async def test_events_before_a_cut_are_delivered(opened: Any) -> None:
    async with serving(b"data: a\n\n", b"data: b\n\n", framing="length", cut=True) as server:
        async with opening(opened, server.url) as source, stream_events(source) as events:
            assert (await anext(events)).data == "a"
            with pytest.raises(ReplyBrokenError):
                await anext(events)
        assert events.end == "truncated"
        assert events.error is not None


@either
@pytest.mark.parametrize("way", [stream_deltas, stream_events])
async def test_an_error_status_is_an_error_with_what_the_headers_say(opened: Any, way: Any) -> None:
    body = b'{"error":{"message":"slow down","code":"busy"}}'
    headers = "Content-Type: application/json\r\nRetry-After: 7\r\n"
    async with serving(body, status="429 Too Many Requests", headers=headers) as server:
        async with opening(opened, server.url) as source, way(source) as stream:
            with pytest.raises(RateLimitError, match="slow down") as caught:
                await anext(stream)
        assert (caught.value.status, caught.value.code, caught.value.retry_after) == (
            429,
            "busy",
            7,
        )
        assert (stream.end, stream.error) == ("failed", caught.value)


@either
async def test_silence_has_a_clock_everywhere(opened: Any) -> None:
    async with serving(*HELLO, held=True) as server, opening(opened, server.url) as source:
        async with stream_deltas(source, idle=0.05) as deltas:
            assert await anext(deltas) == "Hel"
            with pytest.raises(errors.TimeoutError, match="idle"):
                await anext(deltas)
        await server.left.wait()
        assert deltas.end == "truncated"


@blocking
async def test_silence_has_a_clock_without_asyncio(opened: Any) -> None:
    async with serving(*HELLO, held=True) as server, opening(opened, server.url) as source:

        def read() -> None:
            with stream_deltas(source, idle=0.05) as deltas:
                assert next(deltas) == "Hel"
                with pytest.raises(errors.TimeoutError, match="idle"):
                    next(deltas)

        await asyncio.to_thread(read)
        await server.left.wait()


# -- what each library has of its own --------------------------------------------------------------


@pytest.mark.parametrize("opened", ASYNC)
async def test_what_only_asyncio_can_read_says_so(opened: Any) -> None:
    async with serving(*HELLO) as server, opening(opened, server.url) as source:
        deltas = stream_deltas(source)
        for use in (deltas.__enter__, lambda: next(deltas), deltas.close):
            with pytest.raises(InvalidRequestError, match="async for"):
                use()
        assert [text async for text in deltas] == ["Hel", "lo"]


def by_urllib3(url: str) -> urllib3.BaseHTTPResponse:
    with (
        urllib3.PoolManager() as pool
    ):  # the module's own would keep the connection for as long as the process lives
        return pool.request("GET", url)


@pytest.mark.parametrize(
    "read",
    [
        lambda url: requests.get(url, timeout=5),
        lambda url: httpx.get(url, trust_env=False),
        lambda url: httpx2.get(url, trust_env=False),
        by_urllib3,
    ],
)
async def test_a_response_that_has_been_read(read: Any) -> None:
    async with serving(*HELLO) as server:
        response = await asyncio.to_thread(read, server.url)
        with stream_deltas(response) as deltas:
            assert list(deltas) == ["Hel", "lo"]


async def test_what_urllib_does_not_unpack_is_told() -> None:
    async with serving(*HELLO, framing="gzip") as server, opening(of_urllib, server.url) as source:
        with pytest.raises(InvalidRequestError, match="gzip"):
            stream_deltas(source)
        source.close()


# -- connections are kept --------------------------------------------------------------------------


@pytest.mark.parametrize("opened", [*ASYNC, *POOLS])
@pytest.mark.parametrize("framing", ["chunked", "gzip"])
async def test_an_end_that_comes_soon_leaves_the_connection_to_the_next_reply(
    opened: Any, framing: str
) -> None:
    """An end marker is not yet the end of the body."""
    async with serving(*HELLO, framing=framing, held=True) as server, asking(opened) as ask:
        for _ in range(2):
            async with stream_deltas(await ask(server.url)) as deltas:
                for text in ("Hel", "lo"):
                    assert await anext(deltas) == text
                    server.go_on()
                server.go_on()
                assert await deltas.read() == []
            assert deltas.end == "done"
        assert server.connections == 1


@pytest.mark.parametrize("opened", POOLS)
async def test_it_does_so_without_asyncio(opened: Any) -> None:
    def read(url: str) -> None:
        with opened() as ask:
            for _ in range(2):
                with stream_deltas(ask(url)) as deltas:
                    assert list(deltas) == ["Hel", "lo"]

    async with serving(*HELLO) as server:
        await asyncio.to_thread(read, server.url)
        assert server.connections == 1


@either
async def test_an_end_that_does_not_come_is_not_waited_for(opened: Any) -> None:
    async with serving(delta("Hello") + DONE, b"never sent", held=True) as server:
        async with opening(opened, server.url) as source, stream_deltas(source) as deltas:
            assert await anext(deltas) == "Hello"
            assert (deltas.end, server.left.is_set()) == ("done", False)
        await server.left.wait()
