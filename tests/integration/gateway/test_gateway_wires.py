"""The other wires that clients speak: Responses, Anthropic's messages, legacy completions, and what
is asked beside answers. OpenAI's own package asks for OpenAI's.
"""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import openai
import pytest
from gateway_app import RunningGateway, outcomes, serving

from tailrace import SSEDecoder
from tailrace.gateway import Key
from tailrace.replica import Question, Replica, builtin_answer
from tailrace.replica._sites.models.anthropic.blocks import signature_of
from tailrace.sites import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

KEY = "sk-tailrace-0123456789abcdef"
MODELS = {
    "openai": "openai/gpt-4o",
    "responses": "responses/gpt-4o",
    "anthropic": "anthropic/claude-sonnet-4-6",
    "gemini": "gemini/gemini-2.5-flash",
    "ollama": "ollama/qwen3-vl:8b",
}
EACH = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
BOTH = pytest.mark.parametrize("stream", [False, True])
PARAMETERS = {
    "type": "object",
    "properties": {"at": {"type": "string"}},
    "required": ["at"],
    "additionalProperties": False,
}


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[RunningGateway]:
    base = f"{replica.url('openai')}/v1"
    sites = [
        Site(base, software="openai", name="openai"),
        Site(base, software="openai", name="responses", api="responses"),
        *(
            Site(replica.url(name), software=name, name=name)
            for name in ("anthropic", "gemini", "ollama")
        ),
        Site(replica.page("ai-power", "stream"), name="shop"),
        Site(replica.page("ai-power", "stream"), name="lenient", unsupported="drop"),
    ]
    async with serving(sites, keys=(Key.of("test", KEY),)) as running:
        yield running


@pytest.fixture
async def client(gateway: RunningGateway) -> AsyncIterator[openai.AsyncOpenAI]:
    http = openai.DefaultAsyncHttpxClient(
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False
    )
    async with openai.AsyncOpenAI(
        base_url=gateway.base_url, api_key=KEY, max_retries=0, http_client=http
    ) as made:
        yield made


async def answer(text: str = "Hello") -> str:
    return await builtin_answer(Question("any", text))


# -- Responses -------------------------------------------------------------------------------------

TIDE: Any = {"type": "function", "name": "tide", "parameters": PARAMETERS, "strict": True}


async def response(client: openai.AsyncOpenAI, *, stream: bool, **asked: Any) -> Any:
    """The response, whole or as its stream ends with it."""
    if not stream:
        return await client.responses.create(**asked)
    events = [event async for event in await client.responses.create(stream=True, **asked)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    return events[-1].response


@BOTH
@EACH
async def test_a_response(client: openai.AsyncOpenAI, model: str, *, stream: bool) -> None:
    told = await response(
        client,
        stream=stream,
        model=model,
        input="Hello",
        instructions="Be brief.",
        store=True,
        metadata={"a": "b"},
        max_output_tokens=1000,
    )
    assert told.output_text == await answer()
    assert (told.status, told.model, told.instructions) == ("completed", model, "Be brief.")
    assert (told.to_dict()["store"], told.metadata) == (False, {"a": "b"})
    assert told.usage.output_tokens > 1


@BOTH
@EACH
async def test_a_response_that_calls_a_tool_and_gets_its_result(
    client: openai.AsyncOpenAI, model: str, *, stream: bool
) -> None:
    asked: list[Any] = [{"role": "user", "content": "[[tool]] [[think]] When?"}]
    more: dict[str, Any] = {"model": model, "tools": [TIDE], "stream": stream}
    told = await response(client, input=asked, **more)
    (call,) = [item for item in told.output if item.type == "function_call"]
    assert (call.name, set(json.loads(call.arguments))) == ("tide", {"at"})
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "at nine"}
    items = [*asked, *(item.to_dict() for item in told.output), result]
    answered = await response(client, input=items, **more)
    assert answered.output_text.startswith("tide returned: ")
    assert "at nine" in answered.output_text


