"""The OpenAI-compatible site: chunks of the captured shape, and errors in OpenAI's form."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from replica_captures import ai_power_capture, event_shapes

from tailrace.providers import OpenAIProvider
from tailrace.replica import AnswerError, HistoryTurn, Question, Replica
from tailrace.replica._sites.models.openai.site import MODELS, OpenAISite

HI = [{"role": "user", "content": "hi"}]


async def post(
    replica: Replica, body: object, **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"{replica.url('openai')}/v1/chat/completions"
    headers = {"Content-Type": "application/json", **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=data, headers=headers) as reply,
    ):
        return reply, await reply.read()


def asking(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def records(body: bytes) -> list[dict[str, Any]]:
    return [
        json.loads(line[6:]) for line in body.decode().split("\n") if line.startswith("data: {")
    ]


def streamed_text(body: bytes) -> str:
    deltas = (choice["delta"] for record in records(body) for choice in record["choices"])
    return "".join(delta.get("content") or "" for delta in deltas)


async def test_stream_has_the_captured_shape() -> None:
    captured = ai_power_capture("stream_ok").body.replace(b',"obfuscation":"x7Q"', b"")
    async with Replica() as replica:
        reply, body = await post(replica, asking(stream=True))
    assert (reply.status, reply.headers["Content-Type"]) == (
        200,
        "text/event-stream; charset=utf-8",
    )
    assert event_shapes(body) == event_shapes(captured)
    assert streamed_text(body).startswith("You asked: “hi” (0 earlier turns).")
    assert "usage" not in records(body)[0]


async def test_answer_and_stream_say_the_same() -> None:
    async with Replica() as replica:
        _, streamed = await post(
            replica, asking(stream=True, stream_options={"include_usage": True})
        )
        reply, whole = await post(replica, asking())
    *chunks, last = records(streamed)
    answer = json.loads(whole)
    assert reply.headers["Content-Type"] == "application/json"
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {
        "role": "assistant",
        "content": streamed_text(streamed),
        "refusal": None,
    }
    assert (
        answer["choices"][0]["finish_reason"] == chunks[-1]["choices"][0]["finish_reason"] == "stop"
    )
    assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)
    assert (last["choices"], last["usage"]) == ([], answer["usage"])
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] == len(chunks) - 2


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_limit_cuts_the_answer(name: str) -> None:
    async with Replica() as replica:
        _, whole = await post(replica, asking() | {name: 3})
        _, streamed = await post(replica, asking(stream=True) | {name: 3})
    answer = json.loads(whole)
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["choices"][0]["finish_reason"] == "length"
    assert streamed_text(streamed) == answer["choices"][0]["message"]["content"]


async def test_models() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        url = replica.page("openai", "models")
        async with session.get(url) as reply:
            listed = await reply.json()
        assert [model["id"] for model in listed["data"]] == list(MODELS)
        async with session.get(f"{url}/{MODELS[0]}") as reply:
            assert await reply.json() == listed["data"][0]
        async with session.get(f"{url}/nothing") as reply:
            assert (reply.status, (await reply.json())["error"]["code"]) == (404, "model_not_found")


KEYS = [
    (None, 401, None),
    ("Bearer wrong", 401, "invalid_api_key"),
    ("Bearer sk-right", 200, ""),
    ("bearer ", 401, None),
]


@pytest.mark.parametrize(("header", "status", "code"), KEYS)
async def test_key(header: str | None, status: int, code: str | None) -> None:
    async with Replica(api_key="sk-right") as replica:
        reply, body = await post(
            replica, asking(), **({} if header is None else {"Authorization": header})
        )
    assert reply.status == status
    if status == 401:
        assert json.loads(body)["error"]["code"] == code
        assert b"wrong" not in body


WRONG: list[tuple[object, int, str | None]] = [
    (b"", 400, None),
    (b"[]", 400, None),
    (b"[" * 100_000, 400, None),
    ({}, 400, "model"),
    ({"model": 7, "messages": HI}, 400, "model"),
    ({"model": "gpt-9", "messages": HI}, 404, None),
    ({"model": "gpt-4o"}, 400, "messages"),
    ({"model": "gpt-4o", "messages": []}, 400, "messages"),
    ({"model": "gpt-4o", "messages": ["hi"]}, 400, "messages.[0].role"),
    (
        {"model": "gpt-4o", "messages": [{"role": "robot", "content": "hi"}]},
        400,
        "messages.[0].role",
    ),
    ({"model": "gpt-4o", "messages": [*HI, {"role": "user"}]}, 400, "messages.[1].content"),
    (asking(stream="yes"), 400, "stream"),
    (asking(stream_options={}), 400, "stream_options"),
    (asking(stream=True, stream_options=7), 400, "stream_options"),
    (asking(n=2), 400, "n"),
    (asking(max_tokens=0), 400, "max_tokens"),
    (asking(max_completion_tokens=True), 400, "max_completion_tokens"),
]


@pytest.mark.parametrize(("body", "status", "param"), WRONG)
async def test_what_cannot_be_answered_is_an_error_object(
    body: object, status: int, param: str | None
) -> None:
    async with Replica() as replica:
        reply, answer = await post(replica, body)
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/json")
    error = json.loads(answer)["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert replica.exchanges.failed == 0


async def test_paths_and_methods_that_are_not_there() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        url = replica.url("openai")
        for method, path, status in (
            ("GET", "/v1/chat/completions", 405),
            ("POST", "/v1/models", 405),
            ("GET", "/", 404),
        ):
            async with session.request(method, url + path) as reply:
                assert (reply.status, list(await reply.json())) == (status, ["error"])


async def test_roles_and_parts_reach_the_model() -> None:
    questions: list[Question] = []

    async def answers(question: Question, /) -> str:
        questions.append(question)
        return "a lone \ud800 surrogate"

    messages = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "https://my.example/a.png"}},
                {"type": "text", "text": "b"},
            ],
        },
        {"role": "assistant", "content": None},
        {"role": "user", "content": "q"},
    ]
    async with Replica(answers=answers) as replica:
        _, body = await post(replica, {"model": "gpt-4o", "messages": messages})
    assert (
        json.loads(body)["choices"][0]["message"]["content"]
        == "I see 1 image (https://my.example/a.png).\n\n"
        "a lone \N{REPLACEMENT CHARACTER} surrogate"
    )
    assert questions == [
        Question(
            "openai",
            "q",
            (
                HistoryTurn("system", "Be brief."),
                HistoryTurn("user", "ab"),
                HistoryTurn("assistant", ""),
            ),
        )
    ]


async def test_answer_error_is_passed_on() -> None:
    async def answers(_question: Question, /) -> str:
        raise AnswerError(503, "Too busy.")

    async with Replica(answers=answers) as replica:
        reply, body = await post(replica, asking())
    assert (reply.status, json.loads(body)["error"]["message"]) == (503, "Too busy.")
    assert replica.exchanges.failed == 0


STATUSES = {
    "err401": 401,
    "err429": 429,
    "quota": 429,
    "err500": 500,
    "too-long": 400,
    "html502": 502,
}
BROKEN = {"midfail", "cut"}


@pytest.mark.parametrize("stream", [False, True])
async def test_every_marker_is_answered_and_recorded(*, stream: bool) -> None:
    async with Replica() as replica:
        for marker in OpenAISite.markers:
            if marker.name in ("stall", "silent"):
                continue
            reply, body = await post(replica, asking(f"please {marker.text} now", stream=stream))
            assert replica.exchanges[-1].markers == (marker.name,)
            expected = STATUSES.get(
                marker.name, 500 if marker.name in BROKEN and not stream else 200
            )
            assert (marker.name, reply.status) == (marker.name, expected)
            assert ("Retry-After" in reply.headers) == (marker.name == "err429")
            if reply.status == 200 and stream:
                ended = marker.name not in {"nodone", *BROKEN}
                assert (marker.name, body.endswith(b"data: [DONE]\n\n")) == (marker.name, ended)
    assert replica.exchanges.failed == 0


async def test_the_provider_reads_it() -> None:
    async with Replica(api_key="sk-right") as replica:
        stream = OpenAIProvider.create_async_generator(
            MODELS[0], HI, url=f"{replica.url('openai')}/v1", api_key="sk-right"
        )
        async with stream:
            text = "".join([delta async for delta in stream])
    assert text.startswith("You asked: “hi” (0 earlier turns).")
    assert (stream.end, stream.finish_reason) == ("done", "stop")
