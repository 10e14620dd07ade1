"""What the two signed chat apps share: the page, the order of the checks, the signature, the
password.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica._site import EXCHANGE, Ending, Page, Reply, Settings, Site, well_formed
from tailrace.replica._sites.signed.javascript import (
    UNDEFINED,
    Thrown,
    js_string,
    member,
    read_json,
)

if TYPE_CHECKING:
    from aiohttp import web

JSON_AS_TEXT = "text/plain;charset=UTF-8"
FAILURE_TAIL = b"Internal server error"


@dataclass(frozen=True, slots=True)
class Streamed:
    """The upstream answered: the chunks as they came, and how the connection went on after them."""

    chunks: tuple[bytes, ...]
    ends: Ending = "cleanly"
    slowness: float = 1.0


class SignedApp(Site):
    """A self-hosted app: its page, `/api/generate` and `/api/auth`."""

    pages: ClassVar[tuple[Page, ...]] = (Page("chat", "/", "the app's page"),)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._secret = settings.secret
        self._password = settings.password or ""

    async def answer(self, request: web.Request) -> Reply:
        """Answer the page, the two endpoints, or anything else (404); what throws in JavaScript is
        an empty 500.
        """
        try:
            return await self._route(request)
        except Thrown:
            return Reply([], None, 500, "Server error")

    async def _route(self, request: web.Request) -> Reply:
        match request.method, request.path:
            case "GET" | "HEAD", "/":
                return Reply([_PAGE.encode()], "text/html; charset=utf-8")
            case "POST", "/api/generate":
                return await self.generate(request, await self._body(request))
            case "POST", "/api/auth":
                return self._auth(await self._body(request))
            case _:
                return Reply([b"<!doctype html><title>404: Not found</title>"], "text/html", 404)

    async def _body(self, request: web.Request) -> object:
        body: object = read_json((await request.read()).decode("utf-8-sig", "replace"))
        request[EXCHANGE].json = body
        return body

    def _auth(self, body: object) -> Reply:
        code = 0 if self.admits(body) else -1
        return Reply([b'{"code":%d}' % code], JSON_AS_TEXT)

    @abstractmethod
    async def generate(self, request: web.Request, body: object) -> Reply:
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
        """Tell whether `body` is signed for `message`: hex SHA-256 of
        ``{time}:{message}:{secret}``.

        A lone surrogate is U+FFFD.
        """
        payload = well_formed(f"{js_string(member(body, 'time'))}:{message}:{self._secret}")
        return bool(member(body, "sign") == sha256(payload.encode()).hexdigest())

    def streamed(self, streamed: Streamed, content_type: str | None) -> Reply:
        """Return the upstream's words as they go out: raw text."""
        pace = self.settings.pace * streamed.slowness
        return Reply(streamed.chunks, content_type, pace=pace, ends=streamed.ends)


def last_of(messages: Any) -> Any:
    """Return ``messages[messages.length - 1]``."""
    return messages[-1] if isinstance(messages, (str, list)) and messages else UNDEFINED


def error(status: int, message: str) -> Reply:
    """Return an error that the app itself finds."""
    return Reply(
        [json.dumps({"error": {"message": message}}, separators=(",", ":")).encode()],
        JSON_AS_TEXT,
        status,
    )


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
    <form><textarea name="message" placeholder="Write here" autocomplete="off"></textarea><button>Send</button></form>
  </main>
</body>
</html>
"""
