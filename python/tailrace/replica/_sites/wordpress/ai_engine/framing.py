"""Framing of AI Engine: frames as server-sent events, or one JSON object.

Layouts are those of the captured responses named beside them. The plugin's own sentences are in
English at every site, and clients know them; all other wording is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tailrace.replica._answers import tokenize
from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._sites.outcomes import (
    CHUNKS_BEFORE_FAILURE,
    ModelAnswer,
    UpstreamFailure,
)
from tailrace.replica._sites.wordpress.php import json_encode
from tailrace.replica._sites.wordpress.site import HTML, JSON

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tailrace.replica._response import Ending
    from tailrace.replica._sites.wordpress.ai_engine.versions import Version

SSE = "text/event-stream;charset=UTF-8"

REJECTED = "Sorry, your query has been rejected."

_HEADERS = (
    ("Server", "nginx"),
    ("X-Robots-Tag", "noindex"),
    ("X-Content-Type-Options", "nosniff"),
)


@dataclass(frozen=True, slots=True)
class PluginRefusal:
    """The plugin refuses in its own words, before the model is asked.

    `labelled_as_json`: whether the frame that says so comes before the stream has begun.
    """

    message: str
    labelled_as_json: bool = False


@dataclass(frozen=True, slots=True)
class BrokenAnswer:
    """The model's service breaks off after a few words, and the plugin says so or not.

    `message`: the words of the error frame; None: a normal end with half of the text.
    """

    message: str | None = None


@dataclass(frozen=True, slots=True)
class DyingAnswer:
    """PHP dies within the answer: the connection ends in good order, without an end."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A person answers in the model's place: one JSON object, also where a stream was asked for."""

    text: str


@dataclass(frozen=True, slots=True)
class SpecialAnswer:
    """An answer with more than text, or with its text elsewhere.

    `text`: None for that of the replica's `Answers`. `is_live`: whether frames tell the text, and
    not the end alone. `events`: subtype and words of frames before the text. `reply`: that of the
    end, instead of the text; with `is_behind` it goes on behind the text. `actions`: those of the
    page; `images`: URLs.
    """

    text: str | None = None
    is_live: bool = True
    events: tuple[tuple[str, str], ...] = ()
    reply: str | None = None
    is_behind: bool = False
    actions: tuple[dict[str, object], ...] = ()
    images: tuple[str, ...] = ()
    has_parts: bool = False

    def end_reply(self) -> str:
        """Return the reply of the end: without the blanks at its ends."""
        text = self.text or ""
        reply = text + (self.reply or "") if self.is_behind else self.reply
        return php_trim(text if reply is None else reply)


AIEngineOutcome = (
    PluginRefusal
    | UpstreamFailure
    | BrokenAnswer
    | DyingAnswer
    | TakenOver
    | ModelAnswer
    | SpecialAnswer
    | SiteResponse
)
"""An outcome; a `SiteResponse` is sent unchanged, as a stream and as JSON."""


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """The facts of one request that its reply repeats.

    `fresh_nonce`: the nonce in the reply's head, empty where none was sent; `new_token`: the one in
    its end, None where the request's was of this tick. `printed`: what another plugin printed
    before the head. `pace`: seconds between two writes; `number`: the request's number.
    """

    version: Version
    fresh_nonce: str
    new_token: str | None
    printed: bytes
    pace: float
    number: int

    @property
    def head(self) -> tuple[tuple[str, str], ...]:
        """The headers of the reply, Content-Type left out."""
        if self.printed:
            return _HEADERS[:1]
        return (*_HEADERS, *((("X-WP-Nonce", self.fresh_nonce),) if self.fresh_nonce else ()))


def as_stream(facts: ReplyFacts, outcome: AIEngineOutcome, text: str) -> SiteResponse:
    """Return the reply to a request for a stream; `text`: what the model says."""
    if facts.printed and facts.version.refuses_to_stream_late:
        return _events(facts, [_frame(type="error", data=_HEADERS_SENT)])
    match outcome:
        case SiteResponse() | TakenOver():
            return as_json(facts, outcome, text)
        case ModelAnswer():
            return _model_stream(facts, outcome, text)
        case PluginRefusal(labelled_as_json=True):
            return _events(facts, list(_frames(facts, outcome, text)), JSON)
        case _:
            return _events(facts, list(_frames(facts, outcome, text)))


