"""The common part of both transports, above their HTTP library.

Sessions and their event loop, redirects, challenges, decoding and the cap of a response.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, Self

from tailrace._environment import current_loop, running_loop
from tailrace.errors import (
    InvalidRequestError,
    LimitExceeded,
    ReplyBrokenError,
    TailraceError,
)
from tailrace.transport import _rules as rules
from tailrace.transport._answers import check_answer
from tailrace.transport._base import (
    DEFAULT_LIMITS,
    DEFAULT_TIMEOUTS,
    Limits,
    Response,
    Session,
    SiteCookies,
    Timeouts,
    Transport,
)
from tailrace.transport._decoding import decoder_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailrace.transport._cookies import Jar

__all__ = [
    "DecodedResponse",
    "Request",
    "RuledSession",
    "RuledTransport",
    "SessionOptions",
    "call_soon",
]

# Bytes unpacked between two turns of the event loop, as many as one read of a socket may bring.
_BYTES_PER_TURN = 256 * 2**10
_PIECE_COST = 16 * 2**10  # bytes that a piece counts for at least


class SessionOptions(NamedTuple):
    """The options of a session, checked."""

    cookies: dict[str, str]
    headers: dict[str, str]
    proxy: rules.Proxy | None
    timeouts: Timeouts
    limits: Limits

    @classmethod
    def checked(
        cls,
        *,
        cookies: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        proxy: str | None,
        timeouts: Timeouts,
        limits: Limits,
    ) -> Self:
        """Check the arguments of `Transport.session`, and raise as it says."""
        return cls(
            rules.checked_cookies(cookies),
            rules.checked_headers(headers),
            rules.checked_proxy(proxy),
            timeouts,
            limits,
        )


class Request(NamedTuple):
    """One request: `url` and `headers` have been checked; only a POST has a `body`."""

    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


def call_soon(
    loop: asyncio.AbstractEventLoop | None, call: Callable[..., None], *arguments: Any
) -> None:
    """Call `call` in the next turn of `loop`, for finalizers, which may run in any thread.

    Nothing happens for a closed loop, nor for None, the loop of a transport that has sent nothing.
    """
    if loop is not None and not loop.is_closed():
        loop.call_soon_threadsafe(call, *arguments)


class RuledTransport(Transport):
    """A transport with its sessions and the one event loop it serves.

    A subclass holds the connections of its HTTP library.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sessions: weakref.WeakSet[RuledSession] = weakref.WeakSet()
        self._closed = False

    def session(
        self,
        *,
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Session:
        """See `Transport.session`."""
        if self._closed:
            raise InvalidRequestError("the transport is closed")
        session = self._begun(
            SessionOptions.checked(
                cookies=cookies, headers=headers, proxy=proxy, timeouts=timeouts, limits=limits
            )
        )
        self._sessions.add(session)
        return session

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        if self._loop not in {None, current_loop()}:
            self.abort()  # what its loop left open can only be closed there
            return
        self._closed = True
        for session in list(self._sessions):
            await session.aclose()
        await self._close_connections()

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._closed = True
        for session in list(self._sessions):
            session.abort()
        self._abort_connections()

    def bound_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, to which the first request binds the transport.

        Raises `InvalidRequestError` for a closed transport and in another loop.
        """
        loop = running_loop()
        if self._closed:
            raise InvalidRequestError("the transport is closed")
        if self._loop not in (None, loop):
            raise InvalidRequestError("the transport belongs to another event loop")
        self._loop = loop
        return loop

    @abstractmethod
    def _begun(self, options: SessionOptions) -> RuledSession:
        """Make a session; opens nothing yet."""

    @abstractmethod
    async def _close_connections(self) -> None:
        """Close every connection; all are gone when this returns."""

    @abstractmethod
    def _abort_connections(self) -> None:
        """Close every connection without waiting."""


class RuledSession(Session):
    """A session that follows redirects and raises challenges as errors.

    The `_send` of a subclass makes one request and handles neither.
    """

    def __init__(self, options: SessionOptions) -> None:
        self.options = options
        self._closed = False
        self._jar: Jar | None = None
        # `weakref.WeakSet` costs a call several times as much.
        self._responses: set[weakref.ref[Response]] = set()

    @property
    def cookies(self) -> dict[str, str]:
        """See `Session.cookies`."""
        return dict(self.options.cookies) if self._jar is None else self._jar.values

    def cookies_for(self, url: str) -> SiteCookies:
        """See `Session.cookies_for`."""
        if self._jar is None:
            return SiteCookies(self.options.cookies)
        return self._jar.of_site(rules.checked_url(url).url, time.time())

    def jar(self) -> Jar:
        """Return the jar of the session, made on first use: within the event loop."""
        if self._jar is None:
            from tailrace.transport._cookies import Jar  # noqa: PLC0415 - it imports aiohttp

            self._jar = Jar(self.options.cookies)
        return self._jar

    async def aclose(self) -> None:
        """See `Session.aclose`."""
        self._closed = True
        for response in self._alive():
            await response.aclose()

    def abort(self) -> None:
        """See `Session.abort`."""
        self._closed = True
        for response in self._alive():
            response.abort()

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """See `Session.get`."""
        target, sent = self._prepared(url, headers)
        here = target.url
        try:
            for _ in range(self.options.limits.max_redirects + 1):
                response = await self._answered(Request("GET", here, sent))
                if not rules.is_redirect(response.status):
                    return response
                location = response.headers.get("location")
                await response.aclose()
                last, here = here, rules.redirect_target(here, response.status, location)
            why = f"after {self.options.limits.max_redirects} redirects"
            raise rules.refused_redirect(last, response.status, location, why)
        except TailraceError as error:
            self._conceal(error, target.url, sent)
            raise

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Response:
        """See `Session.post`."""
        target, sent = self._prepared(url, headers)
        try:
            response = await self._answered(Request("POST", target.url, sent, body))
            if not rules.is_redirect(response.status):
                return response
            await response.aclose()
            raise rules.refused_redirect(
                target.url,
                response.status,
                response.headers.get("location"),
                "a message is not sent on",
            )
        except TailraceError as error:
            self._conceal(error, target.url, sent)
            raise

    def _alive(self) -> list[Response]:
        """Return the responses that somebody still holds."""
        return [each for each in (link() for link in self._responses.copy()) if each is not None]

    def _prepared(
        self, url: str, headers: Mapping[str, str] | None
    ) -> tuple[rules.Target, dict[str, str]]:
        target = rules.checked_url(url)
        signed = {"authorization": target.authorization} if target.authorization else {}
        return target, {**signed, **self.options.headers, **rules.checked_headers(headers)}

    async def _answered(self, request: Request) -> Response:
        running_loop()
        if self._closed:
            raise InvalidRequestError("the session is closed")
        response = await self._send(request)
        self._responses.add(weakref.ref(response, self._responses.discard))
        try:
            check_answer(request.url, response.status, response.headers, self.options.proxy)
        except TailraceError:
            await response.aclose()
            raise
        return response

    def _conceal(self, error: TailraceError, url: str, headers: Mapping[str, str]) -> None:
        """Take what was sent as a secret out of an error, which may quote what came back."""
        from tailrace._secrecy import SentSecrets  # noqa: PLC0415 - for requests that failed

        proxy = self.options.proxy
        credentials = (None, None) if proxy is None else (proxy.username, proxy.password)
        SentSecrets.of_request(url, headers, self.cookies, credentials).out_of_error(error)

    @abstractmethod
    async def _send(self, request: Request) -> Response:
        """Make one request and return when the response's head is in."""


class DecodedResponse(Response):
    """A response over a `_receive` that returns the bytes of its body as they were sent."""

    def __init__(
        self, status: int, reason: str, url: str, headers: Mapping[str, str], limits: Limits
    ) -> None:
        self.status = status
        self.reason = reason
        self.url = url
        self.headers = headers
        self._cap = limits.max_reply_bytes
        self._delivered = 0
        self._failure: TailraceError | None = None
        self._is_being_read = False
        self._loop = running_loop()
        self._unpacked = 0
        self._decoder = (
            decoder_for(headers.get("content-encoding", ""))
            if "content-encoding" in headers
            else None
        )

    async def read(self) -> bytes:
        """See `Response.read`."""
        if self._failure is not None:
            raise self._failure
        if self._loop is not asyncio._get_running_loop():  # noqa: SLF001 - once a read: a call less
            raise InvalidRequestError("the reply belongs to another event loop")
        if self._is_being_read:
            raise InvalidRequestError("the reply is being read by another task")
        self._is_being_read = True
        try:
            data = await (self._receive() if self._decoder is None else self._decoded())
        except TailraceError as error:
            self._fail(error)
        finally:
            self._is_being_read = False
        return self._capped(data)

    def _capped(self, data: bytes) -> bytes:
        """Return what the cap leaves of the next bytes; raise LimitExceeded where that is none."""
        self._delivered += len(data)
        if self._cap is not None and self._delivered > self._cap:
            data = data[: len(data) - (self._delivered - self._cap)]
            self._failure = LimitExceeded(
                f"the reply is larger than {self._cap} bytes", status=self.status
            )
            self.abort()
            if not data:
                raise self._failure
        return data

    async def _decoded(self) -> bytes:
        assert self._decoder is not None  # noqa: S101 - `read` has checked
        if self._unpacked >= _BYTES_PER_TURN:
            self._unpacked = 0
            await asyncio.sleep(0)  # a few bytes may unpack to many: let other tasks run
        while not (data := self._decoder.take()):
            if data is None:
                await asyncio.sleep(0)
                continue
            sent = await self._receive()
            if not sent:
                if not self._decoder.complete:
                    raise ReplyBrokenError("the reply's compressed data ends before its end")
                return b""
            self._decoder.feed(sent)
        self._unpacked += max(len(data), _PIECE_COST)
        return data

    async def aclose(self) -> None:
        """See `Response.aclose`."""
        if self._loop is current_loop():
            await self._close()
        else:
            self.abort()

    @abstractmethod
    async def _close(self) -> None:
        """Release the connection, in its own loop."""

    def _fail(self, error: TailraceError) -> NoReturn:
        self._failure = error
        self.abort()
        raise error

    @abstractmethod
    async def _receive(self) -> bytes:
        """Return the next bytes as sent, ``b""`` at the clean end and ever after.

        Raises `ReplyBrokenError`.
        """
