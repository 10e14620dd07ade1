"""How time is taken.

Contenders in turn, round after round, CPU time of the thread, every result checked.

A machine's speed drifts by the minute. Within a round all run under the same weather, so ratios are
taken round by round and their median is told; absolute times are for orientation only. The order
rotates, so that nobody always runs behind the same neighbour; and a short turn is preceded by one
that does not count, since it would be over before caches and branch predictors have forgotten that
neighbour. A long turn has time for that. The garbage collector rests while the clock runs, and what
was returned is freed after it.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Measured", "Samples", "SelfTimed", "WrongResultError", "measure"]

SHORT = 50_000_000  # nanoseconds


class WrongResultError(Exception):
    """A contender gave something else than the generator put in: its time means nothing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One contender on one workload."""

    name: str
    work: Callable[[], Any]
    check: Callable[[Any], bool]
    units: int  # events, bytes or calls that one `work` is


@dataclass(frozen=True, slots=True)
class SelfTimed:
    """The result of work in another process, which took its own time, in nanoseconds."""

    nanoseconds: int
    result: Any


@dataclass(frozen=True, slots=True)
class Samples:
    """Nanoseconds a unit, by contender, one for each round."""

    rounds: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        """The middle round."""
        return statistics.median(self.rounds[name])

    def quartiles(self, name: str) -> tuple[float, float]:
        """Half of the rounds lie between these."""
        first, _, third = statistics.quantiles(self.rounds[name], n=4, method="inclusive")
        return first, third

    def ratio(self, name: str, to: str) -> float:
        """`name` divided by `to`: the median of the rounds' ratios."""
        return statistics.median(
            a / b for a, b in zip(self.rounds[name], self.rounds[to], strict=True)
        )

    def fastest(self, names: Sequence[str]) -> str:
        """Of `names`, the one with the least median."""
        return min(names, key=self.median)


def measure(contenders: Sequence[Measured], rounds: int) -> Samples:
    """`rounds` rounds after one to warm up.

    WrongResultError for a result that is not the workload's.
    """
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    short = {
        contender.name for contender in contenders if sample(contender) * contender.units < SHORT
    }
    for number in range(rounds):
        turn = number % len(contenders)
        for contender in (*contenders[turn:], *contenders[:turn]):
            if contender.name in short:
                sample(contender)
            taken[contender.name].append(sample(contender))
    return Samples(taken)


def sample(contender: Measured) -> float:
    """Nanoseconds a unit of one turn."""
    gc.collect(0)
    gc.disable()
    try:
        start = time.thread_time_ns()
        result = contender.work()
        elapsed = time.thread_time_ns() - start
    finally:
        gc.enable()
    if isinstance(result, SelfTimed):
        elapsed, result = result.nanoseconds, result.result
    if not contender.check(result):
        raise WrongResultError(contender.name)
    return elapsed / contender.units
