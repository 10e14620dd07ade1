"""JSONTestSuite through the wheel: a chunk that holds a text is read, or skipped and counted."""

from __future__ import annotations

import pytest
from vector_files import Case, cases, input_bytes

from tailrace import DeltaDecoder


@pytest.mark.parametrize("case", cases("json"))
def test_a_chunk_is_good_or_bad_as_the_verdict_says(case: Case) -> None:
    chunk = b'{"choices":[{"delta":{"content":"x"}}],"other":' + input_bytes(case["input"]) + b"}"
    decoder = DeltaDecoder("openai")
    deltas = decoder.feed(b"".join(b"data: " + line + b"\n" for line in chunk.splitlines()) + b"\n")
    expected = (["x"], 0) if case["expect"] == "accept" else ([], 1)
    assert (deltas, decoder.bad_events) == expected
