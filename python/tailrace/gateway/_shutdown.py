"""A gateway's life: it serves, it is stopping (what is under way may finish), and what is still
there is cut.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Life"]


class Life:
    """Where in its life a gateway is, and which requests are under way.

    `stopping`: nothing new is to be begun, and endless replies end by themselves. `cutting`: the
    grace time is over.
    """

    def __init__(self) -> None:
        self.stopping: asyncio.Event = asyncio.Event()
        self.cutting: bool = False
        self._tasks: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurried = asyncio.Event()

    @property
    def under_way(self) -> int:
        """How many requests are being answered."""
        return len(self._tasks)

    @contextmanager
    def request(self) -> Iterator[None]:
        """The current task answers a request."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is answered by a task")
        self._tasks.add(task)
        self._idle.clear()
        try:
            yield
        finally:
            self._tasks.discard(task)
            if not self._tasks:
                self._idle.set()

    def hurry(self) -> None:
        """Grant no grace time any more."""
        self._hurried.set()

    async def finish(self, grace: float) -> int:
        """Wait until nothing is under way, `grace` seconds at most; then cut what is, and return
        how much that was.
        """
        self.stopping.set()
        waiting = [asyncio.ensure_future(event.wait()) for event in (self._idle, self._hurried)]
        try:
            await asyncio.wait(waiting, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        if self._idle.is_set():
            return 0
        self.cutting = True
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)
