"""All that a model says, through the gateway: the replica's servers of each API behind it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from gateway_app import RunningGateway, asking, content, events, posting, serving

from tailrace.gateway._wires.request import MOST_CONTAINERS, MOST_MESSAGES
from tailrace.replica import Question, Replica, builtin_answer
from tailrace.sites import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODELS = {
    "openai": "gpt-4o",
    "responses": "gpt-4o",
    "anthropic": "claude-sonnet-4-6",
    "gemini": "gemini-2.5-flash",
    "ollama": "qwen3-vl:8b",
}
EACH = pytest.mark.parametrize("api", MODELS)
BOTH = pytest.mark.parametrize("stream", [False, True])
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "tide",
            "description": "When the water is high.",
            "parameters": {
                "type": "object",
                "properties": {"at": {"type": "string"}},
                "required": ["at"],
                "additionalProperties": False,
            },
        },
    }
]
SCHEMA = {
    "type": "object",
    "properties": {"hour": {"type": "integer"}},
    "required": ["hour"],
    "additionalProperties": False,
}
IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)


def sites(replica: Replica) -> list[Site]:
    """A site of each API, under its name."""
    openai = f"{replica.url('openai')}/v1"
    return [
        Site(openai, software="openai", name="openai"),
        Site(openai, software="openai", name="responses", api="responses"),
        Site(replica.url("anthropic"), software="anthropic", name="anthropic"),
        Site(replica.url("gemini"), software="gemini", name="gemini"),
        Site(replica.url("ollama"), software="ollama", name="ollama"),
        Site(replica.page("ai-power", "stream"), name="shop"),
        Site(replica.page("ai-power", "stream"), name="lenient", unsupported="drop"),
    ]


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[RunningGateway]:
    async with serving(sites(replica)) as running:
        yield running


def model(api: str) -> str:
    return f"{api}/{MODELS.get(api, 'default')}"


async def told(
    gateway: RunningGateway, text: str, api: str, *, stream: bool, **more: Any
) -> dict[str, Any]:
    """The answer as a whole completion's choice, put together where it was streamed."""
    if stream:
        more = {"stream_options": {"include_usage": True}, **more}
    async with posting(gateway, asking(text, model(api), stream=stream, **more)) as reply:
        assert reply.status == 200, await reply.text()
        if not stream:
            body: dict[str, Any] = await reply.json()
            return {**body["choices"][0], "usage": body["usage"], "id": body["id"]}
        *chunks, usage, end = await events(reply)
    assert end == "[DONE]"
    return {**gathered(chunks), "usage": usage["usage"], "id": usage["id"]}


