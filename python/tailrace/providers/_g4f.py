"""Chat services as classes, the way code written for gpt4free uses them.

A class states in its attributes what its site is; a call makes a `Site` of them and streams from
that. Nothing is instantiated, though an instance works the same, and its own attributes count.
"""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace._environment import Environment
from tailrace._messages import Messages, turns_prompt
from tailrace._native import sign_request
from tailrace._streams.iterated import as_text_stream
from tailrace._streams.loop_thread import iterate_blocking
from tailrace._streams.outcome import warn_of_more_than_text
from tailrace.errors import InvalidRequestError, ModelNotFoundError, ModelNotSupportedError
from tailrace.providers._base import (
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_TIMEOUT,
    checked_site,
    checked_text,
)
from tailrace.providers._conversation import Conversation
from tailrace.providers._wordpress import SHARED_TOKENS
from tailrace.sites._options import CALL_OPTIONS, did_you_mean
from tailrace.sites._secrets import Secret, origin_of
from tailrace.sites._site import Site, open_stream, visitor_of
from tailrace.sites._software import NONE_IS_SAID, SOFTWARE
from tailrace.transport import DEFAULT_LIMITS, Limits, Transport
from tailrace.transport._rules import is_whole_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from tailrace._calls.retry_policy import RetryPolicy
    from tailrace._calls.throttling import Throttle
    from tailrace._calls.token_cache import TokenCache
    from tailrace._messages import Turn
    from tailrace._streams.closing import TextStream
    from tailrace._streams.stream import ChatStream
    from tailrace.transport import TransportKind

    # To type checkers, and when looked up on a class, these methods are class methods.
    _class_or_instance = classmethod
else:

    class _class_or_instance(classmethod):  # noqa: N801 - used as a decorator
        """A method of a class and of its instances: bound to whichever it was looked up on."""

        def __get__(self, instance: object, owner: type | None = None) -> MethodType:
            return MethodType(self.__func__, owner if instance is None else instance)


__all__ = [
    "AsyncGeneratorProvider",
    "ChatGptEs",
    "ChatGptt",
    "ChatProvider",
    "ChatgptDemoProvider",
    "ChatgptFree",
    "GPROChat",
    "GeminiProChatProvider",
    "OpenAIProvider",
    "ProviderModelMixin",
    "WordPressChatProvider",
    "taken_options",
]

