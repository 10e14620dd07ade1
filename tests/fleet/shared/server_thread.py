"""A server in a thread of its own, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loopback import serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from loopback import Exchange, Server

__all__ = ["serving"]


@contextmanager
def serving(answer: Callable[[Exchange], Awaitable[None]]) -> Iterator[Server]:
    """Answer each request with `answer` until the block is left."""
    begun, loop = threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()
    servers: list[Server] = []

    async def work() -> None:
        async with serve(answer) as server:
            servers.append(server)
            begun.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(work(),))
    thread.start()
    begun.wait()
    try:
        yield servers[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
