"""The text of the first of several candidates that answers, as one stream."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from tailrace import errors
from tailrace._streams.closing import BatchStream
from tailrace._streams.outcome import Outcome
from tailrace.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    ProfileError,
    TailraceError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tailrace._calls.retrying import Attempts
    from tailrace._native import Delta, DeltaDecoder
    from tailrace._streams.closing import TextStream

__all__ = ["FallbackStream"]

log: logging.Logger = logging.getLogger("tailrace")

P = TypeVar("P")  # the type of the candidates, such as a provider
T = TypeVar("T")  # the items that are read


def is_callers_fault(failure: TailraceError) -> bool:
    """Tell whether every candidate would fail so: the caller's input cannot be sent."""
    if isinstance(failure, ModelNotFoundError | ProfileError):  # of that candidate alone
        return False
    return isinstance(failure, InvalidRequestError)


class FallbackStream(BatchStream, Generic[P]):
    """The text of the first provider that answers; used as a `ChatStream` is.

    `ids`, `usage` and the other properties are those of the provider that is being tried, and from
    the first delta on of the one that answers. After a failure before a delta was delivered (of
    text or, to who reads `deltas`, of any kind) the next provider is tried; an InvalidRequestError,
    which is the caller's own fault, is raised at once, unless a model was not found or a site's
    profile cannot be used. An exception
    of a provider that is not of this package is the cause of a TailraceError. Raises
    RetryProviderError when all have failed.
    """

    def __init__(
        self,
        candidates: Iterable[tuple[str, P]],
        start: Callable[[P], TextStream],
        *,
        attempts: Callable[[], Attempts | None] = lambda: None,
        is_callers_fault: Callable[[TailraceError], bool] = is_callers_fault,
    ) -> None:
        """Try the named `candidates` in their order; `start` begins one attempt at one of them.

        `attempts` is called for each candidate: the attempts at it, None for a single one.
        `is_callers_fault` tells which failures are raised at once.
        """
        super().__init__()
        self._waiting = deque(candidates)
        self._start = start
        self._make_attempts = attempts
        self._is_callers_fault = is_callers_fault
        self._attempts = attempts()
        self._failures: list[tuple[str, TailraceError]] = []
        self._stream: TextStream | None = None
        self._reading = self._begun = self._ended = False
        self._error: TailraceError | None = None
        self._heard: Callable[[], None] | None = None
        self.provider: P | None = None

    @property
    def outcome(self) -> Outcome:
        """The record of how the answer ended, or of how far it is."""
        before = () if self._attempts is None else self._attempts.failures
        if self._stream is None:
            end = "open" if self._error is None else "failed"
            return Outcome(end, self._error, attempts=before)
        inner = self._stream.outcome
        end = inner.end if self._ended or self._begun else "open"
        if self._error is not None and end == "open":
            end = "failed"
        return replace(inner, end=end, error=self._error, attempts=before + inner.attempts)

    @property
    def errors(self) -> tuple[tuple[str, TailraceError], ...]:
        """The providers that failed so far, by name, and the error of each."""
        return tuple(self._failures)

    @property
    def is_answering(self) -> bool:
        """Whether the provider that is being tried has begun to answer."""
        return self._stream is not None and self._stream.is_answering

    def watch(self, heard: Callable[[], None] | None) -> None:
        """Call `heard` whenever events came that add nothing to the answer, whoever sent them.

        None ends that.
        """
        self._heard = heard
        if self._stream is not None:
            self._stream.watch(heard)

    async def aclose(self) -> None:
        """Stop reading; the connection is closed when this returns. Closing twice is allowed."""
        self._ended = True
        self._forget()
        if self._attempts is not None:
            self._attempts.stop_waiting()
        if self._stream is not None:
            await self._stream.aclose()

    async def _read_texts(self) -> list[str]:
        return await self._read_alone(lambda stream: stream.read())

    async def _read_deltas(self) -> list[Delta]:
        return await self._read_alone(lambda stream: stream.deltas().read())

    async def _relay_deltas(
        self, pending: deque[Delta], hand_on: Callable[[DeltaDecoder, bytes], bool]
    ) -> None:
        del pending
        stream = self._stream
        if self._reading or self._ended or not self._begun or stream is None:
            return
        self._reading = True
        try:
            await stream.deltas().relay(hand_on)
        except TailraceError as error:
            self._concluded(error)
            raise
        finally:
            self._reading = False

    async def _read_alone(self, read: Callable[[TextStream], Awaitable[list[T]]]) -> list[T]:
        if self._reading:
            raise InvalidRequestError("another task is reading this stream: one at a time")
        self._reading = True
        try:
            return await self._read(read)
        finally:
            self._reading = False

    async def _read(self, read: Callable[[TextStream], Awaitable[list[T]]]) -> list[T]:
        while not self._ended:
            try:
                deltas = await read(self._current())
            except TailraceError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - of a provider of the caller's own
                failure = TailraceError(f"{type(error).__name__}: {error}")
                failure.__cause__ = error
            else:
                self._begun = self._begun or bool(deltas)
                self._ended = self._ended or not deltas
                return deltas
            if not await self._goes_on(failure):
                raise self._concluded(failure)
        return []

    def _deltas_of(self, texts: Iterable[str]) -> list[Delta]:
        stream = self._stream
        return [] if stream is None else stream._deltas_of(texts)  # noqa: SLF001 - of the same base

    def _current(self) -> TextStream:
        """Return the stream of the present attempt, or begin the next attempt."""
        if self._stream is None:
            _, self.provider = self._waiting[0]
            self._stream = self._start(self.provider)
            if self._heard is not None:
                self._stream.watch(self._heard)
        return self._stream

    async def _goes_on(self, failure: TailraceError) -> bool:
        """Tell whether another attempt follows: at the same provider, after a wait, or the next."""
        if self._begun or self._is_callers_fault(failure):
            return False
        if self._attempts is None:
            return self._has_another(failure)
        before = self._attempts.failures
        seconds = self._attempts.seconds_after(failure)
        if before:
            failure.attempts = before
        if seconds is None:
            return self._has_another(failure)
        self._stream = None
        await self._attempts.wait(seconds)
        return True

    def _has_another(self, failure: TailraceError) -> bool:
        name, _ = self._waiting.popleft()
        self._failures.append((name, failure.with_traceback(None)))
        if not self._waiting:
            return False
        log.warning(
            "%s failed before its first delta, %s is asked next: %s: %s",
            name,
            self._waiting[0][0],
            type(failure).__name__,
            failure,
        )
        self._stream = None
        self._attempts = self._make_attempts()
        return True

    def _concluded(self, failure: TailraceError) -> TailraceError:
        """End the stream with `failure`, or with the error that lists those of all providers."""
        self._ended = True
        self._error = failure if self._waiting else errors.RetryProviderError(self._failures)
        return self._error
