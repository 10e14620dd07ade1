"""The text of the first provider that answers, as one stream."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from tailrace import errors
from tailrace._streams.aio import ClosingStream
from tailrace.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    ProviderNotWorkingError,
    TailraceError,
)

if TYPE_CHECKING:
    from tailrace._messages import Messages
    from tailrace._native import Usage
    from tailrace._streams.aio import ChatStream
    from tailrace.providers._fallback import IterListProvider, Provider

__all__ = ["FallbackStream"]

log: logging.Logger = logging.getLogger("tailrace")


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
