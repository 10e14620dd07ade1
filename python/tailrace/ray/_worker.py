"""A worker: an actor of Ray that asks the rows of one shard after another.

Its shards share a gate, which lets in no more than the worker's share of the run. The next shard is
opened before the last rows of the one before are answered, so that nothing waits for these. What
goes wrong is returned and not raised, so that Ray adds nothing to it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tailrace.batch._beginning import begin, open_input
from tailrace.batch._gate import Gate
from tailrace.batch._record import SHARD_RECORD
from tailrace.batch._store import Store, is_url
from tailrace.errors import TailraceError
from tailrace.transport import Transport, make_transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.batch import Plan, Report
    from tailrace.batch._inputs import Source
    from tailrace.batch._running import Run
    from tailrace.sites import Site

__all__ = ["Ended", "Opened", "Order", "Status", "Worker"]

_LOOK_EVERY = 0.02  # seconds, whether so many requests have ended


class Order(NamedTuple):
    """Arguments of `tailrace.ray.run` that every worker of the run is given."""

    input: str
    output: str
    site: Site
    plan: Plan
    model: str
    skip_bad: bool
    chunk_seconds: float
    reading: Mapping[str, Any]


class Opened(NamedTuple):
    """A shard that can be asked: how many rows the input has, and how many are done and failed."""

    input_rows: int
    done: int
    failed: int


class Ended(NamedTuple):
    """The end of a shard; `error`: what its output failed at."""

    report: Report
    error: TailraceError | None


class Status(NamedTuple):
    """A worker's shards, and the seconds for which the site wants no request."""

    reports: dict[int, Report]
    paused: float


class Worker:
    """A worker of a run, which keeps to its share of the plan as `resize` tells it.

    Every method is called over Ray, in one event loop.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._gate: Gate | None = None
        self._source: Source | None = None
        self._opening = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._runs: dict[int, Run] = {}
        self._connections = AsyncExitStack()  # they end with the process
        self._site: Site | None = None
        self._is_stopping = False

    async def begin(self) -> int | TailraceError:
        """Get ready; return the number of shards of a run in the output folder, 0 without one."""
        try:
            return await asyncio.to_thread(_shards_of, self._order.output)
        except TailraceError as error:
            return error

    async def resize(self, share: Plan) -> None:
        """Keep to this share; return when no more requests are under way than it allows."""
        order = self._order
        if self._gate is None:
            patience = order.plan.retry_at(order.site.retry).longest_retry_after
            self._gate = Gate(share, time.monotonic, patience)
        else:
            self._gate.resize(share)
        while not self._gate.is_within:  # noqa: ASYNC110 - a gate tells nobody
            await asyncio.sleep(_LOOK_EVERY)

    async def open(self, shard: int, count: int, *, retry_failed: bool) -> Opened | TailraceError:
        """Take a shard, of `count`; return what is done of it, or why it cannot be taken."""
        async with self._opening:
            try:
                await self._connect()
                run = await asyncio.to_thread(self._begin, (shard, count), retry_failed)
            except TailraceError as error:
                return error
        self._runs[shard] = run
        folder = run.folder
        return Opened(folder.input_rows, folder.done, folder.failed)

    async def _connect(self) -> None:
        """Open the connections that all shards share."""
        if self._site is None:
            site = self._order.site
            if not isinstance(site.transport, Transport):
                transport = make_transport(site.transport)
                site = site.replace(
                    transport=await self._connections.enter_async_context(transport)
                )
            self._site = site

    def _begin(self, shard: tuple[int, int], retry_failed: bool) -> Run:  # noqa: FBT001
        order = self._order
        if self._source is None:
            self._source = open_input(order.input, order.output, **order.reading)
        assert self._site is not None  # noqa: S101 - `open` sees to it
        return begin(
            order.input,
            order.output,
            self._site,
            order.plan,
            model=order.model,
            shard=shard,
            skip_bad=order.skip_bad,
            retry_failed=retry_failed,
            source=self._source,
            gate=self._gate,
            chunk_seconds=order.chunk_seconds,
        )

    async def work(self, shard: int) -> Ended:
        """Ask the rows of an open shard, once those of the one before have all been read."""
        run, error = self._runs[shard], None
        async with self._reading:
            if self._is_stopping:
                run.stop()
            task = asyncio.create_task(run.until_end())
            await run.all_read.wait()
        try:
            await task
        except TailraceError as failure:
            error = failure
        del self._runs[shard]
        return Ended(run.report(), error)

    async def all_read(self, shard: int) -> None:
        """Return when no row of the shard is left that is not under way."""
        if shard in self._runs:
            await self._runs[shard].all_read.wait()

    async def status(self) -> Status:
        """Return how far the worker is."""
        reports = {shard: run.report() for shard, run in self._runs.items()}
        return Status(reports, self._gate.paused if self._gate is not None else 0.0)

    async def pause(self, seconds: float) -> None:
        """Ask nothing for so many seconds: the site said so to another worker."""
        if self._gate is not None:
            self._gate.pause(seconds)

    async def stop(self) -> None:
        """Begin no more rows; the shards end when those under way have."""
        self._is_stopping = True
        for run in self._runs.values():
            run.stop()


def _shards_of(output: str) -> int:
    """Return the number of shards of the run in an output folder, 0 where there is none."""
    if is_url(output):
        names = Store(output).names()
    else:
        folder = Path(output)
        names = [each.name for each in folder.iterdir()] if folder.is_dir() else []
    found = (SHARD_RECORD.fullmatch(each) for each in names)
    return next((int(match[2]) for match in found if match), 0)
