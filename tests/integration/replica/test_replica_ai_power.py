"""AI Power, held against the captured exchanges: equal requests bring replies of equal shape."""

from __future__ import annotations

import json
import re
import zlib
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from replica_captures import (
    ai_power_capture,
    comparable_headers,
    comparable_json,
    event_shapes,
    form_data,
    parse_raw,
    shape,
)
from replica_client import ENDPOINT, exchange_raw, http_post, page_nonce

from tailrace.replica import HistoryTurn, Question, Replica
from tailrace.replica._sites.wordpress.ai_power.site import AIPowerSite

BOTS = {"stream": "4", "json": "5", "completion": "8", "assistant": "9"}

# Captured case, and what the captured request's message becomes so that the replica has the same
# reason for it.
CASES = [
    ("stream_ok", None),
    ("stream_history", None),
    ("stream_bot_unknown", None),
    ("stream_message_empty", None),
    ("stream_nonce_wrong", None),
    ("stream_token_limit_reached", "again [[token-limit]]"),
    ("stream_banned_word", "a word [[banned]]"),
    ("stream_upstream_err401", "please [[upstream-401]] now"),
    ("stream_upstream_midfail", "please [[midfail]] now"),
    ("stream_upstream_nodone", "please [[nodone]] now"),
    ("stream_upstream_split", "please [[split]] now"),
    ("stream_upstream_unreachable", "[[unreachable]]"),
    ("widget_action_ok", None),
    ("assistant_stream_ok", None),
    ("assistant_stream_upstream_err401", "[[upstream-401]]"),
    ("json_ok", None),
    ("json_history", None),
    ("json_unicode_newlines_backslash", None),
    ("json_message_empty", None),
    ("json_nonce_missing", None),
    ("json_nonce_wrong", None),
    ("json_token_limit_reached", "again [[token-limit]]"),
    ("json_banned_word", "a word [[banned]]"),
    ("json_upstream_err401", "please [[upstream-401]] now"),
    ("json_upstream_long", "please [[long]] now"),
    ("json_upstream_null", "please [[null]] now"),
    ("json_upstream_unreachable", "[[unreachable]]"),
]


async def ask(
    session: aiohttp.ClientSession,
    replica: Replica,
    message: str,
    bot: str = "stream",
    **fields: str,
) -> tuple[aiohttp.ClientResponse, bytes]:
    form = {
        "_wpnonce": await page_nonce(session, replica),
        "action": "wpaicg_chat_shortcode_message",
        "message": message,
        "bot_id": BOTS[bot],
        **fields,
    }
    async with session.post(replica.url("ai-power") + ENDPOINT, data=form) as reply:
        return reply, await reply.read()


def streamed_text(body: bytes) -> str:
    """Return the text of a stream that went well, read with nothing but json."""
    chunks = [
        json.loads(line[6:]) for line in body.decode().split("\n") if line.startswith("data: {")
    ]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


@pytest.mark.parametrize(("name", "message"), CASES, ids=[name for name, _ in CASES])
async def test_captured_exchange(name: str, message: str | None) -> None:
    captured = ai_power_capture(name)
    fields = dict(captured.fields)
    if message is not None:
        # The captured site kept a bot of its own for its quota.
        fields |= {
            "message": message,
            "bot_id": {"6": "4", "7": "5"}.get(fields["bot_id"], fields["bot_id"]),
        }
    async with Replica() as replica, aiohttp.ClientSession() as session:
        if b'"log":"' in captured.body:
            await ask(session, replica, "the first of a conversation makes its log", "json")
        if fields.get("_wpnonce") not in (None, "0123456789"):
            fields["_wpnonce"] = await page_nonce(session, replica)
        url = replica.url("ai-power") + ENDPOINT
        async with session.post(url, data=form_data(fields, multipart=captured.multipart)) as reply:
            body = await reply.read()
    assert reply.status == captured.status
    assert comparable_headers(list(reply.headers.items())) == comparable_headers(captured.headers)
    assert comparable_body(body, reply.content_type) == comparable_body(
        captured.body, reply.content_type
    )


def comparable_body(body: bytes, content_type: str) -> Any:
    if content_type == "text/event-stream":
        return event_shapes(body)
    if content_type == "application/json":
        return comparable_json(body)
    return body


@pytest.mark.parametrize(
    ("name", "marker"),
    [("bom_before_output_json", "bom"), ("php_notices_shown_ok_json", "notices")],
)
async def test_debris_before_the_json(name: str, marker: str) -> None:
    captured = ai_power_capture(name)
    async with Replica() as replica, aiohttp.ClientSession() as session:
        await ask(session, replica, "first", "json")
        reply, body = await ask(session, replica, f"hi [[{marker}]]", "json")
    assert reply.status == captured.status
    assert comparable_headers(list(reply.headers.items())) == comparable_headers(captured.headers)
    debris, _, answer = body.partition(b'{"status"')
    captured_debris, _, captured_answer = captured.body.partition(b'{"status"')
    assert shape(json.loads(b'{"status"' + answer)) == shape(
        json.loads(b'{"status"' + captured_answer)
    )
    assert debris[:12] == captured_debris[:12]
    assert set(re.findall(rb"</?\w+", debris)) == set(re.findall(rb"</?\w+", captured_debris))


