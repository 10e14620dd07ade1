"""What every handler of the gateway gets, and nothing else: no module of the gateway has state of
its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from tailrace.gateway._upstreams import Upstreams

if TYPE_CHECKING:
    from tailrace._environment import Environment
    from tailrace.gateway._figures.streams import Watch
    from tailrace.gateway._models import Catalogue
    from tailrace.gateway._settings import Settings
    from tailrace.gateway._shutdown import Life

__all__ = ["CALLER", "CONTEXT", "Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """The gateway's settings, what it serves, who watches, clock, randomness and variables, and
    where in its life it is.

    `upstreams`: the connections to the sites; who made the context closes them in the end.
    """

    settings: Settings
    catalogue: Catalogue
    watch: Watch
    environment: Environment
    life: Life
    upstreams: Upstreams = field(default_factory=Upstreams)


CONTEXT: web.AppKey[Context] = web.AppKey("tailrace.gateway._context", Context)

CALLER: web.RequestKey[str] = web.RequestKey("tailrace.gateway.caller", str)
"""The name of the key that a request came with; missing where none was wanted."""
