"""The lists of models that servers tell of themselves, asked for in the background.

No request and no start waits for a server. A list stays until a newer one comes, so that a server
that is down keeps its models.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from tailrace import Site
    from tailrace.gateway._context import Context

__all__ = ["ModelLists"]

log: logging.Logger = logging.getLogger("tailrace.gateway")

REFRESH_SECONDS = 300.0
"""Seconds after which every server is asked anew."""

FRESH_SECONDS = 10.0
"""Seconds in which a list is as good as new, however often clients look at it."""

FIRST_BYTE_SECONDS = 20.0
TOTAL_SECONDS = 60.0


class ModelLists:
    """The lists of the sites in the registry of `context`, which is replaced where one changes.

    `speaks`: whether changes of state are logged; one worker does so for all.
    """

    def __init__(self, context: Context, *, speaks: bool) -> None:
        self._context = context
        self._level = logging.WARNING if speaks else logging.DEBUG
        self._lists: dict[Site, tuple[str, ...]] = {}
        self._failing: set[Site] = set()
        self._asked_at = -math.inf
        self._wanted = asyncio.Event()
        self.resting: bool = False
        """Whether every server has been asked, and none is being asked now."""

    def want(self, *, at_once: bool = False) -> None:
        """Have the servers asked soon, unless they have just been; `at_once`: even then."""
        now = asyncio.get_running_loop().time()
        if at_once or now - self._asked_at > FRESH_SECONDS:
            self._wanted.set()

    async def keep_fresh(self) -> None:
        """Ask all servers now, and again whenever it is wanted or time; until it is cancelled."""
        while True:
            self.resting = False
            self._wanted.clear()
            self._asked_at = asyncio.get_running_loop().time()
            await asyncio.gather(*map(self._ask, self._context.registry.asked))
            self.resting = True
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._wanted.wait()

    async def _ask(self, site: Site) -> None:
        try:
            names = await site.models(**self._options(site))
        except Exception as error:  # noqa: BLE001 - of a transport of the caller's own, say
            self._note_failure(site, error)
        else:
            self._note(site, tuple(names))

    def _options(self, site: Site) -> dict[str, Any]:
        context = self._context
        options: dict[str, Any] = {
            "environment": context.environment,
            "timeout": min(site.timeout or FIRST_BYTE_SECONDS, FIRST_BYTE_SECONDS),
            "total_timeout": TOTAL_SECONDS,
        }
        if isinstance(site.transport, str):
            options["transport"] = context.upstreams.transport(site.transport)
        return options

    def _note(self, site: Site, names: tuple[str, ...]) -> None:
        if site in self._failing:
            self._failing.discard(site)
            log.log(self._level, "%s tells its models again", site.name)
        if self._lists.get(site) != names:
            self._lists[site] = names
            self.apply()

    def _note_failure(self, site: Site, error: Exception) -> None:
        if site not in self._failing:
            self._failing.add(site)
            known = "those told last stay" if site in self._lists else "its profile's are listed"
            log.log(
                self._level,
                "%s does not tell its models, %s: %s: %s",
                site.name,
                known,
                type(error).__name__,
                error if isinstance(error, TailraceError) else "an error of another package",
            )

    def apply(self) -> None:
        """Bring the registry up to date with the lists."""
        context = self._context
        asked = set(context.registry.asked)
        self._lists = {site: names for site, names in self._lists.items() if site in asked}
        self._failing &= asked
        context.registry = context.registry.with_lists(self._lists)
