"""Deltas through the wheel: the vectors however they are cut, with `feed` and `feed_text`, and the
error's class.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from vector_files import Case, cases, cuts, input_bytes, reply_bytes, told

from tailrace import (
    DIALECTS,
    ChunkEncoder,
    CompletionEncoder,
    Delta,
    DeltaDecoder,
    MessageEncoder,
    ResponseEncoder,
    Usage,
    decode_many,
    errors,
)
from tailrace.errors import InvalidRequestError, StreamError

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = ("content_type", "status", "failure_tail", "max_event_bytes", "max_body_bytes")
CHUNK = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
QUOTA = b'event: error\nid: err-1\ndata: {"error":"m","quota_notice":{"message":"m"}}\n\n'
REFUSED = b'{"success":false,"data":{"message":"m","code":"nonce_failure_cache_sse"}}'
CHALLENGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"


def new(case: Case) -> DeltaDecoder:
    return DeltaDecoder(case["dialect"], **{key: case[key] for key in OPTIONS if key in case})


def with_feed(decoder: DeltaDecoder, chunks: list[bytes], *, complete: bool) -> list[str]:
    deltas = [delta for chunk in chunks for delta in decoder.feed(chunk)]
    deltas += decoder.close(complete=complete)
    assert "" not in deltas
    return deltas


def with_feed_text(decoder: DeltaDecoder, chunks: list[bytes], *, complete: bool) -> list[str]:
    return [*(decoder.feed_text(chunk) for chunk in chunks), *decoder.close(complete=complete)]


def records_of(decoder: DeltaDecoder, chunks: list[bytes], *, complete: bool) -> list[Delta]:
    """Deltas of every kind."""
    return [
        delta for chunk in chunks for delta in decoder.feed_events(chunk)
    ] + decoder.close_events(complete=complete)


def as_in_vectors(record: Delta) -> dict[str, Any]:
    given = {name: value for name, value in record._asdict().items() if value is not None}
    if record.logprobs is not None:
        given["logprobs"] = json.loads(record.logprobs)
    return given


def with_feed_events(decoder: DeltaDecoder, chunks: list[bytes], *, complete: bool) -> list[str]:
    records = records_of(decoder, chunks, complete=complete)
    return [record.text for record in records if record.kind == "text" and record.text]


def state(decoder: DeltaDecoder) -> dict[str, Any]:
    """Everything a case may say of the end."""
    usage, error = decoder.usage, decoder.error
    return {
        "end": decoder.end,
        "done": decoder.done,
        "finish_reason": decoder.finish_reason,
        "usage": usage
        and {name: count for name, count in usage._asdict().items() if count is not None},
        "ids": decoder.ids,
        "events": decoder.events,
        "bad_events": decoder.bad_events,
        "framing": decoder.framing,
        "kind": error and error.kind,
        "code": error and error.code,
        "status": error and error.status,
    }


def expected_state(case: Case) -> dict[str, Any]:
    """What a case says of the end; what it leaves out is nothing special."""
    said = {
        "end": case["end"],
        "finish_reason": case.get("finish_reason"),
        "usage": case.get("usage"),
    }
    said |= {"ids": case.get("ids", {}), "bad_events": case.get("bad_events", 0)}
    said |= {key: case[key] for key in ("done", "events", "framing") if key in case}
    error = case.get("error")
    said |= {"kind": error and error["kind"], "code": error and error.get("code")}
    return said | {"status": case.get("status", 200) if error else None}


def check_error(case: Case, error: StreamError | None) -> None:
    expected = case.get("error") or {}
    if error is None:
        return
    assert error.message
    told = str(error)  # one line, of 300 characters at most
    assert told.endswith((error.message, "…")) or error.kind == "challenge"
    if "message" in expected and error.kind != "challenge":
        assert error.message == errors.one_line(input_bytes(expected["message"]).decode())
    if error.kind != "challenge":
        assert expected.get("message_contains", "") in error.message
    if "raw" in expected:
        assert error.raw == input_bytes(expected["raw"]).decode()


@pytest.mark.parametrize("case", cases("deltas") + cases("replies"))
def test_vector_however_it_is_cut(case: Case) -> None:
    text = input_bytes(case["text"]).decode()
    expected = expected_state(case)
    complete = case.get("complete", True)
    ways = cuts(reply_bytes(case))
    read: Callable[..., list[str]]
    for read in (with_feed, with_feed_text, with_feed_events):
        for chunks in ways:
            decoder = new(case)
            deltas = read(decoder, chunks, complete=complete)
            assert "".join(deltas) == text, told(chunks)
            if read is not with_feed_text and "deltas" in case:
                assert deltas == case["deltas"], told(chunks)
            seen = state(decoder)
            assert seen | expected == seen, told(chunks)
            check_error(case, decoder.error)


@pytest.mark.parametrize(
    "case", [case for case in cases("deltas") if "'records': " in str(case.values[0])]
)
def test_records_however_they_are_cut(case: Case) -> None:
    for chunks in cuts(reply_bytes(case)):
        records = records_of(new(case), chunks, complete=case.get("complete", True))
        assert [as_in_vectors(record) for record in records] == case["records"], told(chunks)


@pytest.mark.parametrize("case", cases("deltas") + cases("replies"))
def test_kept_json_and_times_change_no_delta_however_a_reply_is_cut(case: Case) -> None:
    reply, complete = reply_bytes(case), case.get("complete", True)
    whole = told_of(case, [reply], complete=complete)
    usual = [each._asdict() for each in records_of(new(case), [reply], complete=complete)]
    kept = [{**each._asdict(), "raw": None, "tokens": None, "at": None} for each in whole]
    if case["dialect"] != "text":  # whose deltas are its reads
        assert [each for each in kept if each not in EMPTY] == [
            each for each in usual if each not in EMPTY
        ]
        for chunks in cuts(reply):
            assert told_of(case, chunks, complete=complete) == whole, told(chunks)
    for each in whole:
        assert each.raw is None or json_object(each.raw) is not None
        assert each.at == 7


EMPTY = [Delta("text")._asdict()]


def told_of(case: Case, chunks: list[bytes], *, complete: bool) -> list[Delta]:
    """Deltas with the JSON of their events and with a time, and the same state at the end."""
    decoder, usual = new(case), new(case)
    decoder.keep_raw()
    deltas = [delta for chunk in chunks for delta in decoder.feed_events(chunk, 7)]
    deltas += decoder.close_events(complete=complete, at=7)
    records_of(usual, chunks, complete=complete)
    assert state(decoder) == state(usual)
    return deltas


@pytest.mark.parametrize("case", cases("deltas") + cases("replies"))
def test_a_relay_writes_every_kind_that_records_have(case: Case) -> None:
    reply = reply_bytes(case)
    reads = [reply[at : at + 97] for at in range(0, len(reply), 97)]
    chunk: Any = {"created": 0, "model": "m", "system_fingerprint": None}
    makers: tuple[Callable[[], Any], ...] = (
        lambda: ChunkEncoder(id="chatcmpl-1", **chunk),
        lambda: CompletionEncoder(id="cmpl-1", **chunk),
        lambda: MessageEncoder(id="msg_1", model="m"),
        lambda: ResponseEncoder(id="resp_1", created_at=0, model="m"),
    )
    for make in makers:
        relaying, plain = make(), make()
        decoder, usual = new(case), new(case)
        for data in reads:
            records = usual.feed_events(data)
            assert relaying.relay(decoder, data) == (
                plain.events(records),
                len(records),
                sum(len(record.text) for record in records),
            )
        assert state(decoder) == state(usual)


def json_object(text: str) -> Any:
    return text if text.lstrip().startswith("{") else None


CALL = (
    b'data: {"choices":[{"delta":{"content":"a","reasoning":"r","tool_calls":'
    b'[{"index":1,"id":"c","function":{"name":"f","arguments":"{}"}}]}}]}\n\n'
)


def test_a_delta_is_a_frozen_record() -> None:
    reasoning, text, call = DeltaDecoder().feed_events(CALL)
    assert repr(reasoning) == "Delta(kind='reasoning', text='r')"
    assert repr(text) == "Delta(kind='text', text='a')"
    assert repr(call) == "Delta(kind='tool_call', text='{}', index=1, id='c', name='f')"
    assert [reasoning, text, call] == DeltaDecoder().feed_events(CALL)
    assert len({reasoning, text, call, *DeltaDecoder().feed_events(CALL)}) == 3
    assert call != text
    assert call != "call"
    with pytest.raises(AttributeError):
        call.name = "g"  # type: ignore[misc]


def test_kinds_of_feeds_take_turns_in_one_reply() -> None:
    decoder = DeltaDecoder()
    for _ in range(3):
        assert decoder.feed(CALL) == ["a"]
        assert [delta.kind for delta in decoder.feed_events(CALL * 2)] == [
            "reasoning",
            "text",
            "tool_call",
        ] * 2
        assert decoder.feed_text(CALL * 2) == "aa"
    assert decoder.close_events() == []
    assert (decoder.end, decoder.events) == ("truncated", 15)


REPLIES: list[tuple[type[StreamError], str, dict[str, Any], bytes]] = [
    (StreamError, "upstream", {}, b'data: {"error":{"message":"m","code":"c"}}\n\n'),
    (StreamError, "truncated", {}, CHUNK),
    (StreamError, "not_a_stream", {}, b"<p>hello</p>"),
    (StreamError, "empty", {}, b""),
    (errors.ChallengeError, "challenge", {}, CHALLENGE),
    (errors.ChallengeError, "challenge", {"status": 403}, CHALLENGE),
    (
        errors.ChallengeError,
        "challenge",
        {"dialect": "text", "content_type": "text/html"},
        CHALLENGE,
    ),
    (errors.LimitExceeded, "limit", {"max_event_bytes": 10}, CHUNK),
    (errors.LimitExceeded, "limit", {"max_body_bytes": 10}, b'{"choices":[]}'),
    (
        errors.ConversationLimitError,
        "upstream",
        {"dialect": "ai-power"},
        b'{"msg":"m","tokenLimitReached":true}',
    ),
    (errors.ConversationLimitError, "upstream", {"dialect": "aipkit"}, QUOTA),
    (errors.ResponseStatusError, "upstream", {"dialect": "aipkit", "status": 403}, REFUSED),
    (errors.RateLimitError, "upstream", {"dialect": "aipkit", "status": 429}, REFUSED),
    (errors.MissingAuthError, "upstream", {"status": 401}, b"no"),
    (errors.PaymentRequiredError, "upstream", {"status": 402}, b"no"),
    (errors.RateLimitError, "upstream", {"status": 429}, b"no"),
    (errors.ResponseStatusError, "upstream", {"status": 403}, b"no"),
    (errors.ResponseStatusError, "upstream", {"status": 500}, b""),
    (errors.ResponseStatusError, "upstream", {"status": 999, "dialect": "text"}, b"no"),
]


@pytest.mark.parametrize(("kind_of_error", "kind", "options", "reply"), REPLIES)
def test_the_error_is_of_the_class_that_tells_most(
    kind_of_error: type[StreamError], kind: str, options: dict[str, Any], reply: bytes
) -> None:
    decoder = DeltaDecoder(**options)
    assert decoder.error is None
    decoder.feed(reply)
    decoder.close()
    error = decoder.error
    assert error is not None
    assert type(error) is kind_of_error
    assert error.kind == kind
    assert error.status == options.get("status", 200)
    assert error is decoder.error
    decoder.feed(CHUNK)
    decoder.close(complete=False)
    assert error is decoder.error


def test_an_error_has_the_sites_words_and_what_was_not_delivered() -> None:
    decoder = DeltaDecoder(status=429)
    decoder.feed(b'{"error":{"message":"slow down","code":17}}')
    decoder.close()
    error = decoder.error
    assert error is not None
    assert (error.message, error.code, error.status) == ("slow down", "17", 429)
    assert error.raw == '{"error":{"message":"slow down","code":17}}'
    assert str(error) == "the site reported an error (HTTP 429): slow down"


def test_text_comes_before_the_error_in_the_same_read() -> None:
    decoder = DeltaDecoder()
    assert decoder.feed(CHUNK + b'data: {"error":"broken"}\n\n' + CHUNK) == ["a"]
    assert decoder.end == "failed"
    assert decoder.feed(CHUNK) == []
    assert decoder.feed_text(CHUNK) == ""
    assert decoder.close() == []


def test_before_and_after_close() -> None:
    decoder = DeltaDecoder()
    assert (decoder.end, decoder.framing, decoder.events, decoder.ids) == ("open", "open", 0, {})
    assert decoder.feed(CHUNK) == ["a"]
    assert (decoder.end, decoder.framing, decoder.events, decoder.ids) == (
        "open",
        "sse",
        1,
        {"id": "c1"},
    )
    decoder.close()
    assert decoder.close() == []
    assert decoder.feed(CHUNK) == []
    assert decoder.end == "truncated"


@pytest.mark.parametrize(
    "piece",
    [
        "plain text, ",
        "it\u2019s a text like any other, ",
        "it\u2019s 100\u2009% text\u2026 ",
        "\u2019\u4eca\u65e5 some \U0001f389 text\x00 and caf\xe9, ",
        "caf\xe9, na\xefve, ",
        "\u4eca\u65e5\u306f",
        "\U0001f389\ufffd\uffff",
    ],
)
def test_a_long_text_of_any_characters(piece: str) -> None:
    for length in (1, 250, 4_090, 4_096, 5_000, 16_000, 17_000, 100_000):
        for start in ("", "\ufeff", "\ufffe", "a" * 255 + "\u2019"):
            text = (start + piece * (length // len(piece) + 1))[:length]
            body = json.dumps({"status": "success", "data": text}, ensure_ascii=False).encode()
            for decode in (with_feed, with_feed_text):
                assert "".join(decode(DeltaDecoder("ai-power"), [body], complete=True)) == text
            event = b'data: {"choices":[{"delta":{"content":%s}}]}\n\n' % json.dumps(text).encode()
            assert DeltaDecoder().feed_text(event * 2) == text * 2
            assert DeltaDecoder().feed(event * 2) == [text] * 2


def test_ids_are_a_copy() -> None:
    decoder = DeltaDecoder()
    decoder.feed(CHUNK)
    decoder.ids["id"] = "other"
    assert decoder.ids == {"id": "c1"}


def test_options_that_cannot_be() -> None:
    for name in ("max_event_bytes", "max_body_bytes"):
        for limit in (0, -1, -(2**63)):
            with pytest.raises(
                InvalidRequestError, match=f"{name} must be a number of bytes above 0"
            ):
                DeltaDecoder(**{name: limit})  # type: ignore[arg-type]
    for status in (-200, 0, 99, 1000, 65_736):
        with pytest.raises(InvalidRequestError, match="status must be an HTTP status"):
            DeltaDecoder(status=status)
    for dialect in ("", "OpenAI", "aipkit ", "\ud800"):
        with pytest.raises(
            InvalidRequestError,
            match=f"the decoder dialects are {', '.join(DIALECTS[:-1])} and text",
        ):
            DeltaDecoder(dialect)  # type: ignore[arg-type]


BODY = b'{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}'


def test_a_reply_tells_its_dialect() -> None:
    decoder = DeltaDecoder("auto")
    assert decoder.dialect is None
    for data in (b": ping\n\n", b"data: " + BODY + b"\n"):
        assert decoder.feed(data) == []
        assert (decoder.dialect, decoder.end) == (None, "open")
    assert decoder.feed(b"\ndata: ") == ["a"]
    assert decoder.dialect == "gemini"
    assert DeltaDecoder("gemini").dialect == "gemini"
    replies = [BODY, CHUNK, b"", b"data: [DONE]\n\n"]
    assert [(each.text, each.dialect) for each in decode_many(replies, "auto")] == [
        ("a", "gemini"),
        ("a", "openai"),
        ("", "openai"),
        ("", "openai"),
    ]


def test_a_failure_tail_may_hold_anything() -> None:
    decoder = DeltaDecoder("text", failure_tail="the end \ud83c\udf89")
    assert decoder.feed("x the end 🎉".encode()) == ["x "]
    assert decoder.close() == []
    assert decoder.end == "failed"
    assert decoder.error is not None
    assert decoder.error.raw == "the end 🎉"


def test_usage_is_a_frozen_record() -> None:
    reply = b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n'
    first, second = DeltaDecoder(), DeltaDecoder()
    first.feed(reply)
    second.feed(reply)
    assert isinstance(first.usage, Usage)
    assert first.usage == second.usage
    assert repr(first.usage) == "Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)"
    with pytest.raises(AttributeError):
        first.usage.total_tokens = 4  # type: ignore[misc]
    with pytest.raises(AttributeError):
        first.end = "done"  # type: ignore[misc]
