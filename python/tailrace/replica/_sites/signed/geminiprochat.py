"""GeminiProChat, self-hosted, as measured (captures ``geminiprochat/``): signed requests in, raw
text out.

It reads a request as JavaScript does, so a body of the wrong shape fails at the same step and with
the same status.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica._answers import AnswerError, Turn, cut
from tailrace.replica._site import EXCHANGE, Marker, Reply, find_marker, well_formed
from tailrace.replica._sites.signed.app import (
    FAILURE_TAIL,
    JSON_AS_TEXT,
    WRONG_PASSWORD,
    WRONG_SIGNATURE,
    SignedApp,
    Streamed,
    error,
    last_of,
)
from tailrace.replica._sites.signed.javascript import UNDEFINED, Thrown, js_string, member, truthy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Failed:
    """The upstream answered with an error, or not at all; the app says 500 whatever it was."""

    message: str


class GeminiProChatSite(SignedApp):
    """The app on Google's models: messages of parts, and no system role."""

    name: ClassVar[str] = "geminiprochat"
    shows: ClassVar[str] = "GeminiProChat, the signed chat app"
    markers: ClassVar[tuple[Marker[Streamed | Failed], ...]]

    async def generate(self, request: web.Request, body: object) -> Reply:
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
    ) -> Reply:
        complaint = complain_of_history(earlier)
        if complaint:
            return _upstream_error(f"[GoogleGenerativeAI Error]: {complaint}")
        marker = find_marker(MARKERS, message)
        if marker is None:
            return await self._answer(well_formed(message), [_turn(content) for content in earlier])
        request[EXCHANGE].markers = (marker.name,)
        if isinstance(marker.play, Failed):
            return _upstream_error(marker.play.message)
        return self.streamed(marker.play, TEXT)

    async def _answer(self, message: str, turns: Sequence[Turn]) -> Reply:
        try:
            answer = await self.ask(message, turns)
        except AnswerError as failed:
            return _upstream_error(
                f"{_FETCHING}[{failed.status} {reason(failed.status)}] {failed.message}"
            )
        return self.streamed(Streamed(tuple(cut(answer.encode()))), TEXT)


def reason(status: int) -> str:
    """Return HTTP's words for `status`, or nothing where it has none."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def joined_parts(content: object) -> str:
    """Return the texts of a message's parts, joined with nothing between them."""
    parts = member(content, "parts")
    if not isinstance(parts, list):
        raise Thrown
    texts = (member(part, "text") for part in parts)
    return "".join("" if text in (None, UNDEFINED) else js_string(text) for text in texts)


def complain_of_history(contents: Sequence[object]) -> str:
    """Return what the upstream's library finds wrong with the earlier messages, or nothing."""
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


def _turn(content: Any) -> Turn:
    return Turn("assistant" if content["role"] == "model" else "user", joined_parts(content))


def _upstream_error(message: str) -> Reply:
    body = {"error": {"code": "Error", "message": message}}
    return Reply(
        [json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()], JSON_AS_TEXT, 500
    )


_TALE = (b"Far out at sea, ", b"the bell rang and ")
_MULTIBYTE = "héllo 你好。世界 🎉👩‍👩‍👧 末尾".encode()
_FETCHING = "[GoogleGenerativeAI Error]: Error fetching from  "

MARKERS: tuple[Marker[Streamed | Failed], ...] = (
    Marker(
        "safety-mid",
        "blocked in mid-answer: 200, some words, the failure tail",
        Streamed((*_TALE, FAILURE_TAIL)),
    ),
    Marker(
        "safety-first", "blocked at once: 200 and only the failure tail", Streamed((FAILURE_TAIL,))
    ),
    Marker(
        "cut",
        "the upstream breaks off: 200, some words, cleanly ended",
        Streamed((b"Half of what was to co",)),
    ),
    Marker("empty", "an empty answer: 200 and no bytes", Streamed(())),
    Marker(
        "err400",
        "an upstream 400 loses its prefix and its status: 500",
        Failed("This place is not served."),
    ),
    Marker(
        "err429",
        "an upstream 429: 500, the real status in brackets",
        Failed(f"{_FETCHING}[429 Too Many Requests] The quota is used up. See  for more."),
    ),
    Marker(
        "errkey",
        "the upstream refuses the site's key: 500, JSON inside the message",
        Failed(
            'The key is not valid. [{"@type":"type.example/ErrorInfo","reason":"API_KEY_INVALID"}]'
        ),
    ),
    Marker("reset", "the upstream resets the connection: 500", Failed(f"{_FETCHING}fetch failed")),
    Marker(
        "utf8",
        "characters of many bytes, one byte a chunk",
        Streamed(tuple(_MULTIBYTE[at : at + 1] for at in range(len(_MULTIBYTE)))),
    ),
    Marker(
        "jsonlike",
        "an answer that looks like an error object",
        Streamed((b'{"error":{"message":"Invalid signature."}}',)),
    ),
    Marker(
        "slow",
        "seven ticks at ten times the pace",
        Streamed(tuple(b"tick%d " % number for number in range(1, 8)), slowness=10),
    ),
    Marker(
        "stall",
        "after a few words nothing more comes, and the connection stays",
        Streamed(_TALE, "never"),
    ),
    Marker("silent", "not even a status line comes", Streamed((), "silently")),
)

GeminiProChatSite.markers = MARKERS
