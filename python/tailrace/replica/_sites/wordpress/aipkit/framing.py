"""Framing of AIPKit: events (2.3 and later), or one JSON object (2.3 to 2.4.0).

Layouts are those of the captured responses named beside them; the wording is our own, since sites
translate it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Iterator

SSE = "text/event-stream; charset=utf-8"

_BROKEN = "Connection Error: the transfer closed before all of it was read"


@dataclass(frozen=True, slots=True)
class PluginRefusal:
    """The plugin itself refuses: an error and then the end. `status` is that of the JSON form."""

    message: str
    status: int = 400
    quota: bool = False


@dataclass(frozen=True, slots=True)
class WarnedAnswer:
    """The model's answer (`text` None: that of the replica's `Answers`) with the plugin's warnings.

    `warnings`: their texts, which the site's page shows in the answer. `in_warning`: whether the
    text stands in the first of them, as when it came with the news in one read of the upstream.
    `stop_reason`: Claude's, told in a status; None for an upstream of OpenAI's kind.
    """

    warnings: tuple[str, ...] = ()
    text: str | None = None
    in_warning: bool = False
    stop_reason: str | None = None


@dataclass(frozen=True, slots=True)
class FormShown:
    """The site shows a form of this title in an answer's place."""

    title: str


AIPKitOutcome = (
    PluginRefusal | UpstreamFailure | ModelAnswer | WarnedAnswer | FormShown | SiteResponse
)
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
        case SiteResponse():
            return outcome
        case ModelAnswer(text, end, slowness):
            return _answer(stamp, text or "", end, pace * slowness)
        case WarnedAnswer():
            return _sse(list(_warned(stamp, outcome)), pace)
        case _:
            return _sse(_without_answer(stamp, outcome))


def _without_answer(
    stamp: RequestStamp, outcome: PluginRefusal | UpstreamFailure | FormShown
) -> list[bytes]:
    match outcome:
        case PluginRefusal(message, quota=quota):
            return [_error(stamp, message, quota=quota), _DONE]
        case UpstreamFailure(message, code=code):
            return [_start(stamp), _error(stamp, f"API Error: {message} (Code: {code})")]
        case FormShown(title):
            form = _event("display_form_event", {"form_id": 7, "title": title})
            return [_start(stamp), form, _DONE]


def as_json(stamp: RequestStamp, outcome: AIPKitOutcome) -> SiteResponse:
    """Return the response to the JSON action, whose errors have statuses (``2.4.0/json_*``)."""
    match outcome:
        case SiteResponse():
            return outcome
        case PluginRefusal(message, status):
            return failure(status, message)
        case UpstreamFailure(message, status, code):
            return failure(status, f"OpenAI API Error (HTTP {status}): {message} (Code: {code})")
        case ModelAnswer(end="stall"):
            return NO_RESPONSE
        case ModelAnswer() if not outcome.is_whole:
            return failure(500, _BROKEN)
        case _:
            return success(_whole(stamp, outcome))


def _whole(
    stamp: RequestStamp, outcome: ModelAnswer | WarnedAnswer | FormShown
) -> dict[str, object]:
    message_id = stamp.message_id.replace(".", "")
    match outcome:
        case ModelAnswer(text):
            ids = {"message_id": message_id, "openai_response_id": stamp.response_id}
            return {"reply": text, **ids}
        case WarnedAnswer(warnings, text):
            return {"reply": "".join((text or "", *warnings)), "message_id": message_id}
        case FormShown(title):
            return {"reply": "", "display_form": {"form_id": 7, "title": title}}


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


def _warned(stamp: RequestStamp, answer: WarnedAnswer) -> Iterator[bytes]:
    """Yield the events of an answer with warnings, in the captured orders (``2.4.71/resp_*``)."""
    text, warnings = answer.text or "", list(answer.warnings)
    response_id = _event("openai_response_id", {"id": stamp.response_id})
    yield _start(stamp)
    if answer.in_warning:
        warnings[0] = text + warnings[0]
        yield response_id
        yield _status(stamp, "response.in_progress")
        yield from (_warning(stamp, warning) for warning in warnings)
    elif answer.stop_reason is not None:
        yield _event("status", {"type": "message_start", "message_id": "msg_1", "model": "m"})
        yield from (_data({"delta": token}) for token in tokenize(text))
        yield _event("status", {"type": "message_delta", "stop_reason": answer.stop_reason})
        yield from (_warning(stamp, warning) for warning in warnings)
        yield _event("status", {"type": "message_stop"})
    else:
        yield _status(stamp, "response.created")
        yield _status(stamp, "response.in_progress")
        yield from (_data({"delta": token}) for token in tokenize(text))
        if text:
            yield response_id
        yield from (_warning(stamp, warning) for warning in warnings)
        if not text:
            yield response_id
    yield _DONE


def _warning(stamp: RequestStamp, text: str) -> bytes:
    return f"event: warning\nid: err-{int(stamp.now)}\n".encode() + _data({"error": text})


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
