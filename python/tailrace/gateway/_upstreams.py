"""The ways to the sites: the connections, shared by all streams of one gateway, and one call.

A transport of a kind is made with the first call to a site that needs it, in the loop of that call.
Each call has a session and cookies of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tailrace.gateway._wires.fitting import fit
from tailrace.sites._site import open_stream
from tailrace.transport import make_transport

if TYPE_CHECKING:
    from tailrace._environment import Environment
    from tailrace._streams.closing import TextStream
    from tailrace.gateway._models import Model
    from tailrace.gateway._settings import Settings
    from tailrace.gateway._wires.request import ModelRequest
    from tailrace.transport import Transport, TransportKind

__all__ = ["Upstream", "Upstreams"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """A call that has begun: its `stream`, and the names of what the site could not be asked."""

    stream: TextStream
    dropped: tuple[str, ...]


class Upstreams:
    """The transports of one event loop, and the calls over them."""

    def __init__(self) -> None:
        self._transports: dict[TransportKind, Transport] = {}

    def open(
        self,
        request: ModelRequest,
        model: Model,
        *,
        environment: Environment,
        settings: Settings,
    ) -> Upstream:
        """Begin a call to the site of `model`; nothing is sent before its stream is read.

        Every wire opens its streams here, so this is the one place for a rule about which site is
        asked: a model that stands for several sites becomes a stream that tries them in turn.
        `environment`: clock, randomness and variables of the call. Raises RefusedError for what the
        site cannot take, and the TailraceError of options that cannot be used.
        """
        site = model.upstream
        unsupported = site.unsupported or settings.unsupported
        fitted = fit(request, model, drops=unsupported == "drop")
        options: dict[str, Any] = {**fitted.options, "environment": environment}
        if isinstance(site.transport, str):
            options["transport"] = self.transport(site.transport)
        return Upstream(
            open_stream(site, fitted.messages, options, model=model.name), fitted.dropped
        )

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
