"""The server of `fleet.py` for stamps, memory and many streams: events say when they were sent.

The protocol is that of `endtoend_server.py`: `POST /run`, `GET /opened`, `POST /go`. Each stream
gets its opening at once and, from `POST /go` on, writes of so many events at so many seconds'
distance, back to back for 0; and then its ending. All streams are written by one loop over plain
protocols of asyncio, which costs less than a framework. The process ends when its standard input is
closed. What it prints are its origins and the file of the authority, as the other server does.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import tempfile
import time
from typing import Any

import msgspec
import trustme

LEAD = 0.05  # seconds from `POST /go` to the first write
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n'
ENDING = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BURST = 64 * 1024  # bytes that are written in one go, back to back


class Settings(msgspec.Struct):
    """A run, as of `endtoend_server.py`."""

    streams: int = 0
    opening: int = 1
    events: int = 0
    per_write: int = 1
    interval: float = 0.0


class Run:
    """One run and its streams."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.streams: list[Connection] = []
        self.all_opened = asyncio.Event()

    def open(self, stream: Connection) -> None:
        """Send a stream its opening."""
        self.streams.append(stream)
        stream.transport.write(HEAD + chunk(self.settings.opening))
        if len(self.streams) == self.settings.streams:
            self.all_opened.set()

    async def write(self) -> None:
        """Write to all streams, spread evenly over the interval, and end them."""
        settings, loop = self.settings, asyncio.get_running_loop()
        if not settings.interval:
            await asyncio.gather(*(stream.flood(settings.events) for stream in self.streams))
            return
        due = loop.time() + LEAD
        step = settings.interval / max(1, len(self.streams))
        for _ in range(settings.events // settings.per_write):
            for stream in self.streams:
                if (left := due - loop.time()) > 0:
                    await asyncio.sleep(left)
                stream.transport.write(chunk(settings.per_write))
                due += step
        for stream in self.streams:
            stream.transport.write(ENDING)


def chunk(events: int) -> bytes:
    """So many events, that say when they are sent, as one chunk of HTTP."""
    data = EVENT % time.monotonic_ns() * events
    return b"%x\r\n%b\r\n" % (len(data), data)


RUN = [Run(Settings())]


class Connection(asyncio.Protocol):
    """One connection: a stream, or questions that begin a run and let it go on."""

    def __init__(self, tasks: set[asyncio.Task[None]]) -> None:
        self.transport: Any = None
        self._received = b""
        self._tasks = tasks
        self._may_write = asyncio.Event()
        self._may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = transport

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        del exc
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """Answer each request, once it is whole."""
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        fields = head.lower().partition(b"content-length:")[2]
        size = int(fields.partition(b"\r\n")[0] or 0)
        if not found or len(rest) < size:
            return
        body, self._received = rest[:size], rest[size:]
        method, path, _ = head.split(b" ", 2)
        if path == b"/v1/chat/completions":
            RUN[0].open(self)
        elif path == b"/run":
            RUN[0] = Run(msgspec.json.decode(body, type=Settings))
            self.transport.write(DONE)
        elif method == b"GET":
            self._begin(self._tell_opened())
        else:
            self.transport.write(DONE)
            self._begin(RUN[0].write())

    async def flood(self, events: int) -> None:
        """Write so many events as fast as they are read, and the ending."""
        size = max(1, BURST // len(EVENT))
        for at in range(0, events, size):
            await self._may_write.wait()
            if self.transport.is_closing():
                return
            self.transport.write(chunk(min(size, events - at)))
            await asyncio.sleep(0)
        self.transport.write(ENDING)

    async def _tell_opened(self) -> None:
        await RUN[0].all_opened.wait()
        self.transport.write(DONE)

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def main() -> None:
    """Serve until standard input is closed; what a client needs to know is printed."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    ports = []
    for context in (None, tls):
        server = await loop.create_server(
            lambda: Connection(tasks), "127.0.0.1", 0, ssl=context, backlog=4096
        )
        ports.append(server.sockets[0].getsockname()[1])
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        authority.cert_pem.write_to_path(file.name)
        plain, safe = ports
        print(f"http://127.0.0.1:{plain} https://127.0.0.1:{safe} {file.name}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
