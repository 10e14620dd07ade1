"""Several providers behind one face: the next one answers when one fails before its first delta.

gpt4free's two names for it are instances that are used like provider classes. What is the caller's
own fault, an `InvalidRequestError`, is raised at once: it would fail everywhere. A model that one
provider does not know may be known to the next.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from tailrace import errors
from tailrace._calls.retrying import RetryPolicy
from tailrace._streams.aio import ClosingStream
from tailrace._streams.loop_thread import iterate_blocking
from tailrace.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    ProviderNotWorkingError,
    TailraceError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from tailrace._messages import Messages
    from tailrace._native import Usage
    from tailrace._streams.aio import ChatStream
    from tailrace.providers._base import AsyncGeneratorProvider

    Provider: TypeAlias = "type[AsyncGeneratorProvider] | IterListProvider"

__all__ = ["FallbackStream", "IterListProvider", "RetryProvider"]

log: logging.Logger = logging.getLogger("tailrace")


class IterListProvider:
    """A list of providers, asked one after another until one answers.

    `shuffle`: in another order at each call, drawn from `chance`. An instance has the methods of a
    provider class, and may stand in another list. `last_provider` is the one asked last by any
    call.
    """

    url: str = ""
    label: str = ""
    supports_stream: bool = True

    def __init__(
        self,
        providers: Iterable[Provider],
        shuffle: bool = True,  # noqa: FBT001, FBT002 - gpt4free's signature
        *,
        chance: random.Random | None = None,
    ) -> None:
        self.__name__: str = type(self).__name__
        self.providers: list[Provider] = list(providers)
        self.shuffle: bool = shuffle
        self.last_provider: Provider | None = None
        self.policy: RetryPolicy = RetryPolicy(attempts=1)
        self.chance: random.Random = random.SystemRandom() if chance is None else chance
        self.sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    @property
    def working(self) -> bool:
        """Whether any of them is marked as working."""
        return any(provider.working for provider in self.providers)

    @property
    def needs_auth(self) -> bool:
        """Whether all of them need a password or key."""
        return bool(self.providers) and all(provider.needs_auth for provider in self.providers)

    @property
    def supports_system_message(self) -> bool:
        """Whether every one of them does, since any may answer."""
        return bool(self.providers) and all(
            provider.supports_system_message for provider in self.providers
        )

    @property
    def supports_message_history(self) -> bool:
        """Whether every one of them does, since any may answer."""
        return bool(self.providers) and all(
            provider.supports_message_history for provider in self.providers
        )

    @property
    def params(self) -> str:
        """What `create_async_generator` accepts, one parameter a line; the rest is each provider's
        own.
        """
        parameters = inspect.signature(self.create_async_generator).parameters.values()
        return f"{self.__name__} supports: (\n    " + ",\n    ".join(map(str, parameters)) + "\n)"

    def get_dict(self) -> dict[str, str | None]:
        """Return name, URL (there is none) and label."""
        return {"name": self.__name__, "url": self.url, "label": self.label or None}

    def get_models(self) -> list[str]:
        """The models that any of them lists, each once."""
        lists = [getattr(provider, "get_models", list[str])() for provider in self.providers]
        return list(dict.fromkeys(model for models in lists for model in models))

    def create_async_generator(
        self, model: str, messages: Messages, **kwargs: Any
    ) -> FallbackStream:
        """Start a call and return its text as a stream; every argument goes to each provider asked.

        Nothing is sent before the first read. Raises `RetryNoProviderError` for an empty list; the
        stream raises `RetryProviderError` with what each failed with when all have. Each provider's
        call has its own clocks.
        """
        order = list(self.providers)
        if not order:
            raise errors.RetryNoProviderError("the list of providers is empty")
        if self.shuffle:
            self.chance.shuffle(order)
        return FallbackStream(self, order, model, messages, kwargs)

    async def create_async(self, model: str, messages: Messages, **kwargs: Any) -> str:
        """Return the whole answer."""
        parts: list[str] = []
        async with self.create_async_generator(model, messages, **kwargs) as stream:
            while deltas := await stream.read():
                parts += deltas
        return "".join(parts)

    def create_completion(
        self,
        model: str,
        messages: Messages,
        stream: bool = True,  # noqa: FBT001, FBT002 - gpt4free's signature
        **kwargs: Any,
    ) -> Iterator[str]:
        """Iterate over the text without asyncio, inside a running loop too; `stream=False` gives
        one joined item.
        """
        if kwargs.get("transport") is not None:
            raise InvalidRequestError(
                "create_completion runs a loop of its own: a transport cannot be shared with it"
            )
        deltas = iterate_blocking(lambda: self.create_async_generator(model, messages, **kwargs))
        return deltas if stream else ("".join(each) for each in (deltas,))

    def get_create_function(self) -> Callable[..., Iterator[str]]:
        """Return `create_completion`."""
        return self.create_completion

    def get_async_create_function(self) -> Callable[..., FallbackStream]:
        """Return `create_async_generator`."""
        return self.create_async_generator


class RetryProvider(IterListProvider):
    """As `IterListProvider`; with `single_provider_retry` each provider is asked up to
    `max_retries` times.

    A provider is asked again for a failure that passes (`tailrace._calls.retrying.passes`), after a
    wait that grows; `policy`, a RetryPolicy, says how long, and `sleep` waits.
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


