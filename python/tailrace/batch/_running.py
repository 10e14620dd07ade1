"""A batch as it runs: rows are read as they are needed, asked at once, and written as they come.

As many workers as requests may be under way take rows from the input, so memory is bounded by them.
A row that is to be asked again later waits aside, and its worker takes another one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

from tailrace import errors
from tailrace._environment import Environment
from tailrace.batch._asking import FailedRow, Models, RefusedRow, code_of
from tailrace.batch._direct import DirectAsker
from tailrace.batch._gate import ClosedError, Gate
from tailrace.batch._kinds import kind_of, rows_of_other_kinds
from tailrace.batch._rates import Tokens as Estimates
from tailrace.batch._rates import outage, was_sent
from tailrace.batch._report import Report, Tokens
from tailrace.batch._retries import has_budget, seconds_until_next
from tailrace.batch._rows import ENDPOINTS
from tailrace.errors import InvalidRequestError, one_line
from tailrace.transport import Transport, make_transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace._over_fleet import Engine
    from tailrace.batch._asking import Answer, Asker, Prepared
    from tailrace.batch._folder import OutputFolder
    from tailrace.batch._inputs import Source
    from tailrace.batch._plan import Plan
    from tailrace.batch._rows import Row
    from tailrace.errors import TailraceError
    from tailrace.sites import Site

__all__ = ["Run"]

_CHAT = "/v1/chat/completions"
_MOST_RETURNS = 3  # of a row that an outage failed
_REFUSED_A_TURN = 100  # rows that cannot be sent, between two turns of the loop
_SYNC_EVERY = 5.0  # seconds
_MOST_CODES = 100  # that are counted by name


class _Job:
    """A row on its way; `due`: when it may be asked again; `order`: among those of one moment."""

    __slots__ = ("attempts", "due", "order", "prepared", "refusals", "returns", "row")

    def __init__(self, row: Row, prepared: Prepared, order: int) -> None:
        self.row = row
        self.prepared = prepared
        self.order = order
        self.due = 0.0
        self.attempts = self.refusals = self.returns = 0

    def __lt__(self, other: _Job) -> bool:
        return (self.due, self.order) < (other.due, other.order)


class Run:
    """One run over the rows of `source` that are pending in an open `folder`, which it closes.

    `input_name`: the name by which the input was given; the other arguments are those of
    `tailrace.batch.run`; the engine can ask the site. `clock`: seconds that never go back, for
    everything but the date of the report: a wall clock that jumps changes nothing. `gate`: one that
    several runs share, and that stays open; `all_read`: set when no row is left that has not been
    read.
    """

    def __init__(
        self,
        site: Site,
        plan: Plan,
        source: Source,
        folder: OutputFolder,
        *,
        model: str = "",
        engine: Engine = "process",
        environment: Environment | None = None,
        clock: Callable[[], float] = time.monotonic,
        input_name: str = "",
        gate: Gate | None = None,
    ) -> None:
        self._site = site
        self._plan = plan
        self._engine: Engine = engine
        self.source = source
        self._folder = folder
        self._rows = folder.pending()
        self._done_before, self._failed_before = folder.done, folder.failed
        self._environment = environment or site.environment or Environment()
        self._clock = clock
        self._models = Models(site, model)
        self._policy = plan.retry_at(site.retry)
        self._owns_gate = gate is None
        self._gate = gate or Gate(plan, clock, self._policy.longest_retry_after)
        if folder.done:
            self._gate.trust()
        self._estimates = Estimates()
        self._askers: dict[str, Asker] = {}
        self._later: list[_Job] = []
        self._held: list[tuple[_Job, FailedRow]] = []  # that an outage failed
        self._was_down = False  # since the first of these was held
        self._doubted: list[tuple[_Job, FailedRow]] = []  # before the site's first answer
        self._is_in_doubt = False  # enough of these failed alike: no new row is begun
        self._judged = asyncio.Event()  # set when that is over
        self._asking = 0
        self._last_read = 0  # number of a row
        self._asked_early: set[int] = set()  # rows that are behind that
        self._orders = count()
        self._is_exhausted = False
        self.all_read = asyncio.Event()
        self._idle = 0
        self._no_more = asyncio.Event()
        self._is_interrupted = False
        self._began = clock()
        self._ended: float | None = None
        self._at = datetime.fromtimestamp(self._environment.now_ms() / 1000, UTC)
        self._input_name = input_name
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._dropped: Counter[str] = Counter()
        self._used = [0, 0, 0, 0]

    # -- from beginning to end ---------------------------------------------------------------------

    @property
    def folder(self) -> OutputFolder:
        """The folder that the run writes."""
        return self._folder

    async def until_end(self) -> None:
        """Run to the last row, to `stop`, or until the site is down.

        Raises the TailraceError of an output that cannot be written, and of a site that is not set
        up. Cancelled, it closes every connection.
        """
        self._began = self._clock()
        try:
            async with AsyncExitStack() as stack:
                await self._open(stack)
                await self._work_all()
            self._settle()
        finally:
            if self._owns_gate:
                self._gate.close()
            self.all_read.set()
            self._ended = self._clock()
            self._folder.close()

    def stop(self) -> None:
        """Begin no more rows; the run ends when those under way have."""
        self._is_interrupted = True
        self._end_early()

    def _end_early(self) -> None:
        self._gate.close()
        self._begin_no_more()

    def _begin_no_more(self) -> None:
        self._no_more.set()
        self._judged.set()

    async def _open(self, stack: AsyncExitStack) -> None:
        transport = self._site.transport
        if self._engine == "process" and not isinstance(transport, Transport):
            transport = await stack.enter_async_context(make_transport(transport))
        site = self._site
        options: dict[str, Any] = {
            "transport": transport,
            "environment": self._environment,
            "total_timeout": self._plan.seconds_a_request(site.total_timeout),
        }
        direct: Asker | None = None
        if site.software == "openai":
            direct = await DirectAsker.of(site, self._models, options, stack, self._engine)
            stack.push_async_callback(direct.aclose)
        for endpoint in ENDPOINTS:
            asker = None if site.api == "responses" and endpoint == _CHAT else direct
            self._askers[endpoint] = asker or self._translating(options)

    def _translating(self, options: dict[str, Any]) -> Asker:
        # It imports the gateway, which a server of OpenAI's API needs nothing of.
        from tailrace.batch._translating import TranslatingAsker  # noqa: PLC0415

        return TranslatingAsker(self._site, self._models, options, self._environment)

    async def _work_all(self) -> None:
        rows = self._folder.rows - self._done_before - self._failed_before
        count_ = min(self._plan.concurrency, rows)
        workers = [asyncio.create_task(self._work()) for _ in range(count_)]
        syncing = asyncio.create_task(self._sync())
        working = asyncio.gather(*workers)  # ends with the first that fails
        try:
            await asyncio.wait((syncing, working), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (syncing, *workers):
                task.cancel()
            ends = await asyncio.gather(syncing, working, *workers, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
                raise end
        if working.cancelled():
            raise RuntimeError("a worker was cancelled, and not by its run")

    async def _sync(self) -> None:
        """Have the disk keep what was written, now and then."""
        while True:
            await asyncio.sleep(_SYNC_EVERY)
            syncing = asyncio.ensure_future(asyncio.to_thread(self._folder.sync))
            try:
                await asyncio.shield(syncing)
            except asyncio.CancelledError:
                await asyncio.wait([syncing])  # the files are not closed under it
                raise

    async def _work(self) -> None:
        while (job := await self._next()) is not None:
            self._asking += 1
            try:
                await self._ask(job)
            finally:
                self._asking -= 1
            if self._is_in_doubt and not self._asking:  # none may be answered any more
                await self._ask_other_kinds()

    def _settle(self) -> None:
        """Write the rows that failed last, unless another run is to ask them."""
        if not self._no_more.is_set():
            held, self._held = self._held, []
            for job, failed in held:
                self._give_up(job, failed)
        if self._gate.is_trusted or not self._gate.is_tripped:
            self._believe()

    # -- the next row ------------------------------------------------------------------------------

    async def _next(self) -> _Job | None:
        """Return the next row to ask, waiting for one; None where there is none any more."""
        while not self._no_more.is_set():
            if self._is_in_doubt:
                await self._judged.wait()
                continue
            if self._later and self._later[0].due <= self._clock():
                return heappop(self._later)
            if not self._is_exhausted and len(self._later) < self._plan.concurrency:
                job = self._read()
                if job is not None:
                    return job
                await asyncio.sleep(0)
                continue
            if not self._later and self._held and self._gate.is_open:
                return self._held.pop()[0]  # no other row is left to probe the site with
            if not self._later or (self._is_exhausted and self._idle >= len(self._later)):
                return None
            await self._rest(self._later[0].due - self._clock())
        return None

    async def _rest(self, seconds: float) -> None:
        """Wait so many seconds, or until the run ends early."""
        self._idle += 1
        try:
            async with asyncio.timeout(seconds):
                await self._no_more.wait()
        except TimeoutError:
            pass
        finally:
            self._idle -= 1

    def _read(self) -> _Job | None:
        """Return the next row that can be sent; None after a number of others."""
        for _ in range(_REFUSED_A_TURN):
            row = next(self._rows, None)
            if row is None:
                self._is_exhausted = True
                self.all_read.set()
                return None
            self._last_read = row.number
            if row.number in self._asked_early:
                continue
            try:
                prepared = self._prepare(row)
            except InvalidRequestError as error:
                self._refuse(row, error)
                continue
            return self._job(row, prepared)
        return None

    def _prepare(self, row: Row) -> Prepared:
        return self._askers[row.endpoint].prepare(row)

    def _job(self, row: Row, prepared: Prepared) -> _Job:
        if prepared.dropped:
            self._dropped.update(set(prepared.dropped))
        return _Job(row, prepared, next(self._orders))

    def _refuse(self, row: Row, error: InvalidRequestError) -> None:
        """Write a row as failed that the site cannot be asked."""
        code = error.code if isinstance(error, RefusedRow) else code_of(error)
        self._write_failed(row, code, str(error), attempts=0)

    # -- asking ------------------------------------------------------------------------------------

    async def _ask(self, job: _Job) -> None:
        prepared, tokens = job.prepared, 0
        if self._plan.tpm is not None:
            tokens = self._estimates.estimate(prepared.size, prepared.most)
        try:
            begun = await self._gate.enter(tokens)
        except ClosedError:
            self._begin_no_more()  # the row is left to another run
            return
        job.attempts += 1
        self._counts["requests"] += 1
        try:
            answer = await self._askers[job.row.endpoint].ask(prepared)
        except FailedRow as failed:
            failure = failed
        except BaseException:
            self._gate.leave()
            raise
        else:
            self._gate.answered(self._take_usage(answer, prepared, tokens))
            self._done(job, answer)
            return
        self._failed(job, failure, begun)

    def _take_usage(self, answer: Answer, prepared: Prepared, tokens: int) -> int:
        """Count an answer's tokens; return how many more they are than the estimate."""
        used = answer.used
        if used is None:
            return 0
        sums = self._used
        sums[0] += used.prompt
        sums[1] += used.completion
        sums[2] += used.total
        if not used.told:
            sums[3] += used.total
        if self._plan.tpm is None:
            return 0
        self._estimates.told(prepared.size, used.prompt, used.completion)
        return used.total - tokens

    def _done(self, job: _Job, answer: Answer) -> None:
        self._folder.write_done(
            job.row,
            status_code=answer.status,
            request_id=answer.request_id,
            body=answer.body,
        )
        if self._held:
            self._return_held()
        if self._doubted:
            self._believe()

    # -- failing -----------------------------------------------------------------------------------

    def _failed(self, job: _Job, failed: FailedRow, begun: float) -> None:
        """Ask a row again later, hold it while the site is down, or give it up."""
        verdict = self._gate.failed(failed.error, begun)
        if verdict.kind == "refused":
            self._counts["refused"] += 1
        if self._gate.is_tripped:
            self._begin_no_more()
        if self._no_more.is_set() and verdict.kind != "row":
            return  # the row is left to another run
        seconds = seconds_until_next(
            job,
            failed.error,
            verdict,
            self._policy,
            chance=self._environment.random,
            in_budget=has_budget(self._counts, self._plan.retry_budget),
        )
        if seconds is not None:
            self._counts["retries"] += 1
            job.due = self._clock() + seconds
            heappush(self._later, job)
        elif verdict.kind == "row" and was_sent(failed.error):
            self._doubt(job, failed)
        elif self._gate.site_answers or self._plan.stop_after is None:
            self._give_up(job, failed)
        else:
            self._held.append((job, failed))
            self._was_down |= self._gate.is_open
        if self._held and self._gate.site_answers:
            self._return_held()

    def _doubt(self, job: _Job, failed: FailedRow) -> None:
        """Give a row up, but not as long as the site may be wrong, and not the row."""
        is_enough = False
        if not self._gate.is_trusted:
            is_enough = self._gate.gave_up(failed.error, job.prepared.model)
        self._doubted.append((job, failed))
        if self._gate.is_trusted:
            self._believe()
        elif is_enough and not self._is_in_doubt:
            self._is_in_doubt = True
            self._judged.clear()

    def _believe(self) -> None:
        """Write the failures of rows that failed for themselves, as is known now."""
        self._is_in_doubt = False
        self._judged.set()
        doubted, self._doubted = self._doubted, []
        for job, failed in doubted:
            self._give_up(job, failed)

    async def _ask_other_kinds(self) -> None:
        """Ask a row of each other kind; stop the run unless one is answered, or fails otherwise."""
        known = {kind_of(job.row, job.prepared) for job, _ in self._doubted}
        waiting = {kind_of(job.row, job.prepared): job for job in self._later}
        for job in [waiting[kind] for kind in waiting.keys() - known]:
            await self._ask_until_told(job)
        rows = self._folder.pending(after=self._last_read)
        known |= waiting.keys()
        others = await rows_of_other_kinds(rows, self._prepare, known, self._is_doubt_over)
        for row, prepared in others:
            if self._is_doubt_over():
                break
            self._asked_early.add(row.number)
            job = self._job(row, prepared)
            heappush(self._later, job)
            await self._ask_until_told(job)
        if self._gate.is_trusted:
            self._believe()
        elif not self._no_more.is_set():
            self._gate.distrust()
            self._begin_no_more()

    def _is_doubt_over(self) -> bool:
        return self._gate.is_trusted or self._no_more.is_set()

    async def _ask_until_told(self, job: _Job) -> None:
        """Ask a row that waits, and again where it is to be asked later."""
        while job in self._later and not self._is_doubt_over():
            await self._rest(job.due - self._clock())
            self._later.remove(job)
            heapify(self._later)
            if not self._no_more.is_set():
                await self._ask(job)

    def _return_held(self) -> None:
        """Have the rows asked again that failed while the site was down, now that it answers."""
        held, self._held = self._held, []
        was_down, self._was_down = self._was_down, False
        for job, failed in held:
            is_own = _is_too_slow(failed.error) and not was_down
            if is_own or job.returns >= _MOST_RETURNS:
                self._give_up(job, failed)
                continue
            job.returns += 1
            job.attempts = job.refusals = 0
            job.due = self._clock()
            heappush(self._later, job)

    def _give_up(self, job: _Job, failed: FailedRow) -> None:
        self._write_failed(
            job.row,
            code_of(failed.error),
            str(failed.error),
            status_code=failed.status,
            request_id=failed.request_id,
            body=failed.body,
            partial_text=failed.text,
            attempts=job.attempts + job.refusals,
        )

    def _write_failed(self, row: Row, code: str, message: str, **rest: Any) -> None:
        self._folder.write_failed(row, code=code, message=message, **rest)
        counted = code if code in self._errors or len(self._errors) < _MOST_CODES else "other"
        self._errors[counted] += 1
        self._examples.setdefault(counted, message)

    # -- telling -----------------------------------------------------------------------------------

    def report(self) -> Report:
        """Return the report of what has happened up to now."""
        counts, site, folder = self._counts, self._site, self._folder
        now = self._clock() if self._ended is None else self._ended
        prompt, completion, total, estimated = self._used
        return Report(
            site=site.name,
            url=one_line(site.url),
            software=site.software,
            model=self._models.default,
            at=self._at.isoformat(timespec="seconds"),
            input=self._input_name,
            output=folder.place,
            shard=folder.shard,
            plan=self._plan,
            seconds=now - self._began,
            rows=folder.rows,
            skipped=self._done_before,
            done=folder.done - self._done_before,
            failed=folder.failed,
            failed_before=self._failed_before,
            left=folder.rows - folder.done - folder.failed,
            under_way=self._gate.under_way,
            concurrency=self._gate.limit,
            requests=counts["requests"],
            retries=counts["retries"],
            refused=counts["refused"],
            errors=dict(self._errors),
            examples=dict(self._examples),
            dropped=dict(self._dropped),
            usage=Tokens(prompt=prompt, completion=completion, total=total, estimated=estimated),
            waiting=self._outage() if self._gate.is_open and self._ended is None else "",
            paused=self._gate.seconds_held if self._ended is None else 0.0,
            interrupted=self._is_interrupted,
            stopped=self._reason(),
        )

    def _reason(self) -> str:
        if not self._gate.is_tripped:
            return ""
        more, why = "", self._outage().rstrip(".")
        if self._gate.has_no_answer:
            more = ", and with --stop-after (stop_after) above 1000 each of them may fail alone"
        return (
            f"{why}. What is done is kept: the same run, begun again, goes on with the rows that "
            f"are left{more}"
        )

    def _outage(self) -> str:
        return outage(self._gate.last_failure, has_key=self._site.api_key is not None)


def _is_too_slow(error: TailraceError) -> bool:
    """Tell whether a row took longer than a request may: of a site that answers, it is slow."""
    return isinstance(error, errors.TimeoutError) and error.phase == "total"
