"""Conversations in a real browser: kept there, in branches, two sites side by side, as files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from playwright.async_api import expect
from visitor import ended

if TYPE_CHECKING:
    from pathlib import Path

    from gateway_page import PageServer
    from playwright.async_api import Locator
    from visitor import Visit, Visitor

FILL = """() => {
  for (let size = 2 ** 23; size >= 1; size /= 2) {
    try { localStorage.setItem(`filled${size}`, "x".repeat(size)); } catch { /* less, then */ }
  }
}"""
KEPT = "Object.keys(localStorage).filter((name) => /conversation|head/.test(name))"
NOTHING_KEPT = """
Object.defineProperty(Storage.prototype, "setItem", { value() { throw new Error("closed"); } });
"""


async def told(server: PageServer, visitor: Visitor, question: str, answer: str) -> None:
    server.script.answers([answer])
    await ended(await visitor.ask(question), "done")


async def more(visitor: Visitor, item: str) -> None:
    await visitor.page.get_by_label("More").click()
    await visitor.button(item).click()


def listed(visitor: Visitor) -> Locator:
    return visitor.page.get_by_role("navigation", name="Conversations").locator("li .name")


async def test_several_are_kept_until_they_are_deleted(
    server: PageServer, visitor: Visitor
) -> None:
    await told(server, visitor, "The first\nof two", "Kept **well**.")
    await visitor.page.reload()
    await expect(visitor.questions.locator(".text")).to_have_text(["The first\nof two"])
    await expect(visitor.answers.locator("strong")).to_have_text("well")
    await expect(visitor.page.get_by_label("Site", exact=True)).to_have_value("script")
    await visitor.page.get_by_role("link", name="New conversation").click()
    await expect(visitor.page.get_by_role("heading", name="Ask a site something")).to_be_visible()
    await told(server, visitor, "The second", "Another answer.")
    assert server.script.asked[-1]["messages"] == [{"role": "user", "content": "The second"}]
    await expect(listed(visitor)).to_have_text(["The second", "The first"])
    await visitor.page.get_by_label("Search the conversations").fill("WELL")
    await expect(listed(visitor)).to_have_text(["The first"])
    await listed(visitor).click()
    await expect(visitor.page).to_have_title("The first \N{EN DASH} Tailrace")
    await more(visitor, "Rename")
    await visitor.page.get_by_label("Name of the conversation").fill("About wells")
    await visitor.page.keyboard.press("Enter")
    await expect(listed(visitor)).to_have_text(["About wells"])
    await expect(visitor.page.get_by_label("More")).to_be_focused()
    await more(visitor, "Delete")
    await expect(visitor.answers).to_have_count(0)
    await expect(visitor.message).to_be_focused()
    await expect(visitor.page.get_by_text("None holds these words.")).to_be_visible()
    await visitor.button("Undo").click()
    await expect(visitor.answers.locator("strong")).to_have_text("well")
    await visitor.button("Delete all").click()
    await expect(visitor.page.get_by_text("2 conversations are deleted.")).to_be_visible()
    assert await visitor.evaluate(KEPT) == []


async def test_an_answer_goes_on_while_another_conversation_is_open(
    server: PageServer, visitor: Visitor
) -> None:
    answer = await visitor.ask("Slowly")
    server.script.says("Half ")
    await expect(answer).to_contain_text("Half")
    await visitor.button("Conversations").click()
    await visitor.page.get_by_role("link", name="New conversation").click()
    await expect(visitor.answers).to_have_count(0)
    server.script.answers(["and half."])
    await listed(visitor).click()
    await ended(answer, "done")
    await expect(answer.locator(".text")).to_have_text("Half and half.")


async def test_what_is_deleted_while_it_is_answered_stays_deleted(
    server: PageServer, visitor: Visitor
) -> None:
    answer = await visitor.ask("Slowly")
    server.script.says("Half ")
    await expect(answer).to_contain_text("Half")
    await more(visitor, "Delete")
    await expect(visitor.answers).to_have_count(0)
    await expect(visitor.button("Send")).to_be_visible()
    await visitor.page.reload()
    await visitor.button("Conversations").click()
    await expect(visitor.page.get_by_text("None is kept yet.")).to_be_visible()


async def test_a_question_that_is_edited_keeps_the_answers_it_had(
    server: PageServer, visitor: Visitor
) -> None:
    await told(server, visitor, "Two and two?", "Four.")
    await told(server, visitor, "Sure?", "Yes.")
    await visitor.button("Edit").first.click()
    await visitor.page.get_by_label("Question", exact=True).fill("Two and three?")
    server.script.answers(["Five."])
    await visitor.page.keyboard.press("Enter")
    await expect(visitor.answers.locator(".text")).to_have_text(["Five."])
    await ended(visitor.answers.last, "done")
    assert server.script.asked[-1]["messages"] == [{"role": "user", "content": "Two and three?"}]
    server.script.answers(["It is 5."])
    await visitor.button("Retry").click()
    await expect(visitor.answers.locator(".text")).to_have_text(["It is 5."])
    await ended(visitor.answers.last, "done")
    await visitor.button("Earlier answer").focus()
    await visitor.page.keyboard.press("Enter")
    await expect(visitor.answers.locator(".text")).to_have_text(["Five."])
    await expect(visitor.button("Earlier answer")).to_be_focused()
    await visitor.button("Earlier question").click()
    await expect(visitor.answers.locator(".text")).to_have_text(["Four.", "Yes."])
    await expect(visitor.page.get_by_role("group", name="Versions of the question")).to_have_text(
        "1 of 2"
    )
    await visitor.page.reload()
    await expect(visitor.answers.locator(".text")).to_have_text(["Four.", "Yes."])


async def test_two_sites_answer_side_by_side_and_one_goes_on(
    server: PageServer, visitor: Visitor
) -> None:
    await visitor.button("Compare two").click()
    await visitor.page.get_by_label("Second site").select_option("open")
    server.script.answers(["The script's."])
    await visitor.message.fill("Who are you?")
    await visitor.message.press("Enter")
    await expect(visitor.answers).to_have_count(2)
    for each in (0, 1):
        await ended(visitor.answers.nth(each), "done")
    await expect(visitor.answers.nth(1)).to_contain_text("You asked: “Who are you?”")
    boxes = [await visitor.answers.nth(each).bounding_box() for each in (0, 1)]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["y"] == boxes[1]["y"]
    await visitor.button("Compare two").click()
    await visitor.button("Go on with this").nth(1).click()
    await told(server, visitor, "Go on", "On.")
    assert "You asked" in server.script.asked[-1]["messages"][1]["content"]


async def test_options_go_with_each_question(server: PageServer, visitor: Visitor) -> None:
    await visitor.button("Options").click()
    await visitor.page.get_by_label("System prompt").fill("You are a miller.")
    await visitor.page.get_by_label("Temperature").fill("0.2")
    fields = visitor.page.get_by_label("Further fields")
    await fields.fill('{"stream": false}')
    await visitor.button("Set").click()
    await expect(visitor.page.get_by_role("alert")).to_have_text(
        "The field stream is this page's own."
    )
    await fields.fill('{"max_tokens": 9}')
    await visitor.button("Set").click()
    await told(server, visitor, "Who are you?", "A miller.")
    asked = server.script.asked[-1]
    assert asked["messages"][0] == {"role": "system", "content": "You are a miller."}
    assert (asked["temperature"], asked["max_tokens"]) == (0.2, 9)
    await visitor.choose("shop")
    answer = await visitor.ask("And you?")
    await ended(answer, "done")
    await expect(answer.locator(".note")).to_contain_text("was not told max_tokens, temperature")
    await visitor.page.reload()
    await visitor.button("Options, set").click()
    await expect(visitor.page.get_by_label("Temperature")).to_have_value("0.2")
    await visitor.button("Cancel").click()
    await expect(visitor.button("Options, set")).to_be_focused()


async def test_exported_conversations_come_back(
    server: PageServer, visitor: Visitor, tmp_path: Path
) -> None:
    await told(server, visitor, "What is `kept`?", "All of it.\n\n- really")
    files = {}
    for item in ("Export as Markdown", "Export as JSON"):
        async with visitor.page.expect_download() as offered:
            await more(visitor, item)
        download = await offered.value
        files[item] = tmp_path / download.suggested_filename
        await download.save_as(files[item])
    assert files["Export as Markdown"].name == "What-is-kept.md"
    assert files["Export as Markdown"].read_text(encoding="utf-8") == (
        "# What is `kept`?\n\n## Question\n\nWhat is `kept`?\n\n"
        "## script/said\n\nAll of it.\n\n- really\n"
    )
    await visitor.button("Conversations").click()
    await visitor.button("Delete all").click()
    await visitor.page.get_by_label("Import").set_input_files(files["Export as JSON"])
    await expect(visitor.page.get_by_text("1 imported.")).to_be_visible()
    await listed(visitor).click()
    await expect(visitor.answers.locator("li")).to_have_text(["really"])
    other = tmp_path / "other.json"
    other.write_text('{"conversations": []}')
    await visitor.page.get_by_label("Import").set_input_files(other)
    await expect(visitor.page.get_by_text("This file holds no conversations")).to_be_visible()


async def test_a_link_writes_its_question_and_sends_nothing(
    server: PageServer, visit: Visit
) -> None:
    visitor = await visit("?q=Is%20%3Cb%3Ethis%3C/b%3E%20sent%3F")
    await visitor.choose("script")
    await expect(visitor.message).to_have_value("Is <b>this</b> sent?")
    assert visitor.page.url == f"{visitor.origin}/"
    await expect(visitor.answers).to_have_count(0)
    assert server.script.asked == []
    server.script.answers(["Now it is."])
    await visitor.message.press("Enter")
    await ended(visitor.answers.last, "done")
    await visitor.message.press("ArrowUp")
    await expect(visitor.message).to_have_value("Is <b>this</b> sent?")


async def test_two_tabs_lose_nothing_of_each_other(server: PageServer, visitor: Visitor) -> None:
    await told(server, visitor, "Here", "First.")
    tab = await visitor.page.context.new_page()
    await tab.goto(visitor.page.url)
    await expect(tab.locator(".answered")).to_have_count(1)
    await told(server, visitor, "And here", "Second.")
    await expect(tab.locator(".answered")).to_have_count(2)
    answer = await visitor.ask("At once, here")
    server.script.says("Here, ")
    await expect(answer).to_contain_text("Here,")
    await tab.get_by_label("Site", exact=True).select_option("open")
    await tab.get_by_label("Message").fill("[[refuse]] At once, there")
    await tab.get_by_role("button", name="Send").click()
    await expect(tab.locator(".refusal")).to_be_visible()
    server.script.answers(["then."])
    await ended(answer, "done")
    await expect(answer.locator(".text")).to_have_text("Here, then.")
    await visitor.button("Conversations").click()
    await expect(listed(visitor)).to_have_text(["Here", "Here"])
    await expect(tab.locator(".refusal")).to_be_visible()
    await tab.close()


async def test_what_the_browser_does_not_keep_is_said(server: PageServer, visit: Visit) -> None:
    full, closed = await visit(), await visit()
    for visitor in (full, closed):
        await visitor.choose("script")
    await full.evaluate(FILL)
    await told(server, full, "A question that is longer than what is left", "An answer.")
    await expect(full.page.locator(".notice")).to_contain_text("no room left for this page")
    await full.page.reload()
    await expect(full.page.locator(".notice")).to_contain_text("does not keep the conversation")
    await closed.page.add_init_script(NOTHING_KEPT)
    await closed.page.reload()
    await told(server, closed, "Kept?", "No.")
    await expect(closed.page.locator(".notice")).to_contain_text("This browser keeps nothing")


async def test_what_another_program_left_in_the_store_does_no_harm(visitor: Visitor) -> None:
    key = "0123456789abcdef"
    head: Any = {"title": "Strange", "changed": 1, "version": "x"}
    for whole in ("not json", "7", '{"turns": [null, {"id": 1}, {"id": 2, "role": "x"}]}'):
        await visitor.page.evaluate(
            "([key, head, whole]) => { localStorage.setItem(`tailrace.head.${key}`, head);"
            " localStorage.setItem(`tailrace.conversation.${key}`, whole); }",
            [key, json.dumps(head), whole],
        )
        await visitor.page.goto(f"{visitor.origin}/#chat/{key}")
        await visitor.page.reload()
        await expect(visitor.page.locator(".notice")).to_contain_text("does not keep")


async def test_code_has_colours_and_stays_what_it_is(server: PageServer, visitor: Visitor) -> None:
    code = "def f(x):\n    return '<b>' + x  # not markup"
    await told(server, visitor, "Code, please", f"```python\n{code}\n```\n\n```nonsense\nx\n```")
    python, nonsense = await visitor.answers.locator("pre code").all()
    await expect(python.locator(".hljs-keyword")).to_have_text(["def", "return"])
    await expect(python).to_have_text(code, use_inner_text=True)
    await expect(nonsense.locator("span")).to_have_count(0)
    await expect(python.locator(".hljs-string")).to_have_css("color", "rgb(29, 107, 60)")
