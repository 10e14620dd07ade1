"""How AIPKit frames what its upstream said: as events (2.3 and later) or as one JSON object (2.3 to
2.4.0).

Layouts are those of the captured replies named beside them; wording is not, since sites translate
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from tailrace.replica._answers import cut
from tailrace.replica._site import Ending, Reply
from tailrace.replica._sites.wordpress.base import ADMIN_HEADERS, AJAX_HEADERS, JSON
from tailrace.replica._sites.wordpress.php import json_encode

SSE = "text/event-stream; charset=utf-8"

_PIECES_BEFORE_A_FAILURE = 3
_BROKEN = "Connection Error: the transfer closed before all of it was read"


@dataclass(frozen=True, slots=True)
class Told:
    """The plugin itself refuses: an error and then the end. `status` is that of the JSON form."""

    message: str
    status: int = 400
    quota: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The upstream answered with an error: the stream begins, says so, and has no end.

    `code` is the upstream's.
    """

    status: int
    message: str
    code: str


@dataclass(frozen=True, slots=True)
class Said:
    """The upstream answered with `text` (None: what the model says).

    `ends` is how its stream came to its end.
    """

    text: str | None = None
    ends: Literal["done", "midcut", "nodone", "cut", "stall"] = "done"
    slowness: float = 1.0


@dataclass(frozen=True, slots=True)
class Silent:
    """The upstream took the request and never answers, so neither does the plugin."""


Outcome = Told | Refused | Said | Silent


@dataclass(frozen=True, slots=True)
class Asked:
    """The facts of one request that its frames repeat: when it came, in seconds, and its number on
    this site.
    """

    now: float
    number: int

    @property
    def message_id(self) -> str:
        """PHP's ``uniqid`` with more entropy: the time in hex, a dot, eight digits."""
        seconds, fraction = divmod(self.now, 1)
        digits = int(self._digest(), 16) % 10**8
        return f"aipkit-msg-{int(seconds):08x}{int(fraction * 1e6):05x}.{digits:08}"

    @property
    def response_id(self) -> str:
        """The upstream's name for its response."""
        return f"resp_{self._digest()[:24]}"

    def _digest(self) -> str:
        return sha256(f"{self.now}|{self.number}".encode()).hexdigest()


def as_events(asked: Asked, outcome: Outcome, pace: float = 0.0) -> Reply:
    """Return the reply of the second step: always 200, a comment of 4 KiB first."""
    match outcome:
        case Told(message, quota=quota):
            return _sse([_error(asked, message, quota=quota), _DONE])
        case Refused(message=message, code=code):
            return _sse([_start(asked), _error(asked, f"API Error: {message} (Code: {code})")])
        case Silent():
            return SILENCE
        case Said(text, ends, slowness):
            return _said(asked, text or "", ends, pace * slowness)


def as_json(asked: Asked, outcome: Outcome) -> Reply:
    """Return the reply of the JSON action (captures ``2.4.0/json_*``): errors have statuses of
    their own.
    """
    match outcome:
        case Told(message, status):
            return failure(status, message)
        case Refused(status, message, code):
            return failure(status, f"OpenAI API Error (HTTP {status}): {message} (Code: {code})")
        case Said(text, "done" | "nodone"):
            ids = {
                "message_id": asked.message_id.replace(".", ""),
                "openai_response_id": asked.response_id,
            }
            return success({"reply": text, **ids})
        case Silent() | Said(ends="stall"):
            return SILENCE
        case Said():
            return failure(500, _BROKEN)


def success(data: dict[str, object]) -> Reply:
    """Return what WordPress says when an action went well."""
    return _json(200, {"success": True, "data": data})


def failure(status: int, message: str, code: str | None = None) -> Reply:
    """Return what WordPress says when an action did not; `code` where the plugin names the case."""
    return _json(
        status, {"success": False, "data": {"message": message} | ({"code": code} if code else {})}
    )


def _said(asked: Asked, text: str, ends: str, pace: float) -> Reply:
    created, progress = _status(asked, "response.created"), _status(asked, "response.in_progress")
    deltas = [_data({"delta": piece}) for piece in cut(text)]
    begun = [_start(asked), created, progress, *deltas[:_PIECES_BEFORE_A_FAILURE]]
    match ends:
        case "midcut":
            return _sse([*begun, _error(asked, _BROKEN)], pace)
        case "cut":
            return _sse([*begun, deltas[-1][: len(deltas[-1]) // 2]], pace)
        case "stall":
            return _sse(begun, pace, "never")
        case _:
            closing = [_event("openai_response_id", {"id": asked.response_id}), _DONE]
            frames = [_start(asked), created, progress, *deltas]
            return _sse(frames if ends == "nodone" else [*frames, *closing], pace)


def _start(asked: Asked) -> bytes:
    return _event("message_start", {"message_id": asked.message_id})


def _status(asked: Asked, type_: str) -> bytes:
    return _event(
        "status", {"type": type_, "status": "in_progress", "response_id": asked.response_id}
    )


def _error(asked: Asked, message: str, *, quota: bool = False) -> bytes:
    notice = {"type": "quota_notice", "message": message, "actions": []}
    body: dict[str, object] = {"error": message}
    if quota:
        body["quota_notice"] = notice
    return f"event: error\nid: err-{int(asked.now)}\n".encode() + _data(body)


def _event(event: str, body: dict[str, object]) -> bytes:
    return f"event: {event}\n".encode() + _data(body)


def _data(body: dict[str, object]) -> bytes:
    return f"data: {json_encode(body, raw_unicode=True)}\n\n".encode()


def _sse(frames: list[bytes], pace: float = 0.0, ends: Ending = "cleanly") -> Reply:
    return Reply([_COMMENT, *frames], SSE, headers=_EVENT_HEADERS, pace=pace, ends=ends)


def _json(status: int, body: dict[str, object]) -> Reply:
    return Reply([json_encode(body).encode()], JSON, status, headers=AJAX_HEADERS)


SILENCE = Reply([], None, ends="silently")
# Fills the buffers of servers in between, so that what follows gets through at once.
_COMMENT = b":" + b" " * 4096 + b"\n\n"
_DONE = b'event: done\ndata: {"finished":true}\n\n'
_EVENT_HEADERS = (
    *ADMIN_HEADERS,
    ("Cache-Control", "no-cache, no-store, must-revalidate, max-age=0, no-transform"),
    ("Pragma", "no-cache"),
)
