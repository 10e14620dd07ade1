"""``GET /live``: one event a second with the figures of all workers together.

The event of a second is made once, for any number of clients.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from tailrace.gateway._figures.streams import merge_stream_snapshots
from tailrace.sites._verdicts import last_verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tailrace.gateway._context import Context
    from tailrace.gateway._figures.histogram import HistogramCounts
    from tailrace.gateway._figures.shared import WorkerFigures
    from tailrace.gateway._figures.streams import StreamSnapshot
    from tailrace.gateway._models import ModelRegistry, ServedSite

__all__ = ["LastVerdict", "LiveEvent", "Quantiles", "SiteSummary", "routes"]

PERIOD = 1.0
"""Seconds between two events."""

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


class LiveEvent(msgspec.Struct, frozen=True):
    """One event's data; `deltas_per_second` is the rate since the event before."""

    at: float
    open_streams: int
    streams: int
    deltas: int
    deltas_per_second: float
    first_delta: Quantiles
    gap: Quantiles
    errors: dict[str, int]
    sites: list[SiteSummary]


def routes(
    context: Context,
    figures: Callable[[], list[WorkerFigures]],
    *,
    verdicts_in: Path | None = None,
) -> list[web.AbstractRouteDef]:
    """Make the route, whose replies end with the gateway.

    `figures` collects the figures of each worker; `verdicts_in`: the folder of the doctor's
    verdicts, the user's unless given.
    """
    events = _EventSource(context, figures, _VerdictCache(context, verdicts_in))
    live = _LiveRoute(events, context.shutdown.stopping)
    return [web.get("/live", live.answer, allow_head=False)]


class _LiveRoute:
    def __init__(self, events: _EventSource, stopping: asyncio.Event) -> None:
        self._events = events
        self._stopping = stopping

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send an event a second until the client leaves, or the gateway stops."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        while not self._stopping.is_set():
            await response.write(await self._events.latest())
            try:
                async with asyncio.timeout(PERIOD):
                    await self._stopping.wait()
            except TimeoutError:
                continue
        response.force_close()
        await response.write_eof()
        return response


class _EventSource:
    """The events, each made when the first client needs it."""

    def __init__(
        self,
        context: Context,
        figures: Callable[[], list[WorkerFigures]],
        verdicts: _VerdictCache,
    ) -> None:
        self._context = context
        self._figures = figures
        self._verdicts = verdicts
        self._event = b""
        self._made_at = -math.inf
        self._deltas = 0

    async def latest(self) -> bytes:
        """Return the event of this second."""
        now = asyncio.get_running_loop().time()
        if now - self._made_at >= PERIOD / 2:
            passed, self._made_at = now - self._made_at, now
            snapshot = merge_stream_snapshots(each.streams for each in self._figures())
            rate = (snapshot.deltas - self._deltas) / passed if passed < _LONGEST_PASSED else 0.0
            self._deltas = snapshot.deltas
            verdicts = await self._verdicts.latest(now)
            at = self._context.environment.now_ms() / 1000
            event = _event_of(at, snapshot, rate, self._context.registry, verdicts)
            self._event = b"data: " + msgspec.json.encode(event) + b"\n\n"
        return self._event


_LONGEST_PASSED = (
    5 * PERIOD
)  # after a longer pause without clients a mean would not be a present rate


def _event_of(
    at: float,
    snapshot: StreamSnapshot,
    rate: float,
    registry: ModelRegistry,
    verdicts: dict[str, LastVerdict],
) -> LiveEvent:
    return LiveEvent(
        at=at,
        open_streams=snapshot.open_streams,
        streams=snapshot.streams,
        deltas=snapshot.deltas,
        deltas_per_second=round(max(0.0, rate), 3),
        first_delta=Quantiles.of(snapshot.recent_first_delta),
        gap=Quantiles.of(snapshot.recent_gap),
        errors=snapshot.errors,
        sites=[_summary(site, snapshot, verdicts.get(site.name)) for site in registry.sites],
    )


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
