"""Bytes of one source in, reads out: in an event loop, in a thread that waits for it, or in the
caller's own.

What the source raises is a `ReplyBrokenError`; the source is the caller's own, so its exception may
stand behind ours.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from tailrace._headers import head_of
from tailrace.errors import InvalidRequestError, ReplyBrokenError, TailraceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tailrace._headers import Head

__all__ = ["AsyncReader", "BlockingReader", "MemoryReader", "Reader"]

T = TypeVar("T")

_LARGEST_READ = 256 * 2**10  # bytes, as many as one read of a socket may bring
_LONGEST_ENDING = 0.1  # seconds that the end of a body may come after its end marker


class Reader(ABC):
    """Chunks in, reads out, for asyncio: an empty chunk is no end, and a large one is read in
    pieces.
    """

    def __init__(self, source: object) -> None:
        self.head: Head = head_of(source)
        self._source = source
        self._rest = memoryview(b"")
        self._is_over = False

    @property
    def retry_after(self) -> float | None:
        """The seconds the response asks to wait."""
        return self.head.retry_after

    @abstractmethod
    async def read(self) -> bytes:
        """The next bytes, ``b""`` at the end.

        The loop has its turns. ReplyBrokenError when they broke off.
        """

    async def finish(self) -> None:
        """Read a response to its end where that comes soon: its connection can be used again then."""
        if self._may_be_kept():
            with suppress(TailraceError, TimeoutError):
                async with asyncio.timeout(_LONGEST_ENDING):
                    while await self.read():
                        pass

    @abstractmethod
    async def aclose(self) -> None:
        """Close the source; closed when this returns, unless a thread is held in a read that
        nothing can end.
        """

    @abstractmethod
    def abort(self) -> None:
        """As `aclose`, without waiting: for finalizers."""

    def _may_be_kept(self) -> bool:
        return not self._is_over and hasattr(self._source, "headers")

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
                self._is_over = True
                return b""
            except Exception as error:
                raise _broken(error) from error
            if data := self._first_piece(chunk):
                return data

    async def aclose(self) -> None:
        """Close iterator and source."""
        try:
            await _aclose(self._chunks)
        finally:
            if self._source is not self._chunks:
                await _aclose(self._source)

    def abort(self) -> None:
        """Close them a little later."""
        closing = asyncio.ensure_future(self.aclose())
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
    """A source that holds who reads it until bytes come: the caller, or for asyncio a thread.

    The thread is the source's own, so that no source waits for another one's place in a pool, and
    no program's end waits for it.
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
                self._is_over = True
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

    def finish_now(self) -> None:
        """As `finish`, in this thread."""
        if self._may_be_kept():
            latest = monotonic() + _LONGEST_ENDING
            with suppress(TailraceError):
                while self.read_within(max(0.0, latest - monotonic())):
                    pass

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
        try:
            _close(self._chunks)
        finally:
            if self._source is not self._chunks:
                _close(self._source)

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


def _close(closable: object) -> None:
    close = getattr(closable, "close", None)
    if close is not None:
        close()


# -- threads that wait -----------------------------------------------------------------------------


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
        owner = (
            getattr(source, "raw", source) if network is None else network.get_extra_info("socket")
        )
        number: int = owner.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return number
