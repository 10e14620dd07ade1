"""Chunks of one source in, reads out: in an event loop, in a thread, or in the caller's own.

An exception of the source is raised as a `ReplyBrokenError` with the exception as its cause: the
source is the caller's own, so its exception may be shown.
"""

from __future__ import annotations

import json
import socket
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from tailrace._headers import head_of
from tailrace._streams.worker import Worker
from tailrace.errors import InvalidRequestError, ReplyBrokenError, TailraceError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator
    from concurrent.futures import Future

    from tailrace._headers import Head

__all__ = ["AsyncReader", "BlockingReader", "MemoryReader", "Reader"]

T = TypeVar("T")

_LARGEST_READ = 256 * 2**10  # bytes, as many as one read of a socket may bring
_LONGEST_ENDING = 0.1  # seconds that the end of a body may come after its end marker


_AS_THEY_COME = "give the bytes as they come, not iter_lines() but iter_bytes() or the like"


def _is_line(chunk: bytes) -> bool:
    """Tell whether a chunk is one whole line of a stream, without its end.

    No chunk that goes on begins as a line does behind one: the first would not have ended there.
    """
    if b"\n" in chunk or b"\r" in chunk:
        return False
    field, _, value = chunk.partition(b":")
    if field in (b"event", b"id", b"retry", b""):
        return chunk.startswith((b"event:", b"id:", b"retry:", b":"))
    text = value if field == b"data" else chunk
    if text.strip() == b"[DONE]":
        return True
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


@cache
def _asyncio() -> Any:
    """Import asyncio on first use: a program that only blocks never pays for the import."""
    import asyncio  # noqa: PLC0415

    return asyncio


class Reader(ABC):
    """Chunks in, reads out, for asyncio.

    An empty chunk is skipped, for ``b""`` is the end, and a large one is read in pieces.
    """

    def __init__(self, source: object) -> None:
        self.head: Head = head_of(source)
        self._source = source
        self._rest = memoryview(b"")
        self._is_over = False
        self._first: bytes | None = None
        self._may_be_lines = True

    @property
    def retry_after(self) -> float | None:
        """The seconds that the response asks to wait; None where it does not."""
        return self.head.retry_after

    @abstractmethod
    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end; the event loop has its turns meanwhile.

        Raises ReplyBrokenError when they broke off.
        """

    async def finish(self) -> None:
        """Read a response to its end if that comes soon: its connection can be used again then."""
        if self._may_be_kept():
            with suppress(TailraceError, TimeoutError):
                async with _asyncio().timeout(_LONGEST_ENDING):
                    while await self.read():
                        pass

    @abstractmethod
    async def aclose(self) -> None:
        """Close the source.

        The source is closed when this returns, unless a thread hangs in a read of the source.
        """

    @abstractmethod
    def abort(self) -> None:
        """Begin to close without waiting, for finalizers."""

    def _may_be_kept(self) -> bool:
        return not self._is_over and hasattr(self._source, "headers")

    def _first_piece(self, chunk: object) -> bytes:
        if type(chunk) is bytes and not self._may_be_lines and len(chunk) <= _LARGEST_READ:
            return chunk
        if not isinstance(chunk, bytes | bytearray | memoryview):
            how = f": {_AS_THEY_COME}" if isinstance(chunk, str) else ""
            raise InvalidRequestError(
                f"a chunk of the source is {type(chunk).__name__}, not bytes{how}"
            )
        data = bytes(chunk)
        if self._may_be_lines and data:
            self._refuse_lines(data)
        if len(data) <= _LARGEST_READ:
            return data
        self._rest = memoryview(data)
        return self._piece()

    def _refuse_lines(self, data: bytes) -> None:
        """Raise InvalidRequestError where the first two chunks are lines without their ends."""
        first, self._first = self._first, data
        self._may_be_lines = first is None and _is_line(data)
        if first is not None and _is_line(first) and _is_line(data):
            raise InvalidRequestError(f"the source gives lines without their ends: {_AS_THEY_COME}")

    def _piece(self) -> bytes:
        piece, self._rest = bytes(self._rest[:_LARGEST_READ]), self._rest[_LARGEST_READ:]
        return piece


class AsyncReader(Reader):
    """A source that asyncio alone can read."""

    def __init__(self, chunks: AsyncIterator[bytes], source: object) -> None:
        super().__init__(source)
        self._chunks = chunks

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end."""
        if self._rest:
            await _asyncio().sleep(0)
            return self._piece()
        while True:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self._is_over = True
                return b""
            except Exception as error:
                raise _broken(error) from error
            if data := self._first_piece(chunk):
                return data

    async def aclose(self) -> None:
        """Close the iterator, then the source."""
        try:
            await _aclose(self._chunks)
        finally:
            if self._source is not self._chunks:
                await _aclose(self._source)

    def abort(self) -> None:
        """Begin to close in a task of its own."""
        closing: asyncio.Future[None] = _asyncio().ensure_future(self.aclose())
        _closing.add(closing)
        closing.add_done_callback(_forget)