async def test_fatal_error() -> None:
    captured = ai_power_capture("php_fatal_json")
    async with Replica() as replica, aiohttp.ClientSession() as session:
        reply, body = await ask(session, replica, "[[fatal]]", "json")
    assert reply.status == captured.status
    assert comparable_headers(list(reply.headers.items())) == comparable_headers(captured.headers)
    assert re.findall(rb"</?\w+", body) == re.findall(rb"</?\w+", captured.body)


async def test_action_that_nobody_registered() -> None:
    captured = ai_power_capture("plugin_deactivated")
    async with Replica() as replica, aiohttp.ClientSession() as session:
        reply, body = await ask(session, replica, "hi", action="aipkit_cache_sse_message")
        async with session.post(replica.url("ai-power") + ENDPOINT, json={"action": "x"}) as other:
            assert (other.status, await other.read()) == (400, b"0")
    assert reply.status == captured.status
    assert comparable_headers(list(reply.headers.items())) == comparable_headers(captured.headers)
    assert body == captured.body


async def test_gzip_is_flushed_at_each_chunk() -> None:
    captured = ai_power_capture("gzip_stream_ok")
    async with Replica() as replica, aiohttp.ClientSession(auto_decompress=False) as session:
        reply, body = await ask(session, replica, "hi [[long]] [[gzip]]")
    async with (
        Replica() as replica,
        aiohttp.ClientSession(headers={"Accept-Encoding": "identity"}) as session,
    ):
        plain, _ = await ask(session, replica, "hi [[long]] [[gzip]]")
    assert comparable_headers(list(reply.headers.items())) == comparable_headers(captured.headers)
    assert event_shapes(zlib.decompress(body, wbits=31)) == event_shapes(
        zlib.decompress(captured.body, wbits=31)
    )
    flushes = body.count(b"\x00\x00\xff\xff")
    assert flushes > 100
    assert captured.body.count(b"\x00\x00\xff\xff") > 100
    assert "Content-Encoding" not in plain.headers


async def test_chunks_cut_anywhere() -> None:
    body = ai_power_capture("stream_upstream_split_raw_chunks").body
    captured = parse_raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body)
    async with Replica() as replica, aiohttp.ClientSession() as session:
        nonce = await page_nonce(session, replica)
        fields = {
            "_wpnonce": nonce,
            "action": "wpaicg_chat_shortcode_message",
            "message": "[[split]]",
            "bot_id": "4",
        }
        body = urlencode(fields).encode()
        request = http_post(ENDPOINT, body, "application/x-www-form-urlencoded")
        raw = await exchange_raw(replica.url("ai-power"), request)
    assert (
        {len(chunk) for chunk in captured.chunks[:-1]}
        == {len(chunk) for chunk in raw.chunks[:-1]}
        == {37}
    )
    assert event_shapes(raw.body) == event_shapes(captured.body)


async def test_error_words_come_twice_and_unescaped() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        _, body = await ask(session, replica, "[[quote]]")
        _, as_json = await ask(session, replica, "[[quote]]", "json")
    assert body.count(b'data: {"choices":[{"finish_reason":"stop"}]}\n\n') == 2
    half = len(body) // 2
    assert body[:half] == body[half:]
    assert b'{"content":" "foo"."}' in body
    assert b"[DONE]" not in body
    assert json.loads(as_json)["msg"].startswith(
        "Not a valid value: &quot;foo&quot;. Known values are: &#039;system"
    )


async def test_exception_ends_with_limited() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        _, body = await ask(session, replica, "[[limited]]")
    assert body.startswith(b'event: message\ndata: {"choices":[{"delta":{"content":"The"}}]}\n\n')
    assert body.endswith(b"event: message\ndata: [LIMITED]\n\n")


async def test_completion_bot() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        _, body = await ask(session, replica, "hello", "completion")
    chunks = [
        json.loads(line[6:]) for line in body.decode().split("\n") if line.startswith("data: {")
    ]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks).startswith("You asked: “hello”")
    assert not any("delta" in chunk["choices"][0] for chunk in chunks)
    assert body.endswith(b"data: [DONE]\n\n")


async def test_cut_breaks_off_in_mid_line() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        reply, body = await ask(session, replica, "[[cut]]")
    assert reply.status == 200
    assert not body.endswith(b"\n")
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(body.rpartition(b"data: ")[2])


async def test_html_of_a_broken_upstream() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        reply, body = await ask(session, replica, "[[html502]]")
        _, as_json = await ask(session, replica, "[[html502]]", "json")
    assert (reply.status, reply.content_type) == (200, "text/event-stream")
    assert body.startswith(b"<html>")
    assert json.loads(as_json)["status"] == "success"
    assert json.loads(as_json)["data"] == ""


async def test_crlf_and_blank_lines() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        _, crlf = await ask(session, replica, "hi [[crlf]]")
        _, blank = await ask(session, replica, "hi [[blank]]")
    assert crlf.endswith(b"data: [DONE]\r\n\r\n")
    assert b"\n" not in crlf.replace(b"\r\n", b"")
    assert blank.startswith(b"\n\n\r\ndata: ")


