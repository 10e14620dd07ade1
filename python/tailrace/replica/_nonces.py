"""Nonces as WordPress makes them: ten hex digits, made from a tick of half their lifetime.

A nonce is valid in its tick and the next one, so for at least half the lifetime and at most the
whole: 12 to 24 hours with WordPress's own lifetime.
"""

from __future__ import annotations

import hmac
from math import ceil
from typing import TYPE_CHECKING

from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

WORDPRESS_LIFETIME = 24 * 3600.0


class Nonces:
    """A maker and checker of the nonces of one site; `lifetime` and `clock` are in seconds."""

    def __init__(self, lifetime: float, clock: Callable[[], float]) -> None:
        if not lifetime > 0:
            raise InvalidRequestError(
                f"a nonce's lifetime must be more than 0 seconds, not {lifetime!r}"
            )
        self._half = lifetime / 2
        self._clock = clock
        self._generation = 0

    def current(self, action: str = "chat") -> str:
        """Return the nonce for `action` that a page shows now."""
        return self._nonce(action, self._tick())

    def accepts(self, nonce: str, action: str = "chat") -> bool:
        """Tell whether `nonce` is of this tick or the one before."""
        tick = self._tick()
        return nonce in (self._nonce(action, tick), self._nonce(action, tick - 1))

    def expire(self) -> None:
        """Refuse every nonce made so far, as if a lifetime had passed."""
        self._generation += 1

    def expired(self, action: str = "chat") -> str:
        """Return the nonce of a page that is far too old."""
        return self._nonce(action, -1)

    def _tick(self) -> int:
        return ceil(self._clock() / self._half)

    def _nonce(self, action: str, tick: int) -> str:
        salt = f"replica|{self._generation}".encode()
        return hmac.digest(salt, f"{tick}|{action}".encode(), "sha256").hex()[-12:-2]
