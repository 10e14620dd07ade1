"""A reply's bytes in, its text out as it arrives, and how it ended.

`ChatStream` is what every streaming call returns. It reads from an `Exchange` (a provider's call, or a source of bytes
somebody has at hand), feeds a `DeltaDecoder`, and runs the idle and total clocks. Text that came before a failure is
always delivered before the failure is raised; leaving closes the connection.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, Self

from tailrace import errors
from tailrace._native import DeltaDecoder
from tailrace.errors import InvalidRequestError, LimitExceeded, ReplyBrokenError, ResponseStatusError, TailraceError

if TYPE_CHECKING:
    from types import TracebackType

    from tailrace._native import Usage

__all__ = ["ByteSource", "ChatStream", "ClosingStream", "Exchange", "Opening", "stream_deltas"]

log: logging.Logger = logging.getLogger("tailrace")


class ByteSource(Protocol):
    """Where a reply's bytes come from; `tailrace.transport.Reply` is one."""

    async def read(self) -> bytes:
        """The next bytes as they came, ``b""`` at the end; `ReplyBrokenError` when they broke off."""
        ...


@dataclass(frozen=True, slots=True)
class Opening:
    """One reply about to be read, and the decoder made for it."""

    source: ByteSource
    decoder: DeltaDecoder


class Exchange(Protocol):
    """One call, from its first request to the closing of its connection. Every failure is a TailraceError."""

    async def open(self) -> Opening:
        """Send the request and return the reply."""
        ...

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:
        """Another reply in place of one that failed before its first delta, or None: the failure stands."""
        ...

    async def aclose(self) -> None:
        """Close what is open; the connection is gone when this returns."""
        ...

    def abort(self) -> None:
        """As `aclose`, without waiting: for finalizers."""
        ...


