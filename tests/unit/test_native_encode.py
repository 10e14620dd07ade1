"""The encoders through the wheel: the vectors, and what they take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from vector_files import cases

from tailrace import (
    ChunkEncoder,
    CompletionEncoder,
    Delta,
    MessageEncoder,
    ResponseEncoder,
    SSEDecoder,
    Usage,
    finish_reason_of,
)
from tailrace.errors import InvalidRequestError, StreamError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vector_files import Case

ENCODER = ChunkEncoder(id="chatcmpl-1", created=0, model="m", system_fingerprint=None)
ENCODERS: dict[str, Any] = {
    "chunk": ChunkEncoder,
    "completion": CompletionEncoder,
    "response": ResponseEncoder,
    "message": MessageEncoder,
}


def encoder_of(case: Case) -> Any:
    fields = dict(case["fields"])
    if "request" in fields:
        fields["request"] = fields["request"].encode()
    return ENCODERS[case.get("wire", "chunk")](**fields)


def encoded(encoder: Any, kind: str, given: list[Any]) -> bytes:
    """What one call gives, made as the vectors say."""
    event: bytes = _CALLS.get(kind, _call)(encoder, kind, *given)
    return event


def _error(encoder: Any, _: str, message: str, kind: str, param: Any, code: Any) -> Any:
    return encoder.error(message, kind=kind, param=param, code=code)


def _usage(encoder: Any, _: str, prompt: int, completion: int, guess: bool, *more: Any) -> Any:
    return encoder.usage(prompt, completion, estimated=guess, **dict(*more))


def _delta(encoder: Any, _: str, text: str) -> Any:
    return encoder.deltas([text])


def _events(encoder: Any, _: str, deltas: list[dict[str, Any]]) -> Any:
    return encoder.events([Delta(**delta) for delta in deltas])


def _finish(encoder: Any, _: str, reason: str | None, *more: Any) -> Any:
    return encoder.finish(reason, *_usage_of(*more[:1]), **dict(*more[1:]))


def _whole(encoder: Any, _: str, deltas: list[dict[str, Any]], *more: Any) -> Any:
    reason, usage, *others = more
    pieces = [Delta(**delta) for delta in deltas]
    return encoder.whole(pieces, reason, *_usage_of(usage), **dict(*others))


def _usage_of(*counts: dict[str, int] | None) -> list[Usage | None]:
    return [Usage(**each) if each else None for each in counts]


def _call(encoder: Any, kind: str, *given: Any) -> Any:
    return getattr(encoder, kind)(*given)


_CALLS: dict[str, Any] = {
    "delta": _delta,
    "error": _error,
    "events": _events,
    "finish": _finish,
    "usage": _usage,
    "whole": _whole,
}


@pytest.mark.parametrize("case", cases("encode"))
def test_vectors(case: Case) -> None:
    if "text" in case:
        assert f'"content":{case["json"]}}}'.encode() in ENCODER.deltas([case["text"]])
        return
    encoder = encoder_of(case)
    for (kind, *given), event in case["events"]:
        assert encoded(encoder, kind, given) == event.encode()
    if "state" in case:
        assert encoder.state == case["state"]


def test_an_event_a_delta_in_their_order() -> None:
    texts = ["a", "", "b\n", "ç"]
    joined = ENCODER.deltas(texts)
    assert joined == b"".join(ENCODER.deltas([text]) for text in texts)
    assert [
        json.loads(line[6:])["choices"][0]["delta"]["content"]
        for line in joined.split(b"\n\n")[:-1]
    ] == texts
    assert ENCODER.deltas([]) == b""


def test_a_lone_surrogate_is_one_replacement_character_and_pairs_join() -> None:
    def content(text: str) -> str:
        found: str = json.loads(ENCODER.deltas([text])[6:])["choices"][0]["delta"]["content"]
        return found

    assert content("a\ud800b\udc00") == "a\ufffdb\ufffd"
    assert content("\ud83d\udc4b") == "👋"
    assert "\ufffd".encode() in ENCODER.error("\ud800", kind="\udfff")
    fields = ChunkEncoder(id="\ud800", created=0, model="\ud800", system_fingerprint="\ud800")
    assert fields.role().count("\ufffd".encode()) == 3


@pytest.mark.parametrize(
    ("reason", "told", "with_calls"),
    [
        ("stop", "stop", "tool_calls"),
        ("end_turn", "stop", "tool_calls"),
        ("tool_use", "stop", "tool_calls"),
        ("", "stop", "tool_calls"),
        (None, "stop", "tool_calls"),
        ("length", "length", "length"),
        ("MAX_TOKENS", "length", "length"),
        ("max_output_tokens", "length", "length"),
        ("content_filter", "content_filter", "content_filter"),
        ("SAFETY", "content_filter", "content_filter"),
    ],
)
def test_a_reason_is_told_in_openais_word(reason: str | None, told: str, with_calls: str) -> None:
    assert finish_reason_of(reason) == told
    assert finish_reason_of(reason, calls=True) == with_calls
    call = [Delta("tool_call", "{}", 0, "c", "f")]
    for encoder_class in (ChunkEncoder, CompletionEncoder):
        encoder = encoder_class(id="c-1", created=0, model="m", system_fingerprint=None)
        assert f'"finish_reason":"{told}"'.encode() in encoder.finish(reason)
        encoder.events(call)
        assert f'"finish_reason":"{with_calls}"'.encode() in encoder.finish(reason)


@pytest.mark.parametrize("wrong", [b"bytes", None, 1])
def test_a_delta_is_text(wrong: Any) -> None:
    with pytest.raises(TypeError):
        ENCODER.deltas(["a", wrong])
    with pytest.raises(TypeError):
        ENCODER.deltas(wrong)


@pytest.mark.parametrize("count", [-1, 2**63, -(2**70)])
def test_counts_are_whole_numbers_of_0_or_more(count: int) -> None:
    takers: list[Callable[[], bytes]] = [
        lambda: ENCODER.usage(count, 0),
        lambda: ENCODER.usage(0, count),
    ]
    for take in takers:
        with pytest.raises(InvalidRequestError, match="a number of tokens of 0 or more"):
            take()


def test_a_moment_has_64_bits() -> None:
    assert b'"created":-9223372036854775808,' in ChunkEncoder(
        id="", created=-(2**63), model="", system_fingerprint=None
    ).finish("stop")
    with pytest.raises(InvalidRequestError, match="created"):
        ChunkEncoder(id="", created=2**63, model="", system_fingerprint=None)


# -- the wires with an end of their own ------------------------------------------------------------


def both(max_kept_bytes: int = 2**20) -> list[Any]:
    return [
        ResponseEncoder(id="resp_1", created_at=0, model="m", max_kept_bytes=max_kept_bytes),
        MessageEncoder(id="msg_1", model="m", max_kept_bytes=max_kept_bytes),
    ]


def test_texts_are_deltas_of_kind_text() -> None:
    for by_text, by_delta in zip(both(), both(), strict=True):
        told = by_text.deltas(["a", "", "b\ud800"])
        assert told == by_delta.events([Delta("text", each) for each in ("a", "", "b\ud800")])
        assert len(told.split(b"\n\n")) == 5 - isinstance(by_text, MessageEncoder)


def test_a_list_with_something_else_in_it_changes_nothing() -> None:
    wrong: Any = [Delta("text", "a"), "b"]
    for encoder in [ENCODER, *both()]:
        with pytest.raises(TypeError):
            encoder.events(wrong)
    for encoder, untouched in zip(both(), both(), strict=True):
        with pytest.raises(TypeError):
            encoder.events(wrong)
        assert encoder.events([Delta("text", "c")]) == untouched.events([Delta("text", "c")])


def test_an_end_is_told_once() -> None:
    for encoder in both():
        assert encoder.state == "open"
        assert encoder.finish("stop")
        assert encoder.finish("stop") + encoder.deltas(["a"]) + encoder.error("e", kind="k") == b""
        assert (encoder.state, encoder.failure) == ("done", None)
    for encoder in both():
        assert encoder.error("e", kind="k")
        assert encoder.finish("stop") + encoder.deltas(["a"]) == b""
        # Its caller knows why.
        assert (encoder.state, encoder.failure) == ("failed", None)


def test_a_limit_is_an_error_to_raise() -> None:
    calls = [Delta("tool_call", "{", index=0, name="a"), Delta("tool_call", "{", index=1, name="b")]
    for encoder in both(max_kept_bytes=600):
        assert b"max_kept_bytes" in encoder.events([*calls, Delta("text", "x" * 100)])
        assert encoder.state == "failed"
        assert isinstance(encoder.failure, StreamError)
        assert encoder.failure.kind == "limit"


def test_what_is_refused_at_once() -> None:
    with pytest.raises(InvalidRequestError, match="max_kept_bytes"):
        MessageEncoder(id="", model="", max_kept_bytes=0)
    with pytest.raises(InvalidRequestError, match="input_tokens"):
        MessageEncoder(id="", model="").start(-1)
    for request in (b"[]", b"{", b"\xff", b'{"tools":NaN}'):
        with pytest.raises(InvalidRequestError, match="request is refused"):
            ResponseEncoder(id="", created_at=0, model="", request=request)


def test_calls_of_one_id_are_told_apart() -> None:
    deltas = [
        Delta("tool_call", "{}", index=number, id="same", name=name)
        for number, name in enumerate(["tide", "moon", "sun"])
    ]
    response = ResponseEncoder(id="resp_1", created_at=1, model="m")
    message = MessageEncoder(id="msg_1", model="m")
    chunk = ChunkEncoder(id="chatcmpl-1", created=1, model="m", system_fingerprint=None)
    items = json.loads(response.whole(deltas, "tool_calls"))["output"]
    assert [item["call_id"] for item in items] == ["same", "call_1_1", "call_1_2"]
    blocks = json.loads(message.whole(deltas, "tool_calls"))["content"]
    assert [block["id"] for block in blocks] == ["same", "toolu_1_1", "toolu_1_2"]
    for encoder, ids in (
        (response, [b'"call_id":"same"', b'"call_id":"call_1_1"', b'"call_id":"call_1_2"']),
        (message, [b'"id":"same"', b'"id":"toolu_1_1"', b'"id":"toolu_1_2"']),
        (chunk, [b'"id":"same"', b'"id":"call_1_1"', b'"id":"call_1_2"']),
    ):
        events = encoder.events(deltas)
        assert all(each in events for each in ids)


SIGNED = [
    Delta("reasoning", "Hm"),
    Delta("reasoning", "", signature="s1"),
    Delta("reasoning", "", data="d1"),
    Delta("reasoning", "", data="d2"),
    Delta("reasoning", "", signature="s2"),
    Delta("text", "Hi"),
    Delta("text", "", signature="s3"),
]
ENCRYPTED = [
    Delta("reasoning", "Hm"),
    Delta("reasoning", "", id="rs_1", data="e1"),
    Delta("reasoning", "", id="rs_2", data="e2"),
    Delta("text", "Hi"),
]


def data_of(events: bytes) -> list[Any]:
    return [json.loads(each.data) for each in SSEDecoder().feed(events) if each.data != "[DONE]"]


def test_signed_thoughts_are_blocks_of_a_message() -> None:
    encoder = MessageEncoder(id="msg_1", model="m")
    blocks: list[dict[str, str]] = []
    for event in data_of(encoder.start() + encoder.events(SIGNED) + encoder.finish()):
        match event:
            case {"type": "content_block_start", "content_block": block}:
                blocks.append(block)
            case {"type": "content_block_delta", "delta": delta}:
                kind, *rest = delta.values()
                name = kind.removesuffix("_delta")
                blocks[-1][name] += rest[0]
    expected = [
        {"type": "thinking", "thinking": "Hm", "signature": "s1"},
        {"type": "redacted_thinking", "data": "d1"},
        {"type": "redacted_thinking", "data": "d2"},
        {"type": "thinking", "thinking": "", "signature": "s2"},
        {"type": "text", "text": "Hi"},
    ]
    assert blocks == expected
    assert json.loads(MessageEncoder(id="msg_1", model="m").whole(SIGNED))["content"] == expected
    other = MessageEncoder(id="msg_1", model="m").whole(ENCRYPTED)
    assert [each["type"] for each in json.loads(other)["content"]] == ["thinking", "text"]


def test_encrypted_thoughts_are_items_of_a_response() -> None:
    def encoder() -> ResponseEncoder:
        return ResponseEncoder(id="resp_1", created_at=1, model="m", request=b"{}")

    events = encoder()
    told = data_of(events.start() + events.events(ENCRYPTED) + events.finish())
    whole = json.loads(encoder().whole(ENCRYPTED))
    for output in (told[-1]["response"]["output"], whole["output"]):
        first, second, message = output
        assert [part["text"] for part in first["summary"]] == ["Hm"]
        assert (second["summary"], message["type"]) == ([], "message")
        assert [each["encrypted_content"] for each in (first, second)] == ["e1", "e2"]
    done = [each["item"] for each in told if each["type"] == "response.output_item.done"]
    assert done == told[-1]["response"]["output"]
    other = json.loads(encoder().whole(SIGNED))["output"]
    assert [each["type"] for each in other] == ["reasoning", "message"]
    assert "encrypted_content" not in other[0]


def test_seals_wait_for_a_call_that_is_open() -> None:
    deltas = [
        Delta("tool_call", '{"at":', index=0, id="c", name="tide"),
        Delta("reasoning", "Hm"),
        Delta("reasoning", "", signature="s"),
        Delta("tool_call", "9}", index=0),
        Delta("text", "Hi"),
    ]
    encoder = MessageEncoder(id="msg_1", model="m")
    told = data_of(encoder.events(deltas) + encoder.finish())
    kinds = [each["content_block"]["type"] for each in told if "content_block" in each]
    assert kinds == ["tool_use", "thinking", "text"]
    assert {"type": "signature_delta", "signature": "s"} in [each.get("delta") for each in told]


@pytest.mark.parametrize("encoder_class", [ChunkEncoder, CompletionEncoder])
def test_chunks_have_no_place_for_seals(encoder_class: type[ChunkEncoder]) -> None:
    encoder = encoder_class(id="x", created=1, model="m", system_fingerprint=None)
    for delta in (SIGNED[1], SIGNED[2], SIGNED[6], ENCRYPTED[1]):
        assert encoder.events([delta]) == b""


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "text", "data": "d"},
        {"kind": "tool_call", "data": "d"},
        {"kind": "reasoning", "text": "Hm", "signature": "s"},
        {"kind": "reasoning", "text": "Hm", "data": "d"},
        {"kind": "reasoning", "signature": "s", "data": "d"},
        {"kind": "text", "text": "Hi", "signature": "s"},
    ],
)
def test_a_seal_stands_alone(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="stands alone"):
        Delta(**fields)
