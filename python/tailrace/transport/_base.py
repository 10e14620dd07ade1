"""Bytes over HTTP, whatever the library.

A `Transport` owns connections, a `Session` is one call, a `Response` is one answer being read.
This module defines the interface of every transport, its clocks and caps, without I/O and without
an HTTP library. The rules that all transports obey (redirects, headers, texts of errors) are in
`_rules`.

A response's bytes are returned decoded (gzip, deflate, br, zstd) and as they came: no read waits
for more than it has. All bytes that came before a failure are returned before it is raised.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tailrace import errors
from tailrace._headers import encodable, seconds_to_wait
from tailrace.transport._posting import Poster, WholeReply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any


__all__ = [
    "DEFAULT_LIMITS",
    "DEFAULT_TIMEOUTS",
    "Limits",
    "Response",
    "Session",
    "SiteCookies",
    "Timeouts",
    "Transport",
    "read_all",
    "read_within",
]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Clocks of one request, in seconds; None turns one off.

    `connect` covers the name, TCP, TLS and the way through a proxy, and waiting for a free
    connection. `first_byte` starts when the request has been sent and ends when the response's head
    is in; it starts anew with each redirect. `idle` and `total` are the caller's clocks: no
    transport runs them, `read_within` does for `idle`.
    """

    connect: float | None = 30.0
    first_byte: float | None = 120.0
    idle: float | None = 120.0
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of one request.

    `max_reply_bytes`: decoded bytes of one response (None: no cap); a response of exactly that size
    is still whole. `max_redirects`: redirects followed by one GET. Raises `InvalidRequestError`
    unless both are whole numbers of 0 or more.
    """

    max_reply_bytes: int | None = 256 * 2**20
    max_redirects: int = 5

    def __post_init__(self) -> None:
        for name, value in (
            ("max_reply_bytes", self.max_reply_bytes),
            ("max_redirects", self.max_redirects),
        ):
            if value is None and name == "max_reply_bytes":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise errors.InvalidRequestError(
                    f"{name} must be a whole number of 0 or more, not {value!r}"
                )


DEFAULT_TIMEOUTS = Timeouts()
DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class SiteCookies:
    """Cookies to be sent to one site.

    `values`: by name, which the repr does not show; `lifetime`: the seconds after which the first
    of them has run out, None where none of them does.
    """

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    lifetime: float | None = None


class _Closing(ABC):
    """A thing that is closed when its ``async with`` is left."""

    @abstractmethod
    async def aclose(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class Transport(_Closing):
    """An owner of connections.

    May be shared by many calls of one event loop, the one in which it was first used.
    """

    @abstractmethod
    def session(
        self,
        *,
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Session:
        """Begin one call: its own cookie jar, one proxy for every request. Opens nothing yet.

        `cookies` are sent with every request; `headers` override the default ones; `proxy` is a URL
        (``http``, ``https``, ``socks4``, ``socks5``, ``socks5h``) that may hold a user and
        password. `timeouts` and `limits` hold for each request of the call.

        Raises `InvalidRequestError` for a header or cookie that cannot be sent and for a closed
        transport, `InvalidProxyError` for a proxy of an unknown kind,
        `MissingRequirementsError` where that kind needs an extra.
        """

    def poster(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        proxy: str | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Poster:
        """Begin many posts to `url` that differ in their body alone; opens nothing yet.

        `headers`, a Content-Type among them, override the default ones; `cookies`, `proxy` and
        `limits` are those of `session`, for each post, and `timeouts` are its clocks, all four of
        them. Called within the event loop.

        Raises what `session` does, and `InvalidRequestError` for a malformed URL.
        """
        options = {"cookies": cookies, "proxy": proxy, "timeouts": timeouts, "limits": limits}
        return _SessionPoster(self, url, headers=headers, options=options)

    @abstractmethod
    async def aclose(self) -> None:
        """Close every connection; all are gone when this returns. Closing twice is allowed."""

    @abstractmethod
    def abort(self) -> None:
        """Close every connection without waiting; they are gone a few turns of the loop later."""


class Session(_Closing):
    """One call: its own cookie jar, one proxy for every request. Responses outlive no session."""

    @property
    @abstractmethod
    def cookies(self) -> dict[str, str]:
        """The cookies by name: those begun with, and those that responses have set."""

    def cookies_for(self, url: str) -> SiteCookies:  # noqa: ARG002 - a transport may know more
        """Return the cookies to be sent to the site of `url`, on whatever path of it."""
        return SiteCookies(self.cookies)

    @abstractmethod
    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """Send a GET and return when the response's head is in.

        Follows redirects of the statuses 301, 302, 303, 307 and 308 (RFC 9110, 15.4) within the
        site of `url`, at most `Limits.max_redirects`. `headers` override the session's.

        Raises `InvalidRequestError`, `ConnectError`, `ProxyError`, `TLSError`, `NetworkError`,
        `TimeoutError` (phase ``connect`` or ``first byte``), `RedirectError`, `ChallengeError`. A
        status of 400 or more is a response like any other.
        """

    @abstractmethod
    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send a POST to `url` with `body`, and return when the response's head is in.

        `headers` override the session's; a Content-Type is among them. Errors are those of `get`,
        but any redirect is a `RedirectError` naming the target.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close the responses that are still open; their connections are gone when this returns."""

    @abstractmethod
    def abort(self) -> None:
        """Close as `aclose` does, without waiting."""


