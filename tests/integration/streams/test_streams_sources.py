"""`stream_deltas` over every kind of source: real replies of aiohttp and httpx, iterables,
generators, failures.
"""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
from aiohttp import web

from tailrace import stream_deltas
from tailrace.errors import InvalidRequestError, RateLimitError, ReplyBrokenError, StreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tailrace import ChatStream

SSE = "text/event-stream"


def delta(text: str) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % text.encode()


HELLO = [delta("Hel"), delta("lo"), b"data: [DONE]\n\n"]


class Server:
    """A real server whose one answer is a handler of the test's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.left = asyncio.Event()


@asynccontextmanager
async def serving(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[Server]:
    server = Server("")

    async def watched(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (asyncio.CancelledError, ConnectionError):
            server.left.set()
            raise asyncio.CancelledError from None

    app = web.Application()
    app.router.add_get("/", watched)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = "http://{}:{}".format(*runner.addresses[0])
    try:
        yield server
    finally:
        await runner.cleanup()


def answering(
    *chunks: bytes, status: int = 200, content_type: str = SSE, stall: bool = False
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Type": content_type})
        await response.prepare(request)
        for each in chunks:
            await response.write(each)
        if stall:
            await asyncio.Event().wait()
        return response

    return handler


@asynccontextmanager
async def of_aiohttp(url: str) -> AsyncIterator[Any]:
    async with aiohttp.ClientSession() as session:
        yield await session.get(url)


@asynccontextmanager
async def of_httpx(url: str) -> AsyncIterator[Any]:
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:  # noqa: S113 - the test's own clock runs
        request = client.build_request("GET", url)
        yield await client.send(request, stream=True)


CLIENTS = pytest.mark.parametrize("opened", [of_aiohttp, of_httpx])


async def heard(stream: ChatStream) -> tuple[list[str], str, type[BaseException] | None]:
    deltas: list[str] = []
    failure: BaseException | None = None
    async with stream:
        try:
            async for each in stream:
                deltas.append(each)  # noqa: PERF401 - a comprehension would lose what came before an error
        except Exception as error:  # noqa: BLE001
            failure = error
    return deltas, stream.end, type(failure) if failure else None


# -- replies of HTTP libraries ---------------------------------------------------------------------


@CLIENTS
async def test_a_reply_of_a_library(opened: Any) -> None:
    async with serving(answering(*HELLO)) as server, opened(server.url) as reply:
        assert await heard(stream_deltas(reply)) == (["Hel", "lo"], "done", None)


@CLIENTS
async def test_status_and_type_are_the_replies(opened: Any) -> None:
    body = b'{"error":{"message":"slow down"}}'
    async with serving(answering(body, status=429, content_type="application/json")) as server:
        async with opened(server.url) as reply, stream_deltas(reply) as stream:
            with pytest.raises(RateLimitError, match="slow down"):
                await anext(stream)
        async with opened(server.url) as reply:
            given = stream_deltas(reply, status=200, content_type="text/plain", dialect="text")
            assert await heard(given) == ([body.decode()], "done", None)


@CLIENTS
async def test_text_arrives_before_the_reply_has_ended_and_leaving_closes_it(opened: Any) -> None:
    async with serving(answering(*HELLO[:2], stall=True)) as server, opened(server.url) as reply:
        async with stream_deltas(reply) as stream:
            assert await anext(stream) == "Hel"
        await server.left.wait()
        assert stream.end == "open"


@CLIENTS
async def test_a_bare_break_closes_it_too(opened: Any) -> None:
    async with serving(answering(*HELLO[:2], stall=True)) as server, opened(server.url) as reply:
        stream = stream_deltas(reply)
        async for _ in stream:
            break
        del stream
        gc.collect()
        await server.left.wait()


@CLIENTS
async def test_a_reply_that_breaks_off(opened: Any) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await answering(HELLO[0])(request)
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(handler) as server, opened(server.url) as reply:
        assert await heard(stream_deltas(reply)) == (["Hel"], "truncated", StreamError)


# -- iterables -------------------------------------------------------------------------------------


class Chunks:
    """An iterable that knows whether it was closed."""

    def __init__(self, *chunks: Any, failure: Exception | None = None) -> None:
        self.chunks = chunks
        self.failure = failure
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        yield from self.chunks
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        self.closed += 1


class AsyncChunks(Chunks):
    __iter__ = None  # type: ignore[assignment]

    async def __aiter__(self) -> AsyncIterator[Any]:
        for each in Chunks.__iter__(self):
            yield each

    async def aclose(self) -> None:
        self.closed += 1


async def async_generator() -> AsyncIterator[bytes]:
    for each in HELLO:
        yield each


@pytest.mark.parametrize(
    "make",
    [
        lambda: HELLO,
        lambda: tuple(HELLO),
        lambda: iter(HELLO),
        lambda: (each for each in HELLO),
        lambda: [b"", *HELLO, b""],
        lambda: [b"".join(HELLO)],
        lambda: [bytearray(each) for each in HELLO],
        lambda: [memoryview(each) for each in HELLO],
        lambda: [bytes([each]) for each in b"".join(HELLO)],
        async_generator,
        lambda: Chunks(*HELLO),
        lambda: AsyncChunks(*HELLO),
    ],
)
async def test_any_iterable_of_bytes(make: Callable[[], Any]) -> None:
    deltas, end, failure = await heard(stream_deltas(make()))
    assert ("".join(deltas), end, failure) == ("Hello", "done", None)


@pytest.mark.parametrize("kind", [Chunks, AsyncChunks])
async def test_a_source_that_raises_breaks_the_reply_off(kind: type[Chunks]) -> None:
    failure = OSError("cable")
    source = kind(HELLO[0], b'data: {"cho', failure=failure)
    stream = stream_deltas(source)
    assert await heard(stream) == (["Hel"], "truncated", StreamError)
    assert source.closed == 1
    assert stream.error is not None
    assert stream.error.__cause__ is failure  # the source is the caller's own


@pytest.mark.parametrize("kind", [Chunks, AsyncChunks])
async def test_a_source_that_raises_first(kind: type[Chunks]) -> None:
    stream = stream_deltas(kind(failure=OSError("cable")))
    assert await heard(stream) == ([], "truncated", StreamError)
    assert isinstance(stream.error, StreamError)
    assert stream.error.kind == "truncated"


@pytest.mark.parametrize("kind", [Chunks, AsyncChunks])
async def test_leaving_closes_the_source(kind: type[Chunks]) -> None:
    source = kind(*HELLO)
    async with stream_deltas(source) as stream:
        assert await anext(stream) == "Hel"
    assert source.closed == 1
    await stream.aclose()
    assert source.closed == 1


async def test_an_async_generator_is_closed() -> None:
    closed: list[bool] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield HELLO[0]
            yield HELLO[1]
        finally:
            closed.append(True)

    async with stream_deltas(source()) as stream:
        await anext(stream)
    assert closed == [True]


@pytest.mark.parametrize("source", [b"bytes", bytearray(b"x"), memoryview(b"x"), 5, None, object()])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(InvalidRequestError, match="iterable of bytes"):
        stream_deltas(source)


@pytest.mark.parametrize("chunk", ["text", 5, None, object(), ""])
@pytest.mark.parametrize("kind", [Chunks, AsyncChunks])
async def test_a_chunk_that_is_no_bytes(kind: type[Chunks], chunk: Any) -> None:
    source = kind(HELLO[0], chunk)
    deltas, _, failure = await heard(stream_deltas(source))
    assert (deltas, failure) == (["Hel"], InvalidRequestError)
    assert source.closed == 1


@pytest.mark.parametrize(
    "options",
    [
        {"dialect": "klingon"},
        {"status": 7},
        {"max_event_bytes": 0},
        {"max_body_bytes": -1},
        {"idle": 0},
    ],
)
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        stream_deltas(HELLO, **options)


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({"max_event_bytes": 64}, b"data: " + b"x" * 100),
        ({"max_body_bytes": 64}, b'{"choices":[{"message":{"content":"' + b"x" * 100),
        ({"max_body_bytes": 64}, b"<html>" + b"x" * 100),
    ],
)
async def test_a_line_without_end_meets_a_limit(options: dict[str, Any], body: bytes) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield body
        while True:
            yield b"x" * 1024

    stream = stream_deltas(endless(), **options)
    deltas, end, _ = await heard(stream)
    assert (deltas, end) == ([], "failed")
    assert isinstance(stream.error, StreamError)
    assert stream.error.kind == "limit"


async def test_text_before_a_limit_is_delivered() -> None:
    source = [delta("Hel"), delta("lo") + b"data: " + b"x" * 100]
    stream = stream_deltas(source, max_event_bytes=90)
    deltas, end, failure = await heard(stream)
    assert (deltas, end) == (["Hel", "lo"], "failed")
    assert failure is not None


# -- reading ---------------------------------------------------------------------------------------


async def test_all_that_is_ready_is_read_at_once() -> None:
    async with stream_deltas([b"".join(HELLO[:2]), HELLO[2]]) as stream:
        assert await stream.read() == ["Hel", "lo"]
        assert await stream.read() == []
        assert await stream.read() == []


@pytest.mark.parametrize(
    ("source", "end"),
    [(HELLO, "done"), (HELLO[:1], "truncated"), ([b"data: {"], "truncated"), ([], "failed")],
)
async def test_after_the_end_there_is_nothing_and_a_failure_is_raised_once(
    source: list[bytes], end: str
) -> None:
    stream = stream_deltas(source)
    await heard_to_the_end(stream)
    assert stream.end == end
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert await stream.read() == []
    assert (stream.error is None) == (end == "done")


async def heard_to_the_end(stream: ChatStream) -> None:
    with suppress(StreamError):
        async for _ in stream:
            pass


async def test_two_tasks_cannot_read_one_stream() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        begun.set()
        await go.wait()
        for each in HELLO:
            yield each

    async with stream_deltas(source()) as stream:
        first = asyncio.ensure_future(anext(stream))
        await begun.wait()
        with pytest.raises(InvalidRequestError, match="another task"):
            await anext(stream)
        go.set()
        assert await first == "Hel"  # and the one who read first is not disturbed
        assert await anext(stream) == "lo"


async def test_leaving_while_another_task_reads_ends_its_reading() -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        begun.set()
        try:
            await asyncio.Event().wait()
            yield b""
        finally:
            closed.set()

    stream = stream_deltas(source())
    reader = asyncio.ensure_future(stream.read())
    await begun.wait()
    await stream.aclose()
    assert closed.is_set()
    assert await reader == []
    assert (stream.end, stream.error) == ("open", None)


async def test_what_a_stream_says_of_itself() -> None:
    frames = [
        b'data: {"id":"c-1","model":"m","choices":[{"delta":{"content":"a"}}]}\n\n',
        b"data: not json\n\n",
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
        (
            b'data: {"choices":[],"usage":'
            b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n'
        ),
        HELLO[2],
    ]
    stream = stream_deltas(frames)
    assert (stream.end, stream.finish_reason, stream.usage, stream.bad_events) == (
        "open",
        None,
        None,
        0,
    )
    assert await heard(stream) == (["a"], "done", None)
    assert (stream.finish_reason, stream.bad_events, repr(stream)) == (
        "stop",
        1,
        "<DeltaStream done>",
    )
    assert stream.ids == {"id": "c-1", "model": "m"}
    assert stream.usage is not None
    assert stream.usage.total_tokens == 3


async def test_bad_events_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    await heard(stream_deltas([b"data: {\n\n" * 5, *HELLO]))
    assert [record.getMessage() for record in caplog.records] == ["5 of 8 events skipped: bad data"]


async def test_a_failure_chains_nothing_of_a_reply() -> None:
    with pytest.raises(StreamError) as caught:
        async with stream_deltas([b"data: {"]) as stream:
            await anext(stream)
    assert not isinstance(caught.value, ReplyBrokenError)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


EVENTS = [each.removesuffix(b"\n\n") for each in HELLO]


@pytest.mark.parametrize(
    "lines",
    [
        EVENTS,
        [b": ping", *EVENTS],
        [b"event: message", *EVENTS],
        [b'{"message":{"content":"Hel"},"done":false}'] * 2,
    ],
)
async def test_lines_without_their_ends_are_named_as_that(lines: list[bytes]) -> None:
    for source in (lines, [each for line in lines for each in (line, b"")], iter(lines)):
        stream = stream_deltas(source, dialect="auto")
        with pytest.raises(InvalidRequestError, match="lines without their ends"):
            async for _ in stream:
                pass
        await stream.aclose()


def test_lines_as_text_are_named_as_that() -> None:
    with (
        stream_deltas(["data: {}"]) as stream,
        pytest.raises(InvalidRequestError, match=r"str, not bytes: .* not iter_lines\(\)"),
    ):
        next(stream)


def test_chunks_that_end_where_an_event_does_are_no_lines() -> None:
    for cut in (b"\n\n", b"\n", b""):
        parts = [each for event in EVENTS for each in (event + cut, b"\n\n".removeprefix(cut))]
        with stream_deltas(parts) as stream:
            assert "".join(stream) == "Hello"


async def test_a_response_that_was_not_entered_or_awaited_is_named() -> None:
    async with aiohttp.ClientSession() as session, httpx.AsyncClient() as client:
        request = session.get("http://127.0.0.1:9/")
        with pytest.raises(InvalidRequestError, match="enter it with async with"):
            stream_deltas(request)
        request.close()
        coroutine = client.get("http://127.0.0.1:9/")
        with pytest.raises(InvalidRequestError, match="coroutine: await it, and give"):
            stream_deltas(coroutine)
        coroutine.close()
        with pytest.raises(InvalidRequestError, match="enter it with async with"):
            stream_deltas(client.stream("GET", "http://127.0.0.1:9/"))
    with (
        httpx.Client() as blocking,
        pytest.raises(InvalidRequestError, match="enter it with with"),
    ):
        stream_deltas(blocking.stream("GET", "http://127.0.0.1:9/"))  # noqa: ASYNC212 - never entered


async def test_the_reply_itself_tells_its_dialect() -> None:
    line = b'{"message":{"content":"Hello"},"done":true}\n'
    async with stream_deltas([line], dialect="auto") as stream:
        assert [each async for each in stream] == ["Hello"]
    with (
        stream_deltas([line], dialect="openai") as other,
        pytest.raises(StreamError, match="look like ollama's"),
    ):
        list(other)
