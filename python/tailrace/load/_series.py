"""What happened when: a bounded number of slots, which grow wider as a run grows longer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from tailrace._histogram import FINE_BOUNDS, HistogramCounts

__all__ = ["Series", "Slot", "Slots"]

_MOST_SLOTS = 240
_FIRST_WIDTH = 0.25  # seconds


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one slot of a load's time, warm-up included.

    `begun`, `whole`, `failed`: requests that began and that ended in it; `tokens`: about how many
    came in it; `open`: the most under way at once; `lag`: the most the client's loop was late, in
    seconds; `ttft_p50`, `ttft_p99`: of the requests whose first delta came in it, in seconds.
    """

    begun: int = 0
    whole: int = 0
    failed: int = 0
    tokens: float = 0.0
    open: int = 0
    lag: float = 0.0
    ttft_p50: float | None = None
    ttft_p99: float | None = None


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The slots of a run, each `width` seconds long, from its beginning on."""

    width: float = _FIRST_WIDTH
    slots: list[Slot] = []


@dataclass(slots=True)
class _Counts:
    begun: int = 0
    whole: int = 0
    failed: int = 0
    tokens: float = 0.0
    open: int = 0
    lag: float = 0.0
    ttft: Counter[int] = field(default_factory=Counter)

    def plus(self, other: _Counts) -> _Counts:
        return _Counts(
            self.begun + other.begun,
            self.whole + other.whole,
            self.failed + other.failed,
            self.tokens + other.tokens,
            max(self.open, other.open),
            max(self.lag, other.lag),
            self.ttft + other.ttft,
        )

    def slot(self) -> Slot:
        ttft = HistogramCounts(dict(self.ttft))
        return Slot(
            begun=self.begun,
            whole=self.whole,
            failed=self.failed,
            tokens=self.tokens,
            open=self.open,
            lag=self.lag,
            ttft_p50=ttft.quantile(0.5, FINE_BOUNDS),
            ttft_p99=ttft.quantile(0.99, FINE_BOUNDS),
        )


class Slots:
    """The slots as they are filled; moments are seconds from the beginning of the run."""

    def __init__(self) -> None:
        self._width = _FIRST_WIDTH
        self._counts: list[_Counts] = []

    def began(self, at: float) -> None:
        """Count a request that begins."""
        self._at(at).begun += 1

    def first_delta(self, at: float, bucket: int) -> None:
        """Count a first delta, by the bucket of its time."""
        self._at(at).ttft[bucket] += 1

    def ended(self, at: float, *, whole: bool) -> None:
        """Count a request that ends."""
        counts = self._at(at)
        if whole:
            counts.whole += 1
        else:
            counts.failed += 1

    def tokens(self, begin: float, end: float, tokens: float) -> None:
        """Spread the tokens of an answer evenly over the time in which it came."""
        self._at(end)  # it may widen the slots
        first, last = int(begin / self._width), int(end / self._width)
        for index in range(first, last + 1):
            low = max(begin, index * self._width)
            high = min(end, (index + 1) * self._width)
            part = (high - low) / (end - begin) if end > begin else 1.0
            self._counts[index].tokens += tokens * part

    def sample(self, at: float, under_way: int, lag: float) -> None:
        """Take note of how many requests are under way, and of how late the loop was."""
        counts = self._at(at)
        counts.open = max(counts.open, under_way)
        counts.lag = max(counts.lag, lag)

    def series(self) -> Series:
        """Return the slots as they are now."""
        return Series(width=self._width, slots=[counts.slot() for counts in self._counts])

    def _at(self, moment: float) -> _Counts:
        index = int(moment / self._width)
        while index >= _MOST_SLOTS:
            self._widen()
            index = int(moment / self._width)
        while index >= len(self._counts):
            self._counts.append(_Counts())
        return self._counts[index]

    def _widen(self) -> None:
        if len(self._counts) % 2:
            self._counts.append(_Counts())
        pairs = zip(self._counts[::2], self._counts[1::2], strict=True)
        self._counts = [one.plus(other) for one, other in pairs]
        self._width *= 2
