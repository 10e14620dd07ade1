"""The page with a keyboard alone, on a phone, in the dark, and for those who want no motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect
from visitor import ended

if TYPE_CHECKING:
    from gateway_page import PageServer
    from visitor import Visit, Visitor

PHONE: dict[str, Any] = {
    "viewport": {"width": 375, "height": 667},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
LONG = (
    "Words. " * 80
    + "\n\n```\n"
    + "code " * 60
    + "\n```\n\n| a | b |\n|---|---|\n| "
    + "c" * 90
    + " | d |\n"
)
FOCUS = """() => {
  const element = document.activeElement;
  const around = element.closest(".composer") ?? element;
  const style = getComputedStyle(element.tagName === "TEXTAREA" ? around : element);
  const name = element.getAttribute("aria-label") ?? element.innerText ?? "";
  const outlined = style.outlineStyle !== "none" && style.outlineWidth !== "0px";
  return [element.id || name.trim() || element.tagName, outlined];
}"""
CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => value / 255);
    const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = parts.map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => light(style.getPropertyValue(name));
  const ratio = ([ink, ground]) => {
    const [a, b] = [colour(ink), colour(ground)].sort((x, y) => y - x);
    return [`${ink} on ${ground}`, (a + 0.05) / (b + 0.05)];
  };
  return [
    ["--text", "--ground"], ["--text", "--surface"],
    ["--text", "--accent-soft"], ["--text", "--danger-soft"],
    ["--faint", "--ground"], ["--faint", "--surface"],
    ["--faint", "--sunken"], ["--faint", "--danger-soft"],
    ["--accent", "--ground"], ["--accent", "--accent-soft"], ["--accent-text", "--accent"],
    ["--danger", "--danger-soft"], ["--danger", "--surface"], ["--good", "--surface"],
    ["--code-word", "--surface"], ["--code-text", "--surface"],
    ["--code-name", "--surface"], ["--code-number", "--surface"],
  ].map(ratio);
}"""


async def test_everything_can_be_done_with_the_keyboard(
    server: PageServer, visitor: Visitor
) -> None:
    keyboard = visitor.page.keyboard
    await expect(visitor.message).to_be_focused()
    await keyboard.type("First line")
    await keyboard.press("Shift+Enter")
    await keyboard.type("second line")
    await keyboard.press("Enter")
    await expect(visitor.questions.locator(".text")).to_have_text(
        "First line\nsecond line", use_inner_text=True
    )
    server.script.says("Some ")
    await expect(visitor.answers.locator(".text")).to_have_text("Some")
    await keyboard.press("Escape")
    await ended(visitor.answers.last, "stopped")
    await expect(visitor.message).to_be_focused()
    server.script.answers([LONG])
    await keyboard.press("Shift+Tab")
    await _press_until(visitor, "Shift+Tab", "Retry")
    await keyboard.press("Enter")
    await ended(visitor.answers.last, "done")
    await expect(visitor.message).to_be_focused()
    await _press_until(visitor, "Shift+Tab", "Live")
    await keyboard.press("Enter")
    await expect(visitor.page.locator("main.live")).to_be_visible()
    await _press_until(visitor, "Shift+Tab", "Chat")
    await keyboard.press("Enter")
    await expect(visitor.answers).to_have_count(1)
    await keyboard.press("Control+/")
    await expect(visitor.message).to_be_focused()


async def _press_until(visitor: Visitor, key: str, name: str) -> None:
    for _ in range(30):
        if (await visitor.page.evaluate(FOCUS))[0] == name:
            return
        await visitor.page.keyboard.press(key)
    raise AssertionError(f"{key} does not lead to {name}")


