"""The transport over libcurl, its sessions and its responses."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from multidict import CIMultiDictProxy
from yarl import URL

from tailrace.errors import ReplyBrokenError
from tailrace.transport._over_curl.options import browser_named, fill_in, new_handle, require_curl
from tailrace.transport._over_curl.transfer import Transfer
from tailrace.transport._rules import origin
from tailrace.transport._session import (
    DecodedResponse,
    RuledSession,
    RuledTransport,
    call_soon,
)

if TYPE_CHECKING:
    import asyncio

    from curl_cffi import AsyncCurl, Curl

    from tailrace.transport._base import Response
    from tailrace.transport._session import Request, SessionOptions

__all__ = ["ImpersonateTransport"]


class ImpersonateTransport(RuledTransport):
    """Connections of libcurl that look like a browser's.

    `impersonate`: the browser (``chrome``, ``firefox``, ``safari``, or one with its version, as
    curl_cffi names them), whose own headers are sent, overridden by the session's and the
    request's. `ca_file`: a PEM file of authorities to trust instead of the system's. `trust_env`:
    take proxies and passwords from environment and netrc.

    Raises `MissingRequirementsError` without curl_cffi, `InvalidRequestError` for a browser that
    curl_cffi does not know.
    """

    def __init__(
        self, *, impersonate: str = "chrome", ca_file: str | None = None, trust_env: bool = False
    ) -> None:
        super().__init__()
        require_curl()
        self._browser = browser_named(impersonate)
        self._ca_file = ca_file or ""
        self._trust_env = trust_env
        self._multi: AsyncCurl | None = None
        self._dropped: weakref.finalize[..., ImpersonateTransport] | None = None
        self._transfers: weakref.WeakSet[Transfer] = weakref.WeakSet()

    def transfer(
        self, request: Request, options: SessionOptions, cookies: dict[str, str]
    ) -> Transfer:
        """Make a transfer of `request` on the running loop; nothing is sent before its `begin`.

        `options`: those of the session; `cookies`: by name, sent with the request.
        """
        multi = self._running_multi()
        handle = self.handle()
        fill_in(handle, request, options, cookies)
        transfer = Transfer(multi, handle, request.url, options)
        self._transfers.add(transfer)
        return transfer

    def handle(self) -> Curl:
        """Make a handle of curl with all settings but those of a request."""
        return new_handle(self._browser, self._ca_file, trust_env=self._trust_env)

    def _begun(self, options: SessionOptions) -> _CurlSession:
        return _CurlSession(self, options)

    async def _close_connections(self) -> None:
        for transfer in list(self._transfers):
            transfer.cut()
        if (multi := self._let_go()) is not None:
            await multi.close()  # type: ignore[no-untyped-call]

    def _abort_connections(self) -> None:
        for transfer in list(self._transfers):
            call_soon(transfer.loop, transfer.cut)
        if (multi := self._let_go()) is not None:
            call_soon(multi.loop, _close_multi, multi)

    def _running_multi(self) -> AsyncCurl:
        """Return curl_cffi's runner of all transfers, bound to the running loop."""
        from curl_cffi import AsyncCurl  # noqa: PLC0415

        loop = self.bound_loop()
        if self._multi is None:
            self._multi = AsyncCurl(self._ca_file, loop=loop)
            self._dropped = weakref.finalize(self, call_soon, loop, _close_multi, self._multi)
            self._dropped.atexit = False
        return self._multi

    def _let_go(self) -> AsyncCurl | None:
        """Give the runner up, and return it for the caller to close; None the second time."""
        multi, self._multi = self._multi, None
        return multi if self._dropped is not None and self._dropped.detach() else None


class _CurlSession(RuledSession):
    def __init__(self, transport: ImpersonateTransport, options: SessionOptions) -> None:
        super().__init__(options)
        self._transport = transport

    async def _send(self, request: Request) -> Response:
        jar, url = self.jar(), URL(request.url, encoded=True)
        cookies = {name: morsel.value for name, morsel in jar.filter_cookies(url).items()}
        transfer = self._transport.transfer(request, self.options, cookies)
        try:
            await transfer.begin()
            jar.update_cookies_from_headers(transfer.headers.getall("set-cookie", []), url)
            return _CurlResponse(transfer, request.url, self)
        except BaseException:
            transfer.cut()
            raise


class _CurlResponse(DecodedResponse):
    def __init__(self, transfer: Transfer, url: str, session: _CurlSession) -> None:
        super().__init__(
            transfer.status,
            transfer.reason,
            url,
            CIMultiDictProxy(transfer.headers),
            session.options.limits,
        )
        # This reference keeps the session and its transport alive as long as the response is read.
        self._session = session
        self._transfer = transfer
        self._dropped = weakref.finalize(self, call_soon, transfer.loop, transfer.cut)
        self._dropped.atexit = False

    async def _close(self) -> None:
        self._dropped.detach()
        self._transfer.cut()

    def abort(self) -> None:
        """See `Response.abort`."""
        if self._dropped.detach():
            call_soon(self._transfer.loop, self._transfer.cut)

    async def _receive(self) -> bytes:
        data = await self._transfer.received()
        if not data and self._transfer.code:
            raise ReplyBrokenError(f"the reply of {origin(self.url)} broke off")
        return data


_closing: set[asyncio.Task[None]] = set()


def _close_multi(multi: AsyncCurl) -> None:
    task = multi.loop.create_task(multi.close())  # type: ignore[no-untyped-call]
    _closing.add(task)
    task.add_done_callback(_closing.discard)