@BOTH
@EACH
async def test_a_response_in_a_form(
    client: openai.AsyncOpenAI, model: str, *, stream: bool
) -> None:
    form = {"type": "json_schema", "name": "at", "schema": PARAMETERS}
    told = await response(client, stream=stream, model=model, input="When?", text={"format": form})
    assert set(json.loads(told.output_text)) == {"at"}


async def test_openais_own_gathering_of_a_response(client: openai.AsyncOpenAI) -> None:
    async with client.responses.stream(
        model=MODELS["openai"], input="[[think]] Hello", tools=[TIDE]
    ) as stream:
        read = [event async for event in stream]
        told = await stream.get_final_response()
    assert told.output_text == "".join(
        event.delta for event in read if event.type == "response.output_text.delta"
    )
    assert [item.type for item in told.output] == ["reasoning", "message"]


async def test_a_cut_response_and_a_failed_one(
    client: openai.AsyncOpenAI, gateway: RunningGateway
) -> None:
    short = await response(
        client, stream=True, model=MODELS["openai"], input="Hello", max_output_tokens=16
    )
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    failed = await response(client, stream=True, model=MODELS["openai"], input="[[midfail]]")
    assert failed.status == "failed"
    assert "The server met an error" in failed.error.message
    with pytest.raises(openai.InternalServerError):
        await client.responses.create(model=MODELS["openai"], input="[[midfail]]")
    assert outcomes(gateway) == {"done": 1, "failed": 2}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"input": [{"type": "item_reference", "id": "i"}]}, "input[0].type"),
        ({"input": [{"role": "boss", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
        ({"input": []}, "input"),
        ({"extra_body": {"base_url": "http://127.0.0.1:9"}}, "base_url"),
        ({"extra_body": {"min_p": 0.1}}, "min_p"),
    ],
)
async def test_what_a_response_cannot_be_asked(
    client: openai.AsyncOpenAI, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(**{"model": MODELS["openai"], "input": "x", **more})
    assert caught.value.param == param


async def test_what_a_response_loses_is_told_by_its_own_names(
    client: openai.AsyncOpenAI, gateway: RunningGateway
) -> None:
    asked: dict[str, Any] = {
        "input": "Hello",
        "max_output_tokens": 1000,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "text": {"verbosity": "low"},
        "tools": [{"type": "web_search"}, TIDE],
    }
    told = await client.responses.with_raw_response.create(model="lenient/default", **asked)
    names = "tools, include, max_output_tokens, reasoning.effort, reasoning.summary, text.verbosity"
    assert sorted(told.headers["X-Tailrace-Dropped"].split(", ")) == sorted(names.split(", "))
    assert "other" not in gateway.context.request_figures.snapshot().dropped


@BOTH
async def test_encrypted_reasoning_comes_and_goes_back(
    client: openai.AsyncOpenAI, replica: Replica, *, stream: bool
) -> None:
    asked: list[Any] = [{"role": "user", "content": "[[tool]] [[think]] When?"}]
    encrypted: Any = ["reasoning.encrypted_content"]
    more: dict[str, Any] = {
        "model": MODELS["responses"],
        "tools": [TIDE],
        "stream": stream,
        "include": encrypted,
        "instructions": "Be brief.",
    }
    told = await response(client, input=asked, **more)
    thought, call = told.output
    assert (thought.type, call.type) == ("reasoning", "function_call")
    assert thought.encrypted_content
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "at nine"}
    items = [*asked, *(item.to_dict() for item in told.output), result]
    answered = await response(client, input=items, **more)
    assert "at nine" in answered.output_text
    sent: Any = replica.exchanges[-1].json
    assert sent["include"] == encrypted
    assert (sent["instructions"], sent["store"]) == ("Be brief.", False)
    back = {name: value for name, value in thought.to_dict().items() if name != "id"}
    assert sent["input"][1] == back
    raw = await client.responses.with_raw_response.create(
        **{**more, "input": items, "model": MODELS["gemini"], "stream": False}
    )
    dropped = raw.headers["X-Tailrace-Dropped"].split(", ")
    assert {"include", "reasoning.encrypted_content"} <= set(dropped)


@pytest.mark.parametrize(
    ("path", "asked", "param"),
    [
        ("responses", {"input": [{"role": "user", "content": ""}]}, "input"),
        ("completions", {"prompt": ""}, "prompt"),
        ("chat/completions", {"messages": [{"role": "user", "content": ""}]}, "messages"),
        (
            "responses",
            {
                "model": "shop/default",
                "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}],
            },
            "input",
        ),
    ],
)
async def test_messages_are_named_as_the_wire_does(
    gateway: RunningGateway, path: str, asked: dict[str, Any], param: str
) -> None:
    status, _, data = await post(gateway, path, {"model": MODELS["openai"], **asked})
    assert (status, json.loads(data)["error"]["param"]) == (400, param)


async def test_top_log_probabilities_alone_ask_for_nothing(
    client: openai.AsyncOpenAI, replica: Replica
) -> None:
    told = await client.responses.create(model=MODELS["openai"], input="Hello", top_logprobs=3)
    assert told.output_text
    sent: Any = replica.exchanges[-1].json
    assert "top_logprobs" not in sent


# -- Anthropic's messages --------------------------------------------------------------------------


async def post(
    gateway: RunningGateway, path: str, body: Any, key: str = KEY, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{gateway.base_url}/{path}", json=body, headers={"x-api-key": key, **headers}
        ) as reply,
    ):
        return reply.status, reply.headers, await reply.read()


async def message(gateway: RunningGateway, *, stream: bool, **asked: Any) -> dict[str, Any]:
    """The message, put together where it was streamed."""
    body = {"max_tokens": 1000, "stream": stream, **asked}
    status, _, told = await post(gateway, "messages", body)
    assert status == 200, told
    if not stream:
        whole: dict[str, Any] = json.loads(told)
        return whole
    return gathered(told)


def gathered(told: bytes) -> dict[str, Any]:
    made: dict[str, Any] = {}
    blocks: list[dict[str, Any]] = []
    for event in SSEDecoder().feed(told):
        data = json.loads(event.data)
        assert data["type"] == event.event
        match data:
            case {"type": "message_start", "message": started}:
                made = started
            case {"type": "content_block_start", "index": index, "content_block": block}:
                assert index == len(blocks)
                blocks.append(block)
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                _add(blocks[index], delta)
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                made |= {**delta, "usage": {**made["usage"], **usage}}
            case {"type": "error", "error": error}:
                made["error"] = error
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block.pop("json", "") or "{}")
    return {**made, "content": blocks}


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    match delta:
        case {"type": "text_delta", "text": text}:
            block["text"] += text
        case {"type": "thinking_delta", "thinking": text}:
            block["thinking"] += text
        case {"type": "signature_delta", "signature": signature}:
            block["signature"] += signature
        case {"type": "input_json_delta", "partial_json": text}:
            block["json"] = block.get("json", "") + text