HISTORIES = [
    ("", 0),
    ("[]", 0),
    ('[{"id":"","text":"Human: a"},{"id":4711,"text":"AI: b"}]', 2),
    ('["Human: a","AI: b","c"]', 3),
    ('[{"text":"Human: caf\\u00e9"}]', 1),
    ('[{"text":"Human: say \\"hi\\""},{"text":"AI: hi"}]', 0),
    ('[{"text":7},{"other":"x"},null]', 0),
    ('{"text":"Human: a"}', 0),
    ("not json", 0),
    ("[" * 100_000, 0),
]


@pytest.mark.parametrize(("history", "turns"), HISTORIES)
async def test_history_is_read_without_its_backslashes(history: str, turns: int) -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        _, body = await ask(session, replica, "hi", wpaicg_chat_history=history)
    assert f"({turns} earlier turn{'' if turns == 1 else 's'})" in streamed_text(body)


async def test_answers_are_asked_with_what_the_plugin_understood() -> None:
    questions: list[Question] = []

    async def answers(question: Question, /) -> str:
        questions.append(question)
        return "a lone \ud800 surrogate"

    async with Replica(answers=answers) as replica, aiohttp.ClientSession() as session:
        history = '[{"text":"Human: caf\\u00e9\\n"},{"text":"AI: <b>one</b> %41two"}]'
        _, body = await ask(session, replica, " <i>one</i>\ntwo %0a ", wpaicg_chat_history=history)
        _, word = await ask(session, replica, "[[null]]")
    assert streamed_text(body) == "a lone \N{REPLACEMENT CHARACTER} surrogate"
    earlier = (HistoryTurn("user", "cafu00e9n"), HistoryTurn("assistant", "one two"))
    assert questions == [Question("ai-power", "one\ntwo", earlier)]
    assert streamed_text(word) == ""


@pytest.mark.parametrize("message", ["", "0"])
async def test_empty_message_is_json_even_when_streaming(message: str) -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        reply, body = await ask(session, replica, message)
    assert reply.content_type == "application/json"
    assert json.loads(body)["status"] == "error"


async def test_spaces_are_a_message() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        reply, _ = await ask(session, replica, "   ")
    assert reply.content_type == "text/event-stream"


async def test_get_carries_no_nonce() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        query = {
            "action": "wpaicg_chat_shortcode_message",
            "message": "hi",
            "_wpnonce": await page_nonce(session, replica),
        }
        async with session.get(replica.url("ai-power") + ENDPOINT, params=query) as reply:
            assert reply.status == 403
        async with session.get(replica.url("ai-power") + ENDPOINT) as reply:
            assert reply.status == 400


async def test_broken_multipart_is_a_form_without_fields() -> None:
    async with Replica() as replica:
        request = http_post(ENDPOINT, b"--x\r\nnothing", "multipart/form-data; boundary=x")
        raw = await exchange_raw(replica.url("ai-power"), request)
    assert (raw.status_line, raw.body) == ("HTTP/1.1 400 Bad Request", b"0")
    assert replica.exchanges.failed == 0


async def test_nonce_lives_between_half_and_whole_of_its_lifetime() -> None:
    now = 1_000.0  # the first moment of a tick is just after a multiple of 50

    async with (
        Replica(nonce_lifetime=100.0, clock=lambda: now) as replica,
        aiohttp.ClientSession() as session,
    ):
        made_at_once = {await page_nonce(session, replica) for _ in range(3)}
        nonce = made_at_once.pop()
        assert not made_at_once
        for later, status in [
            (1_000.0, 200),
            (1_050.0, 200),
            (1_050.5, 403),
            (1_000.0, 200),
            (900.0, 403),
        ]:
            now = later
            reply, _ = await ask(session, replica, "hi", _wpnonce=nonce)
            assert (later, reply.status) == (later, status)


async def test_nonces_expire_on_demand_and_new_ones_work() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        old = await page_nonce(session, replica)
        replica.expire_nonces("ai-power")
        refused, _ = await ask(session, replica, "hi", _wpnonce=old)
        accepted, _ = await ask(session, replica, "hi")
    assert (refused.status, accepted.status) == (403, 200)


@pytest.mark.parametrize("bot", BOTS)
async def test_every_marker_is_answered_by_every_kind_of_bot(bot: str) -> None:
    endless = {"stall", "silent"}
    markers = [marker for marker in AIPowerSite.markers if marker.name not in endless]
    async with Replica() as replica, aiohttp.ClientSession() as session:
        for marker in markers:
            await ask(session, replica, f"hi {marker.text}", bot)
            exchange = replica.exchanges[-1]
            assert (exchange.markers, exchange.ended) == ((marker.name,), "finished")
            assert exchange.form is not None
            assert exchange.form["message"] == f"hi {marker.text}"
    assert replica.exchanges.failed == 0


def test_marker_names_are_unique() -> None:
    names = [marker.name for marker in AIPowerSite.markers]
    assert len(names) == len(set(names))
