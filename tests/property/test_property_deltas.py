"""Any JSON chunk gives the delta that `json.loads` and a plain reader give; any bytes, any splits
the same end.
"""

from __future__ import annotations

import json
import random
import re
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest
from cutting import bytewise, cut, mostly, sizes
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace import DIALECTS, Delta, DeltaDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 200

# -- any chunk -------------------------------------------------------------------------------------
#
# A value is a scalar, a list, or an object as a list of pairs, in which a key may come twice.

Pairs = tuple[tuple[str, Any], ...]


surrogates = st.characters(categories=["Cs"])
texts = st.text(
    st.one_of(st.characters(), surrogates, st.sampled_from('"\\/\b\f\n\r\t\0\x7f\u2028🎉é')),
    max_size=12,
)
numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(st.tuples(texts, inner), max_size=3).map(tuple)
    ),
    max_leaves=8,
)


def keyed(usual: str, **values: st.SearchStrategy[Any]) -> st.SearchStrategy[Pairs]:
    """An object of these keys, most often the usual one, in any order, some twice, and of a few
    others.
    """
    known = [st.tuples(st.just(key), value) for key, value in values.items()]
    member = mostly(st.one_of(*known), st.tuples(texts, scalars))
    return mostly(
        st.tuples(
            st.tuples(st.just(usual), values[usual]), st.lists(member, max_size=3), st.booleans()
        ).map(ordered),
        st.lists(member, max_size=5).map(tuple),
    )


def ordered(found: tuple[tuple[str, Any], list[tuple[str, Any]], bool]) -> Pairs:
    usual, others, comes_first = found
    return (usual, *others) if comes_first else (*others, usual)


parts = st.lists(
    mostly(keyed("text", text=mostly(texts, values), type=st.just("text"), thinking=texts), values),
    max_size=3,
)
contents = mostly(texts, st.one_of(parts, values))
falsy: st.SearchStrategy[Any] = st.sampled_from([None, False, 0, -0.0, "", [], ()])
errors = mostly(falsy, values)
deltas = mostly(keyed("content", content=contents, role=texts), values)
choices = mostly(
    keyed(
        "delta",
        index=mostly(
            st.sampled_from([0, 0, 0, -0.0, 0.0, None]),
            mostly(st.sampled_from([1, False, "0"]), values),
        ),
        delta=deltas,
        text=contents,
        message=deltas,
        finish_reason=mostly(texts, values),
        error=errors,
    ),
    values,
)
chunks = keyed(
    "choices",
    choices=mostly(st.lists(choices, max_size=3), values),
    error=st.one_of(falsy, values),
    id=mostly(texts, values),
    usage=values,
)

# -- written down ----------------------------------------------------------------------------------


def written(value: Any, chance: random.Random) -> str:
    """JSON in one of the ways it can be written: white space, and escapes where none are needed."""
    space = "".join(chance.choices(["", " ", "\t"], weights=[6, 1, 1]))
    if isinstance(value, str):
        return f'{space}"{"".join(written_character(each, chance) for each in value)}"{space}'
    if isinstance(value, tuple):
        members = (f"{written(key, chance)}:{written(member, chance)}" for key, member in value)
        return f"{space}{{{space}{','.join(members)}}}{space}"
    if isinstance(value, list):
        return f"{space}[{space}{','.join(written(each, chance) for each in value)}]{space}"
    return f"{space}{json.dumps(value)}{space}"


def written_character(character: str, chance: random.Random) -> str:
    code = ord(character)
    plain = code >= 0x20 and character not in '"\\' and not 0xD800 <= code < 0xE000
    if plain and chance.random() < 0.8:
        return character
    if character in _SHORT and chance.random() < 0.5:
        return _SHORT[character]
    escaped = character.encode("utf-16-be", "surrogatepass").hex()
    units = [escaped[at : at + 4] for at in range(0, len(escaped), 4)]
    return "".join(f"\\u{unit.upper() if chance.random() < 0.5 else unit}" for unit in units)


_SHORT = {
    '"': '\\"',
    "\\": "\\\\",
    "/": "\\/",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}

# -- read plainly ----------------------------------------------------------------------------------


class Written(str):
    """A number or a truth value, as it is written."""

    __slots__ = ()


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


