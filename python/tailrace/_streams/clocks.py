"""The idle and the total clock of a stream that an event loop reads."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from tailrace import errors

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Clocks", "undo_cancel"]


class Clocks:
    """The idle and the total clock of a stream, on one timer that is set anew when it fires.

    A timer for each read would cost a paced stream as much as the read. `idle`: seconds waited
    without progress, added up over reads; time the consumer takes for itself does not count.
    `total`: seconds since the first step, whatever happens in them. None turns a clock off.
    `reader` is the task within a step, if there is one: when a clock runs out it is cancelled, the
    way `asyncio.timeout` does it. `loop` is known from the first step on.
    """

    __slots__ = (
        "_deadline",
        "_idle",
        "_is_idle_on",
        "_is_off",
        "_ran_out",
        "_since",
        "_timer",
        "_total",
        "_waited",
        "loop",
        "reader",
    )

    def __init__(self, idle: float | None, total: float | None) -> None:
        self.reader: asyncio.Task[Any] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._is_idle_on: bool = idle is not None
        self._idle = idle
        self._total = total
        self._is_off: bool = idle is None and total is None
        self._deadline: float | None = None
        self._waited = 0.0
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ran_out: errors.TimeoutPhase | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin the first step of all, in `loop`: the total clock runs."""
        self.loop = loop
        if self._total is not None:
            now = loop.time()
            self._deadline = now + self._total
            self._set_timer(now)

    def wait(self) -> None:
        """Begin to wait for a read: the idle clock runs."""
        if self._is_off or self.loop is None:
            return
        self._since = self.loop.time()
        if self._timer is None:
            self._set_timer(self._since)

    def go_on(self, progressed: Callable[[], bool]) -> None:
        """Take note of a read: where the reply `progressed`, the idle clock is set back."""
        if self._is_idle_on:
            if progressed():
                self._waited = 0.0
                self._since = self._ran_out = None
            else:
                self.stay()

    def restart(self) -> None:
        """Set the idle clock back to zero: the reply went on."""
        self._waited = 0.0
        self._since = self._ran_out = None

    def stay(self) -> None:
        """Stop the idle clock and keep its time: the reply did not go on."""
        if self._since is not None and self.loop is not None:
            self._waited += self.loop.time() - self._since
            self._since = None

    def stop(self) -> None:
        """Stop both clocks for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ran_out_of(self, phase: errors.TimeoutPhase, cancelling: int) -> errors.TimeoutError | None:
        """Return the error of the clock `phase`, if that clock alone cancelled the reader.

        `cancelling`: `asyncio.Task.cancelling` of the reader, before its step.
        """
        if self._ran_out != phase or not undo_cancel(self.reader, cancelling):
            return None
        self._ran_out = None
        return errors.TimeoutError(phase, (self._idle if phase == "idle" else self._total) or 0.0)

    def _look(self) -> None:
        self._timer = None
        if self.reader is None or self.loop is None:
            return  # nobody waits; the next read sets the timer again
        now = self.loop.time()
        if self._deadline is not None and self._deadline <= now:
            self._ran_out = "total"
        elif self._since is not None and self._idle_due(self._since) <= now:
            self._ran_out = "idle"
        if self._ran_out is None:
            self._set_timer(now)
        else:
            self.reader.cancel()

    def _set_timer(self, now: float) -> None:
        """Set the timer to the earliest moment at which a clock will have run out."""
        due = self._idle_due(now if self._since is None else self._since)
        if self._deadline is not None:
            due = min(due, self._deadline)
        if self.loop is not None:
            self._timer = self.loop.call_at(due, self._look)

    def _idle_due(self, since: float) -> float:
        return inf if self._idle is None else since + self._idle - self._waited


def undo_cancel(task: asyncio.Task[Any] | None, cancelling: int) -> bool:
    """Undo one cancellation by a clock; return whether no other request to cancel is left."""
    return task is not None and task.uncancel() <= cancelling
