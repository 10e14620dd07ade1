"""The gateway put together: the app with its checks and routes, started on sockets, and stopped
without a loose end.

Stopping: it no longer listens, ``/ready`` says 503, and what is under way may finish within the
grace time. What is then still there is cut: a stream's last event says so.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tailrace import __version__
from tailrace._environment import Environment
from tailrace.errors import InvalidRequestError
from tailrace.gateway._context import CONTEXT, Context
from tailrace.gateway._door.admission import QUOTAS, expect, guard
from tailrace.gateway._door.connections import Door
from tailrace.gateway._door.middleware import TRAFFIC, frame, stamp
from tailrace.gateway._door.quotas import Quotas
from tailrace.gateway._figures import live, metrics
from tailrace.gateway._figures.requests import Traffic
from tailrace.gateway._figures.shared import Board, Known
from tailrace.gateway._figures.streams import Watch
from tailrace.gateway._openai import routes as api
from tailrace.gateway._shutdown import Life
from tailrace.gateway._tracing import Tracing
from tailrace.gateway._web import page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from opentelemetry.trace import TracerProvider

    from tailrace.gateway._models import Catalogue
    from tailrace.gateway._settings import Settings

__all__ = [
    "Gateway",
    "Place",
    "base_urls",
    "open_sockets",
    "raise_descriptor_limit",
    "serve_until_told",
]

log: logging.Logger = logging.getLogger("tailrace.gateway")

if sys.platform == "win32":  # where other programs can send no signal but that of Ctrl-Break
    SIGNALS: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT, signal.SIGBREAK)
else:
    SIGNALS = (signal.SIGTERM, signal.SIGINT)

WORKER_SIGNALS = (signal.SIGTERM,)
"""What a worker listens to:

Ctrl-C goes to all processes of a terminal, and is its parent's to pass on.
"""

BACKLOG = 1024
PUBLISH_SECONDS = 1.0
CLOSING_SECONDS = 3.0
"""How long replies that are cut may take to say so."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which worker of how many this is, and where they put down what they know."""

    board: Board
    worker: int = 0


class Gateway:
    """One worker's server. `start` and `stop` once each, in one event loop.

    `place`: among the workers; alone unless given. `tracer_provider`: OpenTelemetry's; the global
    one unless given. `verdicts_in` stands for the user's state folder.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        *,
        place: Place | None = None,
        environment: Environment | None = None,
        tracer_provider: TracerProvider | None = None,
        verdicts_in: Path | None = None,
    ) -> None:
        self._place = Place(Board(1)) if place is None else place
        earlier = self._place.board.read(self._place.worker) or Known()
        watch = Watch(listeners=[Tracing(tracer_provider)], begun_with=earlier.streams)
        self.context: Context = Context(
            settings,
            catalogue,
            watch,
            Environment() if environment is None else environment,
            Life(),
        )
        self.traffic: Traffic = Traffic(earlier.traffic)
        self._runner = web.AppRunner(
            self._app(verdicts_in),
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=CLOSING_SECONDS,
        )
        self._servers: list[asyncio.Server] = []
        self._publishing: asyncio.Task[None] | None = None

    def _app(self, verdicts_in: Path | None) -> web.Application:
        context, settings = self.context, self.context.settings
        app = web.Application(client_max_size=settings.max_body_bytes, middlewares=[frame, guard])
        app[CONTEXT] = context
        app[TRAFFIC] = self.traffic
        app[QUOTAS] = Quotas(
            rate=settings.rate, concurrency=settings.concurrency, clock=time.monotonic
        )
        app.on_response_prepare.append(stamp)
        routes: list[web.AbstractRouteDef] = [
            web.get("/health", self._health),
            web.get("/ready", self._ready),
        ]
        routes += live.routes(context, self.known, verdicts_in=verdicts_in)
        routes += metrics.routes(self.known)
        routes += api.routes(context)
        routes += page.routes()
        app.add_routes([_guarded(route) for route in routes])
        return app

    async def _health(self, _request: web.Request) -> web.Response:
        """Whether it lives: it answers."""
        return web.json_response({"status": "alive", "version": __version__})

    async def _ready(self, _request: web.Request) -> web.Response:
        """Whether it takes requests."""
        if self.context.life.stopping.is_set():
            return web.json_response({"status": "stopping"}, status=503)
        return web.json_response({"status": "ready"})

    def known(self) -> list[Known]:
        """What each worker knows; of this one just now."""
        return self._place.board.all(self._place.worker, self._own)

    def _own(self) -> Known:
        return Known(self.context.watch.snapshot(), self.traffic.snapshot())

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Listen on `sockets`, which are bound; they are closed with the gateway."""
        await self._runner.setup()
        server = self._runner.server
        if server is None:
            raise RuntimeError("aiohttp's runner has been set up and has no server")
        door = Door(server, self.context.settings, self.traffic)
        loop = asyncio.get_running_loop()
        self._servers = [
            await loop.create_server(door, sock=each, backlog=BACKLOG) for each in sockets
        ]
        self._publishing = asyncio.create_task(self._publish())

    async def stop(self) -> int:
        """Stop listening, let streams finish within the grace time, cut the rest; returns how many
        were cut.
        """
        for each in self._servers:
            each.close()
        cut = await self.context.life.finish(self.context.settings.grace)
        if cut:
            log.warning("%d requests were cut: the grace time was over", cut)
        await self._runner.cleanup()
        await self.context.upstreams.aclose()
        if self._publishing is not None:
            self._publishing.cancel()
            with suppress(asyncio.CancelledError):
                await self._publishing
        self._place.board.write(self._place.worker, self._own())
        return cut

    async def _publish(self) -> None:
        while True:
            self._place.board.write(self._place.worker, self._own())
            await asyncio.sleep(PUBLISH_SECONDS)


