"""One call to a site, from the caller's messages to the reply that is about to be read.

A `CallRequest` holds the caller's messages, the site and the common options. A protocol is a
subclass of `Call`, which decides where messages go and what is sent. Transport, proxy, clocks,
closing and errors are common to all protocols.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tailrace import errors
from tailrace._messages import Turn, holds_more_than_text, parse_messages
from tailrace.errors import InvalidRequestError, TailraceError
from tailrace.transport import (
    DEFAULT_LIMITS,
    Limits,
    Session,
    Timeouts,
    Transport,
    make_transport,
    read_all,
)
from tailrace.transport._base import DEFAULT_TIMEOUTS
from tailrace.transport._rules import checked_url, is_encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailrace._calls.exchange import Opening
    from tailrace._environment import Environment
    from tailrace._secrecy import SentSecrets
    from tailrace.transport import Response, TransportKind

__all__ = [
    "DEFAULT_CONNECT_TIMEOUT",
    "DEFAULT_TIMEOUT",
    "Call",
    "CallRequest",
    "Connections",
    "at_origin",
    "check_sendable",
    "checked_site",
    "checked_text",
    "read_body",
    "with_credentials",
]

DEFAULT_TIMEOUT = 120.0
"""Seconds for the first byte of a reply, and for each silence within it."""

DEFAULT_CONNECT_TIMEOUT = 30.0
"""Seconds for name look-up, TCP, TLS and the way through a proxy."""

O = TypeVar("O")  # noqa: E741 - a protocol's own options


@dataclass(slots=True, kw_only=True)  # frozen, its making would cost a call four times as much
class CallRequest:
    """The messages, the site and the common options of one call; a protocol adds its own options.

    `model` is the name as the caller gave it, `get_model` resolves it. `endpoint`: where messages
    are posted, None to find it from `url`. `transport`: connections to use, or the kind of those
    to make for this call; `observe` puts another transport over them. The repr shows no secret,
    such as prompt, cookies or a proxy's password.
    """

    url: str = field(repr=False)
    messages: object = field(repr=False)
    model: str = field(default="", repr=False)
    get_model: Callable[[str], str] = field(default=str, repr=False)
    endpoint: str | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    cookies: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    limits: Limits = DEFAULT_LIMITS
    transport: Transport | TransportKind = "aiohttp"
    observe: Callable[[Transport], Transport] | None = field(default=None, repr=False)
    environment: Environment = field(repr=False)


def checked_site(url: str) -> str:
    """Return `url` unchanged; InvalidRequestError unless it is an absolute http or https URL."""
    if not isinstance(url, str):
        raise InvalidRequestError(f"a site's URL must be text, not {type(url).__name__}")
    checked_url(url)
    return url


def at_origin(url: str, path: str) -> str:
    """Return the URL of `path` on the origin of `url`.

    Raises InvalidRequestError unless `url` is an http or https URL.
    """
    parts = urlsplit(checked_site(url))
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def with_credentials(url: str, *owners: str | None) -> str:
    """Return `url` with the user and password of the first of `owners`, URLs of the same site.

    Unchanged where none has them, and where `url` has its own.
    """
    if not any(owner and "@" in owner for owner in (url, *owners)):
        return url  # nearly always: it is asked for each call
    parts = urlsplit(url)
    pairs = [urlsplit(owner).netloc.rpartition("@")[0] for owner in (url, *owners) if owner]
    pair = next((pair for pair in pairs if pair), "")
    if "@" in parts.netloc or not pair:
        return url
    return urlunsplit(parts._replace(netloc=f"{pair}@{parts.netloc}"))


def checked_text(name: str, value: object) -> None:
    """Raise InvalidRequestError unless the value of the option `name` is text or None."""
    if value is not None and not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be text, not {type(value).__name__}")


def check_sendable(name: str, value: object) -> None:
    """Raise InvalidRequestError unless the option `name` is text that can be sent, or None."""
    checked_text(name, value)
    if isinstance(value, str) and not is_encodable(value):
        raise InvalidRequestError(f"{name} holds half a surrogate pair, which cannot be sent")


async def read_body(reply: Response, max_bytes: int, idle: float | None) -> bytes:
    """Return the body of a small reply, which must be whole within `idle` seconds.

    Single bytes that arrive for longer than that do not count as progress.
    """
    try:
        async with asyncio.timeout(idle) as clock:
            return await read_all(reply, max_bytes=max_bytes)
    except TimeoutError:
        if idle is None or not clock.expired():
            raise
    raise errors.TimeoutError("idle", idle)


class Call(ABC, Generic[O]):
    """One call to a site, an `Exchange`; a subclass writes the request.

    `options`: those of the protocol.
    """

    def __init__(self, request: CallRequest, options: O) -> None:
        self.request = request
        self.options = options
        self.turns: list[Turn] = []
        self.connections: Connections | None = None
        self._session: Session | None = None

    takes_parts: ClassVar[bool] = False
    """Whether messages may hold more than text, such as images and tool calls."""

    @staticmethod
    @abstractmethod
    def moved_endpoint(endpoint: str, url: str) -> str | None:
        """Return the endpoint at another `url` of a site whose endpoint is `endpoint`.

        None: the endpoint is derived from the URL.
        """

    async def open(self) -> Opening:
        """Check the input, then send it; raises InvalidRequestError for wrong input."""
        model = self.check()
        self.connections = Connections(self.request.transport, self.request.observe)
        try:
            return await self.send(model, self.turns)
        except TailraceError as error:
            self.conceal(error)
            raise

    def check(self) -> str:
        """Read the request's messages and return its model; raises InvalidRequestError."""
        self.turns = parse_messages(self.request.messages, text_only=not self.takes_parts)
        if not any(turn.text.strip() for turn in self.turns) and not self._holds_other_parts():
            raise InvalidRequestError("the messages hold no text: there is nothing to answer")
        return self.request.get_model(self.request.model)

    def _holds_other_parts(self) -> bool:
        messages: Any = self.request.messages
        return self.takes_parts and holds_more_than_text(messages)

    @abstractmethod
    async def send(self, model: str, turns: list[Turn]) -> Opening:
        """Send the conversation and return the reply."""

    async def models(self) -> list[str]:
        """Ask the server for the names of its models.

        Raises InvalidRequestError for a protocol that has no such question.
        """
        self.connections = Connections(self.request.transport, self.request.observe)
        return await self.list_models()

    async def list_models(self) -> list[str]:
        """Ask the server, as `models` says; a subclass knows how."""
        raise InvalidRequestError("sites of this software tell no list of models")

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:
        """Ask once more where the protocol knows a remedy for the failure."""
        try:
            return await self.remedied(opening, error)
        except TailraceError as raised:
            self.conceal(raised)
            raise

    async def remedied(self, opening: Opening, error: TailraceError) -> Opening | None:  # noqa: ARG002
        """Return None, for no second request; a subclass may know failures worth one."""
        return None

    def conceal(self, error: TailraceError) -> None:
        """Take what this call has sent as a secret out of the texts of an error."""
        self.sent_secrets().out_of_error(error)

    def sent_secrets(self) -> SentSecrets:
        """Return what this call has sent as a secret: credentials, cookies, and the protocol's own.

        Headers and fields count whose names say that they are secret.
        """
        from tailrace._secrecy import SentSecrets  # noqa: PLC0415 - for calls that failed

        request, secrets = self.request, SentSecrets()
        for url in (request.url, request.endpoint, request.proxy):
            secrets.add_url(url)
        secrets.add_headers(request.headers)
        secrets.add_cookies(request.cookies)
        if self._session is not None:
            secrets.add_cookies(self._session.cookies)
        self.add_secrets(secrets)
        return secrets

    def add_secrets(self, secrets: SentSecrets) -> None:
        """Add what the protocol itself sends as a secret; a subclass knows what."""

    async def begin_session(self, cookies: Mapping[str, str] | None) -> Session:
        """Return a new session for the reply, closed with the call.

        A session begun before is closed now.
        """
        if self._session is not None:
            await self._session.aclose()
        self._session = self.new_session(cookies)
        return self._session

    def new_session(self, cookies: Mapping[str, str] | None) -> Session:
        """Return a session on the call's connections, with the call's headers, proxy and clocks."""
        if self.connections is None:
            raise InvalidRequestError("the call has not been opened")
        return self.connections.transport.session(
            cookies=cookies,
            headers=self.request.headers,
            proxy=self.request.proxy,
            timeouts=self.request.timeouts,
            limits=self.request.limits,
        )

    async def aclose(self) -> None:
        """Close the call's session, then its connections.

        The connections stay open while a page fetch still uses them for other callers.
        """
        if self._session is not None:
            await self._session.aclose()
        if self.connections is not None:
            await self.connections.leave()

    def abort(self) -> None:
        """Close as `aclose` does, without waiting."""
        if self._session is not None:
            self._session.abort()
        if self.connections is not None:
            self.connections.abort()


class Connections:
    """The transport of a call: the caller's, left open, or one made for the call.

    A transport made for the call is closed when its last user leaves. The call is the first user.
    A page fetch that the call makes for other callers, too, is another one, and may outlive the
    call. `observe` puts another transport over it.
    """

    def __init__(
        self,
        transport: Transport | TransportKind,
        observe: Callable[[Transport], Transport] | None = None,
    ) -> None:
        self._owned = isinstance(transport, str)
        made = make_transport(transport) if isinstance(transport, str) else transport
        self.transport: Transport = made if observe is None else observe(made)
        self._users = 1

    def enter(self) -> None:
        """Count one more user."""
        self._users += 1

    async def leave(self) -> None:
        """Count one user less; the last one closes a transport made for the call."""
        self._users -= 1
        if self._owned and self._users <= 0:
            await self.transport.aclose()

    def abort(self) -> None:
        """Count one user less, without waiting."""
        self._users -= 1
        if self._owned and self._users <= 0:
            self.transport.abort()