@BOTH
@EACH
async def test_a_message(gateway: RunningGateway, model: str, *, stream: bool) -> None:
    told = await message(
        gateway,
        stream=stream,
        model=model,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        metadata={"user_id": "u"},
    )
    assert told["content"] == [{"type": "text", "text": await answer()}]
    assert (told["type"], told["role"], told["model"]) == ("message", "assistant", model)
    assert (told["stop_reason"], told["stop_sequence"]) == ("end_turn", None)
    assert told["usage"]["output_tokens"] > 1


@BOTH
@EACH
async def test_a_message_that_uses_a_tool_and_gets_its_result(
    gateway: RunningGateway, model: str, *, stream: bool
) -> None:
    asked: list[Any] = [{"role": "user", "content": "[[tool]] When?"}]
    tools = [{"name": "tide", "description": "When?", "input_schema": PARAMETERS}]
    told = await message(gateway, stream=stream, model=model, messages=asked, tools=tools)
    assert told["stop_reason"] == "tool_use"
    (use,) = [block for block in told["content"] if block["type"] == "tool_use"]
    assert (use["name"], set(use["input"])) == ("tide", {"at"})
    result = {
        "type": "tool_result",
        "tool_use_id": use["id"],
        "content": [{"type": "text", "text": "at nine"}],
    }
    asked += [
        {"role": "assistant", "content": told["content"]},
        {"role": "user", "content": [result]},
    ]
    answered = await message(gateway, stream=stream, model=model, messages=asked, tools=tools)
    (block,) = answered["content"]
    assert block["text"].startswith("tide returned: ")
    assert "at nine" in block["text"]


