"""What every provider has: the class API that code written for gpt4free uses, and one call from
start to end.

A provider class states what its site is; its `Call` states what to send. Transport, proxy, clocks,
closing, decoding and errors are common and live here and below.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from tailrace._calls.exchange import Exchange, Opening
from tailrace._calls.retry_policy import RetryPolicy
from tailrace._calls.retrying import Retrying
from tailrace._calls.throttling import Limited, Throttle
from tailrace._environment import Environment
from tailrace._messages import Messages, Turn, parse_messages
from tailrace._streams.loop_thread import iterate_blocking
from tailrace._streams.stream import ChatStream
from tailrace.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    ModelNotSupportedError,
    TailraceError,
)
from tailrace.providers._conversation import Conversation
from tailrace.transport import DEFAULT_LIMITS, Limits, Session, Timeouts, Transport, make_transport
from tailrace.transport._rules import checked_seconds, checked_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tailrace.transport import TransportKind

__all__ = ["AsyncGeneratorProvider", "Call", "CallOptions", "ChatProvider", "ProviderModelMixin"]

DEFAULT_TIMEOUT = 120.0
"""Seconds for the first byte of a reply, and for each silence within it."""

DEFAULT_CONNECT_TIMEOUT = 30.0
"""Seconds for name look-up, TCP, TLS and the way through a proxy."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """One call's arguments.

    Its repr shows none of them: prompt, cookies and proxy password are secrets.
    """

    model: str = field(repr=False)
    messages: object = field(repr=False)
    url: str = field(repr=False)
    endpoint: str | None = field(repr=False)
    proxy: str | None = field(repr=False)
    cookies: Mapping[str, str] | None = field(repr=False)
    headers: Mapping[str, str] | None = field(repr=False)
    timeouts: Timeouts
    limits: Limits
    transport: Transport | None
    environment: Environment = field(repr=False)
    extra: Mapping[str, Any] = field(repr=False)


class _ClassProperty:
    """A read-only property of the class itself, as gpt4free's callers read `params`."""

    def __init__(self, getter: Callable[[type[AsyncGeneratorProvider]], str]) -> None:
        self._getter = getter
        self.__doc__ = getter.__doc__

    def __get__(self, instance: object, owner: type[AsyncGeneratorProvider]) -> str:
        return self._getter(owner)


