"""The policy of repeated requests: which failures pass, and how long to wait after each."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace import errors
from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tailrace.errors import TailraceError

__all__ = ["RetryPolicy", "passes"]

log: logging.Logger = logging.getLogger("tailrace")

_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_LASTING = (
    errors.ProxyError,  # a wrong password is one, too
    errors.TLSError,
    errors.CloudflareError,
    errors.ConversationLimitError,
    errors.NonceRefusedError,
)
_LONGEST = 1e6  # seconds
_MOST_DOUBLINGS = 30


def passes(error: TailraceError) -> bool:
    """Tell whether the same request may succeed a little later than the one that raised `error`.

    True for a connection that failed or broke off, with every clock but the total one, with a
    reply that was truncated or empty, and with the statuses 408, 425, 429, 500, 502, 503, 504,
    520 to 524 and 529. False for all else: an error the site puts into words, missing tokens,
    challenges, limits, TLS and proxies.
    """
    if isinstance(error, _LASTING):
        return False
    if isinstance(error, errors.NetworkError):
        return True
    if isinstance(error, errors.TimeoutError):
        return error.phase != "total"
    if isinstance(error, errors.ResponseStatusError):
        return error.status in _PASSING_STATUSES
    return isinstance(error, errors.StreamError) and error.kind in ("truncated", "empty")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A policy of how often and how patiently a call to one site is repeated.

    `attempts`: requests in all, the first one included. The wait doubles from `first_wait` up to
    `longest_wait` seconds, and half of it is random, so that many callers do not come back
    together. A site's Retry-After is waited for in full; more than `longest_retry_after` seconds
    ends the call. `repeats` tells of an error whether it is worth another attempt; by default these
    are: failed or broken connections, clocks but the total one, truncated or empty replies, and the
    statuses 408, 425, 429, 500, 502, 503, 504, 520 to 524 and 529. Raises InvalidRequestError for a
    number out of range.
    """

    attempts: int = 3
    first_wait: float = 0.5
    longest_wait: float = 20.0
    longest_retry_after: float = 60.0
    repeats: Callable[[TailraceError], bool] = passes

    def __post_init__(self) -> None:
        attempts = self.attempts
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise InvalidRequestError(
                f"attempts must be a whole number of 1 or more, not {attempts!r}"
            )
        for name in ("first_wait", "longest_wait", "longest_retry_after"):
            seconds = getattr(self, name)
            is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
            if not is_number or not 0 <= seconds < _LONGEST:
                raise InvalidRequestError(
                    f"{name} must be a number of seconds of 0 or more, not {seconds!r}"
                )

    def wait(self, error: TailraceError, attempts_made: int, chance: random.Random) -> float | None:
        """Return the seconds to wait for the next attempt; None: the failure stands.

        `error`: that of the last attempt; `attempts_made`: the number of attempts so far. `chance`
        draws the random half. The decision is logged, and noted on the error (PEP 678).
        """
        seconds, reason = self.decide(error, attempts_made, chance)
        note = (
            f"attempt {attempts_made} of {self.attempts} failed with {type(error).__name__}{reason}"
        )
        log.log(logging.INFO if seconds is None else logging.WARNING, "%s: %s", note, error)
        error.add_note(note)
        return seconds

    def decide(
        self, error: TailraceError, attempts_made: int, chance: random.Random
    ) -> tuple[float | None, str]:
        """Return what `wait` does, and why, in words; nothing is logged or noted."""
        if not self.repeats(error):
            return None, ", which is not worth another"
        if attempts_made >= self.attempts:
            return None, ", and it was the last"
        retry_after = error.retry_after if isinstance(error, errors.ResponseStatusError) else None
        if retry_after is not None and retry_after > self.longest_retry_after:
            return None, f", and the site asks for {retry_after:g} s"
        longest = min(
            self.longest_wait, self.first_wait * 2.0 ** min(attempts_made - 1, _MOST_DOUBLINGS)
        )
        seconds = (retry_after or 0.0) + longest * chance.uniform(0.5, 1.0)
        return seconds, f": again in {seconds:.2f} s"
