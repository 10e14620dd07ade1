"""The site with Gemini's API: three forms of a reply, rules for requests, and errors."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from replica_apis import ARGUMENTS, MORE_ARGUMENTS, PNG, SCHEMA, Answered, ask

from tailrace.replica import AnswerError, HistoryTurn, Question, Replica
from tailrace.replica._sites.models.gemini.site import GeminiSite

FLASH = "/v1beta/models/gemini-2.5-flash"
NEWER = "/v1beta/models/gemini-3-pro-preview"
LEVEL = {"name": "level", "parametersJsonSchema": SCHEMA}
TIDE = {"name": "tide", "parameters": {"type": "OBJECT"}}
TOOLS = [{"functionDeclarations": [LEVEL, TIDE]}]
IMAGE = {"inlineData": {"mimeType": "image/png", "data": PNG}}
CALL = {"functionCall": {"name": "level", "args": {}}}
RESULT = {"functionResponse": {"name": "level", "response": {"result": 1}}}
THOUGHTS = {"thinkingConfig": {"includeThoughts": True}}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [{"text": p} if isinstance(p, str) else p for p in parts]}


def model(*parts: Any) -> dict[str, Any]:
    return {**user(*parts), "role": "model"}


def asking(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"contents": [user(*(parts or ("hi",)))], **more}


def configured(**config: Any) -> dict[str, Any]:
    return asking(generationConfig=config)


async def generate(replica: Replica, body: object, path: str = FLASH, **headers: str) -> Answered:
    return await ask(replica, "gemini", f"{path}:generateContent", body, **headers)


async def stream(replica: Replica, body: object, query: str = "?alt=sse") -> Answered:
    return await ask(replica, "gemini", f"{FLASH}:streamGenerateContent{query}", body)


def parts_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts of all records, those of one kind joined."""
    joined: list[dict[str, Any]] = []
    for record in records:
        for part in record["candidates"][0]["content"].get("parts", ()):
            is_same = joined and "text" in part and part.keys() == joined[-1].keys()
            if is_same:
                joined[-1]["text"] += part["text"]
            else:
                joined.append(dict(part))
    return joined


async def test_events_array_and_whole_say_the_same() -> None:
    body = asking("[[long]] [[tools]]", tools=TOOLS, generationConfig=THOUGHTS)
    async with Replica(clock=lambda: 1_790_000_000.5) as replica:
        whole = (await generate(replica, body)).json
        events = await stream(replica, body)
        array = await stream(replica, body, "")
    assert events.headers["Content-Type"] == "text/event-stream"
    assert array.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert events.body.count(b"\r\n\r\n") == len(events.events)
    assert array.json == events.events
    records = events.events
    assert parts_of(records) == whole["candidates"][0]["content"]["parts"]
    thought, text, first, second = parts_of(records)
    assert thought["thought"] is True
    assert text["text"].startswith("word0 word1 ")
    assert [first["functionCall"]["args"], second["functionCall"]["args"]] == [ARGUMENTS, {}]
    assert ("thoughtSignature" in first, "thoughtSignature" in second) == (True, False)
    reasons = [record["candidates"][0].get("finishReason") for record in records]
    assert reasons == [None] * (len(records) - 1) + ["STOP"]
    assert records[-1]["usageMetadata"] == whole["usageMetadata"]
    usage = whole["usageMetadata"]
    assert usage["totalTokenCount"] == sum(
        usage[name] for name in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    )
    assert records[0]["responseId"] == whole["responseId"]


async def test_characters_that_google_escapes_are_escaped() -> None:
    async with Replica() as replica:
        for answered in (await stream(replica, asking()), await generate(replica, asking())):
            assert b"\\u003c" in answered.body
            assert not set("<>&='").intersection(answered.body.decode())


