"""An async iterator of somebody else's as a stream of text: closed when left, with an outcome.

Its own exceptions pass as they are: it is the caller's own code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any

from tailrace._environment import running_loop
from tailrace._streams.clocks import undo_cancel
from tailrace._streams.closing import ClosingStream, TextStream
from tailrace._streams.outcome import Outcome
from tailrace.errors import InvalidRequestError, TailraceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["as_text_stream"]


def as_text_stream(made: object) -> TextStream:
    """Return what a `create_async_generator` made as a stream of text.

    `made`: one of our streams, which is returned, an async iterator, or an awaitable of one.
    Raises InvalidRequestError for what is none of these.
    """
    if isinstance(made, ClosingStream):
        return made
    if isinstance(made, AsyncIterable) or hasattr(made, "__await__"):
        return _IteratedStream(made)
    raise InvalidRequestError(
        f"create_async_generator must return an async iterator of text, not {type(made).__name__}"
    )


class _IteratedStream(ClosingStream[str]):
    """The items of an async iterator as text; an item that is no text is what `str` makes of it.

    None is no item, as gpt4free has it.
    """

    def __init__(self, made: Any) -> None:
        self._made = made
        self._iterator: AsyncIterator[object] | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._is_over = False
        self._gone = asyncio.Event()
        self._outcome = Outcome()

    @property
    def outcome(self) -> Outcome:
        """The record of how the text ended; an iterator says no more than that it ended."""
        return self._outcome

    async def __anext__(self) -> str:
        for text in await self.read():
            return text
        raise StopAsyncIteration

    async def read(self) -> list[str]:
        """Return the next text that is not empty, or ``[]`` at the end."""
        if self._reader is not None:
            raise InvalidRequestError("another task is reading this stream: one at a time")
        if self._is_over:
            return []
        self._reader = task = asyncio.current_task(running_loop())
        cancelling = 0 if task is None else task.cancelling()
        try:
            return await self._next()
        except asyncio.CancelledError:
            await self._close()
            if self._is_over and undo_cancel(task, cancelling):
                return []
            raise
        except BaseException as error:
            self._is_over = True
            failure = error if isinstance(error, TailraceError) else None
            self._outcome = Outcome("failed", failure)
            await self._close()
            raise
        finally:
            self._reader = None

    async def aclose(self) -> None:
        """Stop reading; the iterator is closed when this returns. Closing twice is allowed."""
        reader, self._is_over = self._reader, True
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
            await self._gone.wait()
        else:
            await self._close()

    async def _next(self) -> list[str]:
        if self._iterator is None:
            made = self._made if isinstance(self._made, AsyncIterable) else await self._made
            if not isinstance(made, AsyncIterable):
                kind = type(made).__name__
                raise InvalidRequestError(
                    f"create_async_generator must return an async iterator of text, not {kind}"
                )
            self._iterator = aiter(made)
        async for item in self._iterator:
            if item is not None and (text := str(item)):
                return [text]
        self._is_over = True
        self._outcome = Outcome("done")
        return []

    async def _close(self) -> None:
        try:
            made: Any = self._made if self._iterator is None else self._iterator
            close = getattr(made, "aclose", None) or getattr(made, "close", None)
            closing = None if close is None else close()
            if closing is not None and hasattr(closing, "__await__"):
                await closing
        finally:
            self._gone.set()
