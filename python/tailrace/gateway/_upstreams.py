"""The connections to the sites, shared by all streams of one gateway.

A transport of a kind is made with the first call to a site that needs it, in the loop of that call.
Each call has a session and cookies of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace.transport import make_transport

if TYPE_CHECKING:
    from tailrace.transport import Transport, TransportKind

__all__ = ["Upstreams"]


class Upstreams:
    """The transports of one event loop."""

    def __init__(self) -> None:
        self._transports: dict[TransportKind, Transport] = {}

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
