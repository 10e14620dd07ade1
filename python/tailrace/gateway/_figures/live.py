"""``GET /live``: one event a second with the figures of all workers together.

The event of a second is made once, for any number of clients. What the plots show of the last five
minutes is kept, and sent in front of them to a client that asks for it; it is kept in the memory
that workers share, so that one that replaces another goes on with it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from tailrace.gateway._figures.streams import StreamSnapshot, merge_stream_snapshots
from tailrace.gateway._problems import Problem, RefusedError
from tailrace.sites._verdicts import last_verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tailrace._histogram import HistogramCounts
    from tailrace.gateway._context import Context
    from tailrace.gateway._figures.shared import WorkerFigures, WorkerSlot
    from tailrace.gateway._models import ServedSite

__all__ = ["LastVerdict", "Live", "LiveEvent", "Moment", "Past", "Quantiles", "SiteSummary"]

PERIOD = 1.0
"""Seconds between two events."""

KEPT_SECONDS = 300
"""How long a second's figures are kept."""

VERDICT_SECONDS = 10.0
"""Seconds after which the files of the doctor's verdicts are read again."""


class Quantiles(msgspec.Struct, frozen=True):
    """Three quantiles of the last minute, in seconds; null where there were no values."""

    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, counts: HistogramCounts) -> Quantiles:
        """Estimate the quantiles of a histogram."""
        return cls(counts.quantile(0.5), counts.quantile(0.95), counts.quantile(0.99))


class LastVerdict(msgspec.Struct, frozen=True):
    """The doctor's last verdict: the step that `failed`, or null; `at`: seconds since 1970."""

    failed: str | None
    at: float


class SiteSummary(msgspec.Struct, frozen=True):
    """One site: its models' ids, calls under way and begun, and failures by kind."""

    name: str
    models: list[str]
    open: int
    streams: int
    errors: dict[str, int]
    verdict: LastVerdict | None


class Moment(msgspec.Struct, frozen=True):
    """The figures of one second, as plots show them.

    `deltas_per_second` is the rate since the second before.
    """

    at: float
    open_streams: int
    deltas_per_second: float
    first_delta: Quantiles
    gap: Quantiles


class Past(msgspec.Struct, frozen=True):
    """The data of an event that comes before all others, to a client that asks for it."""

    past: list[Moment]


class LiveEvent(Moment, frozen=True):
    """One event's data: the figures of a second, and those since the beginning."""

    streams: int
    deltas: int
    errors: dict[str, int]
    sites: list[SiteSummary]


