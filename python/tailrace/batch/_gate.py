"""The gate of a batch: each request waits here until it may begin, in the order in which they came.

One timer of the loop serves all that wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import TYPE_CHECKING

from tailrace.batch._rates import Breaker, Meter, Unanimity, Window, judge, was_sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace.batch._plan import Plan
    from tailrace.batch._rates import Verdict
    from tailrace.errors import TailraceError

__all__ = ["ClosedError", "Gate"]


class ClosedError(Exception):
    """No request may begin any more: the run ends."""


class Gate:
    """The rules of a `plan` and the requests under way; `clock` returns seconds, never back."""

    def __init__(self, plan: Plan, clock: Callable[[], float], longest_retry_after: float) -> None:
        self.under_way = 0
        self._requests = Meter(plan.rpm)
        self._tokens = Meter(plan.tpm)
        self._is_metered = plan.rpm is not None or plan.tpm is not None
        self._window = Window(plan.concurrency, adapts=plan.adaptive)
        self._breaker = Breaker(plan.stop_after, plan.patience)
        self._unanimity = Unanimity(plan.stop_after)
        self._longest = longest_retry_after
        self._clock = clock
        self._paused_until = self._told_until = -inf
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self.is_tripped = False
        self.has_no_answer = False  # tripped by rows that failed alike, and were all so far
        self._common_failure: TailraceError | None = None  # of these
        self.last_failure: TailraceError | None = None  # of the site, not of a row alone

    @property
    def limit(self) -> int:
        """The number of requests that may be under way now."""
        return 1 if self._breaker.is_open else int(self._window.limit)

    @property
    def is_open(self) -> bool:
        """Whether the site is down, and one request at a time probes it."""
        return self._breaker.is_open

    @property
    def site_answers(self) -> bool:
        """Whether the site has answered since its last failure."""
        return self._breaker.is_quiet

    # -- a gate of several -------------------------------------------------------------------------

    def resize(self, plan: Plan) -> None:
        """Keep to the concurrency and the rates of another plan from now on."""
        self._window.resize(plan.concurrency)
        self._requests.resize(plan.rpm)
        self._tokens.resize(plan.tpm)
        self._is_metered = plan.rpm is not None or plan.tpm is not None
        self._let_in()

    def pause(self, seconds: float) -> None:
        """Let no request begin for so many seconds, which another gate was told."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    @property
    def paused(self) -> float:
        """The seconds for which the site told this gate to wait, 0 where it has not said so."""
        return max(0.0, self._told_until - self._clock())

    @property
    def seconds_held(self) -> float:
        """The seconds until a request may begin, as the site told this gate or another one."""
        return max(0.0, self._paused_until - self._clock())

    @property
    def is_within(self) -> bool:
        """Whether no more requests are under way than may be."""
        return self.under_way <= self._window.limit

    # -- a request ---------------------------------------------------------------------------------

    async def enter(self, tokens: int) -> float:
        """Wait until a request of so many `tokens` may begin; return the moment.

        Raises ClosedError where none may any more.
        """
        now = self._clock()
        if not self._is_closed and not self._waiting and self._wait(now) <= 0:
            self._begin(now, tokens)
            return now
        if self._is_closed:
            raise ClosedError
        place = asyncio.get_running_loop().create_future()
        self._waiting.append((place, tokens))
        self._let_in()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave()
            raise
        return self._clock()

    def leave(self) -> None:
        """End a request of which nothing is to be learned."""
        self.under_way -= 1
        self._let_in()

    def answered(self, more_tokens: int) -> None:
        """End a request that was answered; `more_tokens`: than it was entered with."""
        self.under_way -= 1
        self._breaker.answered(self._clock())
        self._unanimity.is_broken = True
        self._window.grow()
        if more_tokens:
            self._tokens.correct(more_tokens)
        if self._waiting:
            self._let_in()

    def failed(self, error: TailraceError, begun: float) -> Verdict:
        """End a request that failed, and return what that says of the site."""
        now, verdict = self._clock(), judge(error, self._longest)
        if verdict.kind == "refused" or verdict.retry_after:
            self._window.shrink(begun, now, self.under_way)
            self._told_until = max(self._told_until, now + verdict.retry_after)
            self._paused_until = max(self._paused_until, self._told_until)
        self.under_way -= 1
        if verdict.kind == "row":
            if was_sent(error):
                self._breaker.answered(now)
        else:
            self._site_failed(error, now, lasts=verdict.lasts)
        self._let_in()
        return verdict

    # -- rows that fail before the first answer ----------------------------------------------------

    @property
    def is_trusted(self) -> bool:
        """Whether a row's failure is the row's: some are answered, or fail for other reasons."""
        return self._unanimity.is_broken

    def trust(self) -> None:
        """Know that the site answers rows: it has, before."""
        self._unanimity.is_broken = True

    def gave_up(self, error: TailraceError, model: str) -> bool:
        """Take in a row's own failure; return whether enough rows have failed, all for the same.

        `model`: the one that was asked.
        """
        if not self._unanimity.failed(error, model):
            return False
        self._common_failure = self._common_failure or error
        return True

    def distrust(self) -> None:
        """Trip: rows of other kinds have failed for the same reason, too, or there are none."""
        if not self.is_tripped:
            self.last_failure = self._common_failure
            self.is_tripped = self.has_no_answer = True
            self.close()

    def _site_failed(self, error: TailraceError, now: float, *, lasts: bool) -> None:
        if not self.is_tripped:
            self.last_failure = error
        if self._breaker.failed(now, lasts=lasts):
            self.is_tripped = True
            self.close()

    def close(self) -> None:
        """Let no request begin any more; those that wait for it are told."""
        self._is_closed = True
        self._end_timer()
        while self._waiting:
            place, _ = self._waiting.popleft()
            if not place.done():
                place.set_exception(ClosedError())

    # -- letting in --------------------------------------------------------------------------------

    def _wait(self, now: float) -> float:
        """Return the seconds until the next request may begin, inf until one has ended."""
        if self.under_way >= self.limit:
            return inf
        wait = self._paused_until - now
        if self._breaker.is_open:
            wait = max(wait, self._breaker.next_probe - now)
        if self._is_metered:
            wait = max(wait, self._requests.wait(now), self._tokens.wait(now))
        return wait

    def _begin(self, now: float, tokens: int) -> None:
        self.under_way += 1
        if self._is_metered:
            self._requests.take(now, 1)
            self._tokens.take(now, tokens)

    def _let_in(self) -> None:
        while self._waiting:
            place, tokens = self._waiting[0]
            if place.done():  # cancelled
                self._waiting.popleft()
                continue
            now = self._clock()
            wait = self._wait(now)
            if wait > 0:
                self._look_again_in(wait)
                return
            self._waiting.popleft()
            self._begin(now, tokens)
            place.set_result(None)

    def _look_again_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if due < (inf if self._timer is None else self._timer.when()):
            self._end_timer()
            self._timer = loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        self._let_in()

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
