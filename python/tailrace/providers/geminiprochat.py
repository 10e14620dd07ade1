"""Sites that run the self-hosted app GeminiProChat (site dialect ``geminiprochat``).

The conversation is posted as JSON with a signature over the last message; the reply is raw text. Source: the protocol
notes on GeminiProChat and its captured replies.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from tailrace._native import DeltaDecoder, sign_request
from tailrace.errors import InvalidRequestError
from tailrace.messages import browser_text
from tailrace.providers.base import Call, CallOptions, ChatProvider, World, checked_site
from tailrace.stream import Opening

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tailrace.messages import Turn

__all__ = ["GeminiProChatCall", "GeminiProChatProvider"]

FAILURE_TAIL = "Internal server error"
"""What the app writes behind the text when its upstream breaks off or blocks the answer; the status stays 200."""

MAX_MESSAGES = 99
"""The longest history the app's own page sends."""


class GeminiProChatProvider(ChatProvider):
    """Any deployment of the app: set `url`, and `secret_key` if its owner set one."""

    dialect = "geminiprochat"
    supports_system_message = True
    supports_message_history = True

    secret_key: ClassVar[str | None] = None
    """The deployment's PUBLIC_SECRET_KEY; None: the environment's, else the app's own default, the empty string."""

    secret_variable: ClassVar[str] = ""
    """The environment variable that may hold the secret key."""

    @classmethod
    def call(cls, options: CallOptions) -> Call:
        """Make one call to the site."""
        return GeminiProChatCall(cls, options)

    @classmethod
    def place(cls, url: str | None) -> tuple[str, str | None]:
        """The site's URL and its endpoint, which lies below it."""
        if url is None or url == cls.url:
            return cls.url, cls.api_endpoint or endpoint_below(cls.url)
        return url, endpoint_below(checked_site(url))

    @classmethod
    def generate_signature(cls, timestamp: int, message: str, secret: str | None = None) -> str:
        """The lower-case hex SHA-256 of ``{timestamp}:{message}:{secret}``, `timestamp` in whole milliseconds.

        Without `secret` the class's key is used, the environment's, or the empty string.
        """
        if isinstance(timestamp, bool) or not isinstance(timestamp, int):
            raise InvalidRequestError("timestamp must be an int of milliseconds: a float signs another text")
        return sign_request(timestamp, message, cls.secret(secret, World().environ))

    @classmethod
    def secret(cls, given: object, environ: Mapping[str, str]) -> str:
        """The secret key: the one given, the class's, the environment's, or the empty string."""
        for candidate in (given, cls.secret_key, environ.get(cls.secret_variable)):
            if candidate is not None:
                return _text("secret_key", candidate)
        return ""


def endpoint_below(url: str) -> str:
    """Where the app of this URL takes messages; its query and fragment are the page's own."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/api/generate", "", ""))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be text, not {type(value).__name__}")
    return value


class GeminiProChatCall(Call):
    """Contents, time, signature, reply."""

    provider: type[GeminiProChatProvider]

    async def send(self, model: str, turns: list[Turn]) -> Opening:
        """Sign and post the conversation. The site chooses its model itself."""
        del model
        session = await self.begin_session(self.options.cookies)
        reply = await session.post(
            self.options.endpoint or endpoint_below(self.options.url),
            body=self._body(turns),
            headers={"Content-Type": "text/plain;charset=UTF-8", "Accept": "*/*"},
        )
        decoder = DeltaDecoder(
            "text",
            content_type=reply.content_type,
            status=reply.status,
            failure_tail=FAILURE_TAIL,
        )
        return Opening(reply, decoder)

    def _body(self, turns: list[Turn]) -> bytes:
        """The JSON the app's page sends. One `time` for body and signature, a whole number in both."""
        options = self.options
        contents = gemini_contents(turns)
        now = int(options.world.now_ms())
        secret = self.provider.secret(options.extra.get("secret_key"), options.world.environ)
        password = options.extra.get("password")
        body: dict[str, Any] = {
            "messages": [{"role": role, "parts": [{"text": text}]} for role, text in contents],
            "time": now,
            "pass": None if password is None else browser_text(_text("password", password)),
            "sign": sign_request(now, contents[-1][1], secret),
        }
        return json.dumps(body, ensure_ascii=False).encode()


def gemini_contents(turns: list[Turn]) -> list[tuple[str, str]]:
    """The conversation as the app takes it: ``user`` and ``model`` in turn, first and last the user's.

    There is no system role: system texts stand in front of the first user text, and so does what the assistant said
    before the user said anything. A run of one role is one message; of a long history the last turns are kept.
    InvalidRequestError when the last message is the assistant's.
    """
    preface = [turn.text for turn in turns if turn.role in _SYSTEM_ROLES and turn.text]
    contents = _merged(turn for turn in turns if turn.role not in _SYSTEM_ROLES and turn.text)
    if contents and contents[-1][0] == "model":
        raise InvalidRequestError("the last message must be the user's: there is nothing to answer")
    kept = contents[-MAX_MESSAGES:]
    if kept and kept[0][0] == "model":
        if len(kept) == len(contents):
            preface.append(f"Assistant: {kept[0][1]}")
        kept = kept[1:]
    first = "\n\n".join([*preface, *(text for _, text in kept[:1])])
    return [("user", first), *kept[1:]]


_SYSTEM_ROLES = ("system", "developer")


def _merged(turns: Iterable[Turn]) -> list[tuple[str, str]]:
    runs = groupby(turns, key=lambda turn: "model" if turn.role == "assistant" else "user")
    return [(role, "\n\n".join(turn.text for turn in run)) for role, run in runs]
