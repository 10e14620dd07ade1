"""Histograms with a fixed number of buckets: seconds in, counts and quantiles out.

`BOUNDS`, the gateway's buckets, grow by a tenth from 0.1 ms to 1,000 s, and every boundary that a
published histogram has is one of them: the published counts are exact, and a quantile is off by a
twentieth at most. `FINE_BOUNDS`, those of a load's report, grow by half a hundredth.
prometheus-client's `Histogram` has no quantiles and no last minute, and a value takes it 2.5 to 3
times as long (`shared.py` says how that was measured).
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import compress
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BOUNDS",
    "FINE_BOUNDS",
    "FIRST_TOKEN_BOUNDS",
    "OUTPUT_TOKEN_BOUNDS",
    "REQUEST_BOUNDS",
    "Histogram",
    "HistogramCounts",
    "Window",
    "add_counts",
]

_Key = TypeVar("_Key")

# The boundaries that OpenTelemetry's GenAI conventions advise for the histograms of these names.
FIRST_TOKEN_BOUNDS: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
OUTPUT_TOKEN_BOUNDS: Final = (
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    2.5,
)
REQUEST_BOUNDS: Final[tuple[float, ...]] = tuple(0.01 * 2.0**power for power in range(14))

_STEPS = 170
_LOWEST = 1e-4
_GROWTH = 1.1

BOUNDS: Final = tuple(
    sorted(
        {_LOWEST * _GROWTH**step for step in range(_STEPS)}
        | {*FIRST_TOKEN_BOUNDS, *OUTPUT_TOKEN_BOUNDS, *REQUEST_BOUNDS}
    )
)

FINE_BOUNDS: Final = tuple(1e-6 * 1.005**step for step in range(5_080))
"""Boundaries from 1 µs to more than a day: a quantile is off by half a hundredth at most."""


def add_counts(*counts: Mapping[_Key, int]) -> dict[_Key, int]:
    """Add up `counts`, key by key."""
    total: dict[_Key, int] = {}
    for each in counts:
        for key, count in each.items():
            total[key] = total.get(key, 0) + count
    return total


class HistogramCounts(msgspec.Struct, frozen=True):
    """A histogram as it was at one moment.

    `buckets`: how many values fell into the bucket of that index; `total`: their sum in seconds.
    """

    buckets: dict[int, int] = {}
    total: float = 0.0

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.buckets.values())

    def plus(self, other: HistogramCounts) -> HistogramCounts:
        """Add the counts of another histogram to these."""
        buckets = add_counts(self.buckets, other.buckets)
        return HistogramCounts(buckets, self.total + other.total)

    def cumulative(self, bounds: tuple[float, ...]) -> list[int]:
        """Count the values up to each of `bounds`, some of `BOUNDS`, and at last all of them."""
        edges = [bisect_left(BOUNDS, bound) for bound in bounds]
        below = [
            sum(count for index, count in self.buckets.items() if index <= edge) for edge in edges
        ]
        return [*below, self.count]

    def quantile(self, part: float, bounds: tuple[float, ...] = BOUNDS) -> float | None:
        """Estimate the quantile `part` (0 to 1) in seconds; None where there are no values.

        `bounds`: those of the histogram that counted.
        """
        wanted = part * self.count
        seen = 0
        for index, count in sorted(self.buckets.items()):
            if seen + count >= wanted:
                low = bounds[index - 1] if index else 0.0
                high = bounds[min(index, len(bounds) - 1)]
                return low + (high - low) * (wanted - seen) / count
            seen += count
        return None


def _filled(buckets: list[int]) -> dict[int, int]:
    """Return the counts of the buckets that hold anything; no line of Python for each of them."""
    return dict(compress(enumerate(buckets), buckets))


class Histogram:
    """The values counted since the beginning, or since `begun_with`.

    `bounds`: the upper ends of its buckets, in seconds.
    """

    __slots__ = ("_bounds", "_buckets", "_total")

    def __init__(
        self,
        begun_with: HistogramCounts | None = None,
        *,
        bounds: tuple[float, ...] = BOUNDS,
    ) -> None:
        self._bounds = bounds
        self._buckets = [0] * (len(bounds) + 1)
        self._total = 0.0
        if begun_with is not None:
            self._total = begun_with.total
            for index, count in begun_with.buckets.items():
                self._buckets[index] = count

    def add(self, seconds: float) -> int:
        """Count one value and return its bucket."""
        bucket = bisect_left(self._bounds, seconds)
        self._buckets[bucket] += 1
        self._total += seconds
        return bucket

    def counts(self) -> HistogramCounts:
        """Copy the counts as they are now."""
        return HistogramCounts(_filled(self._buckets), self._total)


class Window:
    """The values of the last minute, in a ring of counts with one slot for every five seconds."""

    __slots__ = ("_ring", "_slot", "_until")

    SLOTS: Final = 12
    SECONDS: Final = 5.0

    def __init__(self) -> None:
        self._ring: list[list[int] | None] = [None] * self.SLOTS  # None: nothing was counted
        self._slot = 0
        self._until = 0.0

    def add(self, now: float, bucket: int) -> None:
        """Count one value by its bucket; `now` is in seconds and never goes back."""
        if now >= self._until:
            self._turn(now)
        at = self._slot % self.SLOTS
        slot = self._ring[at]
        if slot is None:
            slot = self._ring[at] = [0] * (len(BOUNDS) + 1)
        slot[bucket] += 1

    def counts(self, now: float) -> HistogramCounts:
        """Sum up the minute before `now`; `total`, which no quantile needs, is 0."""
        if now >= self._until:
            self._turn(now)
        slots = [slot for slot in self._ring if slot is not None]
        return HistogramCounts(_filled(list(map(sum, zip(*slots, strict=True)))))

    def _turn(self, now: float) -> None:
        slot = int(now // self.SECONDS)
        for passed in range(max(self._slot + 1, slot - self.SLOTS + 1), slot + 1):
            self._ring[passed % self.SLOTS] = None
        self._slot = slot
        self._until = (slot + 1) * self.SECONDS
