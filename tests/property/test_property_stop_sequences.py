"""Stop sequences: however the text is cut, what comes out is what a reader of single characters
would have let out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.gateway._wires.stop_sequences import StopScanner

if TYPE_CHECKING:
    from collections.abc import Sequence

FEW = st.text("ab", max_size=24)
STOPS = st.lists(st.text("ab", min_size=1, max_size=5), max_size=4)


def plainly(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Character by character, looking at all that has been written: the oracle."""
    for end in range(len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


def scanned(pieces: Sequence[str], stops: Sequence[str]) -> tuple[str, bool]:
    scanner = StopScanner(stops)
    out = [scanner.feed(piece) for piece in pieces]
    return "".join([*out, scanner.close()]), scanner.found


@given(st.lists(FEW, max_size=8), STOPS)
def test_however_it_is_cut(pieces: list[str], stops: list[str]) -> None:
    assert scanned(pieces, stops) == plainly("".join(pieces), stops)


@given(FEW, STOPS)
def test_character_by_character_no_more_is_held_than_must_be(text: str, stops: list[str]) -> None:
    scanner = StopScanner(stops)
    out = ""
    for at, character in enumerate(text, 1):
        out += scanner.feed(character)
        if scanner.found:
            break
        held = text[len(out) : at]
        assert text[:at] == out + held
        tails = [text[at - size : at] for size in range(1, at + 1)]
        possible = [
            tail for tail in tails if any(stop != tail and stop.startswith(tail) for stop in stops)
        ]
        assert held == max(possible, key=len, default="")


@given(st.lists(st.text(), max_size=6), st.lists(st.text(min_size=1, max_size=8), max_size=4))
def test_any_text(pieces: list[str], stops: list[str]) -> None:
    assert scanned(pieces, stops) == plainly("".join(pieces), stops)


@pytest.mark.parametrize(
    ("text", "stops", "left"),
    [
        ("one\n\ntwo", ["\n\n"], "one"),
        ("abcd", ["c", "abcd"], "ab"),
        ("xabc", ["bc", "abc"], "x"),
        ("aab", ["ab"], "a"),
        ("STO STOP", ["STOP"], "STO "),
        ("nothing of it", ["STOP"], "nothing of it"),
        ("at the end STO", ["STOP"], "at the end STO"),
        ("", ["x"], ""),
        ("all", [], "all"),
    ],
)
def test_cases(text: str, stops: list[str], left: str) -> None:
    assert scanned(list(text), stops)[0] == scanned([text], stops)[0] == left


def test_after_the_first_nothing_comes() -> None:
    scanner = StopScanner(["."])
    assert scanner.feed("a.b") == "a"
    assert scanner.feed("c") == ""
    assert scanner.close() == ""
