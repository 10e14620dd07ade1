"""What a decoder remembers of a stream changes nothing: an event gives what it gives a decoder that
saw no other, but for half a character that was left over.
"""

from __future__ import annotations

from typing import Any

import pytest
from cutting import bytewise, cut, mostly, sizes
from hypothesis import given
from hypothesis import strategies as st

from tailrace import DeltaDecoder

EVENTS = {
    "openai": [
        (
            b'data: {"id":"c1","object":"c","model":"m","choices":'
            b'[{"index":0,"delta":{"content":"@"}}],"pad":"x","n":7}'
        ),
        b'data:{"pad":"","choices":[{"delta":{"role":"assistant","content":"@"}}],"id":""}',
        b'data: {"choices": [ {"text": "@"} ], "error": null}',
    ],
    "aipkit": [b'data: {"delta":"@"}', b'data: {"id":"r","delta":"@","error":false,"pad":"x"}'],
    "ai-engine": [
        b'data: {"type":"live","data":"@"}',
        b'data: {"type":"live","data":"@","subtype":"content","pad":"x","n":7}',
    ],
}
EVENTS["ai-power"] = EVENTS["openai"]
HALVES = {
    "openai": b'data: {"choices":[{"text":"\\ud83c"}]}\n\n',
    "aipkit": b'data: {"delta":"\\ud83c"}\n\n',
    "ai-engine": b'data: {"type":"live","data":"\\ud83c"}\n\n',
}
HALVES["ai-power"] = HALVES["openai"]

# Events that add what is no text, around a content that is `@`; what is `$` nobody reads.
KINDS = {
    "openai": [
        b'data: {"id":"$","choices":[{"delta":{"content":null,"reasoning_content":"@"}}]}',
        (
            b'data: {"choices":[{"delta":{"content":"","reasoning":"@",'
            b'"reasoning_details":[{"type":"reasoning.text","text":"$"}]}}]}'
        ),
        b'data: {"choices":[{"delta":{"refusal":"@"}}],"pad":"$"}',
        (
            b'data: {"choices":[{"delta":{"tool_calls":'
            b'[{"index":0,"function":{"arguments":"@"}}]}}],"pad":"$"}'
        ),
        b'data: {"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"@"}}]}}]}',
        b'data: {"choices":[{"delta":{"content":"@"}}],"pad":"$"}',
        b'data: {"choices":[{"delta":{"content":"@","reasoning":"@"}}],"pad":"$"}',
    ],
    "anthropic": [
        (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"%s","%s":"@"},"pad":"$"}'
        )
        % kind
        for kind in (
            (b"text_delta", b"text"),
            (b"thinking_delta", b"thinking"),
            (b"input_json_delta", b"partial_json"),
        )
    ],
    "openai-responses": [
        b'data: {"type":"response.%s.delta","item_id":"$","output_index":0,"delta":"@"}' % kind
        for kind in (b"reasoning_summary_text", b"function_call_arguments", b"refusal")
    ],
    "gemini": [
        b'data: {"candidates":[{"content":{"parts":[{"text":"@","thought":true}]}}],"pad":"$"}',
        b'data: {"candidates":[{"content":{"parts":[{"text":"@"}]}}],"pad":"$"}',
    ],
}

texts = st.sampled_from(["a", "b c", "", "é\u2028", "\\n", '{\\"a\\":', "}", "x" * 90])

contents = st.one_of(
    st.text(st.sampled_from("ab é\u2028🎉"), max_size=80).map(str.encode),
    st.sampled_from(
        [
            rb"\n",
            rb"\"},\"",
            rb"\ud83c\udf89",
            rb"\ud83c",
            rb"\q",
            b"\xff",
            b"\x01",
            b'"',
            b'b"},"delta":{"content":"c',
        ]
    ),
)
changes = st.tuples(
    st.sampled_from(
        [
            b'"x"',
            b'"m"',
            b'"c1"',
            b'"pad"',
            b'"@"',
            b"null",
            b"7",
            b"0",
            b"{",
            b"}",
            b"[",
            b":",
            b",",
            b"data:",
            b"index",
        ]
    ),
    st.sampled_from(
        [
            *(
                b"",
                b" ",
                b'""',
                b'"y"',
                rb'"\""',
                rb'"\q"',
                b'"error"',
                b'"thread_id"',
                b'"content"',
                b'"stop"',
                b"1",
            ),
            *(
                b"NaN",
                b"null",
                b'{"total_tokens":1}',
                b"\n",
                b"{",
                b"}",
                b"data:\ndata:",
                b"id: 1\ndata:",
            ),
            *(b'null,"finish_reason":"stop"', b"event: status\ndata:"),
        ]
    ),
)


@st.composite
def streams(draw: st.DrawFn, dialect: Any) -> list[bytes]:
    """Events one by one, each as one before but for its content, and now and then for something
    else.
    """
    found: list[bytes] = []
    kinds = list(EVENTS[dialect])
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(kinds))
        change = draw(mostly(st.none(), changes))
        if change is not None:
            kind = kind.replace(*change, 1)
            kinds.append(kind)
        end = draw(mostly(st.just(b"\n\n"), st.sampled_from([b"\r\n\r\n", b"\r\r"])))
        found += [kind.replace(b"@", draw(contents)) + end for _ in range(draw(st.integers(1, 4)))]
    return found


