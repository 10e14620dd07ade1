"""Any messages and options, given to every API: a request of JSON, or an InvalidRequestError."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tailrace import Site
from tailrace._environment import Environment
from tailrace._messages import parse_messages
from tailrace.errors import InvalidRequestError
from tailrace.providers._api import ApiCall
from tailrace.providers._base import CallRequest
from tailrace.sites._software import SOFTWARE

APIS = (
    {"software": "openai"},
    {"software": "openai", "api": "responses"},
    *({"software": name} for name in ("anthropic", "gemini", "ollama")),
)

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.binary(max_size=3)
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)


def near(shape: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Objects of that shape, some of whose values are anything, and anything in their place."""
    return st.one_of(
        st.fixed_dictionaries({}, optional={key: value | ANYTHING for key, value in shape.items()}),
        ANYTHING,
    )


FUNCTION = near({"name": st.just("f"), "arguments": st.sampled_from(["{}", "{", "[]", ""])})
CALLS = st.lists(
    near({"id": st.just("c"), "type": st.just("function"), "function": FUNCTION}), max_size=2
)
URLS = st.sampled_from(["https://x.example/a", "data:image/png;base64,AAAA", "data:,x", "\ud800"])
PARTS = near(
    {
        "type": st.sampled_from(["text", "image_url", "input_audio", "file", "refusal"]),
        "text": st.text(max_size=5),
        "refusal": st.text(max_size=5),
        "image_url": near({"url": URLS, "detail": st.just("low")}),
        "input_audio": near({"data": st.just("AA"), "format": st.just("wav")}),
        "file": near({"file_data": URLS, "file_id": st.just("f"), "filename": st.just("n")}),
    }
)
MESSAGES = near(
    {
        "role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]),
        "content": st.text(max_size=5) | st.lists(PARTS, max_size=2),
        "tool_calls": CALLS,
        "tool_call_id": st.just("c"),
        "name": st.just("f"),
        "refusal": st.text(max_size=5),
    }
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.lists(
            near({"type": st.just("function"), "function": near({"name": st.just("f")})}),
            max_size=2,
        )
        | ANYTHING,
        "tool_choice": st.sampled_from(["auto", "none", "required"]) | ANYTHING,
        "response_format": near({"type": st.sampled_from(["json_schema", "json_object", "text"])}),
        "stop": ANYTHING,
        "max_tokens": ANYTHING,
        "max_completion_tokens": ANYTHING,
        "reasoning_effort": ANYTHING,
        "temperature": ANYTHING,
        "extra": ANYTHING,
    },
)


@given(messages=st.lists(MESSAGES, max_size=3) | ANYTHING, options=OPTIONS)
def test_a_request_is_json_or_refused(messages: Any, options: dict[str, Any]) -> None:
    for api in APIS:
        given_options = {**api, **options}
        with suppress(InvalidRequestError):
            site = Site("http://host.example", **given_options)
            software = SOFTWARE[site.software]
            request = CallRequest(url=site.url, messages=messages, environment=Environment())
            call = software.call(request, software.read_options(given_options))
            assert isinstance(call, ApiCall)
            if api == {"software": "openai"}:
                # Not translated: every call looks at its messages before.
                parse_messages(messages)
            assert isinstance(json.loads(call.encoded_body("m")), dict)
