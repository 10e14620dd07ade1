"""GeminiProChat, self-hosted, as measured (captures ``geminiprochat/``): signed requests in, raw text out.

It reads a request as JavaScript does, so a body of the wrong shape fails at the same step and with the same status.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica.answers import Turn, cut
from tailrace.replica.site import EXCHANGE, Ending, Marker, Page, Reply, Settings, Site, find_marker, well_formed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

TEXT = "text/plain; charset=utf-8"
JSON_AS_TEXT = "text/plain;charset=UTF-8"
FAILURE_TAIL = b"Internal server error"

UNDEFINED = object()


@dataclass(frozen=True, slots=True)
class Streamed:
    """The upstream answered: the chunks as they came, and how the connection went on after them."""

    chunks: tuple[bytes, ...]
    ends: Ending = "cleanly"
    slowness: float = 1.0


@dataclass(frozen=True, slots=True)
class Failed:
    """The upstream answered with an error, or not at all; the app says 500 whatever it was."""

    message: str


class GeminiProChatSite(Site):
    """The app: its page, `/api/generate` and `/api/auth`."""

    name: ClassVar[str] = "geminiprochat"
    shows: ClassVar[str] = "GeminiProChat, the signed chat app"
    pages: ClassVar[tuple[Page, ...]] = (Page("chat", "/", "the app's page"),)
    markers: ClassVar[tuple[Marker[Streamed | Failed], ...]]

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._secret = settings.secret
        self._password = settings.password or ""

    async def answer(self, request: web.Request) -> Reply:
        """Answer the page, the two endpoints, or anything else (404); what throws in JavaScript is an empty 500."""
        try:
            return await self._route(request)
        except Thrown:
            return Reply([], None, 500, "Server error")

    async def _route(self, request: web.Request) -> Reply:
        match request.method, request.path:
            case "GET" | "HEAD", "/":
                return Reply([_PAGE.encode()], "text/html; charset=utf-8")
            case "POST", "/api/generate":
                return await self._generate(request, await self._body(request))
            case "POST", "/api/auth":
                return self._auth(await self._body(request))
            case _:
                return Reply([b"<!doctype html><title>404: Not found</title>"], "text/html", 404)

    async def _body(self, request: web.Request) -> object:
        body: object = read_json((await request.read()).decode("utf-8-sig", "replace"))
        request[EXCHANGE].json = body
        return body

    def _auth(self, body: object) -> Reply:
        code = 0 if self._admits(member(body, "pass")) else -1
        return Reply([b'{"code":%d}' % code], JSON_AS_TEXT)

    async def _generate(self, request: web.Request, body: object) -> Reply:
        messages = member(body, "messages")
        if not truthy(messages) or member(messages, "length") == 0 or member(_last(messages), "role") != "user":
            return _error(400, "Invalid message history: The last message must be from user role.")
        if not self._admits(member(body, "pass")):
            return _error(401, "Invalid password.")
        message = joined_parts(_last(messages))
        signature = sign(member(body, "time"), message, self._secret)
        if member(body, "sign") != signature:
            return _error(401, "Invalid signature.")
        return await self._upstream(request, messages[:-1], message)

    async def _upstream(self, request: web.Request, earlier: Sequence[object], message: str) -> Reply:
        complaint = complain_of_history(earlier)
        if complaint:
            return _upstream_error(f"[GoogleGenerativeAI Error]: {complaint}")
        marker = find_marker(MARKERS, message)
        if marker is None:
            answer = await self.ask(well_formed(message), [_turn(content) for content in earlier])
            return self._stream(Streamed(tuple(cut(answer.encode()))))
        request[EXCHANGE].markers = (marker.name,)
        if isinstance(marker.play, Failed):
            return _upstream_error(marker.play.message)
        return self._stream(marker.play)

    def _stream(self, streamed: Streamed) -> Reply:
        return Reply(streamed.chunks, TEXT, pace=self.settings.pace * streamed.slowness, ends=streamed.ends)

    def _admits(self, password: object) -> bool:
        return not self._password or password == self._password or password in self._password.split(",")


class Thrown(Exception):  # noqa: N818 - JavaScript's word for it
    """What the app's code would throw on, and its framework turns into an empty 500."""


