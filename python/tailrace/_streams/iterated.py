"""An async iterator of somebody else's as a stream of text: closed when left, with an outcome.

Its own exceptions pass as they are: it is the caller's own code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tailrace._environment import running_loop
from tailrace._native import Delta, ToolCall
from tailrace._streams.clocks import undo_cancel
from tailrace._streams.closing import BatchStream, TextStream, texts_of
from tailrace._streams.outcome import Outcome
from tailrace.errors import InvalidRequestError, TailraceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

__all__ = ["as_text_stream"]


def as_text_stream(made: object) -> TextStream:
    """Return what a `create_async_generator` made as a stream of text.

    `made`: one of our streams, which is returned, an async iterator, or an awaitable of one.
    Raises InvalidRequestError for what is none of these.
    """
    if isinstance(made, TextStream):
        return made
    if isinstance(made, AsyncIterable) or hasattr(made, "__await__"):
        return _IteratedStream(made)
    raise InvalidRequestError(
        f"create_async_generator must return an async iterator of text, not {type(made).__name__}"
    )


class _IteratedStream(BatchStream):
    """The items of an async iterator as text; an item that is no text is what `str` makes of it.

    None is no item, as gpt4free has it. An item that is a `Delta` is one of its kind.
    """

    def __init__(self, made: Any) -> None:
        super().__init__()
        self._made = made
        self._iterator: AsyncIterator[object] | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._is_over = False
        self._gone = asyncio.Event()
        self._outcome = Outcome()
        self._seen: list[Delta] = []  # all that were no text

    @property
    def outcome(self) -> Outcome:
        """The record of how the text ended; an iterator says no more than that it ended."""
        return replace(
            self._outcome,
            tool_calls=_put_together(self._seen),
            reasoning="".join(each.text for each in self._seen if each.kind == "reasoning"),
            refusal="".join(each.text for each in self._seen if each.kind == "refusal"),
        )

    async def _read_texts(self) -> list[str]:
        while deltas := await self._read_deltas():
            if texts := texts_of(deltas):
                return texts
        return []

    async def _read_deltas(self) -> list[Delta]:
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
        self._forget()
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
            await self._gone.wait()
        else:
            await self._close()

    async def _next(self) -> list[Delta]:
        if self._iterator is None:
            made = self._made if isinstance(self._made, AsyncIterable) else await self._made
            if not isinstance(made, AsyncIterable):
                kind = type(made).__name__
                raise InvalidRequestError(
                    f"create_async_generator must return an async iterator of text, not {kind}"
                )
            self._iterator = aiter(made)
        async for item in self._iterator:
            if isinstance(item, Delta):
                if item.kind != "text":
                    self._seen.append(item)
                return [item]
            if item is not None and (text := str(item)):
                return [Delta("text", text)]
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


def _put_together(deltas: Iterable[Delta]) -> tuple[ToolCall, ...]:
    """Return the tool calls of which the deltas hold pieces, known by their index."""
    calls: dict[int | None, ToolCall] = {}
    for piece in deltas:
        if piece.kind == "tool_call":
            call = calls.get(piece.index, ToolCall(index=piece.index))
            calls[piece.index] = ToolCall(
                call.id if piece.id is None else piece.id,
                call.name or piece.name or "",
                call.arguments + piece.text,
                piece.index,
                call.signature or piece.signature,
            )
    return tuple(calls.values())