class AsyncGeneratorProvider(ABC):
    """A chat service as a class: nothing is instantiated, though instances work the same."""

    url: ClassVar[str] = ""
    label: ClassVar[str] = ""
    working: ClassVar[bool] = True
    needs_auth: ClassVar[bool] = False
    supports_stream: ClassVar[bool] = True
    supports_system_message: ClassVar[bool] = False
    supports_message_history: ClassVar[bool] = False
    use_stream_timeout: ClassVar[bool] = True
    """gpt4free's client asks this of every provider: whether its own `stream_timeout` is for
    streams.
    """
    live: ClassVar[int] = 0
    """gpt4free's client counts here how a provider did. Nothing of ours reads it."""

    @classmethod
    @abstractmethod
    def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        cookies: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> ChatStream:
        """Start a call and return its text as a stream. Nothing is sent before the first read."""

    @classmethod
    async def create_async(cls, model: str, messages: Messages, **kwargs: Any) -> str:
        """Return the whole answer. Arguments and errors are `create_async_generator`'s."""
        parts: list[str] = []
        async with cls.create_async_generator(model, messages, **kwargs) as stream:
            while deltas := await stream.read():
                parts += deltas
        return "".join(parts)

    @classmethod
    def create_completion(
        cls,
        model: str,
        messages: Messages,
        stream: bool = True,  # noqa: FBT001, FBT002 - gpt4free's signature
        **kwargs: Any,
    ) -> Iterator[str]:
        """Iterate over the text without asyncio, inside a running loop too; `stream=False` gives
        one joined item.

        A `transport=` belongs to the loop it is used in, so none can be given here.
        """
        if kwargs.get("transport") is not None:
            raise InvalidRequestError(
                "create_completion runs a loop of its own: a transport cannot be shared with it"
            )
        deltas = iterate_blocking(lambda: cls.create_async_generator(model, messages, **kwargs))
        return deltas if stream else _joined(deltas)

    @classmethod
    def get_create_function(cls) -> Callable[..., Iterator[str]]:
        """Return `create_completion`."""
        return cls.create_completion

    @classmethod
    def get_async_create_function(cls) -> Callable[..., ChatStream]:
        """Return `create_async_generator`."""
        return cls.create_async_generator

    @classmethod
    def get_dict(cls) -> dict[str, str | None]:
        """Return name, URL and label."""
        return {"name": cls.__name__, "url": cls.url, "label": cls.label or None}

    @_ClassProperty
    def params(cls: type[AsyncGeneratorProvider]) -> str:  # noqa: N805 - a property of the class
        """What `create_async_generator` accepts, one parameter a line."""
        parameters = inspect.signature(cls.create_async_generator).parameters.values()
        named = [str(each) for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
        return f"{cls.__name__} supports: (\n    " + ",\n    ".join(named) + "\n)"


def _joined(deltas: Iterator[str]) -> Iterator[str]:
    yield "".join(deltas)


class ProviderModelMixin:
    """Which models a provider knows, and by which other names."""

    default_model: ClassVar[str] = ""
    models: ClassVar[list[str]] = []
    model_aliases: ClassVar[dict[str, str]] = {}
    last_model: ClassVar[str | None] = None

    @classmethod
    def get_models(cls) -> list[str]:
        """The models by name; the default alone where none are listed."""
        if cls.models:
            return cls.models
        return [cls.default_model] if cls.default_model else []

    @classmethod
    def get_model(cls, model: str, **kwargs: Any) -> str:  # noqa: ARG003 - gpt4free's callers pass more
        """Resolve a name: empty is the default, an alias its target; ModelNotSupportedError for an
        unknown one.
        """
        if model is not None and not isinstance(model, str):
            raise ModelNotFoundError(
                f"a model of {cls.__name__} is a name, not {type(model).__name__}"
            )
        name = cls.model_aliases.get(model, model) if model else cls.default_model
        if name and cls.models and name not in cls.models:
            known = ", ".join([*cls.models, *cls.model_aliases])
            raise ModelNotSupportedError(
                f"{cls.__name__} does not know the model {name!r}; it knows {known}"
            )
        cls.last_model = name
        return name


class ChatProvider(AsyncGeneratorProvider, ProviderModelMixin):
    """A provider over one of our transports: the parameters every call accepts."""

    dialect: ClassVar[str]
    """The site's wire protocol."""

    api_endpoint: ClassVar[str] = ""
    """Where messages are posted; empty: found from the site."""

    transport_kind: ClassVar[TransportKind] = "aiohttp"

    throttle: ClassVar[Throttle | None] = None
    """How many calls the site gets at once, and how many in a time; None: no limit of ours."""

    @classmethod
    def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        cookies: Mapping[str, str] | None = None,
        *,
        url: str | None = None,
        transport: Transport | None = None,
        headers: Mapping[str, str] | None = None,
        connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT,
        total_timeout: float | None = None,
        comments_restart_idle: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        retry: RetryPolicy | None = None,
        throttle: Throttle | None = None,
        environment: Environment | None = None,
        **kwargs: Any,
    ) -> ChatStream:
        """Start a call and return its text as a stream. Nothing is sent before the first read.

        `proxy`: URL of an http, https or socks proxy, used for every request of the call.
        `timeout`: seconds for the first byte and for each silence (None: no clock);
        `connect_timeout` and `total_timeout` likewise. `limits`: the most that one reply may hold,
        and how many redirects a page may take. `cookies`, `headers`: sent with every request.
        `url`: another deployment of the same software; the endpoint follows it. `transport`:
        connections to share between calls. `retry`: ask again, before the first delta only, when a
        failure may pass; every try costs the site an answer, so none is made unless asked for.
        `throttle`: calls under way and calls begun in a time, one object for all calls of a site
        (else the class's own). All else is ignored unless the provider names it.

        A wrong clock or URL, and an argument of a wrong type, raise InvalidRequestError at once;
        every other failure, wrong messages and models too, is raised by the stream as a
        TailraceError (`tailrace.errors` draws the tree).
        """
        timeouts = _clocks(timeout, connect_timeout, total_timeout)
        _check_kinds(cookies, headers, proxy, limits)
        limit = cls.throttle if throttle is None else throttle
        site, endpoint = cls.locate(url)
        options = CallOptions(
            model=model,
            messages=messages,
            url=site,
            endpoint=endpoint,
            proxy=proxy,
            cookies=cookies,
            headers=headers,
            timeouts=timeouts,
            limits=limits,
            transport=transport,
            environment=Environment() if environment is None else environment,
            extra=kwargs,
        )
        return ChatStream(
            _exchange(cls, options, limit, retry),
            idle=timeouts.idle,
            total=timeouts.total,
            comments_restart_idle=comments_restart_idle,
        )

    @classmethod
    def conversation(cls, **options: Any) -> Conversation:
        """Begin a dialogue:

        `model`, `system`, and any option of `create_async_generator`, for all its turns.
        """
        environment = options.pop("environment", None)
        return Conversation(cls, Environment() if environment is None else environment, **options)

    @classmethod
    @abstractmethod
    def call(cls, options: CallOptions) -> Call:
        """Make the call that `create_async_generator` streams."""

    @classmethod
    def locate(cls, url: str | None) -> tuple[str, str | None]:
        """The site's URL and its endpoint; with another `url`, the endpoint's path moves to that
        origin.
        """
        if url is None or url == cls.url:
            return cls.url, cls.api_endpoint or None
        if not cls.api_endpoint:
            return checked_site(url), None
        return url, at_origin(url, urlsplit(cls.api_endpoint).path)


