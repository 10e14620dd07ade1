"""Additions to aiohttp's connections.

They close at once, wake their reader when lost, and read no more in one go than a head is worth.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from tailrace.transport._over_aiohttp.clock import CLOCK
from tailrace.transport._rules import MOST_INTERIM_HEADS, is_interim

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "InterimHeadsError",
    "PatientProtocol",
    "QuickResponse",
    "drop_connector",
    "last_turns",
    "pause_at_many_chunks",
    "wake_when_lost",
]

# Turns of the loop until a connection given up in the middle of being made has closed its socket.
_LAST_TURNS = 3
# Bytes parsed at a time, before and within a body. One read may hold 16,000 heads.
_SLICE, _SLICE_OF_BODY = 16 * 2**10, 64 * 2**10
_ENDS_OF_HEAD = (b"\n\n", b"\n\r\n")
_REST_OF_END = (b"\n", b"\r\n")  # where a part of it stood in the read before
_MOST_CHUNKS = 1024
_PARSE = ResponseHandler.data_received


class InterimHeadsError(Exception):
    """A peer sends interim heads in place of a response."""


class PatientProtocol(ResponseHandler):
    """A connection of aiohttp that ends after too many interim heads, and after a second response.

    aiohttp waits for ever for what follows interim heads, and keeps all responses that were sent
    without a request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._interim_heads = 0
        self._has_final_head = False
        self.heard: Callable[[], None] | None = None
        """Called behind each read of the socket, and when the connection was lost."""

    def set_response_params(self, **options: Any) -> None:
        self._interim_heads = 0
        self._has_final_head = False
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        payload = self._payload
        if payload is not None and not payload.is_eof() and len(data) <= _SLICE_OF_BODY:
            _PARSE(self, data)  # most reads of most bodies
        else:
            self._parse_slices(data)
        if self.heard is not None and data:  # none: aiohttp parses the rest within a read
            self.heard()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.heard is not None:
            self.heard()

    def _parse_slices(self, data: bytes) -> None:
        while len(data) > (size := self._slice(data)) and self.is_connected():
            super().data_received(data[:size])
            data = data[size:]
        if self.is_connected():
            super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        """Resume where something is paused: aiohttp asks for it after each read of a body.

        Unparsed bytes are kept by a paused connection alone.
        """
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def _slice(self, data: bytes) -> int:
        """Return how much of `data` is parsed next.

        A head is parsed alone, so that it is there if a body's first bytes make no sense.
        """
        if self._payload is not None and not self._payload.is_eof():
            return _SLICE_OF_BODY
        if data.startswith(_REST_OF_END):
            return data.index(b"\n") + 1
        ends = [(at, end) for end in _ENDS_OF_HEAD if (at := data.find(end, 0, _SLICE)) >= 0]
        if not ends:
            return _SLICE
        at, end = min(ends)
        return at + len(end)

    def feed_data(self, data: tuple[Any, aiohttp.StreamReader], size: int = 0) -> None:
        if self._has_final_head:
            self._end_of_use()
        elif not is_interim(data[0].code):
            self._has_final_head = True
            super().feed_data(data, size)
        else:
            self._interim_heads += 1
            if self._interim_heads > MOST_INTERIM_HEADS:
                self._end_of_use(InterimHeadsError())
            else:
                super().feed_data(data, size)

    def _end_of_use(self, error: Exception | None = None) -> None:
        self.force_close()
        if error is not None and self.exception() is None:
            self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


class QuickResponse(aiohttp.ClientResponse):
    """A response of aiohttp that closes its connection at once.

    Over TLS, aiohttp's own closing would wait for the peer's close_notify.
    """

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except BaseException:
            clock = CLOCK.get()
            if clock is not None:
                clock.connecting()  # as aiohttp does where a pooled connection proves to be dead
            if connection.transport is not None:
                connection.transport.abort()
            raise


def wake_when_lost(content: aiohttp.StreamReader, protocol: ResponseHandler) -> bool:
    """Wake the reader when the connection is lost; return False where it is lost already.

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
    return closed is not None


def pause_at_many_chunks(content: aiohttp.StreamReader) -> None:
    """Have reading from the socket pause at `_MOST_CHUNKS` HTTP chunks, however small they are.

    aiohttp goes on to four times as many, and each costs a reader as much as a large one.
    """
    content._high_water_chunks = _MOST_CHUNKS  # noqa: SLF001
    content._low_water_chunks = _MOST_CHUNKS // 2  # noqa: SLF001


def _forget(closed: asyncio.Future[None], wake: Callable[[asyncio.Future[None]], None]) -> None:
    closed.remove_done_callback(wake)


def _take_note(closed: asyncio.Future[Any]) -> None:
    if not closed.cancelled():
        closed.exception()


def _wake(content: aiohttp.StreamReader, _lost: asyncio.Future[None]) -> None:
    if not content.is_eof() and content.exception() is None:
        content.set_exception(aiohttp.ClientPayloadError("the connection was lost"))


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
