"""The signed family of self-hosted apps: GeminiProChat and its sibling chatgpt-demo (site dialects
of these names).

The conversation is posted as JSON with a signature over the last message; the reply is raw text.
Source: the protocol notes on GeminiProChat and the captured replies of both apps.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from email.utils import parsedate_to_datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from tailrace._calls.exchange import Opening
from tailrace._environment import Environment
from tailrace._messages import SYSTEM_ROLES, browser_text
from tailrace._native import DeltaDecoder, sign_request
from tailrace.errors import InvalidRequestError, StreamError, TailraceError, reply_error
from tailrace.providers._base import Call, CallOptions, ChatProvider, checked_site

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tailrace._messages import Turn
    from tailrace.transport import Response

__all__ = ["ChatgptDemoProvider", "GeminiProChatProvider", "SignedCall", "SignedProvider"]

FAILURE_TAIL = "Internal server error"
"""What the apps write behind the text when their upstream breaks off or blocks the answer; the
status stays 200.
"""

MAX_MESSAGES = 99
"""The longest history the apps' own pages send."""

MIN_CLOCK_OFFSET = 30_000
"""Milliseconds between our clock and the site's from which on a refused signature is tried again by
the site's.
"""


class SignedProvider(ChatProvider):
    """What both apps have: set `url`, and `secret_key` if the site's owner set one.

    Beside the common parameters a call takes `secret_key` and `password`.
    """

    supports_system_message = True
    supports_message_history = True

    secret_key: ClassVar[str | None] = None
    """The deployment's PUBLIC_SECRET_KEY; None: the environment's, else the app's own default, the
    empty string.
    """

    secret_variable: ClassVar[str] = ""
    """The environment variable that may hold the secret key."""

    clock_offsets: ClassVar[dict[str, int]] = {}
    """By endpoint, milliseconds that a site's clock is ahead of ours, where a signature was refused
    for it.
    """

    @classmethod
    def locate(cls, url: str | None) -> tuple[str, str | None]:
        """The site's URL and its endpoint, which lies below it."""
        if url is None or url == cls.url:
            return cls.url, cls.api_endpoint or endpoint_below(cls.url)
        return url, endpoint_below(checked_site(url))

    @classmethod
    def generate_signature(cls, timestamp: int, message: str, secret: str | None = None) -> str:
        """The lower-case hex SHA-256 of ``{timestamp}:{message}:{secret}``, `timestamp` in whole
        milliseconds.

        Without `secret` the class's key is used, the environment's, or the empty string.
        """
        if isinstance(timestamp, bool) or not isinstance(timestamp, int):
            raise InvalidRequestError(
                "timestamp must be an int of milliseconds: a float signs another text"
            )
        return sign_request(timestamp, message, cls.secret(secret, Environment().environ))

    @classmethod
    def secret(cls, given: object, environ: Mapping[str, str]) -> str:
        """The secret key: the one given, the class's, the environment's, or the empty string."""
        for candidate in (given, cls.secret_key, environ.get(cls.secret_variable)):
            if candidate is not None:
                return _text("secret_key", candidate)
        return ""


class GeminiProChatProvider(SignedProvider):
    """Any deployment of GeminiProChat."""

    dialect = "geminiprochat"

    @classmethod
    def call(cls, options: CallOptions) -> Call:
        """Make one call to the site."""
        return GeminiProChatCall(cls, options)


class ChatgptDemoProvider(SignedProvider):
    """Any deployment of chatgpt-demo. A call takes `temperature`, too."""

    dialect = "chatgpt-demo"

    @classmethod
    def call(cls, options: CallOptions) -> Call:
        """Make one call to the site."""
        return ChatgptDemoCall(cls, options)