@BOTH
@pytest.mark.parametrize("model", [MODELS["openai"], MODELS["anthropic"], MODELS["ollama"]])
async def test_a_message_that_thinks(gateway: RunningGateway, model: str, *, stream: bool) -> None:
    asked: list[Any] = [{"role": "user", "content": "[[think]] Why?"}]
    told = await message(gateway, stream=stream, model=model, messages=asked)
    assert [block["type"] for block in told["content"]] == ["thinking", "text"]
    asked += [
        {"role": "assistant", "content": told["content"]},
        {"role": "user", "content": "And?"},
    ]
    again = await message(gateway, stream=stream, model=model, messages=asked)
    assert "“And?” (2 earlier turns)" in again["content"][-1]["text"]


async def test_thinking_goes_to_anthropics_own_api_as_it_is(
    gateway: RunningGateway, replica: Replica
) -> None:
    asked: dict[str, Any] = {
        "messages": [{"role": "user", "content": "Why?"}],
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "max_tokens": 4000,
    }
    await message(gateway, stream=True, model=MODELS["anthropic"], **asked)
    own: Any = replica.exchanges[-1].json
    assert own["thinking"] == asked["thinking"]
    assert "output_config" not in own
    await message(gateway, stream=True, model=MODELS["openai"], **asked)
    other: Any = replica.exchanges[-1].json
    assert (other["reasoning_effort"], other["max_completion_tokens"]) == ("low", 4000)


CACHED = {"cache_control": {"type": "ephemeral"}}


async def test_blocks_go_to_anthropics_own_api_as_they_came(
    gateway: RunningGateway, replica: Replica
) -> None:
    thoughts = "The moon."
    asked: dict[str, Any] = {
        "system": [{"type": "text", "text": "Be brief.", **CACHED}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "When?", **CACHED}]},
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "thinking",
                        "thinking": thoughts,
                        "signature": signature_of(thoughts),
                    },
                    {"type": "redacted_thinking", "data": "c2VjcmV0"},
                    {"type": "tool_use", "id": "toolu_1", "name": "tide", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "", **CACHED}
                ],
            },
        ],
        "tools": [{"name": "tide", "input_schema": PARAMETERS, **CACHED}],
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "max_tokens": 4000,
    }
    status, headers, data = await post(gateway, "messages", {**asked, "model": MODELS["anthropic"]})
    assert status == 200, data
    assert "X-Tailrace-Dropped" not in headers
    seen: Any = replica.exchanges[-1].json
    assert {name: seen[name] for name in asked} == asked
    status, headers, data = await post(gateway, "messages", {**asked, "model": MODELS["openai"]})
    assert status == 200, data
    dropped = headers["X-Tailrace-Dropped"].split(", ")
    assert {"cache_control", "redacted_thinking"} <= set(dropped)