log: logging.Logger = logging.getLogger("tailrace")


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
    """Whether gpt4free's `stream_timeout` is for streams, as its client asks of every provider."""
    live: ClassVar[int] = 0
    """Count that gpt4free's client keeps of how a provider did; unused in this package."""

    if not TYPE_CHECKING:  # which takes it for the name of the class

        @property
        def __name__(self) -> str:
            """The name of the instance's class, since instances are used as classes are."""
            return type(self).__name__

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
    ) -> AsyncIterator[str]:
        """Start a call and return its text as a stream; nothing is sent before the first read.

        `model`: the model's name, empty for the provider's default; `messages`: dicts with ``role``
        and ``content``; `proxy`: URL of a proxy for every request; `timeout`: seconds for the first
        byte and for each silence, None for no clock; `cookies`: sent with every request. A subclass
        may make it an async generator function. Of the providers of this package a wrong argument
        raises InvalidRequestError; the stream raises every other failure, as a TailraceError.
        """

    @_class_or_instance
    async def create_async(cls, model: str, messages: Messages, **kwargs: Any) -> str:
        """Return the text of the whole answer to `messages` by `model`.

        All arguments and errors are those of `create_async_generator`. Tool calls and refusals,
        which are no text, are named in a warning.
        """
        return await joined_text(cls.create_async_generator(model, messages, **kwargs))

    @_class_or_instance
    def create_completion(
        cls,
        model: str,
        messages: Messages,
        stream: bool = True,  # noqa: FBT001, FBT002 - gpt4free's signature
        **kwargs: Any,
    ) -> Iterator[str]:
        """Iterate over the text without asyncio, inside a running loop too.

        `model`, `messages` and all further arguments are those of `create_async_generator`, as the
        errors are. `stream` false: one item with the whole text. Tool calls and refusals, which are
        no text, are named in a warning. Raises InvalidRequestError for a `transport=`, which
        belongs to the loop it is used in.
        """
        return iterate_completion(cls, model, messages, kwargs, stream=stream)

    @_class_or_instance
    def get_create_function(cls) -> Callable[..., Iterator[str]]:
        """Return `create_completion`."""
        return cls.create_completion

    @_class_or_instance
    def get_async_create_function(cls) -> Callable[..., AsyncIterator[str]]:
        """Return `create_async_generator`."""
        return cls.create_async_generator

    @_class_or_instance
    def get_dict(cls) -> dict[str, str | None]:
        """Return name, URL and label."""
        return {"name": _name_of(cls), "url": cls.url, "label": cls.label or None}

    @_ClassProperty
    def params(cls: type[AsyncGeneratorProvider]) -> str:  # noqa: N805 - a property of the class
        """List the parameters that `create_async_generator` accepts, one a line."""
        parameters = inspect.signature(cls.create_async_generator).parameters.values()
        named = [str(each) for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
        return f"{cls.__name__} supports: (\n    " + ",\n    ".join(named) + "\n)"


def iterate_completion(
    provider: Any, model: str, messages: Messages, options: dict[str, Any], *, stream: bool
) -> Iterator[str]:
    """Iterate over the text of a call without asyncio; `stream` false: one item with all of it.

    `provider`: whatever has `create_async_generator`. Raises InvalidRequestError for a transport
    among the `options`.
    """
    if options.get("transport") is not None:
        raise InvalidRequestError(
            "create_completion runs a loop of its own: a transport cannot be shared with it"
        )

    started: list[TextStream] = []

    def start() -> TextStream:
        started.append(as_text_stream(provider.create_async_generator(model, messages, **options)))
        return started[0]

    deltas = _warning_at_the_end(iterate_blocking(start), started)
    return deltas if stream else _joined(deltas)


def _warning_at_the_end(deltas: Iterator[str], started: list[TextStream]) -> Iterator[str]:
    """Pass the text on, and log what is left of the stream that was `started`."""
    yield from deltas
    for stream in started:
        warn_of_more_than_text(stream, "create_completion")


async def joined_text(made: object) -> str:
    """Return the whole text of what a `create_async_generator` made."""
    parts: list[str] = []
    async with as_text_stream(made) as stream:
        while deltas := await stream.read():
            parts += deltas
    warn_of_more_than_text(stream, "create_async")
    return "".join(parts)


def _joined(deltas: Iterator[str]) -> Iterator[str]:
    yield "".join(deltas)


def _name_of(provider: object) -> str:
    """Return the name of a class, or of an instance's class."""
    return (provider if isinstance(provider, type) else type(provider)).__name__


class ProviderModelMixin:
    """Names of the models a provider knows, and other names for them."""

    default_model: ClassVar[str] = ""
    models: ClassVar[list[str]] = []
    model_aliases: ClassVar[dict[str, str]] = {}
    last_model: ClassVar[str | None] = None
    """The model last resolved, for gpt4free's callers; unused in this package."""

    @_class_or_instance
    def get_models(cls) -> list[str]:
        """Return the models by name; the default alone where none are listed."""
        if cls.models:
            return cls.models
        return [cls.default_model] if cls.default_model else []

    @_class_or_instance
    def get_model(cls, model: str, **kwargs: Any) -> str:  # noqa: ARG003 - gpt4free's callers pass more
        """Return the name of the model that `model` stands for.

        An empty name is the default, an alias its target; further arguments are ignored, as
        gpt4free does. Raises ModelNotSupportedError for a name that is not listed, and
        ModelNotFoundError for one that is no text.
        """
        if model is not None and not isinstance(model, str):
            raise ModelNotFoundError(
                f"a model of {_name_of(cls)} is a name, not {type(model).__name__}"
            )
        name = cls.model_aliases.get(model, model) if model else cls.default_model
        if name and cls.models and name not in cls.models:
            known = ", ".join([*cls.models, *cls.model_aliases])
            raise ModelNotSupportedError(
                f"{_name_of(cls)} does not know the model {name!r}; it knows {known}"
            )
        cls.last_model = name
        return name


class ChatProvider(AsyncGeneratorProvider, ProviderModelMixin):
    """A provider whose site runs one of our softwares; `as_site` is that site as a value."""

    software: ClassVar[str]
    """The site's software, as `tailrace.Site` names it."""

    api_endpoint: ClassVar[str] = ""
    """The URL that takes messages; empty: derived from the site.

    It is moved with `url`; what a page at another `url` tells of its own endpoint counts before it.
    """

    transport_kind: ClassVar[TransportKind] = "aiohttp"
    """The kind of connections that a call makes unless it is given some."""

    throttle: ClassVar[Throttle | None] = None
    """The limit of calls under way and of calls begun in a time; None for no limit."""

    _first_endpoint: ClassVar[tuple[str, str]] = ("", "")
    """The endpoint that a class was made with, and the URL of it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "api_endpoint" in vars(cls):
            cls._first_endpoint = (cls.api_endpoint, cls.url)

    @_class_or_instance
    def as_site(cls, url: str | None = None) -> Site:
        """Return the site that the attributes describe, at another `url` where one is given.

        InvalidRequestError for a URL or an attribute that makes no site.
        """
        return Site(**_described(cls, url))

    @_class_or_instance
    def own_attributes(cls) -> dict[str, Any]:
        """Return the options of the site that only its software has, from the attributes."""
        return {}

    @_class_or_instance
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

        `model`: the model's name or an alias, empty for the provider's default; `messages`: dicts
        with ``role`` and ``content``, as OpenAI's API has them. `proxy`: URL of an http, https or
        socks proxy, used for every request of the call. `timeout`: seconds for the first byte and
        for each silence (None: no clock); `connect_timeout` and `total_timeout` likewise.
        `comments_restart_idle`: keep-alive comments end a silence, too. `limits`: the most that one
        reply may hold, and how many redirects a page may take. `cookies`, `headers`: sent with
        every request. `url`: another deployment of the same software; the endpoint follows it.
        `transport`: connections to share between calls. `retry`: ask again, before the first delta
        only, when a failure may pass; every attempt costs the site an answer, so the default is one
        alone. `throttle`: calls under way and calls begun in a time, one object for all calls of a
        site (else the class's own). `environment`: clock, randomness and environment variables; the
        process's own unless given. Options of the site's software are taken, too; all else is
        ignored, as gpt4free's providers do, and logged once.

        A wrong clock or URL, and an argument of a wrong type, raise InvalidRequestError at once;
        every other failure, wrong messages and models too, is raised by the stream as a
        TailraceError (`tailrace.errors` draws the tree).
        """
        given = {
            "proxy": proxy,
            "timeout": timeout,
            "cookies": cookies,
            "transport": transport,
            "headers": headers,
            "connect_timeout": connect_timeout,
            "total_timeout": total_timeout,
            "comments_restart_idle": comments_restart_idle,
            "limits": _limits(limits),
            "retry": retry,
            "throttle": throttle,
            "environment": environment,
        }
        taken = taken_options(_name_of(cls), cls.software, kwargs)
        site = _called_site(cls, url, {**given, **taken})
        return open_stream(site, messages, {}, model=model, get_model=cls.get_model)

    @_class_or_instance
    def conversation(cls, **options: Any) -> Conversation:
        """Begin a dialogue.

        `options`: `model`, `system` (a message that stands in front) and any keyword of
        `create_async_generator`, for all turns. Raises InvalidRequestError for a wrong option.
        """
        model, system = options.pop("model", ""), options.pop("system", None)
        environment = options.pop("environment", None) or Environment()
        taken = taken_options(_name_of(cls), cls.software, {**options, "environment": environment})
        site = cls.as_site(options.get("url")).replace(**taken)
        return Conversation(
            _name_of(cls),
            lambda messages, ids: as_text_stream(
                cls.create_async_generator(
                    model, messages, **{**options, **ids, "environment": environment}
                )
            ),
            visitor=visitor_of(site),
            keeps_calls=SOFTWARE[cls.software].call.takes_parts,
            system=system,
        )


_CLOCKS = ("timeout", "connect_timeout", "total_timeout")


def _limits(limits: Limits) -> Limits:
    if not isinstance(limits, Limits):
        kind = type(limits).__name__
        raise InvalidRequestError(f"limits must be tailrace.transport.Limits, not {kind}")
    return limits


def _called_site(provider: Any, url: str | None, options: Mapping[str, Any]) -> Site:
    """Return the site of one call to a provider: its attributes, and the call's `options`."""
    _warn_of_attributes(provider)
    described = _described(provider, url)
    for name in ("model", "models", "aliases"):  # get_model knows them
        del described[name]
    given = {name: value for name, value in options.items() if value is not None}
    said = (*_CLOCKS, *NONE_IS_SAID & options.keys())
    return Site(**{**described, **given, **{name: options[name] for name in said}})


def _described(provider: Any, url: str | None) -> dict[str, Any]:
    """Return the URL and the options of the site that a provider's attributes describe."""
    home = provider.url if url is None else url
    return {
        "url": home,
        "software": provider.software,
        "name": _name_of(provider),
        "endpoint": _endpoint(provider, home),
        "model": provider.default_model,
        "models": provider.models,
        "aliases": provider.model_aliases,
        "transport": provider.transport_kind,
        "throttle": provider.throttle,
        **provider.own_attributes(),
    }


def _endpoint(provider: Any, url: str) -> str | None:
    """Return the endpoint a provider states, moved to where its site is; None where it states none.

    The endpoint belongs to the URL that the class had when it stated the endpoint: a class,
    subclass, instance or call with another URL has another endpoint. Raises InvalidRequestError for
    an endpoint stated at another place than the site's.
    """
    stated: str = provider.api_endpoint
    if not stated:
        return None
    owner = _owner(provider, "api_endpoint")
    if not is_whole_url(stated):
        raise InvalidRequestError(
            f"{_name_of(owner)}.api_endpoint must be a whole URL on the site's server, "
            f"https://host/path, not {stated!r}"
        )
    first, home = vars(owner).get("_first_endpoint", (None, None))
    if stated != first:  # set later, for the URL of today
        home = getattr(owner, "url", "")
    if url != home and not _is_stated_for(stated, url, home):
        return SOFTWARE[provider.software].call.moved_endpoint(stated, url)
    if origin_of(stated) != origin_of(url):
        raise InvalidRequestError(
            f"{_name_of(owner)}.api_endpoint is at {origin_of(stated)}, and its url at "
            f"{origin_of(url)}: set url to the site that the endpoint belongs to"
        )
    return stated


def _is_stated_for(endpoint: str, url: str, home: str) -> bool:
    """Tell whether an endpoint is stated for `url` though `home`, its owner's URL, is another.

    It is where a slash alone is other, and where it lies on the server of `url`, not on that of
    `home`, which is empty for a class that states an endpoint alone.
    """
    checked_site(url)
    if url.rstrip("/") == home.rstrip("/"):
        return True
    return origin_of(endpoint) == origin_of(url) and (not home or origin_of(home) != origin_of(url))


def _owner(provider: Any, attribute: str) -> Any:
    """Return the instance or class on which an attribute is stated."""
    if not isinstance(provider, type):
        if attribute in vars(provider):
            return provider
        provider = type(provider)
    return next(each for each in provider.__mro__ if attribute in vars(each))


def taken_options(provider: str, software: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call that a site of this software takes, under the site's names.

    All else in `given`, the call's keywords, is ignored, as gpt4free's providers do; a warning
    names it, once for each name and `provider`. Raises InvalidRequestError for an image and the
    like, which would be missing from the question, and for two names of a bot.
    """
    known = _COMMON | SOFTWARE[software].options
    options: dict[str, Any] = {}
    for argument, value in given.items():
        if (argument, value) == _TOOLS_BY_PROMPT:
            continue
        name = _SITES_NAMES.get(argument, argument)
        if name in known:
            is_bot = name in ("bot", "bot_name") and value is not None
            taken = str(value) if is_bot else value
            if options.get(name) is None:
                options[name] = taken
            elif taken not in (None, options[name]):
                raise InvalidRequestError(f"{argument} and {name} are one, and name two bots")
        elif argument in _CONTENT and value:
            raise InvalidRequestError(
                f"{argument} cannot be sent: {provider} takes what the messages hold"
            )
        elif value is not None and name not in _NOTHING_TO_SAY:
            _warn_once(provider, argument, known)
    return options


_COMMON = CALL_OPTIONS.difference(*(each.options for each in SOFTWARE.values()))
"""Options that sites of every software have."""

_SITES_NAMES = {"bot_id": "bot"}
"""Arguments of the class API that a site calls otherwise."""

_CONTENT = frozenset({"audio", "image", "images", "media"})
"""Arguments by which gpt4free's callers give a part of the question."""

_NOTHING_TO_SAY = frozenset(
    {
        "url",
        *("api_key", "conversation", "ignore_stream", "provider", "stream", "stream_timeout"),
        *("max_tokens", "stop"),  # it cuts the answer itself
    }
)
"""Arguments that are known and are no options: the site's URL, and what gpt4free's own client
passes to every provider.
"""

_TOOLS_BY_PROMPT = ("response_format", {"type": "json"})
"""What gpt4free's client says to a provider where it puts tools into the prompt: no API's value."""

_warned: set[tuple[str, str]] = set()


def _warn_once(provider: str, argument: str, known: frozenset[str]) -> None:
    if (provider, argument) in _warned:
        return
    _warned.add((provider, argument))
    other_names = (name for name, meant in _SITES_NAMES.items() if meant in known)
    hint = did_you_mean(argument, known.union(other_names, _NOTHING_TO_SAY))
    log.warning("%s ignores the argument %r%s", provider, argument, hint)


def _warn_of_attributes(provider: Any) -> None:
    """Log, once for each, the options that a subclass or an instance states in vain.

    The attributes that count are those of the classes here; every other option is of a call.
    """
    classes = (provider if isinstance(provider, type) else type(provider)).__mro__
    own = [each for each in classes if each.__module__ != __name__]
    stated = {name for place in (provider, *own) for name in vars(place)} & CALL_OPTIONS
    for name in stated:
        if any(name in vars(each) for each in classes if each.__module__ == __name__):
            continue
        named = (_name_of(provider), f".{name}")
        if named not in _warned:
            _warned.add(named)
            log.warning(
                "%s ignores its attribute %r: give it in the call", _name_of(provider), name
            )


# -- any site of a known software ------------------------------------------------------------------


class WordPressChatProvider(ChatProvider):
    """Any site with AI Power, AIPKit or AI Engine: set `url` to the page that shows the bot.

    Beside the common parameters a call takes `bot_id`, `bot_name`, `native_history`, `token_cache`,
    and the ids of `Visitor` to go on with an earlier dialogue.
    """

    software = "wordpress"
    supports_system_message = True
    supports_message_history = True

    bot_id: ClassVar[str | None] = None
    """Id of the page's bot that answers; None: the first one."""

    bot: ClassVar[str | None] = None
    """Another name of `bot_id`."""

    bot_name: ClassVar[str | None] = None
    """Name of the bot that answers, instead of its id; shown by pages of AIPKit and early 1.x."""

    native_history: ClassVar[bool] = False
    """1.x: send earlier turns in the plugin's own form instead of one prompt.

    The site filters and cuts that form.
    """

    _nonce: ClassVar[str | None] = None
    _post_id: ClassVar[str | None] = None
    """Set by a subclass, both stand in for the page fetch. They are never written here."""

    token_cache: ClassVar[TokenCache[Any]] = SHARED_TOKENS
    """Shared by all sites of a process; a call may bring its own as `token_cache=`."""

    @_class_or_instance
    def own_attributes(cls) -> dict[str, Any]:
        """Return the bot, the form of the history, fixed tokens, and the cache of tokens."""
        has_own_prompt = _owner(cls, "prompt") is not WordPressChatProvider
        return {
            "bot": _bot(cls),
            "bot_name": cls.bot_name,
            "native_history": cls.native_history,
            "make_prompt": cls.prompt if has_own_prompt else None,
            "nonce": cls._nonce,
            "post_id": cls._post_id,
            "token_cache": cls.token_cache,
        }

    @classmethod
    def prompt(cls, turns: list[Turn]) -> str:
        """Return the text that is sent as the message.

        `turns`: the conversation, oldest first; all of it is sent, the system message included.
        """
        return turns_prompt(turns)


def _bot(provider: Any) -> str | None:
    """Return the bot's id, from the attribute stated last: `bot` and `bot_id` are one."""
    places = [] if isinstance(provider, type) else [provider]
    for place in (*places, *(provider if isinstance(provider, type) else type(provider)).__mro__):
        stated = {vars(place)[name] for name in ("bot", "bot_id") if name in vars(place)}
        named = {str(bot) for bot in stated if bot is not None}
        if len(named) > 1:
            raise InvalidRequestError(f"{_name_of(place)}: bot and bot_id are one, and name two")
        if stated:
            return next(iter(named), None)
    return None


class SignedProvider(ChatProvider):
    """Base of the providers of both signed apps.

    Set `url`, and `secret_key` if the site's owner set one.

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

    @_class_or_instance
    def own_attributes(cls) -> dict[str, Any]:
        """Return the secret key, or the variable that may hold it, and a signature of its own."""
        has_own_signature = _owner(cls, "generate_signature") is not SignedProvider
        return {
            "secret_key": _secret_key(cls),
            "make_signature": cls.generate_signature if has_own_signature else None,
        }

    @_class_or_instance
    def generate_signature(cls, timestamp: int, message: str, secret: str | None = None) -> str:
        """Return the lower-case hex SHA-256 of ``{timestamp}:{message}:{secret}``.

        `timestamp`: whole milliseconds since 1970; `message`: the text that is signed. Without
        `secret` the class's key is used, the environment's, or the empty string. Calls use what a
        subclass makes of this method. Raises InvalidRequestError for a timestamp that is no int,
        and for a message or a secret that is no text.
        """
        if isinstance(timestamp, bool) or not isinstance(timestamp, int):
            raise InvalidRequestError(
                "timestamp must be an int of milliseconds: a float signs another text"
            )
        if not isinstance(message, str):
            raise InvalidRequestError(f"message must be text, not {type(message).__name__}")
        key = _secret_key(cls) if secret is None else secret
        if isinstance(key, Secret):
            key = Environment().environ.get(key.variable)
        checked_text("secret_key", key)
        return sign_request(timestamp, message, key or "")


def _secret_key(provider: Any) -> str | Secret | None:
    """Return the key of a class, or the variable that may hold it; None for neither."""
    if provider.secret_key is not None:
        return provider.secret_key  # type: ignore[no-any-return]
    variable = provider.secret_variable
    return Secret(variable=variable, default="") if variable else None


class GeminiProChatProvider(SignedProvider):
    """Any deployment of GeminiProChat."""

    software = "geminiprochat"


class ChatgptDemoProvider(SignedProvider):
    """Any deployment of chatgpt-demo. A call takes `temperature`, too."""

    software = "chatgpt-demo"


class OpenAIProvider(ChatProvider):
    """Any server with OpenAI's API, by its base URL.

    Set `url` on a subclass, or give `url=`: ``http://localhost:8000/v1``, say.

    Beside the common parameters a call takes `api_key` and the API's own: `temperature`,
    `max_tokens` and so on. No key is taken from the environment: it would go to whatever server
    `url` names.
    """

    software = "openai"
    supports_system_message = True
    supports_message_history = True

    api_key: ClassVar[str | None] = None
    """Sent as a bearer token; None: none is sent."""

    @_class_or_instance
    def own_attributes(cls) -> dict[str, Any]:
        """Return the key."""
        return {"api_key": cls.api_key}


# -- public sites ----------------------------------------------------------------------------------


class ChatGptt(WordPressChatProvider):
    """Streams from chatgptt.me, or from any site with the same plugin through `url=`."""

    label = "ChatGptt"
    url = "https://chatgptt.me"
    api_endpoint = "https://chatgptt.me/wp-admin/admin-ajax.php"
    default_model = "gpt-4o"
    models: ClassVar[list[str]] = ["gpt-4", default_model, "gpt-4o-mini"]


class ChatgptFree(WordPressChatProvider):
    """Streams from chatgptfree.ai, or from any site with the same plugin through `url=`."""

    label = "ChatgptFree"
    url = "https://chatgptfree.ai"
    api_endpoint = "https://chatgptfree.ai/wp-admin/admin-ajax.php"
    default_model = "gpt-4o-mini-2024-07-18"
    models: ClassVar[list[str]] = [default_model]
    model_aliases: ClassVar[dict[str, str]] = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18"}


class ChatGptEs(WordPressChatProvider):
    """Streams from chatgpt.es over curl_cffi (extra ``impersonate``).

    With `url=`, it streams from any site with the same plugin.

    A guard in front of the site wants a browser-like transport. The site keeps no history and no
    system message; the conversation goes as one prompt behind `SYSTEM_PROMPT`.
    """

    label = "ChatGptEs"
    url = "https://chatgpt.es"
    api_endpoint = "https://chatgpt.es/wp-admin/admin-ajax.php"
    supports_system_message = False
    supports_message_history = False
    default_model = "gpt-4o"
    models: ClassVar[list[str]] = ["gpt-4", default_model, "gpt-4o-mini"]
    transport_kind: ClassVar[TransportKind] = "impersonate"

    SYSTEM_PROMPT = (
        "Answer in the language of the user's last message, whatever language this page or the bot "
        "uses."
    )

    @classmethod
    def prompt(cls, turns: list[Turn]) -> str:
        """Return `SYSTEM_PROMPT`, then the conversation `turns`, oldest first."""
        return f"{cls.SYSTEM_PROMPT}\n\n{turns_prompt(turns)}"


class GPROChat(GeminiProChatProvider):
    """Streams from gprochat.com, or from any deployment of the app through `url=`.

    The signing key is the user's to set: `secret_key` on the class or as an argument, or the
    environment variable ``GPROCHAT_SECRET_KEY``. Without one, the app's own default is used: the
    empty string.
    """

    label = "GPROChat"
    url = "https://gprochat.com"
    api_endpoint = "https://gprochat.com/api/generate"
    default_model = "gemini-1.5-pro"
    secret_variable = "GPROCHAT_SECRET_KEY"  # noqa: S105 - the variable's name
