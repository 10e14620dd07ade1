"""Servers and proxies on loopback, made of real sockets, that do what a test tells them and say
what they saw.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
import stat
import struct
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

HOST = "127.0.0.1"


def open_sockets() -> int:
    """How many sockets this process holds."""
    count = 0
    for entry in Path("/dev/fd").iterdir():
        with suppress(OSError):  # the folder's own descriptor is gone by now
            count += stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode)
    return count


class Authority:
    """A certificate authority, what a server shows of it, and how clients are told to trust it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.file = str(folder / "authority.pem")
        authority.cert_pem.write_to_path(self.file)
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("site.test", "www.site.test", HOST).configure_cert(self.server)
        self.client = ssl.create_default_context(cafile=self.file)


@dataclass
class Exchange:
    """One request as a server got it, and the way to answer."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *data: bytes) -> None:
        for piece in data:
            self.writer.write(piece)
            await self.writer.drain()

    async def send_reply(self, body: bytes = b"", *headers: str, status: str = "200 OK") -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)

    async def send_forever(self, piece: bytes = b"x") -> None:
        """Send chunks until the client is gone."""
        await self.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not self.reader.at_eof():
            await self.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            with suppress(TimeoutError):
                await asyncio.wait_for(self.reader.read(1), 0.01)

    async def wait_for_leaving(self) -> None:
        """Return when the client has closed its side."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Close with a RST."""
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.writer.transport.abort()


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Exchange(method, target, headers, body, reader, writer)


@dataclass
class Server:
    """A server; `requests` are those it got, `connections` those that are open now."""

    port: int
    scheme: str
    requests: list[Exchange] = field(default_factory=list)
    connections: int = 0
    accepted: int = 0
    got_request: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}"


@asynccontextmanager
async def serve(
    answer: Callable[[Exchange], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    """Answer each request with `answer`.

    A connection ends when a request or its answer says so, or when the client leaves.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        server.connections += 1
        server.accepted += 1
        try:
            while True:
                exchange = await read_request(reader, writer)
                server.requests.append(exchange)
                server.got_request.set()
                await answer(exchange)
                if (
                    exchange.headers.get("connection", "").lower() == "close"
                    or writer.transport.is_closing()
                ):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()  # its socket is gone when its connection is not counted
            server.connections -= 1
            server.left.set()

    listener = await asyncio.start_server(talk, HOST, 0, ssl=tls)
    server = Server(listener.sockets[0].getsockname()[1], "https" if tls else "http")
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def hang(exchange: Exchange) -> None:
    """Never answer."""
    await exchange.wait_for_leaving()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@dataclass
class Proxy:
    """A proxy; `seen` are the hosts and ports it was asked for, `routes` where it really goes for a
    name.
    """

    port: int
    scheme: str
    routes: dict[str, int] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    refused: int = 0
    onward: list[asyncio.StreamWriter] = field(default_factory=list)

    def url(self, credentials: str = "") -> str:
        return f"{self.scheme}://{credentials}{HOST}:{self.port}"

    async def connect(self, where: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.seen.append(where)
        port = self.routes.get(where) or int(where.rpartition(":")[2])
        reader, writer = await asyncio.open_connection(HOST, port)
        self.onward.append(writer)
        return reader, writer


@asynccontextmanager
async def _listening(
    talk: Callable[[Proxy, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    scheme: str,
    tls: ssl.SSLContext | None,
) -> AsyncIterator[Proxy]:
    tasks: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await talk(proxy, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    listener = await asyncio.start_server(accepted, HOST, 0, ssl=tls)
    proxy = Proxy(listener.sockets[0].getsockname()[1], scheme)
    try:
        yield proxy
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in proxy.onward:
            writer.transport.abort()


@asynccontextmanager
async def http_proxy(
    credentials: str | None = None,
    tls: ssl.SSLContext | None = None,
    *,
    is_silent: bool = False,
) -> AsyncIterator[Proxy]:
    """Serve as a proxy of HTTP:

    CONNECT for https targets, absolute ones for http. `is_silent`: it never answers.
    """
    wanted = (
        None if credentials is None else "Basic " + base64.b64encode(credentials.encode()).decode()
    )

    async def talk(
        proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        asked = await read_request(reader, writer)
        if is_silent:
            await asked.wait_for_leaving()
            return
        if wanted is not None and asked.headers.get("proxy-authorization") != wanted:
            proxy.refused += 1
            await asked.send_reply(
                b"no", 'Proxy-Authenticate: Basic realm="x"', status="407 Who Are You"
            )
            return
        if asked.method == "CONNECT":
            there, back = await proxy.connect(asked.target)
            await asked.send(b"HTTP/1.1 200 Established\r\n\r\n")
        else:
            host, _, path = asked.target.removeprefix("http://").partition("/")
            there, back = await proxy.connect(host if ":" in host else f"{host}:80")
            own = ("proxy-", "connection")
            kept = [
                f"{name}: {value}"
                for name, value in asked.headers.items()
                if not name.startswith(own)
            ]
            kept.append("Connection: close")
            lines = [f"{asked.method} /{path} HTTP/1.1", *kept, "", ""]
            back.write("\r\n".join(lines).encode() + asked.body)
            status = await there.readuntil(b"\r\n")
            await asked.send(
                status + b"Connection: close\r\n"
            )  # one request a connection keeps this proxy simple
            await _pump(there, writer)
            return
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    async with _listening(talk, "https" if tls else "http", tls) as proxy:
        yield proxy


@asynccontextmanager
async def socks_proxy(
    credentials: tuple[str, str] | None = None, scheme: str = "socks5h"
) -> AsyncIterator[Proxy]:
    """Serve as a SOCKS5 proxy (RFC 1928, 1929)."""

    async def talk(
        proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        method = 0 if credentials is None else 2
        if method not in methods:
            writer.write(b"\x05\xff")
            await writer.drain()
            return
        writer.write(bytes([5, method]))
        if credentials is not None:
            await reader.readexactly(1)
            pair = tuple(
                [
                    (await reader.readexactly((await reader.readexactly(1))[0])).decode()
                    for _ in range(2)
                ]
            )
            writer.write(b"\x01\x00" if pair == credentials else b"\x01\x01")
            if pair != credentials:
                proxy.refused += 1
                await writer.drain()
                return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = ".".join(str(byte) for byte in await reader.readexactly(4))
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        there, back = await proxy.connect(f"{host}:{port}")
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    async with _listening(talk, scheme, None) as proxy:
        yield proxy