def _frames(
    facts: ReplyFacts,
    outcome: PluginRefusal | UpstreamFailure | BrokenAnswer | DyingAnswer | SpecialAnswer,
    text: str,
) -> Iterator[bytes]:
    begun = tokenize(text)[:CHUNKS_BEFORE_FAILURE]
    upstream = facts.version.upstream
    match outcome:
        case PluginRefusal(message):
            yield _frame(type="error", data=message)
        case UpstreamFailure(message, code=code):
            is_old = facts.version < (2, 1, 0)
            words = f"Error {code}: {message}" if is_old else f"Error: {message} ({code}) (x)"
            yield _frame(type="error", data=f"{upstream}: {words}")
        case BrokenAnswer(None):
            yield from _live(begun)
            yield end_frame(facts, SpecialAnswer("".join(begun)))
        case BrokenAnswer(message):
            yield from _live(begun)
            yield _frame(type="error", data=f"{upstream}: {message}")
        case DyingAnswer():
            yield from _live(begun)
        case SpecialAnswer():
            yield from _special(facts, outcome)


def as_json(facts: ReplyFacts, outcome: AIEngineOutcome, text: str) -> SiteResponse:
    """Return the reply to a request for one JSON object; `text`: what the model says."""
    match outcome:
        case SiteResponse():
            return outcome
        case DyingAnswer():
            return FATAL_ERROR
        case ModelAnswer(end="stall"):
            return NO_RESPONSE
    words = _failure_words(facts, outcome)
    if words is not None:
        return failure(500, words, facts)
    answer = outcome if isinstance(outcome, SpecialAnswer) else SpecialAnswer(text)
    if isinstance(outcome, BrokenAnswer):
        answer = SpecialAnswer("".join(tokenize(text)[:CHUNKS_BEFORE_FAILURE]))
    if isinstance(outcome, TakenOver):
        answer = SpecialAnswer(outcome.text)
        return success(end_object(facts, answer) | {"usage": None}, facts)
    return success(end_object(facts, answer), facts)


def _failure_words(facts: ReplyFacts, outcome: AIEngineOutcome) -> str | None:
    """Return the words by which the plugin reports a failure; None for an answer."""
    upstream = facts.version.upstream
    match outcome:
        case PluginRefusal(message):
            return message
        case UpstreamFailure(message) | BrokenAnswer(str(message)):
            return f"{upstream}: {message}"
        case ModelAnswer() if not outcome.is_whole:
            return f"{upstream}: {_CUT}"
        case _:
            return None


def success(body: dict[str, object], facts: ReplyFacts | None = None) -> SiteResponse:
    """Return the reply with a JSON object of the plugin's."""
    return _json(200, body, facts)


def failure(status: int, message: str, facts: ReplyFacts | None = None) -> SiteResponse:
    """Return the plugin's own refusal (``3.6.2/no-bot-stream``)."""
    return _json(status, {"success": False, "message": message}, facts)


def rest_error(
    status: int, code: str, message: str, *headers: tuple[str, str], **more: object
) -> SiteResponse:
    """Return an error of WordPress's REST API (``3.6.2/nonce-wrong-stream``)."""
    body: dict[str, object] = {"code": code, "message": message, "data": {"status": status}}
    response = json_encode(body | more).encode()
    return SiteResponse([response], JSON, status, headers=(*_HEADERS, *headers))


def end_object(facts: ReplyFacts, answer: SpecialAnswer) -> dict[str, object]:
    """Return the answer as a whole (``3.6.2/shortcuts-json``, ``2.0.9/ok-stream``)."""
    version = facts.version
    body: dict[str, object] = {
        "success": True,
        "reply": answer.end_reply(),
        "images": list(answer.images) or None,
    }
    if version.has_page_parts:
        body |= {
            "actions": list(answer.actions),
            "shortcuts": [_SHORTCUT] if answer.has_parts else [],
            "blocks": [_BLOCK] if answer.has_parts else [],
        }
    tokens = len(tokenize(answer.text or ""))
    usage: dict[str, Any] = {
        "prompt_tokens": 10,
        "completion_tokens": tokens,
        "total_tokens": 10 + tokens,
    }
    if version.has_response_ids:
        usage |= {"price": None, "queries": 1, "accuracy": "tokens"}
    body["usage"] = {"resolution": "1024x1024", "images": 1} if answer.images else usage
    if version.has_response_ids:
        body["responseId"] = f"resp_{facts.number}"
    if facts.new_token is not None:
        body["new_token"] = facts.new_token
    return body


