"""The transport over aiohttp, its sessions and its responses."""

from __future__ import annotations

import asyncio
import io
import weakref
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, cast

import aiohttp
from yarl import URL

from tailrace.errors import ReplyBrokenError
from tailrace.transport import _rules as rules
from tailrace.transport._base import DEFAULT_LIMITS, DEFAULT_TIMEOUTS
from tailrace.transport._decoding import ACCEPT_ENCODING
from tailrace.transport._over_aiohttp.clock import CLOCK, MOST_COPIED, Clock, TimedRequest
from tailrace.transport._over_aiohttp.connections import (
    PatientProtocol,
    QuickResponse,
    drop_connector,
    last_turns,
    pause_at_many_chunks,
    wake_when_lost,
)
from tailrace.transport._over_aiohttp.failures import LONGEST_FIELD, failed_request
from tailrace.transport._over_aiohttp.posting import AiohttpPoster
from tailrace.transport._over_aiohttp.prepared import (
    MOST_FIELDS,
    NO_CLOCK,
    READ_BUFFER,
    OpenReply,
    PreparedPost,
    cut,
    drop,
)
from tailrace.transport._room import keep_room_for_reads
from tailrace.transport._session import (
    DecodedResponse,
    RuledSession,
    RuledTransport,
    SessionOptions,
    call_soon,
)
from tailrace.transport._socks import require_socks, socks_connector

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from aiohttp.abc import AbstractResolver

    from tailrace.errors import TailraceError
    from tailrace.transport._base import Limits, Response, Timeouts
    from tailrace.transport._cookies import Jar
    from tailrace.transport._posting import Poster
    from tailrace.transport._session import Request

__all__ = ["AiohttpTransport"]

_OFFERED = rules.merged_headers(rules.DEFAULT_HEADERS, {"accept-encoding": ACCEPT_ENCODING})
_MOST_PREPARED = 64


