"""Live in a real browser: the gateway's figures as they change, and what becomes of them when
nobody looks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect
from visitor import ended

from tailrace.gateway._web import page
from tailrace.sites._verdicts import Verdict, store_verdict

if TYPE_CHECKING:
    from gateway_page import PageServer
    from playwright.async_api import Locator
    from visitor import Visit, Visitor

LIVE = "/live?past=600"
HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
PICTURE = "canvas => canvas.toDataURL()"
UPPER_HALF = """canvas => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(60, 0, width - 60, height / 2);
  let strong = 0; // pixels of the first line's colour, which is neither the grid's nor the words'
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] === 255 && data[at] < 60 && data[at + 1] > 100) strong += 1;
  return strong;
}"""


def tile(live: Visitor, title: str) -> Locator:
    return (
        live.page.locator(".tile")
        .filter(has=live.page.get_by_text(title, exact=True))
        .locator("dd")
    )


def plot(live: Visitor, title: str) -> Locator:
    return live.page.get_by_role("img", name=title)


def row(live: Visitor, name: str) -> Locator:
    return live.page.get_by_role("row").filter(
        has=live.page.get_by_role("rowheader", name=name, exact=True)
    )


async def test_the_figures_follow_the_streams(
    server: PageServer, visit: Visit, visitor: Visitor
) -> None:
    live = await visit("#live")
    await expect(live.page.locator(".state")).to_contain_text("Live")
    await expect(tile(live, "Open streams").first).to_have_text("0")
    await expect(tile(live, "Time to first delta").first).to_have_text("\N{EN DASH}")
    before = await plot(live, "Open streams").locator("canvas").evaluate(PICTURE)
    assert await plot(live, "Open streams").locator("canvas").evaluate(UPPER_HALF) == 0
    answer = await visitor.ask("Hold on")
    server.script.says("one ", "two ")
    await expect(tile(live, "Open streams")).to_have_text(["1", "1 so far"])
    await expect(plot(live, "Open streams")).to_have_accessible_name("Open streams: open 1")
    await expect(row(live, "script").get_by_role("cell").first).to_have_text("1")
    assert await plot(live, "Open streams").locator("canvas").evaluate(PICTURE) != before
    server.script.says("three ")
    server.script.ends()
    await ended(answer, "done")
    await expect(tile(live, "Open streams")).to_have_text(["0", "1 so far"])
    await expect(tile(live, "Deltas a second").last).to_have_text("3 so far")
    await expect(tile(live, "Time to first delta").first).to_contain_text("s")
    await expect(plot(live, "Time to first delta")).to_have_accessible_name(
        re.compile(r"p50 [\d.]+ m?s, p95")
    )
    later = await visit("#live")
    await expect(later.page.locator(".state")).to_contain_text("Live")
    assert await plot(later, "Open streams").locator("canvas").evaluate(UPPER_HALF) > 0


async def test_errors_are_counted_by_kind(visit: Visit, visitor: Visitor) -> None:
    await visitor.choose("open")
    for question in ("[[midfail]] one", "[[midfail]] two", "[[err429]]"):
        await ended(await visitor.ask(question), "failed")
    live = await visit("#live")
    await expect(tile(live, "Errors")).to_have_text(["3", "mostly upstream"])
    await expect(row(live, "upstream").get_by_role("cell").first).to_have_text("2")
    await expect(row(live, "rate_limit").get_by_role("cell").first).to_have_text("1")
    await expect(row(live, "open").get_by_role("cell").nth(2)).to_have_text("3")


async def test_the_doctors_last_word_stands_beside_each_site(
    server: PageServer, visit: Visit
) -> None:
    script, openai, _ = server.sites
    store_verdict(
        Verdict(site="script", url=script.url, failed=None, at=1_700_000_000), server.verdicts_in
    )
    store_verdict(
        Verdict(site="open", url=openai.url, failed="challenge", at=1_700_000_000),
        server.verdicts_in,
    )
    live = await visit("#live")
    await expect(row(live, "script")).to_contain_text("works")
    await expect(row(live, "script")).to_contain_text("days ago")
    await expect(row(live, "open")).to_contain_text("fails at challenge")
    await expect(row(live, "shop")).to_contain_text("not examined yet: tailrace doctor shop")


async def test_a_page_nobody_sees_asks_nothing(visit: Visit) -> None:
    live = await visit("#live")
    state = live.page.locator(".state")
    await expect(state).to_contain_text("Live")
    async with live.page.expect_event("requestfailed", lambda request: request.url.endswith(LIVE)):
        await live.page.evaluate(HIDE, arg=True)
    await expect(state).to_contain_text("Paused")
    async with live.page.expect_request("**/live?*"):
        await live.page.evaluate(HIDE, arg=False)
    await expect(state).to_contain_text("Live")


async def test_looking_away_ends_it_too(visit: Visit) -> None:
    live = await visit("#live")
    await expect(live.page.locator(".state")).to_contain_text("Live")
    async with live.page.expect_event("requestfailed", lambda request: request.url.endswith(LIVE)):
        await live.page.get_by_role("link", name="Chat").click()
    await expect(live.message).to_be_visible()


async def test_a_gateway_that_comes_back_is_found_again(server: PageServer, visit: Visit) -> None:
    live = await visit("#live")
    state = live.page.locator(".state")
    await expect(state).to_contain_text("Live")
    await server.stop()
    await expect(state).to_contain_text("Trying again soon.")
    await server.start()
    await expect(state).to_contain_text("Live")
    asked = [url for url in live.requests if url.endswith(LIVE)]
    assert len(asked) < 8


async def test_the_plots_take_the_themes_colours(visit: Visit) -> None:
    live = await visit("#live", color_scheme="light")
    await expect(live.page.locator(".state")).to_contain_text("Live")
    canvas = plot(live, "Open streams").locator("canvas")
    light = await canvas.evaluate(PICTURE)
    await live.page.emulate_media(color_scheme="dark")
    await expect(live.page.locator("html")).to_have_attribute("data-theme", "dark")
    assert await canvas.evaluate(PICTURE) != light


@pytest.mark.parametrize("locale", ["de", "ar", "en-US@posix"])  # the last is LANG=C's
async def test_the_figures_are_the_same_in_every_language(visit: Visit, locale: str) -> None:
    live = await visit(locale=locale)
    assert await live.evaluate("navigator.language") == locale
    await live.page.get_by_role("link", name="Live").click()
    await expect(live.page.locator(".state")).to_contain_text("Live")
    await expect(tile(live, "Deltas a second")).to_have_text(["0", "0 so far"])
    await expect(plot(live, "Open streams").locator("canvas")).to_be_visible()


async def test_what_could_not_be_loaded_is_told_from_who_cannot_be_reached(
    server: PageServer, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    parted, gone = await visit(), await visit()
    await server.stop()
    await gone.page.get_by_role("link", name="Live").click()
    await expect(gone.page.get_by_role("status")).to_contain_text("The gateway cannot be reached.")
    files = [path for path in page._files() if path.name != "live.js"]
    monkeypatch.setattr(page, "_files", lambda: iter(files))
    await server.start()
    await parted.page.get_by_role("link", name="Live").click()
    await expect(parted.page.get_by_role("status")).to_have_text(
        "Live could not be loaded: the gateway answered HTTP 404."
    )
    monkeypatch.undo()
    await server.stop()
    await server.start()
    await parted.button("Load the page again").click()
    await expect(parted.page.locator(".state")).to_contain_text("Live")
