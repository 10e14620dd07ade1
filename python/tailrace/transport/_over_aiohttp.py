"""The transport over aiohttp.

A session is a `ClientSession` of its own, and so a cookie jar of its own, over the transport's
connections. aiohttp's timers are off: one clock per request is moved on by aiohttp's trace signals,
so that each phase is told exactly, and reading costs no timer.
"""

from __future__ import annotations

import asyncio
import io
import ssl
import weakref
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.http_exceptions import LineTooLong
from yarl import URL

from tailrace import errors
from tailrace.transport import _rules as rules
from tailrace.transport._base import DEFAULT_LIMITS, DEFAULT_TIMEOUTS, Limits, Timeouts, Transport
from tailrace.transport._decoding import ACCEPT_ENCODING
from tailrace.transport._session import Call, DecodedResponse, RuledSession, in_jar
from tailrace.transport._socks import require_socks, socks_connector, socks_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import SimpleNamespace, TracebackType

    from aiohttp.client_proto import ResponseHandler

    from tailrace.transport._base import Response, Session
    from tailrace.transport._session import Request

__all__ = ["AiohttpTransport"]

_READ_BUFFER = (
    64 * 2**10
)  # bytes held for a reader that is busy; twice this stops reading from the socket
_LONGEST_FIELD = (
    64 * 2**10
)  # bytes of one line of a reply's head: policies of content and cookies grow long
_MOST_FIELDS = 256
_LARGEST_READ = 256 * 2**10  # bytes that asyncio makes room for whenever it reads from a socket
_LAST_TURNS = (
    3  # of the loop, until a connection given up in the middle of being made has closed its socket
)


