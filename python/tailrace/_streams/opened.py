"""A reply that somebody else opened: its text, its deltas as records, or its events.

One object serves both ways of reading: ``async with`` and ``async for``, or ``with`` and ``for``.
Everything before a failure is delivered before the failure is raised, and leaving closes the
source, in both ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, Self, overload

from tailrace._calls.exchange import D, OpeningOf
from tailrace._environment import Environment
from tailrace._native import Delta, DeltaDecoder, ServerSentEvent
from tailrace._streams.closing import T, texts_of
from tailrace._streams.events import EventDecoder
from tailrace._streams.observing import observer
from tailrace._streams.reading import Decoding
from tailrace._streams.sources import reader_of
from tailrace._streams.stream import EVERYTHING, ChatStream, ReplyStream
from tailrace._streams.sync import BlockingDriver
from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator
    from types import TracebackType

    from tailrace._native import _Dialect
    from tailrace._streams.closing import Deltas
    from tailrace._streams.observing import Observer
    from tailrace._streams.readers import Reader
    from tailrace.errors import TailraceError

__all__ = ["DeltaStream", "EventStream", "RecordStream", "stream_deltas", "stream_events"]

_MOST_BYTES = 8 * 2**20


@overload
def stream_deltas(
    source: object,
    *,
    records: Literal[False] = False,
    dialect: _Dialect | Literal["auto"] = "openai",
    content_type: str | None = None,
    status: int | None = None,
    failure_tail: str | None = None,
    idle: float | None = None,
    max_event_bytes: int = _MOST_BYTES,
    max_body_bytes: int = _MOST_BYTES,
    timings: bool = False,
    keep_raw: bool = False,
    environment: Environment | None = None,
) -> DeltaStream: ...
@overload
def stream_deltas(
    source: object,
    *,
    records: Literal[True],
    dialect: _Dialect | Literal["auto"] = "openai",
    content_type: str | None = None,
    status: int | None = None,
    failure_tail: str | None = None,
    idle: float | None = None,
    max_event_bytes: int = _MOST_BYTES,
    max_body_bytes: int = _MOST_BYTES,
    timings: bool = False,
    keep_raw: bool = False,
    environment: Environment | None = None,
) -> RecordStream: ...
@overload
def stream_deltas(
    source: object,
    *,
    records: bool,
    dialect: _Dialect | Literal["auto"] = "openai",
    content_type: str | None = None,
    status: int | None = None,
    failure_tail: str | None = None,
    idle: float | None = None,
    max_event_bytes: int = _MOST_BYTES,
    max_body_bytes: int = _MOST_BYTES,
    timings: bool = False,
    keep_raw: bool = False,
    environment: Environment | None = None,
) -> DeltaStream | RecordStream: ...
def stream_deltas(
    source: object,
    *,
    records: bool = False,
    dialect: _Dialect | Literal["auto"] = "openai",
    content_type: str | None = None,
    status: int | None = None,
    failure_tail: str | None = None,
    idle: float | None = None,
    max_event_bytes: int = _MOST_BYTES,
    max_body_bytes: int = _MOST_BYTES,
    timings: bool = False,
    keep_raw: bool = False,
    environment: Environment | None = None,
) -> DeltaStream | RecordStream:
    """Return a stream of the deltas of a reply that somebody else opened.

    `source`: a response of aiohttp, httpx, httpx2, requests, urllib3, urllib.request or of the
    openai package's `with_streaming_response`; a binary file, an asyncio.StreamReader or a path;
    any iterable or async iterable of bytes. A list, a tuple and the like are read in the event
    loop, a source that may block is read in a thread. `records`: yield a `Delta` for everything the
    reply adds, not its text alone. `dialect`: the form of the reply, one of `DIALECTS`, or
    ``auto``: the reply's first event, or its first JSON object, that is unmistakably of one
    decides. `content_type`, `status`: the response's own unless given, as its Retry-After always
    is. `failure_tail`: of the dialect ``text``, a literal at the very end that means failure.
    `idle`: seconds without an event, None for no clock. `max_event_bytes`, `max_body_bytes`: the
    most that one event, and a reply that is one body, may hold. `timings`: deltas have times, and
    the tokens that their event told, and the stream has `timings`; `environment` has the clock.
    `keep_raw`: deltas have their event's JSON, and an event that adds nothing is a delta with an
    empty text. Leaving the stream closes the source. Raises InvalidRequestError for a source of an
    unknown kind, an unknown dialect or a wrong option.
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
    kind = RecordStream if records else DeltaStream
    observed = _observer(environment, timings=timings, keep_raw=keep_raw)
    return kind(reader, decoder, idle=_checked(idle), observer=observed)


