"""chatgpt-demo, held against the captured requests, sent again as they stand (``sib-*``)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import aiohttp
import pytest
from replica_captures import Raw, raw_headers, raw_reply, raw_request
from replica_client import NOW, SECRET, exchange_raw, http_post

from tailrace.replica import HistoryTurn, Question, Replica
from tailrace.replica._sites.signed.chatgpt_demo import MARKERS


def signed(*messages: object, message: str, **body: Any) -> dict[str, Any]:
    sign = hashlib.sha256(f"{NOW}:{message}:{SECRET}".encode()).hexdigest()
    return {
        "messages": list(messages),
        "time": NOW,
        "pass": None,
        "sign": sign,
        "temperature": 0.6,
    } | body


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


async def post(replica: Replica, body: object, path: str = "/api/generate") -> Raw:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await exchange_raw(
        replica.url("chatgpt-demo"), http_post(path, data, "text/plain;charset=UTF-8")
    )


async def ask(replica: Replica, text: str) -> Raw:
    return await post(replica, signed(user(text), message=text))


@pytest.mark.parametrize("name", ["sib-bad-sign", "sib-parts-shape"])
async def test_refusals_are_the_captured_bytes(name: str) -> None:
    captured = raw_reply(name)
    async with Replica(secret=SECRET) as replica:
        raw = await exchange_raw(replica.url("chatgpt-demo"), raw_request(name))
    assert (raw.status_line, raw.body) == (captured.status_line, captured.body)
    assert raw_headers(raw) == raw_headers(captured)


async def test_signed_request_is_answered_without_a_content_type() -> None:
    captured = raw_reply("sib-ok")
    async with Replica(secret=SECRET) as replica:
        raw = await exchange_raw(replica.url("chatgpt-demo"), raw_request("sib-ok"))
    assert raw.status_line == captured.status_line
    assert raw_headers(raw) == raw_headers(captured)
    assert "content-type" not in raw.headers
    assert raw.body.decode().startswith("You asked: “hello” (0 earlier turns).")
    for chunk in raw.chunks:
        # the app encodes what its upstream sent delta by delta, so no character is split
        chunk.decode()


@pytest.mark.parametrize(("name", "marker"), [("sib-err429", "err429"), ("sib-errhtml", "errhtml")])
async def test_what_the_upstream_refuses_is_passed_on(name: str, marker: str) -> None:
    captured = raw_reply(name)
    async with Replica(secret=SECRET) as replica:
        raw = await ask(replica, f"hi [[{marker}]]")
    assert raw.status_line == captured.status_line
    assert raw_headers(raw) == raw_headers(captured)
    if marker == "errhtml":
        assert raw.body.startswith(b"<html>")
    else:
        ours, theirs = json.loads(raw.body)["error"], json.loads(captured.body)["error"]
        assert list(ours) == list(theirs)
        assert (ours["code"], ours["status"]) == (theirs["code"], theirs["status"])


# What the app makes of bodies that no browser sends, and of messages that its upstream refuses.
BODIES: list[tuple[object, int]] = [
    (b"", 500),
    (b"null", 500),
    (b"{}", 400),
    ({"messages": ""}, 400),
    ({"messages": [user("hi")]}, 401),
    ({"messages": [user("hi")], "sign": "x"}, 401),
    (signed(message=""), 400),
    (signed(None, message=""), 400),
    (signed({"role": "user", "content": None}, message=""), 400),
    (signed({"role": "robot", "content": "hi"}, message="hi"), 400),
    (signed({"role": "user"}, user("hi"), message="hi"), 400),
    (signed(user("hi"), message="hi", messages="no list") | signed(message="", messages="x"), 400),
    (signed({"role": "user", "content": {}}, message="[object Object]"), 400),
    (signed(user("hi"), message="hi"), 200),
]


@pytest.mark.parametrize(("body", "status"), BODIES)
async def test_bodies_fail_where_the_app_or_its_upstream_fails(body: object, status: int) -> None:
    async with Replica(secret=SECRET) as replica:
        raw = await post(replica, body)
    assert int(raw.status_line.split()[1]) == status
    assert ("content-type" in raw.headers) == (status == 401 or body in (b"{}", {"messages": ""}))
    assert replica.exchanges.failed == 0


async def test_answers_are_asked_with_roles() -> None:
    questions: list[Question] = []

    async def answers(question: Question, /) -> str:
        questions.append(question)
        return "yes"

    earlier = [
        {"role": "system", "content": "Be brief."},
        user("q1"),
        {"role": "assistant", "content": "a1"},
    ]
    async with Replica(secret=SECRET, answers=answers) as replica:
        raw = await post(replica, signed(*earlier, user("q2"), message="q2"))
    assert raw.body == b"yes"
    turns = (
        HistoryTurn("system", "Be brief."),
        HistoryTurn("user", "q1"),
        HistoryTurn("assistant", "a1"),
    )
    assert questions == [Question("chatgpt-demo", "q2", turns)]


async def test_the_system_message_is_no_turn_of_the_answer() -> None:
    system = {"role": "system", "content": "Be brief."}
    async with Replica(secret=SECRET) as replica:
        raw = await post(replica, signed(system, user("q"), message="q"))
    assert "(0 earlier turns)" in raw.body.decode()


async def test_password_is_asked_for_before_the_signature() -> None:
    async with Replica(secret=SECRET, password="alpha,beta") as replica:
        refused = await post(replica, {"messages": [user("hi")], "pass": "gamma"})
        assert json.loads(refused.body)["error"]["message"] == "Invalid password."
        accepted = await post(replica, signed(user("hi"), message="hi", **{"pass": "beta"}))
        assert accepted.status_line == "HTTP/1.1 200 OK"
        assert (await post(replica, {"pass": "alpha"}, "/api/auth")).body == b'{"code":0}'
        assert (await post(replica, {"pass": "gamma"}, "/api/auth")).body == b'{"code":-1}'


async def test_every_marker_is_answered_and_recorded() -> None:
    async with Replica(secret=SECRET) as replica:
        for marker in MARKERS:
            if marker.name in ("stall", "silent"):
                continue
            raw = await ask(replica, f"hi {marker.text}")
            exchange = replica.exchanges[-1]
            assert (exchange.markers, exchange.ended) == ((marker.name,), "finished")
            assert raw.body.endswith(b"Internal server error") == (marker.name == "broken")
    assert replica.exchanges.failed == 0


async def test_it_hangs_where_the_upstream_forgets_its_done() -> None:
    async with Replica(secret=SECRET) as replica, aiohttp.ClientSession() as session:
        url = f"{replica.url('chatgpt-demo')}/api/generate"
        reply = await session.post(url, json=signed(user("[[stall]]"), message="[[stall]]"))
        assert await reply.content.readany()
        assert replica.exchanges.open == 1
        reply.close()
        await replica.exchanges.settled()
        assert replica.exchanges[-1].ended == "aborted"
