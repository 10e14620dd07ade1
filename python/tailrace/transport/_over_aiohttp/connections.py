"""What aiohttp leaves to be done about a connection.

Close it at once, and tell its reader that it is lost.
"""

from __future__ import annotations

import asyncio
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import aiohttp

from tailrace.errors import ReplyBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.client_proto import ResponseHandler

__all__ = [
    "QuickResponse",
    "cut",
    "drop_connector",
    "keep_room_for_reads",
    "last_turns",
    "wake_when_lost",
]

_LARGEST_READ = 256 * 2**10  # bytes that asyncio makes room for whenever it reads from a socket
# Turns of the loop until a connection given up in the middle of being made has closed its socket.
_LAST_TURNS = 3


class QuickResponse(aiohttp.ClientResponse):
    """A response of aiohttp that gives its connection up at once.

    Over TLS, closing would wait for the peer to say goodbye.
    """

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except BaseException:
            if connection.transport is not None:
                connection.transport.abort()
            raise


def wake_when_lost(content: aiohttp.StreamReader, protocol: ResponseHandler) -> None:
    """Wake the reader when the connection is lost.

    After a chunk of no sense aiohttp closes it and tells nobody.
    """
    closed = protocol.closed
    if closed is not None:
        # A connection that serves again may be reset before its next reply begins, and that was
        # asked for by nobody.
        closed.remove_done_callback(_take_note)
        closed.add_done_callback(_take_note)
        wake = partial(_wake, content)
        closed.add_done_callback(wake)
        content.on_eof(partial(_forget, closed, wake))


def _forget(closed: asyncio.Future[None], wake: Callable[[asyncio.Future[None]], None]) -> None:
    closed.remove_done_callback(wake)


def _take_note(closed: asyncio.Future[Any]) -> None:
    if not closed.cancelled():
        closed.exception()


def _wake(content: aiohttp.StreamReader, _lost: asyncio.Future[None]) -> None:
    if not content.is_eof() and content.exception() is None:
        content.set_exception(ReplyBrokenError("the connection was lost"))


def cut(response: aiohttp.ClientResponse) -> None:
    """Close a response's connection without waiting for anyone."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
    response.close()


@cache
def keep_room_for_reads() -> None:
    """Have the C library keep the memory that asyncio reads into, from one read to the next.

    glibc fetches a block that large from the kernel and gives it back, three system calls and a
    page fault a read: a third of what a read costs when little comes at a time. It takes such
    blocks from its heap once a larger one has been freed (mallopt(3), M_MMAP_THRESHOLD). Other C
    libraries take no notice.
    """
    bytes(2 * _LARGEST_READ)


def drop_connector(connector: aiohttp.BaseConnector) -> None:
    """Close a connector from a plain function.

    Its own `close` leaves a task that the loop may not live to see end.
    """
    for closed in connector._close(abort_ssl=True):  # noqa: SLF001
        asyncio.ensure_future(closed).add_done_callback(_take_note)  # nobody waits for any of them


async def last_turns() -> None:
    """Let the loop run the callbacks that close the sockets of a request that failed."""
    for _ in range(_LAST_TURNS):
        await asyncio.sleep(0)
