"""Older versions of AI Power 1.x, held against the captured exchanges of their boundaries."""

from __future__ import annotations

import json
import re
from typing import Any

import aiohttp
import pytest
from replica_captures import (
    PLUGIN,
    Captured,
    ai_power_capture,
    comparable_headers,
    comparable_json,
    event_shapes,
    form_data,
)
from replica_client import ENDPOINT, page_nonce
from test_replica_pages import Tags

from tailrace.replica import HistoryTurn, Question, Replica

WRONG = "0123456789"
OLD = ["1.8.79", "1.8.90", "1.8.95"]
INLINE = {"action": "wpaicg_chat_shortcode_message", "bot_id": "4"}
BUFFERED = INLINE | {"bot_id": "5"}

CASES = [
    ("1.8.79", "json_nonce_wrong", None),
    ("1.8.79", "json_ok", None),
    ("1.8.79", "stream_get_eventsource_ok", None),
    ("1.8.79", "stream_post_ok", None),
    ("1.8.90", "json_nonce_wrong", None),
    ("1.8.95", "json_upstream_errquote", "[[quote]]"),
]


async def send(
    session: aiohttp.ClientSession,
    replica: Replica,
    version: str,
    fields: dict[str, str],
    *,
    method: str = "POST",
    multipart: bool = False,
) -> tuple[aiohttp.ClientResponse, bytes]:
    site = f"ai-power-{version}"
    fields = {"_wpnonce": await page_nonce(session, replica, site), **fields}
    url = replica.url(site) + ENDPOINT
    sent: dict[str, Any] = (
        {"params": fields} if method == "GET" else {"data": form_data(fields, multipart=multipart)}
    )
    async with session.request(method, url, **sent) as reply:
        return reply, await reply.read()


@pytest.mark.parametrize(
    ("version", "name", "message"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES]
)
async def test_captured_exchange(version: str, name: str, message: str | None) -> None:
    captured = ai_power_capture(name, version)
    fields = {**captured.query, **captured.fields}
    if message is not None:
        fields["message"] = message
    if fields["_wpnonce"] != WRONG:
        del fields["_wpnonce"]
    async with Replica() as replica, aiohttp.ClientSession() as session:
        if b'"log":"' in captured.body:
            first = {
                "action": fields["action"],
                "bot_id": fields["bot_id"],
                "message": "it makes its log",
            }
            await send(session, replica, version, first)
        reply, body = await send(
            session, replica, version, fields, method=captured.method, multipart=captured.multipart
        )
    assert reply.status == captured.status
    assert comparable_headers(list(reply.headers.items())) == comparable_headers(captured.headers)
    assert comparable(body, captured) == comparable(captured.body, captured)


def comparable(body: bytes, captured: Captured) -> Any:
    if captured.header("Content-Type") != "text/event-stream;charset=UTF-8":
        return comparable_json(body)
    stream, done, appended = body.partition(b"data: [DONE]\n\n")
    return [*event_shapes(stream + done), comparable_json(appended)]


async def test_captured_refusal_after_1_8_90() -> None:
    """The boundary on the other side: 1.8.91 says 403, and so does every later site."""
    captured = ai_power_capture("json_nonce_wrong", "1.8.91")
    async with Replica() as replica, aiohttp.ClientSession() as session:
        reply, body = await send(
            session, replica, "1.8.95", BUFFERED | {"message": "hi", "_wpnonce": WRONG}
        )
    assert (reply.status, reply.content_type) == (captured.status, "text/html")
    assert comparable_headers(list(reply.headers.items())) == comparable_headers(captured.headers)
    assert body == captured.body


@pytest.mark.parametrize("version", OLD)
async def test_get_is_taken_up_to_1_8_90(version: str) -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        reply, body = await send(
            session, replica, version, INLINE | {"message": "hi"}, method="GET"
        )
    if version == "1.8.95":
        assert reply.status == 403
    else:
        assert (reply.status, reply.content_type) == (200, "text/event-stream")
        assert b"data: [DONE]\n\n" in body


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("bot", ["4", "5"])
async def test_expired_nonce(version: str, bot: str) -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        nonce = await page_nonce(session, replica, f"ai-power-{version}")
        replica.expire_nonces(f"ai-power-{version}")
        fields = INLINE | {"bot_id": bot, "message": "hi", "_wpnonce": nonce}
        reply, body = await send(session, replica, version, fields)
    if version == "1.8.95":
        assert reply.status == 403
    else:
        assert (reply.status, json.loads(body)["status"]) == (200, "error")


@pytest.mark.parametrize("version", OLD)
async def test_json_after_done_holds_the_same_text(version: str) -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        _, body = await send(session, replica, version, INLINE | {"message": "hi"})
        _, failed = await send(session, replica, version, INLINE | {"message": "[[midfail]]"})
    stream, _, appended = body.partition(b"data: [DONE]\n\n")
    chunks = [
        json.loads(line[6:]) for line in stream.decode().split("\n") if line.startswith("data: ")
    ]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert text.startswith("You asked: “hi” (0 earlier turns).")
    assert bool(appended) == (version == "1.8.79")
    if appended:
        assert json.loads(appended)["data"] == text
    assert not failed.rpartition(b"\n\n")[2]


@pytest.mark.parametrize("version", OLD)
async def test_what_the_model_is_asked(version: str) -> None:
    questions: list[Question] = []

    async def answers(question: Question, /) -> str:
        questions.append(question)
        return "so"

    history = [{"text": "Human: a"}, {"text": "AI: b"}]
    with_the_message = [*history, {"text": "Human: one two"}]
    async with Replica(answers=answers) as replica, aiohttp.ClientSession() as session:
        for posted in (history, with_the_message):
            fields = BUFFERED | {
                "message": "<b>one</b> \n\t %0atwo",
                "wpaicg_chat_history": json.dumps(posted),
            }
            await send(session, replica, version, fields)
    turns = (HistoryTurn("user", "a"), HistoryTurn("assistant", "b"))
    assert questions == [Question(f"ai-power-{version}", "one two", turns)] * 2


@pytest.mark.parametrize("version", OLD)
async def test_widgets_are_those_of_the_captured_page(version: str) -> None:
    captured = (PLUGIN / "1.8.79" / "page_stream.body").read_text()
    async with Replica() as replica, aiohttp.ClientSession() as session:
        reply = await session.get(replica.page(f"ai-power-{version}", "stream"))
        html = await reply.text()
    ours, theirs = Tags(html).widgets, Tags(captured).widgets
    assert [list(widget) for widget in ours] == [list(widget) for widget in theirs]
    for name in ("class", "data-post-id", "data-bot-id", "data-openai_stream_nav", "data-type"):
        assert [widget[name] for widget in ours] == [widget[name] for widget in theirs]
    written = re.compile(r'^     ([\w-]+)( ?= ?)"', re.MULTILINE)
    assert written.findall(html) == written.findall(captured)
    assert 0.75 < len(html) / len(captured) < 1.35
    assert 7_000 < html.index("wpaicgParams = ") - html.index("\n     data-nonce=") < 11_000
