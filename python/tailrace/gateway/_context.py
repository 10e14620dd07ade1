"""The state of one gateway, given to every handler; no module of the gateway has state itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace._environment import Environment
    from tailrace.gateway._figures.requests import RequestFigures
    from tailrace.gateway._figures.streams import StreamFigures
    from tailrace.gateway._keys import Key
    from tailrace.gateway._models import ModelRegistry
    from tailrace.gateway._problems import Problem
    from tailrace.gateway._settings import Settings
    from tailrace.gateway._shutdown import Shutdown
    from tailrace.gateway._upstreams import Upstreams

__all__ = ["BODY", "CALLER", "CHARGE", "CONTEXT", "KEY", "LAST_EVENT", "Context"]


@dataclass(slots=True)
class Context:
    """One gateway's settings and state: its models, its figures, its shutdown.

    `registry` is replaced where the models change, so that a request that holds one keeps it.
    `environment`: clock, randomness and variables; `upstreams`: the connections to the sites, which
    the maker of the context closes in the end.
    """

    settings: Settings
    registry: ModelRegistry
    environment: Environment
    stream_figures: StreamFigures
    request_figures: RequestFigures
    shutdown: Shutdown
    upstreams: Upstreams


CONTEXT: web.AppKey[Context] = web.AppKey("tailrace.gateway._context", Context)

KEY: web.RequestKey[Key | None] = web.RequestKey("tailrace.gateway.key")
"""The key that a request came with; None where it needs none, not set before it was looked for."""

BODY: web.RequestKey[bytes] = web.RequestKey("tailrace.gateway.body", bytes)
"""The request's body, decompressed; not set where it has none."""

CALLER: web.RequestKey[str | None] = web.RequestKey("tailrace.gateway.caller")
"""The name of that key."""

CHARGE: web.RequestKey[Callable[[int], None]] = web.RequestKey("tailrace.gateway.charge")
"""Counts as many further requests against the rate of that key."""

LAST_EVENT: web.RequestKey[Callable[[Problem], bytes]] = web.RequestKey(
    "tailrace.gateway.last_event"
)
"""Writes the last event of a failed stream, in the form of the wire that the request came over."""
