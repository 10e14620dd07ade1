"""Who is let in: every request passes these checks, in this order, before a handler sees it.

Host (a page that has its own name point here is no caller of ours), keys in the URL, Origin, the
preflights of pages that may ask, the key, how much that key may ask, the kind of body, and the body
itself: read whole within its time and within its limit, which is counted while it is decompressed.
A refusal never repeats what was sent.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import HttpVersion11, web

from tailrace.gateway._context import CALLER, CONTEXT
from tailrace.gateway._door.quotas import Quotas
from tailrace.gateway._problems import INVALID_REQUEST, Problem, RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from tailrace.gateway._settings import Settings

__all__ = ["CALLER", "QUOTAS", "allow_origin", "expect", "guard", "is_public"]

QUOTAS: web.AppKey[Quotas] = web.AppKey("tailrace.gateway._door.quotas", Quotas)

MAX_QUERY_FIELDS = 32
PREFLIGHT_SECONDS = 600

_PUBLIC = frozenset({"/", "/health", "/ready", "/favicon.ico", "/robots.txt"})
_PUBLIC_FOLDER = "/static/"
_KEY_FIELDS = frozenset(
    {
        "key",
        "apikey",
        "api_key",
        "api-key",
        "x-api-key",
        "token",
        "access_token",
        "auth",
        "authorization",
        "bearer",
    }
)
_ENCODINGS = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_MAX_PREFLIGHT_HEADERS = 64


@web.middleware
async def guard(
    request: web.Request,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> web.StreamResponse:
    """Let the request in, or raise RefusedError."""
    context = request.app[CONTEXT]
    settings = context.settings
    _check_host(request, settings)
    _check_query(request, settings)
    _check_origin(request, settings)
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return _preflight(request)
    caller = None if is_public(request.path) else _caller(request, settings)
    if caller is not None:
        request[CALLER] = caller
    if not request.path.startswith("/v1/"):
        return await handler(request)
    if context.life.stopping.is_set():
        raise RefusedError(
            Problem(503, "the gateway is stopping", _SERVER, code="stopping", retry_after=1)
        )
    quotas = request.app[QUOTAS]
    over = quotas.enter(caller)
    if over is not None:
        raise RefusedError(
            Problem(429, over.message, "requests", code=over.code, retry_after=over.retry_after)
        )
    try:
        await _take_body(request, settings)
        return await handler(request)
    finally:
        quotas.leave(caller)


_SERVER = "server_error"


def is_public(path: str) -> bool:
    """Whether anybody may ask for this without a key: the page, and whether the gateway lives."""
    return path in _PUBLIC or path.startswith(_PUBLIC_FOLDER)


# -- where the request comes from ------------------------------------------------------------------


def _check_host(request: web.Request, settings: Settings) -> None:
    """The name the client used. Only one that was told to the gateway, or the very address it was
    reached at.

    A request that names a whole URL, as to a proxy, names the same host in both places (RFC 9112,
    3.2.2).
    """
    given = request.headers.getall("Host", [])
    host = given[0].lower() if len(given) == 1 else ""
    name = re.sub(r":[0-9]*\Z", "", host)
    allowed = settings.hosts
    told = request.raw_path.startswith("/") or urlsplit(request.raw_path).netloc.lower() in {
        "",
        host,
    }
    if name and told and (host in allowed or name in allowed or name == _own_address(request)):
        return
    raise RefusedError(
        Problem(
            421,
            "the request's Host is none of this gateway's: it listens to the address it is bound to, and to names "
            "given with --allowed-host",
            INVALID_REQUEST,
            code="unknown_host",
        )
    )


def _own_address(request: web.Request) -> str | None:
    """The address of our end of the connection, as a Host header has it.

    No name leads a browser astray with it.
    """
    address = None if request.transport is None else request.transport.get_extra_info("sockname")
    if not isinstance(address, tuple):
        return None
    return f"[{address[0]}]" if ":" in address[0] else str(address[0])


def _check_query(request: web.Request, settings: Settings) -> None:
    """A key in a URL ends up in histories and logs of others: it is refused, so that nobody gets
    used to it.
    """
    fields = request.query
    if len(fields) > MAX_QUERY_FIELDS:
        raise RefusedError(
            Problem(400, "the URL has too many query parameters", INVALID_REQUEST, code="bad_query")
        )
    for name, value in fields.items():
        if name.lower() in _KEY_FIELDS or settings.ring.name_of(_bytes(value)) is not None:
            raise RefusedError(
                Problem(
                    400,
                    "a key belongs in the header Authorization: Bearer KEY, never in a URL; one that stood in a URL "
                    "should be replaced",
                    INVALID_REQUEST,
                    code="key_in_url",
                )
            )


def _check_origin(request: web.Request, settings: Settings) -> None:
    """A page in a browser may ask only if it is ours, or one of those opened; other programs send
    no Origin.
    """
    origins = request.headers.getall("Origin", [])
    if not origins:
        if is_public(request.path) or request.headers.get("Sec-Fetch-Site", "none") in _SAME:
            return
    elif len(origins) == 1 and (
        origins[0] in settings.cors_origins or _is_own(request, origins[0])
    ):
        return
    raise RefusedError(
        Problem(
            403,
            "pages of this origin may not ask here: origins are opened with --cors-origin",
            INVALID_REQUEST,
            code="origin_not_allowed",
        )
    )


_SAME = frozenset({"none", "same-origin"})


def _is_own(request: web.Request, origin: str) -> bool:
    """Whether the page came from here.

    The Host has been checked; a proxy in front may speak https.
    """
    return origin.lower() in (
        f"http://{request.headers['Host']}".lower(),
        f"https://{request.headers['Host']}".lower(),
    )


def allow_origin(request: web.Request, headers: MutableMapping[str, str]) -> None:
    """Tell the browser that a page of another origin may read the reply, where that origin is
    opened.
    """
    settings = request.app[CONTEXT].settings
    if not settings.cors_origins:
        return
    headers["Vary"] = ", ".join(filter(None, (headers.get("Vary"), "Origin")))
    origin = request.headers.get("Origin")
    if origin in settings.cors_origins:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-Id"


def _preflight(request: web.Request) -> web.Response:
    asked = request.headers.get("Access-Control-Request-Headers", "").split(",")[
        :_MAX_PREFLIGHT_HEADERS
    ]
    names = [name.strip() for name in asked if _HEADER_NAME.fullmatch(name.strip())]
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": ", ".join(names),
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        },
    )


# -- whose it is -----------------------------------------------------------------------------------


def _caller(request: web.Request, settings: Settings) -> str | None:
    if not len(settings.ring):
        return None
    given = request.headers.getall("Authorization", [])
    scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() == "bearer":
        name = settings.ring.name_of(_bytes(secret.strip(" ")))
        if name is not None:
            return name
        problem = "the key is not one of this gateway's"
    else:
        problem = "a key is needed: send the header Authorization: Bearer KEY"
    raise RefusedError(Problem(401, problem, INVALID_REQUEST, code="invalid_api_key", lasts=True))


def _bytes(text: str) -> bytes:
    """A header's or query's value as the bytes it came as."""
    return text.encode("utf-8", "surrogateescape")


# -- what it brings --------------------------------------------------------------------------------


async def expect(request: web.Request) -> None:
    """Answer no Expect header yet: `guard` does, once it has let the request in."""


async def _take_body(request: web.Request, settings: Settings) -> None:
    """Read the body whole; `request.read` gives it again. Without one there is nothing to check."""
    if not request.body_exists:
        return
    if request.content_type != "application/json" and not request.content_type.endswith("+json"):
        message = "the body must be JSON, with the header Content-Type: application/json"
        raise RefusedError(Problem(415, message, INVALID_REQUEST, code="unsupported_content_type"))
    if request.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        message = "the body may be compressed with one of gzip, deflate, br and zstd"
        raise RefusedError(
            Problem(415, message, INVALID_REQUEST, code="unsupported_content_encoding")
        )
    too_large = Problem(
        413,
        f"the body is larger than {settings.max_body_bytes} bytes",
        INVALID_REQUEST,
        code="body_too_large",
    )
    if (request.content_length or 0) > settings.max_body_bytes:
        raise RefusedError(too_large)
    await _continue(request)
    refusal: Problem
    try:
        async with asyncio.timeout(settings.body_timeout):
            await request.read()
    except web.HTTPRequestEntityTooLarge:
        refusal = too_large
    except TimeoutError:
        refusal = Problem(
            408, "the request's body took too long", INVALID_REQUEST, code="body_timeout"
        )
    except (
        web.RequestPayloadError,
        ValueError,
    ):  # what is not compressed or not chunked as it says it is
        refusal = Problem(
            400, "the body cannot be decoded as its headers say", INVALID_REQUEST, code="bad_body"
        )
    else:
        return
    raise RefusedError(refusal)


async def _continue(request: web.Request) -> None:
    """Let a client that asks first send its body (RFC 9110, 10.1.1)."""
    expected = request.headers.get("Expect")
    if expected is None or request.version < HttpVersion11:
        return
    if expected.lower() != "100-continue":
        raise RefusedError(
            Problem(
                417, "nothing but 100-continue can be expected", INVALID_REQUEST, code="expectation"
            )
        )
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the reply has not begun
