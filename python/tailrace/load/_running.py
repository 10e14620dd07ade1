"""A load as it runs: requests begin as the plan has it, and end as the site has it."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, takewhile
from typing import TYPE_CHECKING, Any

import msgspec

from tailrace._environment import Environment
from tailrace._over_fleet import check_engine
from tailrace.errors import InvalidRequestError, one_line
from tailrace.load._arrivals import due_times, user_starts
from tailrace.load._calls import MeasuredCall, measure
from tailrace.load._figures import LOOK, Figures
from tailrace.load._plan import Plan
from tailrace.load._report import Report
from tailrace.transport import Transport, make_transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
    from typing import TypeAlias

    from tailrace._messages import Messages
    from tailrace._over_fleet import Engine
    from tailrace.sites import Site

    _Asking: TypeAlias = Callable[[MeasuredCall, str | Messages], Awaitable[None]]

__all__ = ["DEFAULT_PROMPT", "Load", "run"]

DEFAULT_PROMPT = "Say in three sentences why the sea is salty."

_RARE = 1000  # collections of young objects to one of the older
_AHEAD = 20_000_000  # nanoseconds before it is due that a request is handed to a fleet
_AFTER_FAILURE = 0.1  # seconds: a site that refuses at once is not asked as fast as a loop can


async def run(
    site: Site,
    plan: Plan | None = None,
    *,
    prompts: Sequence[str | Messages] = (DEFAULT_PROMPT,),
    engine: Engine = "process",
    environment: Environment | None = None,
    **options: Any,
) -> Report:
    """Put load on a site, and return the report once it has ended.

    For a site or server of your own, or one whose operator has agreed: it gets as many requests as
    the plan says, and whoever pays for its model pays for them.

    `plan`: who asks, how often, for how long; one user for 30 seconds unless given. `prompts`: what
    is asked, in turn: texts or lists of messages. `engine`: ``process`` reads in the event loop,
    ``fleet`` in a thread of a `tailrace.fleet.Fleet`, whose times are true while Python is busy; it
    asks sites with an API for programs. `environment`: the randomness of arrivals, and the clock of
    `Report.at`. `options`: those of every call, as `Site.stream` takes them. Nothing is asked
    twice: a `retry` of the site is not used, and neither is its `throttle`.

    What a site fails at is in the report. Raises the TailraceError of what cannot be asked at all:
    InvalidRequestError for no prompts, a wrong option, a missing model, a site that the engine
    cannot ask; MissingRequirementsError for an engine that is not installed; ProfileError for a
    variable that is not set. Cancelled, it closes every connection.
    """
    load = Load(
        site,
        plan or Plan(),
        prompts=prompts,
        engine=engine,
        environment=environment,
        options=options,
    )
    await load.until_end()
    return load.report()


class Load:
    """One run of a load; the arguments are those of `run`."""

    def __init__(
        self,
        site: Site,
        plan: Plan,
        *,
        prompts: Sequence[str | Messages] = (DEFAULT_PROMPT,),
        engine: Engine = "process",
        environment: Environment | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        if not prompts:
            raise InvalidRequestError("there is no prompt to ask")
        check_engine(engine, site)
        self._engine: Engine = engine
        self._ahead = _AHEAD if engine == "fleet" else 0
        self._site = _plain(site)
        self._plan = plan
        self._prompts = prompts
        self._environment = environment or Environment()
        self._options = {**(options or {}), "retry": None}
        self._site.stream(prompts[0], **self._options)  # a wrong option fails here, and once
        self._asked = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(plan.most_open)
        self._no_more = asyncio.Event()
        self._beginning: asyncio.Task[None] | None = None
        self._failed: BaseException | None = None
        self._is_cut = False
        self._at = datetime.fromtimestamp(self._environment.now_ms() / 1000, UTC)
        self._processor = 0.0
        self._ended: int | None = None  # the moment of the end
        self._figures = Figures(plan, time.monotonic_ns(), engine)

    async def until_end(self) -> None:
        """Run to the end; cancelled, every request under way is cut and counted as unfinished."""
        async with AsyncExitStack() as stack:
            stack.enter_context(_rare_collections())
            asking = await self._asking(stack)
            self._figures = Figures(self._plan, time.monotonic_ns(), self._engine)
            self._processor = time.process_time()
            stack.push_async_callback(self._cut)
            watch = asyncio.create_task(self._watch())
            stack.callback(watch.cancel)
            try:
                await self._ask_all(asking)
            except asyncio.CancelledError:
                self._is_cut = True
                raise
        if self._failed is not None:
            raise self._failed

    async def _asking(self, stack: AsyncExitStack) -> _Asking:
        """Return what asks for one call; what it opens ends with `stack`."""
        if self._engine == "fleet":
            from tailrace.load._fleet_calls import FleetCalls  # noqa: PLC0415 - of its wheel

            return (await FleetCalls.of(self._site, self._options, stack)).measure
        transport = await self._transport(stack)

        async def ask(call: MeasuredCall, prompt: str | Messages) -> None:
            await measure(call, self._site, prompt, self._options, transport)

        return ask

    async def _transport(self, stack: AsyncExitStack) -> Transport:
        given = self._site.transport
        if isinstance(given, Transport):
            return given
        return await stack.enter_async_context(make_transport(given))

    def report(self) -> Report:
        """Return the report of what was measured up to now."""
        return msgspec.structs.replace(self.progress(), series=self._figures.slots.series())

    def progress(self) -> Report:
        """Return the report without what happened when."""
        figures, now = self._figures, self._now()
        return Report(
            site=self._site.name,
            url=one_line(self._site.url),
            software=self._site.software,
            model=self._options.get("model") or self._site.default_model,
            at=self._at.isoformat(timespec="seconds"),
            plan=self._plan,
            seconds=figures.seconds(now),
            requests=sum(figures.ends.values()),
            ends=dict(figures.ends),
            errors=dict(figures.errors),
            examples=dict(figures.examples),
            statuses=dict(figures.statuses),
            ttft=figures.ttft.distribution(),
            gap=figures.gap.distribution(),
            whole=figures.whole.distribution(),
            late=figures.late.distribution(),
            tokens=figures.tokens(),
            rates=figures.rates(now),
            client=figures.client(self._processor_part(now)),
            engine=self._engine,
            under_way=figures.under_way,
            warm_up_unfinished=figures.warm_up_unfinished,
            interrupted=self._is_cut,
        )

    # -- beginning and ending ----------------------------------------------------------------------

    async def _ask_all(self, asking: _Asking) -> None:
        """Let requests begin until the plan has no more of them, and wait as long as it says."""
        begin = self._let_users if self._plan.rate is None else self._arrive
        self._beginning = asyncio.create_task(begin(asking))
        last_has_begun = asyncio.create_task(self._no_more.wait())
        try:
            await asyncio.wait(
                {self._beginning, last_has_begun},
                timeout=self._left(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            await asyncio.wait({self._beginning}, timeout=self._plan.grace)
        finally:
            for task in (self._beginning, last_has_begun):
                task.cancel()
            await asyncio.wait({self._beginning, last_has_begun})

    def _left(self) -> float | None:
        """Return the seconds until no request is due any more; None where their number decides."""
        if self._plan.seconds is None:
            return None
        return max(0.0, (self._figures.closes - time.monotonic_ns()) / 1e9)

    async def _cut(self) -> None:
        """Cut what is still under way, and stop the clocks."""
        self._ended = time.monotonic_ns()
        self._processor = time.process_time() - self._processor
        for task in self._tasks:
            task.cancel()
        await self._until_answered()

    async def _until_answered(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    # -- asking ------------------------------------------------------------------------------------

    async def _arrive(self, asking: _Asking) -> None:
        """Begin the requests of an open model, each when it is due and a place is free.

        Where none becomes free for the time of grace, no more of them begin.
        """
        dues = self._dues()
        for due in dues:
            has_begun = False
            try:
                await _sleep_until(due - self._ahead)
                if self._places.locked():
                    await _sleep_until(due)
                has_begun = await self._take_place()
            finally:
                if not has_begun:
                    self._count_missed(chain((due,), dues))
            if not has_begun:
                break
            self._spawn(self._one(asking, due))
        self._no_more.set()
        await self._until_answered()

    async def _take_place(self) -> bool:
        if self._places.locked():
            self._figures.waiting += 1
        try:
            async with asyncio.timeout(self._plan.grace):
                return await self._places.acquire()
        except TimeoutError:
            return False

    def _dues(self) -> Iterator[int]:
        figures = self._figures
        for seconds in due_times(self._plan, self._environment.random):
            due = figures.begin + int(seconds * 1e9)
            if not figures.claim(due):
                return
            yield due

    def _count_missed(self, dues: Iterable[int]) -> None:
        """Count the requests that were due and never began, as no place became free."""
        now = time.monotonic_ns()
        for _ in takewhile(lambda due: due <= now, dues):
            self._figures.missed()

    async def _one(self, asking: _Asking, due: int) -> None:
        try:
            await self._ask(asking, due)
        finally:
            self._places.release()

    async def _let_users(self, asking: _Asking) -> None:
        """Let the users of a closed model ask, and wait until the last one has no more to ask."""
        for start in user_starts(self._plan):
            self._spawn(self._user(asking, self._figures.begin + int(start * 1e9)))
        await self._until_answered()

    async def _user(self, asking: _Asking, start: int) -> None:
        await _sleep_until(start)
        while self._figures.claim(now := time.monotonic_ns()):
            if self._figures.have_all_begun:
                self._no_more.set()
            call = await self._ask(asking, now)
            if not call.is_whole:
                await asyncio.sleep(_AFTER_FAILURE)
        self._no_more.set()

    async def _ask(self, asking: _Asking, due: int) -> MeasuredCall:
        prompt = self._prompts[self._asked % len(self._prompts)]
        self._asked += 1
        begun = max(due, time.monotonic_ns())
        call = MeasuredCall(due, begun, is_begun=self._engine == "process")
        self._figures.began(call)
        try:
            await asking(call, prompt)
        finally:
            self._figures.ended(call, time.monotonic_ns())
        return call

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failed = task.exception()
            if self._beginning is not None:
                self._beginning.cancel()

    async def _watch(self) -> None:
        """Look how late the loop is: it should be back after a look's time."""
        while True:
            before = time.monotonic_ns()
            await asyncio.sleep(LOOK / 1e9)
            now = time.monotonic_ns()
            self._figures.lagged(now, max(0, now - before - LOOK))

    def _now(self) -> int:
        return time.monotonic_ns() if self._ended is None else self._ended

    def _processor_part(self, now: int) -> float:
        """Return the part of a core that this process took up to now."""
        used = self._processor if self._ended else time.process_time() - self._processor
        return used / max((now - self._figures.begin) / 1e9, 1e-9)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Have Python look through its older objects seldom, for as long as this lasts.

    With a thousand streams open such a look takes a tenth of a second, in which nothing is read,
    and all that comes meanwhile would be late by it.
    """
    before = gc.get_threshold()
    rare = (before[0], max(before[1], _RARE), max(before[2], _RARE))
    gc.set_threshold(*rare)
    try:
        yield
    finally:
        if gc.get_threshold() == rare:
            gc.set_threshold(*before)


def _plain(site: Site) -> Site:
    """Return the site without what would hide its own times, and with the clock of the load."""
    environment = replace(site.environment or Environment(), monotonic_ns=time.monotonic_ns)
    return site.replace(retry=None, throttle=None, environment=environment)


async def _sleep_until(moment: int) -> None:
    # A loop may wake a little early: it counts milliseconds, or has a coarse clock.
    while (left := (moment - time.monotonic_ns()) / 1e9) > 0:  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(left)
