"""Connections from outside: how many there are, and how long each may take over a request's head.

aiohttp's server closes a connection that is idle, and has no clock of its own for a head that only
drips. Ours begins with the connection, and with the first byte of every later request, and ends
when the request is handed to the gateway (`Connection.request_begins`). What is sent here, before
there is a request, is written by hand.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from tailrace.gateway._problems import INVALID_REQUEST, Problem, problem_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace.gateway._figures.requests import Traffic
    from tailrace.gateway._settings import Settings

__all__ = ["Connection", "Door"]

log: logging.Logger = logging.getLogger("tailrace.gateway")

REFUSALS_AT_ONCE = 256
"""Connections over the cap that are told so at the same time; what is beyond that is closed without
a word.
"""

REFUSAL_SECONDS = 1.0
"""How long one of them may take to send what it had to say."""

LINGERING_SECONDS = 1.0
"""How long the rest of a refused body is read, so that its sender sees why it was refused."""

_TOO_MANY = Problem(
    503,
    "the gateway has as many connections open as it may; try again later",
    "server_error",
    code="too_many_connections",
    retry_after=1,
)
_TOO_SLOW = Problem(408, "the request's head took too long", INVALID_REQUEST, code="header_timeout")
_NOT_HTTP = Problem(
    400, "the request is not HTTP as it should be", INVALID_REQUEST, code="bad_request"
)


class Door:
    """Makes a protocol for every connection accepted: a `Connection`, or a refusal when there are
    too many.
    """

    def __init__(self, server: web.Server, settings: Settings, traffic: Traffic) -> None:
        self.settings = settings
        self.traffic = traffic
        self._server = server
        self._refusing = 0

    def __call__(self) -> asyncio.Protocol:
        """The protocol of one more connection."""
        if self.traffic.connections < self.settings.max_connections:
            return cast("asyncio.Protocol", Connection(self, self._server))
        self.traffic.refused("too_many_connections")
        return _Refusal(self.enter_refusal())

    def enter_refusal(self) -> Callable[[], None] | None:
        """Count one more that is told; how it leaves, or None: there are enough of them."""
        if self._refusing >= REFUSALS_AT_ONCE:
            return None
        self._refusing += 1
        return self._leave_refusal

    def _leave_refusal(self) -> None:
        self._refusing -= 1


class Connection(web.RequestHandler):
    """aiohttp's connection with clocks for heads and for what nobody takes, and our own words for
    what is not HTTP.
    """

    __slots__ = ("_answering", "_clock", "_counted", "_door", "_send_clock")

    def __init__(self, door: Door, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=door.settings.idle_timeout,
            lingering_time=LINGERING_SECONDS,
            access_log=None,  # type: ignore[arg-type] # as `AppRunner` itself hands it on
            logger=log,
        )
        self._door = door
        self._clock: asyncio.TimerHandle | None = None
        self._send_clock: asyncio.TimerHandle | None = None
        self._answering = False
        self._counted = True
        door.traffic.connections += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it no more."""
        if self._counted:
            self._door.traffic.connections -= 1
            self._counted = False
        self._stop_clock()
        self._stop_send_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """While no request is being answered, bytes are those of a head."""
        if not self._answering and self._clock is None:
            self._start_clock()
        super().data_received(data)

    def pause_writing(self) -> None:
        """The client does not take what is sent as fast as it comes: it may be slow, and it may be
        gone.
        """
        super().pause_writing()
        timeout = self._door.settings.send_timeout
        self._send_clock = asyncio.get_running_loop().call_later(timeout, self._not_taken)

    def resume_writing(self) -> None:
        """It takes it."""
        self._stop_send_clock()
        super().resume_writing()

    def request_begins(self) -> None:
        """A request's head was whole; its answer begins."""
        self._answering = True
        self._stop_clock()

    def request_ends(self) -> None:
        """Its answer is made: what comes next is another head."""
        self._answering = False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp cannot parse.

        Neither the reply nor the log repeats any of it: a key may stand in it.
        """
        del message
        self._stop_clock()
        if request.writer.output_size > 0:
            raise ConnectionError("the reply has begun")
        log.info("a request could not be read: %s", type(exc).__name__)
        self._door.traffic.refused("bad_request")
        known = status in _KNOWN
        response = problem_response(
            _NOT_HTTP if known else Problem(500, "the gateway failed", "server_error")
        )
        response.force_close()
        return response

    def log_exception(self, *_args: Any, **details: Any) -> None:
        """What aiohttp did not expect of a connection: what kind it was, and none of its words."""
        error = details.get("exc_info")
        level = logging.INFO if isinstance(error, web.RequestPayloadError) else logging.ERROR
        log.log(level, "a connection ended with %s", type(error).__name__)

    def _start_clock(self) -> None:
        self._clock = asyncio.get_running_loop().call_later(
            self._door.settings.header_timeout, self._too_slow
        )

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _stop_send_clock(self) -> None:
        if self._send_clock is not None:
            self._send_clock.cancel()
            self._send_clock = None

    def _not_taken(self) -> None:
        self._send_clock = None
        self._door.traffic.refused("send_timeout")
        if self.transport is not None:
            self.transport.abort()

    def _too_slow(self) -> None:
        self._clock = None
        if self.transport is None:
            return
        if self._answering or self._waiter is None or self._waiter.done():
            self._start_clock()  # a reply is still being taken: what came meanwhile waits its turn
            return
        self._door.traffic.refused("header_timeout")
        self.transport.write(_written(_TOO_SLOW))
        self.force_close()


_KNOWN = frozenset({400})


class _Refusal(asyncio.Protocol):
    """A connection too many: it is told so once it has asked, and closed when it has read that, or
    after a second.

    Closing at once would reset the connection under the request that is on its way, and the reply
    with it.
    """

    def __init__(self, leave: Callable[[], None] | None) -> None:
        self._leave = leave
        self._transport: asyncio.Transport | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._told = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._leave is None:
            self._transport.abort()
            return
        self._clock = asyncio.get_running_loop().call_later(REFUSAL_SECONDS, self._transport.close)

    def data_received(self, data: bytes) -> None:
        del data
        if self._transport is not None and not self._told:
            self._told = True
            self._transport.write(_written(_TOO_MANY))
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._clock is not None:
            self._clock.cancel()
        if self._leave is not None:
            self._leave()


def _written(problem: Problem) -> bytes:
    """A reply as it goes over the wire."""
    response = problem_response(problem)
    body: Any = response.body
    lines = [f"HTTP/1.1 {problem.status} {response.reason}", "Connection: close"]
    headers = {**response.headers, "Content-Length": str(len(body))}
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + bytes(body)
