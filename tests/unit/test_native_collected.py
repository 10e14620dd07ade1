"""What is no text of a reply: collected by a decoder, told by `decode`, and read by `parsed`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from vector_files import cases, reply_bytes

from tailrace import (
    DecodedReply,
    Delta,
    DeltaDecoder,
    ThinkingBlock,
    ToolCall,
    decode,
    decode_many,
    errors,
)
from tailrace.errors import InvalidRequestError, ToolArgumentsError


def event(**delta: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"delta": delta}]}).encode()


def piece(index: int, arguments: str, call_id: str | None = None, name: str | None = None) -> Any:
    return {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}


DONE = b"data: [DONE]\n\n"
EVENTS = [
    event(reasoning_content="Hm, "),
    event(reasoning_content="well."),
    event(content="Hi"),
    event(tool_calls=[piece(0, "", "a", "tide")]),
    event(tool_calls=[piece(0, '{"at":'), piece(1, "{}", "b", "moon")]),
    event(tool_calls=[piece(0, "9}")]),
    event(refusal="No."),
    DONE,
]
CALLS = (ToolCall("a", "tide", '{"at":9}', 0), ToolCall("b", "moon", "{}", 1))


def collecting(**options: Any) -> DeltaDecoder:
    decoder = DeltaDecoder(**options)
    decoder.collect()
    return decoder


@pytest.mark.parametrize("way", ["feed", "feed_text", "feed_events"])
def test_whatever_is_asked_for_the_rest_is_kept(way: str) -> None:
    decoder = collecting()
    for data in EVENTS:
        getattr(decoder, way)(data)
    assert (decoder.tool_calls, decoder.reasoning, decoder.refusal) == (CALLS, "Hm, well.", "No.")
    assert decoder.close() == []
    assert decoder.end == "done"


def test_what_has_come_so_far_is_there() -> None:
    decoder = collecting()
    seen = []
    for data in EVENTS[:5]:
        decoder.feed(data)
        seen.append((decoder.reasoning, decoder.tool_calls))
    assert seen == [
        ("Hm, ", ()),
        ("Hm, well.", ()),
        ("Hm, well.", ()),
        ("Hm, well.", (ToolCall("a", "tide", "", 0),)),
        ("Hm, well.", (ToolCall("a", "tide", '{"at":', 0), CALLS[1])),
    ]


def test_a_decoder_that_does_not_collect_says_so() -> None:
    decoder = DeltaDecoder()
    decoder.feed(EVENTS[0])
    for name in ("tool_calls", "reasoning", "refusal"):
        with pytest.raises(InvalidRequestError, match="collect"):
            getattr(decoder, name)
    decoder.collect()
    for data in EVENTS[1:]:
        decoder.feed(data)
    assert (decoder.reasoning, decoder.tool_calls) == ("well.", CALLS)


def test_a_character_parted_over_two_pieces_is_one() -> None:
    decoder = collecting()
    for half in (r"\ud83d", r"\ude00"):
        decoder.feed(
            b'data: {"choices":[{"delta":{"reasoning_content":"%b"}}]}\n\n' % half.encode()
        )
    assert decoder.reasoning == "😀"


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_is_collected_has_a_limit(size: int) -> None:
    """The same event passes it however the reply is cut; what came before is delivered."""
    body = event(content="a") + event(reasoning_content="x" * 600) * 2 + event(content="b") + DONE
    decoder, text = collecting(max_body_bytes=1000), ""
    for start in range(0, len(body), size):
        text += decoder.feed_text(body[start : start + size])
    assert decoder.close() == []
    assert (text, decoder.end, decoder.reasoning) == ("a", "failed", "x" * 600)
    assert isinstance(decoder.error, errors.LimitExceeded)
    assert "besides text is larger than max_body_bytes (1000 bytes)" in str(decoder.error)


def test_calls_without_any_text_have_a_limit_too() -> None:
    decoder = collecting(max_body_bytes=10_000)
    for index in range(1000):
        decoder.feed(event(tool_calls=[{"index": index, "function": {}}]))
    assert isinstance(decoder.error, errors.LimitExceeded)
    assert len(decoder.tool_calls) < 200


def folded(deltas: list[Delta]) -> tuple[object, ...]:
    """What deltas say together: of the calls the first id and name, and all arguments."""
    texts = {
        kind: "".join(each.text for each in deltas if each.kind == kind)
        for kind in ("text", "reasoning", "refusal")
    }
    calls: dict[int | None, list[Delta]] = {}
    for each in deltas:
        if each.kind == "tool_call":
            calls.setdefault(each.index, []).append(each)
    return (
        *texts.values(),
        tuple(
            ToolCall(
                next((each.id for each in pieces if each.id), None),
                next((each.name for each in pieces if each.name), ""),
                "".join(each.text for each in pieces),
                index,
                next((each.signature for each in pieces if each.signature), None),
            )
            for index, pieces in calls.items()
        ),
    )


def test_of_every_vector_what_is_collected_is_what_the_deltas_say_together() -> None:
    with_more = 0
    for case in cases("deltas") + cases("replies"):
        options = case.values[0]
        assert isinstance(options, dict)
        names = ("dialect", "content_type", "status", "failure_tail")
        given = {name: options[name] for name in names if name in options}
        reply = reply_bytes(options)
        decoder = DeltaDecoder(**given)
        deltas = decoder.feed_events(reply) + decoder.close_events()
        expected = folded(deltas)
        for told in (
            decode(reply, **{"dialect": "openai", **given}),
            *decode_many([reply], **given),
        ):
            assert (told.text, told.reasoning, told.refusal, told.tool_calls) == expected, case.id
        with_more += expected[1:] != ("", "", ())
    assert with_more > 50


def block_in_vectors(block: ThinkingBlock) -> dict[str, Any]:
    fields = {name: value for name, value in block._asdict().items() if value is not None}
    return {"data": block.data} if block.data and block.id is None else fields


def as_in_vectors(call: ToolCall) -> dict[str, Any]:
    fields = call._asdict()
    return {name: fields[name] for name in fields if name != "signature" or call.signature}


FIXED = [case for case in cases("deltas") if "'collected': " in str(case.values[0])]


@pytest.mark.parametrize("case", FIXED)
def test_what_vectors_say_is_collected_however_the_reply_is_cut(case: dict[str, Any]) -> None:
    reply, dialect = reply_bytes(case), case["dialect"]
    for size in (1, 5, 64, len(reply)):
        decoder = collecting(dialect=dialect)
        for start in range(0, len(reply), size):
            decoder.feed(reply[start : start + size])
        decoder.close()
        found = {
            "reasoning": decoder.reasoning,
            "refusal": decoder.refusal,
            "tool_calls": [as_in_vectors(call) for call in decoder.tool_calls],
            "thinking_blocks": [block_in_vectors(each) for each in decoder.thinking_blocks],
            "signature": decoder.text_signature,
        }
        assert {kind: value for kind, value in found.items() if value} == case["collected"]


@pytest.mark.parametrize("case", cases("deltas") + cases("field"))
def test_what_no_delta_is_made_of_is_counted_however_the_reply_is_cut(case: dict[str, Any]) -> None:
    names = ("dialect", "content_type", "status", "failure_tail", "max_event_bytes")
    options = {name: case[name] for name in (*names, "max_body_bytes") if name in case}
    reply, expected = reply_bytes(case), case.get("passed_over", {})
    for size in (1, 7, len(reply) or 1):
        pieces = [reply[start : start + size] for start in range(0, len(reply), size)]
        decoder, other = collecting(**options), DeltaDecoder(**options)
        for piece in pieces:
            decoder.feed(piece)
            other.feed_events(piece)
        decoder.close(complete=case.get("complete", True))
        other.close_events(complete=case.get("complete", True))
        assert decoder.passed_over == other.passed_over == expected, size


# -- decode ----------------------------------------------------------------------------------------


def test_one_whole_reply() -> None:
    reply = decode(b"".join(EVENTS))
    assert isinstance(reply, DecodedReply)
    assert (reply.text, reply.end, reply.dialect, reply.events) == ("Hi", "done", "openai", 8)
    assert (reply.tool_calls, reply.reasoning, reply.refusal) == (CALLS, "Hm, well.", "No.")


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_the_dialect_is_found_unless_it_is_given(form: type) -> None:
    line = b'{"message":{"role":"assistant","content":"Hi"},"done":true,"done_reason":"stop"}\n'
    assert decode(form(line)).dialect == "ollama"
    assert decode(form(line), "text").text == line.decode()


def test_options_are_those_of_a_decoder() -> None:
    assert isinstance(
        decode(b'{"error":{"message":"slow"}}', status=429).error, errors.RateLimitError
    )
    assert decode(b"x fail", "text", failure_tail="fail").text == "x "
    assert decode(b"<html>", "text", content_type="text/html").end == "failed"
    assert isinstance(decode(b'{"a":"' + b"x" * 99, max_body_bytes=50).error, errors.LimitExceeded)
    assert isinstance(decode(b"data: " + b"x" * 99, max_event_bytes=50).error, errors.LimitExceeded)
    wrong: dict[str, Any]
    for wrong in ({"dialect": "x"}, {"status": 1}, {"max_event_bytes": 0}, {"max_body_bytes": 0}):
        with pytest.raises(InvalidRequestError):
            decode(b"", **wrong)


@pytest.mark.parametrize("wrong", ["data: [DONE]\n\n", None, [b"x"]])
def test_what_is_no_bytes_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRequestError, match="data must be bytes"):
        decode(wrong)


# -- parsed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"at": 9, "of": [1.5, null, "é"]}', {"at": 9, "of": [1.5, None, "é"]}),
        ("", {}),
        (" \n", {}),
        ("[1]", [1]),
        ('"text"', "text"),
        ('{"a": "x\ny"}', {"a": "x\ny"}),
        (' {"a": 1, "a": 2} ', {"a": 2}),
    ],
)
def test_arguments_are_parsed(arguments: str, expected: object) -> None:
    assert ToolCall("c", "tide", arguments).parsed() == expected


@pytest.mark.parametrize(
    ("arguments", "position", "told"),
    [
        ('{"at" 9}', 6, "are not JSON at character 6: Expecting ':' delimiter"),
        ('{"at": 9} and', 10, "are not JSON at character 10: Extra data"),
        ("at=9", 0, "are not JSON at character 0: Expecting value"),
        ("9" * 5000, None, "are not JSON: Exceeds the limit"),
        ("[" * 100_000 + "]" * 100_000, None, "are not JSON: maximum recursion depth"),
    ],
)
def test_arguments_that_are_not_json(arguments: str, position: int | None, told: str) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        ToolCall("c", "tide", arguments).parsed()
    error = caught.value
    assert isinstance(error, ValueError)
    assert f"the arguments of the tool tide {told}" in str(error)
    assert f"; they begin with {arguments[:59]}" in str(error)
    assert (error.tool, error.position, error.breaks_off) == ("tide", position, False)
    assert arguments.startswith(error.raw)


def test_every_beginning_of_arguments_breaks_off() -> None:
    whole = r'{"a": [true, null, -1.5e3, "x\"\u00e9"], "b": {}}'
    for end in range(1, len(whole)):
        with pytest.raises(ToolArgumentsError) as caught:
            ToolCall("c", "tide", whole[:end]).parsed()
        assert caught.value.breaks_off, whole[:end]
        assert f"tool tide break off after {end} characters: the reply was cut" in str(caught.value)


def test_a_tool_without_a_name_and_arguments_with_half_a_character() -> None:
    with pytest.raises(ToolArgumentsError, match=r"^the arguments of the tool break off") as caught:
        ToolCall(arguments='{"a": "\ud83d').parsed()
    str(caught.value).encode()
    caught.value.raw.encode()
