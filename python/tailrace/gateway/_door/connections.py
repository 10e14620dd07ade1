"""The connections of clients: how many there may be, and how long a request's head may take.

aiohttp's server closes an idle connection, but has no clock for a head that comes slowly, byte by
byte. The clock of this module begins with the connection, and with the first byte of every later
request, and ends when the request is handed to the gateway (`Connection.request_begins`). Replies
sent before there is a request are written without aiohttp.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from tailrace.gateway._problems import INVALID_REQUEST, Problem, problem_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace.gateway._figures.requests import RequestFigures
    from tailrace.gateway._settings import Settings

__all__ = ["Connection", "ProtocolFactory"]

log: logging.Logger = logging.getLogger("tailrace.gateway")

REFUSALS_AT_ONCE = 256
"""The number of connections over the cap that get a reply at a time; others are just closed."""

REFUSAL_SECONDS = 1.0
"""Seconds in which a connection over the cap may send its request."""

LINGERING_SECONDS = 1.0
"""Seconds in which the rest of a refused body is read, so that its sender reads the refusal."""

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
_TOO_LONG = Problem(
    431, "a line of the request's head is too long", INVALID_REQUEST, code="header_too_large"
)


class ProtocolFactory:
    """A maker of asyncio protocols: a `Connection` or, beyond the cap, a refused one."""

    def __init__(
        self, server: web.Server, settings: Settings, request_figures: RequestFigures
    ) -> None:
        self.settings = settings
        self.request_figures = request_figures
        self._server = server
        self._refusing = 0

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        if self.request_figures.connections < self.settings.max_connections:
            return cast("asyncio.Protocol", Connection(self, self._server))
        self.request_figures.refused("too_many_connections")
        return _RefusedConnection(self._begin_refusal())

    def _begin_refusal(self) -> Callable[[], None] | None:
        """Count one more refusal and return the function that ends it; None beyond the limit."""
        if self._refusing >= REFUSALS_AT_ONCE:
            return None
        self._refusing += 1
        return self._end_refusal

    def _end_refusal(self) -> None:
        self._refusing -= 1


class Connection(web.RequestHandler):
    """aiohttp's connection, with clocks for a request's head and for a client that does not read.

    A request that is not HTTP gets a reply in the gateway's own form.
    """

    __slots__ = ("_answering", "_clock", "_counted", "_factory", "_send_clock")

    def __init__(self, factory: ProtocolFactory, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=factory.settings.idle_timeout,
            lingering_time=LINGERING_SECONDS,
            auto_decompress=False,  # `admission` decompresses, no further than its limit
            access_log=None,  # type: ignore[arg-type] # as `AppRunner` passes it
            logger=log,
        )
        self._factory = factory
        self._clock: asyncio.TimerHandle | None = None
        self._send_clock: asyncio.TimerHandle | None = None
        self._answering = False
        self._counted = True
        factory.request_figures.connections += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock of the first head."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take the connection out of the count, and stop its clocks."""
        if self._counted:
            self._factory.request_figures.connections -= 1
            self._counted = False
        self._stop_clock()
        self._stop_send_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Start the clock of a head, unless a request is being answered, and hand `data` on."""
        if not self._answering and self._clock is None:
            self._start_clock()
        super().data_received(data)

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read, because it is slow or gone."""
        super().pause_writing()
        timeout = self._factory.settings.send_timeout
        self._send_clock = asyncio.get_running_loop().call_later(timeout, self._end_untaken)

    def resume_writing(self) -> None:
        """Stop that clock: the client reads again."""
        self._stop_send_clock()
        super().resume_writing()

    def request_begins(self) -> None:
        """Stop the clock of the head, which is whole: its request is being answered."""
        self._answering = True
        self._stop_clock()

    def request_ends(self) -> None:
        """Mark the request as answered: the next bytes are another head."""
        self._answering = False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that aiohttp cannot parse; no part of it is repeated or logged."""
        del message
        self._stop_clock()
        if request.writer.output_size > 0:
            raise ConnectionError("the reply has begun")
        log.info("a request could not be read: %s", type(exc).__name__)
        problem = _problem_of(status, exc)
        self._factory.request_figures.refused(problem.code or "bad_request")
        response = problem_response(problem)
        response.force_close()
        return response

    def log_exception(self, *_args: Any, **details: Any) -> None:
        """Log the class of an error that aiohttp did not expect, without its message."""
        error = details.get("exc_info")
        level = logging.INFO if isinstance(error, web.RequestPayloadError) else logging.ERROR
        log.log(level, "a connection ended with %s", type(error).__name__)

    def _start_clock(self) -> None:
        self._clock = asyncio.get_running_loop().call_later(
            self._factory.settings.header_timeout, self._end_slow_head
        )

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _stop_send_clock(self) -> None:
        if self._send_clock is not None:
            self._send_clock.cancel()
            self._send_clock = None

    def _end_untaken(self) -> None:
        self._send_clock = None
        self._factory.request_figures.refused("send_timeout")
        if self.transport is not None:
            self.transport.abort()

    def _end_slow_head(self) -> None:
        self._clock = None
        if self.transport is None:
            return
        if self._answering or self._waiter is None or self._waiter.done():
            self._start_clock()  # the client still reads a reply: the next request waits
            return
        self._factory.request_figures.refused("header_timeout")
        self.transport.write(_written(_TOO_SLOW))
        self.force_close()


def _problem_of(status: int, error: BaseException | None) -> Problem:
    """Return the reply to a request that aiohttp could not read, for which it has `status`."""
    if isinstance(error, LineTooLong):
        return _TOO_LONG
    # What cannot be encoded in a reply can only be the request's own text.
    if status in _KNOWN or isinstance(error, UnicodeError):
        return _NOT_HTTP
    return Problem(500, "the gateway failed", "server_error")


_KNOWN = frozenset({400})


class _RefusedConnection(asyncio.Protocol):
    """A connection beyond the cap, answered once it has sent something, and closed after a second.

    To close at once would reset the connection while the request is on its way, and lose the reply.
    """

    def __init__(self, end_refusal: Callable[[], None] | None) -> None:
        self._end_refusal = end_refusal
        self._transport: asyncio.Transport | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._end_refusal is None:
            self._transport.abort()
            return
        self._clock = asyncio.get_running_loop().call_later(REFUSAL_SECONDS, self._transport.close)

    def data_received(self, data: bytes) -> None:
        del data
        if self._transport is not None and not self._answered:
            self._answered = True
            self._transport.write(_written(_TOO_MANY))
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._clock is not None:
            self._clock.cancel()
        if self._end_refusal is not None:
            self._end_refusal()


def _written(problem: Problem) -> bytes:
    """Return the bytes of a whole reply, head and body."""
    response = problem_response(problem)
    body: Any = response.body
    lines = [f"HTTP/1.1 {problem.status} {response.reason}", "Connection: close"]
    headers = {**response.headers, "Content-Length": str(len(body))}
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + bytes(body)