@pytest.mark.parametrize("kind", [[], {}, 5, None, "odd"])
async def test_a_choice_that_is_none_is_named(gateway: RunningGateway, kind: object) -> None:
    asked = {"model": MODELS["openai"], "max_tokens": 9, "tool_choice": {"type": kind}}
    messages = [{"role": "user", "content": "Hello"}]
    status, _, data = await post(gateway, "messages", {**asked, "messages": messages})
    assert (status, "tool_choice.type" in json.loads(data)["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    "thinking", [{"type": "disabled"}, {"type": "adaptive", "display": "omitted"}]
)
async def test_what_no_effort_says_of_thinking_is_told(
    gateway: RunningGateway, thinking: dict[str, Any]
) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    asked = {"max_tokens": 99, "thinking": thinking, "messages": messages}
    for model, dropped in ((MODELS["openai"], "thinking"), (MODELS["anthropic"], None)):
        status, headers, _ = await post(gateway, "messages", {"model": model, **asked})
        assert (status, headers.get("X-Tailrace-Dropped")) == (200, dropped)


async def test_thoughts_without_a_signature_are_left_out_of_blocks_as_they_came(
    gateway: RunningGateway, replica: Replica
) -> None:
    unsigned = {"type": "thinking", "thinking": "The moon.", "signature": ""}
    text = {"type": "text", "text": "At nine."}
    user = {"role": "user", "content": [{"type": "text", "text": "When?", **CACHED}]}
    asked = [user, {"role": "assistant", "content": [unsigned, text]}, user]
    await message(gateway, stream=True, model=MODELS["anthropic"], messages=asked)
    seen: Any = replica.exchanges[-1].json
    assert seen["messages"] == [user, {"role": "assistant", "content": [text]}, user]


@BOTH
@pytest.mark.parametrize("display", ["summarized", "omitted"])
async def test_thoughts_come_and_go_back_with_their_signature(
    gateway: RunningGateway, replica: Replica, display: str, *, stream: bool
) -> None:
    asked: list[Any] = [{"role": "user", "content": "[[tool]] When?"}]
    more: dict[str, Any] = {
        "model": MODELS["anthropic"],
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 2048, "display": display},
        "tools": [{"name": "tide", "description": "When?", "input_schema": PARAMETERS}],
    }
    told = await message(gateway, stream=stream, messages=asked, **more)
    thought, use = told["content"]
    assert (thought["type"], bool(thought["thinking"])) == ("thinking", display != "omitted")
    assert thought["signature"]
    result = {"type": "tool_result", "tool_use_id": use["id"], "content": "nine"}
    asked += [
        {"role": "assistant", "content": told["content"]},
        {"role": "user", "content": [result]},
    ]
    again = await message(gateway, stream=stream, messages=asked, **more)
    assert "nine" in again["content"][-1]["text"]
    sent: Any = replica.exchanges[-1].json
    assert sent["thinking"] == more["thinking"]
    assert sent["messages"][1]["content"][0] == thought


async def test_thinking_in_the_middle_of_calls_that_are_not_signed_is_left_to_the_model(
    gateway: RunningGateway,
) -> None:
    asked: list[Any] = [{"role": "user", "content": "[[tool]] When?"}]
    more: dict[str, Any] = {
        "model": MODELS["anthropic"],
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "tools": [{"name": "tide", "description": "When?", "input_schema": PARAMETERS}],
    }
    told = await message(gateway, stream=True, messages=asked, **more)
    assert [block["type"] for block in told["content"]] == ["thinking", "tool_use"]
    told["content"][0]["signature"] = ""  # as another site answers
    result = {"type": "tool_result", "tool_use_id": told["content"][1]["id"], "content": "nine"}
    asked += [
        {"role": "assistant", "content": told["content"]},
        {"role": "user", "content": [result]},
    ]
    status, headers, data = await post(gateway, "messages", {**more, "messages": asked})
    assert status == 200, data
    assert headers["X-Tailrace-Dropped"].split(", ")[0] == "thinking"


