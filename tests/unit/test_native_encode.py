"""The encoder of chunks through the wheel: the vectors, and what it takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from vector_files import cases

from tailrace import ChunkEncoder
from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vector_files import Case

ENCODER = ChunkEncoder(id="chatcmpl-1", created=0, model="m", system_fingerprint=None)


def encoded(encoder: ChunkEncoder, kind: str, given: list[Any]) -> bytes:
    """One event, asked for as the vectors do."""
    if kind == "error":
        message, type_, param, code = given
        return encoder.error(message, kind=type_, param=param, code=code)
    if kind == "usage":
        prompt, completion, estimated, *more = given
        return encoder.usage(prompt, completion, estimated=estimated, **dict(*more))
    if kind == "delta":
        return encoder.deltas(given)
    event: bytes = getattr(encoder, kind)(*given)
    return event


@pytest.mark.parametrize("case", cases("encode"))
def test_vectors(case: Case) -> None:
    if "text" in case:
        assert f'"content":{case["json"]}}}'.encode() in ENCODER.deltas([case["text"]])
        return
    encoder = ChunkEncoder(**case["fields"])
    for (kind, *given), event in case["events"]:
        assert encoded(encoder, kind, given) == event.encode()


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
    assert "\ufffd".encode() in ENCODER.finish("\ud800")
    assert "\ufffd".encode() in ENCODER.error("\ud800", kind="\udfff")
    fields = ChunkEncoder(id="\ud800", created=0, model="\ud800", system_fingerprint="\ud800")
    assert fields.role().count("\ufffd".encode()) == 3


@pytest.mark.parametrize("wrong", [b"bytes", None, 1])
def test_a_delta_is_text(wrong: Any) -> None:
    with pytest.raises(TypeError):
        ENCODER.deltas(["a", wrong])
    with pytest.raises(TypeError):
        ENCODER.deltas(wrong)
    with pytest.raises(TypeError):
        ENCODER.finish(wrong)


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
