"""What is made of a reply's headers."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tailrace._headers import head_of, seconds_to_wait


@pytest.mark.parametrize(
    ("retry_after", "date", "expected"),
    [
        ("120", None, 120.0),
        (" 0 ", None, 0.0),
        ("Fri, 20 Nov 2026 10:00:30 GMT", "Fri, 20 Nov 2026 10:00:00 GMT", 30.0),
        ("Fri, 20 Nov 2026 09:00:00 GMT", "Fri, 20 Nov 2026 10:00:00 GMT", 0.0),
        ("Fri, 20 Nov 2026 10:00:30 -0000", "Fri, 20 Nov 2026 10:00:00 GMT", 30.0),
        ("Fri, 20 Nov 2026 10:00:30 GMT", None, None),
        ("Fri, 20 Nov 2026 10:00:30 GMT", "yesterday", None),
        ("soon", "Fri, 20 Nov 2026 10:00:00 GMT", None),
        ("-1", None, None),
        ("1.5", None, None),
        ("9999999999", None, None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", "Fri, 20 Nov 2026 10:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", "Fri, 20 Nov 2026 10:00:00 GMT", None),
        ("Fri, 20 Nov 2026 10:00:30 +99999999999999999999", None, None),
        ("Fri, 20 Nov 2026 10:00:30", "Fri, 20 Nov 2026 10:00:00 GMT", 30.0),
        ("\u0663", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_how_long_a_site_asks_to_wait(
    retry_after: str | None, date: str | None, expected: float | None
) -> None:
    assert seconds_to_wait(retry_after, date) == expected


def test_a_header_that_is_no_utf_8_can_be_shown() -> None:
    class Reply:
        headers: ClassVar = {"Content-Type": "text/\udcff"}

    assert head_of(Reply()).content_type == "text/?"


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [("250", 0.25), (" 1500 ", 1.5), ("soon", 7.0), ("", 7.0), (None, 7.0)],
)
def test_milliseconds_are_finer_than_seconds(milliseconds: str | None, expected: float) -> None:
    assert seconds_to_wait("7", None, milliseconds) == expected
    headers = {"Retry-After": "7", "retry-after-ms": milliseconds}

    class Reply:
        pass

    reply = Reply()
    reply.headers = headers  # type: ignore[attr-defined]
    assert head_of(reply).retry_after == expected