def read_json(text: str) -> Any:
    """Read JSON as ``JSON.parse`` does: the last of equal keys wins, NaN is none, a lone surrogate is fine."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_int=float)
    except (ValueError, RecursionError):
        raise Thrown from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def member(value: object, name: str) -> Any:
    """Return ``value.name`` as JavaScript has it; of null and undefined it throws."""
    if value is None or value is UNDEFINED:
        raise Thrown
    if isinstance(value, dict):
        return value.get(name, UNDEFINED)
    if name == "length" and isinstance(value, (str, list)):
        return len(value)
    return UNDEFINED


def truthy(value: object) -> bool:
    """Tell whether JavaScript takes `value` for true: empty objects and arrays are."""
    return isinstance(value, (dict, list)) or (value is not UNDEFINED and bool(value))


def _last(messages: Any) -> Any:
    return messages[-1] if isinstance(messages, (str, list)) and messages else UNDEFINED


def joined_parts(content: object) -> str:
    """Return the texts of a message's parts, joined with nothing between them."""
    parts = member(content, "parts")
    if not isinstance(parts, list):
        raise Thrown
    texts = (member(part, "text") for part in parts)
    return "".join("" if text in (None, UNDEFINED) else js_string(text) for text in texts)


def sign(time: object, message: str, secret: str) -> str:
    """Return the hex SHA-256 of ``{time}:{message}:{secret}``, a lone surrogate being U+FFFD."""
    return sha256(well_formed(f"{js_string(time)}:{message}:{secret}").encode()).hexdigest()


def js_string(value: object) -> str:  # noqa: PLR0911 - one a type
    """Write a JSON value as JavaScript's ``String(value)`` does."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return _js_number(value)
        case list():
            return ",".join("" if item is None else js_string(item) for item in value)
        case dict():
            return "[object Object]"
        case None:
            return "null"
        case _:
            return "undefined"


def _js_number(value: float) -> str:
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    if 1e-6 <= abs(value) < 1e21:  # noqa: PLR2004 - where ECMAScript's Number::toString changes its notation
        return re.sub(r"\.0$", "", format(Decimal(repr(value)), "f"))
    return re.sub(r"(?:\.0)?e([+-])0?", r"e\1", repr(value))


def complain_of_history(contents: Sequence[object]) -> str:
    """Return what the upstream's library finds wrong with the earlier messages, or nothing."""
    for number, content in enumerate(contents):
        if not isinstance(content, dict) or content.get("role") not in ("user", "model"):
            return f"Message {number} of the history has no role it may have."
        if number == 0 and content["role"] != "user":
            return "The history does not begin with the user."
        parts = content.get("parts")
        if not isinstance(parts, list) or not parts or not all(_is_text_part(part) for part in parts):
            return f"Message {number} of the history has no list of text parts."
    return ""


def _is_text_part(part: object) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _turn(content: Any) -> Turn:
    return Turn("assistant" if content["role"] == "model" else "user", joined_parts(content))


def _error(status: int, message: str) -> Reply:
    return Reply([json.dumps({"error": {"message": message}}, separators=(",", ":")).encode()], JSON_AS_TEXT, status)


def _upstream_error(message: str) -> Reply:
    body = {"error": {"code": "Error", "message": message}}
    return Reply([json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()], JSON_AS_TEXT, 500)


_TALE = (b"Far out at sea, ", b"the bell rang and ")
_MULTIBYTE = "héllo 你好。世界 🎉👩‍👩‍👧 末尾".encode()
_FETCHING = "[GoogleGenerativeAI Error]: Error fetching from  "

MARKERS: tuple[Marker[Streamed | Failed], ...] = (
    Marker("safety-mid", "blocked in mid-answer: 200, some words, the failure tail", Streamed((*_TALE, FAILURE_TAIL))),
    Marker("safety-first", "blocked at once: 200 and only the failure tail", Streamed((FAILURE_TAIL,))),
    Marker("cut", "the upstream breaks off: 200, some words, cleanly ended", Streamed((b"Half of what was to co",))),
    Marker("empty", "an empty answer: 200 and no bytes", Streamed(())),
    Marker("err400", "an upstream 400 loses its prefix and its status: 500", Failed("This place is not served.")),
    Marker(
        "err429",
        "an upstream 429: 500, the real status in brackets",
        Failed(f"{_FETCHING}[429 Too Many Requests] The quota is used up. See  for more."),
    ),
    Marker(
        "errkey",
        "the upstream refuses the site's key: 500, JSON inside the message",
        Failed('The key is not valid. [{"@type":"type.example/ErrorInfo","reason":"API_KEY_INVALID"}]'),
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
    Marker("stall", "after a few words nothing more comes, and the connection stays", Streamed(_TALE, "never")),
    Marker("silent", "not even a status line comes", Streamed((), "silently")),
)

GeminiProChatSite.markers = MARKERS

_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>A chat by the harbour</title>
  <script type="module" src="/_astro/chat.js"></script>
</head>
<body>
  <main>
    <h1>A chat by the harbour</h1>
    <form><textarea name="message" placeholder="Write here" autocomplete="off"></textarea><button>Send</button></form>
  </main>
</body>
</html>
"""
