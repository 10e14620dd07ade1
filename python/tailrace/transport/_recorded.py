"""A transport that takes down what goes over another one, for `tailrace.recording`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace.errors import ReplyBrokenError, TailraceError
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

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from tailrace.recording import ExchangeWriter, RecordingWriter

__all__ = ["RecordingTransport"]


class RecordingTransport(Transport):
    """A transport that sends over another and takes down what it sends and receives.

    `transport` is closed with this one; `writer`, which takes everything down, is not.
    """

    def __init__(self, transport: Transport, writer: RecordingWriter) -> None:
        self._transport = transport
        self._writer = writer

    def session(
        self,
        *,
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Session:
        """Begin one call, whose exchanges are recorded.

        `cookies`, `headers`, `proxy`, `timeouts` and `limits` are those of `Transport.session`, as
        the errors are; the values of cookies and the proxy's password count as secrets of the
        recording.
        """
        session = self._transport.session(
            cookies=cookies, headers=headers, proxy=proxy, timeouts=timeouts, limits=limits
        )
        for value in (cookies or {}).values():
            self._writer.secret(value)
        if proxy is not None:
            self._writer.secret_url(proxy)
        return _RecordingSession(session, self._writer, dict(headers or {}))

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._transport.aclose()

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._transport.abort()


class _RecordingSession(Session):
    def __init__(self, session: Session, writer: RecordingWriter, headers: dict[str, str]) -> None:
        self._session = session
        self._writer = writer
        self._headers = headers

    @property
    def cookies(self) -> dict[str, str]:
        """See `Session.cookies`."""
        return self._session.cookies

    def cookies_for(self, url: str) -> SiteCookies:
        """See `Session.cookies_for`."""
        return self._session.cookies_for(url)

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """See `Session.get`."""
        exchange = self._writer.exchange("GET", url, {**self._headers, **(headers or {})})
        return await _answered(exchange, self._session.get(url, headers=headers))

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Response:
        """See `Session.post`."""
        exchange = self._writer.exchange("POST", url, {**self._headers, **(headers or {})}, body)
        return await _answered(exchange, self._session.post(url, body=body, headers=headers))

    async def aclose(self) -> None:
        """See `Session.aclose`."""
        await self._session.aclose()

    def abort(self) -> None:
        """See `Session.abort`."""
        self._session.abort()


async def _answered(exchange: ExchangeWriter, sent: Awaitable[Response]) -> Response:
    try:
        response = await sent
    except TailraceError as error:
        exchange.end("failed", error)
        raise
    except BaseException:
        exchange.end("left")
        raise
    return _RecordingResponse(response, exchange)


class _RecordingResponse(Response):
    def __init__(self, response: Response, exchange: ExchangeWriter) -> None:
        self.status = response.status
        self.reason = response.reason
        self.url = response.url
        self.headers = response.headers
        self._response = response
        self._exchange = exchange
        exchange.head(response.status, response.reason, response.url, response.headers.items())

    async def read(self) -> bytes:
        """See `Response.read`."""
        try:
            data = await self._response.read()
        except ReplyBrokenError as error:
            self._exchange.end("broken", error)
            raise
        if data:
            self._exchange.read(data)
        else:
            self._exchange.end("complete")
        return data

    async def aclose(self) -> None:
        """See `Response.aclose`."""
        self._exchange.end("left")
        await self._response.aclose()

    def abort(self) -> None:
        """See `Response.abort`."""
        self._exchange.end("left")
        self._response.abort()
