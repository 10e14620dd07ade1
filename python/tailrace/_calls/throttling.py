"""A limit on the calls that a site gets at once, and in a time.

Calls beyond the limit wait; meanwhile the total clock of their stream alone runs. Each event loop
counts for itself, since calls of two loops cannot wait for each other.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from aiolimiter import AsyncLimiter

from tailrace._environment import running_loop
from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from tailrace._calls.exchange import Exchange, Opening
    from tailrace.errors import TailraceError

__all__ = ["Limited", "Throttle"]


class Throttle:
    """A limit on the calls to one site, shared by all of them.

    At most `concurrency` calls are under way, and at most `rate` calls begin in `per` seconds (60,
    a minute, by default); None is no such limit. The rate is a leaky bucket: after a quiet time
    `rate` calls may begin together, and the next ones `per` / `rate` seconds apart. Raises
    InvalidRequestError for a limit out of range.
    """

    def __init__(
        self, *, concurrency: int | None = None, rate: float | None = None, per: float = 60.0
    ) -> None:
        if concurrency is not None and (type(concurrency) is not int or concurrency < 1):
            raise InvalidRequestError(
                f"concurrency must be a whole number of 1 or more, or None, not {concurrency!r}"
            )
        if rate is not None and (type(rate) not in (int, float) or not 1 <= rate < _MOST):
            raise InvalidRequestError(f"rate must be a number of 1 or more, or None, not {rate!r}")
        if type(per) not in (int, float) or not 0 < per < _MOST:
            raise InvalidRequestError(f"per must be a number of seconds above 0, not {per!r}")
        self.concurrency: int | None = concurrency
        self.rate: float | None = rate
        self.per: float = per
        self._lock = threading.Lock()
        self._gates: dict[asyncio.AbstractEventLoop, _Gate] = {}

    def __repr__(self) -> str:
        return f"Throttle(concurrency={self.concurrency!r}, rate={self.rate!r}, per={self.per!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the limit alone: another process counts for itself, as each event loop does."""
        return _throttle, (self.concurrency, self.rate, self.per)

    @property
    def under_way(self) -> int:
        """The number of calls under way, in all event loops."""
        with self._lock:
            return sum(gate.under_way for gate in self._gates.values())

    def gate(self) -> _Gate:
        """Return the running loop's gate, and drop the gates of closed loops."""
        loop = running_loop()
        with self._lock:
            if loop not in self._gates:
                self._gates = {
                    each: gate for each, gate in self._gates.items() if not each.is_closed()
                }
                self._gates[loop] = _Gate(self)
            return self._gates[loop]


def _throttle(concurrency: int | None, rate: float | None, per: float) -> Throttle:
    return Throttle(concurrency=concurrency, rate=rate, per=per)


_MOST = 1e9


class _Gate:
    """The count of one event loop's calls, and the waiting for a slot."""

    def __init__(self, throttle: Throttle) -> None:
        self.under_way: int = 0
        most, rate = throttle.concurrency, throttle.rate
        self._slots = None if most is None else asyncio.Semaphore(most)
        self._rate = None if rate is None else AsyncLimiter(rate, throttle.per)

    async def enter(self) -> None:
        """Wait for a slot, then for the rate; a call cancelled in either wait has neither."""
        if self._slots is not None:
            await self._slots.acquire()
        try:
            if self._rate is not None:
                await self._rate.acquire()
        except BaseException:
            self._release()
            raise
        self.under_way += 1

    def leave(self) -> None:
        self.under_way -= 1
        self._release()

    def _release(self) -> None:
        if self._slots is not None:
            self._slots.release()


class Limited:
    """An exchange that waits for a slot of `throttle` first, and frees the slot when closed."""

    def __init__(self, exchange: Exchange, throttle: Throttle) -> None:
        self._exchange = exchange
        self._throttle = throttle
        self._gate: _Gate | None = None

    async def open(self) -> Opening:
        """Wait for a slot, then send the request."""
        gate = self._throttle.gate()
        await gate.enter()
        self._gate = gate
        return await self._exchange.open()

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:
        """Try the exchange's own remedy, in the same slot."""
        return await self._exchange.again(opening, error)

    def conceal(self, error: TailraceError) -> None:
        """Take the exchange's secrets out of an error."""
        self._exchange.conceal(error)

    async def aclose(self) -> None:
        """Close the exchange, then free its slot."""
        try:
            await self._exchange.aclose()
        finally:
            self._leave()

    def abort(self) -> None:
        """Begin to close without waiting, and free the slot."""
        try:
            self._exchange.abort()
        finally:
            self._leave()

    def _leave(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave()
