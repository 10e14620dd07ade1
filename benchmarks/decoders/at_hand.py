"""A reply at hand, behind aiohttp's own client: no socket, and its reads as they were cut."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aiohttp.client_proto import ResponseHandler

__all__ = ["AtHand", "RequestFailedError"]

AT_FIRST, BETWEEN = 8, 2
"""The turns of the event loop before the first read and between two, in which a client has taken
the one before."""


class RequestFailedError(Exception):
    """A client that raises nothing has told that its request failed, and why."""


class AtHand(aiohttp.BaseConnector):
    """A connector whose every connection answers with one reply, which ends with it."""

    def __init__(self, chunks: Iterable[bytes], status: int, content_type: str) -> None:
        super().__init__(force_close=True)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            f"Content-Type: {content_type}\r\nConnection: close\r\n\r\n"
        )
        self._reads = [head.encode(), *chunks]

    async def _create_connection(self, *_: Any, **__: Any) -> ResponseHandler:
        protocol = self._factory()
        protocol.connection_made(Wire(protocol, self._reads))
        return protocol


class Wire(asyncio.Transport):
    """The other end: once something is written, it answers."""

    def __init__(self, protocol: ResponseHandler, reads: list[bytes]) -> None:
        super().__init__()
        self._protocol = protocol
        self._reads: Iterator[bytes] = iter(reads)
        self._answering = self._begun = self._closing = False

    def write(self, _: Any) -> None:
        """Take the request, whatever it is, and begin to answer."""
        if not self._answering:
            self._answering = True
            self._wait(AT_FIRST)

    def _wait(self, turns: int) -> None:
        again, argument = (self._wait, (turns - 1,)) if turns else (self._answer, ())
        asyncio.get_running_loop().call_soon(again, *argument)

    def _answer(self) -> None:
        if self._closing:
            return
        read = next(self._reads, None)
        if read is None:
            self._protocol.eof_received()
            self.close()
        else:
            self._protocol.data_received(read)
            self._wait(BETWEEN if self._begun else AT_FIRST)
            self._begun = True

    def is_closing(self) -> bool:
        """Whether either side has closed."""
        return self._closing

    def close(self) -> None:
        """Close for both sides."""
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        """Go on: no case is as long as what aiohttp would hold back."""

    resume_reading = pause_reading
