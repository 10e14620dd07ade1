"""An endpoint of a wire: a request in, a call to a site, its answer out, as a stream or whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace.errors import TailraceError
from tailrace.gateway._context import BODY, CALLER, KEY
from tailrace.gateway._problems import RefusedError
from tailrace.gateway._wires.answer import Answer
from tailrace.gateway._wires.fitting import dropped_field
from tailrace.gateway._wires.wire import Identity

if TYPE_CHECKING:
    from aiohttp import web

    from tailrace import Site
    from tailrace.gateway._context import Context
    from tailrace.gateway._figures.streams import OpenStream
    from tailrace.gateway._models import Model, Target
    from tailrace.gateway._wires.fitting import SiteRequest
    from tailrace.gateway._wires.request import ModelRequest
    from tailrace.gateway._wires.wire import Wire

__all__ = ["Endpoint"]


class Endpoint:
    """The endpoint at which clients of one wire ask the models of one context."""

    def __init__(self, context: Context, wire: Wire) -> None:
        self._context = context
        self._wire = wire

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Answer a POST."""
        context = self._context
        caller = request.get(CALLER)

        def begin(model: Model, fitted: SiteRequest) -> OpenStream:
            for name in fitted.dropped:
                context.request_figures.dropped(dropped_field(asked, name))
            return context.stream_figures.begin(
                site=model.site, model=model.counted_as, caller=caller, streams=asked.streams
            )

        sites: tuple[Site, ...] = ()
        try:
            asked = self._wire.read(request.get(BODY, b""))
            target = context.registry.find(asked.model, request.get(KEY))
            sites = target.sites
            upstream = context.upstreams.open(
                asked, target, begin, environment=context.environment, settings=context.settings
            )
        except TailraceError as error:
            raise RefusedError.of(error, sites, context.environment.environ) from None
        encoder = self._wire.encoder(asked, self._identity(asked, target))
        return await Answer(context, asked, upstream, encoder).send(request)

    def _identity(self, asked: ModelRequest, target: Target) -> Identity:
        environment = self._context.environment
        return Identity(
            f"{self._wire.id_prefix}{environment.random.getrandbits(128):032x}",
            environment.now_ms() // 1000,
            asked.model,
            target.fingerprint,
        )
