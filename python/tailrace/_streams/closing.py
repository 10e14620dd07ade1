"""The base of every stream: read as it arrives, closed when left, with an outcome."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Generic, Self, TypeAlias, TypeVar

from tailrace._streams.outcome import HasOutcome

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ClosingStream", "T", "TextStream"]

T = TypeVar("T")  # the items of a stream


class ClosingStream(HasOutcome, Generic[T]):
    """A stream to use with ``async with`` and ``async for``; leaving ``async with`` closes it."""

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
