"""What a reply's headers say, whoever has read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["seconds_to_wait"]


def seconds_to_wait(retry_after: str | None, date: str | None) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds, or a date, which is held against the reply's own Date.

    None for what is neither, and for a date in a reply that does not say when it was sent: clocks of two machines
    do not compare.
    """
    text = (retry_after or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until, sent = _moment(text), _moment(date or "")
    return None if until is None or sent is None else max(0.0, (until - sent).total_seconds())


_SECONDS = re.compile(r"[0-9]{1,9}")


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
