"""The outermost middleware: every request gets an id, a line in the log, and an end.

Every exception of a handler becomes a reply or, in a stream that has begun, an error event and the
end of the stream.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web

from tailrace.gateway._context import CALLER, CONTEXT, LAST_EVENT
from tailrace.gateway._door.admission import allow_origin, is_public
from tailrace.gateway._door.connections import Connection
from tailrace.gateway._figures.streams import REQUEST_STREAMS
from tailrace.gateway._logs import CURRENT_REQUEST, AccessRecord, log_access
from tailrace.gateway._problems import (
    INVALID_REQUEST,
    STOPPING,
    Problem,
    RefusedError,
    is_anthropics,
    problem_response,
)
from tailrace.gateway._tracing import continue_trace

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from tailrace.gateway._context import Context
    from tailrace.gateway._figures.streams import OpenStream

__all__ = ["REQUEST_ID", "add_standard_headers", "request_middleware"]

log: logging.Logger = logging.getLogger("tailrace.gateway")

REQUEST_ID: web.RequestKey[str] = web.RequestKey("tailrace.gateway.request_id", str)

LAST_WORD_SECONDS = 2.0
"""Seconds for which a client that does not read may delay the last event of a cut stream."""

_RESPONSE: web.RequestKey[web.StreamResponse] = web.RequestKey(
    "tailrace.gateway.response", web.StreamResponse
)
_REFUSAL: web.RequestKey[RefusedError] = web.RequestKey("tailrace.gateway.refusal", RefusedError)
_CLIENT_LEFT = 499
_STOPPING = Problem(503, "the gateway is stopping", "server_error", code=STOPPING, retry_after=1)
_FAILED = Problem(
    500, "the gateway failed: its log says how", "server_error", code="internal_error"
)


@web.middleware
async def request_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer the request, count it, and log its outcome."""
    context = request.app[CONTEXT]
    figures = context.request_figures
    request[REQUEST_ID] = f"req_{context.environment.random.getrandbits(96):024x}"
    connection = request.protocol
    begun_at = time.monotonic()
    streams: list[OpenStream] = []
    token = REQUEST_STREAMS.set(streams)
    current = CURRENT_REQUEST.set(request[REQUEST_ID])
    status = _CLIENT_LEFT
    figures.requests += 1
    if isinstance(connection, Connection):
        connection.request_begins()
    try:
        with context.shutdown.request(), continue_trace(request.headers):
            response = await _answered(request, handler, context)
        status = response.status
        return response
    finally:
        if isinstance(connection, Connection):
            connection.request_ends()
        figures.requests -= 1
        REQUEST_STREAMS.reset(token)
        seconds = time.monotonic() - begun_at
        route = _route(request)
        figures.answered(request.method, route, status, seconds)
        log_access(
            AccessRecord(
                id=request[REQUEST_ID],
                key=request.get(CALLER),
                method=request.method,
                route=route,
                status=status,
                seconds=seconds,
                streams=streams,
                refusal=request.get(_REFUSAL),
            )
        )
        CURRENT_REQUEST.reset(current)  # the connection's next request has the same task


def _route(request: web.Request) -> str:
    """Return the gateway's own name of the path: no log and no figure holds a client's text."""
    resource = request.match_info.route.resource
    return "unknown" if resource is None else resource.canonical


async def add_standard_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of every reply; aiohttp calls this just before a head is sent."""
    request[_RESPONSE] = response
    headers = response.headers
    headers["Server"] = "tailrace"
    headers["X-Content-Type-Options"] = "nosniff"
    if REQUEST_ID in request:
        headers["X-Request-Id"] = request[REQUEST_ID]
        if is_anthropics(request.path):
            headers["Request-Id"] = request[REQUEST_ID]  # where Anthropic's clients look for it
    if not is_public(request.path):
        headers["Cache-Control"] = "no-store"
    if request.version < HttpVersion11 and not _tells_its_end(response):
        response.force_close()  # which aiohttp leaves open for a client that asks for it
    allow_origin(request, headers)


def _tells_its_end(response: web.StreamResponse) -> bool:
    """Tell whether a client of HTTP/1.0 can see where a reply ends without its connection's end."""
    return "Content-Length" in response.headers


async def _answered(
    request: web.Request,
    handler: Handler,
    context: Context,
) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as refusal:
        request[_REFUSAL] = refusal
        problem = refusal.problem
    except web.HTTPException as refusal:
        problem = _problem_of_http(refusal)
        request[_REFUSAL] = RefusedError(problem)
        return _refused(request, problem, dict(refusal.headers))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not context.shutdown.cutting or request.transport is None or task is None:
            raise
        task.uncancel()
        problem = _STOPPING
    except ConnectionError:
        # The client left between two writes, which ends a request as during a write; aiohttp would
        # log it as a failure of the handler.
        raise asyncio.CancelledError from None
    except Exception as error:  # noqa: BLE001 - nothing may get past the outermost middleware
        log.error(  # noqa: TRY400 - the error's own words may hold a prompt
            "%s in the gateway\n%s",
            type(error).__name__,
            "".join(traceback.format_tb(error.__traceback__)),
        )
        problem = _FAILED
    request.setdefault(_REFUSAL, RefusedError(problem))
    return await _report(request, problem)


def _problem_of_http(refusal: web.HTTPException) -> Problem:
    code = _CODES.get(refusal.status, "refused")
    return Problem(
        refusal.status, _WORDS.get(refusal.status, refusal.reason), INVALID_REQUEST, code=code
    )


_CODES = {404: "unknown_url", 405: "method_not_allowed", 413: "body_too_large"}
_WORDS = {
    404: "there is nothing at this URL: the base URL of OpenAI's clients ends with /v1, that of "
    "Anthropic's with the port; /docs shows all paths",
    405: "this URL does not take this method; the header Allow says which it takes",
}


async def _report(request: web.Request, problem: Problem) -> web.StreamResponse:
    """Answer with the problem; where a stream has begun, end it with the problem as an event."""
    response: web.StreamResponse | None = request.get(_RESPONSE)
    if response is None:
        return _refused(request, problem, {})
    if response.content_type == "text/event-stream":
        if problem is _STOPPING:
            response.force_close()
        event = request[LAST_EVENT](problem) if LAST_EVENT in request else b""
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
    request.app[CONTEXT].request_figures.refused(problem.code or "refused")
    response = problem_response(problem, request.path)
    for name in _KEPT_HEADERS & headers.keys():
        response.headers[name] = headers[name]
    if problem.status == _NO_KEY:
        response.headers["WWW-Authenticate"] = "Bearer"
    if request.can_read_body or problem.status in _CLOSING or problem.code == _STOPPING.code:
        # The body was not read, or the connection cannot be used again.
        response.force_close()
    return response


_KEPT_HEADERS = {"Allow"}
_NO_KEY = 401
_CLOSING = frozenset({408, 413, 500, 505})