CHOICES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("hi", {}, []),
    ("hi [[tool]]", {}, ["level"]),
    ("hi [[tools]]", {"mode": "NONE"}, []),
    ("hi", {"mode": "ANY"}, ["level"]),
    ("hi", {"mode": "ANY", "allowedFunctionNames": ["tide"]}, ["tide"]),
    ("hi [[tool]]", {"mode": "VALIDATED", "allowed_function_names": ["tide"]}, ["tide"]),
]


@pytest.mark.parametrize(("text", "calling", "called"), CHOICES)
async def test_choice_among_tools(text: str, calling: dict[str, Any], called: list[str]) -> None:
    async with Replica() as replica:
        config = {"function_calling_config": calling} if calling else {}
        answered = await generate(replica, asking(text, tools=TOOLS, tool_config=config))
    parts = answered.json["candidates"][0]["content"]["parts"]
    assert [part["functionCall"]["name"] for part in parts if "functionCall" in part] == called


async def test_loop_ends_with_the_results() -> None:
    tools = [{"function_declarations": [LEVEL]}]
    body = asking("hi [[tools]]", tools=tools)
    async with Replica() as replica:
        content = (await generate(replica, body, NEWER)).json["candidates"][0]["content"]
        calls = [part["functionCall"] for part in content["parts"]]
        results = [
            {
                "functionResponse": {
                    "id": call["id"],
                    "name": call["name"],
                    "response": {"metres": at},
                    "parts": [IMAGE],
                }
            }
            for at, call in enumerate(calls)
        ]
        body["contents"] += [content, user(*results)]
        ended = (await generate(replica, body, NEWER)).json
        del content["parts"][0]["thoughtSignature"]
        unsigned = await generate(replica, body, NEWER)
        older = await generate(replica, body)
    assert [call["args"] for call in calls] == [ARGUMENTS, MORE_ARGUMENTS]
    text = ended["candidates"][0]["content"]["parts"][0]["text"]
    assert text.startswith(
        'level returned: {"metres": 0}\n\nlevel returned: {"metres": 1}\n\nI see 2 images '
    )
    assert (unsigned.status, older.status) == (400, 200)
    assert "missing a thought_signature" in unsigned.json["error"]["message"]


async def test_how_contents_end() -> None:
    json_form = {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    typed = {
        "response_mime_type": "application/json",
        "response_schema": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "2"},
    }
    cases: list[tuple[dict[str, Any], str, str | None]] = [
        (configured(maxOutputTokens=3), "MAX_TOKENS", None),
        (asking("[[long]]", generationConfig={"stopSequences": ["word2"]}), "STOP", "word0 word1 "),
        (asking("[[filtered]]"), "SAFETY", "Half of wh"),
        (asking("[[empty]]"), "STOP", ""),
        (configured(**json_form), "STOP", json.dumps(ARGUMENTS)),
        (configured(**typed), "STOP", "[1, 2]"),
    ]
    async with Replica() as replica:
        for body, reason, text in cases:
            whole = (await generate(replica, body)).json
            streamed = (await stream(replica, body)).events
            assert (body, whole["candidates"][0]["finishReason"]) == (body, reason)
            assert streamed[-1]["candidates"][0]["finishReason"] == reason
            for records in ([whole], streamed):
                found = "".join(part["text"] for part in parts_of(records))
                assert text is None or found == text
        blocked = (await generate(replica, asking("[[refuse]]"))).json
    assert blocked["promptFeedback"]["blockReason"] == "PROHIBITED_CONTENT"
    assert "candidates" not in blocked


async def test_thoughts_that_are_not_shown_are_counted() -> None:
    async with Replica() as replica:
        thought = (await generate(replica, asking("[[think]]"))).json
        config = {"thinkingConfig": {"thinkingBudget": 0}}
        off = (await generate(replica, asking("[[think]]", generationConfig=config))).json
    assert len(thought["candidates"][0]["content"]["parts"]) == 1
    assert thought["usageMetadata"]["thoughtsTokenCount"] > 5
    assert "thoughtsTokenCount" not in off["usageMetadata"]


