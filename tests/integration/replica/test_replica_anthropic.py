"""The site with Anthropic's API: its events, its rules for requests, and its errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from replica_apis import ARGUMENTS, MORE_ARGUMENTS, PNG, SCHEMA, Answered
from replica_apis import ask as ask_site

from tailrace.replica import AnswerError, HistoryTurn, Question, Replica
from tailrace.replica._sites.models.anthropic.site import AnthropicSite

MESSAGES = "/v1/messages"
VERSION = {"anthropic_version": "2023-06-01"}
TOOL = {"name": "level", "input_schema": SCHEMA}
OTHER = {"name": "tide", "input_schema": {"type": "object"}}
IMAGE: dict[str, Any] = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PNG},
}
THINKING = {"type": "enabled", "budget_tokens": 1024}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def asking(content: Any = "hi", **more: Any) -> dict[str, Any]:
    return talk(user(content), **more)


def talk(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-4-6", "max_tokens": 4096, "messages": list(messages), **more}


async def ask(replica: Replica, body: object, path: str = MESSAGES, **headers: str) -> Answered:
    return await ask_site(replica, "anthropic", path, body, **{**VERSION, **headers})


async def test_events_and_the_whole_message_say_the_same() -> None:
    body = asking("[[think]] [[long]] [[tools]]", tools=[TOOL])
    async with Replica(clock=lambda: 1_790_000_000.5) as replica:
        whole = (await ask(replica, body)).json
        streamed = await ask(replica, {**body, "stream": True})
    assert streamed.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert streamed.names == [
        "message_start",
        block[0],
        "ping",
        *block[1:],
        *block * 3,
        "message_delta",
        "message_stop",
    ]
    assert streamed.body.count(b"event: ping\n") == 1
    events = streamed.events
    message = events[0]["message"]
    assert (message["content"], message["stop_reason"]) == ([], None)
    blocks: list[dict[str, Any]] = []
    for event in events:
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append({**event["content_block"]})
            blocks[-1] |= {"input": ""} if "input" in blocks[-1] else {}
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            field, into = {
                "text_delta": ("text", "text"),
                "thinking_delta": ("thinking", "thinking"),
                "signature_delta": ("signature", "signature"),
                "input_json_delta": ("partial_json", "input"),
            }[delta["type"]]
            blocks[event["index"]][into] += delta[field]
    for block_ in blocks[2:]:
        block_["input"] = json.loads(block_["input"])
    assert blocks == whole["content"]
    assert [each["type"] for each in blocks] == ["thinking", "text", "tool_use", "tool_use"]
    assert [each["input"] for each in blocks[2:]] == [ARGUMENTS, MORE_ARGUMENTS]
    last = events[-2]
    assert last["delta"]["stop_reason"] == whole["stop_reason"] == "tool_use"
    assert last["usage"]["output_tokens"] == whole["usage"]["output_tokens"] > 400
    assert message["id"] == whole["id"]


CHOICES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("hi", {}, []),
    ("hi [[tool]]", {}, ["level"]),
    ("hi [[tools]]", {}, ["level", "tide"]),
    (
        "hi [[tools]]",
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ["level"],
    ),
    ("hi [[tools]]", {"tool_choice": {"type": "none"}}, []),
    ("hi", {"tool_choice": {"type": "any"}}, ["level"]),
    ("hi", {"tool_choice": {"type": "tool", "name": "tide"}}, ["tide"]),
]


@pytest.mark.parametrize(("text", "more", "called"), CHOICES)
async def test_choice_among_tools(text: str, more: dict[str, Any], called: list[str]) -> None:
    async with Replica() as replica:
        content = (await ask(replica, asking(text, tools=[TOOL, OTHER], **more))).json["content"]
    assert [block["name"] for block in content if block["type"] == "tool_use"] == called


async def test_loop_ends_with_the_results() -> None:
    body = asking("hi [[tools]]", tools=[TOOL], max_tokens=2048, thinking=THINKING)
    async with Replica() as replica:
        content = (await ask(replica, body)).json["content"]
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": f"{at} m"}
            for at, block in enumerate(content[1:])
        ]
        results[1]["content"] = [{"type": "text", "text": "1 m"}, IMAGE]
        body["messages"] += [{"role": "assistant", "content": content}, user(results)]
        ended = (await ask(replica, body)).json
    thinking, text = ended["content"]
    assert thinking["thinking"]
    assert "level returned: 0 m\n\nlevel returned: 1 m\n\nI see 1 image" in text["text"]
    assert ended["stop_reason"] == "end_turn"


async def test_what_is_not_shown_is_signed() -> None:
    thinking = {"type": "adaptive", "display": "omitted"}
    async with Replica() as replica:
        (first, _) = (await ask(replica, asking(thinking=thinking))).json["content"]
        off = (await ask(replica, asking("[[think]]", thinking={"type": "disabled"}))).json
    assert first["thinking"] == ""
    assert first["signature"]
    assert [block["type"] for block in off["content"]] == ["text"]


async def test_how_messages_end() -> None:
    format_ = {"type": "json_schema", "schema": {**SCHEMA, "additionalProperties": False}}
    cases: list[tuple[dict[str, Any], str, str | None]] = [
        (asking(max_tokens=3), "max_tokens", None),
        (asking("[[long]]", stop_sequences=["word2"]), "stop_sequence", "word0 word1 "),
        (asking("[[refuse]]"), "refusal", ""),
        (asking("[[filtered]]"), "refusal", "Half of wh"),
        (asking("[[empty]]"), "end_turn", ""),
        (asking(output_config={"format": format_}), "end_turn", json.dumps(ARGUMENTS)),
    ]
    async with Replica() as replica:
        for body, reason, text in cases:
            whole = (await ask(replica, body)).json
            streamed = (await ask(replica, {**body, "stream": True})).events
            assert (body, whole["stop_reason"]) == (body, reason)
            assert streamed[-2]["delta"]["stop_reason"] == reason
            found = "".join(block["text"] for block in whole["content"])
            assert text is None or found == text
            assert ("stop_details" in whole) == (reason == "refusal")


async def test_usage_counts_what_is_cached() -> None:
    marked = {"type": "text", "text": "first", "cache_control": {"type": "ephemeral"}}
    messages = [user([marked]), said({"type": "text", "text": "answer"}), user("q")]
    async with Replica() as replica:
        usage = (await ask(replica, talk(*messages))).json["usage"]
        plain = (await ask(replica, talk(user("first"), *messages[1:]))).json["usage"]
        counted = await ask(
            replica,
            {"model": "claude-sonnet-4-6", "messages": messages},
            "/v1/messages/count_tokens",
        )
        refused = await ask(replica, talk(*messages), "/v1/messages/count_tokens")
    assert usage["cache_read_input_tokens"] > 0
    total = usage["cache_read_input_tokens"] + usage["input_tokens"]
    assert plain["input_tokens"] == total == counted.json["input_tokens"]
    assert refused.json["error"]["message"] == "max_tokens: Extra inputs are not permitted"


async def test_images_documents_and_roles_reach_the_model() -> None:
    questions: list[Question] = []

    async def answers(question: Question, /) -> str:
        questions.append(question)
        return "fine"

    content = [
        {"type": "text", "text": "What?"},
        IMAGE,
        {"type": "image", "source": {"type": "url", "url": "https://my.example/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PNG},
        },
    ]
    system = [{"type": "text", "text": "Be brief."}]
    async with Replica(answers=answers) as replica:
        body = talk(user("a"), user("b"), said({"type": "text", "text": "c"}), user(content))
        answered = await ask(replica, {**body, "system": system})
        assert replica.exchanges[-1].json == {**body, "system": system}
    assert answered.json["content"][0]["text"] == (
        "I see 2 images (image/png, 21 bytes; https://my.example/a.png).\n\n"
        "I see 1 file (application/pdf, 21 bytes).\n\nfine"
    )
    earlier = (
        HistoryTurn("system", "Be brief."),
        HistoryTurn("user", "a\nb"),
        HistoryTurn("assistant", "c"),
    )
    assert questions == [Question("anthropic", "What?", earlier)]


CALL = {"type": "tool_use", "id": "t", "name": "level", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "1"}
TEXT = {"type": "text", "text": "x"}
WRONG: list[tuple[object, str]] = [
    (b"{", "not valid JSON"),
    (b"[]", "valid dictionary"),
    ({}, "model: Field required"),
    ({"model": "claude-sonnet-4-6", "messages": []}, "max_tokens: Field required"),
    (asking(foo=1), "foo: Extra inputs are not permitted"),
    (asking(response_format={}), "response_format: Extra inputs"),
    (asking(max_tokens=0), "max_tokens: Input should be greater than or equal to 1"),
    (asking(max_tokens=1e6), "max_tokens: Input should be a valid integer"),
    (asking(max_tokens=10**6), "maximum allowed number"),
    (asking(temperature=2), "temperature: Input should be less than or equal to 1"),
    (asking(temperature=1, top_p=0.5), "cannot both be specified"),
    (asking(top_k=-1), "top_k: "),
    (asking(stream="yes"), "stream: "),
    (asking(metadata={"user": "x"}), "metadata.user: Extra inputs"),
    (asking(stop_sequences=["\n"]), "must contain non-whitespace"),
    (asking(stop_sequences="x"), "stop_sequences: "),
    (talk(), "at least one message"),
    (asking(""), "messages.0: all messages must have non-empty content"),
    (asking([]), "messages.0: all messages must have non-empty content"),
    (asking(" "), "must contain non-whitespace text"),
    (asking([{"type": "text", "text": ""}]), "text content blocks must be non-empty"),
    (asking([{"type": "text", "text": "x", "foo": 1}]), "messages.0.content.0.text.foo: Extra"),
    (asking([{"type": "text"}]), "messages.0.content.0.text.text: Field required"),
    (asking([{"type": "image_url"}]), "messages.0.content.0: Input tag 'image_url'"),
    (asking([CALL]), "messages.0.content.0: Input tag 'tool_use'"),
    (asking([{**IMAGE, "source": {"type": "hex"}}]), "messages.0.content.0.image.source: "),
    (asking([{**IMAGE, "source": {**IMAGE["source"], "data": "!"}}]), "invalid base64 data"),
    (
        asking([{**IMAGE, "source": {**IMAGE["source"], "media_type": "image/bmp"}}]),
        "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg'",
    ),
    (talk({"role": "tool", "content": "x"}), "messages.0.role: Input should be 'user'"),
    (talk({"role": "user"}), "messages.0.content: Field required"),
    (talk({**user("x"), "name": "x"}), "messages.0.name: Extra inputs"),
    (talk(said(TEXT), user("x")), 'first message must use the "user" role'),
    (talk(user("x"), said({"type": "text", "text": "x "})), "trailing whitespace"),
    (talk(user("x"), said(CALL)), "`tool_use` ids were found without"),
    (talk(user("x"), said(CALL), user("y")), "messages.1: `tool_use` ids were found without"),
    (talk(user("x"), said(CALL), user([TEXT, RESULT])), "messages.1: `tool_use` ids were found"),
    (talk(user([RESULT])), "messages.0.content.0: unexpected `tool_use_id`"),
    (talk(user("x"), said(TEXT), user([RESULT])), "messages.2.content.0: unexpected"),
    (talk(user("x"), said({**CALL, "input": "{}"}), user([RESULT])), "input: Input should be a"),
    (
        talk(user("x"), said({"type": "thinking", "thinking": "x", "signature": "y"}), user("z")),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (asking(tools=[{"name": "a"}]), "tools.0.custom.input_schema: Field required"),
    (asking(tools=[{"name": "a b", "input_schema": SCHEMA}]), "tools.0.custom.name: String"),
    (asking(tools=[{"name": "a", "input_schema": {}}]), "input_schema.type: Field required"),
    (asking(tools=[TOOL, TOOL]), "Tool names must be unique"),
    (asking(tools=[{**TOOL, "strict": True}]), "must be explicitly set to false"),
    (asking(tools=[{"type": "function", "function": {}}]), "no tool of type 'function'"),
    (asking(tool_choice={"type": "any"}), "only be specified while providing tools"),
    (asking(tools=[TOOL], tool_choice="auto"), "tool_choice: Input should be a valid dictionary"),
    (asking(tools=[TOOL], tool_choice={"type": "tool", "name": "x"}), "'x' not found"),
    (asking(thinking={"type": "enabled"}), "thinking.enabled.budget_tokens: Field required"),
    (asking(thinking={**THINKING, "budget_tokens": 9}), "greater than or equal to 1024"),
    (asking(thinking=THINKING, max_tokens=1024), "must be greater than `thinking.budget_tokens`"),
    (asking(thinking=THINKING, temperature=0), "may only be set to 1"),
    (asking(thinking=THINKING, tools=[TOOL], tool_choice={"type": "any"}), "forces tool use"),
    (
        talk(user("x"), said(CALL), user([RESULT]), tools=[TOOL], thinking=THINKING),
        "messages.1.content.0.type: Expected `thinking`",
    ),
    (asking(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}), "explicitly"),
    (asking(output_config={"effort": "minimal"}), "output_config.effort: Input should be 'low'"),
]


async def test_what_is_refused_and_why() -> None:
    async with Replica() as replica:
        for body, message in WRONG:
            answered = await ask(replica, body)
            error = answered.json
            assert (body, answered.status) == (body, 400)
            assert error["error"]["type"] == "invalid_request_error"
            assert message in error["error"]["message"]
            assert error["request_id"] == answered.headers["request-id"]
        missing = await ask(replica, {**asking(), "model": "claude-9"})
        assert (missing.status, missing.json["error"]) == (
            404,
            {"type": "not_found_error", "message": "model: claude-9"},
        )
        assert (await ask_site(replica, "anthropic", MESSAGES, asking())).status == 400
        assert (await ask(replica, asking(), anthropic_version="2021")).status == 400
        fine = talk(user("x"), said(CALL), user([RESULT, TEXT]), tools=[TOOL])
        assert (await ask(replica, fine)).status == 200
        assert replica.exchanges.failed == 0


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "x-api-key header is required"),
        ({"x_api_key": "wrong"}, "invalid x-api-key"),
        ({"x_api_key": "right"}, None),
        ({"Authorization": "Bearer right"}, None),
    ],
)
async def test_key(headers: dict[str, str], message: str | None) -> None:
    async with Replica(api_key="right") as replica:
        answered = await ask(replica, asking(), **headers)
    assert answered.status == (200 if message is None else 401)
    assert answered.json.get("error") == (
        None if message is None else {"type": "authentication_error", "message": message}
    )


async def test_models_come_in_pages() -> None:
    async with Replica() as replica:
        first = (await ask(replica, None, "/v1/models?limit=1000")).json
        rest = (await ask(replica, None, f"/v1/models?after_id={first['last_id']}")).json
        back = (await ask(replica, None, f"/v1/models?before_id={rest['first_id']}&limit=1")).json
        one = (await ask(replica, None, f"/v1/models/{first['first_id']}")).json
        assert (await ask(replica, None, "/v1/models?limit=0")).status == 400
        assert (await ask(replica, None, "/v1/models/nothing")).status == 404
        assert (await ask(replica, None, "/v1/nothing")).status == 404
        assert (await ask(replica, {}, "/v1/models")).status == 405
    assert (first["has_more"], rest["has_more"], back["has_more"]) == (True, False, True)
    assert [len(page["data"]) for page in (first, rest, back)] == [2, 1, 1]
    assert back["data"] == first["data"][1:]
    assert one == first["data"][0]


STATUSES = {
    "err401": 401,
    "err429": 429,
    "quota": 400,
    "err500": 500,
    "err529": 529,
    "too-long": 400,
    "html502": 502,
}


@pytest.mark.parametrize("stream", [False, True])
async def test_every_word(*, stream: bool) -> None:
    async with Replica() as replica:
        for marker in AnthropicSite.markers:
            if marker.name in ("stall", "silent"):
                continue
            answered = await ask(replica, asking(f"please {marker.text} now", stream=stream))
            broken = marker.name in ("midfail", "cut")
            expected = STATUSES.get(marker.name, 500 if broken and not stream else 200)
            assert (marker.name, answered.status) == (marker.name, expected)
            assert replica.exchanges[-1].markers == (marker.name,)
            assert ("retry-after" in answered.headers) == (marker.name == "err429")
            if expected == 200 and stream:
                ended = marker.name not in ("nodone", "midfail", "cut")
                assert (marker.name, answered.names[-1] == "message_stop") == (marker.name, ended)
        failed = await ask(replica, asking("[[midfail]]", stream=True))
        assert failed.events[-1]["error"] == {"type": "overloaded_error", "message": "Overloaded"}
        assert replica.exchanges.failed == 0


async def test_answer_error_is_passed_on() -> None:
    async def answers(_question: Question, /) -> str:
        raise AnswerError(529, "Too busy.")

    async with Replica(answers=answers) as replica:
        answered = await ask(replica, asking())
    assert (answered.status, answered.json["error"]["type"]) == (529, "overloaded_error")
