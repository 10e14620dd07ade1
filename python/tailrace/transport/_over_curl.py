"""The transport over curl_cffi, which greets a server as a browser does. Needs the extra
``impersonate``.

Built on curl_cffi's `Curl` and `AsyncCurl` rather than on its sessions: those queue a reply without
a limit, and can neither stop a reply that has begun nor take back a request that has not been
answered. Here a transfer that is let go is taken out of libcurl's hands at once, which closes its
connection, and a reader that is busy stops the socket.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tailrace import errors
from tailrace.transport import _rules as rules
from tailrace.transport._base import DEFAULT_LIMITS, DEFAULT_TIMEOUTS, Limits, Timeouts, Transport
from tailrace.transport._decoding import ACCEPT_ENCODING
from tailrace.transport._session import Call, DecodedResponse, RuledSession, in_jar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from curl_cffi import AsyncCurl, Curl

    from tailrace.transport._base import Response, Session
    from tailrace.transport._session import Request

__all__ = ["ImpersonateTransport"]

_READ_BUFFER = 128 * 2**10  # bytes held for a reader that is busy before libcurl is paused
_PAUSE = 0x10000001  # CURL_WRITEFUNC_PAUSE, which the package does not export
_CONTINUE = 0  # CURLPAUSE_CONT
_FOREVER = 2**31 - 1  # milliseconds: libcurl has no "never" for connecting
_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3}) ?(.*)")


class ImpersonateTransport(Transport):
    """Connections of libcurl that look like a browser's.

    `impersonate`: the browser (``chrome``, ``firefox``, ``safari``, or one with its version, as
    curl_cffi names them), whose own headers are sent, overridden by the session's and the
    request's. `ca_file`: a PEM file of authorities to trust instead of the system's. `trust_env`:
    take proxies and passwords from environment and netrc.

    Raises `MissingRequirementsError` without curl_cffi, `InvalidRequestError` for a browser it does
    not know.
    """

    def __init__(
        self, *, impersonate: str = "chrome", ca_file: str | None = None, trust_env: bool = False
    ) -> None:
        _require_curl()
        from curl_cffi import Curl  # noqa: PLC0415
        from curl_cffi.requests.impersonate import resolve_latest_browser_type  # noqa: PLC0415

        self._browser: str = resolve_latest_browser_type(impersonate)  # type: ignore[no-untyped-call]
        probe = Curl()
        known = probe.impersonate(self._browser) == 0
        probe.close()
        if not known:
            raise errors.InvalidRequestError(f"curl_cffi knows no browser {impersonate!r}")
        self._ca_file = ca_file or ""
        self._trust_env = trust_env
        self._multi: AsyncCurl | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dropped: weakref.finalize[..., ImpersonateTransport] | None = None
        self._sessions: weakref.WeakSet[_CurlSession] = weakref.WeakSet()
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
        session = _CurlSession(self, call)
        self._sessions.add(session)
        return session

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        self._closed = True
        for session in list(self._sessions):
            await session.aclose()
        multi, self._multi = self._multi, None
        if multi is not None and self._dropped is not None and self._dropped.detach():
            await multi.close()  # type: ignore[no-untyped-call]

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._closed = True
        for session in list(self._sessions):
            session.abort()
        multi, self._multi = self._multi, None
        if multi is not None and self._dropped is not None and self._dropped.detach():
            _soon(multi.loop, _close_multi, multi)

    def multi(self) -> AsyncCurl:
        """Return what runs all transfers, bound to the running loop."""
        from curl_cffi import AsyncCurl  # noqa: PLC0415

        if self._closed:
            raise errors.InvalidRequestError("the transport is closed")
        loop = asyncio.get_running_loop()
        if self._multi is None:
            self._multi = AsyncCurl(self._ca_file, loop=loop)
            self._loop = loop  # its own may be another: on Windows curl_cffi wraps the loop
            self._dropped = weakref.finalize(self, _soon, loop, _close_multi, self._multi)
            self._dropped.atexit = False
        if self._loop is not loop:
            raise errors.InvalidRequestError("the transport belongs to another event loop")
        return self._multi

    def easy(self) -> Curl:
        """Make a transfer that has everything but what it asks for."""
        from curl_cffi import Curl, CurlOpt  # noqa: PLC0415

        easy = Curl(self._ca_file)
        easy.impersonate(self._browser, default_headers=True)
        easy.setopt(CurlOpt.ACCEPT_ENCODING, ACCEPT_ENCODING)
        easy.setopt(CurlOpt.HTTP_CONTENT_DECODING, 0)
        easy.setopt(CurlOpt.SUPPRESS_CONNECT_HEADERS, 1)
        easy.setopt(CurlOpt.FOLLOWLOCATION, 0)
        easy.setopt(
            CurlOpt.QUICK_EXIT, 1
        )  # letting a transfer go must not wait for a slow look-up of its host
        if self._trust_env:
            easy.setopt(CurlOpt.NETRC, 1)
        else:
            easy.setopt(CurlOpt.PROXY, "")
            easy.setopt(CurlOpt.NOPROXY, "")
        return easy


class _CurlSession(RuledSession):
    def __init__(self, transport: ImpersonateTransport, call: Call) -> None:
        super().__init__(call)
        self._transport = transport
        self._jar: aiohttp.CookieJar | None = None
        self._closed = False
        self._replies: weakref.WeakSet[_CurlReply] = weakref.WeakSet()

    @property
    def cookies(self) -> dict[str, str]:
        """See `Session.cookies`."""
        return dict(self.call.cookies) if self._jar is None else in_jar(self._jar)

    async def aclose(self) -> None:
        """See `Session.aclose`."""
        self._closed = True
        for reply in list(self._replies):
            await reply.aclose()

    def abort(self) -> None:
        """See `Session.abort`."""
        self._closed = True
        for reply in list(self._replies):
            reply.abort()

    async def _send(self, request: Request) -> Response:
        if self._closed:
            raise errors.InvalidRequestError("the session is closed")
        jar, url = self._opened_jar(), request.url
        transfer = _Transfer(self._transport.multi(), self._filled_in(request))
        try:
            failure = await transfer.begin(self.call.timeouts, url, self.call.proxy)
            if failure is None:
                jar.update_cookies_from_headers(
                    transfer.headers.getall("set-cookie", []), URL(url, encoded=True)
                )
                reply = _CurlReply(transfer, url, self)
        except BaseException:
            transfer.cut()
            raise
        if failure is not None:
            transfer.cut()
            raise failure
        self._replies.add(reply)
        return reply

    def _opened_jar(self) -> aiohttp.CookieJar:
        if self._jar is None:
            self._jar = aiohttp.CookieJar(unsafe=True, quote_cookie=False)
            self._jar.update_cookies(self.call.cookies)
        return self._jar

    def _filled_in(self, request: Request) -> Curl:
        from curl_cffi import CurlError  # noqa: PLC0415

        easy = self._transport.easy()
        refused = False
        try:
            self._ask(easy, request)
        except CurlError:  # its text holds the option's value
            refused = True
        if refused:
            easy.close()
            raise errors.InvalidRequestError("libcurl refuses the URL, a header or the proxy")
        return easy

    def _ask(self, easy: Curl, request: Request) -> None:
        from curl_cffi import CurlHttpVersion, CurlOpt  # noqa: PLC0415

        easy.setopt(CurlOpt.URL, request.url)
        is_tls = request.url.startswith("https:")
        if not is_tls:  # no browser asks a server to change from plain HTTP/1.1 to HTTP/2
            easy.setopt(CurlOpt.HTTP_VERSION, CurlHttpVersion.V2TLS)
        connect = self.call.timeouts.connect
        easy.setopt(
            CurlOpt.CONNECTTIMEOUT_MS, _FOREVER if connect is None else max(1, int(connect * 1000))
        )
        if request.body is not None:
            easy.setopt(CurlOpt.POST, 1)
            easy.setopt(CurlOpt.POSTFIELDSIZE_LARGE, len(request.body))
            easy.setopt(CurlOpt.POSTFIELDS, request.body)
        easy.setopt(CurlOpt.HTTPHEADER, self._header_lines(request))
        if self.call.proxy is not None:
            self._go_through(easy, self.call.proxy, is_tls=is_tls)

    def _header_lines(self, request: Request) -> list[bytes]:
        jar = self._opened_jar().filter_cookies(URL(request.url, encoded=True))
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())
        named = rules.merged_headers(request.headers, {"cookie": cookies} if cookies else {})
        # libcurl's spelling: "Name;" sends an empty value, "Name:" keeps it from sending a header
        # of its own.
        lines = [
            f"{name}: {value}" if value.strip() else f"{name};" for name, value in named.items()
        ]
        unsaid = [
            "Expect:",
            *(
                ["Content-Type:"]
                if request.body is not None and "Content-Type" not in named
                else []
            ),
        ]
        return [line.encode() for line in (*lines, *unsaid)]

    def _go_through(self, easy: Curl, proxy: rules.Proxy, *, is_tls: bool) -> None:
        from curl_cffi import CurlOpt  # noqa: PLC0415

        easy.setopt(CurlOpt.PROXY, proxy.name)
        easy.setopt(CurlOpt.PROXY_CREDENTIAL_NO_REUSE, 1)
        if is_tls and not proxy.is_socks:
            easy.setopt(CurlOpt.HTTPPROXYTUNNEL, 1)
        if proxy.username is not None or proxy.password is not None:
            easy.setopt(CurlOpt.PROXYUSERNAME, (proxy.username or "").encode("latin-1"))
            easy.setopt(CurlOpt.PROXYPASSWORD, (proxy.password or "").encode("latin-1"))


class _Transfer:
    """One request in libcurl's hands.

    Its callbacks run within libcurl and so only store and wake.
    """

    def __init__(self, multi: AsyncCurl, easy: Curl) -> None:
        from curl_cffi import CurlOpt  # noqa: PLC0415

        self.status = 0
        self.reason = ""
        self.headers: CIMultiDict[str] = CIMultiDict()
        self.is_over = False
        self.code = 0  # libcurl's, of a transfer that is over
        self._multi = multi
        self._easy: Curl | None = easy
        self._head_is_in = False
        self._held: deque[bytes] = deque()
        self._size = 0
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None
        easy.setopt(CurlOpt.HEADERFUNCTION, self._on_header)
        easy.setopt(CurlOpt.WRITEFUNCTION, self._on_data)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._multi.loop

    async def begin(
        self,
        timeouts: Timeouts,
        url: str,
        proxy: rules.Proxy | None,
    ) -> errors.TailraceError | None:
        """Send the request and wait for the reply's head; returns what went wrong instead."""
        assert self._easy is not None  # noqa: S101 - begin is the first call
        self._multi.add_handle(self._easy).add_done_callback(self._on_end)
        started = self.loop.time()
        deadline = None if timeouts.first_byte is None else started + timeouts.first_byte
        while not self._head_is_in and not self.is_over:
            if not await self._woken(deadline):
                sent = self._seconds_until_sent()
                # Not sent by now: it cannot be late before another first_byte from now.
                due = started + sent if sent else self.loop.time()
                deadline = due + (timeouts.first_byte or 0.0)
                if deadline <= self.loop.time():
                    return errors.TimeoutError(
                        "first byte", timeouts.first_byte or 0.0, rules.origin(url)
                    )
        return None if self._head_is_in else self._mapped(timeouts, url, proxy)

    async def received(self) -> bytes:
        """Return what has come, waiting for it if need be; ``b""`` when the transfer is over."""
        while not self._held:
            if self.is_over:
                return b""
            self._resume()
            if not self._held and not self.is_over:
                await self._woken(None)
        data = b"".join(self._held)
        self._held.clear()
        self._size = 0
        return data

    def cut(self) -> None:
        """Take the transfer out of libcurl's hands: its connection is closed when this returns,
        unless it is over.
        """
        easy, self._easy = self._easy, None
        if easy is None:
            return
        if not self.is_over:
            self.is_over = True
            self.code = _UNKNOWN_CODE
            self._multi.remove_handle(easy)
        easy.close()
        self._wake()

    def _resume(self) -> None:
        if self._is_paused and self._easy is not None:
            self._is_paused = False
            self._easy.pause(_CONTINUE)

    async def _woken(self, deadline: float | None) -> bool:
        """Wait for a callback; False when `deadline` passed before one."""
        waiter = self._waiter = self.loop.create_future()
        timer = None if deadline is None else self.loop.call_at(deadline, _cancel, waiter)
        try:
            await asyncio.wait([waiter])
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        return not waiter.cancelled()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _seconds_until_sent(self) -> float:
        """Seconds from start to the request's last byte, or to its first one while it is being
        sent; 0 before.
        """
        from curl_cffi import CurlInfo  # noqa: PLC0415

        assert self._easy is not None  # noqa: S101 - begin runs before cut
        for moment in (CurlInfo.POSTTRANSFER_TIME_T, CurlInfo.PRETRANSFER_TIME_T):
            microseconds = self._easy.getinfo(moment)
            if isinstance(microseconds, int) and microseconds > 0:
                return microseconds / 1e6
        return 0.0

    def _on_header(self, line: bytes) -> int:
        if self._head_is_in:  # trailers
            return len(line)
        if match := _STATUS_LINE.match(line):
            self.status, self.reason = int(match[1]), match[2].decode("latin-1").strip()
            self.headers.clear()
        elif line.strip():
            name, _, value = line.partition(b":")
            self.headers.add(
                name.decode("latin-1").strip(), value.decode("utf-8", "surrogateescape").strip()
            )
        elif self.status >= 200:  # noqa: PLR2004 - what comes before is interim, RFC 9110, 15.2
            self._head_is_in = True
            self._wake()
        return len(line)

    def _on_data(self, data: bytes) -> int:
        if self._size >= _READ_BUFFER:
            self._is_paused = True
            return _PAUSE
        self._held.append(data)
        self._size += len(data)
        self._wake()
        return len(data)

    def _on_end(self, future: asyncio.Future[None]) -> None:
        if self.is_over:  # cut
            return
        error = None if future.cancelled() else future.exception()
        self.code = 0 if error is None else int(getattr(error, "code", 0) or _UNKNOWN_CODE)
        self.is_over = True
        self._wake()

    def _mapped(
        self, timeouts: Timeouts, url: str, proxy: rules.Proxy | None
    ) -> errors.TailraceError:
        """Say in our words what failed before the head was in. libcurl's own texts name whole URLs."""
        site = rules.origin(url)
        if self.code == _TIMED_OUT:
            return errors.TimeoutError("connect", timeouts.connect or 0.0, site)
        if self._is_proxys(proxy):
            name = proxy.name if proxy else "the environment names"
            return errors.ProxyError(
                f"the proxy {name} could not be reached or refused to connect to {site}"
            )
        kind, text = _FAILURES.get(self.code, (errors.NetworkError, _BROKE))
        return kind(text.format(site=site, code=self.code))

    def _is_proxys(self, proxy: rules.Proxy | None) -> bool:
        from curl_cffi import CurlInfo  # noqa: PLC0415

        if self.code in {_NO_PROXY_HOST, _PROXY_HANDSHAKE}:
            return True
        if proxy is None or self._easy is None:
            return False
        # With a proxy it is the proxy that refuses; and one that answers CONNECT with a refusal
        # says so in a status.
        return (
            self.code == _REFUSED
            or int(str(self._easy.getinfo(CurlInfo.HTTP_CONNECTCODE) or 0)) >= 300
        )


