"""AIPKit, held against the captured exchanges: equal requests bring replies of equal shape."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

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
from replica_client import ENDPOINT, exchange_bytes, http_post

from tailrace.replica import HistoryTurn, Question, Replica
from tailrace.replica._sites.wordpress.aipkit.site import KEPT_MESSAGES, KEPT_TURNS, BoundedStore

SESSION = "c899fa65-55bb-4a28-9bc3-346c98108729"
CONVERSATION = "a50ad092-7333-40e0-9bf4-725b46a77d93"
WRONG = "0123456789"


@dataclass(frozen=True)
class Answered:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Visitor:
    """A browser's part: the page's nonce, the two steps, the refresh."""

    def __init__(
        self, session: aiohttp.ClientSession, replica: Replica, site: str = "aipkit"
    ) -> None:
        self.session = session
        self.url = replica.url(site) + ENDPOINT
        self.page = replica.page(site, "inline" if site == "aipkit" else "stream")

    async def nonce(self) -> str:
        async with self.session.get(self.page) as reply:
            found = re.search(r"data-config='([^']*)'", await reply.text())
        assert found is not None
        return str(json.loads(html.unescape(found[1]))["nonce"])

    async def post(self, fields: dict[str, str], **headers: str) -> Answered:
        async with self.session.post(
            self.url, data=form_data(fields, multipart=True), headers=headers
        ) as reply:
            return Answered(reply.status, list(reply.headers.items()), await reply.read())

    async def cache(self, message: str, nonce: str | None = None, **headers: str) -> Answered:
        fields = {"action": "aipkit_cache_sse_message", "message": message, "bot_id": "5"}
        return await self.post({**fields, "_ajax_nonce": nonce or await self.nonce()}, **headers)

    async def ask_json(self, message: str, **fields: str) -> Answered:
        ids = {
            "bot_id": "12",
            "session_id": SESSION,
            "conversation_uuid": CONVERSATION,
            "post_id": "23",
        }
        action = {
            "action": "aipkit_frontend_chat_message",
            "message": message,
            "_ajax_nonce": await self.nonce(),
        }
        return await self.post(action | ids | fields)

    async def stream(self, query: dict[str, str]) -> Answered:
        async with self.session.get(self.url, params=query) as reply:
            return Answered(reply.status, list(reply.headers.items()), await reply.read())

    async def ask(self, message: str, key: str | None = None, **query: str) -> Answered:
        key = key or (await self.cache(message)).json["data"]["cache_key"]
        ids = {
            "bot_id": "5",
            "session_id": SESSION,
            "conversation_uuid": CONVERSATION,
            "post_id": "12",
            "_ts": "1",
        }
        if "_ajax_nonce" not in query:
            query["_ajax_nonce"] = await self.nonce()
        action = {"action": "aipkit_frontend_chat_stream", "cache_key": key}
        return await self.stream(action | ids | query)


def streamed_text(body: bytes) -> str:
    """Return the text of a stream, read with nothing but json."""
    deltas = (
        json.loads(line[6:])
        for line in body.decode().split("\n")
        if line.startswith('data: {"delta"')
    )
    return "".join(delta["delta"] for delta in deltas)


def events(body: bytes) -> list[str]:
    """Return the names of a stream's events in order, a run of equal ones once; "" has no name."""
    blocks = [block for block in body.decode().split("\n\n") if block and not block.startswith(":")]
    names = [(re.match(r"event: (.*)\n", block) or [""] * 2)[1] for block in blocks]
    return [name for number, name in enumerate(names) if not number or name != names[number - 1]]


def assert_same(answered: Answered, captured: Captured) -> None:
    assert answered.status == captured.status
    assert comparable_headers(answered.headers) == comparable_headers(captured.headers)
    if captured.header("Content-Type") == "text/event-stream; charset=utf-8":
        comment = captured.body.partition(b"\n\n")[0]
        assert answered.body.partition(b"\n\n")[0] == comment
        assert comparable_events(answered.body) == comparable_events(captured.body)
    elif captured.header("Content-Type") == "application/json; charset=UTF-8":
        assert comparable_json(answered.body) == comparable_json(captured.body)
    else:
        assert answered.body == captured.body


def comparable_events(body: bytes) -> Any:
    for line in body.decode().split("\n"):
        if line.startswith("data: "):
            value = json.loads(line[6:])
            written = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace(
                "/", "\\/"
            )
            assert line[6:] == written.replace("\u2028", "\\u2028")
    return event_shapes(body)


STEP_ONE = [
    "cache_message_empty",
    "cache_nonce_wrong",
    "nonce_refresh_ok",
    "action_old_1x",
    "ok.1cache",
]


