"""What a reply's headers say, whoever has read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["Head", "head_of", "header_of", "seconds_to_wait"]


@dataclass(frozen=True, slots=True)
class Head:
    """What a response says beside its body; what is no response says nothing."""

    status: int = 200
    content_type: str | None = None
    retry_after: float | None = None  # seconds


def head_of(source: object) -> Head:
    """Read the status and the headers of any library's response, where there are any."""
    statuses = (getattr(source, name, None) for name in ("status", "status_code"))
    return Head(
        status=next((status for status in statuses if isinstance(status, int)), 200),
        content_type=header_of(source, "Content-Type"),
        retry_after=seconds_to_wait(header_of(source, "Retry-After"), header_of(source, "Date")),
    )


def header_of(source: object, name: str) -> str | None:
    """Look a header up; libraries do so whatever its case, a dictionary does not."""
    headers: Any = getattr(source, "headers", None)
    if not hasattr(headers, "get"):
        return None
    value = headers.get(name, headers.get(name.lower()))
    return value if isinstance(value, str) else None


def seconds_to_wait(retry_after: str | None, date: str | None) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds, or a date, which is held against the
    reply's own Date.

    None for what is neither, and for a date in a reply that does not say when it was sent: clocks
    of two machines do not compare.
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
