"""Dialogues in which the model calls tools: its calls stay in the history, and results go on."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import SSE, Asked, Line
from calls_site import Site as ByteSite
from test_providers_conversation import PAGE

from tailrace import ChatGptt, Site
from tailrace._calls.token_cache import TokenCache
from tailrace.errors import InvalidRequestError, ResponseStatusError
from tailrace.providers import OpenAIProvider
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tailrace.providers._conversation import Conversation
    from tailrace.sites import SiteOptions

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "level",
        "description": "reads a gauge",
        "parameters": {
            "type": "object",
            "properties": {"at": {"type": "string"}},
            "required": ["at"],
        },
    },
}
SITES: Mapping[str, tuple[str, SiteOptions]] = {
    "openai": ("openai", {"software": "openai", "model": "gpt-4o"}),
    "responses": ("openai", {"software": "openai", "model": "gpt-4o", "api": "responses"}),
    "anthropic": ("anthropic", {"software": "anthropic", "model": "claude-sonnet-4-6"}),
    "gemini": ("gemini", {"software": "gemini", "model": "gemini-2.5-flash"}),
    "signed": ("gemini", {"software": "gemini", "model": "gemini-3-pro-preview"}),
    "ollama": ("ollama", {"software": "ollama", "model": "llama3.2:latest"}),
}


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, replica: Replica) -> Site:
    name, options = SITES[request.param]
    path = "/v1" if name == "openai" else ""
    return Site(replica.url(name) + path, **options).replace(tools=[TOOL])


async def calls(conversation: Conversation, turn: Any) -> tuple[str, list[Any]]:
    async with conversation.send(turn) as stream:
        text = await stream.text()
    return text, list(stream.tool_calls)


async def test_a_dialogue_goes_on_with_the_results(site: Site) -> None:
    conversation = site.conversation("Be brief.")
    _, asked = await calls(conversation, "How high? [[tools]]")
    assert [call.name for call in asked] == ["level", "level"]
    told = conversation.messages[-1]["tool_calls"]
    assert [json.loads(each["function"]["arguments"]) for each in told] == [
        call.parsed() for call in asked
    ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"{number} m"}
        for number, call in enumerate(asked, 12)
    ]
    text, more = await calls(conversation, results)
    assert "level returned: " in text
    assert "12 m" in text
    assert "13 m" in text
    assert more == []
    again, _ = await calls(conversation, "Thanks")
    assert "Thanks" in again
    roles = [message["role"] for message in conversation.messages]
    assert roles == ["system", "user", "assistant", "tool", "tool", *["assistant", "user"] * 2][:-1]


async def test_signed_thoughts_are_sent_back(replica: Replica) -> None:
    """Anthropic's server refuses results behind a call whose thoughts do not come back."""
    thinking = {"type": "enabled", "budget_tokens": 2048}
    site = Site(replica.url("anthropic"), **SITES["anthropic"][1])
    site = site.replace(tools=[TOOL], extra={"thinking": thinking})
    conversation = site.conversation()
    async with conversation.send("[[think]] How high? [[tool]]") as stream:
        await stream.text()
    (block,) = stream.thinking_blocks
    assert (block.thinking, block.data) == (stream.reasoning, None)
    assert block.signature
    (call,) = stream.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "12 m"}
    text, _ = await calls(conversation, result)
    assert "12 m" in text
    told = conversation.messages[1]
    assert told["thinking_blocks"] == [
        {"type": "thinking", "thinking": block.thinking, "signature": block.signature}
    ]
    del told["thinking_blocks"]
    with pytest.raises(ResponseStatusError, match="thinking"):
        await site.ask([*conversation.messages[:2], result])


async def test_signed_calls_are_sent_back(replica: Replica) -> None:
    """Newer models of Gemini's refuse results of a call whose signature does not come back."""
    site = Site(replica.url("gemini"), **SITES["signed"][1]).replace(tools=[TOOL])
    conversation = site.conversation()
    _, asked = await calls(conversation, "How high? [[tool]]")
    (told,) = conversation.messages[1]["tool_calls"]
    assert told["extra_content"] == {"google": {"thought_signature": asked[0].signature}}
    result = {"role": "tool", "tool_call_id": asked[0].id, "content": "12 m"}
    assert "12 m" in (await calls(conversation, result))[0]
    assert [exchange.status for exchange in replica.exchanges] == [200, 200]


