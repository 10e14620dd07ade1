"""What both transports do alike above their HTTP library: follow redirects, meet challenges, decode
and cap a reply.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn, Self

from tailrace.errors import (
    ChallengeError,
    InvalidRequestError,
    LimitExceeded,
    ProxyError,
    ReplyBrokenError,
    TailraceError,
)
from tailrace.transport import _rules as rules
from tailrace.transport._base import Response, Session
from tailrace.transport._decoding import decoder_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from http.cookies import Morsel

    from tailrace.transport._base import Limits, Timeouts

__all__ = ["Call", "DecodedResponse", "Request", "RuledSession", "in_jar"]

_TURN = (
    256 * 2**10
)  # bytes unpacked before the loop has its turn, as many as one read of a socket may bring
_PIECE_COST = 16 * 2**10  # bytes that a piece counts for at least
_PROXY_AUTHENTICATION = (
    407  # RFC 9110, 15.5.8: of a request sent through the proxy as it is, without a tunnel
)


@dataclass(frozen=True, slots=True)
class Call:
    """What a session was begun with, checked."""

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
        """Check what a caller gave; raises as `Transport.session` says."""
        return cls(
            rules.checked_cookies(cookies),
            rules.checked_headers(headers),
            rules.checked_proxy(proxy),
            timeouts,
            limits,
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `url` and `headers` have been checked; only a POST has a `body`."""

    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


def in_jar(jar: Iterable[Morsel[str]]) -> dict[str, str]:
    """Names and values of a jar's cookies."""
    return {morsel.key: morsel.value for morsel in jar}


class RuledSession(Session):
    """A session over a `_send` that makes one request and knows nothing of redirects and
    challenges.
    """

    def __init__(self, call: Call) -> None:
        self.call = call

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """See `Session.get`."""
        target, sent = self._prepared(url, headers)
        here = target.url
        for _ in range(self.call.limits.max_redirects + 1):
            reply = await self._answer(Request("GET", here, sent))
            if not rules.is_redirect(reply.status):
                return reply
            location = reply.headers.get("location")
            await reply.aclose()
            last, here = here, rules.redirect_target(here, reply.status, location)
        raise rules.refused_redirect(
            last, reply.status, location, f"after {self.call.limits.max_redirects} redirects"
        )

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Response:
        """See `Session.post`."""
        target, sent = self._prepared(url, headers)
        reply = await self._answer(Request("POST", target.url, sent, body))
        if not rules.is_redirect(reply.status):
            return reply
        await reply.aclose()
        raise rules.refused_redirect(
            target.url,
            reply.status,
            reply.headers.get("location"),
            "a message is not sent on; use the site's final address",
        )

    def _prepared(
        self, url: str, headers: Mapping[str, str] | None
    ) -> tuple[rules.Target, dict[str, str]]:
        target = rules.checked_url(url)
        signed = {"authorization": target.authorization} if target.authorization else {}
        return target, {**signed, **self.call.headers, **rules.checked_headers(headers)}

    async def _answer(self, request: Request) -> Response:
        reply = await self._send(request)
        if rules.is_challenge(reply.headers):
            await reply.aclose()
            raise ChallengeError(status=reply.status)
        if reply.status == _PROXY_AUTHENTICATION and self.call.proxy is not None:
            await reply.aclose()
            raise ProxyError(
                f"the proxy {self.call.proxy.name} wants another user and password: status 407"
            )
        return reply

    @abstractmethod
    async def _send(self, request: Request) -> Response:
        """Make one request and return when the reply's head is in."""


class DecodedResponse(Response):
    """A reply over a `_receive` that returns the bytes of its body as they were sent."""

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
        if self._is_being_read:
            raise InvalidRequestError("the reply is being read by another task")
        self._is_being_read = True
        try:
            data = await (self._receive() if self._decoder is None else self._decoded())
        except TailraceError as error:
            self._fail(error)
        finally:
            self._is_being_read = False
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
        assert self._decoder is not None  # noqa: S101 - read asked
        if self._unpacked >= _TURN:
            self._unpacked = 0
            await asyncio.sleep(0)  # a few bytes unpack to many: others have their turn meanwhile
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

    def _fail(self, error: TailraceError) -> NoReturn:
        self._failure = error
        self.abort()
        raise error

    @abstractmethod
    async def _receive(self) -> bytes:
        """Return the next bytes as sent, ``b""`` at the clean end and ever after; or raise
        `ReplyBrokenError`.
        """
