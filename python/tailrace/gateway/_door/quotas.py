"""Quotas of each key: requests begun in a minute, and requests under way at once.

The rate is a token bucket that holds one minute's requests and fills up evenly: after a quiet
minute as many may come together. Each worker counts for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OverQuota", "Quotas"]

_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class OverQuota:
    """A refusal; `code`: the quota that is used up, `retry_after`: the seconds to wait."""

    code: str
    message: str
    retry_after: float


@dataclass(slots=True)
class _Bucket:
    """The token bucket of one key, and the number of its requests under way."""

    left: float
    filled_at: float
    under_way: int = 0


class Quotas:
    """The quotas of all keys; callers without a key share one, whose name is None.

    `rate`: requests a minute; `concurrency`: requests at once; None sets no limit. `clock` gives
    seconds that never go back.
    """

    def __init__(
        self, *, rate: float | None, concurrency: int | None, clock: Callable[[], float]
    ) -> None:
        self._rate = rate
        self._concurrency = concurrency
        self._clock = clock
        self._buckets: dict[str | None, _Bucket] = {}

    def acquire(self, caller: str | None) -> OverQuota | None:
        """Begin a request of the key `caller`, to be followed by `release`; or return a refusal."""
        now = self._clock()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = _Bucket(self._full, now)
        if self._concurrency is not None and bucket.under_way >= self._concurrency:
            message = f"this key has {self._concurrency} requests under way, as many as it may"
            return OverQuota("concurrency_limit_exceeded", message, 1.0)
        if self._rate is not None:
            bucket.left = min(
                self._full, bucket.left + (now - bucket.filled_at) * self._rate / _MINUTE
            )
            bucket.filled_at = now
            if bucket.left < 1:
                wait = (1 - bucket.left) * _MINUTE / self._rate
                return OverQuota(
                    "rate_limit_exceeded", f"this key may ask {self._rate:g} times a minute", wait
                )
            bucket.left -= 1
        bucket.under_way += 1
        return None

    def release(self, caller: str | None) -> None:
        """End a request that `acquire` let begin."""
        self._buckets[caller].under_way -= 1

    @property
    def _full(self) -> float:
        return max(1.0, self._rate or 0.0)
