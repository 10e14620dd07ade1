"""The driver of a run on Ray: it hands out shards, and shares, and has dead workers replaced.

Everything that a worker does is awaited here, in one place and in one thread: `Driver.until_end`
waits for whatever comes first, and acts on it. What workers hold to is decided here as well: a
worker joins when the others have made room for its share of the plan, and when one leaves, its
share goes to those that stay. So the run as a whole keeps to its plan at every moment.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from tailrace.batch import Report
from tailrace.errors import (
    BatchLockedError,
    BatchWorkersError,
    BatchWriteError,
    TailraceError,
    one_line,
)
from tailrace.ray._shards import Shards
from tailrace.ray._shares import share_of
from tailrace.ray._worker import Ended, Opened, Order, Status, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailrace.batch import Plan

__all__ = ["Driver"]

log = logging.getLogger("tailrace")

_LOOK_EVERY = 1.0  # seconds, how far workers are
_MOST_TAKEOVERS = 5  # of a shard
_MOST_STRANGERS = 1  # that write a shard of which no worker died: a store may err once
_MOST_SHARDS = 8  # of a worker: all but one wait for their last answers
_MOST_LOSSES = 5  # of a worker's place in succession
_AGAIN = 2.0  # seconds, until a shard is tried again whose lock a dead worker may hold
_LOCKED_LONGEST = 150.0  # seconds; NFS takes 90 to find a client dead
_START = 300.0  # seconds for the first worker


class _Place:
    """A place for a worker.

    `share`: the last one that it was told, None before it may join; `is_joined`: whether it can be
    given shards; `shards`: those that it has, and `reading`: those of them with rows that are not
    even under way; `losses`: workers that died here in succession.
    """

    def __init__(self) -> None:
        self.losses = 0
        self.empty()

    def empty(self) -> None:
        """Forget the worker."""
        self.actor: Any = None
        self.has_begun = self.is_joined = self.is_looked_at = False
        self.share: Plan | None = None
        self.shards: set[int] = set()
        self.reading: set[int] = set()
        self.under_way = self.limit = 0
        self.waiting = ""
        self.paused = 0.0


class Driver:
    """A run of `order` by so many workers, from beginning to end.

    `shards`: how many shards a new run has. `actor_options`: those of Ray for each worker.
    `retry_failed`: rows are asked again that an earlier run failed. `tell` is given the report
    every second.
    """

    def __init__(
        self,
        ray: Any,
        order: Order,
        *,
        workers: int,
        shards: int | None,
        actor_options: Mapping[str, Any],
        retry_failed: bool,
        tell: Callable[[Report], object] | None = None,
    ) -> None:
        self._ray = ray
        self._order = order
        self._wanted_shards = shards
        self._default_shards = 4 * workers
        self._retry_failed = retry_failed
        self._tell = tell
        options = {"num_cpus": 1, "scheduling_strategy": "SPREAD", **actor_options}
        self._worker = ray.remote(Worker).options(**options)
        count = min(workers, order.plan.concurrency)
        self._places = [_Place() for _ in range(count)]
        self._round = 0
        self._shards = Shards(0)
        self._waits: dict[Any, tuple[_Place, Callable[[Any], None]]] = {}
        self._asides: dict[int, tuple[float, float]] = {}  # since when, and until when, locked
        self._lost: set[int] = set()  # shards whose worker died, and may still write
        self._is_checked = False
        self._is_stopping = False
        self._is_interrupted = self._is_cut = False
        self._stopped = ""
        self._failure: TailraceError | None = None
        self._began = self._looked = time.monotonic()
        self._ended: float | None = None
        self._at = datetime.now(UTC).isoformat(timespec="seconds")

    def report(self) -> Report:
        """Return the report of what has happened up to now."""
        order, site = self._order, self._order.site
        now = self._ended or time.monotonic()
        return self._shards.add_to(
            Report(
                site=site.name,
                url=one_line(site.url),
                software=site.software,
                model=site.resolve_model(order.model),
                at=self._at,
                input=order.input,
                output=order.output,
                shard=(0, 1),
                plan=order.plan,
                seconds=now - self._began,
                under_way=sum(each.under_way for each in self._places),
                concurrency=sum(each.limit for each in self._places),
                waiting="" if self._ended else self._waiting(),
                paused=0.0 if self._ended else self._paused(),
                interrupted=self._is_interrupted,
                stopped=self._stopped,
            )
        )

    def _waiting(self) -> str:
        """Return why all workers wait for the site, empty while it answers one of them."""
        reasons = [each.waiting for each in self._joined()]
        return reasons[0] if reasons and all(reasons) else ""

    def _paused(self) -> float:
        """Return the seconds for which no worker may ask, 0 where one of them may."""
        return min((each.paused for each in self._joined()), default=0.0)

    def stop(self) -> None:
        """Begin no more rows; the run ends when those under way have. From any thread."""
        self._is_interrupted = True

    def cut(self) -> None:
        """End the workers at once, with what is under way. From any thread."""
        self._is_interrupted = self._is_cut = True

    def until_end(self) -> Report:
        """Run to the last row, to `stop`, or until the site is down; return the report.

        Raises the TailraceError of an input or output that cannot be used, and BatchWorkersError
        where workers die too often or none can be started. However it ends, no worker is left.
        """
        try:
            for place in self._places:
                self._start(place)
            while (self._waits or self._asides) and not self._is_cut:
                self._step()
            if self._failure is not None:
                raise self._failure
        finally:
            self._ended = time.monotonic()
            for place in self._places:
                self._end(place)
        report = self.report()
        if self._tell is not None:
            self._tell(report)
        return report

    # -- waiting -----------------------------------------------------------------------------------

    def _step(self) -> None:
        """Act on what has come, and look after the workers now and then."""
        if self._waits:
            come, _ = self._ray.wait(list(self._waits), timeout=_LOOK_EVERY)
            for each in come:
                self._take(each)
        else:
            time.sleep(_LOOK_EVERY)
        if self._is_interrupted and not self._is_stopping:
            self._stop_all()
        now = time.monotonic()
        self._look_at_asides(now)
        if self._shards.count and self._shards.is_over:
            for place in self._places:
                self._leave(place)
        if now >= self._looked + _LOOK_EVERY:
            self._looked = now
            self._look(now)

    def _take(self, ref: Any) -> None:
        """Act on one answer of a worker, or on the worker's death."""
        if ref not in self._waits:  # of a worker that was found dead meanwhile
            return
        place, act = self._waits.pop(ref)
        problem = ""
        try:
            answer = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            problem = one_line(str(getattr(error, "cause", None) or error)) or "without a word"
        if problem:
            self._lose(place, problem)
        else:
            act(answer)

    def _wait(self, place: _Place, ref: Any, act: Callable[[Any], None]) -> None:
        self._waits[ref] = place, act

    def _look(self, now: float) -> None:
        """Ask the workers how far they are, and tell what is known."""
        if self._tell is not None:
            self._tell(self.report())
        for place in self._joined():
            if not place.is_looked_at:
                place.is_looked_at = True
                self._wait(place, place.actor.status.remote(), partial(self._looked_at, place))
        is_late = now > self._began + _START and not self._is_checked
        if is_late and not any(each.has_begun for each in self._places):
            problem = f"no worker could be started in {_START:g} s: has the cluster a free CPU?"
            self._fail(BatchWorkersError(problem))
        self._feed_all()

    def _looked_at(self, place: _Place, status: Status) -> None:
        place.is_looked_at = False
        for shard, report in status.reports.items():
            if shard in place.shards and self._shards.was_opened(shard):
                self._shards.tell(shard, report)
        place.under_way, place.limit, place.waiting, place.paused = 0, 0, "", 0.0
        for report in status.reports.values():  # they share one gate
            place.under_way, place.limit = report.under_way, report.concurrency
            place.waiting, place.paused = report.waiting, report.paused
        if status.paused:
            for other in self._joined():
                if other is not place:
                    self._say(other, other.actor.pause.remote(status.paused))

    def _say(self, place: _Place, ref: Any) -> None:
        self._wait(place, ref, lambda _: None)

    # -- workers -----------------------------------------------------------------------------------

    def _joined(self) -> list[_Place]:
        return [each for each in self._places if each.is_joined]

    def _start(self, place: _Place) -> None:
        place.actor = self._worker.remote(self._order)
        self._wait(place, place.actor.begin.remote(), partial(self._begun, place))

    def _begun(self, place: _Place, answer: int | TailraceError) -> None:
        if isinstance(answer, TailraceError):
            self._fail(answer)
        elif not self._shards.count:
            self._shards = Shards(self._wanted_shards or answer or self._default_shards)
        if self._is_stopping or not (self._shards.waiting or self._asides):
            self._leave(place)
            return
        place.has_begun = True
        self._share_out()

    def _share_out(self) -> None:
        """Tell all workers their shares: those that are to have less first, the others then."""
        self._round += 1
        members = [each for each in self._places if each.has_begun]
        shares = {
            each: share_of(self._order.plan, index, len(members))
            for index, each in enumerate(members)
        }
        having = {each for each in members if each.share is not None}
        makes_room = {each for each in having if _is_less(shares[each], each.share)}
        for each in list(makes_room):
            self._resize(
                each, shares[each], partial(self._made_room, self._round, makes_room, shares)
            )
        if not makes_room:
            self._take_room(shares)

    def _made_room(
        self, number: int, makes_room: set[_Place], shares: dict[_Place, Plan], place: _Place
    ) -> None:
        makes_room.discard(place)
        if number == self._round and not makes_room:
            self._take_room(shares)

    def _take_room(self, shares: dict[_Place, Plan]) -> None:
        for each, share in shares.items():
            if each.share != share:
                self._resize(each, share, self._has_joined)

    def _resize(self, place: _Place, share: Plan, act: Callable[[_Place], None]) -> None:
        place.share = share
        self._wait(place, place.actor.resize.remote(share), lambda _: act(place))

    def _has_joined(self, place: _Place) -> None:
        place.is_joined = True
        self._feed(place)

    def _lose(self, place: _Place, problem: str) -> None:
        """Replace a worker that died, and have others go on with its shards."""
        log.warning("a worker of the batch died: %s", problem)
        place.losses += 1
        for shard in self._leave(place):
            self._lost.add(shard)
            self._shards.put_back(shard)
            if self._shards.count_failure(shard) > _MOST_TAKEOVERS:
                self._fail(
                    BatchWorkersError(
                        f"shard {shard}/{self._shards.count} is left: {_MOST_TAKEOVERS + 1} "
                        f"workers died with it, the last one of this: {problem}"
                    )
                )
        if self._is_stopping:
            return
        if place.losses < _MOST_LOSSES:
            self._start(place)
        elif not any(each.actor is not None for each in self._places):
            self._fail(BatchWorkersError(f"workers die as soon as they are started: {problem}"))
        self._feed_all()

    def _leave(self, place: _Place) -> set[int]:
        """End a worker, give its share to those that stay, and return the shards that it had."""
        shards, had_begun = place.shards, place.has_begun
        self._waits = {ref: wait for ref, wait in self._waits.items() if wait[0] is not place}
        self._end(place)
        place.empty()
        if had_begun and not self._is_stopping and any(each.has_begun for each in self._places):
            self._share_out()
        return shards

    def _end(self, place: _Place) -> None:
        if place.actor is not None:
            self._ray.kill(place.actor)
            place.actor = None

    # -- shards ------------------------------------------------------------------------------------

    def _feed(self, place: _Place) -> None:
        """Give a worker a shard, or let it go where there is none for it."""
        if not place.is_joined or place.reading:
            return
        waiting = self._shards.waiting
        # The first shard alone looks through a new input, and finds what is wrong with it.
        may_open = self._is_checked or not any(each.shards for each in self._places)
        if waiting and may_open and len(place.shards) < _MOST_SHARDS and not self._is_stopping:
            shard = waiting.popleft()
            place.shards.add(shard)
            place.reading.add(shard)
            retry = self._retry_failed and not self._shards.was_opened(shard)
            opened = place.actor.open.remote(shard, self._shards.count, retry_failed=retry)
            self._wait(place, opened, partial(self._opened, place, shard))
        elif not place.shards and (self._is_stopping or not (waiting or self._asides)):
            self._leave(place)

    def _feed_all(self) -> None:
        for place in self._places:
            self._feed(place)

    def _opened(self, place: _Place, shard: int, answer: Opened | TailraceError) -> None:
        if isinstance(answer, TailraceError):
            place.shards.discard(shard)
            place.reading.discard(shard)
            self._not_opened(shard, answer)
            self._feed(place)
            return
        self._asides.pop(shard, None)
        self._shards.open(shard, answer)
        actor = place.actor
        self._wait(place, actor.work.remote(shard), partial(self._worked, place, shard))
        self._wait(place, actor.all_read.remote(shard), partial(self._all_read, place, shard))
        if not self._is_checked:
            self._is_checked = True
            self._feed_all()

    def _not_opened(self, shard: int, error: TailraceError) -> None:
        """Try a shard again that a dead worker may still hold, or a store could not be read for."""
        now = time.monotonic()
        since, _ = self._asides.get(shard, (now, now))
        if isinstance(error, BatchLockedError):
            is_worth_it = self._shards.was_opened(shard) and now < since + _LOCKED_LONGEST
        else:
            may_pass = isinstance(error, BatchWriteError) and self._is_checked
            is_worth_it = may_pass and self._shards.count_failure(shard) <= _MOST_TAKEOVERS
        if self._is_stopping:
            return
        if is_worth_it:
            self._asides[shard] = since, now + _AGAIN
        else:
            self._asides.pop(shard, None)
            self._fail(error)

    def _look_at_asides(self, now: float) -> None:
        busy = {shard for each in self._places for shard in each.shards}
        for shard, (_, until) in self._asides.items():
            if now >= until and shard not in busy and shard not in self._shards.waiting:
                self._shards.put_back(shard)
        if self._asides and not any(each.actor is not None for each in self._places):
            self._start(self._places[0])
        self._feed_all()

    def _all_read(self, place: _Place, shard: int, _: None) -> None:
        place.reading.discard(shard)
        self._feed(place)

    def _worked(self, place: _Place, shard: int, ended: Ended) -> None:
        place.shards.discard(shard)
        place.reading.discard(shard)
        report, error = ended
        is_over = error is None and not report.left
        self._shards.end(shard, report, is_over=is_over)
        if is_over:
            place.losses = 0
        elif error is None:
            self._shards.put_back(shard)
        elif isinstance(error, BatchWriteError | BatchLockedError) and not self._is_stopping:
            self._shards.put_back(shard)
            is_strange = isinstance(error, BatchLockedError) and shard not in self._lost
            most = _MOST_STRANGERS if is_strange else _MOST_TAKEOVERS
            if self._shards.count_failure(shard) > most:
                self._fail(error)
        else:
            self._fail(error)
        if report.stopped and not self._is_stopping:
            self._retire(place, report.stopped)
        else:
            self._feed(place)

    def _retire(self, place: _Place, reason: str) -> None:
        """Let a worker go that the site no longer answers, though it may answer others."""
        place.is_joined = False  # is given nothing more
        if place.shards:  # of the same gate: they end as well
            return
        self._leave(place)
        if not any(each.actor is not None for each in self._places):
            self._stopped = reason

    # -- ending ------------------------------------------------------------------------------------

    def _fail(self, error: TailraceError) -> None:
        """End the run with an error, when what is under way has ended."""
        self._failure = self._failure or error
        if not self._is_stopping:
            self._stop_all()

    def _stop_all(self) -> None:
        self._is_stopping = True
        self._asides.clear()
        for place in self._places:
            if place.shards:
                self._say(place, place.actor.stop.remote())
            else:
                self._leave(place)


def _is_less(share: Plan, before: Plan | None) -> bool:
    """Return whether a share is less than one before, in anything."""
    return before is not None and (
        share.concurrency < before.concurrency
        or (share.rpm or 0) < (before.rpm or 0)
        or (share.tpm or 0) < (before.tpm or 0)
    )