def endpoint_below(url: str) -> str:
    """Where the app of this URL takes messages; its query and fragment are the page's own."""
    parts = urlsplit(url)
    return urlunsplit(
        (parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/api/generate", "", "")
    )


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be text, not {type(value).__name__}")
    return value


class SignedCall(Call):
    """Messages, time, signature, reply; and once more by the site's clock when that is why it
    refused.
    """

    provider: type[SignedProvider]

    def __init__(self, provider: type[SignedProvider], options: CallOptions) -> None:
        super().__init__(provider, options)
        self._reply: Response | None = None
        self._corrected = False

    @abstractmethod
    def messages(self, turns: list[Turn]) -> tuple[list[dict[str, Any]], str]:
        """The conversation in the app's form, and the text of its last message, which is signed."""

    def more(self) -> dict[str, Any]:
        """What else the app's body holds."""
        return {}

    async def send(self, model: str, turns: list[Turn]) -> Opening:
        """Sign and post the conversation. The site chooses its model itself."""
        del model, turns  # the call's own
        return await self._post()

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:
        """A refused signature is made again by the site's clock, once; an upstream's real status is
        told.
        """
        del opening
        if not isinstance(error, StreamError):
            return None
        if error.status == _UNAUTHORIZED and not self._corrected and self._learn_clock():
            self._corrected = True
            return await self._post()
        status = _upstream_status(error)
        if status is not None:
            raise reply_error(error.kind, error.message, status, error.code, error.raw)
        return None

    @property
    def _endpoint(self) -> str:
        return self.options.endpoint or endpoint_below(self.options.url)

    async def _post(self) -> Opening:
        body = self._body()
        session = await self.begin_session(self.options.cookies)
        headers = {"Content-Type": "text/plain;charset=UTF-8", "Accept": "*/*"}
        self._reply = reply = await session.post(self._endpoint, body=body, headers=headers)
        decoder = DeltaDecoder(
            "text",
            content_type=reply.content_type,
            status=reply.status,
            failure_tail=FAILURE_TAIL,
        )
        return Opening(reply, decoder)

    def _body(self) -> bytes:
        """The JSON the app's page sends.

        One `time` for body and signature, a whole number in both.
        """
        options = self.options
        messages, signed = self.messages(self.turns)
        now = int(options.environment.now_ms()) + self.provider.clock_offsets.get(self._endpoint, 0)
        secret = self.provider.secret(options.extra.get("secret_key"), options.environment.environ)
        password = options.extra.get("password")
        body: dict[str, Any] = {
            "messages": messages,
            "time": now,
            "pass": None if password is None else browser_text(_text("password", password)),
            "sign": sign_request(now, signed, secret),
            **self.more(),
        }
        return json.dumps(body, ensure_ascii=False).encode()

    def _learn_clock(self) -> bool:
        """Some forks take signatures of the last minutes only.

        True: the site's clock differs from what was signed.
        """
        date = None if self._reply is None else self._reply.headers.get("date")
        if date is None:
            return False
        try:
            theirs = int(parsedate_to_datetime(date).timestamp() * 1000)
        except ValueError:
            return False
        offset = theirs - int(self.options.environment.now_ms())
        if abs(offset - self.provider.clock_offsets.get(self._endpoint, 0)) < MIN_CLOCK_OFFSET:
            return False
        self.provider.clock_offsets[self._endpoint] = offset
        return True


_UNAUTHORIZED = 401
_SERVER_ERROR = 500
_BRACKETED_STATUS = re.compile(r"\[(4\d\d|5\d\d) [^\]]*\]")


def _upstream_status(error: StreamError) -> int | None:
    """GeminiProChat answers 500 to every upstream error; the real status stands in brackets in its
    text.
    """
    found = _BRACKETED_STATUS.search(error.message) if error.status == _SERVER_ERROR else None
    return int(found[1]) if found else None


class GeminiProChatCall(SignedCall):
    """`parts`, and the roles ``user`` and ``model``."""

    def messages(self, turns: list[Turn]) -> tuple[list[dict[str, Any]], str]:
        """See `SignedCall.messages`."""
        contents = gemini_contents(turns)
        return [{"role": role, "parts": [{"text": text}]} for role, text in contents], contents[-1][
            1
        ]


def gemini_contents(turns: list[Turn]) -> list[tuple[str, str]]:
    """The conversation as the app takes it: ``user`` and ``model`` in turn, first and last the
    user's.

    There is no system role: system texts stand in front of the first user text, and so does what
    the assistant said before the user said anything. A run of one role is one message; of a long
    history the last turns are kept. InvalidRequestError when the last message is the assistant's.
    """
    preface = [turn.text for turn in turns if turn.role in SYSTEM_ROLES and turn.text]
    contents = _merged(turn for turn in turns if turn.role not in SYSTEM_ROLES and turn.text)
    if contents and contents[-1][0] == "model":
        raise _nothing_to_answer()
    kept = contents[-MAX_MESSAGES:]
    if kept and kept[0][0] == "model":
        if len(kept) == len(contents):
            preface.append(f"Assistant: {kept[0][1]}")
        kept = kept[1:]
    first = "\n\n".join([*preface, *(text for _, text in kept[:1])])
    return [("user", first), *kept[1:]]


def _merged(turns: Iterable[Turn]) -> list[tuple[str, str]]:
    runs = groupby(turns, key=lambda turn: "model" if turn.role == "assistant" else "user")
    return [(role, "\n\n".join(turn.text for turn in run)) for role, run in runs]


def _nothing_to_answer() -> InvalidRequestError:
    return InvalidRequestError("the last message must be the user's: there is nothing to answer")


class ChatgptDemoCall(SignedCall):
    """`content`, and OpenAI's roles."""

    def messages(self, turns: list[Turn]) -> tuple[list[dict[str, Any]], str]:
        """See `SignedCall.messages`."""
        kept = [(_DEMO_ROLES.get(turn.role, "user"), turn.text) for turn in turns if turn.text]
        if kept[-1][0] != "user":
            raise _nothing_to_answer()
        system = [each for each in kept if each[0] == "system"]
        spoken = [each for each in kept if each[0] != "system"][-MAX_MESSAGES:]
        return [{"role": role, "content": text} for role, text in (*system, *spoken)], kept[-1][1]

    def more(self) -> dict[str, Any]:
        """See `SignedCall.more`."""
        temperature = self.options.extra.get("temperature")
        if temperature is None:
            return {}
        if isinstance(temperature, bool) or not isinstance(temperature, int | float):
            raise InvalidRequestError(
                f"temperature must be a number, not {type(temperature).__name__}"
            )
        return {"temperature": temperature}


_DEMO_ROLES = {"assistant": "assistant", **dict.fromkeys(SYSTEM_ROLES, "system")}
