"""A gateway with keys: the page asks for one, keeps it in its tab, and gives it to nobody else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect
from visitor import ended

from tailrace.gateway import Key

if TYPE_CHECKING:
    from gateway_page import PageServer
    from playwright.async_api import Route
    from visitor import Visit, Visitor

SECRET = "sk-tailrace-0123456789abcdef"
UNAUTHORIZED = 401

# A slow browser: the event of a dialog that was closed comes once the dialog is open again.
LATE_CLOSE_EVENTS = """
const late = [];
addEventListener("close", (event) => {
  if (!event.isTrusted) return;
  event.stopImmediatePropagation();
  late.push(event.target);
}, true);
const show = HTMLDialogElement.prototype.showModal;
HTMLDialogElement.prototype.showModal = function () {
  show.call(this);
  setTimeout(() => late.splice(0).forEach((dialog) => dialog.dispatchEvent(new Event("close"))));
};
"""


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"keys": (Key.of("page", SECRET),)}


async def enter(visitor: Visitor, key: str) -> None:
    await visitor.page.get_by_label("Key", exact=True).fill(key)
    await visitor.page.keyboard.press("Enter")


async def test_a_key_is_asked_for_and_kept_in_the_tab_alone(
    server: PageServer, visit: Visit
) -> None:
    visitor = await visit()
    dialog = visitor.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("This gateway wants a key")
    await enter(visitor, "sk-tailrace-of-somebody-else")
    await expect(dialog).to_contain_text("The key of this tab was refused.")
    await enter(visitor, SECRET)
    await expect(dialog).not_to_be_visible()
    await visitor.choose("script")
    answer = await visitor.ask("Hello")
    server.script.answers(["Welcome."])
    await ended(answer, "done")
    assert SECRET not in await visitor.evaluate("JSON.stringify({ ...localStorage })")
    assert SECRET in await visitor.evaluate("JSON.stringify({ ...sessionStorage })")
    assert not any(SECRET in url for url in visitor.requests)
    assert all("authorization" not in headers for headers in server.script.heads)
    await visitor.page.reload()
    await expect(visitor.answers.last).to_contain_text("Welcome.")
    await expect(dialog).not_to_be_visible()
    other = await visitor.page.context.new_page()
    await other.goto(server.url)
    await expect(other.get_by_role("dialog")).to_be_visible()


async def test_a_refusal_is_shown_however_late_the_dialog_is_said_to_have_closed(
    visit: Visit,
) -> None:
    visitor = await visit()
    await visitor.page.add_init_script(LATE_CLOSE_EVENTS)
    await visitor.page.reload()
    dialog = visitor.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("This gateway wants a key")
    await enter(visitor, "sk-tailrace-of-somebody-else")
    await expect(dialog).to_contain_text("The key of this tab was refused.")
    await enter(visitor, "sk-tailrace-of-somebody-else-too")
    await expect(dialog).to_contain_text("The key of this tab was refused.")
    await enter(visitor, SECRET)
    await expect(dialog).not_to_be_visible()
    await visitor.choose("script")


async def test_a_late_refusal_of_one_key_does_not_undo_the_next(visit: Visit) -> None:
    visitor = await visit()
    held = asyncio.Event()

    async def refuse_late(route: Route) -> None:
        if "somebody-else" in (route.request.headers.get("authorization") or ""):
            await held.wait()
        await route.continue_()

    await visitor.page.route("**/v1/models", refuse_late)
    await enter(visitor, "sk-tailrace-of-somebody-else")
    await visitor.button("Forget key").click()
    await enter(visitor, SECRET)
    await visitor.choose("script")
    async with visitor.page.expect_response(lambda reply: reply.status == UNAUTHORIZED) as refusal:
        held.set()
    await (await refusal.value).finished()
    await visitor.evaluate("new Promise((shown) => requestAnimationFrame(() => setTimeout(shown)))")
    await expect(visitor.page.get_by_role("dialog")).not_to_be_visible()
    await expect(visitor.button("Forget key")).to_be_visible()
    await visitor.choose("script")


async def test_the_key_can_be_forgotten(visit: Visit) -> None:
    visitor = await visit()
    await enter(visitor, SECRET)
    await visitor.choose("script")
    await visitor.button("Forget key").click()
    await expect(visitor.page.get_by_role("dialog")).to_be_visible()
    assert await visitor.evaluate("sessionStorage.length") == 0


async def test_who_closes_the_dialog_can_open_it_again(visit: Visit) -> None:
    visitor = await visit("#live")
    dialog = visitor.page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    await visitor.page.keyboard.press("Escape")
    await expect(dialog).not_to_be_visible()
    await visitor.button("Enter key").click()
    await enter(visitor, SECRET)
    await expect(visitor.page.locator(".state")).to_contain_text("Live")


async def test_the_dialog_keeps_the_focus(visit: Visit) -> None:
    visitor = await visit()
    field = visitor.page.get_by_label("Key", exact=True)
    await expect(field).to_be_focused()
    for _ in range(6):
        await visitor.page.keyboard.press("Tab")
        inside = (
            "document.activeElement === document.body || "
            "document.activeElement.closest('dialog') !== null"
        )
        assert await visitor.evaluate(inside)


async def test_a_key_that_is_refused_in_the_middle_is_asked_for_anew(
    server: PageServer, visit: Visit
) -> None:
    visitor = await visit()
    await enter(visitor, SECRET)
    await visitor.choose("script")
    server.settings["keys"] = (Key.of("page", "sk-tailrace-another-key"),)
    await server.stop()
    await server.start()
    answer = await visitor.ask("Hello")
    await ended(answer, "failed")
    await expect(answer.locator(".badge")).to_contain_text("HTTP 401")
    await expect(visitor.page.get_by_role("dialog")).to_contain_text(
        "The key of this tab was refused."
    )
    await enter(visitor, "sk-tailrace-another-key")
    server.script.answers(["Welcome back."])
    await visitor.button("Retry").click()
    await expect(visitor.answers.last).to_contain_text("Welcome back.")