json_reader = json.JSONDecoder(
    strict=False, parse_int=Written, parse_float=Written, parse_constant=Written
)


def read_json(text: str) -> Any:
    """The value that `text` is; of one that is none, or too deep, a ValueError."""
    value = json_reader.decode(text) if text.strip(" \t\r\n") else None
    if depth(value) > MAX_DEPTH:
        raise ValueError("it is too deep")
    return value


def read_plainly(text: str) -> tuple[str, str, str | None]:
    """What one event with this data does: the delta, then ``bad``, ``failed`` or ``read``, and the
    finish reason.
    """
    try:
        chunk = read_json(text)
    except ValueError:
        return "", "failed" if tells_error(text) else "bad", None
    if not isinstance(chunk, dict):  # it keeps the connection alive
        return "", "read", None
    if is_truthy(chunk.get("error")):
        return "", "failed", None
    listed = chunk.get("choices")
    for choice in listed if isinstance(listed, list) else []:
        if isinstance(choice, dict) and is_first(choice.get("index")):
            reason = well_formed(choice.get("finish_reason")) or None
            if is_truthy(choice.get("error")):
                return "", "failed", reason
            return well_formed(content(choice, finishes=reason is not None)), "read", reason
    return "", "read", None


def tells_error(text: str) -> bool:
    """Whether the first whole object in a text that is no JSON is an error.

    Behind a place where an object breaks off, the next one is looked for.
    """
    at = text.find("{")
    while at >= 0:
        try:
            found, end = json_reader.raw_decode(text, at)
        except json.JSONDecodeError as broken:
            end = max(broken.pos, at + 1)
        else:
            if is_truthy(found.get("error")):
                return True
        at = text.find("{", end)
    return False


def is_truthy(value: Any) -> bool:
    if isinstance(value, Written):
        return float(value) != 0
    return bool(value)


def is_first(index: Any) -> bool:
    if isinstance(index, bool):
        return False
    return index is None or (
        isinstance(index, str) and re.fullmatch(r"-?0(\.0+)?([eE][+-]?\d+)?", index) is not None
    )


def content(choice: dict[str, Any], *, finishes: bool) -> str:
    """The delta; where there is none, or none that says anything at the end, the whole message."""
    delta = choice.get("delta")
    streamed = choice.get("text") if delta is None else message_content(delta)
    if streamed in (None, "", [], {}) and (delta is None or finishes):
        return said(message_content(choice.get("message")))
    return said(streamed)


def message_content(message: Any) -> Any:
    return message.get("content") if isinstance(message, dict) else message


def said(value: Any) -> str:
    """The text of a value that stands where one is due."""
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return "".join(map(said, value))
    if isinstance(value, dict):
        text = value.get("text")
        return "" if isinstance(text, bool) else said(text)
    return str(value or "")


def well_formed(text: Any) -> str:
    if not isinstance(text, str) or isinstance(text, Written):
        return ""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def read_by_decoder(data: bytes) -> tuple[str, str, str | None]:
    decoder = DeltaDecoder()
    text = decoder.feed_text(b"data:" + data + b"\n\n")
    assert decoder.events == 1
    if decoder.error is not None:
        assert decoder.error.kind == "upstream"
        return text, "failed", decoder.finish_reason
    read = "bad" if decoder.bad_events else "read"
    # Half a character at the end waits for the other one, or for the reply's end.
    return text + "".join(decoder.close()), read, decoder.finish_reason


@given(chunks, st.integers(0, 2**32))
def test_any_chunk_gives_the_delta_of_a_plain_reader(chunk: Pairs, seed: int) -> None:
    text = written(chunk, random.Random(seed))
    assert read_by_decoder(text.encode()) == read_plainly(text)


@given(values, st.integers(0, 2**32))
def test_any_value_is_read_or_bad_as_a_plain_reader_says(value: Any, seed: int) -> None:
    text = written(value, random.Random(seed))
    assert read_by_decoder(text.encode()) == read_plainly(text)


scratches = st.sampled_from(
    ['"', "\\", "{", "}", "[", "]", ",", ":", "0", "-", ".", "e", "u", "\0", "é", " ", "NaN", "tru"]
)


