"""A reading driven by asyncio: reads awaited under two clocks, and a connection closed in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from tailrace._calls.exchange import D
from tailrace._environment import current_loop, running_loop
from tailrace._streams.clocks import Clocks, undo_cancel
from tailrace.errors import InvalidRequestError, LimitExceeded, ReplyBrokenError, TailraceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tailrace._calls.exchange import ByteSource, ExchangeOf, OpeningOf
    from tailrace._streams.observing import Observer
    from tailrace._streams.reading import ReplyReading

    _Relay: TypeAlias = Callable[[Callable[[bytes], bool]], Awaitable[None]]

__all__ = ["AsyncDriver"]

T = TypeVar("T")


async def _relay_nothing(take: Callable[[bytes], bool]) -> None:
    """Do what the `relay` of a source does that can only be read."""


class AsyncDriver(Generic[T, D]):
    """The asyncio side of a reading: `advance` opens, reads, repeats and closes an exchange.

    One task at a time reads. `idle`, `total`: seconds, None for no clock. `closes_late`: deltas
    that came with the end are delivered before the exchange is closed, which may take a moment.
    `observer`: is told of each read, for its time.
    """

    __slots__ = (
        "_clocks",
        "_closes_late",
        "_exchange",
        "_gone",
        "_is_closing",
        "_observer",
        "_reading",
        "_relay",
        "_source",
    )

    def __init__(
        self,
        reading: ReplyReading[T, D],
        exchange: ExchangeOf[D],
        idle: float | None,
        total: float | None,
        closes_late: bool,  # noqa: FBT001 - one caller
        *,
        observer: Observer | None,
    ) -> None:
        self._reading = reading
        self._exchange = exchange
        self._clocks = Clocks(idle, total)
        self._closes_late = closes_late
        self._observer = observer
        self._source: ByteSource | None = None
        self._relay: _Relay = _relay_nothing
        self._is_closing = False
        self._gone: asyncio.Event | None = None  # made by a task that waits for the closing

    async def advance(self) -> bool:
        """Wait for a delta and return True; at the end return False or raise the failure, once."""
        # One coroutine and few calls: with an event a read, this is run for each event.
        reading, clocks, observer = self._reading, self._clocks, self._observer
        if reading.ended:
            return await self._deliver_rest()
        loop = asyncio._get_running_loop() or running_loop()  # noqa: SLF001 - a call less
        if clocks.loop is not loop or clocks.reader is not None or reading.is_being_read:
            self._enter(loop)
        reading.is_being_read = True
        clocks.reader = task = asyncio.current_task(loop)
        cancelling = 0 if task is None else task.cancelling()
        try:
            source = self._source or self._begin(reading.opening or await self._exchange.open())
            while not reading.ready and not reading.ended:
                clocks.wait()
                try:
                    is_relay = reading.hand_on is not None
                    data = await (self._relayed(source) if is_relay else source.read())
                except (ReplyBrokenError, LimitExceeded, asyncio.CancelledError) as error:
                    self._break_off(error, cancelling)
                else:
                    if observer is not None:
                        observer.take_time()
                    if reading.feed(data):
                        clocks.go_on(reading.progressed)
                        continue
                clocks.stay()
                source = await self._after(source)
        except BaseException as error:
            if await self._ended_by(error, task, cancelling):
                raise
        finally:
            clocks.reader = None
            reading.is_being_read = False
        return (bool(reading.ready) and not reading.left) or reading.deliver()

    async def relay(self, hand_on: Callable[[D, bytes], bool]) -> None:
        """Have `hand_on` decode what comes and take its deltas, while it returns True.

        A delta has been delivered before. Returns when something is ready that it did not take, and
        at the end; raises the failure, once, as `advance` does.
        """
        self._reading.hand_on = hand_on
        try:
            await self.advance()
        finally:
            self._reading.hand_on = None

    async def _relayed(self, source: ByteSource) -> bytes:
        """Take what comes where it arrives; return the first bytes that did not come so."""
        await self._relay(self._take)
        return b"" if self._reading.ended else await source.read()

    def _take(self, data: bytes) -> bool:
        """Take bytes where they arrive; return whether the next ones may be taken so, too."""
        reading, clocks = self._reading, self._clocks
        if not reading.feed(data):
            return False
        clocks.go_on(reading.progressed)
        clocks.wait()
        return reading.hand_on is not None

    async def _deliver_rest(self) -> bool:
        if self._closes_late:
            await self._release()
        return self._reading.deliver()

    def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin the first step of all; InvalidRequestError where somebody else is reading."""
        clocks = self._clocks
        if clocks.reader is not None or self._reading.is_being_read:
            who = "a thread" if clocks.reader is None else "another task"
            raise InvalidRequestError(f"{who} is reading this stream: one at a time")
        if clocks.loop is not None:
            raise InvalidRequestError("the stream belongs to another event loop")
        clocks.begin(loop)

    def _break_off(self, error: BaseException, cancelling: int) -> None:
        """End the reply with the error of a read, or with the idle clock's; raise any other."""
        if self._observer is not None:
            self._observer.take_time()
        if isinstance(error, asyncio.CancelledError):
            ran_out = self._clocks.ran_out_of("idle", cancelling)
            if ran_out is None:
                raise error
            self._reading.break_off(ran_out)
        elif isinstance(error, TailraceError):
            self._reading.break_off(error)

    async def _ended_by(
        self, error: BaseException, task: asyncio.Task[Any] | None, cancelling: int
    ) -> bool:
        """End the reading, as `error` has it; return whether the caller gets the error itself."""
        reading = self._reading
        if isinstance(error, TailraceError):
            reading.fail(error)
            await self._stop()
            return False
        ran_out = None
        if self._observer is not None:
            self._observer.take_time()
        if isinstance(error, asyncio.CancelledError):
            ran_out = self._clocks.ran_out_of("total", cancelling)
        if ran_out is None:
            reading.stop()
        else:
            reading.expire(ran_out)
        await self._stop()
        if not isinstance(error, asyncio.CancelledError):
            return True
        return ran_out is None and not (reading.left and undo_cancel(task, cancelling))

    async def aclose(self) -> None:
        """Leave the reading: a task that reads sees the end. The exchange is closed on return."""
        self._reading.leave()
        if self._clocks.loop is not None and self._clocks.loop is not current_loop():
            self.abandon()  # what its loop left open can only be closed there
            self._reading.released = True
            return
        reader = self._clocks.reader
        if reader is None or reader is asyncio.current_task():
            await self._release()
            return
        if not self._reading.released:
            reader.cancel()
            await self._until_gone()
        elif self._is_closing:
            await self._until_gone()

    def abandon(self) -> bool:
        """Close without waiting, from a finalizer; return whether the reading loop still lives."""
        self._clocks.stop()
        loop = self._clocks.loop
        if loop is None or loop.is_closed():
            return False
        if not self._reading.released:
            loop.call_soon_threadsafe(self._exchange.abort)
        return True

    def _begin(self, opening: OpeningOf[D]) -> ByteSource:
        self._reading.begin(opening)
        self._source = opening.source
        self._relay = getattr(opening.source, "relay", _relay_nothing)
        return opening.source

    async def _after(self, source: ByteSource) -> ByteSource:
        """Begin a reply that replaces the one from `source`, or stop; return the source to read."""
        reading = self._reading
        if reading.undecided is not None and reading.opening is not None:
            opening = await self._exchange.again(reading.opening, reading.undecided)
            if opening is not None:
                self._clocks.restart()
                return self._begin(opening)
            reading.settle()
        await self._stop()
        return source

    async def _stop(self) -> None:
        if not (self._closes_late and self._reading.ready):
            await self._release()

    async def _release(self) -> None:
        self._clocks.stop()
        if self._reading.released:
            if self._is_closing:
                await self._until_gone()
            return
        self._reading.released = self._is_closing = True
        try:
            await self._exchange.aclose()
        except asyncio.CancelledError:
            self._exchange.abort()
            raise
        finally:
            self._is_closing = False
            if self._gone is not None:
                self._gone.set()

    async def _until_gone(self) -> None:
        if self._gone is None:
            self._gone = asyncio.Event()
        await self._gone.wait()