@pytest.mark.parametrize("name", STEP_ONE)
async def test_captured_step_one(name: str) -> None:
    captured = ai_power_capture(name, "2.4.71")
    async with Replica() as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica)
        fields = dict(captured.fields)
        if fields.get("_ajax_nonce") not in (None, WRONG):
            fields["_ajax_nonce"] = await visitor.nonce()
        assert_same(await visitor.post(fields), captured)


STREAMS = [
    ("ok", None),
    ("stream_nonce_wrong", None),
    ("token_limit_second", "again [[quota]]"),
    ("upstream_err401", "please [[upstream-401]] now"),
]


@pytest.mark.parametrize(("name", "message"), STREAMS)
async def test_captured_two_steps(name: str, message: str | None) -> None:
    first, second = (ai_power_capture(f"{name}.{step}", "2.4.71") for step in ("1cache", "2stream"))
    async with Replica() as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica)
        nonce = await visitor.nonce()
        fields = first.fields | {
            "_ajax_nonce": nonce,
            "message": message or first.fields["message"],
        }
        cached = await visitor.post(fields)
        query = second.query | {"cache_key": cached.json["data"]["cache_key"], "bot_id": "5"}
        if query["_ajax_nonce"] != WRONG:
            query["_ajax_nonce"] = nonce
        streamed = await visitor.stream(query)
    assert_same(cached, first)
    assert_same(streamed, second)


async def test_captured_midcut() -> None:
    captured = ai_power_capture("upstream_midcut.2stream", "2.4.71")
    async with Replica() as replica, aiohttp.ClientSession() as session:
        answered = await Visitor(session, replica).ask("please [[midcut]] now")
    assert answered.status == captured.status
    assert comparable_headers(answered.headers) == comparable_headers(captured.headers)
    assert (
        events(answered.body) == events(captured.body) == ["message_start", "status", "", "error"]
    )


@pytest.mark.parametrize(
    ("name", "marker"),
    [
        ("resp_lenbulk", "length-in-warning"),
        ("resp_refuse", "refused"),
        ("resp_filter", "filtered"),
        ("claude_len", "claude-length"),
        ("bannedip", "ip-banned"),
        ("quota0", "quota-0"),
        ("nokey", "no-key"),
    ],
)
async def test_captured_on_a_live_site(name: str, marker: str) -> None:
    """Warnings, statuses and refusals: the same events with the same keys in the same order."""
    captured = (PLUGIN / "2.4.71" / f"{name}.2stream.body").read_bytes()
    async with Replica() as replica, aiohttp.ClientSession() as session:
        answered = await Visitor(session, replica).ask(f"tell [[{marker}]]")
    assert events(answered.body) == events(captured)
    assert keys_of_events(answered.body) == keys_of_events(captured)


def keys_of_events(body: bytes) -> list[tuple[str, ...]]:
    """Return the keys of each event's data, a run of equal ones once."""
    lines = re.findall(r"^data: (.*)$", body.decode(), re.MULTILINE)
    keys = [tuple(json.loads(line)) for line in lines]
    return [each for number, each in enumerate(keys) if not number or each != keys[number - 1]]


async def test_second_turn_knows_the_first() -> None:
    # Captured: a second prompt is two messages longer (`ok_second_turn_same_conversation`).
    questions: list[Question] = []

    async def answers(question: Question) -> str:
        questions.append(question)
        return f"answer {len(questions)}"

    async with Replica(answers=answers) as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica)
        await visitor.ask("one")
        await visitor.ask("[[midcut]]")
        second = await visitor.ask("two")
        for elsewhere in ({"conversation_uuid": "b"}, {"session_id": "b"}, {"bot_id": "6"}):
            await visitor.ask("three", **elsewhere)
    assert_same(second, ai_power_capture("ok_second_turn_same_conversation.2stream", "2.4.71"))
    turns = (HistoryTurn("user", "one"), HistoryTurn("assistant", "answer 1"))
    assert [question.history for question in questions] == [(), turns, turns, (), (), ()]


async def test_text_arrives_whole_and_raw() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        body = (await Visitor(session, replica).ask("日本語 / é")).body
    text = streamed_text(body)
    assert text.startswith("You asked: “日本語 / é” (0 earlier turns).")
    assert text.endswith("👋")
    assert "字".encode() in body
    assert b"\\/" in body
    assert b"\\u2028" in body


async def test_cache_key_works_once() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica)
        key = (await visitor.cache("hi")).json["data"]["cache_key"]
        assert re.fullmatch(r"aipkit_sse_\w{32}", key)
        assert streamed_text((await visitor.ask("", key)).body)
        again = await visitor.ask("", key)
        assert (again.status, events(again.body)) == (200, ["error", "done"])


