"""An endpoint of a wire: a request in, a call to a site, its answer out, as a stream or whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace.errors import TailraceError
from tailrace.gateway._context import CALLER
from tailrace.gateway._problems import RefusedError, problem_of
from tailrace.gateway._wires.answer import Answer
from tailrace.gateway._wires.fitting import dropped_field
from tailrace.gateway._wires.wire import Identity

if TYPE_CHECKING:
    from aiohttp import web

    from tailrace.gateway._context import Context
    from tailrace.gateway._models import Model
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
        try:
            asked = self._wire.read(await request.read())
            model = context.registry.find(asked.model)
            upstream = context.upstreams.open(
                asked, model, environment=context.environment, settings=context.settings
            )
        except TailraceError as error:
            raise RefusedError(problem_of(error)) from None
        for name in upstream.dropped:
            context.request_figures.dropped(dropped_field(asked, name))
        call = context.stream_figures.begin(
            site=model.site,
            model=model.counted_as,
            caller=request.get(CALLER),
            streams=asked.streams,
        )
        encoder = self._wire.encoder(asked, self._identity(asked, model))
        return await Answer(context, asked, upstream, encoder, call).send(request)

    def _identity(self, asked: ModelRequest, model: Model) -> Identity:
        environment = self._context.environment
        return Identity(
            f"{self._wire.id_prefix}{environment.random.getrandbits(128):032x}",
            environment.now_ms() // 1000,
            asked.model,
            model.fingerprint,
        )
