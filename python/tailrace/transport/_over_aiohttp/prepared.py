"""Posts over aiohttp's connections whose head is made once: its pool, its TLS, its parser.

aiohttp's own request builds URL, headers, cookies, a writer, a response and their timers anew each
time, which is more work than all of the rest.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_writer import _serialize_headers
from yarl import URL

from tailrace.errors import ReplyBrokenError
from tailrace.transport import _rules as rules
from tailrace.transport._over_aiohttp.clock import MOST_COPIED
from tailrace.transport._over_aiohttp.failures import LONGEST_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.cookies import BaseCookie

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.http_parser import RawResponseMessage
    from multidict import CIMultiDictProxy

__all__ = ["MOST_FIELDS", "NO_CLOCK", "READ_BUFFER", "OpenReply", "PreparedPost", "cut", "drop"]

READ_BUFFER: int = 64 * 2**10
"""Bytes buffered for a busy reader; at twice this number reading from the socket pauses."""

MOST_FIELDS: int = 256
"""The most header fields of a response."""

NO_CLOCK: aiohttp.ClientTimeout = aiohttp.ClientTimeout(
    total=None, connect=None, sock_connect=None, sock_read=None
)
"""None of aiohttp's clocks: ours run."""


class PreparedPost:
    """A POST to one URL with the same headers and cookies each time, and another body.

    Any number of them may be under way.
    """

    def __init__(
        self,
        connector: aiohttp.BaseConnector,
        url: str,
        headers: Mapping[str, str],
        cookies: BaseCookie[str] | None = None,
    ) -> None:
        """Prepare posts to `url`, which is encoded, over `connector`, in the running loop."""
        self._connector = connector
        self.request: aiohttp.ClientRequest = aiohttp.ClientRequest(
            "POST",
            URL(url, encoded=True),
            headers=headers,
            cookies=cookies,
            skip_auto_headers=("Content-Type",),
            loop=asyncio.get_running_loop(),
        )
        self._head = _head(self.request)

    async def connect(self) -> Connection:
        """Take a connection from the pool, or make one; the caller drops or releases it."""
        return await self._connector.connect(self.request, [], NO_CLOCK)

    async def answered(
        self, connection: Connection, body: bytes, sent: Callable[[], None]
    ) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
        """Send `body`, and return the head of the response and the reader of its body.

        `sent` is called when the connection takes the request and, while the peer takes a large
        body slowly, with each part of it. Raises the errors of aiohttp.
        """
        protocol = connection.protocol
        assert protocol is not None  # noqa: S101 - of a connection that was not released
        protocol.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
            max_line_size=LONGEST_FIELD,
            max_field_size=LONGEST_FIELD,
            max_headers=MOST_FIELDS,
        )
        await self._write(protocol, body, sent)
        try:
            message, payload = await protocol.read()
            while rules.is_interim(message.code):
                message, payload = await protocol.read()
        except HttpProcessingError as error:
            raise aiohttp.ClientResponseError(self.request.request_info, ()) from error
        return message, payload

    async def _write(
        self, protocol: ResponseHandler, body: bytes, sent: Callable[[], None]
    ) -> None:
        transport = protocol.transport
        if transport is None:
            raise aiohttp.ClientOSError("the connection was lost")
        sent()
        head = b"%b%d\r\n\r\n" % (self._head, len(body))
        if len(body) <= MOST_COPIED:
            transport.write(head + body)
            return
        transport.write(head)
        view = memoryview(body)
        for start in range(0, len(body), MOST_COPIED):
            if protocol.transport is None or len(protocol):
                protocol.force_close()  # the reply came early, and so the body does not end
                break
            transport.write(view[start : start + MOST_COPIED])
            try:
                await protocol._drain_helper()  # noqa: SLF001 - what aiohttp's own writer awaits
            except aiohttp.ClientConnectionError:
                break  # reading tells why, or has a reply that came before
            sent()


def _head(request: aiohttp.ClientRequest) -> bytes:
    """Return the head of a request up to the number of its body's bytes."""
    headers = request.headers
    for name in ("Content-Length", "Transfer-Encoding"):
        headers.popall(name, None)
    line = f"POST {request.url.raw_path_qs} HTTP/1.1"
    return _serialize_headers(line, headers).removesuffix(b"\r\n") + b"Content-Length: "


def drop(connection: Connection) -> None:
    """Close a connection at once, unless it was released."""
    if connection.protocol is not None:
        if connection.transport is not None:
            connection.transport.abort()  # over TLS, closing would wait for the peer
        connection.close()


class OpenReply:
    """A response whose body is being read; what is read of an `aiohttp.ClientResponse`, it has.

    At the end of the body its connection goes back to the pool, and is None here.
    """

    __slots__ = ("connection", "content", "headers", "reason", "status", "url")

    def __init__(
        self,
        url: URL,
        connection: Connection,
        message: RawResponseMessage,
        content: aiohttp.StreamReader,
    ) -> None:
        self.url: URL = url
        self.connection: Connection | None = connection
        self.status: int = message.code
        self.reason: str | None = message.reason
        self.headers: CIMultiDictProxy[str] = message.headers
        self.content: aiohttp.StreamReader = content
        content.on_eof(self._release)

    def close(self) -> None:
        """Close the connection, unless it went back, and let nobody wait for the rest."""
        if self.connection is None:
            return
        if self.content.exception() is None:
            self.content.set_exception(ReplyBrokenError("the response was closed"))
        self.connection.close()
        self.connection = None

    def _release(self) -> None:
        connection = self.connection
        if connection is None or (connection.protocol is not None and connection.protocol.upgraded):
            return
        connection.release()
        self.connection = None


def cut(response: OpenReply | aiohttp.ClientResponse) -> None:
    """Close a response's connection without waiting."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
    response.close()
