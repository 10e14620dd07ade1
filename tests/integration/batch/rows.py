"""What the tests of whole batches share: inputs, servers, and what a run left in its folder."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tailrace import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chat(prompt: str, **fields: Any) -> dict[str, Any]:
    """A body of chat completions."""
    return {"messages": [{"role": "user", "content": prompt}], **fields}


def write_rows(path: Path, bodies: Iterable[dict[str, Any] | tuple[str, dict[str, Any]]]) -> Path:
    """Write OpenAI's batch lines; a body may have its endpoint in front of it."""
    with path.open("w") as file:
        for number, each in enumerate(bodies):
            url, body = each if isinstance(each, tuple) else (CHAT, each)
            line = {"custom_id": f"row {number}", "method": "POST", "url": url, "body": body}
            file.write(json.dumps(line) + "\n")
    return path


def answers(folder: Path, shard: str = "00000-of-00001") -> dict[str, Any]:
    """The answered rows, each once, by id."""
    return _by_id(folder / f"part-{shard}.jsonl")


def failures(folder: Path, shard: str = "00000-of-00001") -> dict[str, Any]:
    """The failed rows, each once, by id."""
    return _by_id(folder / f"errors-{shard}.jsonl")


def _by_id(path: Path) -> dict[str, Any]:
    lines = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    counts = Counter(line["custom_id"] for line in lines)
    assert max(counts.values(), default=1) == 1, counts.most_common(3)
    return {line["custom_id"]: line for line in lines}


def completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }


class Server:
    """A server of OpenAI's API: `answer` is given the path and the body, and answers.

    `bodies`: what it was asked, in their order; `most`: requests under way at once, at most.
    """

    def __init__(
        self, answer: Callable[[str, dict[str, Any]], Awaitable[web.StreamResponse]]
    ) -> None:
        self.answer = answer
        self.bodies: list[dict[str, Any]] = []
        self.requests: list[web.Request] = []
        self.under_way = self.most = 0
        self._changed = asyncio.Event()
        self.url = ""

    def site(self, **options: Any) -> Site:
        return Site(self.url, software="openai", **{"model": "m", **options})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.bodies.append(body)
        self.requests.append(request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self._changed.set()
        try:
            return await self.answer(request.path, body)
        finally:
            self.under_way -= 1
            self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until what has been asked, or is under way, is as it is to be."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][-1]["content"] for body in self.bodies]


async def repeat(path: str, body: dict[str, Any]) -> web.Response:
    """Answer a chat with its prompt."""
    del path
    return web.json_response(completion(body["messages"][-1]["content"]))


@asynccontextmanager
async def served(
    answer: Callable[[str, dict[str, Any]], Awaitable[web.StreamResponse]] = repeat, port: int = 0
) -> AsyncIterator[Server]:
    server = Server(answer)
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/{path:.*}", server.handle)
    async with TestServer(app, handler_cancellation=True, port=port) as listening:
        server.url = str(listening.make_url("/v1"))
        yield server