async def test_a_message_stops_where_it_is_told(gateway: RunningGateway) -> None:
    for stream in (False, True):
        told = await message(
            gateway,
            stream=stream,
            model="shop/default",
            messages=[{"role": "user", "content": "Hello"}],
            stop_sequences=["never", "earlier"],
        )
        assert told["content"][0]["text"] == "You asked: “Hello” (0 "
        assert (told["stop_reason"], told["stop_sequence"]) == ("stop_sequence", "earlier")


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("messages", {"model": "nowhere/x"}, 404, "not_found_error"),
        ("messages", {"tools": [{"name": "x", "type": "bash_20250124"}]}, 400, None),
        ("messages", {"mcp_servers": [{"url": "http://127.0.0.1:9"}]}, 400, None),
        ("messages", {"messages": []}, 400, None),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "x"}]}]}, 400, None),
        ("messages", {"max_tokens": None}, 400, None),
        ("messages", {"base_url": "http://127.0.0.1:9"}, 400, None),
        ("messages", {"min_p": 0.5}, 400, None),
        ("messages", {"messages": [{"role": "user", "content": "[[err429]]"}]}, 429, "rate"),
        ("messages", {"messages": [{"role": "user", "content": "[[err500]]"}]}, 502, "api_error"),
        ("messages/count_tokens", {}, 404, "not_found_error"),
        ("messages/nowhere", {}, 404, "not_found_error"),
    ],
)
async def test_a_refused_message_has_anthropics_error_object(
    gateway: RunningGateway, path: str, body: dict[str, Any], status: int, kind: str | None
) -> None:
    hello = [{"role": "user", "content": "Hello"}]
    asked = {"model": MODELS["openai"], "max_tokens": 100, "messages": hello, **body}
    told, headers, data = await post(gateway, path, asked)
    assert told == status, data
    error = json.loads(data)
    assert (error["type"], set(error)) == ("error", {"type", "error"})
    assert error["error"]["type"].startswith(kind or "invalid_request_error")
    assert headers["X-Request-Id"] == headers["Request-Id"]


async def test_a_message_that_fails_in_the_middle(gateway: RunningGateway) -> None:
    body = {
        "model": MODELS["openai"],
        "max_tokens": 100,
        "stream": True,
        "messages": [{"role": "user", "content": "[[midfail]]"}],
    }
    status, _, told = await post(gateway, "messages", body)
    assert status == 200
    assert gathered(told)["error"]["type"] == "api_error"


async def test_the_key_may_come_in_anthropics_header(gateway: RunningGateway) -> None:
    body = {
        "model": "shop/default",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "x"}],
    }
    assert (await post(gateway, "messages", body))[0] == 200
    refused, _, told = await post(gateway, "messages", body, "sk-another-key-0123456789")
    assert (refused, json.loads(told)["error"]["type"]) == (401, "authentication_error")
    bearer = {"Authorization": f"Bearer {KEY}"}
    assert (await post(gateway, "messages", body, **bearer))[0] == 200
    differs, _, told = await post(gateway, "messages", body, "sk-another-key-0123456789", **bearer)
    assert (differs, json.loads(told)["error"]["type"]) == (401, "authentication_error")


async def test_tokens_are_counted_by_a_site_that_can(gateway: RunningGateway) -> None:
    asked = {
        "model": MODELS["anthropic"],
        "messages": [{"role": "user", "content": "Hello there"}],
        "tools": [{"name": "tide", "input_schema": PARAMETERS}],
    }
    status, _, told = await post(gateway, "messages/count_tokens", asked)
    assert status == 200, told
    assert json.loads(told)["input_tokens"] > 1


# -- legacy completions ----------------------------------------------------------------------------


