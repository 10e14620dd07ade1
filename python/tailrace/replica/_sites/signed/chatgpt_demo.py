"""chatgpt-demo, GeminiProChat's sibling on OpenAI's models (captures ``geminiprochat/sib-*``).

Signatures are the same, messages are not. Errors of the upstream are passed on with status and
body, and nothing that comes from the upstream has a Content-Type.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica._answers import AnswerError, HistoryTurn, tokenize
from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._site import EXCHANGE, Marker, find_behavior, well_formed
from tailrace.replica._sites.signed.javascript import UNDEFINED, js_string, member, truthy
from tailrace.replica._sites.signed.site import (
    CUT_SHORT,
    FAILED_MIDWAY,
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
    from aiohttp import web


class ChatgptDemoSite(SignedSite):
    """The app on OpenAI's models: messages with content, a system role among them."""

    name: ClassVar[str] = "chatgpt-demo"
    software: ClassVar[str] = "chatgpt-demo"
    shows: ClassVar[str] = "chatgpt-demo, GeminiProChat's sibling: other messages, no Content-Type"
    markers: ClassVar[tuple[Marker[StreamedAnswer | SiteResponse], ...]]

    async def generate(self, request: web.Request, body: object) -> SiteResponse:
        """Check messages, password and signature, and ask the upstream."""
        messages = member(body, "messages")
        if not truthy(messages):
            return error(400, "No input text.")
        if not self.admits(body):
            return WRONG_PASSWORD
        message = last_content(messages)
        if not self.has_signed(body, message):
            return WRONG_SIGNATURE
        return await self._upstream(request, messages, message)

    async def _upstream(self, request: web.Request, messages: Any, message: str) -> SiteResponse:
        turns = read_turns(messages)
        if not turns:
            return _MALFORMED
        match find_behavior(MARKERS, message, request[EXCHANGE]):
            case None:
                return await self._answer(turns)
            case StreamedAnswer() as answer:
                return self.stream(answer, None)
            case SiteResponse() as response:
                return response

    async def _answer(self, turns: list[HistoryTurn]) -> SiteResponse:
        try:
            answer = await self.ask_model(turns[-1].text, turns[:-1])
        except AnswerError as failed:
            return _openai_error(failed.status, failed.message, "upstream_error", None)
        return self.stream(
            StreamedAnswer(tuple(piece.encode() for piece in tokenize(answer))), None
        )


def last_content(messages: object) -> str:
    """Return the content of the last message, which is signed, or an empty string."""
    last = last_of(messages)
    content = UNDEFINED if last in (None, UNDEFINED) else member(last, "content")
    return js_string(content) if truthy(content) else ""


def read_turns(messages: object) -> list[HistoryTurn]:
    """Read the messages as the upstream does; return no turns where it would refuse one."""
    turns = [_turn(message) for message in messages] if isinstance(messages, list) else []
    return [turn for turn in turns if turn is not None] if None not in turns else []


def _turn(message: object) -> HistoryTurn | None:
    match message:
        case {"role": "system" | "user" | "assistant" as role, "content": str(content)}:
            return HistoryTurn(role, well_formed(content))
        case _:
            return None


def _passed_on(status: int, body: str) -> SiteResponse:
    return SiteResponse([body.encode()], None, status)


def _openai_error(status: int, message: str, type_: str, code: str | int | None) -> SiteResponse:
    body = {"error": {"message": message, "type": type_, "param": None, "code": code}}
    return _passed_on(status, json.dumps(body, indent=2))


_MALFORMED = _openai_error(
    400, "A message is not what it should be.", "invalid_request_error", None
)

MARKERS: tuple[Marker[StreamedAnswer | SiteResponse], ...] = (
    Marker(
        "err429",
        "an upstream 429 is passed on, its code a number",
        _passed_on(
            429,
            '{"error": {"code": 429, "message": "The share is used up.", '
            '"status": "RESOURCE_EXHAUSTED"}}',
        ),
    ),
    Marker(
        "err401",
        "the upstream refuses the site's key: its 401 is passed on",
        _openai_error(
            401, "The key sk-xxxx was not accepted.", "invalid_request_error", "invalid_api_key"
        ),
    ),
    Marker(
        "errhtml",
        "the upstream's proxy sends a page: 502",
        _passed_on(502, "<html>the gate is shut</html>"),
    ),
    Marker(
        "broken",
        "the upstream breaks off: 200, some words, the failure tail",
        FAILED_MIDWAY,
    ),
    Marker(
        "cut",
        "the upstream breaks off: 200, some words, cleanly ended",
        CUT_SHORT,
    ),
    Marker("empty", "an empty answer: 200 and no bytes", StreamedAnswer(())),
    Marker(
        "stall",
        "the upstream forgets its [DONE]: some words, then for ever nothing",
        STALLED,
    ),
    Marker("silent", "not even a status line comes", NO_RESPONSE),
    Marker(
        "slow",
        "seven ticks at ten times the pace",
        TICKS,
    ),
)

ChatgptDemoSite.markers = MARKERS
