"""An OpenAI-compatible server whose answers a test writes, piece by piece."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class WrittenSite:
    """An OpenAI-compatible server whose answers the test writes, piece by piece."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.gone = asyncio.Event()
        self.pieces: asyncio.Queue[str | type[OSError] | None] = asyncio.Queue()

    def write(self, *pieces: str | type[OSError] | None) -> None:
        """Send pieces of the answer; None ends it, and OSError breaks it off.

        A piece that begins with a bracket is the finish reason within it.
        """
        for piece in pieces:
            self.pieces.put_nowait(piece)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while (piece := await self.pieces.get()) is not None:
                if not isinstance(piece, str):
                    assert request.transport is not None
                    request.transport.abort()
                    return response
                choice: dict[str, Any] = {"delta": {"content": piece}}
                if piece.startswith("["):
                    choice = {"delta": {}, "finish_reason": piece.strip("[]")}
                data = json.dumps({"choices": [choice]})
                await response.write(f"data: {data}\n\n".encode())
        except asyncio.CancelledError:
            self.gone.set()
            raise
        await response.write(b"data: [DONE]\n\n")
        return response


@asynccontextmanager
async def written_site() -> AsyncIterator[WrittenSite]:
    site = WrittenSite()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", site.answer)
    async with TestServer(app, handler_cancellation=True, shutdown_timeout=0.1) as server:
        site.url = str(server.make_url("/v1"))
        yield site