class FallbackStream(ClosingStream):
    """The text of the first provider that answers: used as a `ChatStream` is, and says of itself
    the same.

    Until a delta came, `end`, `ids` and the like are those of the provider being asked, then of the
    one that answers.
    """

    def __init__(
        self,
        owner: IterListProvider,
        order: list[Provider],
        model: str,
        messages: Messages,
        options: dict[str, Any],
    ) -> None:
        self._owner = owner
        self._waiting = deque(order)
        self._model = model
        self._messages = messages
        self._options = options
        self._made = 0
        self._before: tuple[TailraceError, ...] = ()
        self._failures: list[tuple[str, TailraceError]] = []
        self._stream: ChatStream | FallbackStream | None = None
        self._ready: deque[str] = deque()
        self._reading = self._begun = self._ended = False
        self._left = asyncio.Event()
        self._error: TailraceError | None = None
        self.provider: Provider | None = None

    @property
    def end(self) -> str:
        """``open`` until the end; then ``done``, ``stopped``, ``truncated`` or ``failed``."""
        if self._stream is None or (not self._ended and not self._begun):
            return "failed" if self._error is not None else "open"
        return (
            "failed" if self._error is not None and self._stream.end == "open" else self._stream.end
        )

    @property
    def error(self) -> TailraceError | None:
        """What ended the stream, if it was a failure; the iteration has raised the same."""
        return self._error

    @property
    def errors(self) -> tuple[tuple[str, TailraceError], ...]:
        """The providers that failed so far, by name, and what each failed with."""
        return tuple(self._failures)

    @property
    def attempts(self) -> tuple[TailraceError, ...]:
        """The failures that were followed by another try of the provider being asked."""
        return self._before if self._stream is None else self._before + self._stream.attempts

    @property
    def finish_reason(self) -> str | None:
        """The model's own word on why it stopped, where the site passes it on."""
        return None if self._stream is None else self._stream.finish_reason

    @property
    def usage(self) -> Usage | None:
        """The token counts the stream reported."""
        return None if self._stream is None else self._stream.usage

    @property
    def ids(self) -> dict[str, str]:
        """What the stream says of itself: ``id``, ``model``, ``thread_id``, …."""
        return {} if self._stream is None else self._stream.ids

    @property
    def bad_events(self) -> int:
        """How many events were skipped because their data was not what the dialect promises."""
        return 0 if self._stream is None else self._stream.bad_events

    def __repr__(self) -> str:
        return f"<FallbackStream {self.end}>"

    async def __anext__(self) -> str:
        if not self._ready:
            self._ready.extend(await self.read())
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def read(self) -> list[str]:
        """Return all deltas that are ready, at least one, or ``[]`` at the end."""
        if self._ready:
            deltas = list(self._ready)
            self._ready.clear()
            return deltas
        if self._reading:
            raise InvalidRequestError("another task is reading this stream: one at a time")
        self._reading = True
        try:
            return await self._read()
        finally:
            self._reading = False

    async def aclose(self) -> None:
        """Stop reading; the connection is closed when this returns. Closing twice is allowed."""
        self._left.set()
        self._ended = True
        self._ready.clear()
        if self._stream is not None:
            await self._stream.aclose()

    async def _read(self) -> list[str]:
        while not self._ended:
            try:
                deltas = await self._current().read()
            except TailraceError as error:
                failure = error
            else:
                self._begun = self._begun or bool(deltas)
                self._ended = self._ended or not deltas
                return deltas
            if not await self._goes_on(failure):
                raise self._concluded(failure)
        return []

    def _current(self) -> ChatStream | FallbackStream:
        """The stream being read, or the next provider's."""
        if self._stream is None:
            self.provider = self._owner.last_provider = provider = self._waiting[0]
            if not provider.working:
                raise ProviderNotWorkingError(f"{provider.__name__} is marked as not working")
            self._stream = provider.create_async_generator(
                self._model, self._messages, **self._options
            )
        return self._stream

    async def _goes_on(self, failure: TailraceError) -> bool:
        """Whether another try follows: the same provider's after a wait, or the next one's."""
        if self._begun or (
            isinstance(failure, InvalidRequestError) and not isinstance(failure, ModelNotFoundError)
        ):
            return False
        self._made += 1
        owner = self._owner
        seconds = (
            None
            if owner.policy.attempts == 1
            else owner.policy.wait(failure, self._made, owner.chance)
        )
        if self._before:
            failure.attempts = self._before
        if seconds is not None:
            self._before += (failure.with_traceback(None),)
            self._stream = None
            await self._pause(seconds)
            return True
        return self._has_another(failure)

    def _has_another(self, failure: TailraceError) -> bool:
        name = self._waiting.popleft().__name__
        self._failures.append((name, failure.with_traceback(None)))
        if not self._waiting:
            return False
        log.warning(
            "%s failed before its first delta, %s is asked next: %s: %s",
            name,
            self._waiting[0].__name__,
            type(failure).__name__,
            failure,
        )
        self._stream = None
        self._made, self._before = 0, ()
        return True

    def _concluded(self, failure: TailraceError) -> TailraceError:
        """The end of the stream: this failure, or that of them all."""
        self._ended = True
        self._error = failure if self._waiting else errors.RetryProviderError(self._failures)
        return self._error

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the stream is left meanwhile."""
        pauses = [
            asyncio.ensure_future(self._owner.sleep(seconds)),
            asyncio.ensure_future(self._left.wait()),
        ]
        try:
            await asyncio.wait(pauses, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in pauses:
                each.cancel()
