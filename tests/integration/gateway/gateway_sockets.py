"""The whole gateway on a real socket, in front of the replica or of a site held by hand, and raw
HTTP to ask it.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from gateway_app import made

from tailrace.gateway import Gateway, Key, ModelRegistry, Settings, base_urls, open_sockets
from tailrace.providers import OpenAIProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from opentelemetry.trace import TracerProvider

    from tailrace import Site
    from tailrace.gateway._figures.shared import WorkerSlot
    from tailrace.providers import ChatProvider
    from tailrace.sites import ModelGroup

SECRET = "sk-tailrace-0123456789abcdef"
OTHER_SECRET = "sk-tailrace-fedcba9876543210"
KEYS = (Key.of("first", SECRET), Key.of("second", OTHER_SECRET))
MODEL = "held/gpt-4o"
QUESTION = "a question that is nobody's business"
BODY = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": QUESTION}]}


@dataclass(frozen=True)
class Served:
    """A gateway that runs, and where."""

    gateway: Gateway
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def gateway_of(
    providers: Sequence[Site | type[ChatProvider]],
    *,
    tracer_provider: TracerProvider | None = None,
    verdicts_in: Path | None = None,
    groups: Sequence[ModelGroup] = (),
    slot: WorkerSlot | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """The whole gateway over `providers`; what is under way at the end is cut at once."""
    sockets = open_sockets("127.0.0.1", 0)
    gateway = Gateway(
        Settings(**{"grace": 0.0, **settings}),
        ModelRegistry(providers, created=1_700_000_000, groups=groups),
        slot=slot,
        tracer_provider=tracer_provider,
        verdicts_in=verdicts_in,
    )
    await gateway.start(sockets)
    try:
        yield Served(gateway, int(base_urls(sockets)[0].rpartition(":")[2]))
    finally:
        if not gateway.context.shutdown.stopping.is_set():
            await gateway.stop()


class HeldSite:
    """An OpenAI-compatible site that sends its first word at once, and the rest when `let_go`."""

    def __init__(self) -> None:
        self.url = ""
        self.let_go = asyncio.Event()
        self.asked: list[web.Request] = []
        self.open = 0
        self.changed = asyncio.Condition()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.asked.append(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.set_cookie("visitor", f"number-{len(self.asked)}")
        await self._count(1)
        try:
            await response.prepare(request)
            await response.write(_event("first"))
            await self.let_go.wait()
            await response.write(_event(" last") + b"data: [DONE]\n\n")
        finally:
            self.open -= 1
            await asyncio.shield(self._count(0))
        return response

    async def _count(self, more: int) -> None:
        async with self.changed:
            self.open += more
            self.changed.notify_all()

    async def until_open(self, count: int) -> None:
        """Wait until so many answers are under way."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.open == count)

    def provider(self) -> type[ChatProvider]:
        return made("held", OpenAIProvider, self.url, models=["gpt-4o"], default_model="gpt-4o")


def _event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"


@asynccontextmanager
async def held_site() -> AsyncIterator[HeldSite]:
    site = HeldSite()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", site.answer)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.1)
    try:
        site.url = str(server.make_url("/v1"))
        yield site
    finally:
        await server.close()


@dataclass(frozen=True)
class Answer:
    """One reply as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """OpenAI's error object."""
        fields: dict[str, Any] = json.loads(self.body)["error"]
        assert set(fields) == {"message", "type", "param", "code"}
        return fields


async def ask(port: int, request: bytes) -> Answer:
    """Send these bytes on a connection of their own, and read its one reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await read_answer(reader)
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """The next reply of a connection."""
    status, headers = await read_head(reader)
    if "content-length" in headers:
        return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))
    if headers.get("transfer-encoding") != "chunked":
        return Answer(status, headers, b"")
    body = b""
    while chunk := await read_chunk(reader):
        body += chunk
    return Answer(status, headers, body)


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk of a chunked body; empty: the last."""
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """The head of a reply; names in lower case."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value for name, value in headers.items()}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells, and not for ever."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)


def head(method: str, path: str, *lines: str, host: str = "127.0.0.1") -> bytes:
    """The head of a request; `lines` are further headers."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def get(path: str, *lines: str, host: str = "127.0.0.1") -> bytes:
    """A GET without a body."""
    return head("GET", path, *lines, host=host)


def post(
    body: object = None,
    *lines: str,
    path: str = "/v1/chat/completions",
    content_type: str = "application/json",
) -> bytes:
    """A POST of JSON, or of bytes as they are."""
    sent = body if isinstance(body, bytes) else json.dumps(BODY if body is None else body).encode()
    return (
        head("POST", path, f"Content-Type: {content_type}", f"Content-Length: {len(sent)}", *lines)
        + sent
    )
