"""Headers of responses, read."""

from __future__ import annotations

import pytest

from tailrace._headers import seconds_to_wait

SENT = "Fri, 20 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("retry_after", "milliseconds", "seconds"),
    [
        ("7", None, 7.0),
        (" 1.5 ", None, 1.5),
        ("0", None, 0.0),
        ("7", "250", 0.25),
        ("7", "1250.75", 1.25075),
        ("Fri, 20 Nov 2026 10:00:30 GMT", None, 30.0),
        ("Fri, 20 Nov 2026 09:00:00 GMT", None, 0.0),
        ("-5", None, None),
        ("1e9", None, None),
        ("nan", None, None),
        ("soon", "soon", None),
        ("1.5.5", None, None),
        ("1" * 10, None, None),
        (None, None, None),
    ],
)
def test_how_long_a_server_wants_to_be_left_alone(
    retry_after: str | None, milliseconds: str | None, seconds: float | None
) -> None:
    assert seconds_to_wait(retry_after, SENT, milliseconds) == seconds