@given(
    chunks,
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2), scratches), max_size=3),
)
def test_damaged_chunks_are_bad_where_json_loads_says_so(
    chunk: Pairs, seed: int, damages: list[tuple[int, int, str]]
) -> None:
    text = written(chunk, random.Random(seed))
    for at, removed, added in damages:
        text = text[:at] + added + text[at + removed :]
    assert read_by_decoder(text.encode()) == read_plainly(text)


@given(
    chunks,
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=3),
)
def test_invalid_utf_8_is_replaced_before_the_json_is_read(
    chunk: Pairs, seed: int, damages: list[tuple[int, bytes]]
) -> None:
    data = written(chunk, random.Random(seed)).encode()
    for at, added in damages:
        data = data[:at] + added.translate(None, b"\r\n") + data[at:]
    assert read_by_decoder(data) == read_plainly(data.decode("utf-8", "replace").removeprefix(" "))


CONTENT = '"choices":[{"delta":{"content":"x"}}]'


@pytest.mark.parametrize("deep", [198, 199, 200, 201])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("first", [False, True])
def test_200_open_containers_pass_and_201_are_bad(
    deep: int, brackets: tuple[str, str], *, first: bool
) -> None:
    nested = f'"x":{brackets[0] * deep}0{brackets[1] * deep}'
    text = f"{{{nested},{CONTENT}}}" if first else f"{{{CONTENT},{nested}}}"
    expected = ("x", "read", None) if 1 + deep <= MAX_DEPTH else ("", "bad", None)
    assert read_by_decoder(text.encode()) == expected == read_plainly(text)


def test_after_a_chunk_too_deep_the_next_is_delivered() -> None:
    decoder = DeltaDecoder()
    deep = b"[" * 100_000
    assert decoder.feed(b'data: {"x":' + deep + b"\n\ndata: {" + CONTENT.encode() + b"}\n\n") == [
        "x"
    ]
    assert (decoder.events, decoder.bad_events) == (2, 1)


# -- AIPKit's events -------------------------------------------------------------------------------

Read = tuple[str, str, dict[str, str], bool]
"""The delta; ``bad``, ``failed`` or ``read``; the ids; whether a quota is used up."""

FRAMES = {
    "": "",
    "message": "",
    "message_start": "message_id",
    "openai_response_id": "id",
    "status": "",
}
"""The events that promise JSON, each with the key of the id it gives."""

frames = keyed(
    "delta",
    delta=contents,
    error=st.one_of(falsy, values),
    quota_notice=values,
    message_id=mostly(texts, values),
    id=mostly(texts, values),
)


def read_frame_plainly(name: str, text: str) -> Read:
    try:
        frame = read_json(text)
    except ValueError:
        frame = None
    members = frame if isinstance(frame, dict) else {}
    if name == "warning":
        warning = members.get("error")
        is_text = isinstance(warning, str) and not isinstance(warning, Written)
        return well_formed(warning) if is_text else text.removeprefix(" "), "read", {}, False
    if name == "error" or (
        # A status tells of progress alone.
        name in FRAMES and name != "status" and is_truthy(members.get("error"))
    ):
        return "", "failed", {}, is_truthy(members.get("quota_notice"))
    delta = well_formed(said(members.get("delta"))) if name in ("", "message") else ""
    id_key = FRAMES.get(name)
    given = well_formed(members.get(id_key)) if id_key else ""
    ids = {name.replace("message_start", "message_id"): given} if given else {}
    return delta, "read", ids, False


def tells_error_in_passing(name: str, text: str) -> bool:
    """Tell whether the event promises no answer, and holds an error all the same."""
    try:
        frame = read_json(text)
    except ValueError:
        return False
    passed_over = name in ("status", "sources") and isinstance(frame, dict)
    return passed_over and is_truthy(frame.get("error"))


@given(
    st.sampled_from([*FRAMES, "error", "warning", "sources"]),
    mostly(frames, values),
    st.integers(0, 2**32),
)
@example("sources", (("error", True), ("delta", "")), 0)
@example("status", (("error", True), ("delta", "")), 0)
def test_any_event_of_aipkit_gives_what_a_plain_reader_takes(
    name: str, frame: Any, seed: int
) -> None:
    text = written(frame, random.Random(seed))
    decoder = DeltaDecoder("aipkit")
    delta = decoder.feed_text(
        (f"event: {name}\n" if name else "").encode() + b"data:" + text.encode() + b"\n\n"
    )
    assert (decoder.events, decoder.bad_events) == (1, int(tells_error_in_passing(name, text)))
    how = "failed" if decoder.error else "read"
    used_up = decoder.error is not None and decoder.error.code == "quota_notice"
    if how == "read":
        delta += "".join(decoder.close())
    assert (delta, how, decoder.ids, used_up) == read_frame_plainly(name, text)