async def test_encrypted_reasoning_is_sent_back(replica: Replica) -> None:
    include = {"include": ["reasoning.encrypted_content"], "store": False}
    site = Site(f"{replica.url('openai')}/v1", **SITES["responses"][1])
    conversation = site.replace(tools=[TOOL], extra=include).conversation()
    async with conversation.send("[[think]] How high? [[tool]]") as stream:
        await stream.text()
    (block,) = stream.thinking_blocks
    assert block.data
    assert block.id
    (call,) = stream.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "12 m"}
    assert "12 m" in (await calls(conversation, result))[0]
    sent: Any = replica.exchanges[-1].json
    (item,) = [each for each in sent["input"] if each["type"] == "reasoning"]
    assert (item["id"], item["encrypted_content"]) == (block.id, block.data)
    assert "".join(part["text"] for part in item["summary"]) == block.thinking


async def test_signed_text_and_thoughts_are_sent_back() -> None:
    parts = [
        {"text": "Hm.", "thought": True, "thoughtSignature": "dGhvdWdodA=="},
        {"text": "High."},
        {"text": "", "thoughtSignature": "dGV4dA=="},
    ]
    reply = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}

    async def answer(_: Asked, line: Line) -> None:
        await line.reply(f"data: {json.dumps(reply)}\n\n".encode(), SSE)

    async with ByteSite(answer) as served:
        conversation = Site(served.url, software="gemini", model="m").conversation()
        async with conversation.send("How high?") as stream:
            assert await stream.text() == "High."
        assert stream.text_signature == "dGV4dA=="
        await conversation.send("And now?").text()
    sent = json.loads(served.asked[-1].body)["contents"]
    assert sent[1]["parts"] == [parts[0], {"text": "High.", "thoughtSignature": "dGV4dA=="}]


@pytest.mark.parametrize(
    ("software", "said"), [("gemini", "is of the type 'redacted"), ("ollama", "holds 'thinking_bl")]
)
async def test_thoughts_of_another_service_are_refused(
    software: str, said: str, replica: Replica
) -> None:
    site = Site(replica.url(software), **SITES[software][1])
    blocks = [{"type": "redacted_thinking", "data": "c2ln"}]
    spoken = {"role": "assistant", "content": "Yes?", "thinking_blocks": blocks}
    with pytest.raises(InvalidRequestError, match=f"message 1 {said}"):
        await site.ask([{"role": "user", "content": "Hi"}, spoken])


async def test_one_message_is_a_turn_too(site: Site) -> None:
    conversation = site.conversation()
    _, asked = await calls(conversation, {"role": "user", "content": "How high? [[tool]]"})
    result = {"role": "tool", "tool_call_id": asked[0].id, "content": "12 m"}
    text, _ = await calls(conversation, result)
    assert "12 m" in text


async def test_a_model_that_wants_its_calls_signed_is_sent_what_stands_in() -> None:
    async with Replica() as running:
        site = Site(running.url("gemini"), software="gemini", model="gemini-3-pro-preview")
        conversation = site.conversation(tools=[TOOL])
        _, asked = await calls(conversation, "How high? [[tools]]")
        # As if another model had made the calls.
        for call in conversation.messages[-1]["tool_calls"]:
            call.pop("extra_content", None)
        results = [{"role": "tool", "tool_call_id": call.id, "content": "12 m"} for call in asked]
        assert "12 m" in (await calls(conversation, results))[0]
        assert [exchange.status for exchange in running.exchanges] == [200, 400, 200]


CALLED = [{"name": "level", "arguments": {"at": "1"}}, {"name": "level", "arguments": {"at": "2"}}]