async def _aclose(closable: object) -> None:
    close = getattr(closable, "aclose", None) or getattr(closable, "close", None)
    if close is not None:
        waiting = close()
        if hasattr(waiting, "__await__"):
            await waiting


_closing: set[asyncio.Future[None]] = set()  # the loop itself keeps no task alive


def _forget(closing: asyncio.Future[None]) -> None:
    _closing.discard(closing)
    if not closing.cancelled():
        closing.exception()  # nobody reads this stream any more


class BlockingReader(Reader):
    """A source that blocks its reader until bytes come: the caller, or for asyncio a thread.

    The thread is the source's own, so that no source waits for another's turn in a pool, and no
    program's end waits for it.
    """

    def __init__(self, chunks: Iterator[bytes], source: object) -> None:
        super().__init__(source)
        self._chunks = chunks
        self._worker: Worker | None = None
        self._under_way: Future[bytes] | None = None
        self._closed: Future[None] | None = None
        self._is_held = False

    def read_now(self) -> bytes:
        """Return the next bytes, ``b""`` at the end, read in this thread."""
        if self._rest:
            return self._piece()
        while True:
            try:
                chunk = next(self._chunks)
            except StopIteration:
                self._is_over = True
                return b""
            except InvalidRequestError:
                raise  # a path that cannot be opened
            except Exception as error:
                raise _broken(error) from error
            if data := self._first_piece(chunk):
                return data

    def read_within(self, seconds: float) -> bytes | None:
        """Return the next bytes as `read_now` does, or None when none came within `seconds`."""
        self._under_way = self._in_thread(self.read_now)
        try:
            return self._under_way.result(seconds)
        except TimeoutError:
            return None

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end, read in the source's thread."""
        self._under_way = self._in_thread(self.read_now)
        data: bytes = await _asyncio().wrap_future(self._under_way)
        return data

    def finish_now(self) -> None:
        """Read a response to its end if that comes soon, in this thread."""
        if self._may_be_kept() and not sys.is_finalizing():
            latest = monotonic() + _LONGEST_ENDING
            with suppress(TailraceError):
                while self.read_within(max(0.0, latest - monotonic())):
                    pass

    def close(self) -> None:
        """Close the iterator, then the source, and wait for it in this thread."""
        closing = self._begin_to_close()
        if closing is not None and self._worker is not None:
            self._worker.wait_for(closing)

    async def aclose(self) -> None:
        """Close the iterator, then the source."""
        closing = self._begin_to_close()
        if closing is not None:
            await _asyncio().shield(_asyncio().wrap_future(closing))

    def abort(self) -> None:
        """Close without waiting: here, or in the source's thread where it has one."""
        self._begin_to_close()

    def wake(self) -> bool:
        """End a read under way in another thread; return whether that was possible."""
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
        """Close the source or have its thread do so; return that future, None when closed."""
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
        try:
            _close(self._chunks)
        finally:
            if self._source is not self._chunks:
                _close(self._source)

    def _in_thread(self, job: Callable[[], T]) -> Future[T]:
        if self._worker is None:
            self._worker = Worker()
        return self._worker.run(job)


class MemoryReader(BlockingReader):
    """A source with all its bytes in memory, read in the event loop, with turns for other tasks."""

    def __init__(self, chunks: Iterator[bytes], source: object) -> None:
        super().__init__(chunks, source)
        self._since_turn = 0

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end."""
        data = self.read_now()
        self._since_turn += len(data)
        if self._since_turn > _LARGEST_READ:
            await _asyncio().sleep(0)
            self._since_turn = len(data)
        return data

    def read_within(self, seconds: float) -> bytes:  # noqa: ARG002 - nothing is waited for
        """Return the next bytes, ``b""`` at the end."""
        return self.read_now()


def _broken(error: Exception) -> ReplyBrokenError:
    return ReplyBrokenError(f"the source failed with {type(error).__name__}")


def _close(closable: object) -> None:
    close = getattr(closable, "close", None)
    if close is not None:
        close()


def _descriptor(source: Any) -> int | None:
    """Return the descriptor of the socket under a source, where it has one of its own."""
    extensions = getattr(getattr(source, "http_response", source), "extensions", {})
    try:
        if extensions.get("http_version") == b"HTTP/2":
            return None  # other replies share the socket
        network = extensions.get("network_stream")
        owner = (
            getattr(source, "raw", source) if network is None else network.get_extra_info("socket")
        )
        number: int = owner.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return number
