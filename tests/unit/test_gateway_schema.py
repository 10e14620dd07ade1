"""What a request may say: the table of OpenAI's fields, and each refusal by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tailrace.gateway import ModelRegistry
from tailrace.gateway._problems import RefusedError
from tailrace.gateway._wires.chat import FIELDS, ChatRequest, ChatWire
from tailrace.gateway._wires.chunked import LONGEST_STOP
from tailrace.gateway._wires.completions import CompletionWire
from tailrace.gateway._wires.fitting import (
    TUNING,
    SiteRequest,
    dropped_field,
    dropped_names,
    fit,
)
from tailrace.gateway._wires.messages import MessageWire
from tailrace.gateway._wires.responses import ResponseWire
from tailrace.providers import ChatGptt, OpenAIProvider
from tailrace.providers._openai import OpenAIOptions
from tailrace.sites import Site

if TYPE_CHECKING:
    from tailrace.gateway._models import Model
    from tailrace.gateway._wires.request import ModelRequest

ROOT = Path(__file__).parents[2]
HELLO = [{"role": "user", "content": "Hello"}]


class Server(OpenAIProvider):
    url = "http://127.0.0.1:1/v1"


def api(software: Any, **options: Any) -> Site:
    return Site("http://127.0.0.1:1", software=software, name=software, **options)


MODELS = ModelRegistry(
    [
        ChatGptt,
        Server,
        *map(api, ("anthropic", "gemini", "ollama", "chatgpt-demo")),
        Site("http://127.0.0.1:1", software="openai", name="responses", api="responses"),
    ],
    created=0,
)
SITE = MODELS.find("ChatGptt/gpt-4o").models[0]
OPEN = MODELS.find("Server/any-model").models[0]
RESPONSES = MODELS.find("responses/any-model").models[0]
CLAUDE = MODELS.find("anthropic/any-model").models[0]
GEMINI = MODELS.find("gemini/any-model").models[0]
DEMO = MODELS.find("chatgpt-demo/default").models[0]


def request(**fields: Any) -> ModelRequest:
    return ChatWire().read(json.dumps({"model": "m", "messages": HELLO, **fields}).encode())


def fitted(model: Model, *, drops: bool = False, **fields: Any) -> SiteRequest:
    return fit(request(**fields), model, drops=drops)


def not_fitted(model: Model, **fields: Any) -> tuple[int, str | None, str | None]:
    """The status, param and code with which a request is refused before its site is asked."""
    with pytest.raises(RefusedError) as caught:
        fitted(model, **fields)
    problem = caught.value.problem
    assert problem.param is not None
    assert problem.param.partition("[")[0] in problem.message
    return problem.status, problem.param, problem.code


def refused(body: bytes | dict[str, Any]) -> tuple[int, str, str | None, str | None]:
    """The status, message, param and code a body is refused with."""
    with pytest.raises(RefusedError) as caught:
        ChatWire().read(
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


OTHERS = {"top_k"}
"""Fields that OpenAI's own API does not have, and many servers of it do."""


def test_every_field_of_openais_stands_in_one_row() -> None:
    names = [field.name for field in FIELDS]
    assert len(set(names)) == len(names)
    assert set(names) == OPENAIS | OTHERS == set(ChatRequest.__struct_fields__)


OPERATORS = {"api_key", "extra", "stop", "stream_options"}
"""Options that a caller does not set: the gateway stops and counts itself."""


def of(*treatments: str) -> set[str]:
    return {field.name for field in FIELDS if field.treatment in treatments}


def test_what_is_passed_on_is_what_the_provider_takes() -> None:
    options = set(OpenAIOptions.__dataclass_fields__)
    assert of("passed on", "passed on or refused") | {"user"} <= options - OPERATORS
    assert of("passed on or ignored") & options == {"user"}
    assert of("passed on") == TUNING


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
    assert (asked.model, asked.stops, asked.include_usage, asked.streams) == (
        "m",
        (),
        False,
        False,
    )


def same(one: ModelRequest, other: ModelRequest) -> bool:
    """Whether two requests ask for the same, whatever their bodies look like."""
    return replace(one, body=b"") == replace(other, body=b"")


