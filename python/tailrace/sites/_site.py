"""A site as a value: where it is, what it runs, and how it is to be talked to."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Unpack
from urllib.parse import urlsplit

from tailrace._calls.retry_policy import RetryPolicy
from tailrace._calls.retrying import Retrying
from tailrace._calls.throttling import Limited, Throttle
from tailrace._environment import Environment
from tailrace._streams.observing import observer
from tailrace._streams.outcome import warn_of_more_than_text
from tailrace._streams.stream import ChatStream
from tailrace.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    ModelNotSupportedError,
    TailraceError,
)
from tailrace.providers._base import (
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_TIMEOUT,
    CallRequest,
    checked_text,
)
from tailrace.providers._conversation import Conversation
from tailrace.providers._visitor import Visitor
from tailrace.sites._options import (
    CALL_OPTIONS,
    SITE_OPTIONS,
    CallOptions,
    SiteOptions,
    check_names,
)
from tailrace.sites._secrets import Secret, origin_of
from tailrace.sites._software import (
    DEFAULT_SOFTWARE,
    NONE_IS_SAID,
    SOFTWARE,
    Software,
    SoftwareName,
    software_named,
)
from tailrace.transport import DEFAULT_LIMITS, Limits, Timeouts, Transport
from tailrace.transport._observed import ObservedTransport
from tailrace.transport._rules import checked_seconds, checked_url, is_whole_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from tailrace._calls.exchange import Exchange
    from tailrace._calls.token_cache import TokenCache
    from tailrace._messages import Messages, Turn
    from tailrace._secrecy import SentSecrets
    from tailrace.providers._base import Call
    from tailrace.providers._geminiprochat import ClockOffsets
    from tailrace.transport import TransportKind
    from tailrace.transport._observed import ObservedRequest

__all__ = [
    "Site",
    "begin_call",
    "for_call",
    "open_stream",
    "secrets_of",
    "sent_secrets",
    "visitor_of",
]

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_ATTRIBUTES = {"models": "listed_models"}
"""Options that are kept under another name: `Site.models` asks the server."""


@dataclass(frozen=True, init=False, repr=False)
class Site:
    """One chat site: its URL, its software, and the options of every call to it.

    A value: it never changes, `replace` makes another one, and equal sites compare equal. Nothing
    is sent before a stream is read. The repr shows no secret. `url`: the page that shows the chat,
    the app's own address, or the API's base URL. All options are keywords:

    - ``software``: ``wordpress`` (AI Power, AIPKit and AI Engine: the page tells which),
      ``ai-engine`` (that alone, whatever else is on the page), ``geminiprochat``, ``chatgpt-demo``,
      ``openai`` (any OpenAI-compatible server, by its base URL), ``anthropic``, ``gemini`` or
      ``ollama`` (a server with that API).
    - ``name``: the name in lists, logs and errors; the URL's origin unless given.
    - ``endpoint``: where messages are posted, on the URL's own origin; found from the URL or its
      page unless given.
    - ``model``: the model that is requested unless a call names another; ``models``: all that a
      call may name (any where none are listed), then the `listed_models`; ``aliases``: other names
      of models.
    - ``unsupported``: ``refuse`` or ``drop``, what the gateway does with the fields of a request
      that the site has no place for; as the gateway is set unless given.
    - ``headers``, ``cookies``: sent with every request; those of a call are added, and win.
    - ``proxy``: URL of an http, https or socks proxy, for every request.
    - ``timeout``: seconds for the first byte of a reply and for each silence in it, 120;
      ``connect_timeout``: seconds to connect, 30; ``total_timeout``: seconds for a whole call, no
      clock. None turns a clock off. ``comments_restart_idle``: keep-alive comments end a silence.
    - ``limits``: `tailrace.transport.Limits`, the most a reply may hold.
    - ``retry``: a `RetryPolicy`, to send a request again before the first delta where a failure may
      pass; nothing is sent twice without one. ``throttle``: a `Throttle` shared by all calls of a
      site.
    - ``transport``: ``aiohttp``, ``impersonate`` (curl_cffi, behind its extra), or a `Transport`
      whose connections are shared between calls.
    - ``environment``: clocks, randomness and environment variables; the process's unless given.
    - ``timings``: streams take the times of their replies, see `Timings`; their deltas have times,
      and the tokens that their event told. ``keep_raw``: deltas have their event's JSON, and an
      event that adds nothing is a delta with an empty text.
    - ``wordpress``, ``ai-engine``: ``bot`` (a bot's id), ``bot_name``, ``make_prompt``,
      ``token_cache``, and to go on with an earlier dialogue ``client_id``; ``wordpress``:
      ``native_history``, ``nonce``, ``post_id``, and ``session_id``, ``conversation_uuid``,
      ``thread_id``, ``previous_openai_response_id``.
    - ``geminiprochat``, ``chatgpt-demo``: ``secret_key``, ``password``, ``clock_offsets``,
      ``make_signature``; ``chatgpt-demo``: ``temperature``.
    - ``openai``, ``anthropic``, ``gemini``, ``ollama``, all under OpenAI's names: ``api_key``;
      ``tools``, ``tool_choice``, ``response_format``; ``temperature``, ``top_p``, ``top_k``,
      ``max_tokens`` (or ``max_completion_tokens``), ``stop``, ``reasoning_effort``; and ``extra``,
      further fields of the request under the API's own names. The values are the server's to judge.
    - ``openai``, ``gemini``, ``ollama``: ``seed``, ``frequency_penalty``, ``presence_penalty``,
      ``logprobs``, ``top_logprobs``; ``openai``, ``anthropic``: ``parallel_tool_calls``, ``user``;
      ``openai``: ``api`` (``chat`` for chat completions, the default, or ``responses``),
      ``logit_bias``, and ``stream_options``, which ask for the usage (None: are not sent).

    ``secret_key``, ``password``, ``api_key``, ``proxy``, ``cookies`` and the values of ``headers``
    may be a `Secret`, which is read from the environment when a call begins.

    Raises TypeError for an unknown option, with the name that was meant; InvalidRequestError for a
    malformed URL, an unknown software, an option that the software does not have, a value of a
    wrong type, and as a ModelNotSupportedError for a default or an alias that is none of `models`.
    """

    url: str
    software: SoftwareName = DEFAULT_SOFTWARE
    name: str = ""
    endpoint: str | None = None
    model: str = ""
    listed_models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    unsupported: Literal["refuse", "drop"] | None = None
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    cookies: Mapping[str, str] | Secret = field(default_factory=dict)
    proxy: str | Secret | None = None
    timeout: float | None = DEFAULT_TIMEOUT
    connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT
    total_timeout: float | None = None
    comments_restart_idle: bool = False
    limits: Limits = DEFAULT_LIMITS
    retry: RetryPolicy | None = None
    throttle: Throttle | None = None
    transport: Transport | TransportKind = "aiohttp"
    environment: Environment | None = None
    timings: bool = False
    keep_raw: bool = False
    bot: str | None = None
    bot_name: str | None = None
    native_history: bool | None = None
    make_prompt: Callable[[list[Turn]], str] | None = None
    nonce: str | None = None
    post_id: str | None = None
    token_cache: TokenCache[Any] | None = None
    client_id: str | None = None
    session_id: str | None = None
    conversation_uuid: str | None = None
    thread_id: str | None = None
    previous_openai_response_id: str | None = None
    secret_key: str | Secret | None = None
    password: str | Secret | None = None
    clock_offsets: ClockOffsets | None = None
    make_signature: Callable[[int, str], str] | None = None
    temperature: float | None = None
    api_key: str | Secret | None = None
    extra: Mapping[str, Any] | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    reasoning_effort: str | None = None
    response_format: Mapping[str, Any] | None = None
    stop: str | list[str] | None = None
    tool_choice: str | Mapping[str, Any] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    top_k: int | None = None
    top_p: float | None = None
    api: Literal["chat", "responses"] | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stream_options: Mapping[str, Any] | None = None
    top_logprobs: int | None = None
    user: str | None = None
    _options: Mapping[str, Any] = field(init=False, compare=False)
    # The software's own options, as its record.
    _own: Any = field(init=False, compare=False)

    def __init__(self, url: str, **options: Unpack[SiteOptions]) -> None:
        if "listed_models" in options:  # so `dataclasses.replace` calls it
            options["models"] = options.pop("listed_models")  # type: ignore[typeddict-item]
        check_names("Site", options, SITE_OPTIONS)
        if not isinstance(url, str):
            raise _wrong("a site's URL", "text", url)
        origin = origin_of(url)
        given = _checked(software_named(options.get("software", DEFAULT_SOFTWARE)), options)
        own = _own_record(given)
        _check_endpoint(origin, given.get("endpoint"))
        values = {
            "url": url,
            "name": origin,
            "aliases": _NOTHING,
            "headers": _NOTHING,
            "cookies": _NOTHING,
            "stream_options": getattr(own, "stream_options", None),
            **given,
            "_options": MappingProxyType(given),
            "_own": own,
        }
        for name, value in values.items():
            object.__setattr__(self, _ATTRIBUTES.get(name, name), value)
        self._check_models()

    def _check_models(self) -> None:
        """Raise ModelNotSupportedError for a default or an alias that no call could use."""
        for name in ("", *self.aliases):
            self.resolve_model(name)

    def __repr__(self) -> str:
        shown = {
            name: self._options[name]
            for name in _SHOWN
            if name in self._options and (self._options[name] or name in _CLOCKS)
        }
        if "endpoint" in shown:
            shown["endpoint"] = _without_password(shown["endpoint"])
        words = [f"{name}={_plain(value)!r}" for name, value in shown.items()]
        url = _without_password(self.url)
        return f"Site({', '.join([repr(url), f'software={self.software!r}', *words])})"

    def __hash__(self) -> int:
        return hash((self.url, self.software, self.name))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (
            self.url,
            {name: _picklable(name, each) for name, each in self._options.items()},
        )

    def __copy__(self) -> Site:
        return self

    def __deepcopy__(self, memo: object) -> Site:
        return self  # a throttle and connections are shared on purpose

    def replace(self, *, url: str | None = None, **options: Unpack[SiteOptions]) -> Site:
        """Return this site with other options, and at another `url` where one is given.

        The endpoint follows the URL, of which a slash at its end is no part; what the page there
        tells counts before it. An option that is None has its default; of the clocks, None is no
        clock, and of ``stream_options``, that none are sent. `options` and errors are those of the
        constructor.
        """
        check_names("Site.replace", options, SITE_OPTIONS)
        given: dict[str, Any] = {**self._options, **options}
        is_moved = url is not None and url.rstrip("/") != self.url.rstrip("/")
        if url is not None and is_moved and self.endpoint and "endpoint" not in options:
            given["endpoint"] = _software(self).call.moved_endpoint(self.endpoint, url)
        return Site(self.url if url is None else url, **given)

    def stream(self, prompt: str | Messages, **options: Unpack[CallOptions]) -> ChatStream:
        """Begin a call and return its answer as a stream; nothing is sent before the first read.

        `prompt`: the user's words, or a list of messages. `options` hold for this call alone,
        instead of the site's own; None is the site's own, but no clock for a clock, no policy for
        ``retry`` and no ``stream_options``. Raises TypeError for an unknown option, with the name
        that was meant, and InvalidRequestError for a wrong one; every other failure is raised by
        the stream, as a TailraceError.
        """
        check_names("Site.stream", options, CALL_OPTIONS)
        return open_stream(self, _messages(prompt), options)

    async def ask(self, prompt: str | Messages, **options: Unpack[CallOptions]) -> str:
        """Return the text of the whole answer; arguments and errors are those of `stream`.

        Tool calls and refusals, which are no text, are named in a warning.
        """
        check_names("Site.ask", options, CALL_OPTIONS)
        parts: list[str] = []
        async with open_stream(self, _messages(prompt), options) as stream:
            while deltas := await stream.read():
                parts += deltas
        warn_of_more_than_text(stream, "ask")
        return "".join(parts)

    async def models(self, **options: Unpack[CallOptions]) -> list[str]:
        """Ask the server for the names of its models; `options` as for `stream`.

        A site whose software tells no list (``wordpress``, say) has those of its profile. Raises
        InvalidRequestError where there are none, and the TailraceError of the call.
        """
        check_names("Site.models", options, CALL_OPTIONS)
        if _software(self).has_page:
            if not self.listed_models:
                raise InvalidRequestError(
                    f"sites of the software {self.software} tell no list of models"
                )
            return list(self.listed_models)
        async with begin_call(self, [], options, model="") as call:
            return await call.models()

    def conversation(
        self, system: str | None = None, **options: Unpack[CallOptions]
    ) -> Conversation:
        """Begin a dialogue, each turn of which is answered with the earlier ones in mind.

        `system`: a message that stands in front; `options` as for `stream`, for all its turns.
        """
        check_names("Site.conversation", options, CALL_OPTIONS)
        site = _with_options(self, options, _environment(self, options).environ)
        return Conversation(
            site.name,
            lambda messages, ids: open_stream(site, messages, ids),
            visitor=visitor_of(site),
            keeps_calls=_software(site).call.takes_parts,
            system=system,
        )

    def resolve_model(self, name: str = "") -> str:
        """Return the model of that name: the default for an empty one, an alias's target.

        ModelNotSupportedError for a name that is not among `listed_models`, if there are any.
        """
        if name is not None and not isinstance(name, str):
            raise ModelNotFoundError(f"a model of {self.name} is a name, not {type(name).__name__}")
        model = self.aliases.get(name, name) if name else self.default_model
        if model and self.listed_models and model not in self.listed_models:
            known = ", ".join([*self.listed_models, *self.aliases])
            raise ModelNotSupportedError(
                f"{self.name} does not know the model {model!r}; it knows {known}"
            )
        return model

    @property
    def default_model(self) -> str:
        """The model of calls that name none: `model`, else the first listed one, else empty."""
        model = self.model or next(iter(self.listed_models), "")
        return self.aliases.get(model, model)


def open_stream(
    site: Site,
    messages: object,
    options: Mapping[str, Any],
    *,
    model: str | None = None,
    get_model: Callable[[str], str] | None = None,
    environment: Environment | None = None,
    transport: Transport | None = None,
) -> ChatStream:
    """Begin a call to a site and return its stream.

    `messages`: as the caller gave them, checked when the stream is first read; `options`: those of
    the call. `model`: a name that is not checked before, and `get_model`: the function that
    resolves it then; `environment` and `transport`: what many calls share. None for those of `site`
    and `options`.
    """
    called = for_call(site, options, environment)
    environment = environment or _environment(called, {})
    sent: list[ObservedRequest] = []
    request = _request(
        called,
        messages,
        called.model if model is None else model,
        get_model or called.resolve_model,
        environment,
        transport=transport,
        sent=sent if called.timings else None,
    )
    return ChatStream(
        _exchange(called, request),
        idle=called.timeout,
        total=called.total_timeout,
        comments_restart_idle=called.comments_restart_idle,
        observer=observer(
            environment.monotonic_ns,
            timings=called.timings,
            keep_raw=called.keep_raw,
            sent=partial(_times_of_messages, sent),
        ),
    )


def _times_of_messages(sent: list[ObservedRequest]) -> tuple[int | None, int | None]:
    """Return when the messages were last sent, and when that was answered.

    Messages are posted; a reply that is fetched from another place comes with the answer to a later
    request.
    """
    posts = [index for index, request in enumerate(sent) if request.method == "POST"]
    if not posts:
        return None, None
    answered = sent[-1].answered
    return int(sent[posts[-1]].begun), None if answered is None else int(answered)


@asynccontextmanager
async def begin_call(
    site: Site,
    messages: object,
    options: Mapping[str, Any],
    *,
    model: str,
    environment: Environment | None = None,
    transport: Transport | None = None,
) -> AsyncIterator[Call[Any]]:
    """Begin a call to a site that is no stream, within the site's limits, and close it.

    Arguments are those of `open_stream`.
    """
    called = for_call(site, options, environment)
    environment = environment or _environment(called, {})
    request = _request(
        called, messages, model, called.resolve_model, environment, transport=transport
    )
    gate = None if site.throttle is None else site.throttle.gate()
    if gate is not None:
        await gate.enter()
    call = _software(called).call(request, called._own)  # noqa: SLF001 - this module's own
    try:
        yield call
    except TailraceError as error:
        call.conceal(error)
        raise
    finally:
        await call.aclose()
        if gate is not None:
            gate.leave()


def _messages(prompt: str | Messages) -> Messages:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def for_call(
    site: Site, options: Mapping[str, Any], environment: Environment | None = None
) -> Site:
    """Return the site of one call: `site` with the call's options, and every secret read.

    `environment`: has the secrets; that of `options` or `site` unless given. Raises ProfileError or
    InvalidRequestError where the variable of a secret is not set.
    """
    environ = (environment or _environment(site, options)).environ
    called = _with_options(site, options, environ) if options else site
    kept = called._options  # noqa: SLF001 - this module's own
    secrets = {
        name: _reveal(name, kept[name], called.url, environ)
        for name in _MAY_BE_SECRET & kept.keys()
        if _holds_secret(kept[name])
    }
    return _changed(called, secrets) if secrets else called


def _environment(site: Site, options: Mapping[str, Any]) -> Environment:
    environment = options.get("environment") or site.environment or _PROCESS
    if not isinstance(environment, Environment):
        raise _wrong("environment", "an Environment", environment)
    return environment


_PROCESS = Environment()
"""The environment of calls that are given none: clock, randomness and variables of the process."""


def visitor_of(site: Site) -> dict[str, str | None]:
    """Return the ids of a new dialogue, by name: the site's own, random ones for the rest.

    Empty at a site that knows no visitors.
    """
    known = _software(site).visitor_ids
    if not known:
        return {}
    environment = site.environment or _PROCESS
    ids = {name: getattr(site, name) for name in Visitor.__slots__}
    visitor = Visitor.of(ids, environment.random)
    return {name: getattr(visitor, name) for name in Visitor.__slots__ if name in known}


def _software(site: Site) -> Software:
    return SOFTWARE[site.software]


def _request(
    site: Site,
    messages: object,
    model: str,
    get_model: Callable[[str], str],
    environment: Environment,
    *,
    transport: Transport | None = None,
    sent: list[ObservedRequest] | None = None,
) -> CallRequest:
    """Return the request; `sent` becomes the list of what is sent for it, with its times."""
    clock = environment.monotonic_ns
    return CallRequest(
        url=site.url,
        messages=messages,
        model=model,
        get_model=get_model,
        endpoint=site.endpoint,
        proxy=site.proxy,  # type: ignore[arg-type]  # no Secret is left after for_call
        cookies=site.cookies,  # type: ignore[arg-type]
        headers=site.headers,  # type: ignore[arg-type]
        timeouts=Timeouts(
            connect=site.connect_timeout,
            first_byte=site.timeout,
            idle=site.timeout,
            total=site.total_timeout,
        ),
        limits=site.limits,
        transport=transport or site.transport,
        observe=None if sent is None else lambda under: ObservedTransport(under, clock, sent),
        environment=environment,
    )


def _exchange(site: Site, request: CallRequest) -> Exchange:
    """Return the call, throttled and repeated as the site says.

    Each attempt is a new call. A call that waits for its next attempt holds no slot of the
    throttle.
    """

    def make() -> Exchange:
        call = _software(site).call(request, site._own)  # noqa: SLF001 - this module's own
        return call if site.throttle is None else Limited(call, site.throttle)

    if site.retry is None:
        return make()
    return Retrying(make, site.retry, chance=request.environment.random)


def _with_options(site: Site, options: Mapping[str, Any], environ: Mapping[str, str]) -> Site:
    """Return the site with a call's options: headers and cookies are added to its own."""
    given = {
        name: value for name, value in options.items() if value is not None or name in _NONE_IS_OFF
    }
    for name in ("headers", "cookies"):
        if given.get(name) is None:
            continue
        value = _reveal(name, given[name], site.url, environ)
        if isinstance(value, Mapping):
            own = _reveal(name, getattr(site, name), site.url, environ)
            given[name] = {**(own or {}), **value}
    return _changed(site, given) if given else site


def _changed(site: Site, given: Mapping[str, Any]) -> Site:
    """Return the site with the options of a call; the others, which were checked, stay as they are.

    Errors are those of `Site.replace`.
    """
    if "model" in given or any(
        value is None and name not in _CLOCKS for name, value in given.items()
    ):
        return site.replace(**given)
    software = _software(site)
    checked = _checked(software, given)
    options = {**site._options, **checked}  # noqa: SLF001 - this module's own
    own = site._own if software.options.isdisjoint(given) else _own_record(options)  # noqa: SLF001
    changed = object.__new__(Site)
    kept = {"_options": MappingProxyType(options), "_own": own}
    changed.__dict__.update(site.__dict__, **checked, **kept)
    return changed


_MAY_BE_SECRET = frozenset({"secret_key", "password", "api_key", "proxy", "cookies", "headers"})
_NONE_IS_OFF = NONE_IS_SAID | {"timeout", "connect_timeout", "total_timeout", "retry"}
_CLOCKS = ("timeout", "connect_timeout", "total_timeout")

_SHOWN = (
    "name",
    "endpoint",
    "model",
    "models",
    "aliases",
    "unsupported",
    *_CLOCKS,
    "comments_restart_idle",
    "limits",
    "retry",
    "throttle",
    "transport",
    "bot",
    "bot_name",
    "native_history",
)
"""Options that the repr shows: of the others some may be secret, and some are of little use."""


# -- options, checked ------------------------------------------------------------------------------


def _checked(software: Software, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are not None, as a site of `software` keeps them.

    Raises InvalidRequestError, which names a wrong option.
    """
    given = {
        name: _CHECKS[name](name, value) if name in _CHECKS else value
        for name, value in options.items()
        if value is not None or name in _CLOCKS or name in NONE_IS_SAID & software.options
    }
    for name, value in given.items():
        if name in _OWN_OPTIONS and name not in software.options:
            raise InvalidRequestError(
                f"a site of the software {software.name} has no option {name!r}"
            )
        if isinstance(value, Secret) and name not in _MAY_BE_SECRET:
            raise InvalidRequestError(f"{name} cannot be a Secret: no secret is expected there")
    return given


def _own_record(options: Mapping[str, Any]) -> Any:
    """Return the software's record of the options that it alone has.

    Raises InvalidRequestError for a wrong value. In the record a `Secret` is the empty string: a
    call is only ever made of a site without secrets, from `for_call`.
    """
    software = software_named(options.get("software", DEFAULT_SOFTWARE))
    return software.read_options(
        {
            name: "" if isinstance(value, Secret) else value
            for name, value in options.items()
            if name in software.options
        }
    )


_OWN_OPTIONS = frozenset().union(*(each.options for each in SOFTWARE.values()))


def _check_endpoint(origin: str, endpoint: str | None) -> None:
    if endpoint is not None and not is_whole_url(endpoint):
        raise InvalidRequestError(f"endpoint must be a whole URL at {origin}, where the site is")
    if endpoint is not None and origin_of(endpoint) != origin:
        raise InvalidRequestError(
            f"endpoint must be at {origin}, where the site is, not at {origin_of(endpoint)}"
        )


def _without_password(url: str) -> str:
    return url if "@" not in urlsplit(url).netloc else checked_url(url).url


def _wrong(name: str, expected: str, value: object) -> InvalidRequestError:
    return InvalidRequestError(f"{name} must be {expected}, not {type(value).__name__}")


def _text(name: str, value: object) -> object:
    checked_text(name, value)
    return value


def _name(name: str, value: object) -> object:
    if value == "":
        raise InvalidRequestError(f"{name} must not be empty")
    return _text(name, value)


def _models(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _wrong(name, "a list of names", value)
    for each in value:
        checked_text(f"each of {name}", each)
    return tuple(value)


def _aliases(name: str, value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise _wrong(name, "a mapping of names to models", value)
    for alias, model in value.items():
        checked_text(f"each name in {name}", alias)
        checked_text(f"each model in {name}", model)
    return MappingProxyType(dict(value))


def _pairs(name: str, value: object) -> Mapping[str, Any] | Secret:
    if name == "cookies" and isinstance(value, Secret):
        return value
    if not isinstance(value, Mapping):
        raise _wrong(name, "a mapping of names to values", value)
    return MappingProxyType(dict(value))


def _proxy(name: str, value: object) -> object:
    if not isinstance(value, str | Secret):
        raise _wrong(name, "a URL", value)
    return value


def _flag(name: str, value: object) -> object:
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


def _unsupported(name: str, value: object) -> object:
    if value not in ("refuse", "drop"):
        raise InvalidRequestError(f"{name} must be 'refuse' or 'drop'")
    return value


def _json(name: str, value: object) -> object:
    """Return a copy of what goes into a request as JSON: its maker may change it later."""
    if isinstance(value, Mapping):
        return {key: _json(name, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(name, each) for each in value]
    return value


def _of_type(kind: type[Any], words: str) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if not isinstance(value, kind):
            raise _wrong(name, words, value)
        return value

    return check


def _transport(name: str, value: object) -> object:
    if isinstance(value, Transport) or value in ("aiohttp", "impersonate"):
        return value
    raise InvalidRequestError(f"{name} must be 'aiohttp', 'impersonate' or a Transport")


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "name": _name,
    "endpoint": _text,
    "model": _text,
    "models": _models,
    "aliases": _aliases,
    "headers": _pairs,
    "cookies": _pairs,
    "proxy": _proxy,
    **dict.fromkeys(_CLOCKS, checked_seconds),
    **dict.fromkeys(("comments_restart_idle", "timings", "keep_raw"), _flag),
    "unsupported": _unsupported,
    "limits": _of_type(Limits, "tailrace.transport.Limits"),
    "retry": _of_type(RetryPolicy, "a RetryPolicy"),
    "throttle": _of_type(Throttle, "a Throttle"),
    "transport": _transport,
    "environment": _of_type(Environment, "an Environment"),
    **dict.fromkeys(
        (
            "extra",
            "logit_bias",
            "response_format",
            "stop",
            "stream_options",
            "tool_choice",
            "tools",
        ),
        _json,
    ),
}


# -- secrets ---------------------------------------------------------------------------------------


def _holds_secret(value: object) -> bool:
    return isinstance(value, Secret) or (
        isinstance(value, Mapping) and any(isinstance(each, Secret) for each in value.values())
    )


def secrets_of(site: Site) -> Iterator[Secret]:
    """Yield the secrets of a site's options, each of which is read when a call begins."""
    for name in sorted(_MAY_BE_SECRET):
        value = getattr(site, name)
        yield from (
            each
            for each in (value.values() if isinstance(value, Mapping) else [value])
            if isinstance(each, Secret)
        )


def sent_secrets(
    sites: Iterable[Site], environ: Mapping[str, str], *, every_header: bool = False
) -> SentSecrets:
    """Return what is sent to sites and is nobody else's business: keys, passwords, cookies.

    `environ`: the variables, where a secret has none of its own. `every_header`: the values of all
    headers count, and not only of those whose names say that they are secret.
    """
    from tailrace._secrecy import SentSecrets  # noqa: PLC0415 - for calls that failed

    secrets = SentSecrets()
    for site in sites:
        headers, cookies = _told(site.headers, environ), _told(site.cookies, environ)
        secrets.add_headers(headers)
        secrets.add_cookies(_parse_cookies(cookies) if isinstance(cookies, str) else cookies)
        for url in (site.url, site.endpoint, _told(site.proxy, environ)):
            secrets.add_url(url)
        for value in (site.api_key, site.password, site.secret_key):
            secrets.add(_told(value, environ))
        if every_header:
            secrets.add(*headers.values())
    return secrets


def _told(value: Any, environ: Mapping[str, str]) -> Any:
    """Return an option with its secrets' values, wherever they may be sent."""
    if isinstance(value, Secret):
        return value.value(environ)
    return value if not _holds_secret(value) else {k: _told(v, environ) for k, v in value.items()}


def _reveal(name: str, value: Any, url: str, environ: Mapping[str, str]) -> Any:
    """Return an option with its secrets' values; secrets not for `url` are left out."""
    if isinstance(value, Secret):
        text = value.read(url, environ)
        return _parse_cookies(text or "") if name == "cookies" else text
    if not _holds_secret(value):
        return value
    revealed = {key: _reveal("", each, url, environ) for key, each in value.items()}
    return {key: each for key, each in revealed.items() if each is not None}


def _parse_cookies(text: str) -> dict[str, str]:
    """Read cookies as a browser sends them: ``name=value; name=value``."""
    pairs = (pair.partition("=") for pair in text.split(";") if pair.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


# -- pickling --------------------------------------------------------------------------------------


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, MappingProxyType) else value


def _picklable(name: str, value: object) -> object:
    """Return an option as it is pickled, or raise InvalidRequestError with its name."""
    plain = _plain(value)
    try:
        pickle.dumps(plain)
    except Exception:  # noqa: BLE001 - a lock, a function or a socket fails in its own way each
        failed = True
    else:
        failed = False
    if failed:
        kind = type(value).__name__
        raise InvalidRequestError(
            f"a site with {name} cannot be pickled: {kind} belongs to this process"
        )
    return plain


def _rebuilt(url: str, given: dict[str, Any]) -> Site:
    return Site(url, **given)
