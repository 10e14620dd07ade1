"""All that a model says besides text, in a real browser: reasoning, calls of tools, refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from playwright.async_api import expect
from visitor import ended

if TYPE_CHECKING:
    from gateway_page import PageServer
    from visitor import Visitor

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def piece(arguments: str, **more: Any) -> dict[str, Any]:
    call = {"index": 0, **more, "function": {"arguments": arguments}}
    if more:
        call["function"]["name"] = "weather"
    return {"tool_calls": [call]}


async def offer(visitor: Visitor, *tools: dict[str, Any]) -> None:
    await visitor.button("Options").click()
    await visitor.page.get_by_label("Tools, as JSON").fill(json.dumps(tools))
    await visitor.button("Set").click()


async def test_reasoning_is_folded_and_tells_what_it_does(
    server: PageServer, visitor: Visitor
) -> None:
    answer = await visitor.ask("Why?")
    summary = answer.locator(".reasoning summary")
    server.script.sends({"reasoning_content": "First **this**,\nthen "})
    await expect(summary).to_contain_text("Thinking")
    await expect(summary).to_contain_text("then")
    await expect(visitor.page.locator("#spoken")).to_have_text("Thinking.")
    server.script.sends({"reasoning_content": "that."})
    await expect(summary).to_contain_text("then that.")
    await expect(answer.locator(".reasoning .answer")).to_have_count(0)
    server.script.says("Because.")
    await expect(summary).to_contain_text("Thought for")
    server.script.ends()
    await ended(answer, "done")
    await expect(answer.locator(".text")).to_have_text("Because.")
    await summary.click()
    await expect(answer.locator(".reasoning strong")).to_have_text("this")
    server.script.answers(["Well."])
    await ended(await visitor.ask("And?"), "done")
    assert "this" not in json.dumps(server.script.asked[-1]["messages"])


async def test_a_call_is_shown_as_it_comes_and_its_result_goes_back(
    server: PageServer, visitor: Visitor
) -> None:
    await offer(visitor, WEATHER)
    answer = await visitor.ask("Will it rain?")
    call = answer.get_by_role("region", name="Call of weather")
    server.script.sends(piece('{"city"', id="call_1", type="function"))
    await expect(call.locator("code")).to_have_text('{"city"')
    await expect(answer.locator(".results")).to_have_count(0)
    server.script.sends(piece(':"Ulm","at":12345678901234567890}'))
    server.script.ends("tool_calls")
    await ended(answer, "done")
    await expect(call.locator("code")).to_have_text(
        '{\n  "city": "Ulm",\n  "at": 12345678901234567890\n}', use_inner_text=True
    )
    await expect(visitor.page.locator("#spoken")).to_contain_text("The model calls weather.")
    await answer.get_by_label("Result of weather").fill('{"rain": true}')
    server.script.answers(["Take a coat."])
    await visitor.button("Send the result").click()
    await ended(visitor.answers.last, "done")
    await expect(visitor.answers.last.locator(".text")).to_have_text("Take a coat.")
    asked = server.script.asked[-1]
    assert asked["tools"] == [WEATHER]
    called, result = asked["messages"][1:]
    assert called["tool_calls"][0]["id"] == "call_1"
    assert called["tool_calls"][0]["function"]["arguments"].endswith('"at":12345678901234567890}')
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": '{"rain": true}'}
    await expect(visitor.page.locator(".results")).to_have_count(0)


async def test_a_call_without_a_result_is_not_told_again(
    server: PageServer, visitor: Visitor
) -> None:
    await offer(visitor, WEATHER)
    answer = await visitor.ask("Will it rain?")
    server.script.sends(piece('{"city": Ulm}', id="call_1", type="function"))
    server.script.ends("tool_calls")
    await ended(answer, "done")
    await expect(answer).to_contain_text("its arguments are not JSON")
    server.script.answers(["Never mind."])
    await ended(await visitor.ask("Leave it"), "done")
    await expect(answer).to_contain_text("Nobody gave a result")
    assert [message["role"] for message in server.script.asked[-1]["messages"]] == ["user", "user"]


async def test_a_refusal_is_shown_as_one(server: PageServer, visitor: Visitor) -> None:
    answer = await visitor.ask("Do harm")
    server.script.sends({"refusal": "I will "}, {"refusal": "not."})
    server.script.ends()
    await ended(answer, "done")
    await expect(answer.locator(".refusal")).to_have_text("The model refusedI will not.")
    await expect(answer.locator(".failure")).to_have_count(0)
    await expect(visitor.page.locator("#spoken")).to_have_text("The model refused. I will not.")


async def test_a_whole_loop_with_a_model(visitor: Visitor) -> None:
    await visitor.choose("open")
    await offer(visitor, WEATHER)
    answer = await visitor.ask("[[think]] [[tool]] Will it rain?")
    await ended(answer, "done")
    await expect(answer.locator(".reasoning summary")).to_contain_text("tokens")
    await answer.get_by_label("Result of weather").fill("rain from noon")
    await visitor.button("Send the result").click()
    await ended(visitor.answers.last, "done")
    await expect(visitor.answers.last).to_contain_text("rain from noon")
    await ended(await visitor.ask("[[refuse]]"), "done")
    await expect(visitor.answers.last.locator(".refusal")).to_be_visible()
    await ended(await visitor.ask("And after that?"), "done")


async def test_hostile_calls_and_reasoning_are_text(server: PageServer, visitor: Visitor) -> None:
    nasty = "<img src=x onerror='window.ran=1'> [x](javascript:window.ran=2)"
    await offer(visitor, WEATHER)
    answer = await visitor.ask("Be nasty")
    call = {"index": 0, "id": nasty, "function": {"name": nasty, "arguments": json.dumps([nasty])}}
    server.script.sends({"reasoning_content": nasty}, {"refusal": nasty}, {"tool_calls": [call]})
    server.script.ends("tool_calls")
    await ended(answer, "done")
    await answer.locator(".reasoning summary").click()
    await expect(answer.locator(".reasoning .answer")).to_contain_text("<img")
    await expect(answer.locator("img, a[href]")).to_have_count(0)
    await expect(answer.locator(".code-bar b")).to_have_text(nasty)
    assert await visitor.evaluate("window.ran") is None