def test_every_field_may_be_null() -> None:
    fields = OPENAIS | OTHERS - {"model", "messages"} | {"min_p"}
    assert same(request(**dict.fromkeys(fields - {"model", "messages"})), request())


@pytest.mark.parametrize(
    "name", ["max_completion_tokens", "max_tokens", "seed", "top_k", "n", "top_logprobs"]
)
def test_a_whole_number_may_be_written_as_a_float(name: str) -> None:
    value = {"n": 1, "top_logprobs": 0}.get(name, 10)
    assert same(request(**{name: float(value)}), request(**{name: value}))
    for wrong in (10.5, 1e300, "10", True):
        assert refused({name: wrong})[0] == 400


@pytest.mark.parametrize(
    ("stop", "stops"),
    [
        ("a", ("a",)),
        ([], ()),
        ("", ()),
        ([""], ()),
        (["", "a"], ("a",)),
        (["a", "b", "c", "d"], ("a", "b", "c", "d")),
    ],
)
def test_stop(stop: Any, stops: tuple[str, ...]) -> None:
    assert request(stop=stop).stops == stops


@pytest.mark.parametrize(
    "stop",
    [
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


@pytest.mark.parametrize("n", [0, -1, 17, 128])
def test_n_has_its_limits(n: int) -> None:
    assert refused({"n": n})[2:] == ("n", "unsupported_value")
    assert same(request(n=1), request())


def test_n_answers_are_as_many_requests() -> None:
    three = request(n=3).each()
    assert [each.messages for each in three] == [request().messages] * 3
    assert len(request(n=16).each()) == 16
    assert len(request(n=2.0, stream=False).each()) == 2
    assert refused({"n": 2, "stream": True})[2:] == ("n", "unsupported_value")


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
    "moderation": [{"type": "auto"}],
    "modalities": [["text", "audio"], ["audio"], "text"],
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
    [
        *((field.name, value) for field in FIELDS for value in field.harmless),
        ("logit_bias", {}),
        ("parallel_tool_calls", True),
        ("response_format", {"type": "text"}),
        ("tool_choice", "none"),
        ("tool_choice", "auto"),
        ("tools", []),
    ],
)
def test_what_asks_for_nothing_is_taken(name: str, value: Any) -> None:
    for model in (SITE, DEMO, CLAUDE, GEMINI):
        taken = fitted(model, **{name: value})
        assert taken.dropped == ()
        assert {*taken.options} <= {"response_format"}


@pytest.mark.parametrize(
    "name",
    [
        *("url", "base_url", "api_base", "api_key", "azure_endpoint", "vertex_project", "proxy"),
        *("proxies", "headers", "default_headers", "cookies", "endpoint", "transport", "timeout"),
        *("connect_timeout", "total_timeout", "request_timeout", "stream_timeout", "secret_key"),
        *("password", "extra", "extra_headers", "extra_query", "extra_body", "api_version"),
        *("organization", "custom_llm_provider", "aws_secret_access_key", "litellm_params"),
        *("fallbacks", "context_window_fallbacks", "models", "model_list", "mock_response"),
        *("API_BASE", "Base-URL", "kv_transfer_params", "bootstrap_host", "bootstrap_port"),
    ],
)
@pytest.mark.parametrize("value", ["http://127.0.0.1:9/", None, {"a": "b"}])
def test_no_field_chooses_an_address_or_another_way(name: str, value: Any) -> None:
    status, message, param, code = refused({name: value})
    assert (status, param, code) == (400, name, "unsupported_parameter")
    assert name in message


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"", None, None),
        (b"{", None, None),
        (b"[]", None, "invalid_type"),
        (b"7", None, "invalid_type"),
        (b"\xff\xfe", None, None),
        (b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}', None, None),
        (b'{"model":"m","messages":' + b"[" * 100_000, None, None),
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
    field: dict[str, Any] = {"x" * 10_000: 1}
    with pytest.raises(RefusedError) as caught:
        fitted(SITE, **field)
    assert len(caught.value.problem.message) < 120
    assert caught.value.problem.param == "x" * 80
    assert len(dropped_names(fitted(SITE, drops=True, **field).dropped)) <= 80


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