class ClosingStream(ABC):
    """What every stream of text has: iterated over, and closed when its ``async with`` is left."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop reading; the connection is closed when this returns."""

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class ChatStream(ClosingStream):
    """The text of one reply: ``async with`` it and ``async for`` over it.

    A TailraceError ends the iteration once the text before it has been delivered. Leaving ``async with``, `aclose` and
    cancellation close the connection before they return; after a bare ``break`` it closes when the last reference
    goes. One task reads a stream at a time.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        idle: float | None = None,
        total: float | None = None,
        comments_restart_idle: bool = False,
    ) -> None:
        """`idle`: seconds without an event; `total`: seconds for the whole call; None turns a clock off.

        A keep-alive comment does not restart the idle clock unless `comments_restart_idle`.
        """
        self._exchange = exchange
        self._clocks = _Clocks(idle, total)
        self._any_read_is_progress = comments_restart_idle
        self._opening: Opening | None = None
        self._events = 0
        self._ready: deque[str] = deque()
        self._delivering = False
        self._left = False
        self._ended = False
        self._released = False
        self._gone = asyncio.Event()
        self._failure: TailraceError | None = None
        self._error: TailraceError | None = None

    # -- how it went ---------------------------------------------------------------------------------------------------

    @property
    def end(self) -> str:
        """``open`` until the end; then ``done``, ``stopped``, ``truncated`` or ``failed``."""
        if self._opening is None:
            return "failed" if self._error is not None else "open"
        return self._opening.decoder.end

    @property
    def error(self) -> TailraceError | None:
        """What ended the stream, if it was a failure; the iteration has raised the same."""
        return self._error

    @property
    def attempts(self) -> tuple[TailraceError, ...]:
        """The failures that were followed by another try of the same site; a failure in the end has them too."""
        attempts: tuple[TailraceError, ...] = getattr(self._exchange, "attempts", ())  # of `Retrying` alone
        return attempts

    @property
    def finish_reason(self) -> str | None:
        """The model's own word on why it stopped, where the site passes it on."""
        return None if self._opening is None else self._opening.decoder.finish_reason

    @property
    def usage(self) -> Usage | None:
        """The token counts the stream reported."""
        return None if self._opening is None else self._opening.decoder.usage

    @property
    def ids(self) -> dict[str, str]:
        """What the stream says of itself: ``id``, ``model``, ``thread_id``, …."""
        return {} if self._opening is None else self._opening.decoder.ids

    @property
    def bad_events(self) -> int:
        """How many events were skipped because their data was not what the dialect promises."""
        return 0 if self._opening is None else self._opening.decoder.bad_events

    def __repr__(self) -> str:
        return f"<ChatStream {self.end}>"

    # -- reading -------------------------------------------------------------------------------------------------------

    async def __anext__(self) -> str:
        if not self._ready and not await self._advance():
            raise StopAsyncIteration
        return self._ready.popleft()

    async def read(self) -> list[str]:
        """Return all deltas that are ready, at least one, or ``[]`` at the end: cheaper than a step a delta."""
        if not self._ready and not await self._advance():
            return []
        deltas = list(self._ready)
        self._ready.clear()
        return deltas

    async def aclose(self) -> None:
        """Stop reading; the connection is closed when this returns. Closing twice is allowed.

        A task that is reading meanwhile sees the end.
        """
        self._left = self._ended = True
        self._failure = None
        self._ready.clear()
        reader = self._clocks.reader
        if reader is None or reader is asyncio.current_task():
            await self._release()
            return
        if not self._released:
            reader.cancel()
        await self._gone.wait()

    def __del__(self) -> None:
        # A bare `break` ends here. The exchange does not know this object, so nothing it does can bring it back.
        self._clocks.stop()
        loop = self._clocks.loop
        if not self._released and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._exchange.abort)

    async def _advance(self) -> bool:
        """Wait until a delta is ready: True. At the end: False, or the failure is raised (once)."""
        if self._ended:
            return self._conclude()
        if self._clocks.reader is not None:
            raise InvalidRequestError("another task is reading this stream: one at a time")
        self._clocks.reader = task = asyncio.current_task(self._clocks.loop)
        cancelling = 0 if task is None else task.cancelling()
        try:
            await self._step(cancelling)
        except TailraceError as error:
            self._fail(error)
            await self._stop()
        except asyncio.CancelledError:
            ran_out = self._clocks.ran_out_of("total", cancelling)
            failure = None if ran_out is None else self._broken_off(ran_out)
            if failure is not None:
                self._fail(failure)
            await self._stop()
            if ran_out is None and not (self._left and _is_taken_back(task, cancelling)):
                raise
        except BaseException:
            await self._stop()
            raise
        finally:
            self._clocks.reader = None
        if self._left:
            self._failure = None
            self._ready.clear()
        if self._ready:
            self._delivering = True
            return True
        return self._conclude()

    def _conclude(self) -> bool:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return False

    async def _step(self, cancelling: int) -> None:
        """Read until a delta is ready or the reply has ended."""
        if self._opening is None:
            self._clocks.begin()
            self._opening = await self._exchange.open()
        while not self._ready and not self._ended:
            opening = self._opening
            self._clocks.wait()
            try:
                data = await opening.source.read()
            except (ReplyBrokenError, LimitExceeded) as error:
                failure = self._broken_off(error)
            except asyncio.CancelledError:
                ran_out = self._clocks.ran_out_of("idle", cancelling)
                if ran_out is None:
                    raise
                failure = self._broken_off(ran_out)
            else:
                if self._feed(opening.decoder, data):
                    continue
                failure = opening.decoder.error
                if isinstance(failure, ResponseStatusError):
                    failure.retry_after = getattr(opening.source, "retry_after", None)  # bytes at hand have no header
            self._clocks.stay()
            await self._finish(opening, failure)

    def _feed(self, decoder: DeltaDecoder, data: bytes) -> bool:
        """Whether there may be more to read."""
        if not data:
            self._ready.extend(decoder.close())
            return False
        self._ready.extend(decoder.feed(data))
        if decoder.end != "open":
            self._ready.extend(decoder.close())
            return False
        events = decoder.events
        if events != self._events or self._any_read_is_progress or decoder.framing in _UNFRAMED:
            self._events = events
            self._clocks.restart()
        else:
            self._clocks.stay()
        return True

    def _broken_off(self, failure: TailraceError) -> TailraceError | None:
        """The bytes broke off, or a clock ran out: what the decoder holds is text all the same, and may be the end.

        Returns what that makes of the failure: a reply that turns out to be whole has none.
        """
        if self._opening is None or self._opening.decoder.end != "open":
            return failure
        decoder = self._opening.decoder
        self._ready.extend(decoder.close(complete=False))
        if decoder.end == "truncated" and not isinstance(failure, ReplyBrokenError):
            return failure
        if decoder.error is not None and failure.__cause__ is not None:
            decoder.error.__cause__ = failure.__cause__
        return decoder.error

    async def _finish(self, opening: Opening, failure: TailraceError | None) -> None:
        if failure is not None and not self._delivering and not self._ready:
            self._opening = await self._exchange.again(opening, failure) or opening
            if self._opening is not opening:
                self._clocks.restart()
                self._events = 0
                return
        if opening.decoder.bad_events:
            log.warning("%d of %d events skipped: bad data", opening.decoder.bad_events, opening.decoder.events)
        if failure is not None:
            self._fail(failure)
        await self._stop()

    def _fail(self, failure: TailraceError) -> None:
        if self.attempts:
            failure.attempts = self.attempts
        self._failure = self._error = failure

    async def _stop(self) -> None:
        self._ended = True
        await self._release()

    async def _release(self) -> None:
        self._clocks.stop()
        if self._released:
            await self._gone.wait()
            return
        self._released = True
        try:
            await self._exchange.aclose()
        except asyncio.CancelledError:
            self._exchange.abort()
            raise
        finally:
            self._gone.set()