def stream_events(
    source: object,
    *,
    content_type: str | None = None,
    status: int | None = None,
    idle: float | None = None,
    max_event_bytes: int = _MOST_BYTES,
    timings: bool = False,
    environment: Environment | None = None,
) -> EventStream:
    """Return a stream of the server-sent events (WHATWG HTML 9.2.6) of an opened reply.

    `source`, `status`, `idle`, `max_event_bytes`, `timings` (of the events) and `environment` are
    those of `stream_deltas`. After a status of 400 or more the stream raises a ResponseStatusError
    made of the body; `content_type` is used for that alone. Raises InvalidRequestError as
    `stream_deltas` does.
    """
    reader = reader_of(source)
    decoder = EventDecoder(
        content_type=reader.head.content_type if content_type is None else content_type,
        status=reader.head.status if status is None else status,
        max_event_bytes=max_event_bytes,
    )
    observed = _observer(environment, timings=timings, keep_raw=False)
    return EventStream(reader, decoder, idle=_checked(idle), observer=observed)


def _observer(environment: Environment | None, *, timings: bool, keep_raw: bool) -> Observer | None:
    clock = (environment or Environment()).monotonic_ns
    return observer(clock, timings=timings, keep_raw=keep_raw)


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

    def conceal(self, error: TailraceError) -> None:
        """Leave an error as it is: what was sent is not known here."""

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

    A source that asyncio alone can read is then an InvalidRequestError. One thread reads a stream
    at a time; another one that closes it meanwhile ends its reading where the source has a socket
    of its own.
    """

    _closes_late = True  # the end of a response's body may take a moment

    def __init__(
        self,
        reader: Reader,
        decoder: D,
        *,
        idle: float | None,
        observer: Observer | None = None,
    ) -> None:
        self._decoder = decoder
        opening = OpeningOf(reader, decoder)
        super().__init__(_SourceExchange(reader, opening), idle=idle, observer=observer)
        self._blocking = BlockingDriver(
            self._reading, reader, opening, idle=idle, observer=observer
        )

    def __enter__(self) -> Self:
        self._blocking.blocking_reader()
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
        while not self._ready:
            self._turn_back()
            if not self._blocking.advance():
                raise StopIteration
        return self._ready.popleft()

    def close(self) -> None:
        """Stop reading; the source is closed when this returns. Closing twice is allowed.

        A thread that is reading meanwhile sees the end, and closes the source when it does.
        """
        self._blocking.close()

    def _abandon(self) -> bool:
        return super()._abandon() or self._blocking.abandon()


class DeltaStream(ChatStream, SourceStream[str, DeltaDecoder]):
    """The text of a reply that somebody else opened, as `stream_deltas` reads it."""

    def _iterate_deltas(self, deltas: Deltas) -> Iterator[Delta]:
        pending: deque[Delta] = deltas._pending  # noqa: SLF001 - which this stream fills
        while True:
            while not pending:
                self._turn_to_deltas(pending)
                if not self._blocking.advance():
                    return
            yield pending.popleft()


class RecordStream(SourceStream[Delta, DeltaDecoder]):
    """Text, reasoning, refusals and tool calls of a reply that somebody else opened.

    `stream_deltas` with ``records=True`` makes it.
    """

    _decoding = EVERYTHING

    def _decoding_of(self, observer: Observer) -> Decoding[Delta, DeltaDecoder]:
        return observer.deltas()

    def deltas(self) -> Self:
        """Return this stream, which has deltas of every kind."""
        return self

    async def text(self) -> str:
        """Read the reply to its end and return its text, without what was read before."""
        deltas: list[Delta] = []
        while more := await self.read():
            deltas += more
        return "".join(texts_of(deltas))

    def read_text(self) -> str:
        """Return what `text` does, in blocking code."""
        return "".join(texts_of(self))


class EventStream(SourceStream[ServerSentEvent, EventDecoder]):
    """The events of a reply that somebody else opened, as `stream_events` reads them.

    After the end `end` is ``done`` (events have no end marker: the body was read to its end),
    ``truncated`` or ``failed``. A body that the transport cut is a ReplyBrokenError.
    """

    @property
    def last_event_id(self) -> str:
        """The last event id in force, for the Last-Event-ID header of a new request."""
        return self._decoder.last_event_id

    @property
    def retry(self) -> int | None:
        """The reconnection time in force, in milliseconds."""
        return self._decoder.retry

    _decoding = Decoding(EventDecoder.feed, EventDecoder.close)

    def _decoding_of(self, observer: Observer) -> Decoding[ServerSentEvent, EventDecoder]:
        return observer.events()
