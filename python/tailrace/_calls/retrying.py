"""Repeated calls to one site: the wait between attempts, and an exchange that makes the attempts.

Nothing is repeated after the first delta, and nothing unless a caller gives a policy: a site goes
on answering a client that has left, and counts every attempt against its quota. This module sends
nothing of its own.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tailrace._calls.exchange import Exchange, Opening
    from tailrace._calls.retry_policy import RetryPolicy

__all__ = ["Attempts", "Retrying"]


class Attempts:
    """The attempts at one site: those that failed so far, and the wait before the next.

    `policy` decides whether there is a next one; `chance` (the system's unless given) draws its
    wait, and `sleep` waits that many seconds.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        chance: random.Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.failures: tuple[TailraceError, ...] = ()
        self._policy = policy
        self._chance = random.SystemRandom() if chance is None else chance
        self._sleep = sleep
        self._waiting: asyncio.Future[object] | None = None

    def seconds_after(self, failure: TailraceError) -> float | None:
        """Return the seconds until the next attempt, None where `failure` stands.

        A failure that another attempt follows is added to `failures`.
        """
        seconds = self._policy.wait(failure, len(self.failures) + 1, self._chance)
        if seconds is not None:
            # Without its traceback, whose frames would keep the objects of the attempt alive.
            self.failures += (failure.with_traceback(None),)
        return seconds

    async def wait(self, seconds: float) -> None:
        """Wait for `seconds`, or until `stop_waiting` is called."""
        self._waiting = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait([self._waiting])
        finally:
            self.stop_waiting()
        if not self._waiting.cancelled():
            self._waiting.result()

    def stop_waiting(self) -> None:
        """End a wait under way."""
        if self._waiting is not None:
            self._waiting.cancel()


class Retrying:
    """An exchange that begins anew, as `policy` says, when it has failed without a delta.

    `make` returns a new exchange for each attempt; the failed one is closed before the wait. An
    exchange's own remedy (for a refused nonce) comes first, and is not counted as an attempt.
    During a wait the stream's total clock alone runs. `chance` and `sleep` are those of `Attempts`.
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
        self._attempts = Attempts(policy, chance=chance, sleep=sleep)
        self._exchange: Exchange | None = None

    @property
    def attempts(self) -> tuple[TailraceError, ...]:
        """The failures so far that were followed by another attempt."""
        return self._attempts.failures

    async def open(self) -> Opening:
        """Send the request, and again while the policy says so."""
        while True:
            exchange = self._exchange = self._make()
            try:
                return await exchange.open()
            except TailraceError as error:
                failure = error
            if not await self._waits_for_next(failure):
                raise failure

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:
        """Try the exchange's own remedy, then another attempt; None: the failure stands."""
        failure = error
        if self._exchange is not None:
            try:
                instead = await self._exchange.again(opening, error)
            except TailraceError as raised:
                failure = raised
            else:
                if instead is not None:
                    return instead
        if await self._waits_for_next(failure):
            return await self.open()
        if failure is error:
            return None
        raise failure

    def conceal(self, error: TailraceError) -> None:
        """Take the secrets of the exchange under way out of an error."""
        if self._exchange is not None:
            self._exchange.conceal(error)

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
        """Begin to close the exchange under way, without waiting."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abort()

    async def _waits_for_next(self, failure: TailraceError) -> bool:
        """Close the failed exchange and wait for the next attempt; return whether there is one."""
        seconds = self._attempts.seconds_after(failure)
        if seconds is None:
            return False
        await self.aclose()
        await self._attempts.wait(seconds)
        return True
