"""A decoder that is a Python callable, and the result of one call of it."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from tailrace.conformance._rulebook import Event, Kind

__all__ = [
    "OPTIONS",
    "Ask",
    "Chunks",
    "DecodeResult",
    "EventDecode",
    "Part",
    "TextDecode",
    "WrongAnswerError",
    "calling",
    "shaped",
]

MORE = 16
"""The most items that a decoder may return beyond the number of bytes; one that returns more is
taken for one that never ends."""


_Item = TypeVar("_Item")
Decoded = (
    Iterable[_Item]
    | AsyncIterable[_Item]
    | Awaitable[Iterable[_Item]]
    | Awaitable[AsyncIterable[_Item]]
)
"""The types that a decoder may return."""


Part = (
    str
    | tuple[Literal["reasoning"], str]
    | tuple[Literal["tool_call"], str | None, str | None, str]
    | tuple[Literal["usage"], int, int]
    | tuple[Literal["finish_reason"], str]
)
"""What a decoder of chat replies may give: a piece of text, or of reasoning; a whole tool call's
id, name and arguments; the tokens of the prompt and of the answer; the finish reason."""


class EventDecode(Protocol):
    """A decoder of event streams.

    Decoders that claim ``limits`` are called with the keyword `max_event_bytes`, too, in the cases
    about limits.
    """

    def __call__(self, chunks: Chunks, /) -> Decoded[Event]:
        """Return the events in `chunks`, as they come; raise anything where the stream fails."""


class TextDecode(Protocol):
    """A decoder of chat replies.

    Decoders that claim ``limits`` are called with the keyword `max_event_bytes`, too, in the cases
    about limits. In those of the level ``field``, decoders that claim ``head`` are called with
    `status` and `content_type`, and those that claim another dialect with `dialect` where the reply
    is one of it.
    """

    def __call__(self, chunks: Chunks, /) -> Decoded[Part]:
        """Return what is in `chunks`, as it comes; raise where the reply fails.

        That are the pieces of text as str; what else is claimed as `Part` has it.
        """


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """The answer of a decoder to one split.

    `items`: the events, or the texts and other parts, up to the end or the failure; `failure`: the
    error that decoding ended with, None for none; `lost`: why there is no answer at all, None where
    there is one.
    """

    items: tuple[Any, ...] = ()
    failure: str | None = None
    lost: str | None = None


Ask = Callable[..., DecodeResult]
"""A way to ask a decoder: from the reads, and a case's options by keyword, to its result. Which
there are says `OPTIONS`; those that a case does not need, or the decoder does not claim, are left
out."""

OPTIONS = ("max_event_bytes", "dialect", "status", "content_type")


class WrongAnswerError(TypeError):
    """A decoder returned something that is no event and no text."""


class Chunks:
    """The reads of one reply, to be iterated over with or without `async`."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            await asyncio.sleep(0)
            yield chunk


@contextmanager
def calling(decode: Callable[..., Any], kind: Kind) -> Iterator[Ask]:
    """Make a function that calls `decode` in this process, for as long as the context lasts.

    `kind`: ``sse`` or ``deltas``. The function takes the reads, and by keyword the options that
    `decode` is called with; it returns a `DecodeResult`. Raises RuntimeError within a running event
    loop, where async decoders cannot be called.
    """
    if _within_a_loop():
        raise RuntimeError("decoders are asked from outside of a running event loop")
    with asyncio.Runner() as runner:

        def ask(chunks: Sequence[bytes], **options: Any) -> DecodeResult:
            items: list[Any] = []
            keep = _keeper(kind, items, sum(map(len, chunks)) + MORE)
            try:
                decoded = decode(Chunks(chunks), **options)
                if inspect.isawaitable(decoded) or isinstance(decoded, AsyncIterable):
                    runner.run(_keep_later(decoded, keep))
                else:
                    _keep(decoded, keep)
            except WrongAnswerError as wrong:
                return DecodeResult(lost=str(wrong))
            except Exception as failure:  # noqa: BLE001 - whatever it raises is how it fails
                return DecodeResult(tuple(items), f"{type(failure).__name__}: {failure}")
            return DecodeResult(tuple(items))

        yield ask


def _within_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _keeper(kind: Kind, items: list[Any], enough: int) -> Callable[[Any], None]:
    def keep(item: Any) -> None:
        items.append(shaped(item, kind))
        if len(items) > enough:
            raise WrongAnswerError(f"more than {enough} items of {enough - MORE} bytes")

    return keep


async def _keep_later(decoded: Any, keep: Callable[[Any], None]) -> None:
    if inspect.isawaitable(decoded):
        decoded = await decoded
    if isinstance(decoded, AsyncIterable):
        async for item in decoded:
            keep(item)
    else:
        _keep(decoded, keep)


def _keep(decoded: Iterable[Any], keep: Callable[[Any], None]) -> None:
    for item in decoded:
        keep(item)


def shaped(item: Any, kind: Kind) -> Any:
    """Return `item` if a decoder of this kind may return it; else raise WrongAnswerError."""
    return _shaped_part(item) if kind == "deltas" else _shaped_event(item)


PART_TYPES = {
    "reasoning": (str,),
    "tool_call": (str | None, str | None, str),
    "usage": (int, int),
    "finish_reason": (str,),
}
"""The types of what stands behind a part's name."""


_HALF = re.compile("[\ud800-\udfff]")


def _shaped_part(item: Any) -> Any:
    if isinstance(item, str):
        # Half a character cannot be encoded, and two would be taken for a whole one in JSON.
        return _HALF.sub(lambda half: f"\\u{ord(half[0]):x}", item)
    if isinstance(item, tuple | list) and item and isinstance(item[0], str):
        types = PART_TYPES.get(item[0], ())
        if len(types) == len(item) - 1 and all(map(isinstance, item[1:], types)):
            return tuple(item)
    raise WrongAnswerError(f"{item!r:.200} is no text, nor another part of a reply")


def _shaped_event(item: Any) -> Any:
    if not isinstance(item, tuple | list) or len(item) not in (3, 4):
        raise WrongAnswerError(
            f"{item!r:.200} is no (event, data, id) nor (event, data, id, retry)"
        )
    event, data, identity, retry = (*item, None)[:4]
    texts = (
        isinstance(data, str) and isinstance(event, str | None) and isinstance(identity, str | None)
    )
    if texts and isinstance(retry, int | None) and not isinstance(retry, bool):
        return event, data, identity, retry
    raise WrongAnswerError(f"{item!r:.200}: event, data and id are str, retry is int or None")
