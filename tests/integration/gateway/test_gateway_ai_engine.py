"""A site with AI Engine behind every wire of the gateway: its text, the functions of its page that
the model calls, its thoughts, its refusals.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from gateway_app import RunningGateway, outcomes, serving

from tailrace import Site
from tailrace._calls.token_cache import TokenCache
from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SITES = {"engine": "ai-engine", "older": "ai-engine-2.0.9", "oldest": "ai-engine-1.9.99"}
WIRES = ("chat/completions", "responses", "messages", "completions")
EACH_WIRE = pytest.mark.parametrize("wire", WIRES)
BOTH = pytest.mark.parametrize("stream", [False, True])


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1) as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[RunningGateway]:
    sites = [
        Site(
            replica.url(site),
            software="ai-engine",
            name=name,
            token_cache=TokenCache(),
        )
        for name, site in SITES.items()
    ]
    async with serving(sites) as running:
        yield running


def body_of(wire: str, text: str, model: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    asked: dict[str, dict[str, Any]] = {
        "chat/completions": {"messages": messages},
        "responses": {"input": text},
        "messages": {"messages": messages, "max_tokens": 4096},
        "completions": {"prompt": text},
    }
    return {"model": f"{model}/default", **asked[wire], **more}


async def post(
    gateway: RunningGateway, wire: str, text: str, model: str = "engine", **more: Any
) -> tuple[int, str]:
    body = body_of(wire, text, model, **more)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.base_url}/{wire}", json=body) as reply,
    ):
        return reply.status, await reply.text()


def events_in(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def text_of(wire: str, whole: Any) -> str:
    """The text of a whole answer."""
    match wire:
        case "chat/completions":
            return str(whole["choices"][0]["message"]["content"])
        case "responses":
            parts = [part for item in whole["output"] for part in item.get("content") or ()]
            return "".join(part["text"] for part in parts if part["type"] == "output_text")
        case "messages":
            return "".join(each["text"] for each in whole["content"] if each["type"] == "text")
        case _:
            return str(whole["choices"][0]["text"])


def streamed_text(wire: str, events: list[Any]) -> str:
    match wire:
        case "chat/completions":
            deltas = [each["choices"][0]["delta"] for each in events if each["choices"]]
            return "".join(delta.get("content") or "" for delta in deltas)
        case "responses":
            kind = "response.output_text.delta"
            return "".join(each["delta"] for each in events if each["type"] == kind)
        case "messages":
            deltas = [each["delta"] for each in events if each["type"] == "content_block_delta"]
            return "".join(delta.get("text") or "" for delta in deltas)
        case _:
            return "".join(each["choices"][0]["text"] for each in events if each["choices"])


@pytest.mark.parametrize("model", SITES)
@EACH_WIRE
async def test_an_answer(gateway: RunningGateway, wire: str, model: str) -> None:
    expected = await builtin_answer(Question("any", "Hello"))
    status, text = await post(gateway, wire, "Hello", model)
    assert (status, text_of(wire, json.loads(text))) == (200, expected)
    status, text = await post(gateway, wire, "Hello", model, stream=True)
    assert (status, streamed_text(wire, events_in(text))) == (200, expected)


@EACH_WIRE
async def test_what_only_the_end_tells(gateway: RunningGateway, wire: str) -> None:
    for marker, expected in (
        ("[[image]]", "![Image](https://site.example/a.png)"),
        ("[[appended]]", "Water runs off in the tailrace. (said the harbour)"),
        ("[[takeover]]", "A person speaking: yes?"),
    ):
        status, text = await post(gateway, wire, marker)
        assert (status, text_of(wire, json.loads(text))) == (200, expected)
        status, text = await post(gateway, wire, marker, stream=True)
        assert (status, streamed_text(wire, events_in(text))) == (200, expected)


@BOTH
async def test_a_function_of_the_page_is_a_call(gateway: RunningGateway, *, stream: bool) -> None:
    """With an id, which the plugin gives none."""
    found: dict[str, Any] = {}
    for wire in WIRES[:3]:
        status, text = await post(gateway, wire, "[[function]]", stream=stream)
        assert status == 200
        found[wire] = json.loads(text) if not stream else events_in(text)
    if stream:
        calls = [
            call
            for each in found["chat/completions"]
            for choice in each["choices"]
            for call in choice["delta"].get("tool_calls") or ()
        ]
        assert calls[0]["id"]
        assert "".join(each["function"].get("arguments") or "" for each in calls) == '{"x":1}'
        assert any(each.get("item", {}).get("name") == "openMenu" for each in found["responses"])
        blocks = [each.get("content_block", {}) for each in found["messages"]]
        assert any(block.get("name") == "openMenu" and block["id"] for block in blocks)
        return
    (choice,) = found["chat/completions"]["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert (call["function"], choice["finish_reason"]) == (
        {"name": "openMenu", "arguments": '{"x":1}'},
        "tool_calls",
    )
    assert call["id"]
    (item,) = [each for each in found["responses"]["output"] if each["type"] == "function_call"]
    assert (item["name"], item["arguments"]) == ("openMenu", '{"x":1}')
    (block,) = [each for each in found["messages"]["content"] if each["type"] == "tool_use"]
    assert (block["name"], block["input"]) == ("openMenu", {"x": 1})


async def test_thoughts_are_reasoning(gateway: RunningGateway) -> None:
    _, text = await post(gateway, "chat/completions", "[[thoughts]]")
    message = json.loads(text)["choices"][0]["message"]
    assert message["reasoning_content"] == "The tide turns at six."
    assert "tide turns" not in message["content"]
    _, text = await post(gateway, "responses", "[[thoughts]]")
    kinds = [item["type"] for item in json.loads(text)["output"]]
    assert kinds == ["reasoning", "message"]


REFUSALS = {
    "[[quota]]": (429, "insufficient_quota"),
    "[[banned]]": (502, "query_banned"),
    "[[rejected]]": (502, "query_rejected"),
    "[[moderated]]": (400, "message_moderated"),
    "[[no-key]]": (502, "not_set_up"),
    "[[upstream-429]]": (502, "rate_limit_exceeded"),
    "[[fatal-early]]": (502, "internal_server_error"),
}


@BOTH
@pytest.mark.parametrize("marker", REFUSALS)
async def test_a_refusal_before_the_answer(
    gateway: RunningGateway, marker: str, *, stream: bool
) -> None:
    status, text = await post(gateway, "chat/completions", marker, stream=stream)
    assert (status, json.loads(text)["error"]["code"]) == REFUSALS[marker]
    assert "/srv/www" not in text
    assert outcomes(gateway) == {"failed": 1}


@EACH_WIRE
async def test_a_failure_within_the_answer(gateway: RunningGateway, wire: str) -> None:
    for marker in ("[[midcut]]", "[[fatal]]"):
        status, text = await post(gateway, wire, marker, stream=True)
        assert status == 200
        assert streamed_text(wire, [each for each in events_in(text) if "error" not in each])
        assert "error" in text
        status, text = await post(gateway, wire, marker)
        assert status == 502
    assert outcomes(gateway) == {"failed": 2, "truncated": 2}