class Response(_Closing):
    """One HTTP response whose body is still to be read.

    `status` and `reason` as sent, `url` the final one after redirects, `headers` looked up whatever
    their case (of a repeated one the first).
    """

    status: int
    reason: str
    url: str
    headers: Mapping[str, str]

    @property
    def content_type(self) -> str | None:
        """The Content-Type header as sent, or None; bytes that are no UTF-8 are question marks."""
        value = self.headers.get("content-type")
        return None if value is None else encodable(value)

    @property
    def retry_after(self) -> float | None:
        """The seconds that Retry-After (RFC 9110, 10.2.3) or ``retry-after-ms`` asks for.

        None without one, and for one that makes no sense.
        """
        headers = self.headers
        return seconds_to_wait(
            headers.get("retry-after"), headers.get("date"), headers.get("retry-after-ms")
        )

    @abstractmethod
    async def read(self) -> bytes:
        """Return the next decoded bytes as they came; ``b""`` at the clean end, and ever after.

        Raises `ReplyBrokenError` when the response broke off, once all bytes before that have been
        returned, and `LimitExceeded` beyond the cap. No clock runs here.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Release the connection.

        The connection is closed when this returns, or back in the pool where the response was read
        to its end.
        """

    @abstractmethod
    def abort(self) -> None:
        """Close as `aclose` does, without waiting: for finalizers.

        The socket is gone a few turns of the loop later.
        """


async def read_within(response: Response, seconds: float | None) -> bytes:
    """Return the next bytes of `response`, as `Response.read` does, under an idle clock.

    Raises `TimeoutError` (phase ``idle``) when nothing came for `seconds` (None: no clock).
    """
    try:
        async with asyncio.timeout(seconds) as clock:
            return await response.read()
    except TimeoutError:
        if not clock.expired():
            raise
    assert seconds is not None  # noqa: S101 - a clock without seconds does not expire
    raise errors.TimeoutError("idle", seconds)


async def read_all(response: Response, *, max_bytes: int, idle: float | None = None) -> bytes:
    """Read `response` to its end and return its decoded bytes.

    Raises `LimitExceeded` beyond `max_bytes`, and `TimeoutError` when nothing came for `idle`
    seconds (None: no clock).
    """
    parts = bytearray()
    while data := await read_within(response, idle):
        parts += data
        if len(parts) > max_bytes:
            raise errors.LimitExceeded(
                f"the reply is larger than {max_bytes} bytes", status=response.status
            )
    return bytes(parts)


class _SessionPoster(Poster):
    """Posts over any transport: a session of its own for each."""

    def __init__(
        self,
        transport: Transport,
        url: str,
        *,
        headers: Mapping[str, str] | None,
        options: Mapping[str, Any],
    ) -> None:
        """Post to `url`; `options`: those of `Transport.session`."""
        self._transport = transport
        self._url = url
        self._headers = headers
        self._options = options
        transport.session(**options)  # wrong ones fail here, and once

    async def post(self, body: bytes) -> WholeReply:
        """See `Poster.post`."""
        total = self._options["timeouts"].total
        try:
            async with asyncio.timeout(total) as clock:
                return await self._post(body)
        except TimeoutError:
            if not clock.expired():
                raise
        raise errors.TimeoutError("total", total)

    async def aclose(self) -> None:
        """See `Poster.aclose`."""

    async def _post(self, body: bytes) -> WholeReply:
        async with self._transport.session(**self._options) as session:
            response = await session.post(self._url, body=body, headers=self._headers)
            parts, failure = await _read_parts(response, self._options["timeouts"].idle)
            return WholeReply(response.status, response.headers, parts, failure)


async def _read_parts(
    response: Response, idle: float | None
) -> tuple[bytes, errors.TailraceError | None]:
    """Return the body as far as it came, and why it is no longer."""
    parts = bytearray()
    try:
        while data := await read_within(response, idle):
            parts += data
    except errors.TailraceError as failure:
        return bytes(parts), failure
    return bytes(parts), None
