"""The figures of a run as they are counted: their memory does not grow with it."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from tailrace._error_kinds import error_kind
from tailrace.load._distribution import Distribution, Times
from tailrace.load._report import Client, Rates, Tokens
from tailrace.load._series import Slots

if TYPE_CHECKING:
    from tailrace._over_fleet import Engine
    from tailrace.load._calls import MeasuredCall
    from tailrace.load._plan import Plan

__all__ = ["LOOK", "Figures", "limits_of"]

LOOK = 10_000_000
"""Nanoseconds between two looks at the loop's lag."""

_LATE = 0.01
_BUSY = 0.9
_CORES_OF_FLEET = 2  # its thread, and that of Python


class Figures:
    """The counts and times of a run that began at `begin`, in ns of the monotonic clock.

    Figures are of requests that were due between the end of the warm-up and that of the plan, the
    rates of what came in that time.
    """

    def __init__(self, plan: Plan, begin: int, engine: Engine = "process") -> None:
        """Begin to count; `engine`: over a ``fleet``, no time is the event loop's."""
        self.plan: Plan = plan
        self.engine: Engine = engine
        self.begin: int = begin
        self.opens: float = begin + plan.lead * 1e9
        self.closes: float = math.inf if plan.seconds is None else self.opens + plan.seconds * 1e9
        self.measured: int = 0
        self.under_way: int = 0
        self.warm_up_unfinished: int = 0
        self.waiting: int = 0  # the requests that found no place free
        self.ends: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.statuses: Counter[str] = Counter()
        self.ttft: Times = Times()
        self.gap: Times = Times()
        self.whole: Times = Times()
        self.late: Times = Times()
        self.lag: Times = Times()
        self.slots: Slots = Slots()
        self._answers = 0
        self._tokens = Counter[str]()
        self._tokens_in_time = 0.0
        self._last_end = 0

    def claim(self, due: int) -> bool:
        """Tell whether a request that is due then belongs to the plan, and count it if it does."""
        if due >= self.closes or self.have_all_begun:
            return False
        self.measured += due >= self.opens
        return True

    @property
    def have_all_begun(self) -> bool:
        """Whether as many requests belong to the plan as it says."""
        return self.plan.requests is not None and self.measured >= self.plan.requests

    def began(self, call: MeasuredCall) -> None:
        """Count a request that begins."""
        self.under_way += 1
        self.slots.began(self._second(call.begun))
        if call.is_begun:
            self._count_late(call)

    def _count_late(self, call: MeasuredCall) -> None:
        if self.plan.rate is not None and self.is_measured(call):
            self.late.add(max(0, call.begun - call.due))

    def missed(self) -> None:
        """Count a request that was due in the measured time and never began."""
        self.ends["unfinished"] += 1
        self.statuses["none"] += 1

    def is_measured(self, call: MeasuredCall) -> bool:
        """Tell whether the request was due in the measured time."""
        return self.opens <= call.due < self.closes

    def ended(self, call: MeasuredCall, now: int) -> None:
        """Count a request that has ended, or was cut at `now`."""
        self.under_way -= 1
        ended = now if call.ended is None else call.ended
        if not call.is_begun:
            self._count_late(call)
        self._count_rates(call, ended)
        if call.ended is not None:
            self.slots.ended(self._second(ended), whole=call.is_whole)
        if not self.is_measured(call):
            self.warm_up_unfinished += call.ended is None
            return
        self._last_end = max(self._last_end, ended)
        self.ends["unfinished" if call.ended is None else call.end] += 1
        if call.error is not None:
            kind = error_kind(call.error)
            self.errors[kind] += 1
            self.examples.setdefault(kind, str(call.error))
        self.statuses["none" if call.status is None else str(call.status)] += 1
        self._count_times(call, ended)

    def _count_times(self, call: MeasuredCall, ended: int) -> None:
        if call.first is not None:
            bucket = self.ttft.add(call.first - call.due)
            self.slots.first_delta(self._second(call.first), bucket)
        for gap in call.gaps:
            self.gap.add(gap)
        if call.is_whole:
            self.whole.add(ended - call.due)

    def _count_rates(self, call: MeasuredCall, ended: int) -> None:
        if call.is_whole and self.opens <= ended <= self.closes:
            self._answers += 1
        if call.first is None or call.last is None:
            return
        tokens = call.tokens
        self._tokens["deltas" if call.told_tokens is None else "usage"] += tokens
        self.slots.tokens(self._second(call.first), self._second(call.last), tokens)
        length = call.last - call.first
        within = min(call.last, self.closes) - max(call.first, self.opens)
        if length:
            self._tokens_in_time += tokens * max(0.0, within / length)
        elif within >= 0:
            self._tokens_in_time += tokens

    def lagged(self, now: int, lag: int) -> None:
        """Take note that the loop came to `now` so many nanoseconds late."""
        takes_times = self.engine == "process"
        self.slots.sample(self._second(now), self.under_way, lag / 1e9 if takes_times else 0.0)
        if now < self.opens or not takes_times:
            return
        # While the loop was away it was not looked at: what came then waited the rest of that time.
        for left in range(lag, -1, -LOOK):
            self.lag.add(left)

    def seconds(self, now: int) -> float:
        """Return the measured time in seconds: up to `now`, or to the end of what was measured."""
        end: float = self.closes
        if end == math.inf:
            end = now if self.under_way or not self._last_end else self._last_end
        return max(0.0, (min(end, now) - self.opens) / 1e9)

    def tokens(self) -> Tokens:
        """Return the tokens of all answers, warm-up included."""
        return Tokens(from_usage=self._tokens["usage"], from_deltas=self._tokens["deltas"])

    def rates(self, now: int) -> Rates:
        """Return the rates up to `now`."""
        seconds = self.seconds(now)
        if not seconds:
            return Rates()
        return Rates(answers=self._answers / seconds, tokens=self._tokens_in_time / seconds)

    def client(self, processor: float) -> Client:
        """Return what the client did; `processor`: the part of a core that it took."""
        lag, late = self.lag.distribution(), self.late.distribution()
        cores = 1 if self.engine == "process" else _CORES_OF_FLEET
        reasons = limits_of(lag, late, processor, cores)
        if self.waiting:
            reasons = (*reasons, f"{self.waiting} requests waited, with {self.plan.most_open} open")
        return Client(lag=lag, processor=processor, limited_by=reasons)

    def _second(self, moment: int) -> float:
        return (moment - self.begin) / 1e9


def limits_of(
    lag: Distribution, late: Distribution, processor: float, cores: int = 1
) -> tuple[str, ...]:
    """Return why the figures may be the client's own, in words; `cores`: what it can use."""
    reasons = []
    if (lag.p99 or 0.0) > _LATE:
        reasons.append(f"its loop was {(lag.p99 or 0) * 1e3:.0f} ms late in one of a hundred looks")
    if processor > _BUSY * cores:
        reasons.append(f"it took {processor:.0%} of a core")
    if (late.p99 or 0.0) > _LATE:
        reasons.append(
            f"one of a hundred requests began {(late.p99 or 0) * 1e3:.0f} ms after it was due"
        )
    return tuple(reasons)