class AiohttpTransport(RuledTransport):
    """Connections of aiohttp.

    Sends `rules.DEFAULT_HEADERS` (an honest User-Agent, Accept, Accept-Language), overridden by the
    session's and the request's headers, and Accept-Encoding with the codings that can be
    decoded. Cookies of IP hosts are kept.

    `tls`: how to verify servers (None: as the system does). `trust_env`: take proxies and passwords
    from environment and netrc. `resolver`: looks up the names of hosts and of proxies over HTTP,
    and is not closed by the transport (None: the system's, in a thread).
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        trust_env: bool = False,
        resolver: AbstractResolver | None = None,
    ) -> None:
        super().__init__()
        keep_room_for_reads()
        self._tls: ssl.SSLContext | bool = tls or True
        self._trust_env = trust_env
        self._resolver = resolver
        self._connectors: dict[rules.Proxy | None, aiohttp.BaseConnector] = {}
        self._clients: dict[aiohttp.BaseConnector, aiohttp.ClientSession] = {}
        self._prepared: dict[tuple[object, ...], PreparedPost] = {}

    def client(self, proxy: rules.Proxy | None, jar: Jar) -> aiohttp.ClientSession:
        """Make a client with `jar` over the connections through `proxy`."""
        return self._made_client(self._connector(proxy), jar)

    def client_without_cookies(self, proxy: rules.Proxy | None) -> aiohttp.ClientSession:
        """Return the client that all calls share which have no cookies yet."""
        connector = self._connector(proxy)
        if connector not in self._clients:
            client = self._made_client(connector, aiohttp.DummyCookieJar())
            self._clients[connector] = client
            weakref.finalize(self, client.detach).atexit = False
        return self._clients[connector]

    def _made_client(
        self, connector: aiohttp.BaseConnector, jar: aiohttp.abc.AbstractCookieJar
    ) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            connector_owner=False,
            request_class=TimedRequest,
            response_class=QuickResponse,
            cookie_jar=jar,
            timeout=NO_CLOCK,
            trust_env=self._trust_env,
            auto_decompress=False,
            headers=_OFFERED,
            read_bufsize=READ_BUFFER,
            max_line_size=LONGEST_FIELD,
            max_field_size=LONGEST_FIELD,
            max_headers=MOST_FIELDS,
        )

    def prepared(
        self, proxy: rules.Proxy | None, url: str, headers: Mapping[str, str]
    ) -> PreparedPost | None:
        """Return the posts without cookies to `url` with `headers`; None where aiohttp must do it.

        A few are kept, for a site is asked with the same headers again and again.
        """
        if self._trust_env or (proxy is not None and not proxy.is_socks):
            return None
        known = (proxy, url, *headers.items())
        prepared = self._prepared.get(known)
        if prepared is None:
            if len(self._prepared) >= _MOST_PREPARED:
                del self._prepared[next(iter(self._prepared))]
            sent = rules.merged_headers(_OFFERED, headers)
            prepared = self._prepared[known] = PreparedPost(self._connector(proxy), url, sent)
        return prepared

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
        """See `Transport.poster`."""
        options = SessionOptions.checked(
            cookies=cookies, headers=None, proxy=proxy, timeouts=timeouts, limits=limits
        )
        if self._trust_env or (options.proxy is not None and not options.proxy.is_socks):
            return super().poster(
                url,
                headers=headers,
                cookies=cookies,
                proxy=proxy,
                timeouts=timeouts,
                limits=limits,
            )
        return AiohttpPoster(self._connector(options.proxy), url, headers, options)

    def _begun(self, options: SessionOptions) -> _AiohttpSession:
        if options.proxy is not None and options.proxy.is_socks:
            require_socks()
        return _AiohttpSession(self, options)

    async def _close_connections(self) -> None:
        for connector in self._given_up():
            await connector.close(abort_ssl=True)

    def _abort_connections(self) -> None:
        for connector in self._given_up():
            call_soon(self._loop, drop_connector, connector)

    def _given_up(self) -> list[aiohttp.BaseConnector]:
        connectors, self._connectors = self._connectors, {}
        clients, self._clients = self._clients, {}
        self._prepared.clear()
        for client in clients.values():
            client.detach()
        return list(connectors.values())

    def _connector(self, proxy: rules.Proxy | None) -> aiohttp.BaseConnector:
        loop = self.bound_loop()
        socks = proxy if proxy is not None and proxy.is_socks else None
        if socks not in self._connectors:
            connector = self._connectors[socks] = self._made_connector(socks)
            weakref.finalize(self, call_soon, loop, drop_connector, connector).atexit = False
        return self._connectors[socks]

    def _made_connector(self, socks: rules.Proxy | None) -> aiohttp.BaseConnector:
        connector: aiohttp.BaseConnector
        if socks is not None:
            connector = socks_connector(socks, ssl=self._tls, limit=0)
        else:
            resolver = self._resolver or aiohttp.ThreadedResolver()
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=0, resolver=resolver)
        connector._factory = partial(PatientProtocol, asyncio.get_running_loop())  # type: ignore[assignment]  # noqa: SLF001
        return connector


class _AiohttpSession(RuledSession):
    def __init__(self, transport: AiohttpTransport, options: SessionOptions) -> None:
        super().__init__(options)
        self._transport = transport
        self._client: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """See `Session.aclose`."""
        await super().aclose()
        self._detach()

    def abort(self) -> None:
        """See `Session.abort`."""
        super().abort()
        self._detach()

    def _detach(self) -> None:
        if self._client is not None:
            self._client.detach()

    async def _send(self, request: Request) -> Response:
        self._transport.bound_loop()
        clock = Clock(self.options.timeouts)
        failure: TailraceError
        try:
            with clock:
                raw = await self._requested(request, clock)
        except asyncio.CancelledError:
            await last_turns()
            raise
        except Exception as error:  # noqa: BLE001 - any error of a library becomes one of ours
            failure = clock.error(rules.origin(request.url)) or failed_request(
                error, request.url, self.options.proxy
            )
        else:
            self._keep_cookies(raw)
            return self._response(raw)
        await last_turns()
        raise failure

    async def _requested(
        self, request: Request, clock: Clock
    ) -> OpenReply | aiohttp.ClientResponse:
        prepared = self._prepared_post(request)
        if prepared is None:
            token = CLOCK.set(clock)
            try:
                return await self._requested_by_client(request)
            finally:
                CLOCK.reset(token)
        connection = await prepared.connect()
        try:
            message, content = await prepared.answered(connection, request.body or b"", clock.sent)
        except BaseException:
            drop(connection)
            raise
        return OpenReply(prepared.request.url, connection, message, content)

    def _prepared_post(self, request: Request) -> PreparedPost | None:
        """Return the prepared form of a request, None of one that aiohttp's client is to make.

        Those are what has cookies or a proxy, and bodies that are sent while the reply is read.
        """
        if request.body is None or len(request.body) > MOST_COPIED or self._has_cookies():
            return None
        return self._transport.prepared(self.options.proxy, request.url, request.headers)

    def _has_cookies(self) -> bool:
        return self._jar is not None or bool(self.options.cookies)

    def _keep_cookies(self, raw: OpenReply | aiohttp.ClientResponse) -> None:
        """Begin a jar with the first cookies that come; from then on it is the client's."""
        if self._client is None and "Set-Cookie" in raw.headers:
            self.jar().update_cookies_from_headers(raw.headers.getall("Set-Cookie"), raw.url)

    def _opened_client(self) -> aiohttp.ClientSession:
        if not self._has_cookies():
            return self._transport.client_without_cookies(self.options.proxy)
        if self._client is None:
            self._client = self._transport.client(self.options.proxy, self.jar())
            weakref.finalize(self, self._client.detach).atexit = False
        return self._client

    async def _requested_by_client(self, request: Request) -> aiohttp.ClientResponse:
        return await self._opened_client().request(
            request.method,
            URL(request.url, encoded=True),
            data=_body(request.body),
            headers=rules.merged_headers(request.headers),
            proxy=_proxy_url(self.options.proxy),
            allow_redirects=False,
            skip_auto_headers=None if "content-type" in request.headers else ("Content-Type",),
        )

    def _response(self, raw: OpenReply | aiohttp.ClientResponse) -> Response:
        try:
            return _AiohttpResponse(raw, self)
        except ReplyBrokenError:  # a Content-Encoding that cannot be decoded
            cut(raw)
            raise


