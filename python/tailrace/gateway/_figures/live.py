"""``GET /live``: one event a second that says how the gateway does, of all workers together.

However many look, a second's event is made once.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from tailrace.gateway._figures.streams import added_up
from tailrace.sites._verdicts import last_verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tailrace.gateway._context import Context
    from tailrace.gateway._figures.histogram import Counts
    from tailrace.gateway._figures.shared import Known
    from tailrace.gateway._figures.streams import Snapshot
    from tailrace.gateway._models import Catalogue, ServedSite

__all__ = ["Quantiles", "Sight", "SiteRow", "Verdict", "routes"]

PERIOD = 1.0
"""Seconds between two events."""

VERDICT_SECONDS = 10.0
"""How long the doctor's verdicts are remembered before their files are read again."""


class Quantiles(msgspec.Struct, frozen=True):
    """Of the last minute, in seconds; null where there was nothing."""

    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, counts: Counts) -> Quantiles:
        """Those of a histogram."""
        return cls(counts.quantile(0.5), counts.quantile(0.95), counts.quantile(0.99))


class Verdict(msgspec.Struct, frozen=True):
    """What the doctor found last: the step that `failed`, and when, in seconds since 1970."""

    failed: str | None
    at: float


class SiteRow(msgspec.Struct, frozen=True):
    """One site: its models' ids, calls under way and begun, and failures by kind."""

    name: str
    models: list[str]
    open: int
    streams: int
    errors: dict[str, int]
    verdict: Verdict | None


class Sight(msgspec.Struct, frozen=True):
    """One event's data. `deltas_per_second` is that of the time since the event before."""

    at: float
    open_streams: int
    streams: int
    deltas: int
    deltas_per_second: float
    first_delta: Quantiles
    gap: Quantiles
    errors: dict[str, int]
    sites: list[SiteRow]


def routes(
    context: Context,
    known: Callable[[], list[Known]],
    *,
    verdicts_in: Path | None = None,
) -> list[web.AbstractRouteDef]:
    """The route; `known` gives what each worker knows.

    `verdicts_in` stands for the user's state folder.
    """
    live = _Live(context, known, _Verdicts(context.catalogue, verdicts_in))
    return [web.get("/live", live.answer, allow_head=False)]


class _Live:
    def __init__(
        self, context: Context, known: Callable[[], list[Known]], verdicts: _Verdicts
    ) -> None:
        self._context = context
        self._known = known
        self._verdicts = verdicts
        self._event = b""
        self._made_at = -math.inf
        self._deltas = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send an event a second until the client leaves, or the gateway stops."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        stopping = self._context.life.stopping
        while not stopping.is_set():
            await response.write(await self._latest())
            try:
                async with asyncio.timeout(PERIOD):
                    await stopping.wait()
            except TimeoutError:
                continue
        response.force_close()
        await response.write_eof()
        return response

    async def _latest(self) -> bytes:
        """The event of this second, made by whoever asks first."""
        now = asyncio.get_running_loop().time()
        if now - self._made_at >= PERIOD / 2:
            passed, self._made_at = now - self._made_at, now
            snapshot = added_up(each.streams for each in self._known())
            rate = (snapshot.deltas - self._deltas) / passed if passed < _LONGEST_PASSED else 0.0
            self._deltas = snapshot.deltas
            verdicts = await self._verdicts.latest(now)
            at = self._context.environment.now_ms() / 1000
            sight = _sight(at, snapshot, rate, self._context.catalogue, verdicts)
            self._event = b"data: " + msgspec.json.encode(sight) + b"\n\n"
        return self._event


_LONGEST_PASSED = 5 * PERIOD  # nobody looked meanwhile: a mean over it would say nothing of now


def _sight(
    at: float,
    snapshot: Snapshot,
    rate: float,
    catalogue: Catalogue,
    verdicts: dict[str, Verdict | None],
) -> Sight:
    return Sight(
        at=at,
        open_streams=snapshot.open_streams,
        streams=snapshot.streams,
        deltas=snapshot.deltas,
        deltas_per_second=round(max(0.0, rate), 3),
        first_delta=Quantiles.of(snapshot.recent_first_delta),
        gap=Quantiles.of(snapshot.recent_gap),
        errors=snapshot.errors,
        sites=[_row(site, snapshot, verdicts[site.name]) for site in catalogue.sites],
    )


def _row(site: ServedSite, snapshot: Snapshot, verdict: Verdict | None) -> SiteRow:
    own = msgspec.structs.replace(
        snapshot, figures=[each for each in snapshot.figures if each.site == site.name]
    )
    return SiteRow(site.name, list(site.models), own.open_streams, own.streams, own.errors, verdict)


class _Verdicts:
    """The doctor's last verdicts, read from their files now and then, off the loop."""

    def __init__(self, catalogue: Catalogue, folder: Path | None) -> None:
        self._catalogue = catalogue
        self._folder = folder
        self._read_at = -math.inf
        self._found: dict[str, Verdict | None] = {site.name: None for site in catalogue.sites}

    async def latest(self, now: float) -> dict[str, Verdict | None]:
        if now - self._read_at >= VERDICT_SECONDS:
            self._read_at = now
            self._found = await asyncio.to_thread(self._read)
        return self._found

    def _read(self) -> dict[str, Verdict | None]:
        return {site.name: self._verdict(site) for site in self._catalogue.sites}

    def _verdict(self, site: ServedSite) -> Verdict | None:
        found = last_verdict(site.name, site.url, self._folder)
        return None if found is None else Verdict(found.failed, found.at)
