"""A real server that sends one reply part by part, each when the test lets it, and sees its client
leave.
"""

from __future__ import annotations

import asyncio
import zlib
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

__all__ = ["DONE", "FRAMINGS", "ReplyServer", "delta", "serving"]

DONE = b"data: [DONE]\n\n"


def delta(text: str) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % text.encode()


def chunked(parts: Sequence[bytes]) -> tuple[str, list[bytes]]:
    head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    return head, [b"%x\r\n%b\r\n" % (len(part), part) for part in parts] + [b"0\r\n\r\n"]


def of_known_length(parts: Sequence[bytes]) -> tuple[str, list[bytes]]:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {sum(map(len, parts))}\r\n", list(parts)


def to_the_end(parts: Sequence[bytes]) -> tuple[str, list[bytes]]:
    return "HTTP/1.0 200 OK\r\n", list(parts)


def packed(parts: Sequence[bytes]) -> tuple[str, list[bytes]]:
    packer = zlib.compressobj(wbits=31)
    head, framed = chunked(
        [packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in parts]
    )
    return head + "Content-Encoding: gzip\r\n", framed


FRAMINGS = {"chunked": chunked, "length": of_known_length, "to the end": to_the_end, "gzip": packed}


class ReplyServer:
    """One server. `left` is set when a client has gone before its reply was over."""

    def __init__(self) -> None:
        self.url = ""
        self.left = asyncio.Event()
        self.connections = 0
        self._loop = asyncio.get_running_loop()
        self._go = asyncio.Semaphore(0)

    def go_on(self) -> None:
        """Let the next part be sent; from any thread."""
        self._loop.call_soon_threadsafe(self._go.release)

    async def send(self, writer: asyncio.StreamWriter, parts: Sequence[bytes]) -> None:
        for number, part in enumerate(parts):
            if number:
                await self._go.acquire()
            writer.write(part)


async def is_asked(reader: asyncio.StreamReader) -> bool:
    """Wait for a request, or for the client to leave."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        return True
    return False


@asynccontextmanager
async def serving(
    *parts: bytes,
    framing: str = "chunked",
    status: str = "200 OK",
    headers: str = "Content-Type: text/event-stream\r\n",
    cut: bool = False,
    held: bool = False,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[ReplyServer]:
    """Serve `parts`:

    `held`, each but the first waits for `go_on`. `cut`: close before the reply is whole.
    """
    server = ReplyServer()
    head, framed = FRAMINGS[framing](parts)
    first = (head.replace("200 OK", status) + headers + "\r\n").encode()
    framed = framed[:-1] if cut else framed
    sent = [first + framed[0], *framed[1:]] if held else [first + b"".join(framed)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        asked = asyncio.ensure_future(is_asked(reader))
        sending: asyncio.Future[None] | None = None
        try:
            while await asked:
                asked = asyncio.ensure_future(is_asked(reader))
                sending = asyncio.ensure_future(server.send(writer, sent))
                await asyncio.wait([sending, asked], return_when=asyncio.FIRST_COMPLETED)
                if not sending.done():
                    sending.cancel()
                    server.left.set()
                elif cut or framing == "to the end":
                    break
        finally:
            writer.close()
            open_ones = [each for each in (asked, sending) if each is not None]
            for each in open_ones:
                each.cancel()
            await asyncio.gather(*open_ones, return_exceptions=True)
            with suppress(ConnectionError):
                await writer.wait_closed()

    answering: list[asyncio.Future[None]] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.append(asyncio.ensure_future(answer(reader, writer)))

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.url = "{}://{}:{}/".format(
        "https" if tls else "http", *listening.sockets[0].getsockname()
    )
    try:
        yield server
    finally:
        listening.close()
        for each in answering:
            each.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
