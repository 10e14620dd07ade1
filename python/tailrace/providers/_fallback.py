"""Lists of sites: when one fails before its first delta, the next one is called.

`IterListProvider` and `RetryProvider`, gpt4free's names, are used like provider classes. An
`InvalidRequestError`, the caller's own fault, is raised at once: it would fail everywhere. A model
that one provider does not know may be known to the next.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from typing import TYPE_CHECKING, Any, TypeAlias

from tailrace import errors
from tailrace._calls.retry_policy import RetryPolicy
from tailrace._calls.retrying import Attempts
from tailrace._streams.fallback import FallbackStream
from tailrace._streams.iterated import as_text_stream
from tailrace.errors import InvalidRequestError, ProviderNotWorkingError
from tailrace.providers._g4f import iterate_completion, joined_text, taken_options
from tailrace.sites._site import Site, open_stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from tailrace._messages import Messages
    from tailrace._streams.closing import TextStream
    from tailrace._streams.stream import ChatStream
    from tailrace.providers._g4f import AsyncGeneratorProvider

    Face: TypeAlias = (
        "_SiteAsProvider | type[AsyncGeneratorProvider] | AsyncGeneratorProvider | IterListProvider"
    )
    Provider: TypeAlias = (
        "Site | type[AsyncGeneratorProvider] | AsyncGeneratorProvider | IterListProvider"
    )

__all__ = ["FallbackStream", "IterListProvider", "RetryProvider"]

log: logging.Logger = logging.getLogger("tailrace")


class IterListProvider:
    """A list of sites, provider classes and other lists, called in turn until one answers.

    `providers`: the members, in their order; `shuffle`: another order at each call, drawn from
    `chance`, the system's random numbers unless given. An instance has the methods of a provider
    class, and may stand in another list. `last_provider`: the one that any call tried last.
    InvalidRequestError for a member that is none of these.
    """

    url: str = ""
    label: str = ""
    supports_stream: bool = True
    use_stream_timeout: bool = True
    live: int = 0
    """As `AsyncGeneratorProvider` has both, for gpt4free's client."""

    def __init__(
        self,
        providers: Iterable[Provider],
        shuffle: bool = True,  # noqa: FBT001, FBT002 - gpt4free's signature
        *,
        chance: random.Random | None = None,
    ) -> None:
        self.__name__: str = type(self).__name__
        self.providers: list[Provider] = list(providers)
        for provider in self.providers:
            _face(provider)
        self.shuffle: bool = shuffle
        self.last_provider: Provider | None = None
        self.policy: RetryPolicy = RetryPolicy(attempts=1)
        self.chance: random.Random = random.SystemRandom() if chance is None else chance
        self.sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    @property
    def _faces(self) -> list[Face]:
        return [_face(provider) for provider in self.providers]

    @property
    def working(self) -> bool:
        """Whether any of the providers is marked as working."""
        return any(provider.working for provider in self._faces)

    @property
    def needs_auth(self) -> bool:
        """Whether all providers need a password or key."""
        return bool(self.providers) and all(provider.needs_auth for provider in self._faces)

    @property
    def supports_system_message(self) -> bool:
        """Whether every provider takes a system message, since any may answer."""
        return bool(self.providers) and all(
            provider.supports_system_message for provider in self._faces
        )

    @property
    def supports_message_history(self) -> bool:
        """Whether every provider takes earlier messages, since any may answer."""
        return bool(self.providers) and all(
            provider.supports_message_history for provider in self._faces
        )

    @property
    def params(self) -> str:
        """Parameters of `create_async_generator`, one a line.

        All others are each provider's own.
        """
        parameters = inspect.signature(self.create_async_generator).parameters.values()
        return f"{self.__name__} supports: (\n    " + ",\n    ".join(map(str, parameters)) + "\n)"

    def get_dict(self) -> dict[str, str | None]:
        """Return name, URL (there is none) and label."""
        return {"name": self.__name__, "url": self.url, "label": self.label or None}

    def get_models(self) -> list[str]:
        """Return the models that any of the providers lists, each once."""
        lists = [getattr(provider, "get_models", list[str])() for provider in self._faces]
        return list(dict.fromkeys(model for models in lists for model in models))

    def create_async_generator(
        self, model: str, messages: Messages, **kwargs: Any
    ) -> FallbackStream[Provider]:
        """Start a call and return its text as a stream.

        `model`, `messages` and all further arguments go to each provider that is tried, as to its
        own `create_async_generator`. Nothing is sent before the first read. Raises
        `RetryNoProviderError` for an empty list; the stream raises `RetryProviderError` with the
        failure of each when all have failed. Each provider's call has its own clocks.
        """
        order = list(self.providers)
        if not order:
            raise errors.RetryNoProviderError("the list of providers is empty")
        if self.shuffle:
            self.chance.shuffle(order)

        def start(provider: Provider) -> TextStream:
            self.last_provider = provider
            face = _face(provider)
            if not face.working:
                raise ProviderNotWorkingError(f"{_name(face)} is marked as not working")
            return as_text_stream(face.create_async_generator(model, messages, **kwargs))

        named = [(_name(_face(provider)), provider) for provider in order]
        return FallbackStream(named, start, attempts=self._new_attempts)

    def _new_attempts(self) -> Attempts | None:
        if self.policy.attempts == 1:
            return None
        return Attempts(self.policy, chance=self.chance, sleep=self.sleep)

    async def create_async(self, model: str, messages: Messages, **kwargs: Any) -> str:
        """Return the whole answer to `messages` by `model`.

        All arguments and errors are those of `create_async_generator`.
        """
        return await joined_text(self.create_async_generator(model, messages, **kwargs))

    def create_completion(
        self,
        model: str,
        messages: Messages,
        stream: bool = True,  # noqa: FBT001, FBT002 - gpt4free's signature
        **kwargs: Any,
    ) -> Iterator[str]:
        """Iterate over the text without asyncio, inside a running loop too.

        `model`, `messages` and all further arguments are those of `create_async_generator`, as the
        errors are. `stream` false: one item with the whole text. Raises InvalidRequestError for a
        `transport=`, which belongs to the loop it is used in.
        """
        return iterate_completion(self, model, messages, kwargs, stream=stream)

    def get_create_function(self) -> Callable[..., Iterator[str]]:
        """Return `create_completion`."""
        return self.create_completion

    def get_async_create_function(self) -> Callable[..., FallbackStream[Provider]]:
        """Return `create_async_generator`."""
        return self.create_async_generator


