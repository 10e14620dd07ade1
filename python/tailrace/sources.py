"""Whatever has a reply's bytes, made readable: responses of HTTP libraries, files, iterables.

A source is known by what it can do, so no HTTP library is imported here. Of each there is one `Reader`. A read gives
what has come, decoded where its library decodes, and never waits for more than it has. What the source raises is a
`ReplyBrokenError`; the source is the caller's own, so its exception may stand behind ours.
"""

from __future__ import annotations

import asyncio
import io
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Collection, Iterable
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from tailrace.errors import InvalidRequestError, ReplyBrokenError
from tailrace.headers import seconds_to_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["BlockingReader", "Head", "Reader", "reader_of"]

T = TypeVar("T")

_LARGEST_READ = 256 * 2**10  # bytes, as many as one read of a socket may bring
_ASKED_FOR = 2**16  # bytes a read of a file: Python makes room for all of them


# -- what a response says ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """What a response says beside its body; a source that is no response says nothing."""

    status: int = 200
    content_type: str | None = None
    retry_after: float | None = None  # seconds


def _head_of(source: object) -> Head:
    """Read status and headers, where there are any."""
    statuses = (getattr(source, name, None) for name in ("status", "status_code"))
    return Head(
        status=next((status for status in statuses if isinstance(status, int)), 200),
        content_type=_header(source, "Content-Type"),
        retry_after=seconds_to_wait(_header(source, "Retry-After"), _header(source, "Date")),
    )


def _header(source: object, name: str) -> str | None:
    """Look a header up; libraries do so whatever its case, a dictionary does not."""
    headers: Any = getattr(source, "headers", None)
    if not hasattr(headers, "get"):
        return None
    value = headers.get(name, headers.get(name.lower()))
    return value if isinstance(value, str) else None


# -- which kind of source it is ----------------------------------------------------------------------------------------


def reader_of(source: Any) -> Reader:
    """Make the reader of a source; InvalidRequestError for what is none. Nothing is read or opened yet."""
    if isinstance(source, str | os.PathLike):
        return BlockingReader(_chunks_at(_checked_path(source)), source)
    if hasattr(source, "iter_bytes"):
        return _reader_of_httpx(source)
    if hasattr(source, "iter_content") and hasattr(source, "raw"):
        return BlockingReader(_chunks_of_requests(source), source)
    body: Any = source if hasattr(source, "iter_any") else getattr(source, "content", None)
    if hasattr(body, "iter_any"):  # aiohttp's, which gives lines when it is iterated over
        return AsyncReader(body.iter_any(), source)
    return _reader_of_file(source) if hasattr(source, "read") else _reader_of_iterable(source)


def _reader_of_httpx(source: Any) -> Reader:
    """The responses of httpx and httpx2, one class for both kinds of client, and those of the openai package, two."""
    stream = getattr(source, "stream", None)
    if hasattr(source, "aiter_bytes") and hasattr(stream, "__aiter__") and not hasattr(stream, "__iter__"):
        return AsyncReader(source.aiter_bytes(), source)
    chunks = source.iter_bytes()
    return AsyncReader(aiter(chunks), source) if hasattr(chunks, "__aiter__") else BlockingReader(chunks, source)


def _reader_of_iterable(source: object) -> Reader:
    if isinstance(source, AsyncIterable):
        return AsyncReader(aiter(source), source)
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | memoryview):
        kind = MemoryReader if isinstance(source, Collection) else BlockingReader
        return kind(iter(source), source)
    what = "give a response, a binary file, a path or an iterable of bytes"
    raise InvalidRequestError(f"cannot read a reply from {type(source).__name__}: {what}")


def _chunks_of_requests(response: Any) -> Iterator[bytes]:
    """Its own `iter_content` waits until a chunk is full or, without a size, for the end of what is not chunked."""
    if getattr(response.raw, "closed", True) or not hasattr(response.raw, "read1"):
        yield from response.iter_content(_ASKED_FOR)  # it has been read
    else:
        yield from _chunks_of_file(response.raw)


def _reader_of_file(file: Any) -> Reader:
    if isinstance(file, io.TextIOBase):
        raise InvalidRequestError("the file gives text: open it in binary mode")
    for read in (getattr(file, "read1", None), file.read):
        if iscoroutinefunction(read):
            return AsyncReader(_chunks_of_async_file(read), file)
    if isinstance(file, io.BytesIO):
        return MemoryReader(_chunks_of_file(file), file)
    if _is_of_urllib3(file) and file.closed:
        return MemoryReader(iter([file.data]), file)  # it has been read
    coding = _header(file, "Content-Encoding")
    if coding not in (None, "identity") and not _is_of_urllib3(file):
        raise InvalidRequestError(f"the response is packed ({coding}) and its library does not unpack it")
    return BlockingReader(_chunks_of_file(file), file)


