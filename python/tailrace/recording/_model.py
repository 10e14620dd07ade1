"""The parts of a recording, and the names and limits of its file format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "FORMAT",
    "HOWS",
    "MAX_BYTES",
    "VERSION",
    "How",
    "RecordedEnd",
    "RecordedExchange",
    "RecordedHead",
    "RecordedRead",
    "RecordedRequest",
    "Recording",
]

FORMAT = "tailrace-recording"
VERSION = 1
MAX_BYTES = 64 * 2**20
"""The largest recording written or read, in bytes."""

How = Literal["complete", "broken", "left", "failed"]
HOWS: tuple[How, ...] = ("complete", "broken", "left", "failed")


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it was sent, without its secrets.

    `at`: seconds since the recording began. `method`: ``GET`` or ``POST``; `url`: the URL, secrets
    of its query replaced; `headers`: pairs of name and value, of harmless ones alone; `body`: its
    text, redacted, None where there was none or where it is neither a form nor JSON.
    """

    at: float
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str | None


@dataclass(frozen=True, slots=True)
class RecordedHead:
    """A response's status line and headers.

    `at`: seconds since the recording began. `status` and `reason`: of the status line; `url`: the
    final one, after redirects; `headers`: pairs of name and value.
    """

    at: float
    status: int
    reason: str
    url: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RecordedRead:
    """One read: `data`, decoded bytes as they came, `at` seconds after the recording began."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class RecordedEnd:
    """The end of an exchange: how it ended, and when.

    `at`: seconds since the recording began. `how`: ``complete``; ``broken`` (the response broke
    off); ``left`` (the client had enough, or would not wait any longer); ``failed`` (no response
    came). `error`: the name of the error's class, `status` and `target`: the error's attributes of
    these names; each None where there is none.
    """

    at: float
    how: How
    error: str | None = None
    status: int | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedExchange:
    """One request and its response.

    `head` is None where no response came; `reads`: its body, read by read; `end`: how it ended.
    """

    request: RecordedRequest
    head: RecordedHead | None
    reads: tuple[RecordedRead, ...]
    end: RecordedEnd


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded call.

    `exchanges`: in the order they began; `provider`: the provider's name, None for a bare site;
    `path`: the path of the site's URL.
    """

    exchanges: tuple[RecordedExchange, ...]
    provider: str | None = None
    path: str = "/"
