"""Files, paths, pipes and whatever blocks: read in a thread for asyncio, in the caller's own
without it.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import os
import socket
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
from reply_server import DONE, delta

from tailrace import errors, stream_deltas, stream_events
from tailrace.errors import InvalidRequestError, LimitExceeded, StreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

HELLO = (delta("Hel"), delta("lo"), DONE)
BODY = b"".join(HELLO)


class ReadOnly:
    """A file with nothing but `read`."""

    def __init__(self) -> None:
        self.file = io.BytesIO(BODY)
        self.closed = False

    def read(self, size: int) -> bytes:
        return self.file.read(min(size, 7))

    def close(self) -> None:
        self.closed = True


class AsyncFile:
    """A file as asyncio has them; `read1` gives what there is, `read` would wait for more."""

    def __init__(self) -> None:
        self.file = io.BytesIO(BODY)
        self.closed = False

    async def read(self, size: int = -1) -> bytes:
        raise AssertionError(size)

    async def read1(self, size: int) -> bytes:
        return self.file.read(min(size, 7))

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("lines have no limit")

    async def close(self) -> None:
        self.closed = True


def opened(path: Path, **options: Any) -> Any:
    return path.open("rb", **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path,
        str,
        opened,
        lambda path: opened(path, buffering=0),
        lambda path: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(path.read_bytes()))),
        lambda _: io.BytesIO(BODY),
        lambda _: ReadOnly(),
    ],
)
async def test_files_are_read_and_closed_either_way(
    make: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = tmp_path / "a reply.sse"
    path.write_bytes(BODY)
    source = make(path)
    with stream_deltas(source) as deltas:
        assert "".join(deltas) == "Hello"
    assert deltas.end == "done"
    assert getattr(source, "closed", True)
    source = make(path)
    async with stream_deltas(source) as deltas:
        assert "".join([text async for text in deltas]) == "Hello"
    assert deltas.end == "done"
    assert getattr(source, "closed", True)


async def test_async_files_are_read_and_closed() -> None:
    source = AsyncFile()
    async with stream_deltas(source) as deltas:
        assert "".join([text async for text in deltas]) == "Hello"
    assert source.closed


async def test_a_stream_reader_is_read_without_its_lines() -> None:
    long = delta("x" * 2**17)  # longer than its limit for a line
    source = asyncio.StreamReader()
    source.feed_data(long + BODY)
    source.feed_eof()
    async with stream_deltas(source) as deltas:
        assert len("".join([text async for text in deltas])) == 2**17 + 5


def test_a_path_that_cannot_be_opened_is_told_when_it_is_read(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "none", "No such file"), (tmp_path, "cannot open")):
        with stream_deltas(path) as deltas, pytest.raises(InvalidRequestError, match=problem):
            next(deltas)


@pytest.mark.parametrize("path", ["", "data: {}\n\n", "a\0b"])
def test_a_str_that_is_no_path(path: str) -> None:
    with pytest.raises(InvalidRequestError, match="path of a file"):
        stream_deltas(path)


def test_a_file_of_text() -> None:
    with pytest.raises(InvalidRequestError, match="binary"):
        stream_deltas(io.StringIO("data: {}"))


def test_a_packed_file_that_ends_too_early() -> None:
    packed = gzip.compress(BODY.removesuffix(DONE))[:-9]
    with (
        stream_deltas(gzip.GzipFile(fileobj=io.BytesIO(packed))) as deltas,
        pytest.raises(StreamError) as caught,
    ):
        list(deltas)
    assert (caught.value.kind, deltas.end) == ("truncated", "truncated")
    assert isinstance(caught.value.__cause__, EOFError)


# -- a pipe gives what there is --------------------------------------------------------------------


async def test_a_pipe_is_read_as_it_comes_and_the_loop_goes_on() -> None:
    read, write = os.pipe()
    source = os.fdopen(read, "rb")
    async with stream_deltas(source) as deltas:
        for sent, seen in zip(HELLO[:2], ("Hel", "lo"), strict=True):
            reading = asyncio.ensure_future(anext(deltas))
            await asyncio.sleep(0)  # the loop has its turn while a thread waits
            os.write(write, sent)
            assert await reading == seen
        os.close(write)
        with pytest.raises(StreamError, match="broke off"):
            await anext(deltas)
    assert source.closed


@pytest.mark.parametrize("idle", [None, 0.05])
async def test_a_read_that_nothing_can_end_holds_nobody(idle: float | None) -> None:
    """Leaving goes on at once, and the source is closed as soon as its read returns."""

    def source() -> Iterator[bytes]:
        try:
            begun.set()
            go.wait()
            yield HELLO[0]
        finally:
            closed.set()

    begun, go, closed = threading.Event(), threading.Event(), threading.Event()
    deltas = stream_deltas(source(), idle=idle)
    reading = asyncio.ensure_future(anext(deltas))
    await asyncio.to_thread(begun.wait)
    if idle is None:
        await deltas.aclose()
    with pytest.raises((StopAsyncIteration, errors.TimeoutError)):
        await reading
    assert not closed.is_set()
    go.set()
    await asyncio.to_thread(closed.wait)


def test_a_clock_runs_without_asyncio_where_nothing_can_end_a_read() -> None:
    read, write = os.pipe()
    source = os.fdopen(read, "rb")
    os.write(write, HELLO[0])
    with stream_deltas(source, idle=0.05) as deltas:
        assert next(deltas) == "Hel"
        with pytest.raises(errors.TimeoutError) as caught:
            next(deltas)
    assert (caught.value.phase, deltas.end, deltas.error) == ("idle", "truncated", caught.value)
    os.close(write)
    join_threads()
    assert source.closed


def join_threads() -> None:
    for each in threading.enumerate():
        if each.name == "tailrace source":
            each.join()


def test_a_comment_does_not_restart_the_clock() -> None:
    def source() -> Iterator[bytes]:
        while not over.wait(0.01):
            yield b": keep-alive\n\n"

    over = threading.Event()
    with stream_deltas(source(), idle=0.1) as deltas, pytest.raises(errors.TimeoutError):
        next(deltas)
    over.set()


def test_a_socket_of_ones_own() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(BODY)
    theirs.close()
    with ours, stream_deltas(ours.makefile("rb")) as deltas:
        assert list(deltas) == ["Hel", "lo"]


# -- iterables -------------------------------------------------------------------------------------


async def test_what_is_in_memory_is_read_in_the_loop_and_what_may_block_is_not() -> None:
    def names() -> Iterator[bytes]:
        for each in HELLO:
            seen.append((threading.current_thread().name, variable.get()))
            yield each

    class InMemory(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            return names()

    seen: list[tuple[str, str]] = []
    variable: ContextVar[str] = ContextVar("variable", default="none")
    variable.set("ours")
    here = threading.current_thread().name
    for source, where in ((InMemory(), here), (names(), "tailrace source")):
        seen.clear()
        async with stream_deltas(source) as deltas:
            assert [text async for text in deltas] == ["Hel", "lo"]
        assert set(seen) == {(where, "ours")}


@pytest.mark.parametrize(
    "make", [lambda: HELLO, lambda: list(HELLO), lambda: iter(HELLO), lambda: (x for x in HELLO)]
)
def test_iterables_without_asyncio(make: Callable[[], Any]) -> None:
    with stream_deltas(make()) as deltas:
        assert list(deltas) == ["Hel", "lo"]
        assert list(deltas) == []
    assert deltas.end == "done"


def test_leaving_early_closes_a_generator() -> None:
    def source() -> Iterator[bytes]:
        try:
            yield from HELLO
        finally:
            closed.append(True)

    closed: list[bool] = []
    with stream_deltas(source()) as deltas:
        assert next(deltas) == "Hel"
    assert closed == [True]
    for _ in stream_deltas(source()):
        break
    gc.collect()
    assert closed == [True, True]


def test_a_source_that_raises_and_one_that_gives_no_bytes() -> None:
    def source(last: Any) -> Iterator[Any]:
        yield HELLO[0]
        if isinstance(last, BaseException):
            raise last
        yield last

    for last, failure in (
        (OSError("cable"), StreamError),
        ("text", InvalidRequestError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ):
        deltas = stream_deltas(source(last))
        assert next(deltas) == "Hel"
        with pytest.raises(failure) as caught:
            next(deltas)
        assert list(deltas) == []
        assert deltas.error is (None if failure is KeyboardInterrupt else caught.value)


def test_two_threads_cannot_read_one_stream() -> None:
    def source() -> Iterator[bytes]:
        begun.set()
        go.wait()
        yield from HELLO

    begun, go = threading.Event(), threading.Event()
    seen: list[str] = []
    with stream_deltas(source()) as deltas:
        reader = threading.Thread(target=lambda: seen.extend(deltas))
        reader.start()
        begun.wait()
        with pytest.raises(InvalidRequestError, match="another thread"):
            next(deltas)
        go.set()
        reader.join()
    assert seen == ["Hel", "lo"]


async def test_a_task_and_a_thread_cannot_read_one_stream() -> None:
    def source() -> Iterator[bytes]:
        begun.set()
        go.wait()
        yield from HELLO

    begun, go = threading.Event(), threading.Event()
    async with stream_deltas(source()) as deltas:
        by_task = asyncio.ensure_future(anext(deltas))
        await asyncio.to_thread(begun.wait)
        with pytest.raises(InvalidRequestError, match="a task is reading"):
            next(deltas)
        go.set()
        assert await by_task == "Hel"  # and the one who read first is not disturbed
        assert next(deltas) == "lo"  # nor is anybody kept from taking turns

    begun, go = threading.Event(), threading.Event()
    async with stream_deltas(source()) as deltas:
        by_thread = asyncio.ensure_future(asyncio.to_thread(list, deltas))
        await asyncio.to_thread(begun.wait)
        with pytest.raises(InvalidRequestError, match="a thread is reading"):
            await anext(deltas)
        go.set()
        assert await by_thread == ["Hel", "lo"]


def test_a_stream_that_one_thread_reads_and_another_closes_is_closed_whoever_is_first() -> None:
    def source() -> Iterator[bytes]:
        try:
            yield from (*HELLO[:2] * 5, DONE)
        finally:
            closed.append(True)

    closed: list[bool] = []
    for _ in range(200):
        deltas = stream_deltas(source())
        next(deltas)
        closing = threading.Thread(target=deltas.close)
        closing.start()
        assert "HelloHelloHelloHelloHello".startswith("Hel" + "".join(deltas))
        closing.join()
        assert list(deltas) == []
    assert len(closed) == 200


# -- events ----------------------------------------------------------------------------------------


async def test_events_before_a_limit_are_delivered() -> None:
    parts = [b"data: a\n\ndata: b\n\ndata: " + b"x" * 100, b"data: c\n\n"]
    for source in (parts, [b"".join(parts)]):
        with stream_events(source, max_event_bytes=64) as events:
            assert [next(events).data, next(events).data] == ["a", "b"]
            with pytest.raises(LimitExceeded):
                next(events)
            assert (events.end, list(events)) == ("failed", [])
        async with stream_events(source, max_event_bytes=64) as events:
            assert [event.data for event in await events.read()] == ["a", "b"]
            with pytest.raises(LimitExceeded):
                await events.read()
        assert isinstance(events.error, LimitExceeded)


@pytest.mark.parametrize("options", [{"status": 7}, {"max_event_bytes": 0}, {"idle": 0}])
@pytest.mark.parametrize("way", [stream_deltas, stream_events])
def test_wrong_options(way: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        way(HELLO, **options)


class ClosesSlowly:
    """One read, and an end of closing that waits to be told."""

    def __init__(self) -> None:
        self.reads = iter([delta("Hel")])
        self.closing, self.go_on = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        return self.reads

    def close(self) -> None:
        self.closing.set()
        assert self.go_on.wait(30)


def test_a_stream_that_another_thread_is_closing_has_ended() -> None:
    source = ClosesSlowly()
    deltas = stream_deltas(source)
    assert next(deltas) == "Hel"
    closing = threading.Thread(target=deltas.close)
    closing.start()
    try:
        assert source.closing.wait(30)
        assert list(deltas) == []
    finally:
        source.go_on.set()
        closing.join()
    assert (deltas.end, deltas.error) == ("open", None)
