"""Chat completions over real sockets, in front of the replica: what is streamed, what is whole, what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from gateway_app import Gateway, asking, posting, replicas_sites, serving

from tailrace import SSEDecoder
from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

MODELS = ["shop/default", "whole/default", "kit/default", "gem/default", "demo/default", "open/mini", "any/gpt-4o"]


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[Gateway]:
    async with serving(replicas_sites(replica)) as running:
        yield running


async def events(reply: aiohttp.ClientResponse) -> list[Any]:
    """The data of the reply's events, read as JSON but for the sentinel."""
    decoder = SSEDecoder()
    found = [event.data for event in decoder.feed(await reply.read())]
    assert decoder.close() == []
    return [data if data == "[DONE]" else json.loads(data) for data in found]


def content(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


async def answer(text: str) -> str:
    return await builtin_answer(Question("any", text))


@pytest.mark.parametrize("model", MODELS)
async def test_a_streamed_answer_is_as_openai_sends_it(gateway: Gateway, model: str) -> None:
    async with posting(gateway, asking("Hello", model, stream=True)) as reply:
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        *chunks, end = await events(reply)
    assert end == "[DONE]"
    assert content(chunks) == await answer("Hello")
    heads = [{name: chunk[name] for name in chunk if name != "choices"} for chunk in chunks]
    assert all(head == heads[0] for head in heads)
    assert heads[0]["object"] == "chat.completion.chunk"
    assert heads[0]["model"] == model
    assert heads[0]["id"].startswith("chatcmpl-")
    assert heads[0]["system_fingerprint"].startswith("fp_")
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(chunks) - 1) + ["stop"]
    assert choices[-1]["delta"] == {}


@pytest.mark.parametrize("model", MODELS)
async def test_a_whole_answer_is_as_openai_sends_it(gateway: Gateway, model: str) -> None:
    async with posting(gateway, asking("Hello", model)) as reply:
        assert reply.status == 200
        body = await reply.json()
    assert body["object"] == "chat.completion"
    assert body["model"] == model
    (choice,) = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": await answer("Hello"), "refusal": None}
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert body["usage_estimated"] is not model.startswith(("open/", "any/"))
