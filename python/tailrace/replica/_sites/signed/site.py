"""The base of the two signed chat apps: page, order of the checks, signature and password."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica._response import Ending, SiteResponse
from tailrace.replica._site import EXCHANGE, ReplicaSite, SitePage, SiteSettings, well_formed
from tailrace.replica._sites.signed.javascript import (
    UNDEFINED,
    JavaScriptError,
    js_string,
    member,
    read_json,
)

if TYPE_CHECKING:
    from aiohttp import web

JSON_AS_TEXT = "text/plain;charset=UTF-8"
FAILURE_TAIL = b"Internal server error"


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """The upstream's answer: its chunks as they came, and how the connection went on after them."""

    chunks: tuple[bytes, ...]
    ending: Ending = "complete"
    slowness: float = 1.0


class SignedSite(ReplicaSite):
    """A self-hosted app: its page, `/api/generate` and `/api/auth`."""

    pages: ClassVar[tuple[SitePage, ...]] = (SitePage("chat", "/", "the app's page"),)

    def __init__(self, settings: SiteSettings) -> None:
        super().__init__(settings)
        self._secret = settings.secret
        self._password = settings.password or ""

    async def answer(self, request: web.Request) -> SiteResponse:
        """Answer the page, the two endpoints, or anything else (404).

        An exception in the app's JavaScript is an empty 500.
        """
        try:
            return await self._route(request)
        except JavaScriptError:
            return SiteResponse([], None, 500, "Server error")

    async def _route(self, request: web.Request) -> SiteResponse:
        match request.method, request.path:
            case "GET" | "HEAD", "/":
                return SiteResponse([_PAGE.encode()], "text/html; charset=utf-8")
            case "POST", "/api/generate":
                return await self.generate(request, await self._body(request))
            case "POST", "/api/auth":
                return self._auth(await self._body(request))
            case _:
                return SiteResponse(
                    [b"<!doctype html><title>404: Not found</title>"], "text/html", 404
                )

    async def _body(self, request: web.Request) -> object:
        body: object = read_json((await request.read()).decode("utf-8-sig", "replace"))
        request[EXCHANGE].json = body
        return body

    def _auth(self, body: object) -> SiteResponse:
        code = 0 if self.admits(body) else -1
        return SiteResponse([b'{"code":%d}' % code], JSON_AS_TEXT)

    @abstractmethod
    async def generate(self, request: web.Request, body: object) -> SiteResponse:
        """Answer a message."""

    def admits(self, body: object) -> bool:
        """Tell whether `body` has a password of the site, or the site has none."""
        password = member(body, "pass")
        return (
            not self._password
            or password == self._password
            or password in self._password.split(",")
        )

    def has_signed(self, body: object, message: str) -> bool:
        """Tell whether `body` is signed for `message`.

        A signature is the hex SHA-256 of ``{time}:{message}:{secret}``, lone surrogates as U+FFFD.
        """
        payload = well_formed(f"{js_string(member(body, 'time'))}:{message}:{self._secret}")
        return bool(member(body, "sign") == sha256(payload.encode()).hexdigest())

    def stream(self, answer: StreamedAnswer, content_type: str | None) -> SiteResponse:
        """Return the response that streams the upstream's answer as raw text."""
        pace = self.settings.pace * answer.slowness
        return SiteResponse(answer.chunks, content_type, pace=pace, ending=answer.ending)


def last_of(messages: Any) -> Any:
    """Return ``messages[messages.length - 1]``."""
    return messages[-1] if isinstance(messages, (str, list)) and messages else UNDEFINED


def error(status: int, message: str) -> SiteResponse:
    """Return a response with an error that the app itself finds."""
    return SiteResponse(
        [json.dumps({"error": {"message": message}}, separators=(",", ":")).encode()],
        JSON_AS_TEXT,
        status,
    )


STORY = (b"Far out at sea, ", b"the bell rang and ")
"""The chunks that come before an answer fails."""

STALLED = StreamedAnswer(STORY, "stall")
FAILED_MIDWAY = StreamedAnswer((*STORY, FAILURE_TAIL))
CUT_SHORT = StreamedAnswer((b"Half of what was to co",))
TICKS = StreamedAnswer(tuple(b"tick%d " % number for number in range(1, 8)), slowness=10)

WRONG_PASSWORD = error(401, "Invalid password.")
WRONG_SIGNATURE = error(401, "Invalid signature.")

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
    <form><textarea name="message" placeholder="Write here" autocomplete="off"></textarea>\
<button>Send</button></form>
  </main>
</body>
</html>
"""
