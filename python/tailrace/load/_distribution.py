"""The distribution of a time: its percentiles, and how sure they are."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate

import msgspec

from tailrace._histogram import FINE_BOUNDS, Histogram, HistogramCounts

__all__ = ["Distribution", "Times"]

_SURE = 1.96  # standard deviations on either side that hold 95 in 100


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of a time, in seconds; a field is None where nothing was counted.

    `count`: how many; `mean`, `least`, `most`: exact; `p50` to `p99`: percentiles, off by half a
    hundredth at most. `buckets`: how many of them fell into the bucket of that index, each of which
    ends 1.005 times as high as the one before; the first, of index 0, ends at 1 µs.
    """

    count: int = 0
    mean: float | None = None
    least: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    most: float | None = None
    buckets: dict[int, int] = {}

    def quantile(self, part: float) -> float | None:
        """Estimate the quantile `part`, 0 to 1, in seconds; None where nothing was counted."""
        found = HistogramCounts(self.buckets).quantile(part, FINE_BOUNDS)
        if found is None or self.least is None or self.most is None:
            return None
        if found <= FINE_BOUNDS[0]:  # as good as none: between what one read brought
            return self.least
        return min(max(found, self.least), self.most)

    def interval(self, part: float) -> tuple[float, float] | None:
        """Return the 95 % confidence interval of the quantile `part`, in seconds.

        It is that of order statistics, whatever the distribution: it takes the values to be
        independent, which the gaps of one answer are not quite. Of too few values nothing can be
        said on a side: it ends at 0 or at infinity. None where nothing was counted.
        """
        if not self.count:
            return None
        spread = _SURE * math.sqrt(part * (1 - part) / self.count)
        low = self.quantile(part - spread) if part > spread else 0.0
        high = self.quantile(part + spread) if part + spread <= 1 else math.inf
        return None if low is None or high is None else (low, high)

    def cumulative(self) -> list[tuple[float, float]]:
        """Return points of the distribution: seconds, and the part of the values up to them."""
        indices = sorted(self.buckets)
        sums = accumulate(self.buckets[index] for index in indices)
        last = len(FINE_BOUNDS) - 1
        return [
            (FINE_BOUNDS[min(index, last)], below / self.count)
            for index, below in zip(indices, sums, strict=True)
        ]

    def above(self, seconds: float) -> int:
        """Count the values above `seconds`, to half a hundredth."""
        edge = bisect_right(FINE_BOUNDS, seconds)
        return sum(count for index, count in self.buckets.items() if index > edge)


class Times:
    """Times as they are counted, in nanoseconds: the memory they take is bounded."""

    __slots__ = ("_histogram", "_least", "_most")

    def __init__(self) -> None:
        self._histogram = Histogram(bounds=FINE_BOUNDS)
        self._least = math.inf
        self._most = 0.0

    def add(self, nanoseconds: int) -> int:
        """Count a time and return its bucket."""
        seconds = nanoseconds / 1e9
        self._least = min(self._least, seconds)
        self._most = max(self._most, seconds)
        return self._histogram.add(seconds)

    def distribution(self) -> Distribution:
        """Return the distribution as it is now."""
        counts = self._histogram.counts()
        count = counts.count
        if not count:
            return Distribution()
        plain = Distribution(
            count=count,
            mean=counts.total / count,
            least=self._least,
            most=self._most,
            buckets=counts.buckets,
        )
        named = {f"p{part}": plain.quantile(part / 100) for part in (50, 90, 95, 99)}
        return msgspec.structs.replace(plain, **named)