TOOLS = [{"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}]
UNKNOWN: dict[str, Any] = {
    "chat_template_kwargs": {"enable_thinking": False},
    "min_p": 0.1,
    "provider": {"order": ["a"]},
    "repetition_penalty": 1.1,
    "structured_outputs": {"choice": ["yes", "no"]},
}
HINTS: dict[str, Any] = {
    "metadata": {"a": "b"},
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_key": "k",
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": True,
    "verbosity": "low",
}


def test_everything_goes_to_a_server_of_openais_api() -> None:
    tools: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required", "top_k": 5}
    tools |= {"parallel_tool_calls": False}
    taken = fitted(OPEN, **GIVEN, **tools, **HINTS, **UNKNOWN, stop="x")
    assert taken.options == {**GIVEN, **tools, "extra": {**HINTS, **UNKNOWN}}
    assert taken.dropped == ()


def test_the_responses_api_has_its_own_name_for_verbosity() -> None:
    taken = fitted(RESPONSES, **HINTS, **UNKNOWN)
    assert taken.dropped == ("prediction",)
    assert taken.options["extra"] == {
        **{name: HINTS[name] for name in HINTS if name not in ("prediction", "verbosity")},
        **UNKNOWN,
        "text": {"verbosity": "low"},
    }


def test_another_api_is_asked_what_it_has_and_told_of_the_rest() -> None:
    has = {name: GIVEN[name] for name in ("max_tokens", "temperature", "top_p", "user")}
    taken = fitted(CLAUDE, **has, tools=TOOLS, frequency_penalty=0, **HINTS)
    assert taken.options == {**has, "tools": TOOLS}
    assert set(taken.dropped) == set(HINTS)
    assert fitted(GEMINI, user="u").dropped == ("user",)
    for name, value in {"seed": 3, "frequency_penalty": 0.5, "logit_bias": {"1": 2}}.items():
        assert not_fitted(CLAUDE, **{name: value}) == (400, name, "unsupported_parameter")
        assert fitted(CLAUDE, drops=True, **{name: value}).dropped == (name,)


@pytest.mark.parametrize("model", [SITE, CLAUDE, GEMINI], ids=lambda model: model.site)
def test_fields_that_nobody_knows_are_for_openais_api_alone(model: Model) -> None:
    for name, value in UNKNOWN.items():
        assert not_fitted(model, **{name: value}) == (400, name, "unknown_parameter")
    assert fitted(model, drops=True, **UNKNOWN).dropped == tuple(UNKNOWN)


def test_a_page_has_no_settings_and_is_told_of() -> None:
    hints = {
        name: value
        for name, value in GIVEN.items()
        if name not in ("logit_bias", "response_format")
    }
    taken = fitted(SITE, **hints)
    assert (taken.options, set(taken.dropped)) == ({}, set(hints))
    for name in ("logit_bias", "response_format"):
        assert not_fitted(SITE, **{name: GIVEN[name]}) == (400, name, "unsupported_parameter")
    demo = fitted(DEMO, temperature=0.5, top_p=0.5)
    assert (demo.options, demo.dropped) == ({"temperature": 0.5}, ("top_p",))


def test_tools_at_a_page_are_refused_or_dropped_and_not_needed_where_none_may_be_called() -> None:
    assert not_fitted(SITE, tools=TOOLS) == (400, "tools", "unsupported_parameter")
    assert not_fitted(SITE, tools=TOOLS, tool_choice="auto")[1] == "tools"
    unneeded = fitted(SITE, tools=TOOLS, tool_choice="none", parallel_tool_calls=False)
    assert (unneeded.options, unneeded.dropped) == ({}, ())
    dropped = fitted(SITE, drops=True, tools=TOOLS, tool_choice="required")
    assert (dropped.options, dropped.dropped) == ({}, ("tools", "tool_choice"))
    assert dropped_names(dropped.dropped) == "tools, tool_choice"


def test_what_was_dropped_is_told_in_a_header_whatever_its_name() -> None:
    names = fitted(SITE, drops=True, **{"a\r\nb: c": 1, "ä": 2}).dropped
    assert dropped_names(names) == "a??b:?c, ?"
    fields: dict[str, Any] = {f"x{number}": 1 for number in range(100)}
    many = fitted(SITE, drops=True, **fields).dropped
    assert dropped_names(many).endswith(", x31, ...")


def messages(*given: Any, model: Model = SITE, drops: bool = False) -> list[dict[str, Any]]:
    return fitted(model, drops=drops, messages=given).messages


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
    assert messages(message, model=OPEN) == [message]
    hello = {"role": "user", "content": "Hello"}
    dropping = fitted(SITE, drops=True, messages=[message, hello])
    assert dropping.messages[-1] == hello
    assert all({*each} == {"role", "content"} for each in dropping.messages)
    assert [name.partition(".")[0] for name in dropping.dropped] == ["messages"]


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


def test_what_a_message_says_beside_its_own_fields() -> None:
    message = {"role": "user", "content": "x", "cache_control": {"type": "ephemeral"}, "name": "a"}
    assert messages({**message, "refusal": None}, model=OPEN) == [message]
    assert messages(message, model=CLAUDE) == [message]  # whose protocol refuses it by name
    assert messages(message, model=CLAUDE, drops=True) == [{"role": "user", "content": "x"}]
    page = fitted(SITE, messages=[message])
    assert page.messages == [{"role": "user", "content": "x"}]
    assert page.dropped == ("messages.cache_control", "messages.name")


def test_reasoning_that_a_client_sends_back_is_for_openais_api_alone() -> None:
    message = {"role": "assistant", "content": "x", "reasoning_content": "y", "annotations": []}
    assert messages(message, model=OPEN) == [message]
    claude = fitted(CLAUDE, messages=[message])
    assert claude.messages == [{"role": "assistant", "content": "x"}]
    assert claude.dropped == ("messages.reasoning_content",)


# -- what no form has a place for ------------------------------------------------------------------

CHAT = {"model": "m", "messages": HELLO}
RESPONSE = {"model": "m", "input": "Hello"}
MESSAGE = {"model": "m", "messages": HELLO, "max_tokens": 9}
CALL = {"type": "function_call", "call_id": "c", "name": "tide", "arguments": "{}"}


def items(*given: dict[str, Any]) -> dict[str, Any]:
    return {**RESPONSE, "input": [*given]}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "output_text", "text": text, **more}]}


