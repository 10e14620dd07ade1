"""A reply that somebody else opened: its text, its deltas as records, or its events.

One object serves both ways of reading: ``async with`` and ``async for``, or ``with`` and ``for``.
What came before a failure is delivered before the failure is raised, and leaving closes the source,
whichever way.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Generic, Literal, Self, overload

from tailrace import errors
from tailrace._calls.exchange import D, OpeningOf
from tailrace._native import Delta, DeltaDecoder, ServerSentEvent, SSEDecoder
from tailrace._streams.closing import T
from tailrace._streams.readers import BlockingReader
from tailrace._streams.sources import reader_of
from tailrace._streams.stream import ChatStream, ReplyStream
from tailrace.errors import (
    FIRST_ERROR_STATUS,
    InvalidRequestError,
    LimitExceeded,
    ReplyBrokenError,
    StreamError,
    TailraceError,
)

if TYPE_CHECKING:
    from types import TracebackType

    from tailrace._native import Usage
    from tailrace._streams.readers import Reader

__all__ = ["DeltaStream", "EventStream", "RecordStream", "stream_deltas", "stream_events"]

_MOST_BYTES = 8 * 2**20


@overload
def stream_deltas(
    source: object,
    *,
    records: Literal[False] = False,
    dialect: str = "openai",
    content_type: str | None = None,
    status: int | None = None,
    failure_tail: str | None = None,
    idle: float | None = None,
    max_event_bytes: int = _MOST_BYTES,
    max_body_bytes: int = _MOST_BYTES,
) -> DeltaStream: ...
@overload
def stream_deltas(
    source: object,
    *,
    records: Literal[True],
    dialect: str = "openai",
    content_type: str | None = None,
    status: int | None = None,
    failure_tail: str | None = None,
    idle: float | None = None,
    max_event_bytes: int = _MOST_BYTES,
    max_body_bytes: int = _MOST_BYTES,
) -> RecordStream: ...
@overload
def stream_deltas(
    source: object,
    *,
    records: bool,
    dialect: str = "openai",
    content_type: str | None = None,
    status: int | None = None,
    failure_tail: str | None = None,
    idle: float | None = None,
    max_event_bytes: int = _MOST_BYTES,
    max_body_bytes: int = _MOST_BYTES,
) -> DeltaStream | RecordStream: ...
def stream_deltas(
    source: object,
    *,
    records: bool = False,
    dialect: str = "openai",
    content_type: str | None = None,
    status: int | None = None,
    failure_tail: str | None = None,
    idle: float | None = None,
    max_event_bytes: int = _MOST_BYTES,
    max_body_bytes: int = _MOST_BYTES,
) -> DeltaStream | RecordStream:
    """Deltas of a reply somebody else opened: its text, or with `records` everything it adds, as
    `Delta`.

    `source`: a response of aiohttp, httpx, httpx2, requests, urllib3, urllib.request or of the
    openai package's `with_streaming_response`; a binary file, an asyncio.StreamReader or a path;
    any iterable or async iterable of bytes. A list, a tuple and the like are read in the event
    loop, what may block is read in a thread. Status, Content-Type and Retry-After are the
    response's unless given. `idle`: seconds without an event, None for no clock. Leaving closes the
    source. Raises InvalidRequestError for a source of an unknown kind, an unknown dialect or a
    wrong option.
    """
    reader = reader_of(source)
    decoder = DeltaDecoder(
        dialect,
        content_type=reader.head.content_type if content_type is None else content_type,
        status=reader.head.status if status is None else status,
        failure_tail=failure_tail,
        max_event_bytes=max_event_bytes,
        max_body_bytes=max_body_bytes,
    )
    return (RecordStream if records else DeltaStream)(reader, decoder, idle=_checked(idle))


def stream_events(
    source: object,
    *,
    content_type: str | None = None,
    status: int | None = None,
    idle: float | None = None,
    max_event_bytes: int = _MOST_BYTES,
) -> EventStream:
    """Server-sent events of a reply somebody else opened (WHATWG HTML 9.2.6); sources as for
    `stream_deltas`.

    A status of 400 or more is a ResponseStatusError made of the body. `content_type` is looked at
    for that alone.
    """
    reader = reader_of(source)
    decoder = EventDecoder(
        content_type=reader.head.content_type if content_type is None else content_type,
        status=reader.head.status if status is None else status,
        max_event_bytes=max_event_bytes,
    )
    return EventStream(reader, decoder, idle=_checked(idle))


def _checked(idle: float | None) -> float | None:
    if idle is not None and not idle > 0:
        raise InvalidRequestError("idle must be a number of seconds above 0, or None for no clock")
    return idle


class _SourceExchange(Generic[D]):
    """An exchange that is already under way: nothing to send, nothing to repeat."""

    def __init__(self, reader: Reader, opening: OpeningOf[D]) -> None:
        self._reader = reader
        self._opening = opening

    async def open(self) -> OpeningOf[D]:
        return self._opening

    async def again(self, opening: OpeningOf[D], error: TailraceError) -> OpeningOf[D] | None:  # noqa: ARG002
        return None

    async def aclose(self) -> None:
        try:
            if self._opening.decoder.end == "done":
                await self._reader.finish()
        finally:
            await self._reader.aclose()

    def abort(self) -> None:
        self._reader.abort()


class SourceStream(ReplyStream[T, D], Generic[T, D]):
    """A `ReplyStream` that can be read without asyncio too: ``with`` it and ``for`` over it.

    What asyncio alone can read is then an InvalidRequestError. One thread reads a stream at a time;
    another one that closes it meanwhile ends its reading where the source has a socket of its own.
    """

    def __init__(self, reader: Reader, decoder: D, *, idle: float | None) -> None:
        self._reader = reader
        self._given = OpeningOf(reader, decoder)
        super().__init__(_SourceExchange(reader, self._given), idle=idle)
        self._idle = idle
        self._waited = 0.0
        self._turn = Lock()

    def __enter__(self) -> Self:
        self._blocking_reader()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if not self._ready and not self._advance_now():
            raise StopIteration
        return self._ready.popleft()

    def close(self) -> None:
        """Stop reading; the source is closed when this returns. Closing twice is allowed.

        A thread that is reading meanwhile sees the end, and closes the source when it does.
        """
        reader = self._blocking_reader()
        self._left = self._ended = True
        self._failure = None
        self._ready.clear()
        if not self._turn.acquire(blocking=False):
            reader.wake()
            return
        try:
            self._release_now()
        finally:
            self._turn.release()

    def __del__(self) -> None:
        super().__del__()
        loop = self._clocks.loop
        if self._opening is None or self._released or (loop is not None and not loop.is_closed()):
            return
        if isinstance(self._reader, BlockingReader):  # which needs no loop
            with suppress(Exception):
                self._reader.abort()

    async def _advance(self) -> bool:
        if self._ended:
            await self._release()
        return await super()._advance()

    async def _stop(self) -> None:
        self._ended = True
        if not self._ready:  # else what is ready comes first: the end of the body may take a moment
            await self._release()

    def _blocking_reader(self) -> BlockingReader:
        if isinstance(self._reader, BlockingReader):
            return self._reader
        raise InvalidRequestError(
            "only asyncio can read this source: use `async with` and `async for`"
        )

    def _advance_now(self) -> bool:
        """As `_advance`, in this thread."""
        reader = self._blocking_reader()
        if not self._turn.acquire(blocking=False):
            if self._left:
                return False  # another thread is closing it
            raise InvalidRequestError("another thread is reading this stream: one at a time")
        try:
            self._step_now(reader)
        except TailraceError as error:
            self._fail(error)
            self._ended = True
        except BaseException:
            self._ended = True
            raise
        finally:
            if self._ended and not self._ready:
                self._release_now()
            self._turn.release()
        if self._left:
            self.close()  # again: who left meanwhile could not
        return bool(self._ready) or self._conclude()

    def _step_now(self, reader: BlockingReader) -> None:
        """As `_step`, in this thread."""
        self._opening = opening = self._given
        while not self._ready and not self._ended:
            data = self._read_now(reader)
            if self._left:
                return  # another thread has closed it: what came of that is no failure
            if isinstance(data, TailraceError):
                failure = self._broken_off(data)
            elif self._feed(opening.decoder, data):
                if self._goes_on(opening.decoder):
                    self._waited = 0.0
                continue
            else:
                failure = self._verdict(opening)
            self._settle(opening.decoder, failure)
            self._ended = True

    def _read_now(self, reader: BlockingReader) -> bytes | TailraceError:
        """The next bytes, or why there are none."""
        try:
            if self._idle is None:
                return reader.read_now()
            began = monotonic()
            data = reader.read_within(max(0.0, self._idle - self._waited))
            self._waited += monotonic() - began
        except (ReplyBrokenError, LimitExceeded) as error:
            return error
        return errors.TimeoutError("idle", self._idle) if data is None else data

    def _release_now(self) -> None:
        if not self._released:
            self._released = True
            self._clocks.stop()
            reader = self._blocking_reader()
            try:
                if self._given.decoder.end == "done":
                    reader.finish_now()
            finally:
                reader.close()
                self._gone.set()


class DeltaStream(ChatStream, SourceStream[str, DeltaDecoder]):
    """The text of a reply that somebody else opened."""


class RecordStream(SourceStream[Delta, DeltaDecoder]):
    """All that a reply adds, text, reasoning, refusals and tool calls, of one that somebody else
    opened.
    """

    def _take(self, decoder: DeltaDecoder, data: bytes) -> list[Delta]:
        return decoder.feed_events(data)

    def _take_rest(self, decoder: DeltaDecoder, *, complete: bool) -> list[Delta]:
        return decoder.close_events(complete=complete)


# -- events ----------------------------------------------------------------------------------------


class EventDecoder:
    """An `SSEDecoder` with the state that a stream asks of its decoder; the body of an error status
    is no events.
    """

    framing: str = "sse"
    bad_events: int = 0

    def __init__(self, *, content_type: str | None, status: int, max_event_bytes: int) -> None:
        self._decoder = SSEDecoder(max_event_bytes=max_event_bytes)
        refusal = DeltaDecoder(
            content_type=content_type, status=status
        )  # which knows what a status may be
        self._refusal = refusal if status >= FIRST_ERROR_STATUS else None
        self.end: str = "open"
        self.error: StreamError | None = None
        self.events: int = 0
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.ids: dict[str, str] = {}

    @property
    def last_event_id(self) -> str:
        """The last event id in force."""
        return self._decoder.last_event_id

    @property
    def retry(self) -> int | None:
        """The reconnection time in force, in milliseconds."""
        return self._decoder.retry

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that `data` completes."""
        if self._refusal is not None:
            self._refusal.feed(data)
            self._end(self._refusal.end, self._refusal.error)
            return []
        try:
            events = self._decoder.feed(data)
        except LimitExceeded as error:
            self._end("failed", error)
            return []
        self.events += len(events)
        return events

    def close(self, *, complete: bool) -> list[ServerSentEvent]:
        """An unfinished event is dropped."""
        if self.end != "open":
            return []
        if self._refusal is not None:
            self._refusal.close(complete=complete)
            self._end(self._refusal.end, self._refusal.error)
            return []
        try:
            events = self._decoder.close()
        except LimitExceeded as error:
            self._end("failed", error)
            return []
        self._end("done" if complete else "truncated", None)
        return events

    def _end(self, end: str, error: StreamError | None) -> None:
        self.end, self.error = end, error


class EventStream(SourceStream[ServerSentEvent, EventDecoder]):
    """The events of a reply that somebody else opened.

    After the end `end` is ``done`` (events have no end marker: the body was read to its end),
    ``truncated`` or ``failed``. What the transport cut is a ReplyBrokenError.
    """

    @property
    def last_event_id(self) -> str:
        """The last event id in force: what a new request's Last-Event-ID header says."""
        return self._given.decoder.last_event_id

    @property
    def retry(self) -> int | None:
        """The reconnection time in force, in milliseconds."""
        return self._given.decoder.retry

    def _take(self, decoder: EventDecoder, data: bytes) -> list[ServerSentEvent]:
        return decoder.feed(data)

    def _take_rest(self, decoder: EventDecoder, *, complete: bool) -> list[ServerSentEvent]:
        return decoder.close(complete=complete)

    def _broken_off(self, failure: TailraceError) -> TailraceError | None:
        return super()._broken_off(failure) or failure
