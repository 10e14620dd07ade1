"""The gateway put together: the app with its checks and routes, started and stopped.

Stopping: the gateway no longer listens, ``/ready`` answers 503, and requests under way may finish
within the grace time. The remaining ones are cut then, which the last event of a stream reports.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tailrace import __version__
from tailrace._environment import Environment
from tailrace.gateway._context import CONTEXT, Context
from tailrace.gateway._door.admission import QUOTAS, admission_middleware, defer_expect
from tailrace.gateway._door.connections import ProtocolFactory
from tailrace.gateway._door.middleware import add_standard_headers, request_middleware
from tailrace.gateway._door.quotas import Quotas
from tailrace.gateway._figures import metrics
from tailrace.gateway._figures.live import Live
from tailrace.gateway._figures.requests import RequestFigures
from tailrace.gateway._figures.shared import SharedFigures, WorkerFigures
from tailrace.gateway._figures.streams import StreamFigures
from tailrace.gateway._model_lists import ModelLists
from tailrace.gateway._openapi import routes as openapi
from tailrace.gateway._reloading import Reloader
from tailrace.gateway._shutdown import Shutdown
from tailrace.gateway._sockets import BACKLOG
from tailrace.gateway._tracing import Tracing
from tailrace.gateway._upstreams import Upstreams
from tailrace.gateway._web import page
from tailrace.gateway._wires import routes as wires

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
    from pathlib import Path

    from opentelemetry.trace import TracerProvider

    from tailrace.gateway._door.quotas import SharedQuotas
    from tailrace.gateway._figures.shared import WorkerSlot
    from tailrace.gateway._models import ModelRegistry
    from tailrace.gateway._reloading import Source
    from tailrace.gateway._settings import Settings

__all__ = ["SIGNALS", "Gateway", "collect_rarely", "serve_until_signal"]

log: logging.Logger = logging.getLogger("tailrace.gateway")

if sys.platform == "win32":  # where other programs can send no signal but that of Ctrl-Break
    SIGNALS: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT, signal.SIGBREAK)
else:
    SIGNALS = (signal.SIGTERM, signal.SIGINT)

PUBLISH_SECONDS = 1.0

CLOSING_SECONDS = 3.0
"""Seconds in which a reply that is cut may report it."""


class Gateway:
    """One worker's server: `start` and `stop` once each, in one event loop.

    `settings`: how it is run; `registry`: the models it serves. `slot` and `quotas`: the memory in
    which it shares its figures and the counts of its limits with other workers, None for a single
    one. `source`: the files that say who may ask and for what, read again on SIGHUP and where they
    change; None where nothing is. `environment`: clock, randomness
    and variables; the system's unless given. `tracer_provider`: OpenTelemetry's; the global one
    unless given. `verdicts_in`: the folder of the doctor's verdicts, the user's unless given.
    """

    def __init__(
        self,
        settings: Settings,
        registry: ModelRegistry,
        *,
        slot: WorkerSlot | None = None,
        quotas: SharedQuotas | None = None,
        source: Source | None = None,
        environment: Environment | None = None,
        tracer_provider: TracerProvider | None = None,
        verdicts_in: Path | None = None,
    ) -> None:
        self._slot = SharedFigures(1).slot(0) if slot is None else slot
        earlier = self._slot.read() or WorkerFigures()
        self.context: Context = Context(
            settings=settings,
            registry=registry,
            environment=Environment() if environment is None else environment,
            stream_figures=StreamFigures(
                listeners=[Tracing(tracer_provider)], begun_with=earlier.streams
            ),
            request_figures=RequestFigures(earlier.requests),
            shutdown=Shutdown(),
            upstreams=Upstreams(),
        )
        self._quotas = Quotas(
            rate=settings.rate,
            concurrency=settings.concurrency,
            clock=time.monotonic,
            shared=quotas,
            worker=self._slot.worker,
        )
        self.lists: ModelLists = ModelLists(self.context, speaks=self._slot.is_first)
        self.reloader: Reloader | None = None
        if source is not None:
            self.reloader = Reloader(self.context, self.lists, source, speaks=self._slot.is_first)
        self.app: web.Application = self._app(verdicts_in)
        self._runner = web.AppRunner(
            self.app,
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=CLOSING_SECONDS,
        )
        self._servers: list[asyncio.Server] = []
        self._background: list[asyncio.Task[None]] = []

    def _app(self, verdicts_in: Path | None) -> web.Application:
        context, settings = self.context, self.context.settings
        app = web.Application(
            client_max_size=settings.max_body_bytes,
            middlewares=[request_middleware, admission_middleware],
        )
        app[CONTEXT] = context
        app[QUOTAS] = self._quotas
        app.on_response_prepare.append(add_standard_headers)
        live = Live(context, self._all_figures, self._slot, verdicts_in=verdicts_in)
        app.cleanup_ctx.append(live.keep)
        routes = [
            web.get("/health", self._health),
            web.get("/ready", self._ready),
            *live.routes(),
            *metrics.routes(self._all_figures),
            *wires.routes(context, self.lists.want),
            *openapi.routes(),
            *page.routes(),
        ]
        app.add_routes([_with_deferred_expect(route) for route in routes])
        return app

    async def _health(self, _request: web.Request) -> web.Response:
        """Answer 200, as a sign that the process lives."""
        return web.json_response({"status": "alive", "version": __version__})

    async def _ready(self, _request: web.Request) -> web.Response:
        """Answer 200 while the gateway takes requests, 503 once it stops."""
        if self.context.shutdown.stopping.is_set():
            return web.json_response({"status": "stopping"}, status=503)
        return web.json_response({"status": "ready"})

    def _all_figures(self) -> list[WorkerFigures]:
        """Collect the figures of all workers, with fresh ones of this worker."""
        return self._slot.read_all(self._own_figures)

    def _own_figures(self) -> WorkerFigures:
        context = self.context
        return WorkerFigures(context.stream_figures.snapshot(), context.request_figures.snapshot())

    def _publish(self) -> None:
        self._slot.write(self._own_figures())

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Listen on `sockets`, which are bound; they are closed with the gateway."""
        await self._runner.setup()
        server = self._runner.server
        if server is None:
            raise RuntimeError("aiohttp's runner has been set up and has no server")
        if self.reloader is not None:
            await self.reloader.catch_up()
        factory = ProtocolFactory(server, self.context.settings, self.context.request_figures)
        loop = asyncio.get_running_loop()
        self._servers = [
            await loop.create_server(factory, sock=each, backlog=BACKLOG) for each in sockets
        ]
        keeping = [self._keep_publishing(), self.lists.keep_fresh()]
        if self.reloader is not None:
            keeping.append(self.reloader.keep_up())
        self._background = list(map(_in_background, keeping))

    async def stop(self) -> int:
        """Stop listening, let streams finish within the grace time, and cut the rest.

        Returns how many requests were cut.
        """
        for each in self._servers:
            each.close()
        cut = await self.context.shutdown.finish(self.context.settings.grace)
        if cut:
            log.warning("%d requests were cut: the grace time was over", cut)
        await self._runner.cleanup()
        await self._end_background()
        await self.context.upstreams.aclose()
        self._publish()
        return cut

    async def _end_background(self) -> None:
        for each in self._background:
            each.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _keep_publishing(self) -> None:
        while True:
            self._publish()
            await asyncio.sleep(PUBLISH_SECONDS)


