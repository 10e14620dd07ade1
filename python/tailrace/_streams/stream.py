"""The streams that calls return: the deltas of a `ReplyReading`, delivered as they arrive.

This module does not import asyncio: a stream gets its asyncio driver on its first asynchronous use.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from tailrace._calls.exchange import D
from tailrace._native import Delta, DeltaDecoder
from tailrace._streams.closing import ClosingStream, T, TextStream, deltas_of, texts_of
from tailrace._streams.reading import Decoding, ReplyReading

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Awaitable, Callable, Iterable

    from tailrace._calls.exchange import ExchangeOf
    from tailrace._streams.aio import AsyncDriver
    from tailrace._streams.observing import Observer
    from tailrace._streams.outcome import Outcome

__all__ = ["EVERYTHING", "ChatStream", "ReplyStream"]


class ReplyStream(ClosingStream[T], Generic[T, D]):
    """The contents of one reply as they arrive: ``async with`` it and ``async for`` over it.

    A TailraceError ends the iteration once everything before it has been delivered. Leaving ``async
    with``, `aclose` and cancellation close the connection before they return; after a bare
    ``break`` it closes when the last reference goes. One task reads a stream at a time.

    Blocking code uses a plain ``for``. Inside an event loop that is an InvalidRequestError, unless
    the stream is awaited: ``for text in await stream`` reads the reply to its end first.
    """

    _decoding: ClassVar[Decoding[Any, Any]]
    """The decoder's methods that return the items of this stream."""

    _items_of: Callable[[Iterable[Any]], Iterable[Any]] = staticmethod(texts_of)
    """Makes items of this stream of what waits when another one of the reply was read before."""

    _closes_late: ClassVar[bool] = False
    """Whether deltas that came with the end are delivered before the exchange is closed."""

    _driver: AsyncDriver[T, D] | None = None

    def __init__(
        self,
        exchange: ExchangeOf[D],
        *,
        idle: float | None = None,
        total: float | None = None,
        comments_restart_idle: bool = False,
        observer: Observer | None = None,
    ) -> None:
        """Read the reply that `exchange` opens.

        `idle`: seconds without an event; `total`: seconds for the whole call; None turns a clock
        off. A keep-alive comment does not restart the idle clock unless `comments_restart_idle`.
        `observer`: takes times and keeps JSON, if that is wanted.
        """
        self._observer = observer
        self._own: Decoding[T, D] = (
            self._decoding if observer is None else self._decoding_of(observer)
        )
        self._exchange = exchange
        self._idle = idle
        self._total = total
        self._reading: ReplyReading[T, D] = ReplyReading(
            self._own,
            exchange=exchange,
            any_read_is_progress=comments_restart_idle,
        )
        self._ready: deque[T] = self._reading.ready

    @abstractmethod
    def _decoding_of(self, observer: Observer) -> Decoding[T, D]:
        """Return the decoding to the items of this stream while it is observed."""

    @property
    def outcome(self) -> Outcome:
        """The record of how the reply ended, or of how far it is."""
        outcome = self._reading.outcome
        if self._observer is None:
            return outcome
        return replace(outcome, timings=self._observer.timings)

    async def __anext__(self) -> T:
        ready = self._ready
        while not ready:
            driver = self._driver
            if driver is None or self._reading.ready is not ready:
                driver = self._driven()
            if not await driver.advance():
                raise StopAsyncIteration
        return ready.popleft()

    async def read(self) -> list[T]:
        """Return everything that is ready, at least one item, or ``[]`` at the end.

        One call costs less than a step of ``async for`` for each item. Raises the TailraceError
        that ended the stream, once, when all before it has been delivered.
        """
        while not self._ready:
            if not await self._driven().advance():
                return []
        ready = list(self._ready)
        self._ready.clear()
        return ready

    async def aclose(self) -> None:
        """Stop reading; the connection is closed when this returns. Closing twice is allowed.

        A task that is reading meanwhile sees the end.
        """
        await self._make_driver().aclose()

    def __del__(self) -> None:
        # The end of a stream left by a bare `break`. The exchange holds no reference to the stream,
        # so closing it cannot revive the stream.
        self._abandon()

    def _abandon(self) -> bool:
        """Begin to close, from a finalizer; return whether an event loop will do the closing."""
        return self._driver is not None and self._driver.abandon()

    def _driven(self) -> AsyncDriver[T, D]:
        """Return the asyncio driver, for items of this stream."""
        if self._reading.ready is not self._ready:
            self._turn_back()
        return self._driver or self._make_driver()

    def _turn_back(self) -> None:
        """Read items of this stream's own kind again."""
        self._reading.turn_to(self._own, self._ready, self._items_of)

    def _make_driver(self) -> AsyncDriver[T, D]:
        """Return the asyncio driver, made on first use."""
        if self._driver is None:
            self._driver = _async_driver()(
                self._reading,
                self._exchange,
                self._idle,
                self._total,
                self._closes_late,
                observer=self._observer,
            )
        return self._driver


@cache
def _async_driver() -> type[AsyncDriver[Any, Any]]:
    from tailrace._streams.aio import AsyncDriver  # noqa: PLC0415 - it imports asyncio

    return AsyncDriver


class ChatStream(ReplyStream[str, DeltaDecoder], TextStream):
    """The text of one reply, delta by delta, as `Site.stream` and the providers return it.

    `deltas` gives all that the reply holds as it comes; `tool_calls`, `reasoning` and `refusal`
    hold, however it is read, what is no text.
    """

    _decoding = Decoding(DeltaDecoder.feed, DeltaDecoder.close)

    def _decoding_of(self, observer: Observer) -> Decoding[str, DeltaDecoder]:
        return observer.texts()

    @property
    def is_answering(self) -> bool:
        """Whether a server has begun to answer: the head of its reply came and tells no error."""
        return self._reading.is_answering

    def watch(self, heard: Callable[[], None] | None) -> None:
        """Call `heard` whenever events came that add nothing to the answer, such as its role.

        None ends that.
        """
        self._reading.heard = heard

    def _advance_deltas(self, pending: deque[Delta]) -> Awaitable[bool]:
        ready: object = self._reading.ready
        if ready is not pending:
            self._turn_to_deltas(pending)
        # No coroutine of its own, since every event of a reply passes here.
        return (self._driver or self._make_driver()).advance()

    async def _relay_deltas(
        self, pending: deque[Delta], hand_on: Callable[[DeltaDecoder, bytes], bool]
    ) -> None:
        ready: object = self._reading.ready
        if ready is pending and self._observer is None and self._reading.state == "delivering":
            await self._make_driver().relay(hand_on)

    def _deltas_of(self, texts: Iterable[str]) -> list[Delta]:
        return deltas_of(texts) if self._observer is None else self._observer.deltas_of(texts)

    def _turn_to_deltas(self, pending: deque[Delta]) -> None:
        observer = self._observer
        if observer is None:
            self._reading.turn_to(EVERYTHING, pending, deltas_of)
        else:
            self._reading.turn_to(observer.deltas(), pending, observer.deltas_of)


EVERYTHING: Decoding[Delta, DeltaDecoder] = Decoding(
    DeltaDecoder.feed_events, DeltaDecoder.close_events
)
"""The methods of a decoder that return deltas of every kind."""