def thought(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}], **more}


STREAM = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}


@pytest.mark.parametrize(
    ("wire", "body", "lost"),
    [
        (ChatWire(), {**CHAT, **STREAM}, "stream_options.continuous_usage_stats"),
        (
            CompletionWire(),
            {"model": "m", "prompt": "x", **STREAM},
            "stream_options.continuous_usage_stats",
        ),
        (ResponseWire(), {**RESPONSE, "stream_options": {"odd": 1}}, "stream_options.odd"),
        (ResponseWire(), {**RESPONSE, "text": {"odd": 1}}, "text.odd"),
        (ResponseWire(), {**RESPONSE, "reasoning": {"odd": 1}}, "reasoning.odd"),
        (ResponseWire(), items(said("x") | {"phase": "commentary"}), "message.phase"),
        (ResponseWire(), items(said("x", annotations=[{}])), "output_text.annotations"),
        (ResponseWire(), items(CALL | {"namespace": "sea"}), "function_call.namespace"),
        (
            ResponseWire(),
            items(thought("x", encrypted_content="y"), said("z")),
            "reasoning.encrypted_content",
        ),
        (MessageWire(), {**MESSAGE, "metadata": {"user_id": "u", "odd": 1}}, "metadata.odd"),
        (
            MessageWire(),
            {**MESSAGE, "output_config": {"task_budget": {"total": 9}}},
            "output_config.task_budget",
        ),
        (MessageWire(), {**MESSAGE, "tool_choice": {"type": "any", "odd": 1}}, "tool_choice.odd"),
    ],
)
def test_what_stands_in_a_field_and_has_no_place_is_told(wire: Any, body: Any, lost: str) -> None:
    assert fit(wire.read(json.dumps(body).encode()), OPEN, drops=False).dropped == (lost,)