def read(dialect: Any, reads: list[bytes], *, half: bool = False) -> dict[str, Any]:
    """What a decoder tells of the reads, which may come behind an event that left the half."""
    decoder = DeltaDecoder(dialect)
    # A comment settles that events follow, whatever the first of them begins with.
    decoder.feed(b":\n\n")
    if half:
        assert decoder.feed(HALVES[dialect]) == []
    deltas = [delta for each in reads for delta in decoder.feed(each)]
    told = {
        name: getattr(decoder, name)
        for name in ("events", "bad_events", "finish_reason", "usage", "end")
    }
    error = decoder.error
    told["events"] -= half
    return told | {
        "deltas": deltas,
        "half": decoder.close() == ["\ufffd"],
        "ids": decoder.ids,
        "error": error and (error.kind, error.message, error.raw),
    }


def read_each_alone(dialect: Any, events: list[bytes]) -> dict[str, Any]:
    """The sum of what decoders tell that see one event each: the first ids, the last finish reason
    and usage.
    """
    total: dict[str, Any] = {"deltas": [], "ids": {}, "events": 0, "bad_events": 0}
    total |= {"finish_reason": None, "usage": None, "end": "open", "error": None, "half": False}
    half = False
    for event in events:
        told = read(dialect, [event], half=half)
        total["deltas"] += told["deltas"]
        half = told["half"]
        total["ids"] = told["ids"] | total["ids"]
        for name in ("events", "bad_events"):
            total[name] += told[name]
        for name in ("finish_reason", "usage"):
            total[name] = told[name] or total[name]
        if told["end"] != "open":
            return total | {"end": told["end"], "error": told["error"]}
    return total | {"half": half}


@pytest.mark.parametrize("dialect", EVENTS)
@given(data=st.data(), lengths=sizes)
def test_a_stream_is_read_as_its_events_one_by_one(
    dialect: Any, data: st.DataObject, lengths: list[int]
) -> None:
    events = data.draw(streams(dialect))
    stream = b"".join(events)
    expected = read_each_alone(dialect, events)
    for reads in ([stream], events, cut(stream, lengths), bytewise(stream)):
        assert read(dialect, reads) == expected


def pieces(dialect: Any, reads: list[bytes]) -> list[Any]:
    """The deltas of every kind that a decoder returns for the reads."""
    decoder = DeltaDecoder(dialect)
    decoder.feed_events(b":\n\n")
    return [delta for each in reads for delta in decoder.feed_events(each)]


@pytest.mark.parametrize("dialect", KINDS)
@given(
    runs=st.lists(st.tuples(st.integers(0, 6), st.lists(texts, max_size=6)), max_size=8),
    lengths=sizes,
)
def test_events_of_any_kind_give_what_they_give_alone(
    dialect: Any, runs: list[tuple[int, list[str]]], lengths: list[int]
) -> None:
    kinds = KINDS[dialect]
    filled = [
        kinds[index % len(kinds)].replace(b"@", content.encode()).replace(b"$", b"p%d" % number)
        for index, contents in runs
        for number, content in enumerate(contents)
    ]
    events = [event + b"\n\n" for event in filled]
    stream = b"".join(events)
    expected = [delta for event in events for delta in pieces(dialect, [event])]
    for reads in ([stream], events, cut(stream, lengths), bytewise(stream)):
        assert pieces(dialect, reads) == expected
        decoder = DeltaDecoder(dialect)
        decoder.collect()
        decoder.feed(b":\n\n")
        text = "".join(delta for each in reads for delta in decoder.feed(each))
        assert text == "".join(delta.text for delta in expected if delta.kind == "text")
        thoughts = "".join(delta.text for delta in expected if delta.kind == "reasoning")
        assert (decoder.reasoning or "") == thoughts
        assert {call.index: call.arguments for call in decoder.tool_calls} == {
            index: "".join(delta.text for delta in expected if delta.index == index)
            for index in {delta.index for delta in expected if delta.kind == "tool_call"}
        }


def test_a_long_stream_of_one_layout() -> None:
    event = EVENTS["openai"][0] + b"\n\n"
    words = [f"{number} é\u2028 \\n" for number in range(2000)]
    stream = b"".join(
        event.replace(b"@", word.encode()).replace(b"c1", b"c%d" % at)
        for at, word in enumerate(words)
    )
    expected = [word.replace("\\n", "\n") for word in words]
    for size in (1, 64, 1400, len(stream)):
        decoder = DeltaDecoder()
        reads = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [delta for each in reads for delta in decoder.feed(each)] == expected
        assert (decoder.events, decoder.bad_events, decoder.ids) == (
            2000,
            0,
            {"id": "c0", "model": "m"},
        )
