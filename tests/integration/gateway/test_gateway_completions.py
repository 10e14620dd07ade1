"""Chat completions over real sockets, in front of the replica: what is streamed, what is whole,
what is refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from calls_site import SSE, Asked, Line, Site, delta
from gateway_app import (
    RunningGateway,
    asked,
    asking,
    content,
    cut,
    events,
    made,
    posting,
    replicas_sites,
    serving,
)

from tailrace import Usage
from tailrace.gateway._wires.chunked import UsageCounts
from tailrace.providers import OpenAIProvider
from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


MODELS = [
    "shop/default",
    "whole/default",
    "kit/default",
    "engine/default",
    "gem/default",
    "demo/default",
    "open/mini",
    "any/gpt-4o",
]


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[RunningGateway]:
    async with serving(replicas_sites(replica)) as running:
        yield running


async def answer(text: str) -> str:
    return await builtin_answer(Question("any", text))


@pytest.mark.parametrize("model", MODELS)
async def test_a_streamed_answer_is_as_openai_sends_it(gateway: RunningGateway, model: str) -> None:
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
async def test_a_whole_answer_is_as_openai_sends_it(gateway: RunningGateway, model: str) -> None:
    async with posting(gateway, asking("Hello", model)) as reply:
        assert reply.status == 200
        body = await reply.json()
    assert body["object"] == "chat.completion"
    assert body["model"] == model
    (choice,) = body["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": await answer("Hello"),
        "refusal": None,
    }
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert body["usage_estimated"] is not model.startswith(("open/", "any/", "engine/"))


# -- usage -----------------------------------------------------------------------------------------


async def test_a_usage_chunk_stands_before_the_sentinel_and_has_no_choices(
    gateway: RunningGateway,
) -> None:
    body = asking("Hello", "open/mini", stream=True, stream_options={"include_usage": True})
    async with posting(gateway, body) as reply:
        *chunks, usage, end = await events(reply)
    assert end == "[DONE]"
    assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == len(chunks) - 2  # the replica counts its pieces
    assert usage["usage_estimated"] is False


async def test_a_guess_is_marked_as_one(gateway: RunningGateway) -> None:
    body = asking("Hello, 字", "whole/default", stream=True, stream_options={"include_usage": True})
    async with posting(gateway, body) as reply:
        *chunks, usage, _ = await events(reply)
    characters = len(content(chunks))
    assert usage["usage_estimated"] is True
    assert usage["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": -(-characters // 4),
        "total_tokens": 3 - (-characters // 4),
    }


async def test_without_being_asked_no_chunk_speaks_of_usage(gateway: RunningGateway) -> None:
    async with posting(gateway, asking("Hello", stream=True)) as reply:
        *chunks, _ = await events(reply)
    assert not any("usage" in chunk for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_site_counts_by_kind_is_passed_on(*, stream: bool) -> None:
    counts = {
        "prompt_tokens": 30,
        "completion_tokens": 20,
        "total_tokens": 55,
        "prompt_tokens_details": {"cached_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 11},
    }

    async def count(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        end = {"choices": [{"delta": {}, "finish_reason": "max_tokens"}], "usage": counts}
        last = f"data: {json.dumps(end)}\n\ndata: [DONE]\n\n"
        await line.chunks([delta("Hello"), last.encode()])
        await line.end()

    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    async with (
        Site(count) as site,
        serving([made("site", OpenAIProvider, f"{site.url}/v1")]) as gateway,
        posting(gateway, asking("x", "site/m", **more)) as reply,
    ):
        *_, finish, told, _ = await events(reply) if stream else [await reply.json()] * 3
    assert finish["choices"][0]["finish_reason"] == "length"
    assert told["usage_estimated"] is False
    assert {"prompt_tokens", "completion_tokens", "total_tokens"} <= told["usage"].keys()
    assert told["usage"].items() <= counts.items()


def test_counts_by_kind_have_openais_names_and_are_left_out_where_nobody_told_them() -> None:
    plain = {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 55}
    by_kind = Usage(**plain, cached_tokens=7, reasoning_tokens=0)
    assert msgspec.to_builtins(UsageCounts.of(Usage(**plain))) == plain
    assert msgspec.to_builtins(UsageCounts.of(by_kind)) == {
        **plain,
        "prompt_tokens_details": {"cached_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


# -- what is asked ---------------------------------------------------------------------------------


async def test_parameters_reach_a_server_that_takes_them_and_addresses_reach_none(
    gateway: RunningGateway, replica: Replica
) -> None:
    body = asking(
        "Hello",
        "open/mini",
        temperature=0.5,
        max_tokens=3,
        stop="zz",
        user="u",
        metadata={"url": "x"},
    )
    async with posting(
        gateway,
        body,
        headers={"X-Forwarded-Host": "h", "Cookie": "a=b", "Authorization": "Bearer k"},
    ):
        pass
    seen = replica.exchanges[-1]
    assert seen.json == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 3,
        "user": "u",
        "metadata": {"url": "x"},
    }
    assert not {"Cookie", "Authorization", "X-Forwarded-Host"} & set(seen.headers)


@pytest.mark.parametrize(
    "name", ["url", "base_url", "proxy", "headers", "cookies", "extra_body", "transport", "api_key"]
)
async def test_a_field_that_chooses_an_address_is_refused_and_no_site_is_asked(
    gateway: RunningGateway, replica: Replica, name: str
) -> None:
    before = asked(replica)
    for model in ("shop/default", "open/mini"):
        async with posting(
            gateway, asking("Hello", model, **{name: replica.url("geminiprochat")})
        ) as reply:
            assert reply.status == 400
            assert (await reply.json())["error"]["param"] == name
    assert asked(replica) == before


async def test_a_length_is_the_sites_finish_reason(gateway: RunningGateway) -> None:
    async with posting(gateway, asking("Hello", "open/mini", max_tokens=3, stream=True)) as reply:
        *chunks, _ = await events(reply)
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert len(chunks) == 5
    async with posting(gateway, asking("[[filtered]]", "open/mini")) as reply:
        assert (await reply.json())["choices"][0]["finish_reason"] == "content_filter"


async def test_a_conversation_reaches_the_site(gateway: RunningGateway) -> None:
    body = asking("x", "open/mini")
    body["messages"] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two", "refusal": None, "tool_calls": None},
        {"role": "user", "content": [{"type": "text", "text": "Three"}]},
    ]
    async with posting(gateway, body) as reply:
        text = (await reply.json())["choices"][0]["message"]["content"]
    assert text.startswith("You asked: “Three” (2 earlier turns).")


# -- stop ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["shop/default", "whole/default", "open/mini"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "stop", ["page | shows", ["never there", "earlier turns", " turns"], "You"]
)
async def test_stop_over_the_borders_of_deltas(
    gateway: RunningGateway, model: str, *, stream: bool, stop: Any
) -> None:
    whole = await answer("page | shows")
    places = [
        at for each in ([stop] if isinstance(stop, str) else stop) if (at := whole.find(each)) >= 0
    ]
    async with posting(gateway, asking("page | shows", model, stream=stream, stop=stop)) as reply:
        if stream:
            *chunks, end = await events(reply)
            assert (content(chunks), end) == (whole[: min(places)], "[DONE]")
            reason = chunks[-1]["choices"][0]["finish_reason"]
        else:
            (choice,) = (await reply.json())["choices"]
            assert choice["message"]["content"] == whole[: min(places)]
            reason = choice["finish_reason"]
    assert reason == "stop"


async def test_a_stop_that_never_comes_changes_nothing(gateway: RunningGateway) -> None:
    async with posting(
        gateway, asking("Hello", "open/mini", stream=True, stop=["👋👋", "\x00"])
    ) as reply:
        *chunks, end = await events(reply)
    assert (content(chunks), end) == (await answer("Hello"), "[DONE]")


async def test_text_held_back_for_a_stop_comes_before_a_failure(gateway: RunningGateway) -> None:
    async with posting(gateway, asking("[[midfail]]", "open/mini", stream=True)) as reply:
        *chunks, _ = await events(reply)
    text = content(chunks)
    async with posting(
        gateway, asking("[[midfail]]", "open/mini", stream=True, stop=text[-3:] + "\x00")
    ) as reply:
        *chunks, failure = await events(reply)
    assert content(chunks) == text
    assert failure["error"]["type"] == "upstream_error"


async def test_a_stop_closes_the_sites_connection(
    gateway: RunningGateway, replica: Replica
) -> None:
    async with posting(gateway, asking("[[stall]]", "open/mini", stop="You")) as reply:
        assert (await reply.json())["choices"][0]["message"]["content"] == ""
    await replica.exchanges.settled()
    assert cut(replica) == 1