def test_what_a_sites_own_api_knows_reaches_it() -> None:
    config = {"effort": "low", "task_budget": {"total": 9}}
    body = json.dumps({**MESSAGE, "output_config": config}).encode()
    claude = fit(MessageWire().read(body), CLAUDE, drops=False)
    assert claude.options["extra"] == {"output_config": {"task_budget": {"total": 9}}}
    assert (claude.options["reasoning_effort"], claude.dropped) == ("low", ())
    body = json.dumps({**RESPONSE, "reasoning": {"effort": "low", "odd": 1}}).encode()
    response = fit(ResponseWire().read(body), RESPONSES, drops=False)
    assert response.options["extra"] == {"store": False, "reasoning": {"odd": 1}}
    assert response.dropped == ()


def test_names_that_clients_make_up_are_short_in_the_header_and_not_counted() -> None:
    name = "z" * 100_000
    block = {"type": "text", "text": "x", name: 1, "citations": {"enabled": True}}
    body = {**MESSAGE, "messages": [{"role": "user", "content": [block]}]}
    asked = MessageWire().read(json.dumps(body).encode())
    dropped = fit(asked, OPEN, drops=False).dropped
    assert [dropped_field(asked, each) for each in dropped] == ["other", "text.citations"]
    assert len(dropped_names(tuple(str(number) + name for number in range(99)))) < 4096


def test_what_is_said_behind_a_call_stands_before_its_result() -> None:
    result = {"type": "function_call_output", "call_id": "c", "output": "at nine"}
    body = items(thought("A"), said("B"), CALL, thought("C"), said("D"), CALL, result)
    answer, told = ResponseWire().read(json.dumps(body).encode()).messages
    assert (answer["content"], answer["reasoning_content"]) == ("BD", "A\n\nC")
    assert [call["id"] for call in answer["tool_calls"]] == ["c", "c"]
    assert told["role"] == "tool"


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (ChatWire(), CHAT),
        (CompletionWire(), {"model": "m", "prompt": "x"}),
        (ResponseWire(), RESPONSE),
        (MessageWire(), MESSAGE),
    ],
)
@pytest.mark.parametrize("name", ["Model", "MODEL", "\u017ftream", "Max_To\u212aens"])
def test_no_field_is_said_a_second_time_in_other_letters(wire: Any, body: Any, name: str) -> None:
    """Servers that do not tell letters apart would take its value for the one that was checked."""
    if isinstance(wire, ResponseWire) and name.startswith("Max"):
        name = "Max_Output_Tokens"
    with pytest.raises(RefusedError) as caught:
        wire.read(json.dumps({**body, name: "other"}).encode())
    assert (caught.value.problem.status, caught.value.problem.param) == (400, name)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"a\ud83d", "a\ufffd"),
        (rb"\udc00b", "\ufffdb"),
        (rb"\ud83d\ud83d\ude00\uDE00", "\ufffd\U0001f600\ufffd"),
        (rb"\\ud83d \ud83d", "\\ud83d \ufffd"),
        (rb"\\\ud83dx", "\\\ufffdx"),
        (rb"\ud83d\n\"\ude00", '\ufffd\n"\ufffd'),
    ],
)
def test_half_a_character_is_what_a_browser_makes_of_it(written: bytes, read: str) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % written
    for wire in (ChatWire(), MessageWire()):
        body = body.replace(b'"model"', b'"max_tokens":9,"model"')
        assert wire.read(body).messages[0]["content"] == read
        body = body.replace(b'"max_tokens":9,', b"")


def test_what_is_no_json_stays_none() -> None:
    for body in (rb'{"a":"\ud83"}', rb'{"a":"\ud83d"', rb"\ud83d", b"", rb'{"a":"\x\ud83d"}'):
        with pytest.raises(RefusedError, match="not JSON"):
            ChatWire().read(body)
