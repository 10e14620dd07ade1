"""What the threads have read, handed over batch by batch, with asyncio and without."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from tailrace.errors import InvalidRequestError
from tailrace_fleet._ended import Ended
from tailrace_fleet._native import KINDS

if TYPE_CHECKING:
    from tailrace_fleet._faults import Circumstances
    from tailrace_fleet._native import Engine, Facts, Rows

__all__ = ["KINDS", "Batch", "Batches", "Taking"]

_LONGEST = 3600.0  # seconds of one wait


class Batch:
    """The rows that came since the last batch, one a delta, and the streams that ended.

    The columns are memoryviews of one length, which nobody can write and numpy takes as they are:
    `tag`, the request's own number; `at_ns`, when the bytes were read that completed the delta's
    event, as `time.monotonic_ns` counts; `kind`, its index in `tailrace.fleet.KINDS`; `tokens` of
    the answer so far, as its event told them, and -1 where it told none; `length` in characters.
    `ended`: the records of the streams that have ended, all rows of which came in this batch or
    before.
    """

    __slots__ = ("_rows", "at_ns", "ended", "kind", "length", "tag", "tokens")

    def __init__(self, rows: Rows, ended: list[Ended]) -> None:
        """Make the batch of these rows; a fleet does so."""
        self._rows = rows
        self.tag: memoryview[int] = rows.tag
        self.at_ns: memoryview[int] = rows.at_ns
        self.kind: memoryview[int] = rows.kind
        self.tokens: memoryview[int] = rows.tokens
        self.length: memoryview[int] = rows.length
        self.ended: list[Ended] = ended

    def __len__(self) -> int:
        return len(self._rows)

    def __bool__(self) -> bool:
        return True  # one without rows has records

    def text(self, row: int) -> str:
        """Return the text of a row; empty where the fleet keeps none of its kind.

        Raises IndexError where there is no such row.
        """
        count = len(self._rows)
        if not -count <= row < count:
            raise IndexError(f"the batch has {count} rows")
        return self._rows.text(row % count)

    def texts(self) -> list[str]:
        """Return the texts of all rows, each as `text` does."""
        return self._rows.texts()

    def __repr__(self) -> str:
        return f"<Batch of {len(self)} rows, {len(self.ended)} ended>"


_Taker: TypeAlias = "asyncio.Task[Any] | threading.Thread"


class Taking:
    """The taking of what an engine has read: by one consumer at a time, in batches.

    A signal raises its exception behind any call. So what `ready` holds is deleted, and the `turn`
    given back, without a call, just before a batch is handed over: none is lost or comes twice.
    """

    def __init__(self, engine: Engine, around: Circumstances) -> None:
        self._engine = engine
        self._around = around
        self.ready: deque[tuple[Rows, list[Facts]]] = deque()
        self.turn: dict[str, _Taker] = {}  # whose it is
        self._lock = (
            threading.RLock()
        )  # whose it is, and the bell; a signal's handler may take, too
        self.is_closed: bool = False
        self._bell: socket.socket | None = None

    def enter(self, taker: _Taker) -> None:
        """Have `taker` begin to wait; `InvalidRequestError` where somebody else does."""
        if not self._engine.is_ours:
            self._engine.check()  # which says so: the lock may be held by a thread that is no more
        with self._lock:
            other = self.turn.get("of", taker)
            if other is not taker and _is_at_work(other):
                raise InvalidRequestError("somebody else takes this fleet's batches: one at a time")
            self.turn["of"] = taker

    def leave(self, taker: _Taker) -> None:
        """Have `taker` end to wait; one whose turn another has got meanwhile has none to give."""
        if not self._engine.is_ours:
            return
        with self._lock:
            if self.turn.get("of") is taker:
                del self.turn["of"]
        if self.is_closed:
            self.close()

    def next(self, max_wait: float) -> Batch | float | None:
        """Return the first batch, which stays `ready`, or in how many seconds there is one.

        None where there will be none.
        """
        if not self.ready:
            due = self._engine.due(max_wait)
            if due != 0.0:
                return due
            self._engine.take(self.ready)
        if not self.ready:
            return max_wait
        rows, ended = self.ready[0]
        return Batch(rows, [Ended(facts, self._around) for facts in ended])

    def wait(self, seconds: float) -> None:
        """Wait in this thread until there is more, at most so many seconds."""
        self._engine.wait(min(seconds, _LONGEST))

    async def wait_async(self, seconds: float) -> None:
        """Wait in this task until there is more, at most so many seconds."""
        if self._bell is None:
            self._bell = socket.socket(fileno=self._engine.bell())
            self._bell.settimeout(0)
            return  # what came before it was hung up
        try:
            async with asyncio.timeout(min(seconds, _LONGEST)):
                await asyncio.get_running_loop().sock_recv(self._bell, 64)
        except TimeoutError:
            pass

    def close(self) -> None:
        """Close the socket of the bell; where somebody waits at it, that does so when it leaves."""
        self.is_closed = True
        with self._lock if self._engine.is_ours else nullcontext():
            taker = self.turn.get("of")
            if self._bell is not None and (taker is None or not _is_at_work(taker)):
                self._bell.close()
                self._bell = None


def _is_at_work(taker: _Taker) -> bool:
    """Tell whether a taker can still be waiting, and has not been left in the middle of it."""
    if isinstance(taker, threading.Thread):
        return taker.is_alive()
    return not taker.done() and not taker.get_loop().is_closed()


class Batches:
    """The batches of a fleet as they come, with ``for`` or with ``async for``.

    It ends when nothing is under way and all was taken. `Fleet.batches` makes it.
    """

    def __init__(self, taking: Taking, max_wait: float, fleet: object) -> None:
        """Take from `taking`, as `fleet` has it done, which lives as long as this."""
        self._taking = taking
        self._max_wait = max_wait
        self._fleet = fleet  # which would be closed if nobody else held it

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        taking, taker = self._taking, threading.current_thread()
        taking.enter(taker)
        try:
            while isinstance(more := taking.next(self._max_wait), float):
                taking.wait(more)
        except BaseException:
            taking.leave(taker)
            raise
        if more is None:
            taking.leave(taker)
            raise StopIteration
        del taking.ready[0], taking.turn["of"]
        if taking.is_closed:
            taking.close()
        return more

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        taking, taker = self._taking, asyncio.current_task() or threading.current_thread()
        taking.enter(taker)
        try:
            while isinstance(more := taking.next(self._max_wait), float):
                await taking.wait_async(more)
        except BaseException:
            taking.leave(taker)
            raise
        if more is None:
            taking.leave(taker)
            raise StopAsyncIteration
        del taking.ready[0], taking.turn["of"]
        if taking.is_closed:
            taking.close()
        return more