_UNFRAMED = ("json", "text")  # replies without comments: every read brings something of the answer


class _Clocks:
    """The idle and the total clock of a stream, on one timer that looks again when it fires.

    A timer a read would cost a paced stream as much as the read. `idle`: seconds waited without progress, added up over
    reads; time the consumer takes for itself does not count. `total`: seconds since the first step, whatever happens in
    them. `reader` is the task within a step, if there is one: when a clock runs out it is cancelled, the way
    `asyncio.timeout` does it. `loop` is known from the first step on.
    """

    def __init__(self, idle: float | None, total: float | None) -> None:
        self.reader: asyncio.Task[Any] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._idle = idle
        self._total = total
        self._is_off = idle is None and total is None
        self._deadline: float | None = None
        self._waited = 0.0
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ran_out: errors.TimeoutPhase | None = None

    def begin(self) -> None:
        """The first step of all begins: the total clock runs."""
        self.loop = asyncio.get_running_loop()
        if self._total is not None:
            now = self.loop.time()
            self._deadline = now + self._total
            self._look_again(now)

    def wait(self) -> None:
        """Begin to wait for a read: the idle clock runs."""
        if self._is_off or self.loop is None:
            return
        self._since = self.loop.time()
        if self._timer is None:
            self._look_again(self._since)

    def restart(self) -> None:
        """The reply went on: what has been waited does not count."""
        self._waited = 0.0
        self._since = self._ran_out = None

    def stay(self) -> None:
        """What was read, if anything, was no progress: what has been waited counts on."""
        if self._since is not None and self.loop is not None:
            self._waited += self.loop.time() - self._since
            self._since = None

    def stop(self) -> None:
        """No clock runs any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ran_out_of(self, phase: errors.TimeoutPhase, cancelling: int) -> errors.TimeoutError | None:
        """The error of the clock `phase`, if that alone is why the reader has been cancelled."""
        if self._ran_out != phase or not _is_taken_back(self.reader, cancelling):
            return None
        self._ran_out = None
        return errors.TimeoutError(phase, (self._idle if phase == "idle" else self._total) or 0.0)

    def _look(self) -> None:
        self._timer = None
        if self.reader is None or self.loop is None:
            return  # nobody waits; the next read starts the timer again
        now = self.loop.time()
        if self._deadline is not None and self._deadline <= now:
            self._ran_out = "total"
        elif self._since is not None and self._idle_due(self._since) <= now:
            self._ran_out = "idle"
        if self._ran_out is None:
            self._look_again(now)
        else:
            self.reader.cancel()

    def _look_again(self, now: float) -> None:
        """Set the timer to when, at the earliest, a clock will have run out, if there is one."""
        due = self._idle_due(now if self._since is None else self._since)
        if self._deadline is not None:
            due = min(due, self._deadline)
        if self.loop is not None:
            self._timer = self.loop.call_at(due, self._look)

    def _idle_due(self, since: float) -> float:
        return inf if self._idle is None else since + self._idle - self._waited


def _is_taken_back(task: asyncio.Task[Any] | None, cancelling: int) -> bool:
    """Take back one cancellation of ours; whether nobody else's is left."""
    return task is not None and task.uncancel() <= cancelling


# -- sources somebody has at hand --------------------------------------------------------------------------------------


