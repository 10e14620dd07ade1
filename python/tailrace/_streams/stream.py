"""A reply's bytes in, its text out as it arrives, and how it ended.

`ChatStream` is what every streaming call returns. It reads from an `Exchange` (a provider's call,
or a reply that somebody else opened: `tailrace._streams.opened`), feeds a decoder, and runs the
idle and total clocks. What came before a failure is always delivered before the failure is raised;
leaving closes the connection. `ReplyStream` is all of it that does not depend on what the decoder
makes of the bytes.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections import deque
from math import inf
from typing import Any, Generic

from tailrace import errors
from tailrace._calls.exchange import D, ExchangeOf, OpeningOf
from tailrace._native import DeltaDecoder
from tailrace._streams.closing import ClosingStream, T
from tailrace._streams.outcome import Outcome
from tailrace.errors import (
    InvalidRequestError,
    LimitExceeded,
    ReplyBrokenError,
    ResponseStatusError,
    TailraceError,
)

__all__ = [
    "ChatStream",
    "ReplyStream",
]

log: logging.Logger = logging.getLogger("tailrace")


class ReplyStream(ClosingStream[T], Generic[T, D]):
    """What one reply holds, as it arrives: ``async with`` it and ``async for`` over it.

    A TailraceError ends the iteration once what came before it has been delivered. Leaving ``async
    with``, `aclose` and cancellation close the connection before they return; after a bare
    ``break`` it closes when the last reference goes. One task reads a stream at a time.
    """

    def __init__(
        self,
        exchange: ExchangeOf[D],
        *,
        idle: float | None = None,
        total: float | None = None,
        comments_restart_idle: bool = False,
    ) -> None:
        """`idle`: seconds without an event; `total`: seconds for the whole call; None turns a clock
        off.

        A keep-alive comment does not restart the idle clock unless `comments_restart_idle`.
        """
        self._exchange = exchange
        self._clocks = _Clocks(idle, total)
        self._any_read_is_progress = comments_restart_idle
        self._opening: OpeningOf[D] | None = None
        self._events = 0
        self._ready: deque[T] = deque()
        self._delivering = False
        self._left = False
        self._ended = False
        self._released = False
        self._gone = asyncio.Event()
        self._failure: TailraceError | None = None
        self._error: TailraceError | None = None

    @abstractmethod
    def _take(self, decoder: D, data: bytes) -> list[T]:
        """Feed the decoder: what `data` completes."""

    @abstractmethod
    def _take_rest(self, decoder: D, *, complete: bool) -> list[T]:
        """Close the decoder: what it held back."""

    @property
    def outcome(self) -> Outcome:
        """How the reply went, or has gone so far, as one record."""
        attempts = getattr(self._exchange, "attempts", ())  # of `Retrying` alone
        if self._opening is None:
            end = "open" if self._error is None else "failed"
            return Outcome(end, self._error, attempts=attempts)
        decoder = self._opening.decoder
        return Outcome(
            "failed" if decoder.end == "open" and self._error is not None else decoder.end,
            self._error,
            decoder.finish_reason,
            decoder.usage,
            decoder.ids,
            decoder.bad_events,
            attempts,
        )

    # -- reading -----------------------------------------------------------------------------------

    async def __anext__(self) -> T:
        if not self._ready and not await self._advance():
            raise StopAsyncIteration
        return self._ready.popleft()

    async def read(self) -> list[T]:
        """Return all that is ready, at least one, or ``[]`` at the end: cheaper than a step for
        each.
        """
        if not self._ready and not await self._advance():
            return []
        ready = list(self._ready)
        self._ready.clear()
        return ready

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
        # A bare `break` ends here. The exchange does not know this object, so nothing it does can
        # bring it back.
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
        if self._clocks.loop is None:
            self._clocks.begin()
        if self._opening is None:
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
                    if self._goes_on(opening.decoder):
                        self._clocks.restart()
                    else:
                        self._clocks.stay()
                    continue
                failure = self._verdict(opening)
            self._clocks.stay()
            await self._finish(opening, failure)

    def _feed(self, decoder: D, data: bytes) -> bool:
        """Whether there may be more to read."""
        if data:
            self._ready.extend(self._take(decoder, data))
            if decoder.end == "open":
                return True
        self._ready.extend(self._take_rest(decoder, complete=True))
        return False

    def _goes_on(self, decoder: D) -> bool:
        """Whether the last read brought something that restarts the idle clock."""
        events = decoder.events
        if (
            events == self._events
            and not self._any_read_is_progress
            and decoder.framing not in _UNFRAMED
        ):
            return False
        self._events = events
        return True

    def _verdict(self, opening: OpeningOf[D]) -> TailraceError | None:
        """What the decoder found wrong with a reply that has been read."""
        failure = opening.decoder.error
        if isinstance(failure, ResponseStatusError):
            failure.retry_after = getattr(
                opening.source, "retry_after", None
            )  # bytes at hand have no header
        return failure

    def _broken_off(self, failure: TailraceError) -> TailraceError | None:
        """The bytes broke off, or a clock ran out: what the decoder holds counts all the same, and
        may be the end.

        Returns what that makes of the failure: a reply that turns out to be whole has none.
        """
        if self._opening is None or self._opening.decoder.end != "open":
            return failure
        decoder = self._opening.decoder
        self._ready.extend(self._take_rest(decoder, complete=False))
        if decoder.end == "truncated" and not isinstance(failure, ReplyBrokenError):
            return failure
        verdict = self._verdict(self._opening)
        if verdict is not None and failure.__cause__ is not None:
            verdict.__cause__ = failure.__cause__
        return verdict

    async def _finish(self, opening: OpeningOf[D], failure: TailraceError | None) -> None:
        if failure is not None and not self._delivering and not self._ready:
            self._opening = await self._exchange.again(opening, failure) or opening
            if self._opening is not opening:
                self._clocks.restart()
                self._events = 0
                return
        self._settle(opening.decoder, failure)
        await self._stop()

    def _settle(self, decoder: D, failure: TailraceError | None) -> None:
        """Nothing more is read: note how it went."""
        if decoder.bad_events:
            log.warning("%d of %d events skipped: bad data", decoder.bad_events, decoder.events)
        if failure is not None:
            self._fail(failure)

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


class ChatStream(ReplyStream[str, DeltaDecoder]):
    """The text of one reply."""

    def _take(self, decoder: DeltaDecoder, data: bytes) -> list[str]:
        return decoder.feed(data)

    def _take_rest(self, decoder: DeltaDecoder, *, complete: bool) -> list[str]:
        return decoder.close(complete=complete)


class _Clocks:
    """The idle and the total clock of a stream, on one timer that looks again when it fires.

    A timer a read would cost a paced stream as much as the read. `idle`: seconds waited without
    progress, added up over reads; time the consumer takes for itself does not count. `total`:
    seconds since the first step, whatever happens in them. `reader` is the task within a step, if
    there is one: when a clock runs out it is cancelled, the way `asyncio.timeout` does it. `loop`
    is known from the first step on.
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
