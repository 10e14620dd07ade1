"""The status and headers of a response of any HTTP library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["Head", "encodable", "head_of", "header_of", "moment_of", "seconds_to_wait"]


@dataclass(frozen=True, slots=True)
class Head:
    """The facts of a response that decoding its body needs, with defaults for a bare source."""

    status: int = 200
    content_type: str | None = None
    retry_after: float | None = None  # seconds


def head_of(source: object) -> Head:
    """Read the status and the headers of `source`, any library's response or another object."""
    statuses = (getattr(source, name, None) for name in ("status", "status_code"))
    return Head(
        status=next((status for status in statuses if isinstance(status, int)), 200),
        content_type=header_of(source, "Content-Type"),
        retry_after=seconds_to_wait(
            header_of(source, "Retry-After"),
            header_of(source, "Date"),
            header_of(source, "retry-after-ms"),
        ),
    )


def header_of(source: object, name: str) -> str | None:
    """Return a header of `source`, None where it has none.

    `name` is looked up as it is and in lower case, since a dictionary knows one case alone.
    """
    headers: Any = getattr(source, "headers", None)
    if not hasattr(headers, "get"):
        return None
    value = headers.get(name, headers.get(name.lower()))
    return encodable(value) if isinstance(value, str) else None


def encodable(value: str) -> str:
    """Return a header's value as text that any output can show.

    Libraries write a byte that is no UTF-8 as a lone surrogate; here it is a question
    mark.
    """
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def seconds_to_wait(
    retry_after: str | None, date: str | None, milliseconds: str | None = None
) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3) as a number of seconds.

    `retry_after`: a number, or a date, which is compared with `date`, the response's own Date.
    `milliseconds`: of OpenAI's ``retry-after-ms``, which is the finer one of the two. None for any
    other text, and for a date in a response without Date, since the clocks of two machines differ.
    """
    finer = (milliseconds or "").strip()
    if _SECONDS.fullmatch(finer):
        return float(finer) / 1000
    text = (retry_after or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until, sent = moment_of(text), moment_of(date or "")
    return None if until is None or sent is None else max(0.0, (until - sent).total_seconds())


# The standard has whole numbers; servers send others, too.
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{0,9})?")


def moment_of(text: str) -> datetime | None:
    """Read a date of HTTP (RFC 9110, 5.6.7), without a zone as UTC; None for any other text."""
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, IndexError, TypeError):  # whatever the parser stumbles over
        return None