class AiohttpTransport(Transport):
    """Connections of aiohttp.

    Sends `rules.DEFAULT_HEADERS` (an honest User-Agent, Accept, Accept-Language), overridden by the
    session's and the request's headers, and Accept-Encoding with what can be decoded here. Cookies
    of IP hosts are kept. `tls`: how to verify servers (None: as the system does). `trust_env`: take
    proxies and passwords from environment and netrc.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, trust_env: bool = False) -> None:
        _keep_room_for_reads()
        self._tls: ssl.SSLContext | bool = tls or True
        self._trust_env = trust_env
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connectors: dict[rules.Proxy | None, aiohttp.BaseConnector] = {}
        self._sessions: weakref.WeakSet[_AiohttpSession] = weakref.WeakSet()
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
            raise errors.InvalidRequestError("the transport is closed")
        call = Call.checked(
            cookies=cookies, headers=headers, proxy=proxy, timeouts=timeouts, limits=limits
        )
        if call.proxy is not None and call.proxy.is_socks:
            require_socks()
        session = _AiohttpSession(self, call)
        self._sessions.add(session)
        return session

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        self._closed = True
        for session in list(self._sessions):
            await session.aclose()
        connectors, self._connectors = self._connectors, {}
        for connector in connectors.values():
            await connector.close(abort_ssl=True)

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._closed = True
        for session in list(self._sessions):
            session.abort()
        for connector in self._connectors.values():
            _soon(self._loop, _drop_connector, connector)
        self._connectors = {}

    def client(self, proxy: rules.Proxy | None) -> aiohttp.ClientSession:
        """Make a client with a jar of its own over the connections through `proxy`."""
        return aiohttp.ClientSession(
            connector=self._connector(proxy),
            connector_owner=False,
            response_class=_Response,
            cookie_jar=aiohttp.CookieJar(unsafe=True, quote_cookie=False),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=None, sock_connect=None, sock_read=None
            ),
            trust_env=self._trust_env,
            auto_decompress=False,
            trace_configs=[_TRACE],
            read_bufsize=_READ_BUFFER,
            max_line_size=_LONGEST_FIELD,
            max_field_size=_LONGEST_FIELD,
            max_headers=_MOST_FIELDS,
        )

    def _connector(self, proxy: rules.Proxy | None) -> aiohttp.BaseConnector:
        loop = asyncio.get_running_loop()
        if self._closed or self._loop not in (None, loop):
            raise errors.InvalidRequestError(
                "the transport is closed"
                if self._closed
                else "the transport belongs to another event loop",
            )
        self._loop = loop
        socks = proxy if proxy is not None and proxy.is_socks else None
        if socks not in self._connectors:
            connector = self._connectors[socks] = self._made_connector(socks)
            weakref.finalize(self, _soon, loop, _drop_connector, connector).atexit = False
        return self._connectors[socks]

    def _made_connector(self, socks: rules.Proxy | None) -> aiohttp.BaseConnector:
        if socks is not None:
            return socks_connector(socks, ssl=self._tls, limit=0)
        return aiohttp.TCPConnector(ssl=self._tls, limit=0, resolver=aiohttp.ThreadedResolver())


class _AiohttpSession(RuledSession):
    def __init__(self, transport: AiohttpTransport, call: Call) -> None:
        super().__init__(call)
        self._transport = transport
        self._client: aiohttp.ClientSession | None = None
        self._closed = False
        self._replies: weakref.WeakSet[_AiohttpReply] = weakref.WeakSet()

    @property
    def cookies(self) -> dict[str, str]:
        """See `Session.cookies`."""
        return dict(self.call.cookies) if self._client is None else in_jar(self._client.cookie_jar)

    async def aclose(self) -> None:
        """See `Session.aclose`."""
        self._closed = True
        for reply in list(self._replies):
            await reply.aclose()
        self._detach()

    def abort(self) -> None:
        """See `Session.abort`."""
        self._closed = True
        for reply in list(self._replies):
            reply.abort()
        self._detach()

    def _detach(self) -> None:
        if self._client is not None:
            self._client.detach()

    async def _send(self, request: Request) -> Response:
        client = self._opened()
        clock = _Clock(self.call.timeouts)
        failure: errors.TailraceError
        try:
            async with clock:
                raw = await self._requested(client, clock, request)
        except asyncio.CancelledError:
            await _turns()
            raise
        except Exception as error:  # noqa: BLE001 - whatever a library raises becomes one of ours
            failure = clock.error(rules.origin(request.url)) or _mapped(
                error, request.url, self.call.proxy
            )
        else:
            return self._reply(raw)
        await _turns()
        raise failure

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise errors.InvalidRequestError("the session is closed")
        if self._client is None:
            self._client = self._transport.client(self.call.proxy)
            self._client.cookie_jar.update_cookies(self.call.cookies)
            weakref.finalize(self, self._client.detach).atexit = False
        return self._client

    async def _requested(
        self,
        client: aiohttp.ClientSession,
        clock: _Clock,
        request: Request,
    ) -> aiohttp.ClientResponse:
        offered = {"accept-encoding": ACCEPT_ENCODING}
        return await client.request(
            request.method,
            URL(request.url, encoded=True),
            data=None
            if request.body is None
            else io.BytesIO(request.body),  # bytes would be copied first
            headers=rules.merged_headers(rules.DEFAULT_HEADERS, offered, request.headers),
            proxy=_proxy_url(self.call.proxy),
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),
            trace_request_ctx=clock,
        )

    def _reply(self, raw: aiohttp.ClientResponse) -> Response:
        try:
            reply = _AiohttpReply(raw, self)
        except errors.ReplyBrokenError:
            _cut(raw)
            raise
        self._replies.add(reply)
        return reply


class _AiohttpReply(DecodedResponse):
    def __init__(self, raw: aiohttp.ClientResponse, session: _AiohttpSession) -> None:
        super().__init__(
            raw.status, raw.reason or "", str(raw.url), raw.headers, session.call.limits
        )
        self._session = (
            session  # which lives, with its transport, as long as there is something to read
        )
        self._raw = raw
        self._protocol = raw.connection.protocol if raw.connection else None
        if self._protocol is not None:
            _watch(raw.content, self._protocol)
        self._loop = asyncio.get_running_loop()
        # The finalizer, not this object, keeps the reply alive until it is closed: aiohttp
        # complains of one that dies open, and within a cycle it might die first.
        self._dropped = weakref.finalize(self, _soon, self._loop, _cut, raw)
        self._dropped.atexit = False

    async def aclose(self) -> None:
        """See `Response.aclose`."""
        self._dropped.detach()
        # Only a connection that is still this reply's own: one that was read to its end is back in
        # the pool.
        closed = (
            self._protocol.closed
            if self._protocol is not None and self._raw.connection is not None
            else None
        )
        _cut(self._raw)
        if closed is not None:
            done, _ = await asyncio.wait([closed])
            done.pop().exception()  # of a connection that broke meanwhile: nobody asks any more

    def abort(self) -> None:
        """See `Response.abort`."""
        if self._dropped.detach():
            _soon(self._loop, _cut, self._raw)

    async def _receive(self) -> bytes:
        content = self._raw.content
        if content.exception() is not None:
            return self._held(content)
        broken = False
        data = b""
        try:
            data = await content.readany()
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - aiohttp, TLS and sockets each break in their own way
            broken = True
        if broken or (not data and self._is_reset()):
            raise self._broken()
        return data

    def _held(self, content: aiohttp.StreamReader) -> bytes:
        """Return what came before the reply broke: once it has, aiohttp gives no more of what it
        holds.
        """
        content.set_exception(None)  # type: ignore[arg-type]
        data = content.read_nowait()
        content.set_exception(self._broken())
        if not data:
            raise self._broken()
        return data

    def _is_reset(self) -> bool:
        """Whether a reply that ends with its connection ended by a reset, which aiohttp takes for
        its end.
        """
        error = self._protocol.exception() if self._protocol is not None else None
        return (
            isinstance(error, OSError) and self._raw.connection is None and not self._has_own_end()
        )

    def _has_own_end(self) -> bool:
        return (
            "content-length" in self.headers
            or "chunked" in self.headers.get("transfer-encoding", "").lower()
        )

    def _broken(self) -> errors.ReplyBrokenError:
        return errors.ReplyBrokenError(f"the reply of {rules.origin(self.url)} broke off")


class _Response(aiohttp.ClientResponse):
    """Gives its connection up at once: over TLS, closing would wait for the peer to say goodbye."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except BaseException:
            if connection.transport is not None:
                connection.transport.abort()
            raise


