"""Framing of AIPKit: events (2.3 and later), or one JSON object (2.3 to 2.4.0).

Layouts are those of the captured responses named beside them; the wording is our own, since sites
translate it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from tailrace.replica._answers import tokenize
from tailrace.replica._response import NO_RESPONSE, Ending, SiteResponse
from tailrace.replica._sites.outcomes import (
    CHUNKS_BEFORE_FAILURE,
    ModelAnswer,
    StreamEnd,
    UpstreamFailure,
)
from tailrace.replica._sites.wordpress.php import json_encode
from tailrace.replica._sites.wordpress.site import ADMIN_HEADERS, AJAX_HEADERS, JSON

SSE = "text/event-stream; charset=utf-8"

_BROKEN = "Connection Error: the transfer closed before all of it was read"


@dataclass(frozen=True, slots=True)
class PluginRefusal:
    """The plugin itself refuses: an error and then the end. `status` is that of the JSON form."""

    message: str
    status: int = 400
    quota: bool = False


AIPKitOutcome = PluginRefusal | UpstreamFailure | ModelAnswer | SiteResponse
"""An outcome; a `SiteResponse` is sent unchanged, as events and as JSON."""


@dataclass(frozen=True, slots=True)
class RequestStamp:
    """The facts of one request that its response repeats.

    `now` is when it came, in seconds since the epoch; `number` is its number on this site.
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
        """The upstream's id of its response."""
        return f"resp_{self._digest()[:24]}"

    def _digest(self) -> str:
        return sha256(f"{self.now}|{self.number}".encode()).hexdigest()


def as_events(stamp: RequestStamp, outcome: AIPKitOutcome, pace: float = 0.0) -> SiteResponse:
    """Return the response to the second step: always 200, a comment of 4 KiB first."""
    match outcome:
        case PluginRefusal(message, quota=quota):
            return _sse([_error(stamp, message, quota=quota), _DONE])
        case UpstreamFailure(message, code=code):
            return _sse([_start(stamp), _error(stamp, f"API Error: {message} (Code: {code})")])
        case ModelAnswer(text, end, slowness):
            return _answer(stamp, text or "", end, pace * slowness)
        case SiteResponse():
            return outcome


def as_json(stamp: RequestStamp, outcome: AIPKitOutcome) -> SiteResponse:
    """Return the response to the JSON action, whose errors have statuses (``2.4.0/json_*``)."""
    match outcome:
        case PluginRefusal(message, status):
            return failure(status, message)
        case UpstreamFailure(message, status, code):
            return failure(status, f"OpenAI API Error (HTTP {status}): {message} (Code: {code})")
        case ModelAnswer(text) if outcome.is_whole:
            ids = {
                "message_id": stamp.message_id.replace(".", ""),
                "openai_response_id": stamp.response_id,
            }
            return success({"reply": text, **ids})
        case ModelAnswer(end="stall"):
            return NO_RESPONSE
        case ModelAnswer():
            return failure(500, _BROKEN)
        case SiteResponse():
            return outcome


def success(data: dict[str, object]) -> SiteResponse:
    """Return the response of ``wp_send_json_success``."""
    return _json(200, {"success": True, "data": data})


def failure(status: int, message: str, code: str | None = None) -> SiteResponse:
    """Return the response of ``wp_send_json_error``; `code` is the plugin's name of the case."""
    return _json(
        status, {"success": False, "data": {"message": message} | ({"code": code} if code else {})}
    )


def _answer(stamp: RequestStamp, text: str, end: StreamEnd, pace: float) -> SiteResponse:
    created, progress = _status(stamp, "response.created"), _status(stamp, "response.in_progress")
    deltas = [_data({"delta": token}) for token in tokenize(text)]
    begun = [_start(stamp), created, progress, *deltas[:CHUNKS_BEFORE_FAILURE]]
    match end:
        case "midfail":
            return _sse([*begun, _error(stamp, _BROKEN)], pace)
        case "cut":
            return _sse([*begun, deltas[-1][: len(deltas[-1]) // 2]], pace)
        case "stall":
            return _sse(begun, pace, "stall")
        case "done" | "nodone":
            closing = [_event("openai_response_id", {"id": stamp.response_id}), _DONE]
            events = [_start(stamp), created, progress, *deltas]
            return _sse(events if end == "nodone" else [*events, *closing], pace)


def _start(stamp: RequestStamp) -> bytes:
    return _event("message_start", {"message_id": stamp.message_id})


def _status(stamp: RequestStamp, type_: str) -> bytes:
    return _event(
        "status", {"type": type_, "status": "in_progress", "response_id": stamp.response_id}
    )


def _error(stamp: RequestStamp, message: str, *, quota: bool = False) -> bytes:
    notice = {"type": "quota_notice", "message": message, "actions": []}
    body: dict[str, object] = {"error": message}
    if quota:
        body["quota_notice"] = notice
    return f"event: error\nid: err-{int(stamp.now)}\n".encode() + _data(body)


def _event(event: str, body: dict[str, object]) -> bytes:
    return f"event: {event}\n".encode() + _data(body)


def _data(body: dict[str, object]) -> bytes:
    return f"data: {json_encode(body, raw_unicode=True)}\n\n".encode()


def _sse(events: list[bytes], pace: float = 0.0, ending: Ending = "complete") -> SiteResponse:
    return SiteResponse([_COMMENT, *events], SSE, headers=_EVENT_HEADERS, pace=pace, ending=ending)


def _json(status: int, body: dict[str, object]) -> SiteResponse:
    return SiteResponse([json_encode(body).encode()], JSON, status, headers=AJAX_HEADERS)


# Fills the buffers of servers on the way, so that the events pass at once.
_COMMENT = b":" + b" " * 4096 + b"\n\n"
_DONE = b'event: done\ndata: {"finished":true}\n\n'
_EVENT_HEADERS = (
    *ADMIN_HEADERS,
    ("Cache-Control", "no-cache, no-store, must-revalidate, max-age=0, no-transform"),
    ("Pragma", "no-cache"),
)