class Live:
    """The route, and the figures of the last minutes, which are taken whether anybody looks or not.

    `figures` collects the figures of each worker; `slot`: where the last minutes are kept. Replies
    end with the gateway. `verdicts_in`: the folder of the doctor's verdicts, the user's unless
    given.
    """

    def __init__(
        self,
        context: Context,
        figures: Callable[[], list[WorkerFigures]],
        slot: WorkerSlot,
        *,
        verdicts_in: Path | None = None,
    ) -> None:
        self._events = _Events(context, slot, _VerdictCache(context, verdicts_in))
        self._figures = figures
        self._stopping = context.shutdown.stopping
        self._environment = context.environment
        self._next = asyncio.Event()

    def routes(self) -> list[web.AbstractRouteDef]:
        """Make the route."""
        return [web.get("/live", self._answer, allow_head=False)]

    async def keep(self, _app: web.Application) -> AsyncIterator[None]:
        """Take the figures every second while the app runs: a context of its `cleanup_ctx`."""
        self._take()
        keeping = asyncio.create_task(self._keep_taking())
        yield
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping

    async def _keep_taking(self) -> None:
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(PERIOD):
                    await self._stopping.wait()
            except TimeoutError:
                self._take()
            current, self._next = self._next, asyncio.Event()
            current.set()

    def _take(self) -> None:
        snapshot = merge_stream_snapshots(each.streams for each in self._figures())
        now = asyncio.get_running_loop().time()
        self._events.add(snapshot, now, at=self._environment.now_ms() / 1000)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Send an event a second until the client leaves, or the gateway stops."""
        seconds = _seconds_asked_for(request)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        if seconds is not None:
            await response.write(self._events.past(seconds))
        while not self._stopping.is_set():
            following = self._next
            await response.write(await self._events.latest())
            await following.wait()
        response.force_close()
        await response.write_eof()
        return response


def _seconds_asked_for(request: web.Request) -> int | None:
    text = request.query.get("past")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise RefusedError(
            Problem(400, "`past` must be a number of seconds", param="past", code="bad_query")
        )
    return int(text)


_MOST_DIGITS = 9


class _Events:
    """The last minutes, a moment a second; and the newest event, made when a client needs it."""

    def __init__(self, context: Context, slot: WorkerSlot, verdicts: _VerdictCache) -> None:
        self._context = context
        self._slot = slot
        self._verdicts = verdicts
        self._number = 0
        self._moments: deque[Moment] = deque(maxlen=round(KEPT_SECONDS / PERIOD) + 1)
        for self._number, record in slot.kept():
            self._moments.append(msgspec.json.decode(record, type=Moment))
        self._snapshot = StreamSnapshot()
        self._taken_at = -math.inf
        self._event: bytes | None = None

    def add(self, snapshot: StreamSnapshot, now: float, *, at: float) -> None:
        """Add a moment: `now` is the loop's time, `at` seconds since 1970."""
        grown = 0 if self._taken_at == -math.inf else snapshot.deltas - self._snapshot.deltas
        moment = Moment(
            at=at,
            open_streams=snapshot.open_streams,
            deltas_per_second=round(max(0.0, grown / (now - self._taken_at)), 3),
            first_delta=Quantiles.of(snapshot.recent_first_delta),
            gap=Quantiles.of(snapshot.recent_gap),
        )
        self._moments.append(moment)
        self._number += 1
        self._slot.keep(self._number, msgspec.json.encode(moment))
        self._snapshot, self._taken_at, self._event = snapshot, now, None

    def past(self, seconds: int) -> bytes:
        """Return the event with the moments of the last `seconds`, without the newest."""
        *before, newest = self._moments
        return _event(Past([each for each in before if each.at >= newest.at - seconds]))

    async def latest(self) -> bytes:
        """Return the event of this second."""
        verdicts = await self._verdicts.latest(self._taken_at)
        if self._event is None:
            self._event = _event(self._live_event(verdicts))
        return self._event

    def _live_event(self, verdicts: dict[str, LastVerdict]) -> LiveEvent:
        sites = self._context.registry.sites
        snapshot, moment = self._snapshot, self._moments[-1]
        return LiveEvent(
            **msgspec.structs.asdict(moment),
            streams=snapshot.streams,
            deltas=snapshot.deltas,
            errors=snapshot.errors,
            sites=[_summary(site, snapshot, verdicts.get(site.name)) for site in sites],
        )


def _event(data: Past | LiveEvent) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def _summary(
    site: ServedSite, snapshot: StreamSnapshot, verdict: LastVerdict | None
) -> SiteSummary:
    own = msgspec.structs.replace(
        snapshot, figures=[each for each in snapshot.figures if each.site == site.name]
    )
    return SiteSummary(
        site.name, list(site.models), own.open_streams, own.streams, own.errors, verdict
    )


class _VerdictCache:
    """The doctor's last verdicts, read from their files every few seconds, in a thread."""

    def __init__(self, context: Context, folder: Path | None) -> None:
        self._context = context
        self._folder = folder
        self._read_at = -math.inf
        self._verdicts: dict[str, LastVerdict] = {}

    async def latest(self, now: float) -> dict[str, LastVerdict]:
        if now - self._read_at >= VERDICT_SECONDS:
            self._read_at = now
            self._verdicts = await asyncio.to_thread(self._read, self._context.registry.sites)
        return self._verdicts

    def _read(self, sites: tuple[ServedSite, ...]) -> dict[str, LastVerdict]:
        found = ((site.name, last_verdict(site.name, site.url, self._folder)) for site in sites)
        return {
            name: LastVerdict(verdict.failed, verdict.at)
            for name, verdict in found
            if verdict is not None
        }
