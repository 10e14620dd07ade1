"""A gateway to look at: the page and all that it asks, in front of the replica and of a scripted site."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from tailrace.gateway import api, page
from tailrace.gateway.catalogue import Catalogue
from tailrace.gateway.context import CONTEXT, Context
from tailrace.gateway.life import Life
from tailrace.gateway.settings import Settings
from tailrace.gateway.watch import Watch
from tailrace.providers import OpenAIProvider, WordPressChatProvider
from tailrace.providers.base import World
from tailrace.tokens import TokenCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scripted_site import ScriptedSite

    from tailrace.providers import ChatProvider
    from tailrace.replica import Replica


@dataclass
class Seen:
    """The gateway at `url`, and the sites behind it."""

    url: str
    replica: Replica
    script: ScriptedSite


@asynccontextmanager
async def gateway(replica: Replica, script: ScriptedSite) -> AsyncIterator[Seen]:
    catalogue = Catalogue(sites(replica, script), created=1_700_000_000)
    context = Context(settings=Settings(), catalogue=catalogue, watch=Watch(), world=World(), life=Life())
    app = web.Application()
    app[CONTEXT] = context
    app.add_routes([*page.routes(), *api.routes(context)])
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Seen(f"http://127.0.0.1:{runner.addresses[0][1]}", replica, script)
    finally:
        await runner.cleanup()
        await context.upstreams.aclose()


def sites(replica: Replica, script: ScriptedSite) -> list[type[ChatProvider]]:
    """`script` says what a test says; `open` and `shop` are the replica's."""
    models = {"models": ["gpt-4o-mini", "gpt-4o"], "default_model": "gpt-4o-mini"}
    openai = f"{replica.url('openai')}/v1"
    return [
        _made("script", OpenAIProvider, script.url, models=["said"], default_model="said"),
        _made("open", OpenAIProvider, openai, **models),
        _made("shop", WordPressChatProvider, replica.page("ai-power", "stream"), token_cache=TokenCache()),
    ]


def _made(name: str, base: type[ChatProvider], url: str, **attributes: object) -> type[ChatProvider]:
    return type(name, (base,), {"url": url, "__module__": __name__, **attributes})
