"""Takes the documents' pictures of the page: the gateway in front of the replica, with a minute's
load on it.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import chromium
from playwright.async_api import async_playwright
from visitor import Visitor, ended

from tailrace.gateway import Gateway, ModelRegistry, Settings, base_urls, open_sockets
from tailrace.providers import GeminiProChatProvider, OpenAIProvider, WordPressChatProvider
from tailrace.replica import Replica
from tailrace.sites._verdicts import Verdict, store_verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from tailrace.providers import ChatProvider

LOAD_SECONDS = 75.0
CALLERS = 24
DESK: dict[str, Any] = {"viewport": {"width": 1120, "height": 760}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 375, "height": 740},
    "is_mobile": True,
    "has_touch": True,
}
QUESTION = "What runs off below the mill?"
WEATHER = """[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object",
 "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
 "required": ["city", "day"]}}}]"""


async def main(folder: Path) -> None:
    path = chromium.find()
    if path is None:
        sys.exit(chromium.NONE_HERE)
    async with AsyncExitStack() as stack:
        replica = await stack.enter_async_context(Replica(pace=0.03))
        url = await stack.enter_async_context(gateway(sites(replica)))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=path, args=chromium.ARGUMENTS)
        stack.push_async_callback(browser.close)
        await take_chat(browser, url, folder)
        await take_live(browser, url, folder)


def sites(replica: Replica) -> list[type[ChatProvider]]:
    models = {"models": ["gpt-4o-mini", "gpt-4o"], "default_model": "gpt-4o-mini"}
    return [
        _made("shop", WordPressChatProvider, replica.page("ai-power", "stream")),
        _made("helpdesk", WordPressChatProvider, replica.page("aipkit", "inline")),
        _made("gemini", GeminiProChatProvider, replica.url("geminiprochat")),
        _made("local", OpenAIProvider, f"{replica.url('openai')}/v1", **models),
    ]


def _made(
    name: str, base: type[ChatProvider], url: str, **attributes: object
) -> type[ChatProvider]:
    return type(name, (base,), {"url": url, "__module__": __name__, **attributes})


@asynccontextmanager
async def gateway(providers: list[type[ChatProvider]]) -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for provider, failed in zip(providers, (None, None, "challenge"), strict=False):
            verdict = Verdict(
                site=provider.__name__, url=provider.url, failed=failed, at=time.time() - 800
            )
            store_verdict(verdict, Path(folder))
        sockets = open_sockets("127.0.0.1", 0)
        running = Gateway(
            Settings(grace=0.0),
            ModelRegistry(providers, created=int(time.time())),
            verdicts_in=Path(folder),
        )
        await running.start(sockets)
        try:
            yield base_urls(sockets)[0]
        finally:
            await running.stop()


async def take_chat(browser: Browser, url: str, folder: Path) -> None:
    for name, options in {"chat": DESK, "chat-phone": PHONE}.items():
        visitor = await Visitor.arrive(await browser.new_context(**options), url)
        await visitor.choose("shop")
        await ended(await visitor.ask(QUESTION), "done")
        await picture(visitor, folder / f"{name}.png")
    visitor = await Visitor.arrive(await browser.new_context(**DESK, color_scheme="dark"), url)
    await visitor.choose("local")
    await ended(await visitor.ask("And then? [[midfail]]"), "failed")
    answer = await visitor.ask(QUESTION)
    await answer.locator("blockquote, li, table").first.wait_for()
    await picture(visitor, folder / "chat-dark.png")
    await take_tools(await Visitor.arrive(await browser.new_context(**DESK), url), folder)
    await take_two(await Visitor.arrive(await browser.new_context(**DESK), url), folder)


async def take_tools(visitor: Visitor, folder: Path) -> None:
    await visitor.choose("local")
    await visitor.button("Options").click()
    await visitor.page.get_by_label("Tools, as JSON").fill(WEATHER)
    await visitor.button("Set").click()
    answer = await visitor.ask("Will the wheel turn tomorrow? [[think]] [[tool]]")
    await ended(answer, "done")
    await answer.locator(".reasoning summary").click()
    await answer.get_by_label("Result of weather").fill("Rain from noon, 14 mm")
    await picture(visitor, folder / "chat-tools.png")


async def take_two(visitor: Visitor, folder: Path) -> None:
    await visitor.choose("local")
    for question in ("How is a wheel measured?", "Names of old mills", QUESTION):
        await visitor.page.goto(f"{visitor.origin}/#chat")
        await ended(await visitor.ask(question), "done")
    await visitor.button("Conversations").click()
    await visitor.page.get_by_role("link", name="New conversation").click()
    await visitor.button("Compare two").click()
    await visitor.message.fill("What does a miller do when the water is low?")
    await visitor.message.press("Enter")
    for at in (0, 1):
        await ended(visitor.answers.nth(at), "done")
    await visitor.page.locator(".scroll").evaluate("element => element.scrollTo(0, 0)")
    await picture(visitor, folder / "chat-two.png")


async def take_live(browser: Browser, url: str, folder: Path) -> None:
    desk: dict[str, Any] = {"viewport": {"width": 1120, "height": 1060}}
    looks = {"live": desk, "live-dark": {**desk, "color_scheme": "dark"}, "live-phone": PHONE}
    contexts = {name: await browser.new_context(**look) for name, look in looks.items()}
    visitors = {
        name: await Visitor.arrive(context, url, "#live") for name, context in contexts.items()
    }
    load = asyncio.create_task(put_load_on(url))
    await asyncio.sleep(LOAD_SECONDS)
    for name, visitor in visitors.items():
        await picture(visitor, folder / f"{name}.png")
    await load


async def put_load_on(url: str) -> None:
    """Callers that ask, and pause, for a little longer than is looked at."""
    until = time.monotonic() + LOAD_SECONDS + 5
    chance = random.Random(1)
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(_ask_until(session, url, until, chance) for _ in range(CALLERS)))


async def _ask_until(
    session: aiohttp.ClientSession, url: str, until: float, chance: random.Random
) -> None:
    while time.monotonic() < until:
        await asyncio.sleep(chance.uniform(0, 12))
        body: dict[str, Any] = {
            "model": chance.choice(
                ["shop/default", "helpdesk/default", "gemini/default", "local/gpt-4o"]
            ),
            "stream": True,
            "messages": [
                {
                    "role": "user",
                    "content": chance.choice([QUESTION] * 9 + ["[[midfail]]", "[[err429]]"]),
                }
            ],
        }
        async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
            await reply.read()


async def picture(visitor: Visitor, file: Path) -> None:
    await visitor.check()
    await visitor.page.screenshot(path=file)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