async def test_the_focus_goes_in_reading_order_and_is_always_seen(
    server: PageServer, visitor: Visitor
) -> None:
    answer = await visitor.ask("Say it")
    server.script.answers([LONG])
    await ended(answer, "done")
    await visitor.evaluate("document.activeElement.blur(); document.querySelector('.skip').focus()")
    found = []
    for _ in range(20):
        found.append(await visitor.page.evaluate(FOCUS))
        await visitor.page.keyboard.press("Tab")
    assert [name for name, _ in found[:17]] == [
        "Skip to the content",
        "Chat",
        "Live",
        "Theme: system",
        "Conversations",
        "Options",
        "more",
        "Edit",
        "Copy code",
        "Code",
        "Table",
        "Copy",
        "Retry",
        "message",
        "Site",
        "Model",
        "Compare two",
    ]
    assert [name for name, is_seen in found[:17] if not is_seen] == []


async def test_the_keys_are_said_on_the_page(visitor: Visitor) -> None:
    keys = visitor.page.locator("#keys")
    await expect(keys).to_be_visible()
    await expect(keys).to_have_text(
        "Enter sends Shift+Enter new line ↑ last question Esc stops Ctrl+/ to the message"
    )
    assert await visitor.message.get_attribute("aria-describedby") == "keys"


async def test_enter_that_chooses_a_character_sends_nothing(visitor: Visitor) -> None:
    await visitor.message.fill("にほん")
    await visitor.message.dispatch_event(
        "keydown", {"key": "Enter", "isComposing": True, "bubbles": True}
    )
    await expect(visitor.answers).to_have_count(0)
    await expect(visitor.message).to_have_value("にほん")


async def test_on_a_phone_nothing_is_wider_than_the_screen(
    server: PageServer, visit: Visit
) -> None:
    visitor = await visit(**PHONE)
    await visitor.choose("script")
    await visitor.message.tap()
    await visitor.message.fill("On the way")
    server.script.answers([LONG])
    await visitor.button("Send").tap()
    await ended(visitor.answers.last, "done")
    assert await visitor.overflow() == 0
    for name in ("Conversations", "Options", "Edit", "Copy", "Retry", "Compare two", "Send"):
        box = await visitor.button(name).bounding_box()
        assert box is not None, name
        assert min(box["width"], box["height"]) >= 36, (name, box)
        assert box["x"] >= 0, (name, box)
        assert box["x"] + box["width"] <= 375, (name, box)
    await expect(visitor.message).to_be_in_viewport()
    await visitor.button("Conversations").tap()
    kept = visitor.page.get_by_role("link", name="On the way")
    await expect(kept).to_be_in_viewport()
    assert await visitor.overflow() == 0
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.button("Conversations")).to_be_focused()
    await visitor.button("Conversations").tap()
    await kept.tap()
    await expect(kept).not_to_be_visible()
    await visitor.page.get_by_role("link", name="Live").tap()
    await expect(visitor.page.locator(".plot canvas").first).to_be_visible()
    assert await visitor.overflow() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_systems_colours_are_followed_and_can_be_read(visit: Visit, scheme: str) -> None:
    visitor = await visit(color_scheme=scheme)
    await expect(visitor.page.locator("html")).to_have_attribute("data-theme", scheme)
    ratios = dict(await visitor.page.evaluate(CONTRAST))
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < 4.5} == {}


async def test_the_theme_can_be_chosen_and_is_remembered(visit: Visit) -> None:
    visitor = await visit(color_scheme="light")
    root = visitor.page.locator("html")
    await visitor.button("Theme: system").click()
    await visitor.button("Theme: light").click()
    await expect(root).to_have_attribute("data-theme", "dark")
    await visitor.page.reload()
    await expect(root).to_have_attribute("data-theme", "dark")
    await visitor.button("Theme: dark").click()
    await expect(root).to_have_attribute("data-theme", "light")
    await visitor.page.emulate_media(color_scheme="dark")
    await expect(root).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
async def test_nothing_moves_for_those_who_want_no_motion(
    server: PageServer, visit: Visit, motion: str, *, moves: bool
) -> None:
    visitor = await visit(reduced_motion=motion)
    await visitor.choose("script")
    answer = await visitor.ask("Wait")
    await expect(answer.locator(".waiting")).to_be_visible()
    assert bool(await visitor.evaluate("document.getAnimations().length")) is moves
    server.script.ends()
    await ended(answer, "done")