# -- AI Engine's frames ----------------------------------------------------------------------------

BLANKS = " \t\n\r\0\x0b"
"""What PHP's trim takes off."""

pieces = st.lists(st.text(st.sampled_from("ab é🎉\n\x0b"), max_size=4), max_size=5)


def stream_of(live: list[str], reply: str | None) -> bytes:
    frames: list[dict[str, object]] = [{"type": "live", "data": each} for each in live]
    if reply is not None:
        frames.append({"type": "end", "data": json.dumps({"success": True, "reply": reply})})
    return b"".join(b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames)


@given(live=pieces, more=pieces, is_trimmed=st.booleans())
def test_an_end_of_ai_engine_adds_what_was_not_told(
    *, live: list[str], more: list[str], is_trimmed: bool
) -> None:
    told, whole = "".join(live), "".join([*live, *more])
    decoder = DeltaDecoder("ai-engine")
    text = decoder.feed_text(stream_of(live, whole.strip(BLANKS) if is_trimmed else whole))
    assert text.startswith(told)
    assert text.strip(BLANKS) == whole.strip(BLANKS)
    assert decoder.bad_events == 0
    assert decoder.end == ("done" if whole.strip(BLANKS) else "failed")


@given(pieces, st.text(st.sampled_from("ab \n"), max_size=6))
def test_an_end_of_ai_engine_that_tells_another_text_is_counted(
    live: list[str], reply: str
) -> None:
    told = "".join(live)
    decoder = DeltaDecoder("ai-engine")
    text = decoder.feed_text(stream_of(live, reply))
    filled = told.strip(BLANKS)
    if not filled or reply.strip(BLANKS).startswith(filled):
        assert (text.strip(BLANKS), decoder.bad_events) == (
            f"{told.lstrip(BLANKS)}{text[len(told) :]}".strip(BLANKS),
            0,
        )
    else:
        assert (text, decoder.bad_events) == (told, 1)


@given(pieces)
def test_without_its_end_an_answer_of_ai_engine_is_truncated(live: list[str]) -> None:
    decoder = DeltaDecoder("ai-engine")
    assert decoder.feed_text(stream_of(live, None)) == "".join(live)
    decoder.close()
    assert decoder.end == ("truncated" if live else "failed")
    assert decoder.finish_reason is None


# -- any bytes -------------------------------------------------------------------------------------

Outcome = tuple[str, str, str | None, tuple[str, str, str | None, str] | None, str, int]


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if delta.kind == "text")


FEEDS: list[Callable[[DeltaDecoder, bytes], str]] = [
    lambda decoder, read: "".join(decoder.feed(read)),
    DeltaDecoder.feed_text,
    lambda decoder, read: text_of(decoder.feed_events(read)),
]


def outcome(
    options: dict[str, Any], reads: list[bytes], *, complete: bool, feeds: list[int]
) -> Outcome:
    """What came of the reads, given to the feeds of these numbers by turns."""
    decoder = DeltaDecoder(**options)
    text = "".join(
        FEEDS[feed](decoder, read) for feed, read in zip(cycle(feeds), reads, strict=False)
    )
    if 2 in feeds:
        text += text_of(decoder.close_events(complete=complete))
    else:
        text += "".join(decoder.close(complete=complete))
    error = decoder.error
    said = None if error is None else (error.kind, error.message, error.code, error.raw)
    text.encode()
    # The events of a text reply are its deltas, and as many as its reads make them.
    events = 0 if decoder.framing == "text" else decoder.events
    return text, decoder.end, decoder.finish_reason, said, decoder.framing, events


