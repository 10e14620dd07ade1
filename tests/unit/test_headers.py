"""What is made of a reply's headers."""

from __future__ import annotations

import pytest

from tailrace._headers import seconds_to_wait


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
        ("\u0663", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_how_long_a_site_asks_to_wait(
    retry_after: str | None, date: str | None, expected: float | None
) -> None:
    assert seconds_to_wait(retry_after, date) == expected