def end_frame(facts: ReplyFacts, answer: SpecialAnswer) -> bytes:
    """Return the last frame of an answer, which holds it as JSON within a string."""
    return _frame(type="end", data=json_encode(end_object(facts, answer)))


def php_trim(text: str) -> str:
    """Return what PHP's ``trim`` leaves of a text."""
    return text.strip(" \t\n\r\0\x0b")


def _model_stream(facts: ReplyFacts, answer: ModelAnswer, text: str) -> SiteResponse:
    tokens = list(_live(tokenize(text)))
    begun = tokens[:CHUNKS_BEFORE_FAILURE]
    pace = answer.slowness
    match answer.end:
        case "done":
            return _events(facts, [*tokens, end_frame(facts, SpecialAnswer(text))], slowness=pace)
        case "nodone":
            return _events(facts, tokens, slowness=pace)
        case "midfail":
            words = f"{facts.version.upstream}: {_CUT}"
            return _events(facts, [*begun, _frame(type="error", data=words)], slowness=pace)
        case "cut":
            last = tokens[-1][: len(tokens[-1]) // 2] if tokens else b""
            return _events(facts, [*begun, last], slowness=pace, is_cut=True)
        case "stall":
            return _events(facts, begun, slowness=pace, ending="stall")


def _special(facts: ReplyFacts, answer: SpecialAnswer) -> Iterator[bytes]:
    for subtype, words in answer.events if facts.version.has_response_ids else ():
        yield _frame(
            type="live",
            data=words,
            timestamp=1795985455.17,
            subtype=subtype,
            visibility="collapsed",
        )
    if answer.is_live:
        yield from _live(tokenize(answer.text or ""))
    yield end_frame(facts, answer)


def _live(tokens: Sequence[str]) -> Iterator[bytes]:
    return (_frame(type="live", data=token) for token in tokens)


def _frame(**members: object) -> bytes:
    return f"data: {json_encode(members)}".encode()


def _events(
    facts: ReplyFacts,
    frames: Sequence[bytes],
    kind: str = SSE,
    *,
    slowness: float = 1.0,
    ending: Ending = "complete",
    is_cut: bool = False,
) -> SiteResponse:
    """Return a reply of frames: one chunk each, and one for the blank line behind it."""
    chunks = [chunk for frame in frames for chunk in (frame, b"\n\n")]
    if is_cut:
        chunks = chunks[:-1]
    head = (*facts.head, ("Cache-Control", "no-cache"))
    return SiteResponse(
        [facts.printed, *chunks] if facts.printed else chunks,
        HTML if facts.printed else kind,
        headers=head,
        pace=facts.pace * slowness / 2,
        ending=ending,
    )


def _json(status: int, body: dict[str, object], facts: ReplyFacts | None) -> SiteResponse:
    text = json_encode(body).encode()
    if facts is None:
        return SiteResponse([text], JSON, status, headers=_HEADERS)
    kind = HTML if facts.printed else JSON
    return SiteResponse([facts.printed + text], kind, status, headers=facts.head)


_HEADERS_SENT = (
    "Headers already sent in /srv/www/html/printed.php on line 1. Cannot start streaming."
)
_CUT = "cURL error 18: transfer closed with outstanding read data remaining"
_SHORTCUT = {"type": "message", "data": {"label": "High water"}}
_BLOCK = {"type": "content", "data": {"html": "<p>Ask the harbour master</p>"}}

FATAL_ERROR = rest_error(
    500,
    "internal_server_error",
    '<p>This site met an error it cannot handle.</p><p><a href="https://example.org/">Read more.'
    "</a></p>",
    data={
        "status": 500,
        "error": {
            "type": 1,
            "message": "Uncaught Error: no such function in /srv/www/html/harbour.php:7",
            "file": "/srv/www/html/harbour.php",
            "line": 7,
        },
    },
    additional_errors=[],
)
