"""GeminiProChat, self-hosted: signed requests in, raw text out (captures ``geminiprochat/``).

A request is read as JavaScript reads it, so a body of the wrong shape fails at the same step and
with the same status.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica._answers import AnswerError, HistoryTurn, tokenize
from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._site import EXCHANGE, Marker, find_behavior, well_formed
from tailrace.replica._sites.outcomes import UpstreamFailure
from tailrace.replica._sites.signed.javascript import (
    UNDEFINED,
    JavaScriptError,
    js_string,
    member,
    truthy,
)
from tailrace.replica._sites.signed.site import (
    CUT_SHORT,
    FAILED_MIDWAY,
    FAILURE_TAIL,
    JSON_AS_TEXT,
    STALLED,
    TICKS,
    WRONG_PASSWORD,
    WRONG_SIGNATURE,
    SignedSite,
    StreamedAnswer,
    error,
    last_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

TEXT = "text/plain; charset=utf-8"


class GeminiProChatSite(SignedSite):
    """The app on Google's models: messages of parts, and no system role."""

    name: ClassVar[str] = "geminiprochat"
    software: ClassVar[str] = "geminiprochat"
    shows: ClassVar[str] = "GeminiProChat, the signed chat app"
    markers: ClassVar[tuple[Marker[StreamedAnswer | UpstreamFailure | SiteResponse], ...]]

    async def generate(self, request: web.Request, body: object) -> SiteResponse:
        """Check history, password and signature, and ask the upstream."""
        messages = member(body, "messages")
        if (
            not truthy(messages)
            or member(messages, "length") == 0
            or member(last_of(messages), "role") != "user"
        ):
            return error(400, "Invalid message history: The last message must be from user role.")
        if not self.admits(body):
            return WRONG_PASSWORD
        message = joined_parts(last_of(messages))
        if not self.has_signed(body, message):
            return WRONG_SIGNATURE
        return await self._upstream(request, messages[:-1], message)

    async def _upstream(
        self, request: web.Request, earlier: Sequence[object], message: str
    ) -> SiteResponse:
        problem = history_error(earlier)
        if problem:
            return _upstream_error(f"[GoogleGenerativeAI Error]: {problem}")
        match find_behavior(MARKERS, message, request[EXCHANGE]):
            case None:
                turns = [_turn(content) for content in earlier]
                return await self._answer(well_formed(message), turns)
            case UpstreamFailure(description):
                return _upstream_error(description)
            case StreamedAnswer() as answer:
                return self.stream(answer, TEXT)
            case SiteResponse() as response:
                return response

    async def _answer(self, message: str, turns: Sequence[HistoryTurn]) -> SiteResponse:
        try:
            answer = await self.ask_model(message, turns)
        except AnswerError as failed:
            return _upstream_error(
                f"{_FETCHING}[{failed.status} {reason(failed.status)}] {failed.message}"
            )
        return self.stream(StreamedAnswer(tuple(tokenize(answer.encode()))), TEXT)


def reason(status: int) -> str:
    """Return the reason phrase of `status`, or an empty string where HTTP has none."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def joined_parts(content: object) -> str:
    """Return the texts of a message's parts, joined with nothing between them."""
    parts = member(content, "parts")
    if not isinstance(parts, list):
        raise JavaScriptError
    texts = (member(part, "text") for part in parts)
    return "".join("" if text in (None, UNDEFINED) else js_string(text) for text in texts)


def history_error(contents: Sequence[object]) -> str:
    """Return the error of the upstream's library about the earlier messages, or an empty string."""
    for number, content in enumerate(contents):
        if not isinstance(content, dict) or content.get("role") not in ("user", "model"):
            return f"Message {number} of the history has no role it may have."
        if number == 0 and content["role"] != "user":
            return "The history does not begin with the user."
        parts = content.get("parts")
        if (
            not isinstance(parts, list)
            or not parts
            or not all(_is_text_part(part) for part in parts)
        ):
            return f"Message {number} of the history has no list of text parts."
    return ""


def _is_text_part(part: object) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _turn(content: Any) -> HistoryTurn:
    return HistoryTurn("assistant" if content["role"] == "model" else "user", joined_parts(content))


def _upstream_error(message: str) -> SiteResponse:
    body = {"error": {"code": "Error", "message": message}}
    return SiteResponse(
        [json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()], JSON_AS_TEXT, 500
    )


_MULTIBYTE = "héllo 你好。世界 🎉👩‍👩‍👧 末尾".encode()
_FETCHING = "[GoogleGenerativeAI Error]: Error fetching from  "

MARKERS: tuple[Marker[StreamedAnswer | UpstreamFailure | SiteResponse], ...] = (
    Marker(
        "safety-mid",
        "blocked in mid-answer: 200, some words, the failure tail",
        FAILED_MIDWAY,
    ),
    Marker(
        "safety-first",
        "blocked at once: 200 and only the failure tail",
        StreamedAnswer((FAILURE_TAIL,)),
    ),
    Marker(
        "cut",
        "the upstream breaks off: 200, some words, cleanly ended",
        CUT_SHORT,
    ),
    Marker("empty", "an empty answer: 200 and no bytes", StreamedAnswer(())),
    Marker(
        "err400",
        "an upstream 400 loses its prefix and its status: 500",
        UpstreamFailure("This place is not served."),
    ),
    Marker(
        "err429",
        "an upstream 429: 500, the real status in brackets",
        UpstreamFailure(f"{_FETCHING}[429 Too Many Requests] The quota is used up. See  for more."),
    ),
    Marker(
        "errkey",
        "the upstream refuses the site's key: 500, JSON inside the message",
        UpstreamFailure(
            'The key is not valid. [{"@type":"type.example/ErrorInfo","reason":"API_KEY_INVALID"}]'
        ),
    ),
    Marker(
        "reset",
        "the upstream resets the connection: 500",
        UpstreamFailure(f"{_FETCHING}fetch failed"),
    ),
    Marker(
        "utf8",
        "characters of many bytes, one byte a chunk",
        StreamedAnswer(tuple(_MULTIBYTE[at : at + 1] for at in range(len(_MULTIBYTE)))),
    ),
    Marker(
        "jsonlike",
        "an answer that looks like an error object",
        StreamedAnswer((b'{"error":{"message":"Invalid signature."}}',)),
    ),
    Marker(
        "slow",
        "seven ticks at ten times the pace",
        TICKS,
    ),
    Marker(
        "stall",
        "after a few words nothing more comes, and the connection stays",
        STALLED,
    ),
    Marker("silent", "not even a status line comes", NO_RESPONSE),
)

GeminiProChatSite.markers = MARKERS
