"""What the threads have read, handed over batch by batch, with asyncio and without."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Self

from tailrace.errors import InvalidRequestError
from tailrace_fleet._ended import Ended
from tailrace_fleet._native import KINDS

if TYPE_CHECKING:
    from tailrace_fleet._faults import Circumstances
    from tailrace_fleet._fleet import Fleet
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


class Taking:
    """The taking of what an engine has read: by one consumer at a time, in batches."""

    def __init__(self, engine: Engine, around: Circumstances) -> None:
        self._engine = engine
        self._around = around
        self._ready: deque[tuple[Rows, list[Facts]]] = deque()
        self._bell: socket.socket | None = None
        self._turn = threading.Lock()
        self._is_closed = False

    def enter(self) -> None:
        """Begin to wait; `InvalidRequestError` where somebody else does."""
        if not self._turn.acquire(blocking=False):
            raise InvalidRequestError("somebody else takes this fleet's batches: one at a time")

    def leave(self) -> None:
        """End to wait."""
        self._turn.release()
        if self._is_closed:
            self.close()

    def next(self, max_wait: float) -> Batch | float | None:
        """Return a batch, the seconds until there is one, or None where there will be none."""
        if not self._ready:
            due = self._engine.due(max_wait)
            if due != 0.0:
                return due
            self._ready.extend(self._engine.take())
        if not self._ready:
            return max_wait
        rows, ended = self._ready[0]
        batch = Batch(rows, [Ended(facts, self._around) for facts in ended])
        self._ready.popleft()  # not before: what interrupts the making of records loses none
        return batch

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
        self._is_closed = True
        if not self._turn.acquire(blocking=False):
            return
        if self._bell is not None:
            self._bell.close()
            self._bell = None
        self._turn.release()


class Batches:
    """The batches of a fleet as they come, with ``for`` or with ``async for``.

    It ends when nothing is under way and all was taken. `Fleet.batches` makes it.
    """

    def __init__(self, taking: Taking, max_wait: float, fleet: Fleet) -> None:
        """Take from `taking`, as `fleet` has it done, which lives as long as this."""
        self._taking = taking
        self._max_wait = max_wait
        self._fleet = fleet  # which would be closed if nobody else held it

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        taking = self._taking
        taking.enter()
        try:
            while not isinstance(more := taking.next(self._max_wait), Batch):
                if more is None:
                    raise StopIteration
                taking.wait(more)
        finally:
            taking.leave()
        return more

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        taking = self._taking
        taking.enter()
        try:
            while not isinstance(more := taking.next(self._max_wait), Batch):
                if more is None:
                    raise StopAsyncIteration
                await taking.wait_async(more)
        finally:
            taking.leave()
        return more
