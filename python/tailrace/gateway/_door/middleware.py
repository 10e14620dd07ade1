"""What every request gets: an id, an account of how it went, and an end, whatever happens to it.

It is the outermost middleware. Whatever a handler raises becomes a reply here, or, in a stream that
has begun, an error event and the end of the stream.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from tailrace.gateway._context import CALLER, CONTEXT
from tailrace.gateway._door import admission as guard
from tailrace.gateway._door.connections import Connection
from tailrace.gateway._figures.requests import Traffic
from tailrace.gateway._figures.streams import BEGUN
from tailrace.gateway._logs import AccountOfRequest, write_account
from tailrace.gateway._problems import INVALID_REQUEST, Problem, RefusedError, problem_response
from tailrace.gateway._tracing import continue_trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tailrace.gateway._context import Context
    from tailrace.gateway._figures.streams import OpenStream

__all__ = ["REQUEST_ID", "TRAFFIC", "frame", "stamp"]

log: logging.Logger = logging.getLogger("tailrace.gateway")

REQUEST_ID: web.RequestKey[str] = web.RequestKey("tailrace.gateway.request_id", str)
TRAFFIC: web.AppKey[Traffic] = web.AppKey("tailrace.gateway._figures.requests", Traffic)

LAST_WORD_SECONDS = 2.0
"""How long a client that does not read may hold up the last event of a stream that is cut."""

_RESPONSE: web.RequestKey[web.StreamResponse] = web.RequestKey(
    "tailrace.gateway.response", web.StreamResponse
)
_CLIENT_LEFT = 499
_STOPPING = Problem(503, "the gateway is stopping", "server_error", code="stopping", retry_after=1)
_FAILED = Problem(
    500, "the gateway failed: its log says how", "server_error", code="internal_error"
)


@web.middleware
async def frame(
    request: web.Request,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> web.StreamResponse:
    """Answer the request, count it, and write down how it went."""
    context, traffic = request.app[CONTEXT], request.app[TRAFFIC]
    request[REQUEST_ID] = f"req_{context.environment.random.getrandbits(96):024x}"
    connection = request.protocol
    begun_at = time.monotonic()
    streams: list[OpenStream] = []
    token = BEGUN.set(streams)
    status = _CLIENT_LEFT
    traffic.requests += 1
    if isinstance(connection, Connection):
        connection.request_begins()
    try:
        with context.life.request(), continue_trace(request.headers):
            response = await _answered(request, handler, context)
        status = response.status
        return response
    finally:
        if isinstance(connection, Connection):
            connection.request_ends()
        traffic.requests -= 1
        BEGUN.reset(token)
        seconds = time.monotonic() - begun_at
        traffic.answered(request.method, _route(request), status, seconds)
        write_account(
            AccountOfRequest(
                id=request[REQUEST_ID],
                key=request.get(CALLER),
                method=request.method,
                route=_route(request),
                status=status,
                seconds=seconds,
                streams=streams,
            )
        )


def _route(request: web.Request) -> str:
    """The path as the gateway itself names it: what a client made up goes into no log and no
    figure.
    """
    resource = request.match_info.route.resource
    return "unknown" if resource is None else resource.canonical


async def stamp(request: web.Request, response: web.StreamResponse) -> None:
    """What every reply says, put on when its head is about to be sent."""
    request[_RESPONSE] = response
    headers = response.headers
    headers["Server"] = "tailrace"
    headers["X-Content-Type-Options"] = "nosniff"
    if REQUEST_ID in request:
        headers["X-Request-Id"] = request[REQUEST_ID]
    if not guard.is_public(request.path):
        headers["Cache-Control"] = "no-store"
    guard.allow_origin(request, headers)


async def _answered(
    request: web.Request,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    context: Context,
) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as refusal:
        problem = refusal.problem
    except web.HTTPException as refusal:
        return _refused(request, _told(refusal), dict(refusal.headers))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not context.life.cutting or request.transport is None or task is None:
            raise
        task.uncancel()
        problem = _STOPPING
    except ConnectionError:
        # The client left between two writes. aiohttp would log that as a failure of ours; it is the
        # same end.
        raise asyncio.CancelledError from None
    except Exception as error:  # noqa: BLE001 - the last line: it is logged, without words that may hold a prompt
        log.error(
            "%s in the gateway\n%s",
            type(error).__name__,
            "".join(traceback.format_tb(error.__traceback__)),
        )
        problem = _FAILED
    return await _last_word(request, problem)


def _told(refusal: web.HTTPException) -> Problem:
    code = _CODES.get(refusal.status, "refused")
    return Problem(
        refusal.status, _WORDS.get(refusal.status, refusal.reason), INVALID_REQUEST, code=code
    )


_CODES = {404: "unknown_url", 405: "method_not_allowed", 413: "body_too_large"}
_WORDS = {
    404: "there is nothing at this URL",
    405: "this URL does not take this method; the header Allow says which it takes",
}


async def _last_word(request: web.Request, problem: Problem) -> web.StreamResponse:
    """The reply where none has begun; else the last event of the stream, and its end."""
    response: web.StreamResponse | None = request.get(_RESPONSE)
    if response is None:
        return _refused(request, problem, {})
    if response.content_type == "text/event-stream":
        fields = {
            "message": problem.message,
            "type": problem.kind,
            "param": problem.param,
            "code": problem.code,
        }
        response.force_close()
        event = b"data: " + msgspec.json.encode({"error": fields}) + b"\n\n"
        try:
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await response.write(event)
                await response.write_eof()
        except TimeoutError:
            pass
        else:
            return response
    if request.transport is not None:
        request.transport.abort()
    return response


def _refused(request: web.Request, problem: Problem, headers: dict[str, str]) -> web.Response:
    request.app[TRAFFIC].refused(problem.code or "refused")
    response = problem_response(problem)
    for name in _KEPT_HEADERS & headers.keys():
        response.headers[name] = headers[name]
    if problem.status == _NO_KEY:
        response.headers["WWW-Authenticate"] = "Bearer"
    if request.can_read_body or problem.status in _CLOSING or problem.code == _STOPPING.code:
        # a body that nobody reads, or a connection that is not to be used again
        response.force_close()
    return response


_KEPT_HEADERS = {"Allow"}
_NO_KEY = 401
_CLOSING = frozenset({408, 413, 500})
