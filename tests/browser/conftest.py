"""One browser for all tests; a gateway, and a visit of its own, for each.

All run in one loop, as the browser must.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import chromium
import pytest
import pytest_asyncio
from gateway_page import gateway
from playwright.async_api import async_playwright
from scripted_site import scripted_site
from visitor import PATIENCE, Visitor

from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway_page import PageServer
    from playwright.async_api import Browser
    from visitor import Visit


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = chromium.find()
    if path is None and chromium.must_be_there():
        pytest.fail(f"{chromium.NONE_HERE}, which CI must not leave out")
    if path is None:
        pytest.skip(chromium.NONE_HERE)
    async with async_playwright() as playwright:
        yield await playwright.chromium.launch(executable_path=path, args=chromium.ARGUMENTS)


@pytest.fixture
def settings() -> dict[str, Any]:
    """The gateway's settings; a module whose gateway has others has its own."""
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path, settings: dict[str, Any]) -> AsyncIterator[PageServer]:
    async with (
        Replica() as replica,
        scripted_site() as script,
        gateway(replica, script, tmp_path, **settings) as running,
    ):
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, server: PageServer) -> AsyncIterator[Visit]:
    async with contextlib.AsyncExitStack() as stack:
        visitors: list[Visitor] = []

        async def arrive(fragment: str = "", **options: Any) -> Visitor:
            context = await browser.new_context(**options)
            context.set_default_timeout(PATIENCE)
            stack.push_async_callback(context.close)
            visitors.append(await Visitor.arrive(context, server.url, fragment))
            return visitors[-1]

        yield arrive
        for visitor in visitors:
            await visitor.check()


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(visit: Visit) -> Visitor:
    """At the page, where the models are known."""
    arrived = await visit()
    await arrived.choose("script")
    return arrived
