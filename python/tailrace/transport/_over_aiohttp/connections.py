"""Additions to aiohttp's connections: they close at once, and wake their reader when lost."""

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
    """A response of aiohttp that closes its connection at once.

    Over TLS, aiohttp's own closing would wait for the peer's close_notify.
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

    After a malformed chunk aiohttp closes the connection without waking the reader.
    """
    closed = protocol.closed
    if closed is not None:
        # A pooled connection may be reset between two replies, when there is no reader to wake.
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
    """Close a response's connection without waiting."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
    response.close()


@cache
def keep_room_for_reads() -> None:
    """Make the C library keep the memory that asyncio reads into, from one read to the next.

    glibc maps a block of that size and unmaps it again, which costs three system calls and a page
    fault for each read: a third of the time of a small read. Once a larger block has been freed,
    glibc takes such blocks from its heap (mallopt(3), M_MMAP_THRESHOLD). Other C libraries do not
    change their behaviour.
    """
    bytes(2 * _LARGEST_READ)


def drop_connector(connector: aiohttp.BaseConnector) -> None:
    """Close a connector from a plain function.

    The connector's own `close` starts a task, which a loop that ends soon would not finish.
    """
    for closed in connector._close(abort_ssl=True):  # noqa: SLF001
        asyncio.ensure_future(closed).add_done_callback(_take_note)  # without a waiting caller


async def last_turns() -> None:
    """Let the loop run the callbacks that close the sockets of a request that failed."""
    for _ in range(_LAST_TURNS):
        await asyncio.sleep(0)