def stream_deltas(
    source: object,
    *,
    dialect: str = "openai",
    content_type: str | None = None,
    status: int | None = None,
    failure_tail: str | None = None,
    idle: float | None = None,
    max_event_bytes: int = 8 * 2**20,
    max_body_bytes: int = 8 * 2**20,
) -> ChatStream:
    """Text deltas of a reply somebody else opened.

    `source`: an aiohttp or httpx response, or any iterable or async iterable of bytes (a synchronous one is read in the
    event loop). Status and Content-Type are the response's unless given. `idle` in seconds, None for no clock. Leaving
    closes the source. Raises InvalidRequestError for a source of an unknown kind, an unknown dialect or a wrong option.
    """
    if idle is not None and not idle > 0:
        raise InvalidRequestError("idle must be a number of seconds above 0, or None for no clock")
    reader = _reader(source)
    decoder = DeltaDecoder(
        dialect,
        content_type=content_type if content_type is not None else _content_type(source),
        status=status if status is not None else _status(source),
        failure_tail=failure_tail,
        max_event_bytes=max_event_bytes,
        max_body_bytes=max_body_bytes,
    )
    return ChatStream(_SourceExchange(reader, Opening(reader, decoder)), idle=idle)


def _content_type(source: object) -> str | None:
    headers = getattr(source, "headers", None)
    value = headers.get("content-type") if headers is not None else None
    return value if isinstance(value, str) else None


def _status(source: object) -> int:
    for name in ("status", "status_code"):
        value = getattr(source, name, None)
        if isinstance(value, int):
            return value
    return 200


def _reader(source: Any) -> _ChunkReader:
    if hasattr(source, "aiter_bytes"):  # httpx, whose `content` cannot be asked for before the reply has been read
        return _ChunkReader(source.aiter_bytes(), source)
    if hasattr(source, "content") and hasattr(source.content, "iter_any"):  # aiohttp
        return _ChunkReader(source.content.iter_any(), source)
    if isinstance(source, AsyncIterable):
        return _ChunkReader(aiter(source), source)
    if isinstance(source, Iterable) and not isinstance(source, str | bytes | bytearray | memoryview):
        return _ChunkReader(_each(source), source)
    kind = type(source).__name__
    raise InvalidRequestError(f"cannot read a reply from {kind}: give a response or an iterable of bytes")


async def _each(source: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in source:
        yield chunk


_LARGEST_READ = 256 * 2**10  # bytes, as many as one read of a socket may bring


class _ChunkReader:
    """Chunks in, reads out: empty chunks are no end, and what the source raises breaks the reply off.

    A large chunk is read in pieces, and the loop has its turn between two of them.
    """

    def __init__(self, chunks: AsyncIterator[bytes], owner: Any) -> None:
        self._chunks = chunks
        self._owner = owner
        self._rest = memoryview(b"")

    async def read(self) -> bytes:
        if self._rest:
            await asyncio.sleep(0)
            return self._piece()
        while True:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                return b""
            except Exception as error:
                # The source is the caller's own, so its exception may stand behind ours.
                raise ReplyBrokenError(f"the source failed with {type(error).__name__}") from error
            if not isinstance(chunk, bytes | bytearray | memoryview):
                raise InvalidRequestError(f"a chunk of the source is {type(chunk).__name__}, not bytes")
            data = bytes(chunk)
            if len(data) > _LARGEST_READ:
                self._rest = memoryview(data)
                return self._piece()
            if data:
                return data

    def _piece(self) -> bytes:
        piece, self._rest = bytes(self._rest[:_LARGEST_READ]), self._rest[_LARGEST_READ:]
        return piece

    async def aclose(self) -> None:
        for closable in (self._chunks, self._owner):
            close = getattr(closable, "aclose", None) or getattr(closable, "close", None)
            if close is not None:
                waiting = close()
                if hasattr(waiting, "__await__"):
                    await waiting

    def abort(self) -> None:
        closing = asyncio.ensure_future(self.aclose())
        _closing.add(closing)
        closing.add_done_callback(_forget)


_closing: set[asyncio.Future[None]] = set()  # the loop itself keeps no task alive


def _forget(closing: asyncio.Future[None]) -> None:
    _closing.discard(closing)
    if not closing.cancelled():
        closing.exception()  # nobody reads this stream any more


class _SourceExchange:
    """An exchange that is already under way: nothing to send, nothing to repeat."""

    def __init__(self, reader: _ChunkReader, opening: Opening) -> None:
        self._reader = reader
        self._opening = opening

    async def open(self) -> Opening:
        return self._opening

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:  # noqa: ARG002
        return None

    async def aclose(self) -> None:
        await self._reader.aclose()

    def abort(self) -> None:
        self._reader.abort()