async def test_parts_roles_and_logprobs() -> None:
    questions: list[Question] = []

    async def answers(question: Question, /) -> str:
        questions.append(question)
        return "fine words"

    url_safe = base64.urlsafe_b64encode(b"\xfb\xff\xfe").decode().rstrip("=")
    contents = [
        user("a"),
        model({"text": "think", "thought": True}, "b"),
        user(
            "What?",
            IMAGE,
            {"inline_data": {"mime_type": "image/webp", "data": url_safe}},
            {"fileData": {"fileUri": "https://my.example/a.pdf", "mimeType": "application/pdf"}},
        ),
    ]
    body = {
        "contents": contents,
        "system_instruction": {"parts": [{"text": "Be brief."}]},
        "generation_config": {"response_logprobs": True, "logprobs": 1},
    }
    async with Replica(answers=answers) as replica:
        candidate = (await generate(replica, body)).json["candidates"][0]
        assert replica.exchanges[-1].json == body
        streamed = (await stream(replica, body)).events
    text = (
        "I see 2 images (image/png, 21 bytes; image/webp, 3 bytes).\n\n"
        "I see 1 file (https://my.example/a.pdf).\n\nfine words"
    )
    assert candidate["content"]["parts"] == [{"text": text}]
    chosen = candidate["logprobsResult"]["chosenCandidates"]
    assert "".join(each["token"] for each in chosen) == text
    assert [
        each["token"]
        for record in streamed
        for each in record["candidates"][0]["logprobsResult"]["chosenCandidates"]
    ] == [each["token"] for each in chosen]
    earlier = (
        HistoryTurn("system", "Be brief."),
        HistoryTurn("user", "a"),
        HistoryTurn("assistant", "b"),
    )
    assert questions[0] == Question("gemini", "What?", earlier)


def declaring(**declared: Any) -> dict[str, Any]:
    return asking(tools=[{"functionDeclarations": [declared]}])


def calling(tools: Any = TOOLS, **config: Any) -> dict[str, Any]:
    return asking(tools=tools, toolConfig={"functionCallingConfig": config})


def talk(*contents: Any) -> dict[str, Any]:
    return {"contents": list(contents)}


