"""The base of every stream: read as it arrives, closed when left, with an outcome."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar

from tailrace._streams.outcome import HasOutcome
from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType

    from tailrace._streams.outcome import Outcome

__all__ = ["ClosingStream", "ReadStream", "T", "TextStream"]

T = TypeVar("T")  # the items of a stream


class ClosingStream(HasOutcome, Generic[T]):
    """A stream to use with ``async with`` and ``async for``; leaving ``async with`` closes it.

    Blocking code uses a plain ``for``. Inside an event loop that is an InvalidRequestError, unless
    the stream is awaited: ``for text in await stream`` reads the reply to its end first.
    """

    @abstractmethod
    async def __anext__(self) -> T: ...

    @abstractmethod
    async def read(self) -> list[T]:
        """Return everything that is ready, at least one item, or ``[]`` at the end."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop reading; the connection is closed when this returns. Closing twice is allowed."""

    def __aiter__(self) -> Self:
        return self

    def __await__(self) -> Generator[Any, None, ReadStream[T]]:
        return _read_whole(self).__await__()

    def __iter__(self) -> Iterator[T]:
        return _blocking_iteration()(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


TextStream: TypeAlias = ClosingStream[str]
"""A stream of text: a `ChatStream`, or one that reads several after one another."""


class ReadStream(ClosingStream[T]):
    """A reply that was read to its end, as ``await stream`` returns it.

    A plain ``for`` and ``async for`` both go through its items. The error that ended the reply is
    raised once, behind them.
    """

    def __init__(self, items: list[T], error: TailraceError | None, outcome: Outcome) -> None:
        self._items = deque(items)
        self._error = error
        self._outcome = outcome

    @property
    def outcome(self) -> Outcome:
        """The record of how the reply ended."""
        return self._outcome

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._items:
            return self._items.popleft()
        self._raise_once()
        raise StopIteration

    async def __anext__(self) -> T:
        if self._items:
            return self._items.popleft()
        self._raise_once()
        raise StopAsyncIteration

    async def read(self) -> list[T]:
        """Return all items that are left, or ``[]`` when there are none."""
        items = list(self._items)
        self._items.clear()
        if not items:
            self._raise_once()
        return items

    async def aclose(self) -> None:
        """Forget the items that are left."""
        self._items.clear()
        self._error = None

    def _raise_once(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


async def _read_whole(stream: ClosingStream[T]) -> ReadStream[T]:
    items: list[T] = []
    failure: TailraceError | None = None
    async with stream:
        try:
            while more := await stream.read():
                items += more
        except TailraceError as error:
            failure = error
    return ReadStream(items, failure, stream.outcome)


@cache
def _blocking_iteration() -> Callable[[ClosingStream[Any]], Iterator[Any]]:
    from tailrace._streams.loop_thread import iterate_stream  # noqa: PLC0415 - it imports asyncio

    return iterate_stream