@EACH
async def test_a_completion(client: openai.AsyncOpenAI, model: str) -> None:
    whole = await client.completions.create(model=model, prompt=["Hello"], max_tokens=1000)
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == (await answer(), "stop")
    assert whole.object == "text_completion"
    assert whole.usage is not None
    stream = await client.completions.create(
        model=model, prompt="Hello", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert text == await answer()
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None


@pytest.mark.parametrize(
    "more",
    [
        {"suffix": "x"},
        {"echo": True},
        {"best_of": 2},
        {"n": 17},
        {"n": 0},
        {"n": 2, "stream": True},
        {"prompt": [1, 2]},
        {"prompt": [[1, 2]]},
        {"prompt": []},
        {"prompt": ["a", "b"], "stream": True},
        {"prompt": ["a"] * 9, "n": 2},
    ],
)
async def test_what_a_completion_cannot_be_asked(
    client: openai.AsyncOpenAI, more: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.completions.create(**{"model": MODELS["openai"], "prompt": "x", **more})
    assert caught.value.param == next(iter(more))


# -- log probabilities -----------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("model", [MODELS["openai"], MODELS["gemini"], MODELS["ollama"]])
async def test_log_probabilities(client: openai.AsyncOpenAI, model: str, *, stream: bool) -> None:
    asked: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": "Hello"}],
        "logprobs": True,
        "top_logprobs": 2,
    }
    if stream:
        chunks = [
            chunk async for chunk in await client.chat.completions.create(stream=True, **asked)
        ]
        told = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices]
        tokens = [token for each in told if each is not None for token in each.content or ()]
    else:
        whole = await client.chat.completions.create(**asked)
        tokens = whole.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == await answer()
    assert all(len(token.top_logprobs) == 2 for token in tokens)


async def test_log_probabilities_of_the_other_wires(client: openai.AsyncOpenAI) -> None:
    whole = await client.completions.create(model=MODELS["openai"], prompt="Hello", logprobs=2)
    told = whole.choices[0].logprobs
    assert told is not None
    assert "".join(told.tokens or ()) == await answer()
    assert told.text_offset == [
        sum(map(len, (told.tokens or ())[:number])) for number in range(len(told.tokens or ()))
    ]
    for model in (MODELS["openai"], MODELS["responses"]):
        included: Any = ["message.output_text.logprobs"]
        response_ = await client.responses.create(
            model=model, input="Hello", include=included, top_logprobs=2
        )
        (item,) = response_.output
        tokens = item.to_dict()["content"][0]["logprobs"]
        assert "".join(token["token"] for token in tokens) == await answer()


# -- embeddings ------------------------------------------------------------------------------------


async def test_embeddings_come_from_the_site(client: openai.AsyncOpenAI, replica: Replica) -> None:
    model = "openai/text-embedding-3-small"
    told = await client.embeddings.create(model=model, input=["a", "b"], dimensions=8)
    assert [len(each.embedding) for each in told.data] == [8, 8]
    assert told.usage.total_tokens == 2
    seen: Any = replica.exchanges[-1].json
    assert (seen["model"], seen["input"]) == ("text-embedding-3-small", ["a", "b"])


@pytest.mark.parametrize(
    ("asked", "kind", "param"),
    [
        ({"model": "shop/default"}, openai.BadRequestError, "model"),
        ({"model": MODELS["anthropic"]}, openai.BadRequestError, "model"),
        ({"model": "nowhere/x"}, openai.NotFoundError, "model"),
        ({"model": "openai/none"}, openai.NotFoundError, "model"),
        (
            {"model": "openai/text-embedding-3-small", "extra_body": {"api_base": "x"}},
            openai.BadRequestError,
            "api_base",
        ),
        ({"model": "openai/text-embedding-3-small", "input": ""}, openai.BadRequestError, "input"),
    ],
)
async def test_embeddings_that_cannot_be_had(
    client: openai.AsyncOpenAI,
    asked: dict[str, Any],
    kind: type[openai.APIStatusError],
    param: str | None,
) -> None:
    with pytest.raises(kind) as caught:
        await client.embeddings.create(**{"input": "x", **asked})
    assert caught.value.param == param