@pytest.mark.parametrize(
    "query",
    [
        {"bot_id": "77"},
        {"bot_id": ""},
        {"session_id": ""},
        {"cache_key": "aipkit_sse_no"},
        {"_ajax_nonce": ""},
    ],
)
async def test_step_two_refuses_before_message_start_and_ends(query: dict[str, str]) -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        answered = await Visitor(session, replica).ask("hi", **query)
    assert (answered.status, events(answered.body)) == (200, ["error", "done"])
    assert re.search(rb"event: error\nid: err-\d+\ndata: {\"error\":\"[^\"]+\"}\n\n", answered.body)


async def test_nonce_that_expired_is_replaced_by_the_refresh() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica)
        old = await visitor.nonce()
        replica.expire_nonces("aipkit")
        refused = await visitor.cache("hi", old)
        assert (refused.status, refused.json["data"]["code"]) == (403, "nonce_failure_cache_sse")
        refreshed = await visitor.post({"action": "aipkit_get_frontend_chat_nonce", "bot_id": "5"})
        assert refreshed.json["data"]["nonce"] != old
        assert (await visitor.cache("hi", refreshed.json["data"]["nonce"])).status == 200


async def test_nonces_live_half_to_whole_of_their_lifetime() -> None:
    now = 1000.0
    async with (
        Replica(clock=lambda: now, nonce_lifetime=20.0) as replica,
        aiohttp.ClientSession() as session,
    ):
        visitor = Visitor(session, replica)
        nonce = await visitor.nonce()
        now += 10
        assert (await visitor.cache("hi", nonce)).status == 200
        now += 10
        assert (await visitor.cache("hi", nonce)).status == 403


async def test_foreign_origin_is_refused_without_the_nonces_code() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica)
        own = replica.url("aipkit")
        assert (await visitor.cache("hi", Origin=own)).status == 200
        for origin in ("https://elsewhere.example", "null", own + "1"):
            refused = await visitor.cache("hi", Origin=origin)
            assert (refused.status, refused.json["success"]) == (403, False)
            assert "code" not in refused.json["data"]


@pytest.mark.parametrize("message", ["", "0", "  ", "<b></b>"])
async def test_nothing_to_say(message: str) -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        refused = await Visitor(session, replica).cache(message)
    assert (refused.status, refused.json["data"]["code"]) == (400, "empty_data_to_cache")


BEGUN = ["message_start", "status", ""]
CLAUDES = [*BEGUN, "status"]
ENDS = {
    "quota": ["error", "done"],
    "quota-0": ["error", "done"],
    "no-key": ["error", "done"],
    "length": [*BEGUN, "openai_response_id", "warning", "done"],
    "length-in-warning": ["message_start", "openai_response_id", "status", "warning", "done"],
    "filtered": [*BEGUN, "openai_response_id", "warning", "done"],
    "refused": ["message_start", "status", "warning", "openai_response_id", "done"],
    "warned": [*BEGUN, "openai_response_id", "warning", "done"],
    "claude-length": [*CLAUDES, "warning", "status", "done"],
    "claude-refusal": [*CLAUDES, "done"],
    "form": ["message_start", "display_form_event", "done"],
    "banned": ["error", "done"],
    "ip-banned": ["error", "done"],
    "moderated": ["error", "done"],
    "no-session": ["error", "done"],
    "stale-key": ["error", "done"],
    "upstream-401": ["message_start", "error"],
    "upstream-429": ["message_start", "error"],
    "midcut": ["message_start", "status", "", "error"],
    "nodone": ["message_start", "status", ""],
    "cut": ["message_start", "status", ""],
    "long": ["message_start", "status", "", "openai_response_id", "done"],
    "empty": ["message_start", "status", "openai_response_id", "done"],
    "slow": ["message_start", "status", "", "openai_response_id", "done"],
}


async def test_every_marker_ends_as_it_says() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica)
        (site,) = (site for site in replica.sites if site.name == "aipkit")
        assert {marker.name for marker in site.markers} == ENDS.keys() | {"stall", "silent"}
        for name, expected in ENDS.items():
            answered = await visitor.ask(f"please [[{name}]] now")
            assert (name, events(answered.body)) == (name, expected)
            assert replica.exchanges[-1].markers == (name,)
            assert answered.body.endswith(b"\n\n") == (name != "cut")


JSON_CASES = [
    ("json_ok", None),
    ("json_nonce_wrong", None),
    ("json_upstream_err429", "please [[upstream-429]] now"),
]


