"""A site written by hand, byte by byte, over real sockets; and who still holds a socket to it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

AJAX = "/wp-admin/admin-ajax.php"
NONCE = "0a1b2c3d4e"
POST_ID = "12"
SSE = "text/event-stream;charset=UTF-8"
JSON = "application/json; charset=UTF-8"
HTML = "text/html; charset=UTF-8"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(
            parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=bool(self.body))
        )


class Line:
    """The way back to one client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def reply(
        self, body: bytes, content_type: str = HTML, status: str = "200 OK", headers: str = ""
    ) -> None:
        await self.send(
            head(content_type, status, f"Content-Length: {len(body)}\r\n{headers}") + body
        )

    async def begin(self, content_type: str, status: str = "200 OK", headers: str = "") -> None:
        await self.send(head(content_type, status, f"Transfer-Encoding: chunked\r\n{headers}"))

    async def chunks(self, data: Iterable[bytes]) -> None:
        for each in data:
            await self.send(chunk(each))

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def stall(self) -> None:
        """Nothing more comes until the client leaves."""
        await asyncio.Event().wait()

    def reset(self) -> None:
        self._writer.transport.abort()


SITES_TASK = "a site's"

Answer = Callable[[Asked, Line], Awaitable[None]]


class Site:
    """Answers each request with `answer` on a connection of its own, which the client may leave at
    any time.
    """

    def __init__(self, answer: Answer, *, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.open = 0
        self._answer = answer
        self._tls = tls
        self._changed = asyncio.Event()
        self._failures: list[BaseException] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        if kind is None:
            await self.settled()
            assert self._failures == []

    @property
    def methods(self) -> Counter[str]:
        return Counter(each.method for each in self.asked)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it is looked at whenever a request came or a connection
        went.
        """
        while not condition():
            await self._changed.wait()

    async def settled(self) -> None:
        """Wait until no connection is open."""
        await self.until(lambda: not self.open)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        serving = asyncio.current_task()
        assert serving is not None
        serving.set_name(SITES_TASK)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                asked = await _read_request(reader)
                self.asked.append(asked)
                self._announce()
                await self._answered(asked, reader, writer)
        finally:
            writer.transport.abort() if writer.transport.is_closing() else writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self.open -= 1
            self._announce()

    async def _answered(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answering = asyncio.create_task(
            _awaited(self._answer(asked, Line(writer))), name=SITES_TASK
        )
        leaving = asyncio.create_task(reader.read(), name=SITES_TASK)
        await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
        for task in (answering, leaving):
            task.cancel()
        await asyncio.wait([answering, leaving])
        if not leaving.cancelled():
            leaving.exception()
        if not answering.cancelled() and (failure := answering.exception()) is not None:
            if not isinstance(failure, ConnectionError):
                self._failures.append(failure)
            writer.transport.abort()


async def _awaited(answer: Awaitable[None]) -> None:
    await answer


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = {
        name.lower(): value
        for name, _, value in (line.partition(": ") for line in lines[1:] if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, path, headers, body)


def head(content_type: str | None, status: str = "200 OK", headers: str = "") -> bytes:
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"HTTP/1.1 {status}\r\n{kind}{headers}Connection: close\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def page(nonce: str = NONCE, post_id: str = POST_ID, *, rest: str = "") -> bytes:
    """A page with the plugin's inline bot."""
    return (
        "<!doctype html>\n<html><head><title>Chat</title></head>\n<body>\n"
        '<div class="wpaicg-chat-shortcode"\n'
        f'     data-nonce="{nonce}"\n     data-post-id="{post_id}"\n'
        '     data-bot-id="0"\n>\n</div>\n'
        f"{rest}</body></html>\n"
    ).encode()


def delta(text: str) -> bytes:
    """One frame of a streaming bot."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'data: {{"choices":[{{"index":0,"delta":{{"content":"{escaped}"}}}}]}}\n\n'.encode()


DONE = b"data: [DONE]\n\n"

# -- AI Engine -------------------------------------------------------------------------------------

START = "/wp-json/mwai/v1/start_session"
SUBMIT = "/wp-json/mwai-ui/v1/chats/submit"
SESSION = json.dumps({"success": True, "sessionId": "5e5510", "restNonce": NONCE}).encode()


def engine(nonce: str | None = NONCE) -> str:
    """The element of AI Engine's bot; without a nonce it is given when it is asked for."""
    system = {"botId": "default", "restUrl": "/wp-json", "restNonce": nonce, "sessionId": "N/A"}
    shown = json.dumps(system).replace('"', "&quot;")
    return f"<div class='mwai-chatbot-container' data-params='{{}}' data-system='{shown}'></div>\n"


def live(text: str) -> bytes:
    """One frame of a bot of AI Engine."""
    return b"data: " + json.dumps({"type": "live", "data": text}).encode() + b"\n\n"


def end_of(text: str) -> bytes:
    """The last frame of a bot of AI Engine."""
    whole = json.dumps({"success": True, "reply": text})
    return b"data: " + json.dumps({"type": "end", "data": whole}).encode() + b"\n\n"


def bot(
    *frames: bytes,
    content_type: str = SSE,
    status: str = "200 OK",
    pages: Callable[[], bytes] = page,
) -> Answer:
    """A site whose pages are `pages` and whose bot answers with `frames`, one HTTP chunk each."""

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(pages())
            return
        await line.begin(content_type, status)
        await line.chunks(frames)
        await line.end()

    return answer


def sockets_to(*ports: int) -> int:
    """How many of this process's own sockets are connected to one of `ports`: the clients' ends."""
    found = 0
    for number in _socket_numbers():
        with socket.socket(fileno=os.dup(number)) as held, suppress(OSError):
            found += held.family == socket.AF_INET and held.getpeername()[1] in ports
    return found


def open_sockets() -> int:
    """How many sockets this process has."""
    return len(_socket_numbers())


def _socket_numbers() -> list[int]:
    numbers: list[int] = []
    for each in Path("/dev/fd").iterdir():
        with suppress(OSError):  # the folder's own descriptor is gone by now
            if stat.S_ISSOCK(os.fstat(int(each.name)).st_mode):
                numbers.append(int(each.name))
    return numbers
