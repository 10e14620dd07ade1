"""Whatever JSON a client sends is a request or a refusal with a 4xx, and never anything else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace._messages import parse_messages
from tailrace.gateway import ModelRegistry
from tailrace.gateway._problems import RefusedError, problem_response
from tailrace.gateway._wires.answer import estimated_tokens
from tailrace.gateway._wires.chat import FIELDS, ChatWire
from tailrace.gateway._wires.completions import CompletionWire
from tailrace.gateway._wires.fitting import dropped_names, fit
from tailrace.gateway._wires.messages import MessageRequest, MessageWire
from tailrace.gateway._wires.responses import ResponseRequest, ResponseWire
from tailrace.providers import ChatGptt, OpenAIProvider
from tailrace.sites import Site

if TYPE_CHECKING:
    from tailrace.gateway._wires.wire import Wire


class Server(OpenAIProvider):
    url = "http://127.0.0.1:1/v1"


CLAUDE = Site("http://127.0.0.1:1", software="anthropic", name="Claude")
MODELS = ModelRegistry([ChatGptt, Server, CLAUDE], created=0)
CHAT = ChatWire()
WIRES: list[Wire] = [CHAT, CompletionWire(), MessageWire(), ResponseWire()]
SITES = [
    MODELS.find("ChatGptt/gpt-4").models[0],
    MODELS.find("Server/x").models[0],
    MODELS.find("Claude/x").models[0],
]

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(
    ["type", "text", "role", "content", "url", "tool_calls", "refusal", "image_url"]
) | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)
PARTS = st.dictionaries(KEYS, VALUES, max_size=3) | st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "refusal", "image_url"])},
    optional={"text": VALUES, "refusal": VALUES},
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "developer"]) | VALUES},
    optional={
        "content": st.text(max_size=8) | st.lists(PARTS | st.text(), max_size=3) | VALUES,
        "tool_calls": VALUES,
    },
)
NAMES = st.sampled_from([field.name for field in FIELDS if field.name != "messages"]) | st.text()
BODIES = st.builds(
    lambda fields, messages: {"model": "m", **fields, "messages": messages},
    st.dictionaries(NAMES, VALUES, max_size=4),
    st.lists(MESSAGES, max_size=3) | VALUES,
)


def answered(body: bytes, wire: Wire = CHAT) -> None:
    try:
        request = wire.read(body)
        assert all(estimated_tokens(message.get("content")) >= 0 for message in request.messages)
        for model in SITES:
            for drops in (False, True):
                fitted = fit(request, model, drops=drops)
                assert "messages" not in fitted.options
                assert dropped_names(fitted.dropped).isascii()
                if fitted.messages and not model.has_api:
                    parse_messages(fitted.messages)
                json.dumps([fitted.messages, fitted.options])
    except RefusedError as refused:
        response: Any = problem_response(refused.problem)
        assert response.status == 400
        assert set(json.loads(response.body)) == {"error"}


@given(BODIES)
@example({"model": "m", "messages": [{"role": "assistant"}]})
def test_any_fields(body: dict[str, Any]) -> None:
    answered(json.dumps(body).encode())


ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["message", "function_call", "function_call_output", "reasoning", "text", "image"]
        )
        | VALUES,
        "role": st.sampled_from(["user", "assistant", "system", "developer"]) | VALUES,
        **dict.fromkeys(["content", "output", "summary", "source", "input"], VALUES),
        **dict.fromkeys(["call_id", "name", "arguments", "text"], st.text(max_size=3) | VALUES),
    },
)
RESPONSES = st.builds(
    lambda fields, items: {"model": "m", **fields, "input": items},
    st.dictionaries(st.sampled_from(ResponseRequest.__struct_fields__), VALUES, max_size=4),
    st.text() | st.lists(ITEMS, max_size=3) | VALUES,
)
CLAUDES = st.builds(
    lambda fields, messages: {"model": "m", "max_tokens": 9, **fields, "messages": messages},
    st.dictionaries(st.sampled_from(MessageRequest.__struct_fields__), VALUES, max_size=4),
    st.lists(
        st.fixed_dictionaries(
            {
                "role": st.sampled_from(["user", "assistant", "system"]),
                "content": st.text(max_size=3) | st.lists(ITEMS, max_size=3),
            }
        ),
        max_size=3,
    )
    | VALUES,
)


@given(RESPONSES)
def test_any_response(body: dict[str, Any]) -> None:
    answered(json.dumps(body).encode(), WIRES[3])


@given(CLAUDES)
def test_any_message(body: dict[str, Any]) -> None:
    answered(json.dumps(body).encode(), WIRES[2])


@given(VALUES | st.dictionaries(st.text(), VALUES), st.sampled_from(WIRES))
def test_any_json(body: Any, wire: Wire) -> None:
    answered(json.dumps(body).encode(), wire)


@given(st.binary(), st.sampled_from(WIRES))
def test_any_bytes(body: bytes, wire: Wire) -> None:
    answered(body, wire)


@pytest.mark.parametrize("depth", [100, 250, 900, 950, 980, 990, 1000, 100_000])
@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","a":%s}]}]}',
        '{"model":"m","messages":[{"role":"user","content":"a","tool_calls":[{"a":%s}]}]}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"response_format":{"a":%s}}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"metadata":%s}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"min_p":%s}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[{"a":%s}]}',
    ],
)
def test_no_depth_is_too_much(body: str, depth: int) -> None:
    answered((body % ("[" * depth + "]" * depth)).encode())


def test_what_is_passed_on_is_nested_so_deep_that_it_can_be_written() -> None:
    deep = "[" * 250 + "]" * 250
    body = f'{{"model":"m","messages":[{{"role":"user","content":[{{"type":"x","a":{deep}}}]}}]}}'
    with pytest.raises(RefusedError, match="nested more than 200 deep"):
        ChatWire().read(body.encode())
