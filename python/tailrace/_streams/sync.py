"""A reading driven by the caller's own thread, without asyncio."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

from tailrace import errors
from tailrace._calls.exchange import D
from tailrace._streams.readers import BlockingReader
from tailrace.errors import InvalidRequestError, LimitExceeded, ReplyBrokenError, TailraceError

if TYPE_CHECKING:
    from tailrace._calls.exchange import OpeningOf
    from tailrace._streams.observing import Observer
    from tailrace._streams.readers import Reader
    from tailrace._streams.reading import ReplyReading

__all__ = ["BlockingDriver"]

T = TypeVar("T")


class BlockingDriver(Generic[T, D]):
    """The blocking side of a reading: the caller's thread reads; one thread at a time.

    Raises InvalidRequestError for a source that asyncio alone can read. `idle`: seconds without
    progress, None for no clock. Deltas that came with the end are delivered before the source is
    closed: the end of a response's body may take a moment. `observer`: is told of each read, for
    its time.
    """

    def __init__(
        self,
        reading: ReplyReading[T, D],
        reader: Reader,
        opening: OpeningOf[D],
        *,
        idle: float | None,
        observer: Observer | None,
    ) -> None:
        self._observer = observer
        self._reading = reading
        self._reader = reader
        self._opening = opening
        self._idle = idle
        self._waited = 0.0
        self._turn = Lock()

    def blocking_reader(self) -> BlockingReader:
        """Return the source's reader; InvalidRequestError for one that asyncio alone can read."""
        if isinstance(self._reader, BlockingReader):
            return self._reader
        raise InvalidRequestError(
            "only asyncio can read this source: use `async with` and `async for`"
        )

    def advance(self) -> bool:
        """Wait for a delta and return True; at the end return False or raise the failure, once."""
        reading, reader = self._reading, self.blocking_reader()
        if not self._turn.acquire(blocking=False):
            if reading.left:
                return False  # another thread is closing it
            raise InvalidRequestError("another thread is reading this stream: one at a time")
        if reading.is_being_read:
            self._turn.release()
            raise InvalidRequestError("a task is reading this stream: one at a time")
        reading.is_being_read = True
        try:
            self._step(reader)
        except TailraceError as error:
            reading.fail(error)
        except BaseException:
            reading.stop()
            raise
        finally:
            if reading.ended and not reading.ready:
                self._release(reader)
            reading.is_being_read = False
            self._turn.release()
        if reading.left:
            self.close()  # the thread that left meanwhile could not, while this one was reading
        return reading.deliver()

    def close(self) -> None:
        """Leave the reading; the source is closed when this returns.

        A thread that is reading meanwhile sees the end, and closes the source when it does.
        """
        reader = self.blocking_reader()
        self._reading.leave()
        if not self._turn.acquire(blocking=False):
            reader.wake()
            return
        try:
            self._release(reader)
        finally:
            self._turn.release()

    def abandon(self) -> bool:
        """Close without waiting, from a finalizer; return whether there was anything to close."""
        reading, reader = self._reading, self._reader
        if reading.opening is None or reading.released or not isinstance(reader, BlockingReader):
            return False
        with suppress(Exception):
            reader.abort()
        return True

    def _step(self, reader: BlockingReader) -> None:
        """Read until a delta is ready or the reading has ended."""
        reading = self._reading
        if reading.opening is None:
            reading.begin(self._opening)
        while not reading.ready and not reading.ended:
            data = self._read(reader)
            if self._observer is not None:
                self._observer.take_time()
            if reading.left:
                return  # another thread has closed the source, which is no failure of the reply
            if isinstance(data, TailraceError):
                reading.break_off(data)
            elif reading.feed(data):
                if self._idle is not None and reading.progressed():
                    self._waited = 0.0
                continue
            reading.settle()  # a reply that somebody else opened cannot be requested again

    def _read(self, reader: BlockingReader) -> bytes | TailraceError:
        """Return the next bytes, or the error that explains why there are none."""
        try:
            if self._idle is None:
                return reader.read_now()
            began = monotonic()
            data = reader.read_within(max(0.0, self._idle - self._waited))
            self._waited += monotonic() - began
        except (ReplyBrokenError, LimitExceeded) as error:
            return error
        return errors.TimeoutError("idle", self._idle) if data is None else data

    def _release(self, reader: BlockingReader) -> None:
        if not self._reading.released:
            self._reading.released = True
            try:
                if self._opening.decoder.end == "done":
                    reader.finish_now()
            finally:
                reader.close()