WRONG: list[tuple[object, str]] = [
    (b"{", "Invalid JSON payload"),
    (b"[]", "Invalid value at ''"),
    ({}, "contents is not specified"),
    (asking(messages=[]), 'Unknown name "messages": Cannot find field.'),
    (talk({**user("x"), "name": "x"}), "Unknown name \"name\" at 'contents[0]'"),
    (asking({"text": "x", "foo": 1}), "Unknown name \"foo\" at 'contents[0].parts[0]'"),
    (asking({"text": 7}), "Invalid value at 'contents[0].parts[0].text' (TYPE_STRING)"),
    (asking({"inlineData": {"mimeType": "image/png", "data": "!"}}), "Base64 decoding failed"),
    (asking({"inlineData": {"data": PNG}}), "inline_data: mimeType and data are required"),
    (asking({"inlineData": {"mimeType": "image/bmp", "data": PNG}}), "Unsupported MIME type"),
    (asking({"fileData": {}}), "fileUri is required"),
    (asking({"thought": True}), "required oneof field 'data'"),
    (asking({"text": "x", **IMAGE}), "oneof field 'data' is already set"),
    (talk({"role": "user", "parts": []}), "contents.parts must not be empty"),
    (talk({"role": "assistant", "parts": [{"text": "x"}]}), "use a valid role: user, model"),
    (talk(model(CALL), user(RESULT)), "function call turn comes immediately after a user turn"),
    (talk(user("x"), user(RESULT)), "function response turn comes immediately after"),
    (talk(user("x"), model(CALL, CALL), user(RESULT)), "number of function response parts"),
    (talk(user("x"), model(CALL), user("y")), "number of function response parts"),
    (talk(user("x"), model(CALL)), "end with a user role"),
    (talk(user("x"), model(CALL), user({"functionResponse": {}})), "Name cannot be empty"),
    (declaring(name="a b"), "Invalid function name"),
    (declaring(name="a", parameters={"$ref": "#"}), 'Unknown name "$ref"'),
    (declaring(name="a", parameters={"properties": {"b": {"x": 1}}}), "properties[0].value"),
    (declaring(name="a", parameters={}, parametersJsonSchema={}), "must not both be set"),
    (asking(tools=[{"functionDeclarations": [LEVEL, LEVEL]}]), "Duplicate function declaration"),
    (asking(tools=[{"type": "function"}]), "Unknown name \"type\" at 'tools[0]'"),
    (calling(mode="SOME"), "function_calling_config.mode"),
    (calling(mode="AUTO", allowedFunctionNames=["level"]), "must be ANY or VALIDATED"),
    (calling(mode="ANY", allowedFunctionNames=["x"]), "'x', which is not declared"),
    (calling(None, mode="ANY"), "set without function_declarations"),
    (configured(max_tokens=3), "Unknown name \"max_tokens\" at 'generation_config'"),
    (configured(candidateCount=2), "Multiple candidates"),
    (configured(temperature=3), "generation_config.temperature"),
    (configured(temperature="hot"), "TYPE_DOUBLE"),
    (configured(maxOutputTokens=0), "maxOutputTokens"),
    (configured(maxOutputTokens=1.5), "TYPE_INT32"),
    (configured(stopSequences=["x"] * 6), "stop_sequences"),
    (configured(logprobs=2), "response_logprobs is not"),
    (configured(responseMimeType="text/xml"), "allowed mimetypes"),
    (configured(responseJsonSchema=SCHEMA), "response_schema only allowed with"),
    (configured(responseSchema={}, responseJsonSchema={}), "must not both be set"),
    (
        asking(tools=TOOLS, generationConfig={"responseMimeType": "application/json"}),
        "Function calling with a response mime type",
    ),
    (configured(thinkingConfig={"thinkingLevel": "low"}), "Thinking level is not supported"),
    (
        configured(thinkingConfig={"thinkingLevel": "low", "thinkingBudget": 1}),
        "only set only one of thinking budget",
    ),
]


async def test_what_is_refused_and_why() -> None:
    async with Replica() as replica:
        for body, message in WRONG:
            answered = await generate(replica, body)
            error = answered.json["error"]
            assert (body, answered.status, error["status"]) == (body, 400, "INVALID_ARGUMENT")
            assert message in error["message"]
        level = configured(thinkingConfig={"thinkingLevel": "LOW"})
        assert (await generate(replica, level, NEWER)).status == 200
        null = {**asking(), "tools": None, "generationConfig": {"temperature": None}}
        assert (await generate(replica, null)).status == 200
        array = await stream(replica, {}, "")
        assert (array.status, array.json[0]["error"]["code"]) == (400, 400)
        events = await stream(replica, {})
        assert (events.status, events.json["error"]["code"]) == (400, 400)
        missing = await generate(replica, asking(), "/v1beta/models/gemini-9")
        assert (missing.status, missing.json["error"]["status"]) == (404, "NOT_FOUND")
        assert replica.exchanges.failed == 0


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, "", 403),
        ({"x_goog_api_key": "wrong"}, "", 400),
        ({"x_goog_api_key": "right"}, "", 200),
        ({}, "?key=right", 200),
    ],
)
async def test_key(headers: dict[str, str], query: str, status: int) -> None:
    async with Replica(api_key="right") as replica:
        path = f"{FLASH}:generateContent{query}"
        answered = await ask(replica, "gemini", path, asking(), **headers)
    assert answered.status == status
    if status == 400:
        assert answered.json["error"]["details"][0]["reason"] == "API_KEY_INVALID"


