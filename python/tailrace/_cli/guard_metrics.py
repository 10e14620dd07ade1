"""The figures of a doctor on guard, for Prometheus."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tailrace.sites import Diagnosis

__all__ = ["GuardFigures", "served"]


class GuardFigures:
    """Counts the looks at one site, and keeps the last one's result."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        site = ("site",)
        self._looks = Counter(
            "tailrace_doctor_looks",
            "Looks at the site.",
            (*site, "failed_step"),
            registry=self.registry,
        )
        self._up = Gauge(
            "tailrace_doctor_up",
            "1 where the last look found a whole answer, else 0.",
            site,
            registry=self.registry,
        )
        self._at = Gauge(
            "tailrace_doctor_last_look_timestamp_seconds",
            "When the last look began.",
            site,
            registry=self.registry,
        )
        self._steps = Gauge(
            "tailrace_doctor_step_seconds",
            "How long a step of the last look took.",
            (*site, "step"),
            registry=self.registry,
        )

    def add(self, diagnosis: Diagnosis) -> None:
        """Count one more look."""
        site = diagnosis.site
        failed = diagnosis.failed
        self._looks.labels(site, "" if failed is None else failed.name).inc()
        self._up.labels(site).set(diagnosis.error is None)
        self._at.labels(site).set(diagnosis.at)
        self._steps.clear()  # a step that was not reached took no time
        for step in diagnosis.steps:
            if step.seconds is not None:
                self._steps.labels(site, step.name).set(step.seconds)


@asynccontextmanager
async def served(figures: GuardFigures, port: int) -> AsyncIterator[str]:
    """Serve ``/metrics`` on this machine at `port`, 0 for a free one; the value is the URL.

    Raises click.UsageError where the port is taken.
    """

    async def metrics(_request: web.Request) -> web.Response:
        body = generate_latest(figures.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise click.UsageError(
                f"cannot listen on 127.0.0.1 port {port}: {error.strerror or error}"
            ) from None
        host, bound = runner.addresses[0][:2]
        yield f"http://{host}:{bound}/metrics"
    finally:
        await runner.cleanup()
