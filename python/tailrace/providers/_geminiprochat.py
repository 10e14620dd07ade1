"""The signed family of self-hosted apps: GeminiProChat and its sibling chatgpt-demo.

The conversation is posted as JSON with a signature over the last message; the reply is raw text.
Source: the protocol notes on GeminiProChat and the captured replies of both apps.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from abc import abstractmethod
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from tailrace._calls.exchange import Opening
from tailrace._headers import moment_of
from tailrace._messages import SYSTEM_ROLES, browser_text, turns_prompt
from tailrace._native import DeltaDecoder, sign_request
from tailrace.errors import InvalidRequestError, StreamError, TailraceError, reply_error
from tailrace.providers._base import Call, CallRequest, checked_text, with_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tailrace._messages import Turn
    from tailrace._secrecy import SentSecrets
    from tailrace.transport import Response

__all__ = [
    "SHARED_CLOCK_OFFSETS",
    "ChatgptDemoCall",
    "ChatgptDemoOptions",
    "ClockOffsets",
    "GeminiProChatCall",
    "SignedCall",
    "SignedOptions",
]

FAILURE_TAIL = "Internal server error"
"""The words that the apps write behind the text when their upstream breaks off or blocks the
answer; the status stays 200.
"""

MAX_MESSAGES = 99
"""The longest history the apps' own pages send."""

MIN_CLOCK_OFFSET = 30_000
"""Milliseconds of difference between our clock and the site's from which on a message is signed
again by the site's clock when its signature was refused.
"""


class ClockOffsets:
    """Milliseconds that the clocks of sites are ahead of ours, by endpoint.

    An offset is learnt when a signature was refused because of it. Any thread may use an object.
    """

    def __init__(self, capacity: int = 1024) -> None:
        """Remember at most `capacity` sites; the one learnt first is dropped for one more."""
        self._capacity = capacity
        self._lock = threading.Lock()
        self._offsets: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"ClockOffsets({len(self._offsets)} sites)"

    def get(self, endpoint: str) -> int:
        """Return the offset of the site with this endpoint; 0 where none was learnt."""
        with self._lock:
            return self._offsets.get(endpoint, 0)

    def learn(self, endpoint: str, offset: int) -> None:
        """Keep the offset of the site with this endpoint."""
        with self._lock:
            self._offsets.pop(endpoint, None)
            while len(self._offsets) >= self._capacity:
                del self._offsets[next(iter(self._offsets))]
            self._offsets[endpoint] = offset


SHARED_CLOCK_OFFSETS = ClockOffsets()
"""Offsets of all sites of this process, unless a site brings an object of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedOptions:
    """Options that sites of both apps have.

    `secret_key`: the deployment's PUBLIC_SECRET_KEY; None: the app's own default, the empty string.
    `password`: the site's, where its owner set one. `clock_offsets`: where learnt offsets are kept
    between calls. `make_signature`: makes the signature of a time in milliseconds and a text, in
    the place of the app's own rule. InvalidRequestError names an option of a wrong type.
    """

    secret_key: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    clock_offsets: ClockOffsets = SHARED_CLOCK_OFFSETS
    make_signature: Callable[[int, str], str] | None = None

    def __post_init__(self) -> None:
        for name in ("secret_key", "password"):
            checked_text(name, getattr(self, name))
        if not isinstance(self.clock_offsets, ClockOffsets):
            kind = type(self.clock_offsets).__name__
            raise InvalidRequestError(f"clock_offsets must be ClockOffsets, not {kind}")
        if self.make_signature is not None and not callable(self.make_signature):
            raise InvalidRequestError("make_signature must be a function of a time and a text")

    def signature(self, timestamp_ms: int, text: str) -> str:
        """Return the signature of a text at a time.

        Raises InvalidRequestError where `make_signature` makes no text.
        """
        if self.make_signature is None:
            return sign_request(timestamp_ms, text, self.secret_key or "")
        made = self.make_signature(timestamp_ms, text)
        if not isinstance(made, str):
            raise InvalidRequestError(f"make_signature must return text, not {type(made).__name__}")
        return browser_text(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatgptDemoOptions(SignedOptions):
    """Options of chatgpt-demo: `temperature`, too, which the model's server understands."""

    temperature: float | None = None

    def __post_init__(self) -> None:
        SignedOptions.__post_init__(self)  # super() knows the class without its slots
        value = self.temperature
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidRequestError(f"temperature must be a number, not {type(value).__name__}")
        if not abs(value) <= sys.float_info.max:  # which is false for no number, too
            raise InvalidRequestError("temperature must be a number that JSON can hold")


