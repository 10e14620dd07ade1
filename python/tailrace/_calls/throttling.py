"""How many calls a site gets at once, and how many in a time: those too many wait, and only the
total clock runs.

A limit is counted in each event loop for itself, since calls of two loops cannot wait for each
other.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter

from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from tailrace._calls.exchange import Exchange, Opening
    from tailrace.errors import TailraceError

__all__ = ["Limited", "Throttle"]


class Throttle:
    """At most `concurrency` calls under way, and `rate` calls begun in `per` seconds; None: no such
    limit.

    The rate is a leaky bucket: after a quiet time `rate` calls may begin together, and the next
    ones `per` / `rate` seconds apart. One object stands for one site, shared by its calls. Raises
    `InvalidRequestError` for a limit that lets nobody in.
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

    @property
    def under_way(self) -> int:
        """How many calls hold a place, in all loops."""
        with self._lock:
            return sum(gate.under_way for gate in self._gates.values())

    def gate(self) -> _Gate:
        """The running loop's places; those of loops that are closed are forgotten."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._gates:
                self._gates = {
                    each: gate for each, gate in self._gates.items() if not each.is_closed()
                }
                self._gates[loop] = _Gate(self)
            return self._gates[loop]


_MOST = 1e9


class _Gate:
    """The places of one loop."""

    def __init__(self, limit: Throttle) -> None:
        self.under_way: int = 0
        self._places = None if limit.concurrency is None else asyncio.Semaphore(limit.concurrency)
        self._rate = None if limit.rate is None else AsyncLimiter(limit.rate, limit.per)

    async def enter(self) -> None:
        """Wait for a place, then for its turn: a call that is cancelled in either has neither."""
        if self._places is not None:
            await self._places.acquire()
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
        if self._places is not None:
            self._places.release()


class Limited:
    """An exchange that takes a place of its site before it is opened, and gives it back when it is
    closed.
    """

    def __init__(self, exchange: Exchange, limit: Throttle) -> None:
        self._exchange = exchange
        self._limit = limit
        self._gate: _Gate | None = None

    async def open(self) -> Opening:
        """Wait for a place, then send the request."""
        gate = self._limit.gate()
        await gate.enter()
        self._gate = gate
        return await self._exchange.open()

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:
        """The exchange's own remedy, in the same place."""
        return await self._exchange.again(opening, error)

    async def aclose(self) -> None:
        """Close the exchange; then its place is free."""
        try:
            await self._exchange.aclose()
        finally:
            self._leave()

    def abort(self) -> None:
        """As `aclose`, without waiting."""
        try:
            self._exchange.abort()
        finally:
            self._leave()

    def _leave(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave()
