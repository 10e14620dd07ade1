"""An OpenAI-compatible server that says what a test tells it to say, when it tells it to."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


class ScriptedSite:
    """`says` puts text into the answer that comes next or is under way, `sends` any delta.

    `ends` ends it.

    `asked` and `heads`: what it was sent.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Any] = []
        self.heads: list[dict[str, str]] = []
        self._script: asyncio.Queue[bytes | None] = asyncio.Queue()

    def says(self, *texts: str) -> None:
        self.sends(*({"content": text} for text in texts))

    def sends(self, *deltas: dict[str, Any]) -> None:
        for delta in deltas:
            self._script.put_nowait(_event(delta))

    def ends(self, reason: str = "stop") -> None:
        self._script.put_nowait(_event({}, reason) + b"data: [DONE]\n\n")
        self._script.put_nowait(None)

    def answers(self, texts: Iterable[str]) -> None:
        self.says(*texts)
        self.ends()

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.heads.append({name.lower(): value for name, value in request.headers.items()})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while (event := await self._script.get()) is not None:
            await response.write(event)
        await response.write_eof()
        return response


def _event(delta: dict[str, Any], reason: str | None = None) -> bytes:
    record = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    return f"data: {json.dumps(record)}\n\n".encode()


@asynccontextmanager
async def scripted_site() -> AsyncIterator[ScriptedSite]:
    site = ScriptedSite()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", site.complete)
    async with TestServer(app) as server:
        site.url = str(server.make_url("/v1"))
        yield site
