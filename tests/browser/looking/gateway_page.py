"""The gateway to look at, in front of the replica and of a scripted site."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tailrace._calls.token_cache import TokenCache
from tailrace.gateway import Gateway, ModelRegistry, Settings, base_urls, open_sockets
from tailrace.providers import OpenAIProvider, WordPressChatProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from scripted_site import ScriptedSite

    from tailrace.providers import ChatProvider
    from tailrace.replica import Replica


@dataclass
class PageServer:
    """A gateway that can be stopped and started anew on the same port, and the sites behind it."""

    replica: Replica
    script: ScriptedSite
    verdicts_in: Path
    settings: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    url: str = ""
    _gateway: Gateway | None = None

    @property
    def sites(self) -> list[type[ChatProvider]]:
        """`script` says what a test says; `open` and `shop` are the replica's."""
        models = {"models": ["gpt-4o-mini", "gpt-4o"], "default_model": "gpt-4o-mini"}
        openai = f"{self.replica.url('openai')}/v1"
        page = self.replica.page("ai-power", "stream")
        return [
            _made("script", OpenAIProvider, self.script.url, models=["said"], default_model="said"),
            _made("open", OpenAIProvider, openai, **models),
            _made("shop", WordPressChatProvider, page, token_cache=TokenCache()),
        ]

    async def start(self) -> None:
        sockets = open_sockets("127.0.0.1", self.port)
        self.url = base_urls(sockets)[0]
        self.port = int(self.url.rpartition(":")[2])
        settings = Settings(grace=0.0, **self.settings)
        registry = ModelRegistry(self.sites, created=1_700_000_000)
        self._gateway = Gateway(settings, registry, verdicts_in=self.verdicts_in)
        await self._gateway.start(sockets)

    async def stop(self) -> None:
        if self._gateway is not None:
            await self._gateway.stop()
        self._gateway = None


@asynccontextmanager
async def gateway(
    replica: Replica, script: ScriptedSite, verdicts_in: Path, **settings: Any
) -> AsyncIterator[PageServer]:
    server = PageServer(replica, script, verdicts_in, settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def _made(
    name: str, base: type[ChatProvider], url: str, **attributes: object
) -> type[ChatProvider]:
    return type(name, (base,), {"url": url, "__module__": __name__, **attributes})
