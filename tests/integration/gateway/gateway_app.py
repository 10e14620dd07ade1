"""A gateway on a real socket, in front of the replica's sites or of one written by hand, and
clients of it.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from tailrace import SSEDecoder
from tailrace._calls.token_cache import TokenCache
from tailrace.gateway import Gateway, ModelRegistry, Settings, base_urls, open_sockets
from tailrace.providers import (
    ChatgptDemoProvider,
    GeminiProChatProvider,
    OpenAIProvider,
    WordPressChatProvider,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from tailrace.gateway._context import Context
    from tailrace.providers import ChatProvider
    from tailrace.replica import Replica
    from tailrace.sites import ModelGroup, Site

CREATED = 1_700_000_000


@dataclass(frozen=True)
class RunningGateway:
    """The gateway that runs at `url`, and its context."""

    url: str
    context: Context

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"


@asynccontextmanager
async def serving(
    sites: Sequence[Site | type[ChatProvider]],
    groups: Sequence[ModelGroup] = (),
    **settings: Any,
) -> AsyncIterator[RunningGateway]:
    """The whole gateway over `sites`, without keys, once it knows their models; what is under way
    at the end is cut at once.
    """
    sockets = open_sockets("127.0.0.1", 0)
    gateway = Gateway(
        Settings(**{"grace": 0.0, **settings}), ModelRegistry(sites, created=CREATED, groups=groups)
    )
    await gateway.start(sockets)
    try:
        await until(lambda: gateway.lists.resting)
        yield RunningGateway(base_urls(sockets)[0], gateway.context)
    finally:
        await gateway.stop()


def made(name: str, base: type[ChatProvider], url: str, **attributes: Any) -> type[ChatProvider]:
    """A provider of `base` at `url`, called `name`."""
    if issubclass(base, WordPressChatProvider):
        attributes.setdefault("token_cache", TokenCache())
    return type(name, (base,), {"url": url, "__module__": __name__, **attributes})


def replicas_sites(replica: Replica) -> list[type[ChatProvider]]:
    """One site of every dialect."""
    return [
        made("shop", WordPressChatProvider, replica.page("ai-power", "stream")),
        made("whole", WordPressChatProvider, replica.page("ai-power", "json")),
        made("kit", WordPressChatProvider, replica.page("aipkit", "inline")),
        made("engine", WordPressChatProvider, replica.url("ai-engine")),
        made("gem", GeminiProChatProvider, replica.url("geminiprochat")),
        made("demo", ChatgptDemoProvider, replica.url("chatgpt-demo")),
        made(
            "open",
            OpenAIProvider,
            f"{replica.url('openai')}/v1",
            models=["gpt-4o-mini", "gpt-4o"],
            default_model="gpt-4o-mini",
            model_aliases={"mini": "gpt-4o-mini"},
        ),
        made("any", OpenAIProvider, f"{replica.url('openai')}/v1"),
    ]


def asking(text: str, model: str = "shop/default", **more: Any) -> dict[str, Any]:
    """A request's body."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


@asynccontextmanager
async def posting(
    gateway: RunningGateway, body: Any, **more: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    """A completion asked for, by a client of aiohttp's own."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.base_url}/chat/completions", json=body, **more) as reply,
    ):
        yield reply


async def events(reply: aiohttp.ClientResponse) -> list[Any]:
    """The data of the reply's events, read as JSON but for the sentinel."""
    decoder = SSEDecoder()
    found = [event.data for event in decoder.feed(await reply.read())]
    assert decoder.close() == []
    return [data if data == "[DONE]" else json.loads(data) for data in found]


def asked(replica: Replica) -> int:
    """How many questions reached the replica's sites: not their lists of models."""
    return sum(each.method == "POST" for each in replica.exchanges)


def cut(replica: Replica) -> int:
    """How many answers of the sites were not taken to their end, lists of models aside."""
    answers = (each for each in replica.exchanges if not each.path.endswith("/models"))
    return sum(each.ended == "aborted" for each in answers)


def content(chunks: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]
    )


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)


def outcomes(gateway: RunningGateway) -> dict[str, int]:
    """How the streams ended, as the gateway counted them."""
    found: dict[str, int] = {}
    for figures in gateway.context.stream_figures.snapshot().figures:
        for outcome, count in figures.outcomes.items():
            found[outcome] = found.get(outcome, 0) + count
    return found
