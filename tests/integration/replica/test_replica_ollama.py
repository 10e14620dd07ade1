"""The site with Ollama's API: its lines, its rules for requests, and its errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from replica_apis import ARGUMENTS, MORE_ARGUMENTS, PNG, SCHEMA, Answered
from replica_apis import ask as ask_site

from tailrace.replica import AnswerError, HistoryTurn, Question, Replica
from tailrace.replica._sites.models.ollama.site import OllamaSite

ALL = "qwen3-vl:8b"
TOOL = {"type": "function", "function": {"name": "level", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "tide"}}


def asking(text: str = "hi", model: str = ALL, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


async def ask(replica: Replica, body: object, path: str = "/api/chat") -> Answered:
    return await ask_site(replica, "ollama", path, body)


def lines(answered: Answered) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answered.body.splitlines()]


async def test_lines_and_the_whole_chat_say_the_same() -> None:
    body = asking("[[think]] [[long]] [[tools]]", tools=[TOOL])
    async with Replica(clock=lambda: 1_790_000_000.5) as replica:
        whole = (await ask(replica, {**body, "stream": False})).json
        streamed = await ask(replica, body)
    assert streamed.headers["Content-Type"] == "application/x-ndjson"
    records = lines(streamed)
    message: dict[str, Any] = {"role": "assistant", "content": "", "thinking": "", "tool_calls": []}
    for record in records:
        for field in ("content", "thinking", "tool_calls"):
            message[field] += record["message"].get(field, type(message[field])())
    assert {**records[-1], "message": message} == whole
    assert [record["done"] for record in records] == [False] * (len(records) - 1) + [True]
    assert message["content"].startswith("word0 word1 ")
    assert message["thinking"]
    functions = [call["function"] for call in message["tool_calls"]]
    assert [each["arguments"] for each in functions] == [ARGUMENTS, MORE_ARGUMENTS]
    assert [each["index"] for each in functions] == [0, 1]
    assert (whole["done_reason"], whole["created_at"]) == ("stop", "2026-09-21T14:13:20.500000Z")
    assert whole["eval_count"] > 400


async def test_characters_that_go_escapes_are_escaped() -> None:
    async with Replica() as replica:
        streamed = await ask(replica, asking())
        whole = await ask(replica, asking(stream=False))
    for answered in (streamed, whole):
        assert b"\\u2028" in answered.body
        assert b"\\u003c" in answered.body
        assert not set("<>&\u2028").intersection(answered.body.decode())


async def test_loop_ends_with_the_results() -> None:
    body = asking("hi [[tools]]", tools=[TOOL, OTHER], stream=False)
    async with Replica() as replica:
        message = (await ask(replica, body)).json["message"]
        calls = message["tool_calls"]
        ways: list[list[dict[str, str]]] = [
            [{"tool_call_id": call["id"]} for call in calls],
            [{"tool_name": call["function"]["name"]} for call in calls],
            [{}, {}],
        ]
        for results in ways:
            told = [
                {"role": "tool", "content": f"{at} m", **each} for at, each in enumerate(results)
            ]
            messages = [*body["messages"], message, *told]
            ended = (await ask(replica, {**body, "messages": messages})).json
            text = ended["message"]["content"]
            assert text.startswith("level returned: 0 m\n\ntide returned: 1 m\n\n")


async def test_thinking_forms_limits_stops_logprobs() -> None:
    async with Replica() as replica:
        thought = (await ask(replica, asking(think="low", stream=False))).json["message"]
        off = await ask(replica, asking("[[think]]", think=False, stream=False))
        formed = (await ask(replica, asking(format=SCHEMA, stream=False))).json["message"]
        loose = (await ask(replica, asking(format="json", stream=False))).json["message"]
        cut = lines(await ask(replica, asking(options={"num_predict": 3})))
        stopped = lines(await ask(replica, asking("[[long]]", options={"stop": ["word2"]})))
        likely = asking(logprobs=True, top_logprobs=2)
        tokens = lines(await ask(replica, likely))
        whole = (await ask(replica, {**likely, "stream": False})).json
    assert thought["thinking"]
    assert "thinking" not in off.json["message"]
    assert json.loads(formed["content"]) == ARGUMENTS
    assert list(json.loads(loose["content"])) == ["answer"]
    assert (cut[-1]["done_reason"], cut[-1]["eval_count"]) == ("length", 3)
    assert "".join(each["message"]["content"] for each in stopped) == "word0 word1 "
    assert [each for line in tokens for each in line.get("logprobs", ())] == whole["logprobs"]
    assert len(whole["logprobs"][0]["top_logprobs"]) == 2


async def test_images_and_roles_reach_the_model() -> None:
    questions: list[Question] = []

    async def answers(question: Question, /) -> str:
        questions.append(question)
        return "fine"

    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "What?", "images": [PNG]},
    ]
    async with Replica(answers=answers) as replica:
        body = {"model": "gemma3", "messages": messages, "stream": False, "unknown": 1}
        answered = await ask(replica, body)
        assert replica.exchanges[-1].json == body
    assert answered.json["message"]["content"] == "I see 1 image (21 bytes).\n\nfine"
    earlier = (
        HistoryTurn("system", "Be brief."),
        HistoryTurn("user", "a"),
        HistoryTurn("assistant", "b"),
    )
    assert questions == [Question("ollama", "What?", earlier)]


def talk(**message: Any) -> dict[str, Any]:
    return {"model": ALL, "messages": [message]}


WRONG: list[tuple[object, int, str]] = [
    (b"", 400, "missing request body"),
    (b"{", 400, "invalid character"),
    (b"[]", 400, "api.ChatRequest"),
    ({}, 400, "model is required"),
    (asking(model="llama9"), 404, "model 'llama9' not found"),
    (asking(stream="yes"), 400, "ChatRequest.stream of type bool"),
    ({"model": ALL, "messages": {}}, 400, "ChatRequest.messages"),
    ({"model": ALL, "messages": "hi"}, 400, "ChatRequest.messages"),
    (talk(role="developer", content="x"), 400, "invalid role: developer"),
    (talk(role="user", content=[]), 400, "messages.content of type string"),
    (talk(role="user", content=[{"type": "text"}]), 400, "messages.content of type string"),
    (talk(role="user", images=["!"]), 400, "illegal base64 data"),
    (talk(role="assistant", tool_calls=[{}]), 400, "api.ToolCall"),
    (
        talk(role="assistant", tool_calls=[{"function": {"name": "a", "arguments": "{}"}}]),
        400,
        "cannot unmarshal string into Go struct field",
    ),
    (asking(model="gemma3", tools=[TOOL]), 400, "library/gemma3:latest does not support tools"),
    (asking(tools=[{}]), 400, "api.ToolFunction"),
    (asking(model="llama3.2", think=True), 400, '"llama3.2" does not support thinking'),
    (asking(think="much"), 400, "invalid think value"),
    (asking(format="xml"), 400, 'invalid format: "xml"; expected "json"'),
    (asking(options={"temperature": "hot"}), 400, 'option "temperature" must be of type float32'),
    (asking(options={"num_predict": 1.5}), 400, 'option "num_predict" must be of type integer'),
    (asking(options={"stop": "x"}), 400, 'option "stop"'),
    (asking(top_logprobs=21), 400, "top_logprobs"),
    (
        {"model": "llama3.2", "messages": [{"role": "user", "content": "x", "images": [PNG]}]},
        500,
        "image input",
    ),
]


async def test_what_is_refused_and_why() -> None:
    async with Replica() as replica:
        for body, status, message in WRONG:
            answered = await ask(replica, body)
            assert (body, answered.status) == (body, status)
            assert message in answered.json["error"]
        assert replica.exchanges.failed == 0


async def test_models_version_and_loading() -> None:
    async with Replica() as replica:
        models = (await ask(replica, None, "/api/tags")).json["models"]
        assert (await ask(replica, None, "/api/version")).json["version"]
        assert (await ask(replica, None, "/")).body == b"Ollama is running"
        assert (await ask(replica, None, "/api/chat")).status == 405
        assert (await ask(replica, None, "/api/nothing")).status == 404
        loaded = (await ask(replica, {"model": ALL, "stream": False})).json
        gone = lines(await ask(replica, {"model": ALL, "keep_alive": 0}))
    assert [model["name"] for model in models] == [
        ALL,
        "llama3.2:latest",
        "gemma3:latest",
        "all-minilm:latest",
    ]
    assert (loaded["done_reason"], gone[0]["done_reason"]) == ("load", "unload")


EMBEDDER = "all-minilm"


async def test_embeddings() -> None:
    async def embed(replica: Replica, **fields: Any) -> dict[str, Any]:
        answered = await ask(replica, {"model": EMBEDDER, **fields}, "/api/embed")
        assert answered.status == 200
        record: dict[str, Any] = answered.json
        return record

    async with Replica() as replica:
        one = await embed(replica, input="the mill")
        two = await embed(replica, input=["the mill", "the pond"])
        short = await embed(replica, input="the mill", dimensions=3)
        long = await embed(replica, input="word " * 1000)
        empty: list[dict[str, Any]] = [{}, {"input": ""}, {"input": []}]
        nothing = [await embed(replica, **fields) for fields in empty]
    (vector,) = one["embeddings"]
    assert (len(vector), sum(value * value for value in vector)) == (384, pytest.approx(1))
    assert (two["embeddings"][0], len(two["embeddings"])) == (vector, 2)
    assert [len(each) for each in short["embeddings"]] == [3]
    assert (one["model"], one["prompt_eval_count"] < two["prompt_eval_count"]) == (EMBEDDER, True)
    assert long["prompt_eval_count"] == 256
    assert [each["embeddings"] for each in nothing] == [[], [], []]


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"model": "nobody"}, 404, "model 'nobody' not found"),
        ({"model": ""}, 400, "model is required"),
        ({"input": 7}, 400, "invalid input type"),
        ({"input": ["a", 7]}, 400, "invalid input type"),
        ({"input": "word " * 1000, "truncate": False}, 400, "exceeds the context length"),
        ({"truncate": 1}, 400, "EmbedRequest.truncate of type bool"),
        ({"dimensions": "3"}, 400, "EmbedRequest.dimensions of type int"),
    ],
)
async def test_embeddings_that_are_refused(
    fields: dict[str, Any], status: int, message: str
) -> None:
    async with Replica() as replica:
        answered = await ask(replica, {"model": EMBEDDER, **fields}, "/api/embed")
        chat = await ask(replica, asking(model=EMBEDDER))
    assert answered.status == status
    assert message in answered.json["error"]
    assert (chat.status, chat.json["error"]) == (400, '"all-minilm" does not support chat')


@pytest.mark.parametrize(("key", "status"), [("Bearer right", 200), ("Bearer x", 401), ("", 401)])
async def test_key(key: str, status: int) -> None:
    async with Replica(api_key="right") as replica:
        answered = await ask_site(replica, "ollama", "/api/chat", asking(), Authorization=key)
    assert answered.status == status


STATUSES = {
    "err401": 401,
    "err429": 429,
    "err500": 500,
    "err503": 503,
    "too-long": 400,
    "html502": 502,
}


@pytest.mark.parametrize("stream", [False, True])
async def test_every_word(*, stream: bool) -> None:
    async with Replica() as replica:
        for marker in OllamaSite.markers:
            if marker.name in ("stall", "silent"):
                continue
            answered = await ask(replica, asking(f"please {marker.text} now", stream=stream))
            broken = marker.name in ("midfail", "cut")
            expected = STATUSES.get(marker.name, 500 if broken and not stream else 200)
            assert (marker.name, answered.status) == (marker.name, expected)
            assert replica.exchanges[-1].markers == (marker.name,)
            if expected == 200 and stream and marker.name != "cut":
                ended = marker.name not in ("nodone", "midfail")
                assert (marker.name, lines(answered)[-1].get("done", False)) == (marker.name, ended)
        failed = lines(await ask(replica, asking("[[midfail]]")))
        assert list(failed[-1]) == ["error"]
        assert replica.exchanges.failed == 0


async def test_answer_error_is_passed_on() -> None:
    async def answers(_question: Question, /) -> str:
        raise AnswerError(503, "Too busy.")

    async with Replica(answers=answers) as replica:
        answered = await ask(replica, asking())
    assert (answered.status, answered.json) == (503, {"error": "Too busy."})