@pytest.mark.parametrize(("name", "message"), JSON_CASES)
async def test_captured_json_action(name: str, message: str | None) -> None:
    captured = ai_power_capture(name, "2.4.0")
    async with Replica() as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica, "aipkit-2.4.0")
        fields = captured.fields | {"message": message or captured.fields["message"]}
        if fields["_ajax_nonce"] != WRONG:
            fields["_ajax_nonce"] = await visitor.nonce()
        assert_same(await visitor.post(fields), captured)


async def test_json_action_remembers_with_the_streams() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica, "aipkit-2.4.0")
        first = await visitor.ask_json("one")
        second = await visitor.ask("two", bot_id="12")
    assert first.json["data"]["reply"].startswith("You asked: “one” (0 earlier turns).")
    assert re.fullmatch(r"aipkit-msg-[0-9a-f]{13}\d{8}", first.json["data"]["message_id"])
    assert streamed_text(second.body).startswith("You asked: “two” (2 earlier turns).")


JSON_STATUSES = {
    "quota": 429, "banned": 400, "ip-banned": 400, "moderated": 400, "no-session": 400,
    "stale-key": 400, "upstream-401": 401, "upstream-429": 429, "midcut": 500, "nodone": 200,
    "cut": 500, "long": 200, "empty": 200, "slow": 200,
}  # fmt: skip


async def test_json_action_has_statuses_of_its_own() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica, "aipkit-2.4.0")
        for name, status in JSON_STATUSES.items():
            answered = await visitor.ask_json(f"please [[{name}]] now")
            assert (name, answered.status) == (name, status)
            assert answered.json["success"] == (status == 200)
            assert list(answered.json["data"]) == (
                ["reply", "message_id", "openai_response_id"] if status == 200 else ["message"]
            )
        for message in ("", "0", " "):
            assert (await visitor.ask_json(message)).status == 400
        assert (await visitor.ask_json("hi", session_id="")).status == 400
        for bot in ("77", ""):
            fatal = await visitor.ask_json("hi", bot_id=bot)
            assert (fatal.status, fatal.body[:3]) == (500, b"<p>")


async def test_json_action_is_gone_after_2_4_0() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        gone = await Visitor(session, replica).ask_json("hi")
    assert (gone.status, gone.body) == (400, b"0")


async def test_stall_keeps_the_connection() -> None:
    async with Replica(shutdown_timeout=0.05) as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica)
        key = (await visitor.cache("[[stall]]")).json["data"]["cache_key"]
        query = {
            "action": "aipkit_frontend_chat_stream",
            "cache_key": key,
            "bot_id": "5",
            "session_id": SESSION,
        }
        reply = await session.get(
            visitor.url, params=query | {"_ajax_nonce": await visitor.nonce()}
        )
        seen = b""
        while b'{"delta"' not in seen:
            seen += await reply.content.readany()
        assert replica.exchanges.open == 1
        reply.close()
        await replica.exchanges.settled()
        assert replica.exchanges[-1].ended == "aborted"


async def test_what_it_remembers_is_bounded() -> None:
    async def answers(question: Question) -> str:
        return str(len(question.history))

    async with Replica(answers=answers) as replica, aiohttp.ClientSession() as session:
        visitor = Visitor(session, replica)
        nonce = await visitor.nonce()
        first, second = [
            (await visitor.cache("hi", nonce)).json["data"]["cache_key"] for _ in range(2)
        ]
        await fill_the_cache(replica, nonce, KEPT_MESSAGES - 1)
        assert events((await visitor.ask("", first)).body) == ["error", "done"]
        assert streamed_text((await visitor.ask("", second)).body) == "0"
        for _ in range(KEPT_TURNS // 2 + 1):
            key = (await visitor.cache("hi", nonce)).json["data"]["cache_key"]
            answered = await visitor.ask("", key, _ajax_nonce=nonce)
        assert streamed_text(answered.body) == str(KEPT_TURNS)


async def fill_the_cache(replica: Replica, nonce: str, count: int) -> None:
    """Take the first step `count` times, over one connection."""
    action = {"action": "aipkit_cache_sse_message", "message": "hi", "_ajax_nonce": nonce}
    body = urlencode(action).encode()
    form = "application/x-www-form-urlencoded"
    requests = [http_post(ENDPOINT, body, form, connection="keep-alive")] * (count - 1)
    last = http_post(ENDPOINT, body, form)
    answers = await exchange_bytes(replica.url("aipkit"), *requests, last)
    assert answers.count(b'"cache_key":"aipkit_sse_') == count


def test_the_oldest_is_forgotten() -> None:
    kept: BoundedStore[int, str] = BoundedStore(2)
    for number in (1, 2, 1, 3):
        kept.put(number, str(number))
    assert [kept.get(number) for number in (1, 2, 3)] == ["1", None, "3"]
    assert (kept.pop(1), kept.pop(1)) == ("1", None)
