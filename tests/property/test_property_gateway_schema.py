"""Whatever JSON a client sends is a request or a refusal with a 4xx, and never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace._messages import parse_messages
from tailrace.gateway import ModelRegistry
from tailrace.gateway._openai.completions import estimated_tokens
from tailrace.gateway._openai.schema import FIELDS, messages_for, parameters_for, read_request
from tailrace.gateway._problems import RefusedError, problem_response
from tailrace.providers import ChatGptt, OpenAIProvider


class Server(OpenAIProvider):
    url = "http://127.0.0.1:1/v1"


MODELS = ModelRegistry([ChatGptt, Server], created=0)
SITES = [MODELS.find("ChatGptt/gpt-4"), MODELS.find("Server/x")]

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
NAMES = st.sampled_from([field.name for field in FIELDS if field.name != "messages"])
BODIES = st.builds(
    lambda fields, messages: {"model": "m", **fields, "messages": messages},
    st.dictionaries(NAMES, VALUES, max_size=4),
    st.lists(MESSAGES, max_size=3) | VALUES,
)


def answered(body: bytes) -> None:
    try:
        request = read_request(body)
        for model in SITES:
            parameters = parameters_for(request, model)
            assert "messages" not in parameters
            messages = messages_for(request, model)
            parse_messages(messages)
            json.dumps(messages)
        assert all(estimated_tokens(message.content) >= 0 for message in request.messages)
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
    ],
)
def test_no_depth_is_too_much(body: str, depth: int) -> None:
    answered((body % ("[" * depth + "]" * depth)).encode())


def test_what_is_passed_on_is_nested_so_deep_that_it_can_be_written() -> None:
    deep = "[" * 250 + "]" * 250
    body = f'{{"model":"m","messages":[{{"role":"user","content":[{{"type":"x","a":{deep}}}]}}]}}'
    with pytest.raises(RefusedError, match="nested more than 200 deep"):
        read_request(body.encode())