options = st.fixed_dictionaries(
    {"dialect": st.sampled_from(DIALECTS)},
    optional={
        "status": mostly(st.just(200), st.just(404)),
        "content_type": st.sampled_from(
            ["text/html", "text/plain; charset=utf-8", "text/event-stream"]
        ),
        "failure_tail": st.sampled_from(["Internal server error", "aab", "é🎉", "x"]),
        "max_event_bytes": mostly(st.integers(100, 200), st.integers(1, 99)),
        "max_body_bytes": mostly(st.integers(100, 200), st.integers(1, 99)),
    },
)
events = st.sampled_from(
    [
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"ab"}}]}\n\n',
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"\xc3\xa9"}}]}\r\n\r\n',
        b'data: {"id":"c","choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
        b'event: message\ndata: {"choices":[{"delta":{"content":"no \\"key\\""}}]}\n\n',
        b'event: message\ndata: {"choices":[{"delta":{"content":"no "key" "}}]}\n\n',
        b'event: thread.message.delta\ndata: {"delta":{"content":[{"text":{"value":"ab"}}]}}\n\n',
        b"event: done\ndata: x\n\n",
        b'data: {"delta":"\xc3\xa9\\u00e9"}\n\n',
        b'event: message_start\ndata: {"message_id":"m"}\n\n',
        b'event: openai_response_id\ndata: {"id":"r"}\n\n',
        b'event: error\nid: err-1\ndata: {"error":"e","quota_notice":{"a":1}}\n\n',
        b'event: done\ndata: {"finished":true}',
        (
            b"event: message_start\n"
            b'data: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":2}}}\n\n'
        ),
        (
            b'data: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"text_delta","text":"ab"}}\n\n'
        ),
        (
            b'data: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"thinking_delta","thinking":"t"}}\n\n'
        ),
        (
            b"event: content_block_start\n"
            b'data: {"type":"content_block_start","content_block":{"type":"tool_use"}}\n\n'
        ),
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        (
            b"event: response.output_text.delta\n"
            b'data: {"type":"response.output_text.delta","delta":"ab"}\n\n'
        ),
        b'data: {"type":"response.refusal.delta","delta":"no"}\n\n',
        b'data: {"type":"response.completed","response":{"status":"completed"}}\n\n',
        (
            b'data: {"candidates":[{"content":'
            b'{"parts":[{"text":"ab"},{"functionCall":{"name":"f"}}]}}]}\n\n'
        ),
        b'[{"candidates":[{"content":{"parts":[{"text":"]"}]},"finishReason":"STOP"}]},',
        b'{"candidates":[{"content":{"parts":[{"text":"t","thought":true}]}}]}]',
        b'{"message":{"content":"ab"},"done":false}\n',
        b'{"message":{"thinking":"t","tool_calls":[{"function":{"name":"f"}}]}}\n',
        b'{"response":"ab","done":true,"done_reason":"stop"}\n',
        (
            b'data: {"choices":[{"delta":'
            b'{"content":"ab","reasoning":"r","tool_calls":[{"id":"c"}]}}]}\n\n'
        ),
        b"data: [DONE]\n\n",
        b": ping\n\n",
        b"data: {\n\n",
        b'data: {"choices":[{"delta":{"content":"cut',
    ]
)
fragments = st.one_of(
    st.sampled_from(
        [
            b"data: ",
            b"data:",
            b"event: message\n",
            b"event: done\n",
            b"event: thread.message.delta\n",
            b"event: assistant_error\n",
            b"event: error\n",
            b"event: message_start\n",
            b": ping\n\n",
            b"id: 1\n",
            b"\n",
            b"\n\n",
            b"\r\n\r\n",
            b"\r",
            b"[DONE]",
            b"[LIMITED]",
            b"data: [DONE]\n\n",
            b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"ab"}}]}\n\n',
            b'event: message\ndata: {"choices":[{"delta":{"content":"no \\"key\\""}}]}\n\n',
            b'event: message\ndata: {"choices":[{"delta":{"content":"no "key" "}}]}\n\n',
            b'{"choices":[{"message":{"content":"ab"},"finish_reason":"stop"}]}',
            b'{"status":"success","data":"ab"}',
            b'{"status":"error","msg":"m &amp; n"}',
            b'{"success":true,"data":{"reply":"ab","message_id":"m"}}',
            b'{"success":false,"data":{"message":"m &amp; n","code":"c"}}',
            b'{"error":"m","quota_notice":{"a":1}}',
            b'data: {"msg":"m","messageFlagged":true}\n\n',
            b'data: {"error":{"message":"m","code":7}}\n\n',
            b'data: {"choices":[{"text":"ab","finish_reason":"stop"}]}\n\n',
            b'{"delta":{"content":[{"text":{"value":"ab"}}]}}',
            b"<!doctype html><title>Just a moment...</title>",
            b"<b>Notice</b>: x\n",
            b"0",
            b"-1",
            b"{",
            b"}",
            b"\xef\xbb\xbf",
            b"\xf0\x9f\x8e",
            b"\x89",
            "é🎉".encode(),
            b"Internal server error",
            b"Internal server",
            b"aaab",
            b"aa",
            b"x",
        ]
    ),
    st.binary(max_size=4),
)
replies = st.one_of(
    st.lists(mostly(events, fragments), max_size=8).map(b"".join),
    st.tuples(events, st.lists(mostly(events, fragments), max_size=5).map(b"".join)).map(b"".join),
    st.lists(fragments, max_size=14).map(b"".join),
)


