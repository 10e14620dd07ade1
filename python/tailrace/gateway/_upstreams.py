"""The ways to the sites: the connections, shared by all streams of one gateway, and one call.

A transport of a kind is made with the first call to a site that needs it, in the loop of that call.
Each call has a session and cookies of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tailrace._streams.fallback import FallbackStream
from tailrace.errors import TailraceError
from tailrace.gateway._problems import RefusedError, logged_failure
from tailrace.gateway._wires.fitting import fit
from tailrace.sites._site import begin_call, open_stream
from tailrace.transport import make_transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from tailrace import Site
    from tailrace._environment import Environment
    from tailrace._streams.closing import TextStream
    from tailrace.gateway._figures.streams import OpenStream
    from tailrace.gateway._models import Model, Target
    from tailrace.gateway._settings import Settings
    from tailrace.gateway._wires.fitting import SiteRequest
    from tailrace.gateway._wires.request import ModelRequest
    from tailrace.providers._base import Call
    from tailrace.transport import Transport, TransportKind

    Candidate: TypeAlias = tuple[Model, SiteRequest]
    Begin: TypeAlias = Callable[[Model, SiteRequest], OpenStream]
    Start: TypeAlias = Callable[[Model, SiteRequest], TextStream]

__all__ = ["Upstream", "Upstreams", "candidates_of"]


class Upstream:
    """A call that has begun: its `stream`, its figures, and what the site could not be asked.

    Of several candidates each is tried in turn, until one has sent a delta: `call` and `dropped`
    are those of the one that is being tried, then of the one that answers.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        begin: Begin,
        start: Start,
        environ: Mapping[str, str],
    ) -> None:
        self._begin = begin
        self._start = start
        self._environ = environ
        self._now = candidates[0]
        self.call: OpenStream = begin(*self._now)
        self.stream: TextStream = self._opened(candidates)

    @property
    def site(self) -> Site:
        """The site that is being asked."""
        return self._now[0].upstream

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of what the site could not be asked."""
        return self._now[1].dropped

    def _opened(self, candidates: Sequence[Candidate]) -> TextStream:
        if len(candidates) > 1:
            # The request has the form of its wire: what one API has not, another may have.
            self._tried = FallbackStream(
                [(each[0].id, each) for each in candidates],
                self._try,
                is_callers_fault=lambda _: False,
            )
            return self._tried
        try:
            return self._start(*self._now)
        except TailraceError as error:
            self.call.end("failed", error=error)
            raise

    def _try(self, candidate: Candidate) -> TextStream:
        if candidate is not self._now:
            _, failure = self._tried.errors[-1]
            self.call.end("failed", error=logged_failure(failure, [self.site], self._environ))
            self._now = candidate
            self.call = self._begin(*candidate)
        return self._start(*candidate)


class Upstreams:
    """The transports of one event loop, and the calls over them."""

    def __init__(self) -> None:
        self._transports: dict[TransportKind, Transport] = {}

    def open(
        self,
        request: ModelRequest,
        target: Target,
        begin: Begin,
        *,
        environment: Environment,
        settings: Settings,
    ) -> Upstream:
        """Begin a call to what the request's model stands for; it is sent with the first read.

        Every wire opens its streams here, so this is the one place for a rule about which site is
        asked. Of several sites, those that cannot take the request are passed over. `begin` begins
        the figures of a call to a site. `environment`: clock, randomness and variables of the call.
        Raises RefusedError for what no site can take, and the TailraceError of options that cannot
        be used.
        """

        def start(model: Model, fitted: SiteRequest) -> TextStream:
            site = model.upstream
            return open_stream(
                site,
                fitted.messages,
                fitted.options,
                model=model.name,
                environment=environment,
                transport=self._transport_of(site),
            )

        return Upstream(
            candidates_of(request, target.models, settings), begin, start, environment.environ
        )

    def call(
        self, model: Model, fitted: SiteRequest, *, environment: Environment
    ) -> AbstractAsyncContextManager[Call[Any]]:
        """Begin a call to the site of `model` that is no stream: a count, say."""
        site = model.upstream
        return begin_call(
            site,
            fitted.messages,
            fitted.options,
            model=model.name,
            environment=environment,
            transport=self._transport_of(site),
        )

    def _transport_of(self, site: Site) -> Transport:
        """Return the transport of a site's own, or the one that all sites of its kind share."""
        return self.transport(site.transport) if isinstance(site.transport, str) else site.transport

    def transport(self, kind: TransportKind) -> Transport:
        """Return the transport of `kind`, made with the first call for it.

        Raises MissingRequirementsError where the extra it needs is not installed.
        """
        if kind not in self._transports:
            self._transports[kind] = make_transport(kind)
        return self._transports[kind]

    async def aclose(self) -> None:
        """Close every connection, and wait until all are closed."""
        transports, self._transports = self._transports, {}
        for transport in transports.values():
            await transport.aclose()


def candidates_of(
    request: ModelRequest, models: Iterable[Model], settings: Settings
) -> list[Candidate]:
    """Return those `models` whose sites can take the request, and the request as each takes it.

    Raises the RefusedError of the first where none can.
    """
    candidates: list[Candidate] = []
    refusals: list[RefusedError] = []
    for model in models:
        unsupported = model.upstream.unsupported or settings.unsupported
        try:
            candidates.append((model, fit(request, model, drops=unsupported == "drop")))
        except RefusedError as refusal:
            refusals.append(refusal)
    if not candidates:
        raise refusals[0]
    return candidates