def collect_rarely() -> None:
    """Set the garbage collector for a process that does nothing but serve, before it forks.

    What has been made lives as long as the process: it is looked at no more. What a request makes
    goes when the request does, nearly all of it without the collector, which comes after 10,000
    objects instead of 700: under many streams it would look at each of theirs several times.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def _in_background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Do what goes on until the gateway stops; where it fails, the log says so at once."""
    task = asyncio.create_task(work)
    task.add_done_callback(_log_end)
    return task


def _log_end(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("the gateway stopped looking after itself", exc_info=error)


def _with_deferred_expect(route: web.AbstractRouteDef) -> web.AbstractRouteDef:
    """Change a route so that a client may send its body only after its admission."""
    if not isinstance(route, web.RouteDef):
        return route
    return web.RouteDef(
        route.method, route.path, route.handler, {**route.kwargs, "expect_handler": defer_expect}
    )


async def serve_until_signal(
    gateway: Gateway,
    sockets: Sequence[socket.socket],
    *,
    signals: Sequence[signal.Signals] = SIGNALS,
    parent: int | None = None,
    started: Callable[[], Any] = lambda: None,
) -> None:
    """Run `gateway` on `sockets` until one of `signals` comes; a second one ends the grace time.

    `parent`: a descriptor that reaches its end when the forking process ends, which counts as such
    a signal; None without one. `started` is called once the gateway listens. SIGHUP makes a gateway
    with a `source` read it again.
    """
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if signalled.is_set():
            gateway.context.shutdown.hurry()
        signalled.set()

    def on_parents_end() -> None:
        if parent is not None:
            loop.remove_reader(parent)
        on_signal()

    handlers = dict.fromkeys(signals, on_signal)
    if gateway.reloader is not None and hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = gateway.reloader.want
    with _signal_handlers(handlers, loop):
        if parent is not None:
            loop.add_reader(parent, on_parents_end)
        await gateway.start(sockets)
        try:
            started()
            await signalled.wait()
        finally:
            await gateway.stop()
            if parent is not None:
                loop.remove_reader(parent)


@contextmanager
def _signal_handlers(
    handlers: Mapping[signal.Signals, Callable[[], object]], loop: asyncio.AbstractEventLoop
) -> Iterator[None]:
    """Have the loop call the handler of each signal."""
    before: dict[signal.Signals, Any] = {}
    for each, handler in handlers.items():
        try:
            loop.add_signal_handler(each, handler)
        except NotImplementedError:
            # Windows, where asyncio's own handling of Ctrl-C would cancel the requests under way.
            before[each] = signal.signal(each, _calling(handler, loop))
    try:
        yield
    finally:
        for each, earlier in before.items():
            signal.signal(each, earlier)


def _calling(
    handler: Callable[[], object], loop: asyncio.AbstractEventLoop
) -> Callable[[int, Any], object]:
    return lambda *_: loop.call_soon_threadsafe(handler)
