"""How much one key may ask: requests begun in a minute, and requests under way at once. Who is over
it is told when.

The rate is a bucket of one minute's requests that fills up evenly: after a quiet minute as many may
come together. Counted in each worker for itself.
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
    """Which of the two it was (`code`), and after how many seconds another try may do."""

    code: str
    message: str
    retry_after: float


@dataclass(slots=True)
class _Account:
    """What one key has left."""

    left: float
    filled_at: float
    under_way: int = 0


class Quotas:
    """The accounts of all keys; `None` is one key, too.

    `clock` gives seconds that never go back.
    """

    def __init__(
        self, *, rate: float | None, concurrency: int | None, clock: Callable[[], float]
    ) -> None:
        self._rate = rate
        self._concurrency = concurrency
        self._clock = clock
        self._accounts: dict[str | None, _Account] = {}

    def enter(self, caller: str | None) -> OverQuota | None:
        """One more request of that key begins: None, and it has to `leave`; else it may not."""
        now = self._clock()
        account = self._accounts.get(caller)
        if account is None:
            account = self._accounts[caller] = _Account(self._full, now)
        if self._concurrency is not None and account.under_way >= self._concurrency:
            message = f"this key has {self._concurrency} requests under way, as many as it may"
            return OverQuota("concurrency_limit_exceeded", message, 1.0)
        if self._rate is not None:
            account.left = min(
                self._full, account.left + (now - account.filled_at) * self._rate / _MINUTE
            )
            account.filled_at = now
            if account.left < 1:
                wait = (1 - account.left) * _MINUTE / self._rate
                return OverQuota(
                    "rate_limit_exceeded", f"this key may ask {self._rate:g} times a minute", wait
                )
            account.left -= 1
        account.under_way += 1
        return None

    def leave(self, caller: str | None) -> None:
        """A request that was let in has ended."""
        self._accounts[caller].under_way -= 1

    @property
    def _full(self) -> float:
        return max(1.0, self._rate or 0.0)