async def test_results_of_calls_without_ids_are_told_apart_by_their_order() -> None:
    replies: list[Any] = [
        {"message": {"tool_calls": [{"function": each} for each in CALLED]}, "done": True},
        {"message": {"content": "Both."}, "done": True},
    ]

    async def answer(asked: Asked, line: Line) -> None:
        del asked
        await line.reply(json.dumps(replies.pop(0)).encode() + b"\n", "application/x-ndjson")

    async with ByteSite(answer) as server:
        conversation = Site(server.url, software="ollama", model="m").conversation()
        _, asked = await calls(conversation, "How high?")
        assert [call.id for call in asked] == [None, None]
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": f"{number} m"}
            for number, call in enumerate(asked)
        ]
        assert (await calls(conversation, results))[0] == "Both."
        with pytest.raises(InvalidRequestError, match="no call of the last answer waits"):
            conversation.send({"role": "tool", "content": "3 m"})
    sent = json.loads(server.asked[1].body)["messages"]
    ids = [call["id"] for call in sent[1]["tool_calls"]]
    assert len(set(ids)) == 2
    assert [(each["tool_call_id"], each["content"]) for each in sent[2:]] == [
        (ids[0], "0 m"),
        (ids[1], "1 m"),
    ]


async def test_a_class_of_a_server_keeps_calls_and_refusals() -> None:
    async with Replica() as running:
        conversation = OpenAIProvider.conversation(
            url=f"{running.url('openai')}/v1", model="gpt-4o", tools=[TOOL]
        )
        _, asked = await calls(conversation, "[[tool]]")
        result = {"role": "tool", "tool_call_id": asked[0].id, "content": "12 m"}
        assert "12 m" in (await calls(conversation, result))[0]
        await calls(conversation, "[[refuse]]")
        assert conversation.messages[-1]["content"] == ""
        assert conversation.messages[-1]["refusal"]
        assert (await calls(conversation, "And now?"))[0]


async def test_a_site_that_takes_text_alone_is_told_of_no_calls() -> None:
    delta = {"content": "Zed", "tool_calls": [{"index": 0, "id": "a", "function": CALLED[0]}]}
    reply = f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\ndata: [DONE]\n\n".encode()

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(PAGE)
        else:
            await line.reply(reply, SSE)

    async with ByteSite(answer) as server:
        conversation = ChatGptt.conversation(url=server.url, token_cache=TokenCache())
        assert (await calls(conversation, "Who?"))[0] == "Zed"
        assert (await calls(conversation, "Who?"))[0] == "Zed"
    assert conversation.messages[1] == {"role": "assistant", "content": "Zed"}


@pytest.mark.parametrize(
    ("turn", "says"),
    [([], "holds no message"), (["hello"], "a message is a mapping, not str"), (3, "not int")],
)
def test_a_turn_that_is_none(turn: Any, says: str) -> None:
    conversation = Site("http://127.0.0.1:9/v1", software="openai", model="m").conversation()
    with pytest.raises(InvalidRequestError, match=says):
        conversation.send(turn)


async def test_functions_that_return_text_say_what_they_leave_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Replica() as running:
        url = f"{running.url('openai')}/v1"
        site = Site(url, software="openai", model="gpt-4o", tools=[TOOL])
        asking: Any = {"model": "gpt-4o", "url": url, "tools": [TOOL]}
        asking["messages"] = [{"role": "user", "content": "[[tools]]"}]
        assert await site.ask("[[tools]]") == ""
        assert await OpenAIProvider.create_async(**asking) == ""
        assert await asyncio.to_thread(list, OpenAIProvider.create_completion(**asking)) == []
        assert await site.ask("[[refuse]]") == ""
        assert await site.ask("hello")
    left = "the text of an answer, which also holds"
    assert [record.getMessage().partition(left)[::2] for record in caplog.records] == [
        ("ask returns ", " 2 tool calls: a stream has those, too"),
        ("create_async returns ", " 2 tool calls: a stream has those, too"),
        ("create_completion returns ", " 2 tool calls: a stream has those, too"),
        ("ask returns ", " a refusal: a stream has those, too"),
    ]
