"""Texts too long to be collected in one go, and every kind of character among them."""

from __future__ import annotations

import json

import pytest

from tailrace import DeltaDecoder

WORDS = [
    "plain ",
    "é",
    "水車",
    "🌾",
    "\u2028",
    "\n",
    '"',
    "x" * 5_000,
    "水" * 20_000,
    "y" * 40_000,
    "🌾" * 5_000,
]


def stream(words: list[str], *, escaped: bool) -> bytes:
    chunks = ({"choices": [{"delta": {"content": word}}]} for word in words)
    return "".join(
        f"data: {json.dumps(chunk, ensure_ascii=escaped)}\n\n" for chunk in chunks
    ).encode()


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("turn", range(len(WORDS)))
def test_a_long_text_is_the_deltas_joined(turn: int, *, escaped: bool) -> None:
    words = (WORDS[turn:] + WORDS[:turn]) * 3
    reply = stream(words, escaped=escaped)
    decoder = DeltaDecoder()
    text = decoder.feed_text(reply)
    assert text == "".join(words)
    assert decoder.feed_text(reply) == text
    assert DeltaDecoder().feed(reply) == words


def test_a_text_of_many_pieces_is_a_string_of_its_own() -> None:
    words = ["w" * 100] * 2_000
    reply = stream(words, escaped=False)
    first, second = DeltaDecoder().feed_text(reply), DeltaDecoder().feed_text(reply)
    assert first == second == "w" * 200_000
    assert {first: 1}[second] == 1