class _AiohttpResponse(DecodedResponse):
    def __init__(self, raw: OpenReply | aiohttp.ClientResponse, session: _AiohttpSession) -> None:
        super().__init__(
            raw.status, raw.reason or "", str(raw.url), raw.headers, session.options.limits
        )
        # This reference keeps the session and its transport alive as long as the response is read.
        self._session = session
        self._raw = raw
        self._protocol: PatientProtocol | None = (
            cast("PatientProtocol", raw.connection.protocol) if raw.connection else None
        )
        is_woken = self._protocol is not None and wake_when_lost(raw.content, self._protocol)
        self._can_wait = is_woken and hasattr(raw.content, "_buffer")  # an empty body has none
        pause_at_many_chunks(raw.content)
        self._owes_turn = False
        # The finalizer, not this object, keeps aiohttp's response alive until it is closed: aiohttp
        # warns of a response deleted while open, and a cycle might be deleted in that order.
        self._dropped = weakref.finalize(self, call_soon, self._loop, cut, raw)
        self._dropped.atexit = False

    async def _close(self) -> None:
        self._dropped.detach()
        # Only a connection that is still this response's own: one that was read to its end is back
        # in the pool.
        closed = (
            self._protocol.closed
            if self._protocol is not None and self._raw.connection is not None
            else None
        )
        cut(self._raw)
        if closed is not None:
            done, _ = await asyncio.wait([closed])
            done.pop().exception()  # of a connection that broke meanwhile, which has no reader left

    def abort(self) -> None:
        """See `Response.abort`."""
        if self._dropped.detach():
            call_soon(self._loop, cut, self._raw)

    async def relay(self, take: Callable[[bytes], bool]) -> None:
        """Hand the next bytes to `take` where they arrive, while it returns True.

        A reader is spared the turn of the loop, and the way through its coroutines, for each read.
        Returns when `take` has returned False, and when `read` is to tell what is next: the end, a
        failure, or compressed bytes. Raises what `take` raises, and LimitExceeded.
        """
        content, protocol = self._raw.content, self._protocol
        if protocol is None or not self._can_wait or self._decoder is not None or self._failure:
            return
        if self._is_being_read or content._buffer or content.exception():  # noqa: SLF001
            return
        over: asyncio.Future[None] = self._loop.create_future()
        # In the context of the task: a connection has that of the request that opened it.
        protocol.heard = partial(copy_context().run, self._pass_on, take, protocol, over)
        self._is_being_read = True
        try:
            if not content.is_eof():
                await over
        finally:
            protocol.heard = None
            self._is_being_read = False

    def _pass_on(
        self, take: Callable[[bytes], bool], protocol: PatientProtocol, over: asyncio.Future[None]
    ) -> None:
        """Hand on what the protocol has read; what ends a relay ends it for its waiting task."""
        content = self._raw.content
        if over.done():
            return
        try:
            goes_on = content.exception() is None
            while goes_on and content._buffer:  # noqa: SLF001
                goes_on = take(self._capped(content.read_nowait())) and self._failure is None
        except BaseException as error:  # noqa: BLE001 - the task's, not the event loop's
            over.set_exception(error)
            return
        if not goes_on or content.is_eof() or not protocol.connected:
            over.set_result(None)

    async def _receive(self) -> bytes:
        content = self._raw.content
        if content.exception() is not None:
            return self._held(content)
        if self._owes_turn:
            self._owes_turn = False
            await asyncio.sleep(0)
        broken = False
        data = b""
        try:
            if self._can_wait and not content._buffer and not content._eof:  # noqa: SLF001
                # As `readany` waits, without its two coroutines for each read.
                waiter = content._waiter = self._loop.create_future()  # noqa: SLF001
                try:
                    await waiter
                finally:
                    content._waiter = None  # noqa: SLF001
                data = content.read_nowait()
            else:
                data = content.read_nowait()
                self._owes_turn = bool(data)  # of the loop: a read that waits gives it one itself
            data = data or await content.readany()
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - aiohttp, TLS and sockets each break in their own way
            broken = True
        if broken or (not data and self._is_reset()):
            raise self._broken()
        return data

    def _held(self, content: aiohttp.StreamReader) -> bytes:
        """Return the bytes that came before the response broke.

        Once it has broken, aiohttp does not return the bytes it has buffered.
        """
        content.set_exception(None)  # type: ignore[arg-type]
        data = content.read_nowait()
        content.set_exception(self._broken())
        if not data:
            raise self._broken()
        return data

    def _is_reset(self) -> bool:
        """Tell whether a response that ends with its connection was ended by a reset.

        aiohttp reports a reset as a clean end there.
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

    def _broken(self) -> ReplyBrokenError:
        return ReplyBrokenError(f"the reply of {rules.origin(self.url)} broke off")


def _body(body: bytes | None) -> bytes | io.BytesIO | None:
    """Return a body as aiohttp sends it: bytes are copied first, a file is read piece by piece."""
    return body if body is None or len(body) <= MOST_COPIED else io.BytesIO(body)


def _proxy_url(proxy: rules.Proxy | None) -> URL | None:
    if proxy is None or proxy.is_socks:  # a SOCKS proxy is the connector's
        return None
    return URL.build(
        scheme=proxy.scheme,
        host=proxy.host,
        port=proxy.port,
        user=proxy.username,
        password=proxy.password,
    )
