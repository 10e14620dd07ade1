"""What every handler of the gateway gets, and nothing else: no module of the gateway has state of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailrace.gateway.life import Life
    from tailrace.gateway.settings import Settings
    from tailrace.gateway.watch import Watch
    from tailrace.providers.base import World

__all__ = ["CONTEXT", "Context", "ServedSite", "SiteList"]


class ServedSite(Protocol):
    """A site as the frame shows it."""

    @property
    def name(self) -> str:
        """The name in front of its models' ids."""

    @property
    def url(self) -> str:
        """Where it is."""

    @property
    def models(self) -> Sequence[str]:
        """The ids of its models."""


class SiteList(Protocol):
    """What the frame asks of the catalogue."""

    @property
    def sites(self) -> Sequence[ServedSite]:
        """The sites that are served."""


@dataclass(frozen=True, slots=True)
class Context:
    """The gateway's settings, what it serves, who watches, the world outside, and where in its life it is."""

    settings: Settings
    catalogue: SiteList
    watch: Watch
    world: World
    life: Life


CONTEXT: web.AppKey[Context] = web.AppKey("tailrace.gateway.context", Context)
