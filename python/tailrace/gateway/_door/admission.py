"""The admission of requests: every one passes these checks, in this order, before its handler.

HTTP's version, Host (against DNS rebinding), keys in the URL, Origin, the preflights of allowed
pages, the key, its quotas, the kind of body, and the body itself: read whole within its time and
within its limit, which is counted while it is decompressed, a piece at a time. A refusal never
repeats content of the request.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import HttpVersion10, HttpVersion11, web

from tailrace.errors import LimitExceeded, ReplyBrokenError
from tailrace.gateway._context import BODY, CALLER, CHARGE, CONTEXT, KEY
from tailrace.gateway._door.quotas import Quotas
from tailrace.gateway._problems import INVALID_REQUEST, STOPPING, Problem, RefusedError
from tailrace.transport._decoding import decoder_for

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from aiohttp.typedefs import Handler

    from tailrace.gateway._context import Context
    from tailrace.gateway._keys import Key
    from tailrace.gateway._settings import Settings

__all__ = ["QUOTAS", "admission_middleware", "allow_origin", "defer_expect", "is_public"]

QUOTAS: web.AppKey[Quotas] = web.AppKey("tailrace.gateway._door.quotas", Quotas)

MAX_QUERY_FIELDS = 32
PREFLIGHT_SECONDS = 600

_PUBLIC = frozenset(
    {
        *("/", "/docs", "/docs.css", "/openapi.json"),
        *("/health", "/ready", "/favicon.ico", "/robots.txt"),
    }
)
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
async def admission_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check the request and hand it to `handler`, or raise RefusedError."""
    context = request.app[CONTEXT]
    settings = context.settings
    _check_version(request)
    _check_host(request, settings)
    _check_query(request, settings)
    _check_origin(request, settings)
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return _preflight(request)
    key = None if is_public(request.path) else _key(request, context)
    request[KEY], request[CALLER] = key, None if key is None else key.name
    if not request.path.startswith("/v1/"):
        return await handler(request)
    if context.shutdown.stopping.is_set():
        raise RefusedError(
            Problem(503, "the gateway is stopping", _SERVER, code=STOPPING, retry_after=1)
        )
    quotas = request.app[QUOTAS]
    over = quotas.acquire(key)
    if over is not None:
        raise RefusedError(
            Problem(429, over.message, "requests", code=over.code, retry_after=over.retry_after)
        )
    charge: Callable[[int], None] = partial(quotas.charge, key)
    request[CHARGE] = charge
    try:
        await _take_body(request, settings)
        return await handler(request)
    finally:
        quotas.release(key)


_SERVER = "server_error"


def is_public(path: str) -> bool:
    """Tell whether a path needs no key: the pages and the health checks."""
    return path in _PUBLIC or path.startswith(_PUBLIC_FOLDER)


# -- where the request comes from ------------------------------------------------------------------


def _check_version(request: web.Request) -> None:
    """Check that the request line names the HTTP that is spoken here: 1.0 or 1.1."""
    if request.version not in (HttpVersion10, HttpVersion11):
        message = "this gateway speaks HTTP/1.1, and no other major version on a connection of it"
        raise RefusedError(Problem(505, message, INVALID_REQUEST, code="unsupported_http_version"))


def _check_host(request: web.Request, settings: Settings) -> None:
    """Check the Host header: a name of the settings, or the address of the connection.

    The host of a request line with a whole URL, as for a proxy, must be the same (RFC 9112, 3.2.2).
    """
    hosts = request.headers.getall("Host", [])
    host = hosts[0].lower() if len(hosts) == 1 else ""
    name = _PORT.sub("", host)
    target = request.raw_path
    agrees = target.startswith("/") or urlsplit(target).netloc.lower() in {"", host}
    if (
        name
        and agrees
        and (not {host, name}.isdisjoint(settings.hosts) or name == _own_address(request))
    ):
        return
    raise RefusedError(
        Problem(
            421,
            "the request's Host is none of this gateway's: it listens to the address it is bound "
            "to, and to names given with --allowed-host",
            INVALID_REQUEST,
            code="unknown_host",
        )
    )


_PORT = re.compile(r":[0-9]{0,5}\Z")


def _own_address(request: web.Request) -> str | None:
    """Return the address of our end of the connection, in the form of a Host header.

    An address is safe against DNS rebinding: a foreign page can use it for no name of its own.
    """
    address = None if request.transport is None else request.transport.get_extra_info("sockname")
    if not isinstance(address, tuple):
        return None
    return f"[{address[0]}]" if ":" in address[0] else str(address[0])


def _check_query(request: web.Request, settings: Settings) -> None:
    """Refuse keys in a URL, which would end up in histories and logs."""
    if "?" not in request.raw_path:
        return
    fields = request.query
    if len(fields) > MAX_QUERY_FIELDS:
        raise RefusedError(
            Problem(400, "the URL has too many query parameters", INVALID_REQUEST, code="bad_query")
        )
    for name, value in fields.items():
        if name.lower() in _KEY_FIELDS or settings.ring.find(_bytes(value)) is not None:
            raise RefusedError(
                Problem(
                    400,
                    "a key belongs in the header Authorization: Bearer KEY, never in a URL; one "
                    "that stood in a URL should be replaced",
                    INVALID_REQUEST,
                    code="key_in_url",
                )
            )