def gathered(chunks: list[Any]) -> dict[str, Any]:
    """A stream's chunks as the choice of a whole completion."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    calls: list[dict[str, Any]] = []
    for chunk in chunks:
        delta = chunk["choices"][0]["delta"]
        for name in ("content", "refusal", "reasoning_content"):
            if delta.get(name):
                message[name] = (message.get(name) or "") + delta[name]
        for piece in delta.get("tool_calls", ()):
            if "id" in piece:
                assert piece["index"] == len(calls)
                calls.append({key: piece[key] for key in ("id", "type", "function")})
            else:
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    if calls:
        message["tool_calls"] = calls
    return {"message": message, "finish_reason": chunks[-1]["choices"][0]["finish_reason"]}


@BOTH
@EACH
async def test_text(gateway: RunningGateway, api: str, *, stream: bool) -> None:
    choice = await told(gateway, "Hello", api, stream=stream, max_tokens=1000.0, stop="")
    text = await builtin_answer(Question("any", "Hello"))
    assert choice["message"] == {"role": "assistant", "content": text, "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert choice["usage"]["completion_tokens"] > 1


@BOTH
@EACH
async def test_a_call_and_its_result(gateway: RunningGateway, api: str, *, stream: bool) -> None:
    choice = await told(gateway, "[[tool]] When?", api, stream=stream, tools=TOOLS)
    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls"
    assert message["content"] is None
    (call,) = message["tool_calls"]
    assert set(call) == {"id", "type", "function"}
    assert call["function"]["name"] == "tide"
    assert set(json.loads(call["function"]["arguments"])) == {"at"}
    dialogue = [
        {"role": "user", "content": "[[tool]] When?"},
        message,
        {"role": "tool", "tool_call_id": call["id"], "content": "at nine"},
    ]
    answer = await told(gateway, "", api, stream=stream, messages=dialogue, tools=TOOLS)
    assert answer["message"]["content"].startswith("tide returned: ")
    assert "at nine" in answer["message"]["content"]
    assert answer["finish_reason"] == "stop"


@BOTH
@EACH
async def test_calls_side_by_side(gateway: RunningGateway, api: str, *, stream: bool) -> None:
    choice = await told(gateway, "[[tools]] When?", api, stream=stream, tools=TOOLS)
    calls = choice["message"]["tool_calls"]
    assert len({call["id"] for call in calls}) == len(calls) == 2
    for call in calls:
        json.loads(call["function"]["arguments"])


@BOTH
@pytest.mark.parametrize("api", ["openai", "anthropic", "gemini", "responses"])
async def test_a_tool_that_must_be_called(
    gateway: RunningGateway, api: str, *, stream: bool
) -> None:
    chosen = {"type": "function", "function": {"name": "tide"}}
    choice = await told(gateway, "When?", api, stream=stream, tools=TOOLS, tool_choice=chosen)
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "tide"
    none = await told(
        gateway, "[[tool]] When?", api, stream=stream, tools=TOOLS, tool_choice="none"
    )
    assert "tool_calls" not in none["message"]


@BOTH
@pytest.mark.parametrize("api", ["openai", "anthropic", "ollama"])
async def test_reasoning_comes_back_apart_and_may_be_sent_back(
    gateway: RunningGateway, api: str, *, stream: bool
) -> None:
    choice = await told(gateway, "[[think]] Why?", api, stream=stream)
    message = choice["message"]
    assert message["reasoning_content"].startswith("They want to know")
    assert "They want to know" not in message["content"]
    dialogue = [{"role": "user", "content": "Why?"}, message, {"role": "user", "content": "Oh?"}]
    again = await told(gateway, "", api, stream=stream, messages=dialogue)
    assert "“Oh?” (2 earlier turns)" in again["message"]["content"]


@BOTH
@pytest.mark.parametrize("api", ["openai", "responses"])
async def test_a_refusal_stands_apart(gateway: RunningGateway, api: str, *, stream: bool) -> None:
    message = (await told(gateway, "[[refuse]]", api, stream=stream))["message"]
    assert message["refusal"] == "I am sorry, but with that I will not help."
    assert message["content"] is None


@BOTH
@EACH
async def test_why_it_ended(gateway: RunningGateway, api: str, *, stream: bool) -> None:
    short = await told(gateway, "Hello", api, stream=stream, max_completion_tokens=16)
    assert short["finish_reason"] == "length"


@BOTH
@EACH
async def test_an_answer_in_a_form(gateway: RunningGateway, api: str, *, stream: bool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "hour", "schema": SCHEMA}}
    choice = await told(gateway, "When?", api, stream=stream, response_format=form)
    assert set(json.loads(choice["message"]["content"])) == {"hour"}


@EACH
async def test_an_image(gateway: RunningGateway, api: str) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": IMAGE}},
    ]
    choice = await told(
        gateway, "", api, stream=True, messages=[{"role": "user", "content": parts}]
    )
    assert choice["message"]["content"].startswith("I see 1 image")


@EACH
async def test_a_failure_in_the_middle(gateway: RunningGateway, api: str) -> None:
    async with posting(gateway, asking("[[midfail]]", model(api), stream=True)) as reply:
        *chunks, failure = await events(reply)
    assert content(chunks)
    assert failure["error"]["type"] == "upstream_error"
    async with posting(gateway, asking("[[midfail]]", model(api))) as reply:
        assert reply.status == 502


@pytest.mark.parametrize(
    ("api", "more", "param"),
    [
        ("anthropic", {"seed": 1}, "seed"),
        ("anthropic", {"min_p": 0.1}, "min_p"),
        ("anthropic", {"response_format": {"type": "json_object"}}, "response_format"),
        ("gemini", {"logit_bias": {"1": 1}}, "logit_bias"),
        ("gemini", {"parallel_tool_calls": False, "tools": TOOLS}, "parallel_tool_calls"),
        ("ollama", {"tool_choice": "required", "tools": TOOLS}, "tool_choice"),
        ("responses", {"seed": 1}, "seed"),
        ("responses", {"frequency_penalty": 0.5}, "frequency_penalty"),
        ("responses", {"logit_bias": {"1": 1}}, "logit_bias"),
        ("responses", {"top_k": 3}, "top_k"),
        ("shop", {"tools": TOOLS}, "tools"),
    ],
)
async def test_what_an_api_has_not_is_refused_by_name(
    gateway: RunningGateway, api: str, more: dict[str, Any], param: str | None
) -> None:
    async with posting(gateway, asking("Hello", model(api), **more)) as reply:
        error = (await reply.json())["error"]
    assert (reply.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert next(iter(more)) in error["message"]


async def test_what_responses_have_not_is_dropped_where_that_is_allowed(replica: Replica) -> None:
    openai = f"{replica.url('openai')}/v1"
    site = Site(openai, software="openai", api="responses", name="lenient", unsupported="drop")
    more = {"seed": 1, "frequency_penalty": 0, "presence_penalty": 0.5, "temperature": 0.5}
    async with (
        serving([site]) as gateway,
        posting(gateway, asking("Hello", "lenient/gpt-4o-mini", **more)) as reply,
    ):
        assert reply.status == 200, await reply.text()
        assert reply.headers["X-Tailrace-Dropped"] == "seed, presence_penalty"
    sent: Any = replica.exchanges[-1].json
    assert sent["temperature"] == 0.5
    assert sent.keys().isdisjoint({"seed", "frequency_penalty", "presence_penalty"})


@pytest.mark.parametrize("api", ["gemini", "anthropic", "responses", "ollama"])
async def test_what_a_site_wants_back_has_its_form(gateway: RunningGateway, api: str) -> None:
    user = {"role": "user", "content": "Hello"}
    call = {"id": "c", "function": {"name": "tide", "arguments": "{}"}, "extra_content": "x"}
    said: list[tuple[dict[str, Any], str]] = [
        ({"role": "assistant", "content": "Nine.", "extra_content": "x"}, "messages[1]"),
        ({"role": "assistant", "tool_calls": [call]}, "messages[1].tool_calls[0]"),
    ]
    for message, param in said:
        body = {**asking("", model(api)), "messages": [user, message, user]}
        async with posting(gateway, body) as reply:
            told = await reply.json()
        if "extra_content" in message and api != "gemini":
            assert reply.headers["X-Tailrace-Dropped"] == "messages.extra_content"
        else:
            assert (reply.status, told["error"]["param"]) == (400, param), told


async def test_half_a_character_is_no_reason_to_refuse_a_text(gateway: RunningGateway) -> None:
    body = {**asking("cut off \ud83d", model("openai"))}
    async with posting(gateway, body) as reply:
        assert "cut off \ufffd" in (await reply.json())["choices"][0]["message"]["content"]


async def test_fields_that_nobody_knows_reach_a_server_of_openais_api(
    gateway: RunningGateway, replica: Replica
) -> None:
    fields = {"min_p": 0.1, "chat_template_kwargs": {"enable_thinking": False}, "top_k": 4}
    for api in ("openai", "responses"):
        await told(gateway, "Hello", api, stream=True, **(fields if api == "openai" else {}))
    seen: Any = replica.exchanges[-2].json
    assert {name: seen[name] for name in fields} == fields


@BOTH
async def test_what_is_dropped_is_told_and_counted(
    gateway: RunningGateway, *, stream: bool
) -> None:
    before = gateway.context.request_figures.snapshot().dropped
    more = {"tools": TOOLS, "tool_choice": "required", "temperature": 0.5, "min_p": 0.1}
    async with posting(gateway, asking("Hello", "lenient/default", stream=stream, **more)) as reply:
        assert reply.status == 200
        assert reply.headers["X-Tailrace-Dropped"] == "tools, tool_choice, temperature, min_p"
        await reply.read()
    async with posting(gateway, asking("Hello", "shop/default", temperature=0.5)) as reply:
        assert reply.headers["X-Tailrace-Dropped"] == "temperature"
    async with posting(gateway, asking("Hello", model("anthropic"), temperature=0.5)) as reply:
        assert "X-Tailrace-Dropped" not in reply.headers
    after = gateway.context.request_figures.snapshot().dropped
    more_now = {name: count - before.get(name, 0) for name, count in after.items()}
    assert more_now == {"temperature": 2, "tools": 1, "tool_choice": 1, "other": 1}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.url}/metrics") as reply,
    ):
        assert 'tailrace_dropped_fields_total{field="tools"}' in await reply.text()


@pytest.mark.parametrize("api", [each for each in MODELS if each != "openai"])
async def test_what_clients_add_to_an_answer_may_come_back_with_it(
    gateway: RunningGateway, api: str
) -> None:
    added = {"provider_specific_fields": {"citations": None}, "parsed": {"hour": 9}}
    answer = {"role": "assistant", "content": "Nine.", "reasoning_content": "The moon.", **added}
    user = {"role": "user", "content": "Hello"}
    body = {"model": model(api), "messages": [user, answer, user]}
    async with posting(gateway, body) as reply:
        assert reply.status == 200
        dropped = reply.headers["X-Tailrace-Dropped"].split(", ")
    assert sorted(dropped) == [
        "messages.parsed", "messages.provider_specific_fields", "messages.reasoning_content",
    ]  # fmt: skip


async def test_the_gateway_as_a_whole_may_drop(replica: Replica) -> None:
    shop = Site(replica.page("ai-power", "stream"), name="shop")
    strict = Site(replica.page("ai-power", "stream"), name="strict", unsupported="refuse")
    async with serving([shop, strict], unsupported="drop") as gateway:
        async with posting(gateway, asking("Hello", tools=TOOLS)) as reply:
            assert (reply.status, reply.headers["X-Tailrace-Dropped"]) == (200, "tools")
        async with posting(gateway, asking("Hello", "strict/default", tools=TOOLS)) as reply:
            assert reply.status == 400


CACHED = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize("api", [each for each in MODELS if each != "openai"])
async def test_what_no_tool_or_part_has_is_dropped_too(replica: Replica, api: str) -> None:
    function = {**TOOLS[0]["function"], **CACHED}
    part = {"type": "text", "text": "Hello", **CACHED}
    body = {
        "model": model(api),
        "messages": [
            {"role": "user", "content": [part, {"type": "odd", "odd": 1}]},
        ],
        "tools": [{**TOOLS[0], "function": function, **CACHED}, {"type": "web_search"}],
    }
    async with serving(sites(replica), unsupported="drop") as gateway:
        async with posting(gateway, body) as reply:
            assert reply.status == 200, await reply.text()
            dropped = reply.headers["X-Tailrace-Dropped"].split(", ")
        assert sorted(dropped) == [
            "messages.odd", "messages.text.cache_control", "tools", "tools.cache_control",
            "tools.function.cache_control",
        ]  # fmt: skip
        counted = gateway.context.request_figures.snapshot().dropped
    assert counted["tools.cache_control"] == 1
    async with serving(sites(replica)) as gateway, posting(gateway, body) as reply:
        assert reply.status == 400


CALL = {"id": "a", "type": "function", "function": {"name": "tide", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"role": "user", "content": [{"type": "text", "text": "x", **CACHED}]},
         "messages[1].content[0]"),
        ({"role": "user", "content": [{"type": "odd"}]}, "messages[1].content[0]"),
        ({"role": "user", "content": "x", "odd": 1}, "messages[1]"),
        ({"role": "assistant", "tool_calls": [CALL, {**CALL, "odd": 1}]},
         "messages[1].tool_calls[1]"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": 1}}]},
         "messages[1].content[0]"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("api", ["anthropic", "gemini", "ollama", "responses"])
async def test_a_refusal_within_messages_names_its_place(
    gateway: RunningGateway, api: str, said: dict[str, Any], param: str
) -> None:
    user = {"role": "user", "content": "Hello"}
    async with posting(gateway, {"model": model(api), "messages": [user, said, user]}) as reply:
        error = (await reply.json())["error"]
    assert (reply.status, error["param"]) == (400, param), error


async def test_a_refusal_within_tools_names_its_place(gateway: RunningGateway) -> None:
    more = {"tools": [*TOOLS, {**TOOLS[0], **CACHED}]}
    async with posting(gateway, asking("Hello", model("gemini"), **more)) as reply:
        assert (reply.status, (await reply.json())["error"]["param"]) == (400, "tools[1]")


@pytest.mark.parametrize("api", ["openai", "responses", "anthropic"])
async def test_a_field_that_the_call_writes_itself(gateway: RunningGateway, api: str) -> None:
    async with posting(gateway, asking("Hello", model(api), input="x")) as reply:
        error = (await reply.json())["error"]
    assert (reply.status, error["param"], error["code"]) == (400, "input", "unknown_parameter")
    assert error["message"] == "unknown parameter: 'input'"


@pytest.mark.parametrize(
    ("path", "name", "more"),
    [
        ("chat/completions", "messages", {}),
        ("messages", "messages", {"max_tokens": 1}),
        ("responses", "input", {}),
    ],
)
async def test_messages_have_a_number(
    gateway: RunningGateway, path: str, name: str, more: dict[str, Any]
) -> None:
    said = [{"role": "user", "content": "x"}] * (MOST_MESSAGES + 1)
    parts = [{"role": "user", "content": [{}] * MOST_CONTAINERS}]
    async with aiohttp.ClientSession() as session:
        for messages in (said, parts):
            body = {"model": "shop/default", name: messages, **more}
            async with session.post(f"{gateway.base_url}/{path}", json=body) as reply:
                told = await reply.text()
            assert reply.status == 400
            assert str(MOST_MESSAGES if messages is said else MOST_CONTAINERS) in told


async def test_a_stop_sequence_before_a_call(gateway: RunningGateway) -> None:
    choice = await told(
        gateway, "[[tool]] When?", "openai", stream=True, tools=TOOLS, stop=["never there"]
    )
    assert choice["finish_reason"] == "tool_calls"
    thought = await told(gateway, "[[think]] Why?", "openai", stream=True, stop=["earlier"])
    assert thought["message"]["content"] == "You asked: “[[think]] Why?” (0 "
    assert thought["message"]["reasoning_content"].startswith("They want")


# -- what fails ------------------------------------------------------------------------------------


@EACH
@BOTH
async def test_a_model_that_the_site_has_not(
    gateway: RunningGateway, api: str, *, stream: bool
) -> None:
    async with posting(gateway, asking("hi", f"{api}/no-such-model", stream=stream)) as reply:
        error = (await reply.json())["error"]
    assert (reply.status, error["code"], error["param"]) == (404, "model_not_found", "model")


@BOTH
async def test_a_finish_reason_that_is_a_failure(*, stream: bool) -> None:
    piece = {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}]}

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=f"data: {json.dumps(piece)}\n\n", content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    async with TestServer(app) as server:
        site = Site(str(server.make_url("/")), software="gemini", name="gemini")
        async with (
            serving([site]) as gateway,
            posting(gateway, asking("hi", model("gemini"), stream=stream)) as reply,
        ):
            if stream and reply.status == 200:
                error = (await events(reply))[-1]["error"]
            else:
                assert reply.status == 502
                error = (await reply.json())["error"]
    assert error["code"] == "MALFORMED_FUNCTION_CALL"
    assert "finish reason MALFORMED_FUNCTION_CALL" in error["message"]