@given(how=options, reply=replies, lengths=sizes, complete=st.booleans())
def test_any_bytes_any_splits_every_dialect(
    *, how: dict[str, Any], reply: bytes, lengths: list[int], complete: bool
) -> None:
    whole = outcome(how, [reply], complete=complete, feeds=[0])
    assert whole[1] != "open"
    assert (whole[3] is None) == (whole[1] in {"done", "stopped"})
    for reads in (cut(reply, lengths), bytewise(reply)):
        for feeds in ([0], [1], [2], [0, 2, 1, 2, 2]):
            assert outcome(how, reads, complete=complete, feeds=feeds) == whole


@given(st.lists(st.one_of(st.text(), st.binary()), max_size=8), sizes)
def test_a_text_reply_is_its_bytes_decoded(parts: list[str | bytes], lengths: list[int]) -> None:
    reply = b"".join(
        part if isinstance(part, bytes) else part.encode("utf-8", "replace") for part in parts
    )
    decoder = DeltaDecoder("text")
    deltas = [
        delta for read in cut(reply, lengths) for delta in decoder.feed(read)
    ] + decoder.close()
    assert "".join(deltas) == reply.decode("utf-8", "replace")
    assert decoder.end == ("done" if reply else "failed")
    assert "" not in deltas


@given(st.text("ab", min_size=1, max_size=6), st.text("ab", max_size=30), sizes)
def test_only_what_can_become_the_failure_tail_is_held(
    tail: str, text: str, lengths: list[int]
) -> None:
    decoder = DeltaDecoder("text", failure_tail=tail)
    fed = delivered = ""
    for read in cut(text.encode(), lengths):
        fed += read.decode()
        delivered += decoder.feed_text(read)
        held = fed[len(delivered) :]
        longest = next(tail[:end] for end in range(len(tail), -1, -1) if fed.endswith(tail[:end]))
        assert delivered + held == fed
        assert held == longest
    assert delivered + "".join(decoder.close()) == text.removesuffix(tail)
    assert decoder.end == ("failed" if not text or text.endswith(tail) else "done")


@given(options, replies, sizes, st.booleans())
def test_what_is_collected_is_what_the_deltas_say_together(
    options: dict[str, Any], reply: bytes, lengths: list[int], complete: bool
) -> None:
    """However the reply is cut, and whoever reads its text alone."""
    decoder = DeltaDecoder(**options)
    deltas = decoder.feed_events(reply) + decoder.close_events(complete=complete)
    collected = DeltaDecoder(**options)
    collected.collect()
    for read in cut(reply, lengths):
        collected.feed(read)
    collected.close(complete=complete)
    if collected.error is not None and "besides text" in str(collected.error):
        return
    pieces = [delta for delta in deltas if delta.kind == "tool_call"]
    assert collected.reasoning == "".join(x.text for x in deltas if x.kind == "reasoning")
    assert collected.refusal == "".join(x.text for x in deltas if x.kind == "refusal")
    assert [call.index for call in collected.tool_calls] == list(
        dict.fromkeys(piece.index for piece in pieces)
    )
    for call in collected.tool_calls:
        own = [piece for piece in pieces if piece.index == call.index]
        assert call.arguments == "".join(piece.text for piece in own)
        assert call.id == next((piece.id for piece in own if piece.id), None)
        assert call.name == next((piece.name for piece in own if piece.name), "")