def _check_origin(request: web.Request, settings: Settings) -> None:
    """Refuse pages of other origins than ours and the allowed ones; programs send no Origin."""
    origins = request.headers.getall("Origin", [])
    if not origins:
        if is_public(request.path) or request.headers.get("Sec-Fetch-Site", "none") in _SAME:
            return
    elif len(origins) == 1 and (
        origins[0] in settings.cors_origins or _is_own_origin(request, origins[0])
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


def _is_own_origin(request: web.Request, origin: str) -> bool:
    """Tell whether the page is the gateway's own; a proxy in front may speak https."""
    return origin.lower() in (
        f"http://{request.headers['Host']}".lower(),
        f"https://{request.headers['Host']}".lower(),
    )


def allow_origin(request: web.Request, headers: MutableMapping[str, str]) -> None:
    """Add the CORS headers that let a page of an allowed origin read the reply."""
    settings = request.app[CONTEXT].settings
    if not settings.cors_origins:
        return
    headers["Vary"] = ", ".join(filter(None, (headers.get("Vary"), "Origin")))
    origin = request.headers.get("Origin")
    if origin in settings.cors_origins:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-Id, X-Tailrace-Dropped"


def _preflight(request: web.Request) -> web.Response:
    wanted = request.headers.get("Access-Control-Request-Headers", "").split(",")
    names = [name.strip() for name in wanted[:_MAX_PREFLIGHT_HEADERS]]
    allowed = [name for name in names if _HEADER_NAME.fullmatch(name)]
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": ", ".join(allowed),
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        },
    )


# -- who sent the request --------------------------------------------------------------------------


def _key(request: web.Request, context: Context) -> Key | None:
    """Return the key that the request comes with, None where the gateway has none."""
    ring = context.settings.ring
    if not len(ring):
        return None
    key = ring.find(_bytes(_sent_key(request)))
    if key is None:
        raise _unknown_caller("the key is not one of this gateway's")
    if key.has_expired(context.environment.now_ms()):
        raise _unknown_caller(f"the key {key.name!r} expired on {key.expiry}", "expired_api_key")
    return key


def _sent_key(request: web.Request) -> str:
    """Return the key that the request holds, in our header or in that of Anthropic's clients.

    Raises RefusedError where there is none, and where there are two that differ: which one is meant
    is not the gateway's to guess.
    """
    lines = request.headers.getall("Authorization", [])
    others = [key.strip(" ") for key in request.headers.getall("x-api-key", [])]
    scheme, _, secret = lines[0].partition(" ") if lines else ("bearer", "", "".join(others[:1]))
    if scheme.lower() != "bearer" or len(lines) > 1 or not (lines or len(others) == 1):
        raise _unknown_caller("a key is needed: send the header Authorization: Bearer KEY")
    secret = secret.strip(" ")
    if any(other != secret for other in others):
        raise _unknown_caller("the headers Authorization and x-api-key hold keys that differ")
    return secret


def _unknown_caller(problem: str, code: str = "invalid_api_key") -> RefusedError:
    return RefusedError(Problem(401, problem, INVALID_REQUEST, code=code, lasts=True))


def _bytes(text: str) -> bytes:
    """Return the bytes of a header's or query's value, as they came over the wire."""
    return text.encode("utf-8", "surrogateescape")


# -- the body of the request -----------------------------------------------------------------------


async def defer_expect(request: web.Request) -> None:
    """Leave an Expect header to `admission_middleware`, which answers it after the checks."""


async def _take_body(request: web.Request, settings: Settings) -> None:
    """Check the body, read it whole and decompressed, and keep it as the request's `BODY`."""
    if not request.body_exists:
        return
    if request.content_type != "application/json" and not request.content_type.endswith("+json"):
        message = "the body must be JSON, with the header Content-Type: application/json"
        raise RefusedError(Problem(415, message, INVALID_REQUEST, code="unsupported_content_type"))
    encoding = request.headers.get("Content-Encoding", "").strip().lower().removeprefix("x-")
    if encoding not in _ENCODINGS:
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
    try:
        if request.content.is_eof():  # a small body came with its head: no clock is needed
            body = await request.read()
        else:
            async with asyncio.timeout(settings.body_timeout):
                body = await request.read()
        whole = _decompressed(body, encoding, settings.max_body_bytes)
        request[BODY] = whole.removeprefix(_BYTE_ORDER_MARK)
    except (web.HTTPRequestEntityTooLarge, LimitExceeded):
        raise RefusedError(too_large) from None
    except TimeoutError:
        message = "the request's body took too long"
        raise RefusedError(Problem(408, message, INVALID_REQUEST, code="body_timeout")) from None
    except (web.RequestPayloadError, ReplyBrokenError):  # malformed chunks or compressed data
        message = "the body cannot be decoded as its headers say"
        raise RefusedError(Problem(400, message, INVALID_REQUEST, code="bad_body")) from None


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # which some editors and shells put before a file's first byte


def _decompressed(body: bytes, encoding: str, most: int) -> bytes:
    """Decompress a body whole, in pieces of which none is large.

    Raises LimitExceeded for one of more than `most` bytes, ReplyBrokenError for one that is not of
    this encoding or breaks off.
    """
    decoder = decoder_for(encoding) if encoding else None
    if decoder is None:
        return body
    decoder.feed(body)
    pieces: list[bytes] = []
    size = 0
    while (piece := decoder.take()) != b"":
        pieces.append(piece or b"")
        size += len(pieces[-1])
        if size > most:
            raise LimitExceeded(f"the body is larger than {most} bytes")
    if not decoder.complete:
        raise ReplyBrokenError("the body breaks off")
    return b"".join(pieces)


async def _continue(request: web.Request) -> None:
    """Send 100 Continue to a client that waits for it before its body (RFC 9110, 10.1.1)."""
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
    request.writer.output_size = 0  # 100 Continue does not count as the beginning of the reply
