"""What a request may say: the table of OpenAI's fields, and each refusal by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tailrace.gateway import ModelRegistry
from tailrace.gateway._openai.schema import (
    FIELDS,
    LONGEST_STOP,
    ChatRequest,
    messages_for,
    parameters_for,
    read_request,
)
from tailrace.gateway._problems import RefusedError
from tailrace.providers import ChatGptt, OpenAIProvider
from tailrace.providers._openai import OpenAIOptions

if TYPE_CHECKING:
    from tailrace.gateway._models import Model

ROOT = Path(__file__).parents[2]
HELLO = [{"role": "user", "content": "Hello"}]


class Server(OpenAIProvider):
    url = "http://127.0.0.1:1/v1"


MODELS = ModelRegistry([ChatGptt, Server], created=0)
SITE = MODELS.find("ChatGptt/gpt-4o")
OPEN = MODELS.find("Server/any-model")


def request(**fields: Any) -> ChatRequest:
    return read_request(json.dumps({"model": "m", "messages": HELLO, **fields}).encode())


def refused(body: bytes | dict[str, Any]) -> tuple[int, str, str | None, str | None]:
    """The status, message, param and code a body is refused with."""
    with pytest.raises(RefusedError) as caught:
        read_request(
            body
            if isinstance(body, bytes)
            else json.dumps({"model": "m", "messages": HELLO, **body}).encode()
        )
    problem = caught.value.problem
    assert problem.kind == "invalid_request_error"
    return problem.status, problem.message, problem.param, problem.code


# -- the table -------------------------------------------------------------------------------------

# OpenAI's API reference, "Create chat completion", request body.
OPENAIS = {
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
}


def test_every_field_of_openais_stands_in_one_row() -> None:
    names = [field.name for field in FIELDS]
    assert len(set(names)) == len(names)
    assert set(names) == OPENAIS == set(ChatRequest.__struct_fields__)


OPERATORS = {"api_key", "extra", "stop", "stream_options"}
"""Options that a caller does not set: the gateway stops and counts itself."""


def test_what_is_passed_on_is_what_the_provider_takes() -> None:
    passed = {field.name for field in FIELDS if field.treatment.startswith("passed on")}
    assert passed <= set(OpenAIOptions.__dataclass_fields__) - OPERATORS


def test_the_document_shows_the_table() -> None:
    text = (ROOT / "docs" / "openai-api.md").read_text("utf-8")
    shown = dict(
        re.findall(r"^\| ([a-z ]+) \| (`.*?) \| [^|`]*(?:`openai`)?[^|]* \|$", text, re.MULTILINE)
    )
    for treatment in dict.fromkeys(field.treatment for field in FIELDS):
        fields = [field for field in FIELDS if field.treatment == treatment]
        told = (f"`{field.name}`{f' ({field.note})' if field.note else ''}" for field in fields)
        assert shown[treatment] == ", ".join(told)


# -- honoured --------------------------------------------------------------------------------------


def test_the_smallest_request() -> None:
    asked = request()
    assert (asked.model, asked.stops, asked.include_usage, bool(asked.stream)) == (
        "m",
        [],
        False,
        False,
    )


def test_every_field_may_be_null() -> None:
    asked = request(**dict.fromkeys(OPENAIS - {"model", "messages"}))
    assert asked == request()


@pytest.mark.parametrize(
    ("stop", "stops"), [("a", ["a"]), ([], []), (["a", "b", "c", "d"], ["a", "b", "c", "d"])]
)
def test_stop(stop: Any, stops: list[str]) -> None:
    assert request(stop=stop).stops == stops


@pytest.mark.parametrize(
    "stop",
    [
        "",
        [""],
        ["a"] * 5,
        "x" * (LONGEST_STOP + 1),
        ["x" * (LONGEST_STOP + 1)],
        7,
        [7],
        {"a": 1},
        [None],
    ],
)
def test_stop_that_cannot_be(stop: Any) -> None:
    status, _, param, _ = refused({"stop": stop})
    assert status == 400
    assert param is not None
    assert param.startswith("stop")


@pytest.mark.parametrize("n", [0, 2, -1, 128])
def test_n_is_1(n: int) -> None:
    assert refused({"n": n})[2:] == ("n", "unsupported_value")
    assert request(n=1).n == 1


def test_stream_options_are_for_streams() -> None:
    assert refused({"stream_options": {"include_usage": True}})[2] == "stream_options"
    assert refused({"stream": False, "stream_options": {}})[2] == "stream_options"
    assert request(
        stream=True, stream_options={"include_usage": True, "include_obfuscation": False}
    ).include_usage
    assert not request(stream=True, stream_options={}).include_usage


# -- refused ---------------------------------------------------------------------------------------

ASKS: dict[str, list[Any]] = {
    "audio": [{"voice": "a"}],
    "function_call": [{"name": "f"}],
    "functions": [[{"name": "f"}]],
    "logprobs": [True, 1],
    "moderation": [{"type": "auto"}],
    "modalities": [["text", "audio"], ["audio"], "text"],
    "tool_choice": ["required", {"type": "function"}],
    "tools": [[{"type": "function"}]],
    "top_logprobs": [5, 1],
    "web_search_options": [{}],
}


@pytest.mark.parametrize("name", [field.name for field in FIELDS if field.treatment == "refused"])
def test_what_is_refused_is_named(name: str) -> None:
    for value in ASKS[name]:
        status, message, param, code = refused({name: value})
        assert (status, param, code) == (400, name, "unsupported_parameter")
        assert name in message


@pytest.mark.parametrize(
    ("name", "value"),
    [(field.name, value) for field in FIELDS for value in field.harmless],
)
def test_what_asks_for_nothing_is_taken(name: str, value: Any) -> None:
    parameters_for(request(**{name: value}), SITE)


@pytest.mark.parametrize(
    "name",
    [
        "url",
        "base_url",
        "api_base",
        "proxy",
        "headers",
        "cookies",
        "provider",
        "endpoint",
        "api_key",
        "transport",
        "timeout",
        "connect_timeout",
        "total_timeout",
        "limits",
        "retry",
        "throttle",
        "environment",
        "token_cache",
        "bot_id",
        "secret_key",
        "password",
        "extra",
        "extra_headers",
        "model_aliases",
        "thread_id",
    ],
)
@pytest.mark.parametrize("value", ["http://127.0.0.1:9/", None, {"a": "b"}])
def test_nothing_that_is_not_openais_is_taken(name: str, value: Any) -> None:
    status, message, param, code = refused({name: value})
    assert (status, param, code) == (400, name, "unknown_parameter")
    assert message == f"unknown parameter: {name!r}"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"", None, None),
        (b"{", None, None),
        (b"[]", None, "invalid_type"),
        (b"7", None, "invalid_type"),
        (b"\xff\xfe", None, None),
        (b'{"model":"\\ud800"}', None, None),
        (b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}', None, None),
        (b'{"model":"m","messages":' + b"[" * 100_000, "messages[0]", "invalid_type"),
        (
            b'{"model":"m","messages":[{"role":"user","content":"x"}],"metadata":' + b"[" * 100_000,
            None,
            None,
        ),
        (b"{}", "model", "missing_required_parameter"),
        (b'{"model":"m"}', "messages", "missing_required_parameter"),
        (b'{"model":7,"messages":[]}', "model", "invalid_type"),
        (b'{"model":"m","messages":[]}', "messages", "invalid_type"),
        (b'{"model":"m","messages":{}}', "messages", "invalid_type"),
        (b'{"model":"m","messages":[7]}', "messages[0]", "invalid_type"),
        (b'{"model":"m","messages":[{}]}', "messages[0].role", "missing_required_parameter"),
        (
            b'{"model":"m","messages":[{"role":"boss","content":"x"}]}',
            "messages[0].role",
            "invalid_type",
        ),
        (
            b'{"model":"m","messages":[{"role":"user","content":7}]}',
            "messages[0].content",
            "invalid_type",
        ),
        (
            b'{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":"hot"}',
            "temperature",
            "invalid_type",
        ),
        (
            b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":"yes"}',
            "stream",
            "invalid_type",
        ),
    ],
)
def test_what_is_no_request(body: bytes, param: str | None, code: str | None) -> None:
    status, message, told, why = refused(body)
    assert (status, told, why) == (400, param, code)
    assert len(message) < 300


def test_a_name_of_any_length_is_cut_in_the_answer() -> None:
    _, message, param, _ = refused({"x" * 10_000: 1})
    assert len(message) < 120
    assert param == "x" * 80


# -- what a site is asked --------------------------------------------------------------------------

GIVEN: dict[str, Any] = {
    "frequency_penalty": 0.5,
    "logit_bias": {"50256": -100},
    "max_completion_tokens": 7,
    "max_tokens": 8,
    "presence_penalty": 1,
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "seed": 3,
    "temperature": 0,
    "top_p": 1.0,
    "user": "u-1",
}


def test_parameters_go_to_a_server_that_takes_them() -> None:
    asked = request(**GIVEN, stop="x", metadata={"a": "b"}, store=True)
    assert parameters_for(asked, OPEN) == GIVEN


def test_no_other_site_is_asked_them() -> None:
    hints = {
        name: value
        for name, value in GIVEN.items()
        if name not in ("logit_bias", "response_format")
    }
    assert parameters_for(request(**hints), SITE) == {}
    for name in ("logit_bias", "response_format"):
        with pytest.raises(RefusedError) as caught:
            parameters_for(request(**{name: GIVEN[name]}), SITE)
        assert (caught.value.problem.status, caught.value.problem.param) == (400, name)


def messages(*given: Any, model: Model = SITE) -> list[dict[str, Any]]:
    asked = read_request(json.dumps({"model": "m", "messages": given}).encode())
    found: list[dict[str, Any]] = messages_for(asked, model)
    return found


def test_text_is_a_message() -> None:
    given = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "developer",
            "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "kind."}],
        },
        {"role": "user", "content": ["plain ", "parts"]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": None,
            "audio": None,
            "annotations": [],
        },
    ]
    assert [message["content"] for message in messages(*given)] == [
        "Be brief.",
        "And kind.",
        "plain parts",
        "No.",
        "",
    ]
    assert {tuple(message) for message in messages(*given)} == {("role", "content")}


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (
            {"role": "user", "content": [{"type": "text", "text": "see"}, IMAGE]},
            "messages[0].content[1].type",
        ),
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
            "messages[0].content[0].type",
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {}}]},
            "messages[0].content[0].type",
        ),
        ({"role": "tool", "content": "4", "tool_call_id": "c"}, "messages[0].role"),
        ({"role": "function", "content": "4", "name": "f"}, "messages[0].role"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "messages[0].tool_calls"),
        (
            {"role": "assistant", "content": "", "function_call": {"name": "f"}},
            "messages[0].function_call",
        ),
    ],
)
def test_what_is_no_text_is_for_openais_own_sites(message: dict[str, Any], param: str) -> None:
    with pytest.raises(RefusedError) as caught:
        messages(message)
    assert (caught.value.problem.status, caught.value.problem.param) == (400, param)
    assert messages(message, model=OPEN) == [{"content": None, **message}]


@pytest.mark.parametrize("model", [SITE, OPEN], ids=["site", "openai"])
@pytest.mark.parametrize(
    ("content", "param"),
    [
        (None, "messages[0].content"),
        ([{}], "messages[0].content[0].type"),
        ([{"type": 7}], "messages[0].content[0].type"),
        ([{"type": "text"}], "messages[0].content[0].text"),
        ([{"type": "text", "text": None}], "messages[0].content[0].text"),
    ],
)
def test_content_that_is_none(content: Any, param: str, model: Model) -> None:
    with pytest.raises(RefusedError) as caught:
        messages({"role": "user", "content": content}, model=model)
    assert (caught.value.problem.status, caught.value.problem.param) == (400, param)


def test_what_a_message_says_beside_its_own_fields_goes_nowhere() -> None:
    message = {
        "role": "user",
        "content": "x",
        "url": "http://127.0.0.1:9/",
        "headers": {"a": "b"},
        "provider": "x",
    }
    for model in (SITE, OPEN):
        assert messages(message, model=model) == [{"role": "user", "content": "x"}]
