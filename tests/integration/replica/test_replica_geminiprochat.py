"""GeminiProChat, held against the captured requests, sent again as they stand."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import aiohttp
import pytest
from replica_captures import GEMINIPROCHAT, Raw, raw_headers, raw_reply, raw_request, shape
from replica_client import NOW, SECRET, exchange_raw, http_post, signed

from tailrace.replica import HistoryTurn, Question, Replica
from tailrace.replica._sites.signed.geminiprochat import MARKERS


async def post(replica: Replica, body: object, path: str = "/api/generate") -> Raw:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await exchange_raw(
        replica.url("geminiprochat"), http_post(path, data, "text/plain;charset=UTF-8")
    )


EXACT = [
    "bad-no-messages",
    "bad-last-model",
    "bad-no-parts",
    "sig-missing",
    "sig-wrong",
    "sig-uppercase",
    "sig-time-pyfloat",
    "pass-wrong",
    "auth-wrong",
    "auth-alpha",
]


def replica_for(name: str) -> Replica:
    password = "alpha,beta" if name.startswith(("pass-", "auth-")) else None
    return Replica(secret="" if name.startswith("nosec-") else SECRET, password=password)


@pytest.mark.parametrize("name", EXACT)
async def test_refusals_are_the_captured_bytes(name: str) -> None:
    captured = raw_reply(name)
    async with replica_for(name) as replica:
        raw = await exchange_raw(replica.url("geminiprochat"), raw_request(name))
    assert raw.status_line == captured.status_line
    assert raw_headers(raw) == raw_headers(captured)
    assert raw.body == captured.body


ANSWERED = [
    "ok-basic",
    "ok-history",
    "ok-multibyte",
    "ok-multipart",
    "pass-alpha",
    "nosec-empty-secret",
]


@pytest.mark.parametrize("name", ANSWERED)
async def test_signed_requests_are_answered(name: str) -> None:
    captured = raw_reply(name)
    async with replica_for(name) as replica:
        raw = await exchange_raw(replica.url("geminiprochat"), raw_request(name))
    assert raw.status_line == captured.status_line
    assert raw_headers(raw) == raw_headers(captured)
    echo = re.match(r"You said: (.*) \(contents=(\d)\)$", captured.body.decode())
    assert echo is not None
    turns = int(echo[2]) - 1
    assert raw.body.decode().startswith(
        f"You asked: “{echo[1]}” ({turns} earlier turn{'' if turns == 1 else 's'})."
    )


UPSTREAM_ERRORS = [
    ("up-err400", "err400"),
    ("up-err429", "err429"),
    ("up-errkey", "errkey"),
    ("up-reset", "reset"),
]


@pytest.mark.parametrize(("name", "marker"), UPSTREAM_ERRORS)
async def test_upstream_errors(name: str, marker: str) -> None:
    captured = raw_reply(name)
    async with Replica(secret=SECRET) as replica:
        raw = await post(replica, signed(f"hi [[{marker}]]"))
    assert raw.status_line == captured.status_line
    assert raw_headers(raw) == raw_headers(captured)
    ours, theirs = json.loads(raw.body), json.loads(captured.body)
    assert shape(ours) == shape(theirs)
    prefix = re.compile(r"(\[GoogleGenerativeAI Error\]: Error fetching from  (\[\d+ [\w ]+\])?)?")
    assert group(prefix, ours) == group(prefix, theirs)


def group(pattern: re.Pattern[str], body: dict[str, Any]) -> str:
    found = pattern.match(body["error"]["message"])
    assert found is not None
    return found[0]


STREAMS = [
    ("stream-safety-mid", "safety-mid"),
    ("stream-safety-first", "safety-first"),
    ("stream-cut", "cut"),
    ("stream-empty", "empty"),
    ("stream-jsonlike", "jsonlike"),
    ("stream-slow", "slow"),
    ("stream-utf8-tcp", "utf8"),
]


@pytest.mark.parametrize(("name", "marker"), STREAMS)
async def test_streams(name: str, marker: str) -> None:
    captured = raw_reply(name)
    async with Replica(secret=SECRET) as replica:
        raw = await post(replica, signed(f"hi [[{marker}]]"))
    assert raw.status_line == captured.status_line
    assert raw_headers(raw) == raw_headers(captured)
    assert bool(raw.body) == bool(captured.body)
    tail = b"Internal server error"
    assert raw.body.endswith(tail) == captured.body.endswith(tail)
    if marker in ("safety-first", "empty", "jsonlike", "slow"):
        assert raw.chunks == captured.chunks


async def test_characters_are_split_over_chunks() -> None:
    async with Replica(secret=SECRET) as replica:
        answer = await post(replica, signed("hi"))
        every_byte = await post(replica, signed("[[utf8]]"))
    for raw in (answer, every_byte):
        raw.body.decode()
        whole = [chunk for chunk in raw.chunks if "\ufffd" not in chunk.decode("utf-8", "replace")]
        assert 0 < len(whole) < len(raw.chunks)
    assert {len(chunk) for chunk in every_byte.chunks} == {1}


async def test_captured_signatures() -> None:
    vectors = json.loads((GEMINIPROCHAT / "signature-vectors.json").read_text())
    assert len(vectors) > 3
    async with Replica(secret=SECRET) as replica:
        for vector in vectors:
            assert vector["secret"] == SECRET
            raw = await post(replica, signed(vector["m"], time=vector["time"], sign=vector["sign"]))
            assert raw.status_line == "HTTP/1.1 200 OK"


def with_last(message: object) -> dict[str, Any]:
    return {"messages": [message], "time": NOW, "sign": "x"}


# What JavaScript makes of bodies that no browser sends.
BODIES = [
    (b"", 500),
    (b"null", 500),
    (b"7", 400),
    (b'"text"', 400),
    (b"[]", 400),
    (b'{"messages":NaN}', 500),
    (b"\xef\xbb\xbf{}", 400),
    (b'{"messages":"abc"}', 400),
    (b'{"messages":{}}', 500),
    (b'{"messages":{"length":0}}', 400),
    (b'{"messages":true}', 500),
    (b'{"messages":[null]}', 500),
    (b'{"messages":[7]}', 400),
    (b'{"messages":' + b"[" * 100_000, 500),
    (with_last({"role": "user"}), 500),
    (with_last({"role": "user", "parts": {}}), 500),
    (with_last({"role": "user", "parts": [None]}), 500),
    (with_last({"role": "user", "parts": [{}]}), 401),
    (with_last({"role": "user", "parts": []}), 401),
    (b'{"messages":[],"messages":[{"role":"user","parts":[]}]}', 401),
]


@pytest.mark.parametrize(("body", "status"), BODIES)
async def test_bodies_fail_where_javascript_fails(body: object, status: int) -> None:
    async with Replica(secret=SECRET) as replica:
        raw = await post(replica, body)
    assert int(raw.status_line.split()[1]) == status
    if status == 500:
        assert raw.status_line == "HTTP/1.1 500 Server error"
        assert "content-type" not in raw.headers
        assert raw.body == b""
    assert replica.exchanges.failed == 0


SIGNED_AS = [
    (b"1700000000000", "1700000000000"),
    (b"1700000000000.0", "1700000000000"),
    (b"1.7e12", "1700000000000"),
    (b"9007199254740993", "9007199254740992"),
    (b"1e21", "1e+21"),
    (b"1e-7", "1e-7"),
    (b"0.000001", "0.000001"),
    (b"-0", "0"),
    (b"1e999", "Infinity"),
    (b'"as text"', "as text"),
    (b"null", "null"),
    (b"true", "true"),
    (b"[1,null,[2]]", "1,,2"),
    (b"{}", "[object Object]"),
]


@pytest.mark.parametrize(("time", "written"), SIGNED_AS)
async def test_time_is_signed_as_javascript_writes_it(time: bytes, written: str) -> None:
    sign = hashlib.sha256(f"{written}:hi:{SECRET}".encode()).hexdigest().encode()
    body = b'{"messages":[{"role":"user","parts":[{"text":"hi"}]}],"time":%s,"sign":"%s"}' % (
        time,
        sign,
    )
    async with Replica(secret=SECRET) as replica:
        raw = await post(replica, body)
    assert raw.status_line == "HTTP/1.1 200 OK"


async def test_missing_time_is_signed_as_undefined() -> None:
    body = signed("hi") | {"sign": hashlib.sha256(f"undefined:hi:{SECRET}".encode()).hexdigest()}
    del body["time"]
    async with Replica(secret=SECRET) as replica:
        assert (await post(replica, body)).status_line == "HTTP/1.1 200 OK"


async def test_lone_surrogates_are_signed_as_replacement_characters() -> None:
    body = signed("a\N{REPLACEMENT CHARACTER}b")
    body["messages"][0]["parts"] = [{"text": "a\ud800b"}]
    async with Replica(secret=SECRET) as replica:
        raw = await post(replica, body)
    assert raw.status_line == "HTTP/1.1 200 OK"
    assert raw.body.decode().startswith("You asked: “a\N{REPLACEMENT CHARACTER}b”")


BAD_EARLIER = [
    {"role": "assistant", "parts": [{"text": "x"}]},
    {"role": "model", "parts": [{"text": "the model cannot begin"}]},
    {"role": "user", "content": "x"},
    {"role": "user", "parts": []},
    None,
]


@pytest.mark.parametrize("earlier", BAD_EARLIER)
async def test_bad_earlier_message_is_500_with_json(earlier: object) -> None:
    body = signed("hi")
    body["messages"].insert(0, earlier)
    async with Replica(secret=SECRET) as replica:
        raw = await post(replica, body)
    assert raw.status_line == "HTTP/1.1 500 Internal Server Error"
    assert raw.headers["content-type"] == "text/plain;charset=UTF-8"
    assert json.loads(raw.body)["error"].keys() == {"code", "message"}


async def test_checks_stand_in_order() -> None:
    wrong: dict[str, Any] = {"messages": [{"role": "model"}], "pass": "nope", "sign": "x"}
    steps: list[tuple[dict[str, Any], int]] = [
        ({}, 400),
        ({"messages": [{"role": "user", "parts": [{"text": "hi"}]}]}, 401),
        ({"pass": "alpha"}, 401),
        ({"time": NOW, "sign": signed("hi")["sign"]}, 200),
    ]
    async with Replica(secret=SECRET, password="alpha, beta") as replica:
        for change, status in steps:
            wrong |= change
            raw = await post(replica, wrong)
            assert int(raw.status_line.split()[1]) == status
        passwords: list[tuple[object, int]] = [
            ("alpha, beta", 200),
            (" beta", 200),
            ("beta", 401),
            (["alpha"], 401),
        ]
        for password, status in passwords:
            raw = await post(replica, wrong | {"pass": password})
            assert int(raw.status_line.split()[1]) == status


async def test_without_a_password_everybody_is_let_in() -> None:
    async with Replica() as replica:
        assert (await post(replica, {"pass": "whatever"}, "/api/auth")).body == b'{"code":0}'
        assert (
            await post(replica, b"no json", "/api/auth")
        ).status_line == "HTTP/1.1 500 Server error"


async def test_answers_are_asked_with_the_history() -> None:
    questions: list[Question] = []

    async def answers(question: Question, /) -> str:
        questions.append(question)
        return "yes"

    body = signed("q2")
    earlier = [
        {"role": "user", "parts": [{"text": "q"}, {"text": "1"}]},
        {"role": "model", "parts": [{"text": "a1"}]},
    ]
    body["messages"] = [*earlier, *body["messages"]]
    async with Replica(secret=SECRET, answers=answers) as replica:
        raw = await post(replica, body)
    assert raw.body == b"yes"
    assert questions == [
        Question("geminiprochat", "q2", (HistoryTurn("user", "q1"), HistoryTurn("assistant", "a1")))
    ]


async def test_every_marker_is_answered_and_recorded() -> None:
    async with Replica(secret=SECRET) as replica:
        for marker in MARKERS:
            if marker.name in ("stall", "silent"):
                continue
            await post(replica, signed(f"hi {marker.text}"))
            exchange = replica.exchanges[-1]
            assert (exchange.markers, exchange.ended) == ((marker.name,), "finished")
            assert isinstance(exchange.json, dict)
    assert replica.exchanges.failed == 0


async def test_page_and_paths_that_are_not_there() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        async with session.get(replica.page("geminiprochat", "chat")) as reply:
            assert (reply.status, reply.content_type) == (200, "text/html")
            assert "<form>" in await reply.text()
        async with session.get(f"{replica.url('geminiprochat')}/api/generate") as reply:
            assert reply.status == 404
