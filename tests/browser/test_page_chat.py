"""Chat in a real browser: answers as they come, how they end, and what is done with them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect
from visitor import ended

from tailrace.replica import Question, builtin_answer

if TYPE_CHECKING:
    from gateway_page import PageServer
    from visitor import Visit, Visitor


async def test_an_answer_grows_as_it_comes_and_is_shown_as_markdown(
    server: PageServer, visitor: Visitor
) -> None:
    answer = await visitor.ask("What runs off below the mill?")
    await expect(visitor.questions.last).to_contain_text("What runs off below the mill?")
    server.script.says("# The ", "race\n\nIt is **wa")
    await expect(answer.locator("h3")).to_have_text("The race")
    await expect(answer).to_have_attribute("data-end", "open")
    server.script.says(
        "ter**, `a < b`.\n\n3. one\n4. two\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```py\nprint('"
    )
    await expect(answer.locator("strong")).to_have_text("water")
    await expect(answer.locator("ol[start='3'] li")).to_have_text(["one", "two"])
    await expect(answer.locator("pre code")).to_have_text("print('")
    server.script.answers(["<b>')\n```\n"])
    await ended(answer, "done")
    await expect(answer.locator("pre code")).to_have_text("print('<b>')")
    await expect(answer.locator("td").last).to_have_css("text-align", "right")
    await expect(answer.locator(".foot")).to_contain_text("script/said")
    await expect(answer.locator(".foot")).to_contain_text("first words after")
    await expect(answer.locator(".foot")).to_contain_text("4 deltas")
    await expect(visitor.page.locator("#spoken")).to_contain_text("The answer is complete.")


async def test_a_whole_answer_of_a_site_arrives_as_it_is(
    server: PageServer, visitor: Visitor
) -> None:
    await visitor.choose("shop")
    answer = await visitor.ask("Hello")
    await ended(answer, "done")
    copied = await builtin_answer(Question("ai-power", "Hello"))
    await visitor.page.context.grant_permissions(
        ["clipboard-read", "clipboard-write"], origin=server.url
    )
    await answer.get_by_role("button", name="Copy", exact=True).click()
    await expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    assert await visitor.evaluate("navigator.clipboard.readText()") == copied


async def test_code_is_copied_without_its_fence(server: PageServer, visitor: Visitor) -> None:
    await visitor.page.context.grant_permissions(
        ["clipboard-read", "clipboard-write"], origin=server.url
    )
    answer = await visitor.ask("Code, please")
    server.script.answers(['```rust\nlet a = "<&>";\n\n  b\n```'])
    await ended(answer, "done")
    await expect(answer.locator(".code-bar span")).to_have_text("rust")
    await answer.get_by_role("button", name="Copy code").click()
    await expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    assert await visitor.evaluate("navigator.clipboard.readText()") == 'let a = "<&>";\n\n  b'


async def test_copying_needs_no_permission_of_the_browser(
    server: PageServer, visitor: Visitor
) -> None:
    await visitor.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    answer = await visitor.ask("Say it")
    server.script.answers(["over plain HTTP"])
    await ended(answer, "done")
    await answer.get_by_role("button", name="Copy", exact=True).click()
    await expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    await visitor.message.focus()
    await visitor.page.keyboard.press("Control+V")
    await expect(visitor.message).to_have_value("over plain HTTP")


async def test_stopping_closes_the_sites_connection_and_keeps_the_text(
    server: PageServer, visitor: Visitor
) -> None:
    await visitor.choose("open")
    answer = await visitor.ask("Begin and [[stall]]")
    await expect(answer.locator(".text")).not_to_be_empty()
    text = await answer.locator(".text").inner_text()
    await visitor.button("Stop").click()
    async with asyncio.timeout(5):
        while server.replica.exchanges[-1].ended == "open":
            await server.replica.exchanges.changed()
    assert server.replica.exchanges[-1].ended == "aborted"
    await ended(answer, "stopped")
    await expect(answer).to_contain_text("Stopped by you.")
    assert (await answer.locator(".text").inner_text()).startswith(text)
    await expect(visitor.button("Send")).to_be_visible()


async def test_leaving_the_page_closes_the_sites_connection(
    server: PageServer, visit: Visit, visitor: Visitor
) -> None:
    other = await visit()
    await other.choose("open")
    await other.ask("Begin and [[stall]]")
    await expect(other.answers.last.locator(".text")).not_to_be_empty()
    await other.page.reload()
    async with asyncio.timeout(5):
        while server.replica.exchanges[-1].ended == "open":
            await server.replica.exchanges.changed()
    assert server.replica.exchanges[-1].ended == "aborted"
    await ended(other.answers.last, "stopped")
    await expect(other.answers.last).to_contain_text(
        "This page was left before the answer was whole."
    )
    await expect(visitor.answers).to_have_count(0)


async def test_a_failure_before_the_first_word_is_shown_as_what_it_is(
    server: PageServer, visitor: Visitor
) -> None:
    await visitor.choose("open")
    answer = await visitor.ask("Please [[err429]]")
    await ended(answer, "failed")
    failure = answer.locator(".failure")
    await expect(failure.locator(".badge")).to_contain_text("HTTP 429")
    await expect(failure).to_contain_text("Too many requests.")
    await expect(failure).to_contain_text("Wait 7 s before you ask again.")
    await expect(visitor.page.locator("#spoken")).to_contain_text("The answer failed. HTTP 429")
    assert server.replica.exchanges[-1].ended == "finished"


async def test_a_failure_in_the_middle_keeps_the_text_before_it(visitor: Visitor) -> None:
    await visitor.choose("open")
    answer = await visitor.ask("Please [[midfail]]")
    await ended(answer, "failed")
    await expect(answer.locator(".text")).to_contain_text("You asked")
    await expect(answer.locator(".badge")).to_contain_text("broke off")
    await expect(answer.locator(".failure")).to_contain_text("met an error while it was answering")
    await expect(answer.locator(".failure")).to_contain_text(
        "What had come until then stands above."
    )


async def test_a_reply_that_breaks_off_is_a_failure(visitor: Visitor) -> None:
    await visitor.choose("open")
    answer = await visitor.ask("Please [[cut]]")
    await ended(answer, "failed")
    await expect(answer.locator(".badge")).to_contain_text("broke off")
    await expect(answer.locator(".text")).to_contain_text("You asked")


async def test_a_gateway_that_is_gone_is_said(visitor: Visitor) -> None:
    await visitor.page.context.set_offline(True)
    answer = await visitor.ask("Anyone?")
    await ended(answer, "failed")
    await expect(answer.locator(".failure")).to_contain_text("The gateway cannot be reached.")
    await visitor.page.context.set_offline(False)


async def test_retry_asks_the_same_again_in_place_of_the_failure(
    server: PageServer, visitor: Visitor
) -> None:
    await visitor.choose("open")
    server.replica.fault("openai", "503@answer")
    answer = await visitor.ask("Hello")
    await ended(answer, "failed")
    await expect(answer.locator(".badge")).to_contain_text("HTTP 503")
    server.replica.fault("openai")
    await visitor.choose("script")
    server.script.answers(["At last."])
    await visitor.button("Retry").click()
    await ended(visitor.answers.last, "done")
    await expect(visitor.answers).to_have_count(1)
    await expect(visitor.answers.last.locator(".text")).to_have_text("At last.")
    assert server.script.asked[-1]["messages"] == [{"role": "user", "content": "Hello"}]


async def test_a_question_goes_with_the_turns_before_it(
    server: PageServer, visitor: Visitor
) -> None:
    server.script.answers(["First answer."])
    await ended(await visitor.ask("First"), "done")
    server.script.answers(["Second answer."])
    await ended(await visitor.ask("Second"), "done")
    assert server.script.asked[-1]["messages"] == [
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "First answer."},
        {"role": "user", "content": "Second"},
    ]
    assert server.script.asked[-1]["model"] == "said"


async def test_a_reader_who_scrolled_back_is_left_alone(
    server: PageServer, visitor: Visitor
) -> None:
    answer = await visitor.ask("At length")
    server.script.says("\n\n".join(f"Paragraph {number}." for number in range(60)))
    await expect(answer).to_contain_text("Paragraph 59.")
    scroller = visitor.page.locator(".scroll")
    await expect(answer.get_by_text("Paragraph 59.")).to_be_in_viewport()
    await scroller.evaluate("element => element.scrollTo(0, 0)")
    await expect(visitor.button("Newest")).to_be_visible()
    server.script.says("\n\nThe last one.")
    await expect(answer).to_contain_text("The last one.")
    assert await scroller.evaluate("element => element.scrollTop") == 0
    await visitor.button("Newest").click()
    await expect(answer.get_by_text("The last one.")).to_be_in_viewport()
    server.script.ends()
    await ended(answer, "done")


async def test_a_link_may_have_its_target_far_below(server: PageServer, visitor: Visitor) -> None:
    answer = await visitor.ask("Cite")
    server.script.says(
        "See [the source][1].\n\n", *(f"Paragraph {number}.\n\n" for number in range(9))
    )
    await expect(answer).to_contain_text("Paragraph 8.")
    server.script.answers(["[1]: https://fine.example/source\n"])
    await ended(answer, "done")
    await expect(answer.get_by_role("link", name="the source")).to_have_attribute(
        "href", "https://fine.example/source"
    )


async def test_who_comes_back_to_the_page_sees_the_models_there_are_now(
    server: PageServer, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = visitor.page.get_by_label("Site", exact=True).locator("option")
    await expect(sites).to_have_text(["script", "open", "shop"])
    script, *_ = server.sites
    monkeypatch.setattr(type(server), "sites", [script])
    await server.stop()
    come_back = "document.dispatchEvent(new Event('visibilitychange'))"
    async with visitor.page.expect_event("requestfailed"):
        await visitor.evaluate(come_back)
    await expect(sites).to_have_text(["script", "open", "shop"])
    await server.start()
    await visitor.evaluate(come_back)
    await expect(sites).to_have_text(["script"])


async def test_the_policy_holds_and_a_broken_one_would_be_seen(visitor: Visitor) -> None:
    await visitor.evaluate("""() => {
      const script = document.createElement("script");
      try {
        script.text = "window.ran = 1";
        document.body.append(script);
      } catch { window.refused = true; }
      document.body.append(Object.assign(new Image(), { src: "http://127.0.0.1:9/pixel.png" }));
      const style = document.createElement("style");
      style.append("body { display: none }");
      document.head.append(style);
      fetch("http://127.0.0.1:9/").catch(() => {});
      const form = Object.assign(document.createElement("form"), { action: "/health" });
      document.body.append(form);
      form.submit();
    }""")
    # Playwright's own way of waiting compiles text in the page, which the policy forbids.
    told = await visitor.evaluate("""() => new Promise((tell) => {
      const look = () => (window.broken.length < 5 ? setTimeout(look, 10) : tell(window.broken));
      look();
    })""")
    broken = {each.split()[0] for each in told}
    assert broken == {
        "require-trusted-types-for",
        "img-src",
        "style-src-elem",
        "connect-src",
        "form-action",
    }
    assert await visitor.evaluate("[window.ran, window.refused]") == [None, True]
    with pytest.raises(AssertionError):
        await visitor.check()
    await visitor.forgive()


async def test_what_an_answer_may_be_made_of(server: PageServer, visitor: Visitor) -> None:
    answer = await visitor.ask("Everything")
    server.script.answers(
        [
            "- [x] done\n- [ ] open\n\n> quoted\n\n~~gone~~ *slant*\n\n---\n\n"  # noqa: ISC004 - one delta
            "1) one\n\n   two\n\n## Two\n###### Six"
        ]
    )
    await ended(answer, "done")
    await expect(answer.locator("li.task")).to_have_text(["☑ done", "☐ open"])
    await expect(answer.locator("blockquote")).to_have_text("quoted")
    await expect(answer.locator("del")).to_have_text("gone")
    await expect(answer.locator("em")).to_have_text("slant")
    await expect(answer.locator("hr")).to_have_count(1)
    await expect(answer.locator("ol p")).to_have_text(["one", "two"])
    await expect(answer.locator("h4")).to_have_text("Two")
    await expect(answer.locator("h6")).to_have_text("Six")
    await expect(answer.locator(".foot")).to_contain_text("1 delta in")
