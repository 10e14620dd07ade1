"""Replies as servers really send them, through the wheel: however they are cut, whichever way they
are fed, and as one of many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from field_cases import expected_of, joined, outcome_of, says_as_expected
from vector_files import Case, cases, input_bytes, told

from tailrace import DeltaDecoder, decode_many

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace import Delta

OPTIONS = ("content_type", "status")


def every_cut(data: bytes) -> list[list[bytes]]:
    """Whole, byte by byte, and in two at every place."""
    two = [[data[:at], data[at:]] for at in range(1, len(data))]
    return [[data], [data[at : at + 1] for at in range(len(data))], *two]


def check(case: Case, text: str, ended: DeltaDecoder, how: str) -> None:
    found = outcome_of(text, ended.end, ended.finish_reason, ended.usage, ended.error)
    assert found == expected_of(case), how
    assert says_as_expected(case, ended.error), (how, ended.error)


@pytest.mark.parametrize("case", cases("field"))
def test_a_reply_however_it_is_cut_and_fed(case: Case) -> None:
    options = {key: case[key] for key in OPTIONS}
    read: Callable[[DeltaDecoder, bytes], str | list[str]]
    for chunks in every_cut(input_bytes(case["input"])):
        for read in (DeltaDecoder.feed, DeltaDecoder.feed_text):
            decoder = DeltaDecoder(case["dialect"], **options)
            text = "".join(each for chunk in chunks for each in read(decoder, chunk))
            text += "".join(decoder.close())
            check(case, text, decoder, told(chunks))
        decoder = DeltaDecoder(case["dialect"], **options)
        records: list[Delta] = []
        for chunk in chunks:
            records += decoder.feed_events(chunk)
        records += decoder.close_events()
        text = "".join(each.text for each in records if each.kind == "text")
        check(case, text, decoder, told(chunks))
        assert joined(records) == case["expect"]["events"], told(chunks)


@pytest.mark.parametrize("case", cases("field"))
def test_a_reply_among_many(case: Case) -> None:
    options = {key: case[key] for key in OPTIONS}
    for reply in decode_many([input_bytes(case["input"])] * 2, case["dialect"], **options):
        found = outcome_of(reply.text, reply.end, reply.finish_reason, reply.usage, reply.error)
        assert found == expected_of(case)
        assert says_as_expected(case, reply.error)