class _SiteAsProvider:
    """A site with the members of a provider class that lists of them use."""

    working = True
    needs_auth = False
    supports_system_message = True
    supports_message_history = True

    def __init__(self, site: Site) -> None:
        self.__name__: str = site.name
        self._site = site

    def get_models(self) -> list[str]:
        """Return the models by name; the default alone where none are listed."""
        default = self._site.default_model
        return list(self._site.listed_models) or ([default] if default else [])

    def create_async_generator(
        self, model: str, messages: Messages, *, url: str | None = None, **kwargs: Any
    ) -> ChatStream:
        """Start a call, as a provider class does; `url`: another deployment of the software."""
        site = self._site if url is None else self._site.replace(url=url)
        options = taken_options(site.name, site.software, kwargs)
        return open_stream(site, messages, options, model=model)


def _face(provider: Provider) -> Face:
    """Return `provider`; a site is wrapped, to have the members of a provider class.

    InvalidRequestError for what is neither.
    """
    if isinstance(provider, Site):
        return _SiteAsProvider(provider)
    if callable(getattr(provider, "create_async_generator", None)):
        return provider
    raise InvalidRequestError(
        "a list of providers holds sites, provider classes and other such lists, "
        f"not {type(provider).__name__}"
    )


def _name(face: object) -> str:
    """Return the name of a class, a list or a site; of an instance, that of its class."""
    name: str = getattr(face, "__name__", type(face).__name__)
    return name


class RetryProvider(IterListProvider):
    """An `IterListProvider` that may call one provider several times before the next.

    `providers`, `shuffle` and `chance` are those of `IterListProvider`. With
    `single_provider_retry` each provider is called up to `max_retries` times, again after a
    connection that failed, a clock that ran out, a reply that broke off or a status such as 429 or
    503, as a `RetryPolicy` says by default. `sleep`: an async function that waits so many seconds;
    the waits are those of the attribute `policy`.
    """

    def __init__(
        self,
        providers: Iterable[Provider],
        shuffle: bool = True,  # noqa: FBT001, FBT002 - gpt4free's signature
        single_provider_retry: bool = False,  # noqa: FBT001, FBT002
        max_retries: int = 3,
        *,
        chance: random.Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        super().__init__(providers, shuffle, chance=chance)
        self.single_provider_retry = single_provider_retry
        self.max_retries = max_retries
        self.policy: RetryPolicy = RetryPolicy(attempts=max_retries if single_provider_retry else 1)
        self.sleep = sleep