def endpoint_below(url: str) -> str:
    """Return the endpoint of the app at `url`, without the query and fragment of its page."""
    parts = urlsplit(url)
    return urlunsplit(
        (parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/api/generate", "", "")
    )


class SignedCall(Call[SignedOptions]):
    """One call to a signed app: messages, time and signature are posted, a reply is read.

    The call is signed once more, by the site's clock, when the site refused our time.
    """

    def __init__(self, request: CallRequest, options: SignedOptions) -> None:
        super().__init__(request, options)
        self._reply: Response | None = None
        self._signature = ""
        self._corrected = False

    @staticmethod
    def moved_endpoint(endpoint: str, url: str) -> None:
        """Return None: the endpoint is derived from the other URL."""
        del endpoint, url

    @abstractmethod
    def messages(self, turns: list[Turn]) -> tuple[list[dict[str, Any]], str]:
        """Return the conversation in the app's form, and the text to sign: its last."""

    def more(self) -> dict[str, Any]:
        """Return further fields of the request's body."""
        return {}

    async def send(self, model: str, turns: list[Turn]) -> Opening:
        """Sign and post the conversation. The site chooses its model itself."""
        del model, turns  # the call's own
        return await self._post()

    async def remedied(self, opening: Opening, error: TailraceError) -> Opening | None:
        """Sign once more by the site's clock where its difference explains a refused signature.

        Raises an error whose message holds the upstream's real status anew, with that status.
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

    def add_secrets(self, secrets: SentSecrets) -> None:
        """Add the site's password, the key that signs, and what it has signed."""
        secrets.add(self.options.password, self.options.secret_key)
        secrets.add(self._signature, is_random=True)

    @property
    def _endpoint(self) -> str:
        endpoint = self.request.endpoint or endpoint_below(self.request.url)
        return with_credentials(endpoint, self.request.url)

    async def _post(self) -> Opening:
        body = self._body()
        session = await self.begin_session(self.request.cookies)
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
        """Return the JSON that the app's page sends.

        The body and the signature hold the same `time`, as a whole number.
        """
        messages, signed = self.messages(self.turns)
        now = int(self.request.environment.now_ms())
        now += self.options.clock_offsets.get(self._endpoint)
        password = self.options.password
        self._signature = self.options.signature(now, signed)
        body: dict[str, Any] = {
            "messages": messages,
            "time": now,
            "pass": None if password is None else browser_text(password),
            "sign": self._signature,
            **self.more(),
        }
        return json.dumps(body, ensure_ascii=False).encode()

    def _learn_clock(self) -> bool:
        """Learn the site's clock, since some forks accept signatures of the last minutes only.

        Return whether it differs from the clock that was signed with.
        """
        date = None if self._reply is None else self._reply.headers.get("date")
        if date is None:
            return False
        moment = moment_of(date)
        if moment is None:
            return False
        offset = int(moment.timestamp() * 1000) - int(self.request.environment.now_ms())
        if abs(offset - self.options.clock_offsets.get(self._endpoint)) < MIN_CLOCK_OFFSET:
            return False
        self.options.clock_offsets.learn(self._endpoint, offset)
        return True


_UNAUTHORIZED = 401
_SERVER_ERROR = 500
_BRACKETED_STATUS = re.compile(r"\[(4\d\d|5\d\d) [^\]]{0,200}\]")


def _upstream_status(error: StreamError) -> int | None:
    """Return the real status of an upstream, None where `error` has none.

    GeminiProChat answers 500 to each of its errors, with the real status in brackets in the
    text.
    """
    if error.status != _SERVER_ERROR:
        return None
    # A long message, which quotes the URL that was asked, is whole in `raw` alone.
    match = _BRACKETED_STATUS.search(error.message) or _BRACKETED_STATUS.search(error.raw)
    return int(match[1]) if match else None


class GeminiProChatCall(SignedCall):
    """One call to GeminiProChat: messages of `parts`, of the roles ``user`` and ``model``."""

    def messages(self, turns: list[Turn]) -> tuple[list[dict[str, Any]], str]:
        """Return the messages as `SignedCall.messages` says."""
        contents = gemini_contents(turns)
        return [{"role": role, "parts": [{"text": text}]} for role, text in contents], contents[-1][
            1
        ]


def gemini_contents(turns: list[Turn]) -> list[tuple[str, str]]:
    """Return the conversation as pairs of role and text, in the form that the app accepts.

    The roles are ``user`` and ``model`` by turns; the first and the last one is ``user``. There is
    no system role: system texts stand in front of the first user text, as do texts of the assistant
    before it. A run of one role is one message; of a long history the last `MAX_MESSAGES` are kept.
    A conversation that ends with the assistant is one prompt, as `format_prompt` makes it.
    """
    if _ends_with_assistant(turns):
        return [("user", turns_prompt(turns))]
    preface = [turn.text for turn in turns if turn.role in SYSTEM_ROLES and turn.text]
    contents = _merged(turn for turn in turns if turn.role not in SYSTEM_ROLES and turn.text)
    kept = contents[-MAX_MESSAGES:]
    if kept and kept[0][0] == "model":
        if len(kept) == len(contents):
            preface.append(f"Assistant: {kept[0][1]}")
        kept = kept[1:]
    first = "\n\n".join([*preface, *(text for _, text in kept[:1])])
    return [("user", first), *kept[1:]]


def _merged(turns: Iterable[Turn]) -> list[tuple[str, str]]:
    runs = groupby(turns, key=lambda turn: "model" if turn.role in _ASSISTANTS else "user")
    return [(role, "\n\n".join(turn.text for turn in run)) for role, run in runs]


def _ends_with_assistant(turns: list[Turn]) -> bool:
    spoken = [turn.role for turn in turns if turn.role not in SYSTEM_ROLES and turn.text]
    return bool(spoken) and spoken[-1] in _ASSISTANTS


_ASSISTANTS = ("assistant", "model")
"""Roles of the one who answers; the second is Gemini's own name."""


class ChatgptDemoCall(SignedCall):
    """One call to chatgpt-demo: messages of `content`, of OpenAI's roles."""

    def __init__(self, request: CallRequest, options: ChatgptDemoOptions) -> None:
        super().__init__(request, options)
        self._temperature = options.temperature

    def messages(self, turns: list[Turn]) -> tuple[list[dict[str, Any]], str]:
        """Return the messages as `SignedCall.messages` says."""
        kept = [(_DEMO_ROLES.get(turn.role, "user"), turn.text) for turn in turns if turn.text]
        if kept[-1][0] != "user":
            raise InvalidRequestError(
                "the last message must be the user's: there is nothing to answer"
            )
        system = [each for each in kept if each[0] == "system"]
        spoken = [each for each in kept if each[0] != "system"][-MAX_MESSAGES:]
        return [{"role": role, "content": text} for role, text in (*system, *spoken)], kept[-1][1]

    def more(self) -> dict[str, Any]:
        """Return the temperature, where one is given."""
        return {} if self._temperature is None else {"temperature": self._temperature}


_DEMO_ROLES = {**dict.fromkeys(_ASSISTANTS, "assistant"), **dict.fromkeys(SYSTEM_ROLES, "system")}
