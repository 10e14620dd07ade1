"""An endpoint of a wire: a request in, a call to a site, its answer out, as a stream or whole."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tailrace.errors import TailraceError
from tailrace.gateway._context import BODY, CALLER, CHARGE, KEY
from tailrace.gateway._problems import RefusedError
from tailrace.gateway._wires.answer import Answer
from tailrace.gateway._wires.chunked import ChunkedAnswer
from tailrace.gateway._wires.fitting import dropped_field
from tailrace.gateway._wires.several import send_several
from tailrace.gateway._wires.wire import Identity

if TYPE_CHECKING:
    from aiohttp import web

    from tailrace import Site
    from tailrace.gateway._context import Context
    from tailrace.gateway._figures.streams import OpenStream
    from tailrace.gateway._models import Model, Target
    from tailrace.gateway._wires.fitting import SiteRequest
    from tailrace.gateway._wires.request import ModelRequest
    from tailrace.gateway._wires.wire import AnswerEncoder, Wire

__all__ = ["Endpoint"]


class Endpoint:
    """The endpoint at which clients of one wire ask the models of one context."""

    def __init__(self, context: Context, wire: Wire) -> None:
        self._context = context
        self._wire = wire

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Answer a POST."""
        context = self._context
        sites: tuple[Site, ...] = ()
        try:
            asked = self._wire.read(request.get(BODY, b""))
            target = context.registry.find(asked.model, request.get(KEY))
            sites = target.sites
            encoder = self._wire.encoder(asked, self._identity(asked, target))
            answers = self._begun(asked, target, encoder, request.get(CALLER))
        except TailraceError as error:
            raise RefusedError.of(error, sites, context.environment.environ) from None
        if len(answers) == 1 or not isinstance(encoder, ChunkedAnswer):
            return await answers[0].send(request)
        request[CHARGE](len(answers) - 1)
        return await send_several(request, answers, encoder)

    def _begun(
        self, asked: ModelRequest, target: Target, encoder: AnswerEncoder, caller: str | None
    ) -> list[Answer]:
        """Begin the call of each answer; raises the TailraceError of what cannot be asked."""
        context = self._context
        answers: list[Answer] = []

        def begin(number: int, model: Model, fitted: SiteRequest) -> OpenStream:
            for name in fitted.dropped:
                context.request_figures.dropped(dropped_field(asked, name))
            return context.stream_figures.begin(
                site=model.site,
                model=model.counted_as,
                caller=caller,
                streams=asked.streams,
                answer=number,
            )

        try:
            for number, each in enumerate(asked.each()):
                upstream = context.upstreams.open(
                    each,
                    target,
                    partial(begin, number),
                    environment=context.environment,
                    settings=context.settings,
                )
                answers.append(Answer(context, each, upstream, encoder))
        except (RefusedError, TailraceError):
            for answer in answers:
                answer.abandon()
            raise
        return answers

    def _identity(self, asked: ModelRequest, target: Target) -> Identity:
        environment = self._context.environment
        return Identity(
            f"{self._wire.id_prefix}{environment.random.getrandbits(128):032x}",
            environment.now_ms() // 1000,
            asked.model,
            target.fingerprint,
        )