class _Clock:
    """The one clock of a request: first for connecting, then, from the last byte sent, for the
    first byte.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._phase: errors.TimeoutPhase = "connect"
        self._timer = asyncio.timeout(timeouts.connect)
        self._is_running = True

    async def __aenter__(self) -> None:
        await self._timer.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_running = False
        await self._timer.__aexit__(kind, error, traceback)

    def connecting(self) -> None:
        self._restart("connect", self._timeouts.connect)

    def sent(self) -> None:
        self._restart("first byte", self._timeouts.first_byte)

    def error(self, where: str) -> errors.TimeoutError | None:
        """Make the error of the phase whose time is over, if one's is."""
        if not self._timer.expired():
            return None
        seconds = self._timeouts.connect if self._phase == "connect" else self._timeouts.first_byte
        return errors.TimeoutError(self._phase, seconds or 0.0, where)

    def _restart(self, phase: errors.TimeoutPhase, seconds: float | None) -> None:
        if (
            self._is_running and not self._timer.expired()
        ):  # a body may still be sent when the reply's head is in
            self._phase = phase
            self._timer.reschedule(
                None if seconds is None else asyncio.get_running_loop().time() + seconds
            )


def _trace() -> aiohttp.TraceConfig:
    """Move a request's clock on.

    A request is re-sent on a new connection if a pooled one turns out to be dead.
    """
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_on_connecting)
    for signal in (trace.on_connection_create_end, trace.on_connection_reuseconn):
        signal.append(_on_sent)
    trace.on_request_headers_sent.append(_on_sent)
    trace.on_request_chunk_sent.append(_on_sent)
    return trace


async def _on_connecting(
    _client: aiohttp.ClientSession, context: SimpleNamespace, _params: object
) -> None:
    context.trace_request_ctx.connecting()


async def _on_sent(
    _client: aiohttp.ClientSession, context: SimpleNamespace, _params: object
) -> None:
    context.trace_request_ctx.sent()


_TRACE = _trace()


def _proxy_url(proxy: rules.Proxy | None) -> URL | None:
    if proxy is None or proxy.is_socks:  # the connector itself goes through a SOCKS one
        return None
    return URL.build(
        scheme=proxy.scheme,
        host=proxy.host,
        port=proxy.port,
        user=proxy.username,
        password=proxy.password,
    )


def _watch(content: aiohttp.StreamReader, protocol: ResponseHandler) -> None:
    """Wake the reader when the connection is lost: after a chunk of no sense aiohttp closes it and
    tells nobody.
    """
    closed = protocol.closed
    if closed is not None:
        # A connection that serves again may be reset before its next reply begins, and that was
        # asked for by nobody.
        closed.remove_done_callback(_take_note)
        closed.add_done_callback(_take_note)
        wake = partial(_wake, content)
        closed.add_done_callback(wake)
        content.on_eof(partial(_forget, closed, wake))


def _forget(closed: asyncio.Future[None], wake: Callable[[asyncio.Future[None]], None]) -> None:
    closed.remove_done_callback(wake)


def _take_note(closed: asyncio.Future[None]) -> None:
    if not closed.cancelled():
        closed.exception()


def _wake(content: aiohttp.StreamReader, _closed: asyncio.Future[None]) -> None:
    if not content.is_eof() and content.exception() is None:
        content.set_exception(errors.ReplyBrokenError("the connection was lost"))


