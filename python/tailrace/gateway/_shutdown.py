"""The shutdown of a gateway: requests under way may finish, and are cut after the grace time."""

from __future__ import annotations

import asyncio

__all__ = ["Shutdown"]


class RequestUnderWay:
    """One request as a context manager, as `Shutdown.request` returns it."""

    __slots__ = ("_idle", "_task", "_tasks")

    def __init__(self, tasks: set[asyncio.Task[object]], idle: asyncio.Event) -> None:
        self._tasks = tasks
        self._idle = idle

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is answered by a task")
        self._task = task
        self._tasks.add(task)
        self._idle.clear()

    def __exit__(self, *_: object) -> None:
        self._tasks.discard(self._task)
        if not self._tasks:
            self._idle.set()


class Shutdown:
    """The state of a gateway's shutdown, and the requests that are under way.

    `stopping`: no request is begun any more, and endless replies end by themselves. `cutting`: the
    grace time is over, and the tasks of the requests that are left are cancelled.
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
        """The number of requests being answered."""
        return len(self._tasks)

    def request(self) -> RequestUnderWay:
        """Delay the shutdown while the current task answers a request in the ``with`` block."""
        return RequestUnderWay(self._tasks, self._idle)

    def hurry(self) -> None:
        """End the grace time now."""
        self._hurried.set()

    async def finish(self, grace: float) -> int:
        """Wait until no request is under way, `grace` seconds at most, and cut those that are left.

        Returns how many were cut.
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
