"""The response of a site, and the ways in which it may end too early or never.

Data alone: `_transforms` changes a response, `_sending` sends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Ending = Literal["complete", "stall", "no-response"]

BREAK_POSITIONS: Mapping[str, str] = {
    "before-head": "before the status line",
    "head": "in the middle of the head",
    "body": "between head and body",
    "tag": "in the tag that shows the nonce; in the middle of any other body",
    "line": "in a line in the middle of the body",
    "character": "within a character of several bytes, where the body has one",
    "chunk-size": "in the size of an HTTP chunk",
    "chunk": "in an HTTP chunk that promised more",
    "end": "after the body, before the HTTP chunk that ends it",
}
"""The named positions at which a response can break off, each with its meaning."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """The end of a response that breaks off: closed, reset (RST), or stalled while it is open.

    `position` is one of `BREAK_POSITIONS`, or a number of body bytes, counted before compression.
    """

    how: Literal["cut", "reset", "stall"]
    position: str | int


@dataclass(frozen=True, slots=True)
class Repeat:
    """Bytes sent again and again after a response's chunks, `gap` seconds apart."""

    data: bytes
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class SiteResponse:
    """A response to send: one HTTP chunk for each of `chunks`, `pace` seconds between them.

    `ending` is ``complete``, ``stall`` (after the chunks the connection stays open and silent) or
    ``no-response`` (not even a status line is sent). `content_type` None: there is no Content-Type.
    `coding` is the Content-Encoding, for clients that accept it. `repeat` follows the chunks for
    ever, `interruption` breaks the response off, and with `http_1_0` it ends with its connection.
    """

    chunks: Sequence[bytes]
    content_type: str | None
    status: int = 200
    reason: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    pace: float = 0.0
    ending: Ending = "complete"
    coding: str = ""
    repeat: Repeat | None = None
    interruption: Interruption | None = None
    http_1_0: bool = False


NO_RESPONSE = SiteResponse([], None, ending="no-response")
"""No response: the request is read, and the connection stays silent."""
