"""chatgpt-demo, GeminiProChat's sibling on OpenAI's models (captures ``geminiprochat/sib-*``).

It signs alike and words its messages otherwise; what its upstream refuses, it passes on with status
and body. Nothing that comes from the upstream has a Content-Type.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica._answers import AnswerError, Turn, cut
from tailrace.replica._site import EXCHANGE, Marker, Reply, find_marker, well_formed
from tailrace.replica._sites.signed.app import (
    FAILURE_TAIL,
    WRONG_PASSWORD,
    WRONG_SIGNATURE,
    SignedApp,
    Streamed,
    error,
    last_of,
)
from tailrace.replica._sites.signed.javascript import UNDEFINED, js_string, member, truthy

if TYPE_CHECKING:
    from aiohttp import web


class ChatgptDemoSite(SignedApp):
    """The app on OpenAI's models: messages with content, a system role among them."""

    name: ClassVar[str] = "chatgpt-demo"
    shows: ClassVar[str] = "chatgpt-demo, GeminiProChat's sibling: other messages, no Content-Type"
    markers: ClassVar[tuple[Marker[Streamed | Reply], ...]]

    async def generate(self, request: web.Request, body: object) -> Reply:
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

    async def _upstream(self, request: web.Request, messages: Any, message: str) -> Reply:
        turns = read_turns(messages)
        if not turns:
            return _MALFORMED
        marker = find_marker(MARKERS, message)
        if marker is None:
            return await self._answer(turns)
        request[EXCHANGE].markers = (marker.name,)
        return marker.play if isinstance(marker.play, Reply) else self.streamed(marker.play, None)

    async def _answer(self, turns: list[Turn]) -> Reply:
        try:
            answer = await self.ask(turns[-1].text, turns[:-1])
        except AnswerError as failed:
            return _openai_error(failed.status, failed.message, "upstream_error", None)
        return self.streamed(Streamed(tuple(piece.encode() for piece in cut(answer))), None)


def last_content(messages: object) -> str:
    """Return the last message's content, or nothing where it has none: that is what is signed."""
    last = last_of(messages)
    content = UNDEFINED if last in (None, UNDEFINED) else member(last, "content")
    return js_string(content) if truthy(content) else ""


def read_turns(messages: object) -> list[Turn]:
    """Read the messages as the upstream does; nothing where it would refuse one."""
    turns = [_turn(message) for message in messages] if isinstance(messages, list) else []
    return [turn for turn in turns if turn is not None] if None not in turns else []


def _turn(message: object) -> Turn | None:
    match message:
        case {"role": "system" | "user" | "assistant" as role, "content": str(content)}:
            return Turn(role, well_formed(content))
        case _:
            return None


def _passed_on(status: int, body: str) -> Reply:
    return Reply([body.encode()], None, status)


def _openai_error(status: int, message: str, type_: str, code: str | int | None) -> Reply:
    body = {"error": {"message": message, "type": type_, "param": None, "code": code}}
    return _passed_on(status, json.dumps(body, indent=2))


_MALFORMED = _openai_error(
    400, "A message is not what it should be.", "invalid_request_error", None
)
_TALE = (b"Far out at sea, ", b"the bell rang and ")

MARKERS: tuple[Marker[Streamed | Reply], ...] = (
    Marker(
        "err429",
        "an upstream 429 is passed on, its code a number",
        _passed_on(
            429,
            '{"error": {"code": 429, "message": "The share is used up.", "status": "RESOURCE_EXHAUSTED"}}',
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
        Streamed((*_TALE, FAILURE_TAIL)),
    ),
    Marker(
        "cut",
        "the upstream breaks off: 200, some words, cleanly ended",
        Streamed((b"Half of what was to co",)),
    ),
    Marker("empty", "an empty answer: 200 and no bytes", Streamed(())),
    Marker(
        "stall",
        "the upstream forgets its [DONE]: some words, then for ever nothing",
        Streamed(_TALE, "never"),
    ),
    Marker("silent", "not even a status line comes", Streamed((), "silently")),
    Marker(
        "slow",
        "seven ticks at ten times the pace",
        Streamed(tuple(b"tick%d " % number for number in range(1, 8)), slowness=10),
    ),
)

ChatgptDemoSite.markers = MARKERS
