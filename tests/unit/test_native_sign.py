"""Signatures through the wheel: the vectors, and text as a browser signs it."""

from __future__ import annotations

import hashlib
import re

import pytest
from vector_files import Case, cases

from tailrace import sign_request


@pytest.mark.parametrize("case", cases("sign"))
def test_vector(case: Case) -> None:
    assert sign_request(case["time"], case["m"], case["secret"]) == case["sign"]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# As JSON writes them: parameters that hold surrogates cannot be told apart by their names.
SURROGATES = {
    r"\ud800": "\ufffd",
    r"\udc00": "\ufffd",
    r"a\ud800b": "a\ufffdb",
    r"\ud800\ud800": "\ufffd\ufffd",
    r"\udc00\ud800": "\ufffd\ufffd",
    r"\ud83c\udf89": "🎉",
    r"\ud83c🎉\udf89": "\ufffd🎉\ufffd",
    r"\ud83c\ud83c\udf89\udf89": "\ufffd🎉\ufffd",
}


@pytest.mark.parametrize(("escaped", "signed"), SURROGATES.items())
def test_a_lone_surrogate_is_one_replacement_character_and_a_pair_is_joined(
    escaped: str, signed: str
) -> None:
    # Unlike json.loads, this joins no pairs: two code points stay two.
    message = re.sub(r"\\u(\w{4})", lambda found: chr(int(found[1], 16)), escaped)
    assert sign_request(1, message, "k") == sha256(f"1:{signed}:k")
    assert sign_request(1, "m", message) == sha256(f"1:m:{signed}")


def test_surrogates_never_join_over_the_colon() -> None:
    assert sign_request(1, "\ud83c", "\udf89") == sha256("1:\ufffd:\ufffd")


def test_the_time_is_a_whole_number() -> None:
    with pytest.raises(TypeError):
        sign_request(1.7e12, "m", "k")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        sign_request(1, b"m", "k")  # type: ignore[arg-type]