def _guarded(route: web.AbstractRouteDef) -> web.AbstractRouteDef:
    """The route, with a body asked for only once its sender has been let in."""
    if not isinstance(route, web.RouteDef):
        return route
    return web.RouteDef(
        route.method, route.path, route.handler, {**route.kwargs, "expect_handler": expect}
    )


async def serve_until_told(
    gateway: Gateway,
    sockets: Sequence[socket.socket],
    *,
    signals: Sequence[signal.Signals] = SIGNALS,
    parent: int | None = None,
    started: Callable[[], Any] = lambda: None,
) -> None:
    """Run a gateway until one of `signals` comes; a second one ends the grace time.

    `parent`: a descriptor that ends when the process that forked this one does, which is such a
    signal, too.
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell() -> None:
        if told.is_set():
            gateway.context.life.hurry()
        told.set()

    def abandoned() -> None:
        if parent is not None:
            loop.remove_reader(parent)
        tell()

    with _listening_to(signals, tell, loop):
        if parent is not None:
            loop.add_reader(parent, abandoned)
        await gateway.start(sockets)
        try:
            started()
            await told.wait()
        finally:
            await gateway.stop()
            if parent is not None:
                loop.remove_reader(parent)


@contextmanager
def _listening_to(
    signals: Sequence[signal.Signals],
    tell: Callable[[], None],
    loop: asyncio.AbstractEventLoop,
) -> Iterator[None]:
    """Have the loop call `tell` at each of `signals`."""
    before: dict[signal.Signals, Any] = {}
    for each in signals:
        try:
            loop.add_signal_handler(each, tell)
        except (
            NotImplementedError
        ):  # Windows, where asyncio's own answer to Ctrl-C would cancel what is to finish
            before[each] = signal.signal(each, lambda *_: loop.call_soon_threadsafe(tell))
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of `host`; port 0 takes a free one, the same for all of
    them.

    Raises OSError where an address cannot be had, and InvalidRequestError for a host that has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise InvalidRequestError(f"there is no address {host!r} to listen on") from None
    opened: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((each[0], each[4]) for each in found):
            taken = opened[0].getsockname()[1] if opened else port
            opened.append(_listening(family, (address[0], taken, *address[2:])))
    except OSError:
        for each in opened:
            each.close()
        raise
    return opened


def _listening(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if (
            sys.platform == "win32"
        ):  # where SO_REUSEADDR would let another program take the port from it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.settimeout(0)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def base_urls(sockets: Sequence[socket.socket]) -> list[str]:
    """Where the gateway is, as a client on this machine writes it."""
    addresses = [each.getsockname() for each in sockets]
    reached = [(_LOOPBACK.get(host, host), port) for host, port, *_ in addresses]
    return [f"http://{f'[{host}]' if ':' in host else host}:{port}" for host, port in reached]


_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - every address is reached by loopback's, too


def raise_descriptor_limit(settings: Settings) -> str | None:
    """Let the process open two descriptors for each connection; one sentence where the system does
    not allow it.
    """
    if sys.platform == "win32":  # has no such limit
        return None
    import resource  # noqa: PLC0415 - not on Windows

    wanted = 2 * settings.max_connections + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return None
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft >= wanted:
        return None
    return (
        f"the system allows {soft} open files, too few for {settings.max_connections} connections and what they ask: "
        f"raise it (ulimit -n), or give --max-connections {max(1, (soft - _SPARE_DESCRIPTORS) // 2)}"
    )


_SPARE_DESCRIPTORS = 256
