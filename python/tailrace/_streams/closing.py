"""The bases of every stream: read as it arrives, closed when left, with an outcome.

A stream of text can be read as deltas of every kind, too: a `TextStream` and the `Deltas` of it
take turns at one reply, and what waits for one of them when the other goes on is converted.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from tailrace._native import Delta
from tailrace._streams.outcome import HasOutcome
from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
    from types import TracebackType

    from tailrace._native import DeltaDecoder
    from tailrace._streams.outcome import Outcome

__all__ = [
    "BatchStream",
    "ClosingStream",
    "Deltas",
    "ReadStream",
    "T",
    "TextStream",
    "deltas_of",
    "texts_of",
]

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


def deltas_of(texts: Iterable[str]) -> list[Delta]:
    """Return a delta for each text."""
    return [Delta("text", text) for text in texts]


def texts_of(deltas: Iterable[Delta]) -> list[str]:
    """Return the texts among the deltas; the rest of them is part of the outcome."""
    return [delta.text for delta in deltas if delta.kind == "text" and delta.text]


class TextStream(ClosingStream[str]):
    """A stream of text, of whose reply all the rest can be read, too."""

    _pending: deque[Delta] | None = None
    """Deltas that are ready for who reads them; made when somebody does."""

    @property
    def is_answering(self) -> bool:
        """Whether a server has begun to answer: the head of its reply came and tells no error."""
        return False

    def watch(self, heard: Callable[[], None] | None) -> None:
        """Call `heard` whenever events came that add nothing to the answer, such as its role.

        None ends that.
        """

    @abstractmethod
    def _advance_deltas(self, pending: deque[Delta]) -> Awaitable[bool]:
        """Add what comes next to the deltas that wait; return False at the end."""

    async def _relay_deltas(
        self, pending: deque[Delta], hand_on: Callable[[DeltaDecoder, bytes], bool]
    ) -> None:
        """Have `hand_on` take what comes, as `Deltas.relay` says; at once none where it cannot."""

    def _deltas_of(self, texts: Iterable[str]) -> list[Delta]:
        """Return the deltas of texts of this stream that were read last."""
        return deltas_of(texts)

    def deltas(self) -> Deltas:
        """Return the same reply as a stream of every kind of `Delta`, from here on.

        The kinds are text, reasoning, refusals and pieces of tool calls. Both streams may take
        turns, one reader at a time: nothing comes twice, and what is no text and came while the
        text was read is in `tool_calls`, `reasoning` and `refusal` alone. Whichever is left or
        closed closes the reply.
        """
        if self._pending is None:
            self._pending = deque()
        return Deltas(self, self._pending)

    async def text(self) -> str:
        """Read the reply to its end and return its text, without what was read before.

        Raises the TailraceError that ended the reply; who wants the text before it, too, iterates.
        """
        parts: list[str] = []
        while deltas := await self.read():
            parts += deltas
        return "".join(parts)

    def read_text(self) -> str:
        """Return what `text` does, in blocking code; inside an event loop an InvalidRequestError.

        As a plain ``for`` does, it closes the reply at the end.
        """
        return "".join(self)

    def __await__(self) -> Generator[Any, None, ReadReply]:
        return _read_reply(self).__await__()

    def _iterate_deltas(self, deltas: Deltas) -> Iterator[Delta]:
        """Iterate over the deltas in blocking code."""
        return _blocking_iteration()(deltas)


class BatchStream(TextStream):
    """A stream of text that is read some items at a time; those that nobody took yet wait."""

    def __init__(self) -> None:
        self._ready: deque[str] = deque()

    @abstractmethod
    async def _read_texts(self) -> list[str]:
        """Return the next text, at least one delta, or ``[]`` at the end."""

    @abstractmethod
    async def _read_deltas(self) -> list[Delta]:
        """Return the next deltas of any kind, at least one, or ``[]`` at the end."""

    async def __anext__(self) -> str:
        if not self._ready:
            self._ready.extend(await self.read())
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def read(self) -> list[str]:
        """Return all text that is ready, at least one delta, or ``[]`` at the end."""
        if self._pending:
            self._ready.extend(texts_of(self._pending))
            self._pending.clear()
        if self._ready:
            texts = list(self._ready)
            self._ready.clear()
            return texts
        return await self._read_texts()

    async def _advance_deltas(self, pending: deque[Delta]) -> bool:
        pending.extend(self._deltas_of(self._ready))
        self._ready.clear()
        if not pending:
            pending.extend(await self._read_deltas())
        return bool(pending)

    def _forget(self) -> None:
        """Forget what waits: nobody will take it."""
        self._ready.clear()
        if self._pending is not None:
            self._pending.clear()


class Deltas(ClosingStream[Delta]):
    """Text, reasoning, refusals and tool calls of a reply, as `ChatStream.deltas` gives them.

    Used as the stream of text is that it comes from, which it takes turns with, and whose outcome
    it has.
    """

    def __init__(self, stream: TextStream, pending: deque[Delta]) -> None:
        self._stream = stream
        self._pending = pending

    @property
    def outcome(self) -> Outcome:
        """The record of how the reply ended, or of how far it is."""
        return self._stream.outcome

    async def __anext__(self) -> Delta:
        while not self._pending:
            if not await self._stream._advance_deltas(self._pending):  # noqa: SLF001 - one half each
                raise StopAsyncIteration
        return self._pending.popleft()

    async def read(self) -> list[Delta]:
        """Return everything that is ready, at least one delta, or ``[]`` at the end."""
        while not self._pending:
            if not await self._stream._advance_deltas(self._pending):  # noqa: SLF001
                return []
        deltas = list(self._pending)
        self._pending.clear()
        return deltas

    async def relay(self, hand_on: Callable[[DeltaDecoder, bytes], bool]) -> None:
        """Have `hand_on` decode the bytes that come and take their deltas, while it returns True.

        Nothing waits for a task's turn then, and no delta becomes an object. Call it when deltas
        have been read, and `read` on when it returns: something else came, or the reply is of a
        kind that is only read. Raises what `hand_on` raises, and the TailraceError that ended the
        reply.
        """
        if not self._pending:
            await self._stream._relay_deltas(self._pending, hand_on)  # noqa: SLF001

    async def aclose(self) -> None:
        """Stop reading; the connection is closed when this returns. Closing twice is allowed."""
        await self._stream.aclose()

    def __iter__(self) -> Iterator[Delta]:
        return self._stream._iterate_deltas(self)  # noqa: SLF001


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


class ReadReply(ReadStream[str], TextStream):
    """A reply that was read to its end, as ``await`` makes it of a stream of text."""

    def __init__(self, deltas: deque[Delta], error: TailraceError | None, outcome: Outcome) -> None:
        super().__init__([], error, outcome)
        self._pending = deltas
        self._taken: list[Delta] = []  # those whose texts were taken, or wait among the items

    def __next__(self) -> str:
        self._take_texts()
        return super().__next__()

    async def __anext__(self) -> str:
        self._take_texts()
        return await super().__anext__()

    async def read(self) -> list[str]:
        """Return all deltas of text that are left, or ``[]`` when there are none."""
        self._take_texts()
        return await super().read()

    async def aclose(self) -> None:
        """Forget the deltas that are left."""
        if self._pending is not None:
            self._pending.clear()
        await super().aclose()

    async def _advance_deltas(self, pending: deque[Delta]) -> bool:
        return self._advance_deltas_now(pending)

    def _advance_deltas_now(self, pending: deque[Delta]) -> bool:
        pending.extend(self._taken[len(self._taken) - len(self._items) :])
        self._items.clear()
        if not pending:
            self._raise_once()
        return bool(pending)

    def _iterate_deltas(self, deltas: Deltas) -> Iterator[Delta]:
        del deltas
        pending = self._pending
        while pending or (pending is not None and self._advance_deltas_now(pending)):
            yield pending.popleft()

    def _take_texts(self) -> None:
        if self._pending:
            self._taken = [each for each in self._pending if each.kind == "text" and each.text]
            self._items.extend(each.text for each in self._taken)
            self._pending.clear()


async def _read_reply(stream: TextStream) -> ReadReply:
    read = await stream.deltas()
    return ReadReply(read._items, read._error, read.outcome)  # noqa: SLF001 - of this module


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