async def test_models_counts_and_embeddings() -> None:
    embedding = "/v1beta/models/gemini-embedding-001"
    async with Replica() as replica:
        first = (await ask(replica, "gemini", "/v1beta/models?pageSize=1000")).json
        token = first["nextPageToken"]
        rest = (await ask(replica, "gemini", f"/v1beta/models?pageToken={token}")).json
        one = (await ask(replica, "gemini", "/v1/models/gemini-2.5-flash")).json
        for path in ("/v1beta/models?pageToken=x", "/v1beta/models?pageSize=0"):
            assert (await ask(replica, "gemini", path)).status == 400
        for path in ("/v1beta/models/x", "/v1beta", f"{FLASH}:generateContent"):
            assert (await ask(replica, "gemini", path)).status == 404
        assert (await ask(replica, "gemini", f"{FLASH}:embedContent", {})).status == 404
        assert (await ask(replica, "gemini", f"{FLASH}:sing", {})).status == 404
        counted = await ask(replica, "gemini", f"{FLASH}:countTokens", asking("Hello there"))
        usage = (await generate(replica, asking("Hello there"))).json["usageMetadata"]
        content = {"parts": [{"text": "one"}]}
        single = await ask(replica, "gemini", f"{embedding}:embedContent", {"content": content})
        batch = await ask(
            replica,
            "gemini",
            f"{embedding}:batchEmbedContents",
            {"requests": [{"model": "x", "content": content, "outputDimensionality": 4}] * 2},
        )
        empty = await ask(replica, "gemini", f"{embedding}:embedContent", {})
    assert [each["name"] for each in (*first["models"], *rest["models"])] == [
        "models/gemini-2.5-flash",
        "models/gemini-3-pro-preview",
        "models/gemini-embedding-001",
    ]
    assert "nextPageToken" not in rest
    assert rest["models"][0]["supportedGenerationMethods"] == ["embedContent"]
    assert one == first["models"][0]
    assert counted.json == {"totalTokens": usage["promptTokenCount"]}
    assert len(single.json["embedding"]["values"]) == 3072
    assert [len(each["values"]) for each in batch.json["embeddings"]] == [4, 4]
    assert empty.status == 400


STATUSES = {"err401": 400, "err429": 429, "err500": 500, "err503": 503, "too-long": 400}


@pytest.mark.parametrize("query", ["?alt=sse", "", None])
async def test_every_word(query: str | None) -> None:
    async with Replica() as replica:
        for marker in GeminiSite.markers:
            if marker.name in ("stall", "silent"):
                continue
            body = asking(f"please {marker.text} now")
            answered = await (
                generate(replica, body) if query is None else stream(replica, body, query)
            )
            broken = marker.name in ("midfail", "cut")
            expected = {**STATUSES, "html502": 502}.get(
                marker.name, 500 if broken and query is None else 200
            )
            assert (marker.name, answered.status) == (marker.name, expected)
            assert replica.exchanges[-1].markers == (marker.name,)
            if marker.name in STATUSES:
                assert isinstance(answered.json, list) == (query == "")
        failed = await stream(replica, asking("[[midfail]]"))
        assert failed.events[-1]["error"]["status"] == "UNAVAILABLE"
        array = await stream(replica, asking("[[midfail]]"), "")
        assert array.json[-1]["error"]["status"] == "UNAVAILABLE"
        limited = await generate(replica, asking("[[err429]]"))
        assert limited.json["error"]["details"][1]["retryDelay"] == "7s"
        unended = await stream(replica, asking("[[nodone]]"))
        assert "finishReason" not in unended.events[-1]["candidates"][0]
        assert replica.exchanges.failed == 0


async def test_answer_error_is_passed_on() -> None:
    async def answers(_question: Question, /) -> str:
        raise AnswerError(503, "Too busy.")

    async with Replica(answers=answers) as replica:
        answered = await stream(replica, asking(), "")
    assert (answered.status, answered.json[0]["error"]["status"]) == (503, "UNAVAILABLE")
