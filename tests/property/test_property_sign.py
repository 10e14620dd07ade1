"""Signing equals hashlib over the text as a browser encodes it."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from tailrace import sign_request

anything = st.text(
    st.one_of(st.characters(), st.characters(categories=["Cs"]), st.sampled_from("\ud83c\udf89:"))
)


def as_a_browser_encodes(text: str) -> str:
    """Pairs join; what is left of surrogates is one U+FFFD each."""
    characters: list[str] = []
    for character in text:
        if (
            characters
            and "\ud800" <= characters[-1] <= "\udbff"
            and "\udc00" <= character <= "\udfff"
        ):
            high, low = ord(characters.pop()), ord(character)
            characters.append(chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00))
        else:
            characters.append(character)
    return "".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in characters)


@given(st.integers(-(2**63), 2**63 - 1), anything, anything)
def test_any_text_is_signed_as_hashlib_says(timestamp: int, message: str, secret: str) -> None:
    signed = f"{timestamp}:{as_a_browser_encodes(message)}:{as_a_browser_encodes(secret)}"
    assert sign_request(timestamp, message, secret) == hashlib.sha256(signed.encode()).hexdigest()