def _exchange(
    provider: type[ChatProvider],
    options: CallOptions,
    limit: Throttle | None,
    policy: RetryPolicy | None,
) -> Exchange:
    """A call, in a place of its site; made anew for each attempt, and waiting for the next one
    takes no place.
    """
    if limit is not None and not isinstance(limit, Throttle):
        raise InvalidRequestError(f"throttle must be a Throttle, not {type(limit).__name__}")
    if policy is not None and not isinstance(policy, RetryPolicy):
        raise InvalidRequestError(f"retry must be a RetryPolicy, not {type(policy).__name__}")

    def make() -> Exchange:
        call = provider.call(options)
        return call if limit is None else Limited(call, limit)

    return make() if policy is None else Retrying(make, policy, chance=options.environment.random)


def checked_site(url: str) -> str:
    """The URL as it is; InvalidRequestError unless it is an absolute http or https URL."""
    if not isinstance(url, str):
        raise InvalidRequestError(f"a site's URL must be text, not {type(url).__name__}")
    checked_url(url)
    return url


def at_origin(url: str, path: str) -> str:
    """The URL of `path` on the origin of `url`; InvalidRequestError unless that is an http or https
    URL.
    """
    parts = urlsplit(checked_site(url))
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _clocks(timeout: float | None, connect: float | None, total: float | None) -> Timeouts:
    """The clocks of a call; InvalidRequestError names the parameter that makes none."""
    seconds = checked_seconds("timeout", timeout)
    return Timeouts(
        connect=checked_seconds("connect_timeout", connect),
        first_byte=seconds,
        idle=seconds,
        total=checked_seconds("total_timeout", total),
    )


def _check_kinds(cookies: object, headers: object, proxy: object, limits: object) -> None:
    for name, given in (("cookies", cookies), ("headers", headers)):
        if given is not None and not isinstance(given, Mapping):
            raise InvalidRequestError(
                f"{name} must be a mapping of names to values, not {type(given).__name__}"
            )
    if proxy is not None and not isinstance(proxy, str):
        raise InvalidRequestError(f"proxy must be a URL, not {type(proxy).__name__}")
    if not isinstance(limits, Limits):
        raise InvalidRequestError(
            f"limits must be tailrace.transport.Limits, not {type(limits).__name__}"
        )


class Call(ABC):
    """One call to a site, as `tailrace._calls.exchange.Exchange`: what is sent is a subclass's, the
    rest is here.
    """

    def __init__(self, provider: type[ChatProvider], options: CallOptions) -> None:
        self.provider = provider
        self.options = options
        self.turns: list[Turn] = []
        self.connections: Connections | None = None
        self._session: Session | None = None

    async def open(self) -> Opening:
        """Check the input, then send it. InvalidRequestError for input that cannot be sent."""
        self.turns = parse_messages(self.options.messages)
        if not any(turn.text.strip() for turn in self.turns):
            raise InvalidRequestError("the messages hold no text: there is nothing to answer")
        model = self.provider.get_model(self.options.model)
        self.connections = Connections(self.options.transport, self.provider.transport_kind)
        return await self.send(model, self.turns)

    @abstractmethod
    async def send(self, model: str, turns: list[Turn]) -> Opening:
        """Send the conversation and return the reply."""

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:  # noqa: ARG002
        """No failure is worth a second request, unless a subclass knows one."""
        return None

    async def begin_session(self, cookies: Mapping[str, str] | None) -> Session:
        """The session the reply is read in, closed with the call; one begun before is closed now."""
        if self._session is not None:
            await self._session.aclose()
        self._session = self.new_session(cookies)
        return self._session

    def new_session(self, cookies: Mapping[str, str] | None) -> Session:
        """A session on the call's connections, with the call's headers, proxy and clocks."""
        if self.connections is None:
            raise InvalidRequestError("the call has not been opened")
        return self.connections.transport.session(
            cookies=cookies,
            headers=self.options.headers,
            proxy=self.options.proxy,
            timeouts=self.options.timeouts,
            limits=self.options.limits,
        )

    async def aclose(self) -> None:
        """Close the call's session, then its connections unless a page fetch still uses them for
        other callers.
        """
        if self._session is not None:
            await self._session.aclose()
        if self.connections is not None:
            await self.connections.leave()

    def abort(self) -> None:
        """As `aclose`, without waiting."""
        if self._session is not None:
            self._session.abort()
        if self.connections is not None:
            self.connections.abort()


class Connections:
    """A call's transport: the caller's, left open; or one of its own, closed when the last user
    leaves.

    The call is the first user. A page fetch it leads for other callers, too, is a user, and may
    outlive the call.
    """

    def __init__(self, shared: Transport | None, kind: TransportKind) -> None:
        self.transport: Transport = make_transport(kind) if shared is None else shared
        self._owned = shared is None
        self._users = 1

    def enter(self) -> None:
        """Count one more user."""
        self._users += 1

    async def leave(self) -> None:
        """One user less; the last one closes what is ours."""
        self._users -= 1
        if self._owned and self._users <= 0:
            await self.transport.aclose()

    def abort(self) -> None:
        """One user less, without waiting."""
        self._users -= 1
        if self._owned and self._users <= 0:
            self.transport.abort()