def _cut(raw: aiohttp.ClientResponse) -> None:
    """Close a reply's connection without waiting for anyone."""
    if raw.connection is not None and raw.connection.transport is not None:
        raw.connection.transport.abort()
    raw.close()


@cache
def _keep_room_for_reads() -> None:
    """Have the C library keep the memory that asyncio reads into, from one read to the next.

    glibc fetches a block that large from the kernel and gives it back, three system calls and a
    page fault a read: a third of what a read costs when little comes at a time. It takes such
    blocks from its heap once a larger one has been freed (mallopt(3), M_MMAP_THRESHOLD). Other C
    libraries take no notice.
    """
    bytes(2 * _LARGEST_READ)


def _drop_connector(connector: aiohttp.BaseConnector) -> None:
    """Close a connector from a plain function: its own `close` leaves a task that the loop may not
    live to see end.
    """
    connector._close(abort_ssl=True)  # noqa: SLF001


def _soon(
    loop: asyncio.AbstractEventLoop | None, call: Callable[..., None], *arguments: Any
) -> None:
    """Call in the loop's next turn: finalizers run anywhere, in other threads too.

    A closed loop has no next turn.
    """
    if loop is not None and not loop.is_closed():
        loop.call_soon_threadsafe(call, *arguments)


async def _turns() -> None:
    """Let the loop run the callbacks that close the sockets of a request that failed."""
    for _ in range(_LAST_TURNS):
        await asyncio.sleep(0)


def _mapped(error: Exception, url: str, proxy: rules.Proxy | None) -> errors.TailraceError:
    """Say in our words what failed, holding on to nothing of `error`, whose text and links know
    passwords.
    """
    site, causes = rules.origin(url), _chain(error)
    return (
        _failed_proxy(error, causes, site, proxy)
        or _failed_connection(error, causes, site)
        or _failed_reply(error, causes, site)
        or errors.NetworkError(f"the request to {site} failed: {type(error).__name__}")
    )


def _failed_proxy(
    error: Exception,
    causes: list[BaseException],
    site: str,
    proxy: rules.Proxy | None,
) -> errors.TailraceError | None:
    name = proxy.name if proxy else "the environment names"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return errors.ProxyError(
            f"the proxy {name} refused to connect to {site}: status {error.status}"
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return errors.ProxyError(f"the proxy {name} could not be reached: {_reason_of(causes)}")
    if proxy is not None and isinstance(error, aiohttp.ClientConnectorDNSError):
        return errors.ProxyError(f"the proxy {name} could not be reached: its name was not found")
    if (
        proxy is not None
        and proxy.is_socks
        and any(isinstance(cause, socks_errors()) for cause in causes)
    ):
        return errors.ProxyError(
            f"the proxy {name} could not be reached or refused to connect to {site}"
        )
    return None


def _failed_connection(
    error: Exception, causes: list[BaseException], site: str
) -> errors.TailraceError | None:
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return errors.TLSError(f"TLS with {site} failed: {_reason_of(causes)}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return errors.ConnectError(f"{site} could not be reached: its name was not found")
    if isinstance(error, aiohttp.ClientConnectorError):
        return errors.ConnectError(f"{site} could not be reached: {_reason_of(causes)}")
    return None


def _failed_reply(
    error: Exception, causes: list[BaseException], site: str
) -> errors.TailraceError | None:
    if any(isinstance(cause, LineTooLong) for cause in causes):
        return errors.LimitExceeded(f"{site} sent a header longer than {_LONGEST_FIELD} bytes")
    if isinstance(error, aiohttp.ClientResponseError):
        return errors.NetworkError(f"{site} answered with what is no HTTP")
    if isinstance(error, aiohttp.InvalidURL):
        return errors.InvalidRequestError("the URL is malformed")
    if isinstance(error, aiohttp.ClientError | OSError):
        return errors.NetworkError(f"the connection to {site} broke before a reply came")
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and what caused it, at most a few links of it."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and len(links) < 8:  # noqa: PLR2004 - longer than any library's
        links.append(link)
        link = link.__cause__ or link.__context__
    return links


def _reason_of(causes: list[BaseException]) -> str:
    """Return the operating system's or OpenSSL's short reason, which names neither URL nor header."""
    for cause in reversed(causes):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        if isinstance(cause, ssl.SSLError):
            return (cause.reason or "handshake failed").replace("_", " ").lower()
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.errno:
            return rules.system_reason(cause.errno)
    return "the connection failed"