class _CurlReply(DecodedResponse):
    def __init__(self, transfer: _Transfer, url: str, session: _CurlSession) -> None:
        super().__init__(
            transfer.status,
            transfer.reason,
            url,
            CIMultiDictProxy(transfer.headers),
            session.call.limits,
        )
        self._session = (
            session  # which lives, with its transport, as long as there is something to read
        )
        self._transfer = transfer
        self._dropped = weakref.finalize(self, _soon, transfer.loop, transfer.cut)
        self._dropped.atexit = False

    async def aclose(self) -> None:
        """See `Response.aclose`."""
        self._dropped.detach()
        self._transfer.cut()

    def abort(self) -> None:
        """See `Response.abort`."""
        if self._dropped.detach():
            _soon(self._transfer.loop, self._transfer.cut)

    async def _receive(self) -> bytes:
        data = await self._transfer.received()
        if not data and self._transfer.code:
            raise errors.ReplyBrokenError(f"the reply of {rules.origin(self.url)} broke off")
        return data


_NO_PROXY_HOST, _REFUSED, _TIMED_OUT, _PROXY_HANDSHAKE, _UNKNOWN_CODE = 5, 7, 28, 97, -1
_BROKE = "the connection to {site} broke before a reply came (curl error {code})"
_FAILURES: dict[int, tuple[type[errors.TailraceError], str]] = {
    1: (
        errors.NetworkError,
        "{site} answered with what is no HTTP",
    ),  # what libcurl takes for HTTP/0.9
    3: (errors.InvalidRequestError, "the URL is malformed"),
    6: (errors.ConnectError, "{site} could not be reached: its name was not found"),
    7: (errors.ConnectError, "{site} could not be reached: connection refused or host unreachable"),
    8: (errors.NetworkError, "{site} answered with what is no HTTP"),
    16: (errors.NetworkError, "{site} answered with what is no HTTP/2"),
    35: (errors.TLSError, "TLS with {site} failed: the handshake failed"),
    58: (errors.TLSError, "TLS with {site} failed: the local certificate cannot be used"),
    59: (errors.TLSError, "TLS with {site} failed: no cipher in common"),
    60: (
        errors.TLSError,
        "TLS with {site} failed: the certificate is not valid for this host, or not trusted",
    ),
    77: (errors.TLSError, "TLS with {site} failed: the file of trusted authorities cannot be read"),
    83: (errors.TLSError, "TLS with {site} failed: the issuer of the certificate is not trusted"),
    91: (errors.TLSError, "TLS with {site} failed: the certificate's status is invalid"),
    92: (errors.NetworkError, "{site} broke off an HTTP/2 reply"),
    100: (errors.LimitExceeded, "{site} sent a longer head than libcurl allows"),
}


def _require_curl() -> None:
    try:
        import curl_cffi  # noqa: F401, PLC0415
    except ImportError:
        missing = True
    else:
        missing = False
    if missing:
        raise errors.MissingRequirementsError(
            'talking like a browser needs curl_cffi: pip install "tailrace[impersonate]"',
        )


def _cancel(waiter: asyncio.Future[None]) -> None:
    waiter.cancel()


_closing: set[asyncio.Task[None]] = set()


def _close_multi(multi: AsyncCurl) -> None:
    task = multi.loop.create_task(multi.close())  # type: ignore[no-untyped-call]
    _closing.add(task)
    task.add_done_callback(_closing.discard)


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: Any) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, *arguments)
