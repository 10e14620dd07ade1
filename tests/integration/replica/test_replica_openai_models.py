"""The OpenAI-compatible site as a model: tools, reasoning, refusals, forms, images, and its other
endpoints.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from replica_apis import ARGUMENTS, MORE_ARGUMENTS, PNG, SCHEMA, Answered, ask

from tailrace.replica import Replica
from tailrace.replica._sites.models.openai.site import OpenAISite

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
TOOL = {"type": "function", "function": {"name": "level", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "tide"}}
IMAGE: dict[str, Any] = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
STRICT = {**SCHEMA, "additionalProperties": False}


def chat(text: Any = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


def response(input_: Any = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "input": input_, **more}


def deltas(answered: Answered, field: str) -> list[Any]:
    choices = [choice for record in answered.events for choice in record["choices"]]
    return [value for each in choices if (value := each["delta"].get(field)) is not None]


async def calls_of(replica: Replica, body: dict[str, Any]) -> list[tuple[str, Any]]:
    message = (await ask(replica, "openai", CHAT, body)).json["choices"][0]["message"]
    functions = [call["function"] for call in message.get("tool_calls", ())]
    return [(each["name"], json.loads(each["arguments"])) for each in functions]


# -- tools -----------------------------------------------------------------------------------------

CHOICES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("hi", {}, []),
    ("hi [[tool]]", {}, ["level"]),
    ("hi [[tools]]", {}, ["level", "tide"]),
    ("hi [[tools]]", {"parallel_tool_calls": False}, ["level"]),
    ("hi [[tools]]", {"tool_choice": "none"}, []),
    ("hi", {"tool_choice": "required"}, ["level"]),
    ("hi", {"tool_choice": {"type": "function", "function": {"name": "tide"}}}, ["tide"]),
    (
        "hi",
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "tide"}}],
                },
            }
        },
        ["tide"],
    ),
]


@pytest.mark.parametrize(("text", "more", "called"), CHOICES)
async def test_choice_among_tools(text: str, more: dict[str, Any], called: list[str]) -> None:
    async with Replica() as replica:
        made = await calls_of(replica, chat(text, tools=[TOOL, OTHER], **more))
    assert [name for name, _ in made] == called
    assert dict(made).get("level", ARGUMENTS) == ARGUMENTS


async def test_arguments_come_in_pieces_and_the_loop_ends() -> None:
    body = chat("hi [[tools]]", tools=[TOOL])
    async with Replica(clock=lambda: 1_790_000_000.5) as replica:
        streamed = await ask(replica, "openai", CHAT, {**body, "stream": True})
        whole = await ask(replica, "openai", CHAT, body)
        message = whole.json["choices"][0]["message"]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": f"{at} m"}
            for at, call in enumerate(message["tool_calls"])
        ]
        messages = [*body["messages"], message, *results]
        ended = await ask(replica, "openai", CHAT, {**body, "messages": messages})
        again = await calls_of(
            replica,
            {**body, "messages": messages, "tools": [TOOL, OTHER], "tool_choice": "required"},
        )
    pieces = [piece for delta in deltas(streamed, "tool_calls") for piece in delta]
    assert [piece["id"] for piece in pieces if "id" in piece] == [
        call["id"] for call in message["tool_calls"]
    ]
    for index, call in enumerate(message["tool_calls"]):
        arguments = [each["function"]["arguments"] for each in pieces if each["index"] == index]
        assert "".join(arguments) == call["function"]["arguments"]
        assert len(arguments) > 2
    texts = [json.loads(call["function"]["arguments"]) for call in message["tool_calls"]]
    assert texts == [ARGUMENTS, MORE_ARGUMENTS]
    assert streamed.events[-1]["choices"][0]["finish_reason"] == "tool_calls"
    answer = ended.json["choices"][0]
    assert "level returned: 0 m\n\nlevel returned: 1 m\n\n" in answer["message"]["content"]
    assert answer["finish_reason"] == "stop"
    assert [name for name, _ in again] == ["tide"], "what was not called yet is called first"


async def test_one_call_alone_begins_at_once() -> None:
    async with Replica() as replica:
        body = chat("[[tool]]", tools=[TOOL], stream=True)
        streamed = await ask(replica, "openai", CHAT, body)
    first = streamed.events[0]["choices"][0]["delta"]
    assert (first["role"], first["content"]) == ("assistant", None)
    assert first["tool_calls"][0]["function"] == {"name": "level", "arguments": ""}


async def test_limit_cuts_arguments() -> None:
    async with Replica() as replica:
        body = chat("[[tool]]", tools=[TOOL], max_tokens=2)
        choice = (await ask(replica, "openai", CHAT, body)).json["choices"][0]
    assert choice["finish_reason"] == "length"
    cut = choice["message"]["tool_calls"][0]["function"]["arguments"]
    assert cut
    assert json.dumps(ARGUMENTS).startswith(cut)


# -- reasoning, refusals, forms, images, logprobs --------------------------------------------------


async def test_words_in_a_message_work_together() -> None:
    async with Replica() as replica:
        body = chat("[[think]] [[long]] [[tool]]", tools=[TOOL], stream=True)
        streamed = await ask(replica, "openai", CHAT, body)
        assert set(replica.exchanges[-1].markers) == {"think", "long", "tool"}
    kinds = [
        field
        for record in streamed.events
        for field in record["choices"][0]["delta"]
        if field in ("reasoning_content", "content", "tool_calls")
    ]
    order = list(dict.fromkeys(kinds[1:]))
    assert order == ["reasoning_content", "content", "tool_calls"]
    assert "".join(deltas(streamed, "content")).startswith("word0 word1 ")


async def test_refusal() -> None:
    async with Replica() as replica:
        streamed = await ask(replica, "openai", CHAT, chat("[[refuse]]", stream=True))
        choice = (await ask(replica, "openai", CHAT, chat("[[refuse]]"))).json["choices"][0]
    assert choice["message"]["content"] is None
    assert choice["message"]["refusal"] == "".join(deltas(streamed, "refusal"))
    assert choice["finish_reason"] == "stop"


async def test_forms() -> None:
    format_ = {"type": "json_schema", "json_schema": {"name": "level", "schema": SCHEMA}}
    async with Replica() as replica:
        for more in ({}, {"tools": [TOOL]}):
            body = chat(response_format=format_, **more)
            choice = (await ask(replica, "openai", CHAT, body)).json["choices"][0]
            assert json.loads(choice["message"]["content"]) == ARGUMENTS
        loose = await ask(
            replica, "openai", CHAT, chat("some JSON", response_format={"type": "json_object"})
        )
    assert list(json.loads(loose.json["choices"][0]["message"]["content"])) == ["answer"]


async def test_images_files_and_sounds_are_seen() -> None:
    content = [
        {"type": "text", "text": "What is it?"},
        IMAGE,
        {"type": "image_url", "image_url": {"url": "https://my.example/a.jpg", "detail": "low"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PNG}"},
        },
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
    ]
    async with Replica() as replica:
        seen = (await ask(replica, "openai", CHAT, chat(content))).json
        assert replica.exchanges[-1].json == chat(content)
    assert seen["choices"][0]["message"]["content"].startswith(
        "I see 2 images (image/png, 21 bytes; https://my.example/a.jpg).\n\n"
        "I see 1 file (a.pdf, application/pdf, 21 bytes).\n\n"
        "I see 1 sound (audio/wav, 21 bytes).\n\n"
    )
    assert seen["usage"]["prompt_tokens"] > 4 * 258


async def test_logprobs_stops_and_cached_tokens() -> None:
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": "[[long]]"},
    ]
    body = {"model": "gpt-4o", "messages": messages, "stop": ["word3", "word2"]}
    async with Replica() as replica:
        answered = await ask(replica, "openai", CHAT, {**body, "logprobs": True, "top_logprobs": 1})
    choice = answered.json["choices"][0]
    assert choice["message"]["content"] == "word0 word1 "
    tokens = choice["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == "word0 word1 "
    assert bytes(byte for token in tokens for byte in token["bytes"]) == b"word0 word1 "
    assert [len(token["top_logprobs"]) for token in tokens] == [1] * len(tokens)
    cached = answered.json["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert 0 < cached < answered.json["usage"]["prompt_tokens"]


# -- what is refused -------------------------------------------------------------------------------

CALL = {"id": "c", "type": "function", "function": {"name": "level", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RETURNED = {"role": "tool", "tool_call_id": "c", "content": "1"}
ASKED = {"role": "user", "content": "hi"}


def talk(*messages: object) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": list(messages)}


WRONG: list[tuple[dict[str, Any], str | None]] = [
    (chat(tools=[]), "tools"),
    (chat(tools=[7]), "tools[0].type"),
    (chat(tools=[{"type": "function"}]), "tools[0].function"),
    (chat(tools=[{"type": "function", "function": {"name": "a b"}}]), "tools[0].function.name"),
    (
        chat(
            tools=[
                {"type": "function", "function": {"name": "a", "parameters": {"type": "string"}}}
            ]
        ),
        "tools[0].function.parameters",
    ),
    (
        chat(
            tools=[
                {
                    "type": "function",
                    "function": {"name": "a", "strict": True, "parameters": SCHEMA},
                }
            ]
        ),
        "tools[0].function.parameters",
    ),
    (chat(tool_choice="required"), "tool_choice"),
    (chat(parallel_tool_calls=True), "parallel_tool_calls"),
    (chat(tools=[TOOL], tool_choice="any"), "tool_choice"),
    (
        chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "x"}}),
        "tool_choice",
    ),
    (chat(response_format={"type": "xml"}), "response_format"),
    (chat(response_format={"type": "json_object"}), "response_format"),
    (chat(response_format={"type": "json_schema"}), "response_format.json_schema"),
    (
        chat(response_format={"type": "json_schema", "json_schema": {"name": "a"}}),
        "response_format.json_schema.schema",
    ),
    (
        chat(
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "a", "strict": True, "schema": SCHEMA},
            }
        ),
        "response_format.json_schema",
    ),
    (chat(top_logprobs=2), "top_logprobs"),
    (chat(logprobs=True, top_logprobs=21), "top_logprobs"),
    (chat(stop=["a"] * 5), "stop"),
    (chat(stop=7), "stop"),
    (
        chat([{"type": "image_url", "image_url": {"url": "x"}}]),
        "messages.[0].content.[0].image_url.url",
    ),
    (
        chat([{"type": "image_url", "image_url": {"url": f"data:text/plain;base64,{PNG}"}}]),
        "messages.[0].content.[0].image_url.url",
    ),
    (
        chat([{"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}}]),
        "messages.[0].content.[0].image_url.url",
    ),
    (chat([{"type": "file", "file": {}}]), "messages.[0].content.[0].file"),
    (
        chat([{"type": "input_audio", "input_audio": {"data": PNG, "format": "flac"}}]),
        "messages.[0].content.[0].input_audio",
    ),
    (chat([{"type": "video"}]), "messages.[0].content.[0]"),
    (talk({"role": "assistant", "content": [IMAGE]}), "messages.[0].content.[0]"),
    (talk(ASKED, RETURNED), "messages.[1].role"),
    (talk(ASKED, CALLED), "messages.[1].role"),
    (talk(ASKED, CALLED, ASKED), "messages.[2].role"),
    (talk(ASKED, CALLED, {**RETURNED, "tool_call_id": "d"}), "messages.[2].role"),
    (talk(ASKED, CALLED, {"role": "tool", "content": "1"}), "messages.[2].tool_call_id"),
    (talk(ASKED, {**CALLED, "tool_calls": []}), "messages.[1].tool_calls"),
    (talk(ASKED, {**CALLED, "tool_calls": [{}]}), "messages.[1].tool_calls[0]"),
]


async def test_what_is_refused_and_where() -> None:
    async with Replica() as replica:
        for body, param in WRONG:
            answered = await ask(replica, "openai", CHAT, body)
            assert (body, answered.status) == (body, 400)
            assert (body, answered.json["error"]["param"]) == (body, param)
        fine = chat(
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "a", "strict": True, "schema": STRICT},
            }
        )
        assert (await ask(replica, "openai", CHAT, fine)).status == 200
        assert (await ask(replica, "openai", CHAT, talk(ASKED, CALLED, RETURNED))).status == 200
        assert replica.exchanges.failed == 0


# -- responses -------------------------------------------------------------------------------------

RESPONSES_TOOL = {"type": "function", "name": "level", "parameters": SCHEMA}


async def test_response_and_its_events_say_the_same() -> None:
    async with Replica(clock=lambda: 1_790_000_000.5) as replica:
        body = response("[[think]] [[long]] [[tool]]", tools=[RESPONSES_TOOL])
        whole = (await ask(replica, "openai", RESPONSES, body)).json
        streamed = await ask(replica, "openai", RESPONSES, {**body, "stream": True})
    events = streamed.events
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in (events[0], events[1], events[-1])] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    assert events[-1]["response"] == whole
    done = [each["item"] for each in events if each["type"] == "response.output_item.done"]
    assert done == whole["output"]
    assert [item["type"] for item in done] == ["reasoning", "message", "function_call"]
    joined = {"reasoning_text": "", "output_text": "", "function_call_arguments": ""}
    for event in events:
        if event["type"].endswith(".delta"):
            joined[event["type"].split(".")[1]] += event["delta"]
    assert joined == {
        "reasoning_text": done[0]["content"][0]["text"],
        "output_text": done[1]["content"][0]["text"],
        "function_call_arguments": done[2]["arguments"],
    }
    assert json.loads(done[2]["arguments"]) == ARGUMENTS
    usage = whole["usage"]
    assert usage["output_tokens_details"]["reasoning_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_response_to_results_of_tools() -> None:
    async with Replica() as replica:
        asked = {"role": "user", "content": "hi [[tools]]"}
        body = response([asked], tools=[RESPONSES_TOOL], include=["reasoning.encrypted_content"])
        body["reasoning"] = {"summary": "auto"}
        first = (await ask(replica, "openai", RESPONSES, body)).json["output"]
        results = [
            {"type": "function_call_output", "call_id": item["call_id"], "output": f"{at} m"}
            for at, item in enumerate(first[1:])
        ]
        again = await ask(
            replica, "openai", RESPONSES, {**body, "input": [asked, *first, *results]}
        )
    assert first[0]["summary"][0]["text"]
    assert first[0]["encrypted_content"]
    text = again.json["output"][1]["content"][0]["text"]
    assert text.startswith("level returned: 0 m\n\nlevel returned: 1 m\n\n")


async def test_refusals_limits_and_forms_of_responses() -> None:
    async with Replica() as replica:
        refused = (await ask(replica, "openai", RESPONSES, response("[[refuse]]"))).json
        cut = await ask(replica, "openai", RESPONSES, response(stream=True, max_output_tokens=16))
        filtered = (await ask(replica, "openai", RESPONSES, response("[[filtered]]"))).json
        format_ = {"type": "json_schema", "name": "level", "schema": STRICT, "strict": True}
        formed = (await ask(replica, "openai", RESPONSES, response(text={"format": format_}))).json
        content = [
            {"type": "input_text", "text": "What?"},
            {"type": "input_image", "image_url": IMAGE["image_url"]["url"]},
            {"type": "input_file", "file_id": "file-1"},
        ]
        seen = (
            await ask(
                replica, "openai", RESPONSES, response([{"role": "user", "content": content}])
            )
        ).json
    assert refused["output"][0]["content"][0]["type"] == "refusal"
    assert cut.events[-1]["type"] == "response.incomplete"
    assert cut.events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert cut.events[-1]["response"]["usage"]["output_tokens"] == 16
    assert filtered["incomplete_details"] == {"reason": "content_filter"}
    assert json.loads(formed["output"][0]["content"][0]["text"]) == ARGUMENTS
    assert formed["text"]["format"] == format_
    assert seen["output"][0]["content"][0]["text"].startswith(
        "I see 1 image (image/png, 21 bytes).\n\nI see 1 file (file-1).\n\n"
    )


GIVEN = {"type": "function_call", "call_id": "c", "name": "level", "arguments": "{}"}
TOLD = {"type": "function_call_output", "call_id": "c", "output": "1"}
WRONG_RESPONSES: list[tuple[dict[str, Any], str | None, str | None]] = [
    (response(messages=[]), "messages", "unknown_parameter"),
    (response(max_tokens=7), "max_tokens", "unknown_parameter"),
    (response(max_output_tokens=15), "max_output_tokens", None),
    (
        response(stream=True, stream_options={"include_usage": True}),
        "stream_options.include_usage",
        "unknown_parameter",
    ),
    (response(stream_options={}), "stream_options", None),
    (
        response(previous_response_id="resp_1"),
        "previous_response_id",
        "previous_response_not_found",
    ),
    (response(conversation="conv_1"), "conversation", None),
    (response(background=True), "background", None),
    (response(instructions=7), "instructions", "invalid_type"),
    (response(7), "input", "invalid_type"),
    (response([]), "input", "invalid_type"),
    (response([GIVEN]), "input", None),
    (response([ASKED, TOLD]), "input", None),
    (response([{"type": "item_reference", "id": "x"}]), "input", None),
    (response([{"role": "tool", "content": "x"}]), "input[0].role", "invalid_value"),
    (response([{"type": "function_call"}]), "input[0]", "invalid_value"),
    (
        response([{"role": "user", "content": [{"type": "text", "text": "x"}]}]),
        "input[0].content[0].type",
        "invalid_value",
    ),
    (
        response([{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]),
        "input[0].content[0].type",
        "invalid_value",
    ),
    (response(tools=[TOOL]), "tools[0].name", "invalid_value"),
    (response(text={"format": {"type": "json_object"}}), "text.format", None),
]


async def test_what_responses_refuse() -> None:
    async with Replica() as replica:
        for body, param, code in WRONG_RESPONSES:
            answered = await ask(replica, "openai", RESPONSES, body)
            error = answered.json["error"]
            assert (body, answered.status, error["param"]) == (body, 400, param)
            assert error["code"] == code
        assert (
            await ask(replica, "openai", RESPONSES, response([ASKED, GIVEN, TOLD]))
        ).status == 200
        assert replica.exchanges.failed == 0


# -- every word, at every endpoint -----------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_every_word_at_the_other_endpoints(*, stream: bool) -> None:
    statuses = {
        "err401": 401,
        "err429": 429,
        "quota": 429,
        "err500": 500,
        "too-long": 400,
        "html502": 502,
    }
    async with Replica() as replica:
        for marker in OpenAISite.markers:
            if marker.name in ("stall", "silent"):
                continue
            broken = marker.name in ("midfail", "cut")
            expected = statuses.get(marker.name, 500 if broken and not stream else 200)
            completion = {"model": "gpt-4o", "prompt": marker.text, "stream": stream}
            legacy = await ask(replica, "openai", "/v1/completions", completion)
            whole = await ask(replica, "openai", RESPONSES, response(marker.text, stream=stream))
            assert (marker.name, legacy.status, whole.status) == (marker.name, expected, expected)
            assert replica.exchanges[-1].markers == (marker.name,)
            if expected == 200 and stream:
                ended = marker.name not in ("nodone", "midfail", "cut")
                last = whole.events[-1]["type"] if marker.name != "cut" else ""
                assert (marker.name, legacy.body.endswith(b"[DONE]\n\n")) == (marker.name, ended)
                assert (marker.name, last in ("response.completed", "response.incomplete")) == (
                    marker.name,
                    ended,
                )
        assert replica.exchanges.failed == 0


async def test_response_that_fails_says_so_twice() -> None:
    async with Replica() as replica:
        streamed = await ask(replica, "openai", RESPONSES, response("[[midfail]]", stream=True))
    error, failed = streamed.events[-2:]
    assert (error["type"], error["error"]["code"]) == ("error", "server_error")
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"]["code"] == "server_error"
    assert streamed.names[-2:] == ["error", "response.failed"]


# -- legacy completions and embeddings -------------------------------------------------------------


WRONG_PROMPTS: list[dict[str, Any]] = [
    {"prompt": None},
    {"prompt": []},
    {"prompt": ["a", 7]},
    {"n": 2},
    {"suffix": "x"},
]


async def test_legacy_completions() -> None:
    body = {"model": "gpt-4o", "prompt": ["one", "two"], "max_tokens": 3, "echo": True}
    async with Replica() as replica:
        whole = (await ask(replica, "openai", "/v1/completions", {**body, "logprobs": 2})).json
        more = {"stream": True, "stream_options": {"include_usage": True}}
        streamed = await ask(replica, "openai", "/v1/completions", {**body, **more})
        numbers = await ask(replica, "openai", "/v1/completions", {**body, "prompt": [7, 8]})
        assert numbers.json["choices"][0]["text"].startswith("7 8")
        for wrong in WRONG_PROMPTS:
            refused = await ask(replica, "openai", "/v1/completions", {**body, **wrong})
            assert (refused.status, refused.json["error"]["param"]) == (400, next(iter(wrong)))
    *chunks, last = streamed.events
    texts = ["", ""]
    for chunk in chunks:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert [choice["text"] for choice in whole["choices"]] == texts
    assert texts[0].startswith("oneYou")
    assert [choice["finish_reason"] for choice in whole["choices"]] == ["length"] * 2
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert whole["usage"]["completion_tokens"] == 6
    logprobs = whole["choices"][0]["logprobs"]
    assert "".join(logprobs["tokens"]) == texts[0]
    assert logprobs["text_offset"][:2] == [0, 3]
    assert [len(each) for each in logprobs["top_logprobs"]] == [2] * 4


WRONG_EMBEDDINGS: list[tuple[dict[str, Any], int]] = [
    ({"input": ""}, 400),
    ({"input": []}, 400),
    ({"input": "a", "dimensions": 0}, 400),
    ({"input": "a", "encoding_format": "xml"}, 400),
    ({"input": "a", "model": "gpt-4o"}, 404),
]


async def test_embeddings() -> None:
    model = "text-embedding-3-small"
    async with Replica() as replica:
        both = (
            await ask(
                replica,
                "openai",
                "/v1/embeddings",
                {"model": model, "input": ["a", "b"], "dimensions": 4},
            )
        ).json
        one = (await ask(replica, "openai", "/v1/embeddings", {"model": model, "input": "a"})).json
        for wrong, status in WRONG_EMBEDDINGS:
            refused = await ask(replica, "openai", "/v1/embeddings", {"model": model, **wrong})
            assert (wrong, refused.status) == (wrong, status)
        chatting = await ask(replica, "openai", CHAT, {**chat(), "model": model})
        assert chatting.status == 404
    first, second = (each["embedding"] for each in both["data"])
    assert len(first) == 4
    assert first != second
    assert sum(value * value for value in first) == pytest.approx(1)
    assert len(one["data"][0]["embedding"]) == 1536
