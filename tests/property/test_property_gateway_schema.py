"""Whatever JSON a client sends is a request or a refusal with a 4xx, and never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace._messages import parse_messages
from tailrace.gateway import ModelRegistry
from tailrace.gateway._problems import RefusedError, problem_response
from tailrace.gateway._wires.answer import estimated_tokens
from tailrace.gateway._wires.chat import FIELDS, ChatWire
from tailrace.gateway._wires.fitting import dropped_names, fit
from tailrace.providers import ChatGptt, OpenAIProvider
from tailrace.sites import Site


class Server(OpenAIProvider):
    url = "http://127.0.0.1:1/v1"


CLAUDE = Site("http://127.0.0.1:1", software="anthropic", name="Claude")
MODELS = ModelRegistry([ChatGptt, Server, CLAUDE], created=0)
SITES = [MODELS.find("ChatGptt/gpt-4"), MODELS.find("Server/x"), MODELS.find("Claude/x")]

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


def answered(body: bytes) -> None:
    try:
        request = ChatWire().read(body)
        assert all(estimated_tokens(message.get("content")) >= 0 for message in request.messages)
        for model in SITES:
            for drops in (False, True):
                fitted = fit(request, model, drops=drops)
                assert "messages" not in fitted.options
                assert dropped_names(fitted.dropped).isascii()
                if fitted.messages:
                    parse_messages(fitted.messages)
                json.dumps([fitted.messages, fitted.options])
    except RefusedError as refused:
        response: Any = problem_response(refused.problem)
        assert response.status == 400
        assert set(json.loads(response.body)) == {"error"}


@given(BODIES)
def test_any_fields(body: dict[str, Any]) -> None:
    answered(json.dumps(body).encode())


@given(VALUES | st.dictionaries(st.text(), VALUES))
def test_any_json(body: Any) -> None:
    answered(json.dumps(body).encode())


@given(st.binary())
def test_any_bytes(body: bytes) -> None:
    answered(body)


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