def _is_of_urllib3(file: object) -> bool:
    return hasattr(file, "drain_conn")


def _chunks_of_file(file: Any) -> Iterator[bytes]:
    """`read1` gives what is there; `read`, of files without it, fills what was asked for unless they are raw."""
    read = getattr(file, "read1", None) or file.read
    options = {"decode_content": True} if _is_of_urllib3(file) else {}
    while (chunk := read(_ASKED_FOR, **options)) != b"":
        yield chunk
    missing = getattr(file, "length", None)  # http.client's, which says nothing when a body ends too early
    if isinstance(missing, int) and missing > 0:
        raise EOFError(f"{missing} bytes are missing")


async def _chunks_of_async_file(read: Any) -> AsyncIterator[bytes]:
    while (chunk := await read(_ASKED_FOR)) != b"":
        yield chunk


def _checked_path(given: str | os.PathLike[Any]) -> Path:
    path = os.fsdecode(given)
    if not path or "\0" in path or "\n" in path:
        raise InvalidRequestError("a str is the path of a file, and this is none: give a reply's bytes in a list")
    return Path(path)


def _chunks_at(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidRequestError(f"cannot open the file {str(path)!r}: {error.strerror}") from error
    with file:
        yield from _chunks_of_file(file)


# -- reading -----------------------------------------------------------------------------------------------------------


class Reader(ABC):
    """Chunks in, reads out, for asyncio: an empty chunk is no end, and a large one is read in pieces."""

    def __init__(self, source: object) -> None:
        self.head: Head = _head_of(source)
        self._source = source
        self._rest = memoryview(b"")

    @property
    def retry_after(self) -> float | None:
        """The seconds the response asks to wait."""
        return self.head.retry_after

    @abstractmethod
    async def read(self) -> bytes:
        """The next bytes, ``b""`` at the end. The loop has its turns. ReplyBrokenError when they broke off."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the source; closed when this returns, unless a thread is held in a read that nothing can end."""

    @abstractmethod
    def abort(self) -> None:
        """As `aclose`, without waiting: for finalizers."""

    def _first_piece(self, chunk: object) -> bytes:
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise InvalidRequestError(f"a chunk of the source is {type(chunk).__name__}, not bytes")
        data = bytes(chunk)
        if len(data) <= _LARGEST_READ:
            return data
        self._rest = memoryview(data)
        return self._piece()

    def _piece(self) -> bytes:
        piece, self._rest = bytes(self._rest[:_LARGEST_READ]), self._rest[_LARGEST_READ:]
        return piece


class AsyncReader(Reader):
    """A source that asyncio alone can read."""

    def __init__(self, chunks: AsyncIterator[bytes], source: object) -> None:
        super().__init__(source)
        self._chunks = chunks

    async def read(self) -> bytes:
        """The next bytes."""
        if self._rest:
            await asyncio.sleep(0)
            return self._piece()
        while True:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                return b""
            except Exception as error:
                raise _broken(error) from error
            if data := self._first_piece(chunk):
                return data

    async def aclose(self) -> None:
        """Close iterator and source."""
        for closable in _each_once(self._chunks, self._source):
            close = getattr(closable, "aclose", None) or getattr(closable, "close", None)
            if close is not None:
                waiting = close()
                if hasattr(waiting, "__await__"):
                    await waiting

    def abort(self) -> None:
        """Close them a little later."""
        closing = asyncio.ensure_future(self.aclose())
        _closing.add(closing)
        closing.add_done_callback(_forget)


_closing: set[asyncio.Future[None]] = set()  # the loop itself keeps no task alive


def _forget(closing: asyncio.Future[None]) -> None:
    _closing.discard(closing)
    if not closing.cancelled():
        closing.exception()  # nobody reads this stream any more


class BlockingReader(Reader):
    """A source that holds who reads it until bytes come: the caller, or for asyncio a thread.

    The thread is the source's own, so that no source waits for another one's place in a pool, and no program's end
    waits for it.
    """

    def __init__(self, chunks: Iterator[bytes], source: object) -> None:
        super().__init__(source)
        self._chunks = chunks
        self._worker: _Worker | None = None
        self._under_way: Future[bytes] | None = None
        self._closed: Future[None] | None = None
        self._is_held = False

    def read_now(self) -> bytes:
        """As `read`, in this thread."""
        if self._rest:
            return self._piece()
        while True:
            try:
                chunk = next(self._chunks)
            except StopIteration:
                return b""
            except InvalidRequestError:
                raise  # ours, of a path
            except Exception as error:
                raise _broken(error) from error
            if data := self._first_piece(chunk):
                return data

    def read_within(self, seconds: float) -> bytes | None:
        """As `read_now`; None when nothing came for so long."""
        self._under_way = self._in_thread(self.read_now)
        try:
            return self._under_way.result(seconds)
        except TimeoutError:
            return None

    async def read(self) -> bytes:
        """The next bytes."""
        self._under_way = self._in_thread(self.read_now)
        return await asyncio.wrap_future(self._under_way)

    def close(self) -> None:
        """As `aclose`, in this thread."""
        closing = self._begin_to_close()
        if closing is not None:
            closing.result()

    async def aclose(self) -> None:
        """Close iterator and source."""
        closing = self._begin_to_close()
        if closing is not None:
            await asyncio.shield(asyncio.wrap_future(closing))

    def abort(self) -> None:
        """Close them, or have their thread do it."""
        self._begin_to_close()

    def wake(self) -> bool:
        """End a read of another thread; False: there is no way."""
        number = _descriptor(self._source)
        if number is None:
            return False
        try:
            with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as twin:
                twin.shutdown(socket.SHUT_RDWR)
        except OSError:
            return False
        return True

    def _begin_to_close(self) -> Future[None] | None:
        """What is to be waited for, if anything is."""
        if self._worker is None:
            self._close_source()
            return None
        if self._closed is None:
            is_reading = self._under_way is not None and not self._under_way.done()
            self._is_held = is_reading and not self.wake()
            self._closed = self._worker.run(self._close_source)
            self._worker.end()
        return None if self._is_held else self._closed

    def _close_source(self) -> None:
        for closable in _each_once(self._chunks, self._source):
            close = getattr(closable, "close", None)
            if close is not None:
                close()

    def _in_thread(self, job: Callable[[], T]) -> Future[T]:
        if self._worker is None:
            self._worker = _Worker()
        return self._worker.run(job)


class MemoryReader(BlockingReader):
    """A source that has all its bytes at hand: the loop reads it and has a turn after so many."""

    def __init__(self, chunks: Iterator[bytes], source: object) -> None:
        super().__init__(chunks, source)
        self._since_turn = 0

    async def read(self) -> bytes:
        """The next bytes."""
        data = self.read_now()
        self._since_turn += len(data)
        if self._since_turn > _LARGEST_READ:
            await asyncio.sleep(0)
            self._since_turn = len(data)
        return data

    def read_within(self, seconds: float) -> bytes:  # noqa: ARG002 - nothing is waited for
        """The next bytes."""
        return self.read_now()


def _broken(error: Exception) -> ReplyBrokenError:
    return ReplyBrokenError(f"the source failed with {type(error).__name__}")


def _each_once(chunks: object, source: object) -> tuple[object, ...]:
    return (chunks,) if chunks is source else (chunks, source)


# -- threads that wait -------------------------------------------------------------------------------------------------


class _Worker:
    """A thread that does one job after the other, in the context of who asked for the first."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        work = partial(copy_context().run, _work, self._jobs)
        Thread(target=work, name="tailrace source", daemon=True).start()

    def run(self, job: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._jobs.put((future, job))
        return future

    def end(self) -> None:
        """No more jobs."""
        self._jobs.put(None)


_Job: TypeAlias = tuple["Future[Any]", "Callable[[], Any]"]


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        _do(*job)
        del job  # who waits holds nothing


def _do(future: Future[Any], job: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except BaseException as error:  # noqa: BLE001 - it is for who asked
        future.set_exception(error)
    else:
        future.set_result(result)


def _descriptor(source: Any) -> int | None:
    """The number of the socket under a source, where it has one of its own."""
    extensions = getattr(getattr(source, "http_response", source), "extensions", {})
    try:
        if extensions.get("http_version") == b"HTTP/2":
            return None  # other replies come over the same one
        network = extensions.get("network_stream")
        owner = getattr(source, "raw", source) if network is None else network.get_extra_info("socket")
        number: int = owner.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return number
