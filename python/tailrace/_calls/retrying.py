"""The same site asked again: which failures pass, how long to wait, and an exchange that does it.

Nothing is repeated after the first delta, and nothing unless a caller asks for it: a site goes on
answering a client that has left, so every try is counted by it. This module sends nothing of its
own.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace import errors
from tailrace.errors import InvalidRequestError, TailraceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tailrace._streams.aio import Exchange, Opening

__all__ = ["RetryPolicy", "Retrying", "passes"]

log: logging.Logger = logging.getLogger("tailrace")

_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_NEVER = (
    errors.ProxyError,  # a wrong password is one, too
    errors.TLSError,
    errors.CloudflareError,
    errors.ConversationLimitError,
    errors.NonceRefusedError,
)


def passes(error: TailraceError) -> bool:
    """Whether the same request may succeed a little later.

    So it is with a connection that failed or broke off, with every clock but the total one, with a
    reply that held or ended in nothing, and with the statuses 408, 425, 429, 500, 502, 503, 504 and
    520 to 524. All else is lasting: what a site says in words, missing tokens, challenges, limits,
    TLS and proxies.
    """
    if isinstance(error, _NEVER):
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
    """How often and how patiently one site is asked.

    `attempts`: requests in all, the first one included. The wait doubles from `first_wait` up to
    `longest_wait` seconds, and half of it is chance, so that many callers do not come back
    together. A site's Retry-After is waited for in full, and a site that asks for more than
    `longest_retry_after` seconds is not asked again. `repeats` says which errors are worth another
    try.
    """

    attempts: int = 3
    first_wait: float = 0.5
    longest_wait: float = 20.0
    longest_retry_after: float = 60.0
    repeats: Callable[[TailraceError], bool] = passes

    def __post_init__(self) -> None:
        if (
            isinstance(self.attempts, bool)
            or not isinstance(self.attempts, int)
            or self.attempts < 1
        ):
            raise InvalidRequestError(
                f"attempts must be a whole number of 1 or more, not {self.attempts!r}"
            )
        for name in ("first_wait", "longest_wait", "longest_retry_after"):
            seconds = getattr(self, name)
            if (
                isinstance(seconds, bool)
                or not isinstance(seconds, int | float)
                or not 0 <= seconds < _LONGEST
            ):
                raise InvalidRequestError(
                    f"{name} must be a number of seconds of 0 or more, not {seconds!r}"
                )

    def wait(self, error: TailraceError, made: int, chance: random.Random) -> float | None:
        """Seconds to wait after `made` attempts, the last of which failed with `error`; None: it
        stands.

        The decision is a log line and a note on the error.
        """
        seconds, why = self._decided(error, made, chance)
        told = why if seconds is None else f"{why}: again in {seconds:.2f} s"
        log.log(logging.INFO if seconds is None else logging.WARNING, "%s: %s", told, error)
        error.add_note(told)
        return seconds

    def _decided(
        self, error: TailraceError, made: int, chance: random.Random
    ) -> tuple[float | None, str]:
        name = type(error).__name__
        if not self.repeats(error):
            return (
                None,
                f"attempt {made} of {self.attempts} failed with {name}, which is not worth another",
            )
        if made >= self.attempts:
            return (
                None,
                f"attempt {made} of {self.attempts} failed with {name}, and it was the last",
            )
        asked = error.retry_after if isinstance(error, errors.ResponseStatusError) else None
        if asked is not None and asked > self.longest_retry_after:
            return (
                None,
                f"attempt {made} of {self.attempts} failed with {name}, and the site asks for {asked:g} s",
            )
        longest = min(self.longest_wait, self.first_wait * 2.0 ** min(made - 1, _MOST_DOUBLINGS))
        jittered = longest * chance.uniform(0.5, 1.0)
        return (asked or 0.0) + jittered, f"attempt {made} of {self.attempts} failed with {name}"


_LONGEST = 1e6  # seconds
_MOST_DOUBLINGS = 30


class Retrying:
    """An exchange that makes another one when the one before failed without a delta, as its policy
    says.

    `make` gives a new exchange for each attempt; the failed one is closed before the wait. What an
    exchange repeats by itself (a refused nonce) comes first, and is no attempt here. `attempts` are
    the failures so far that were followed by another try. Only the stream's total clock runs while
    it waits.
    """

    def __init__(
        self,
        make: Callable[[], Exchange],
        policy: RetryPolicy,
        *,
        chance: random.Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._make = make
        self._policy = policy
        self._chance = random.SystemRandom() if chance is None else chance
        self._sleep = sleep
        self._exchange: Exchange | None = None
        self.attempts: tuple[TailraceError, ...] = ()

    async def open(self) -> Opening:
        """Send the request, and again while the policy says so."""
        while True:
            exchange = self._exchange = self._make()
            try:
                return await exchange.open()
            except TailraceError as error:
                failure = error
            if not await self._waited(failure):
                raise failure

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:
        """The exchange's own remedy; then another attempt, or None: the failure stands."""
        failure = error
        if self._exchange is not None:
            try:
                instead = await self._exchange.again(opening, error)
            except TailraceError as told:
                failure = told
            else:
                if instead is not None:
                    return instead
        if await self._waited(failure):
            return await self.open()
        if failure is error:
            return None
        raise failure

    async def aclose(self) -> None:
        """Close the exchange under way."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            try:
                await exchange.aclose()
            except asyncio.CancelledError:
                exchange.abort()
                raise

    def abort(self) -> None:
        """As `aclose`, without waiting."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abort()

    async def _waited(self, failure: TailraceError) -> bool:
        """Close what failed and wait for the next attempt; False: there is none."""
        seconds = self._policy.wait(failure, len(self.attempts) + 1, self._chance)
        if seconds is None:
            return False
        self.attempts += (failure.with_traceback(None),)  # its frames know this object
        await self.aclose()
        await self._sleep(seconds)
        return True
