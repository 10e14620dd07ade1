"""``tailrace batch --engine ray``: the driver of a run on Ray, beside an event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tailrace.ray._run import make_driver

if TYPE_CHECKING:
    from tailrace.batch import Report

__all__ = ["OnRay"]


class OnRay:
    """A run on Ray, whose driver waits in a thread; the arguments are those of `tailrace.ray.run`.

    Ray is begun here, if need be.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._driver = make_driver(*arguments, **options)

    def report(self) -> Report:
        """Return the report of what has happened up to now."""
        return self._driver.report()

    def stop(self) -> None:
        """Begin no more rows."""
        self._driver.stop()

    async def until_end(self) -> None:
        """Run to the end; cancelled, end the workers at once."""
        working = asyncio.ensure_future(asyncio.to_thread(self._driver.until_end))
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            self._driver.cut()
            await working
            raise
