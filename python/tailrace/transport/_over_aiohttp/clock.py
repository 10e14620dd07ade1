"""The one clock of a request, and aiohttp's request that restarts it."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from math import inf
from typing import TYPE_CHECKING, Any

import aiohttp

from tailrace import errors

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

    from tailrace.transport._base import Timeouts

__all__ = ["CLOCK", "MOST_COPIED", "Clock", "TimedRequest"]

MOST_COPIED = 64 * 2**10
"""The most bytes of a body that are copied into one piece with the head."""


class Clock:
    """The one clock of a request: for connecting and then, from its last byte on, for a reply.

    When it runs out, the task within its ``with`` block is cancelled, and the block raises the
    built-in TimeoutError. To be told of progress costs no timer: there is one, which is set anew
    when it fires.
    """

    __slots__ = (
        "_cancelling",
        "_due",
        "_has_run_out",
        "_is_running",
        "_loop",
        "_phase",
        "_task",
        "_timeouts",
        "_timer",
        "_timer_due",
    )

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._phase: errors.TimeoutPhase = "connect"
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._timer_due = inf
        self._is_running = self._has_run_out = False

    def __enter__(self) -> None:
        self._task = task = asyncio.current_task(self._loop)
        self._cancelling = 0 if task is None else task.cancelling()
        self._is_running = True
        self._restart("connect", self._timeouts.connect)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        task, self._task = self._task, None
        if not self._has_run_out or task is None:
            return
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def connecting(self) -> None:
        """Begin anew: aiohttp makes another connection, or sends a request once more."""
        self._restart("connect", self._timeouts.connect)

    def sent(self) -> None:
        """Wait for a reply from now on: a connection stands, or a part of the body is sent."""
        self._restart("first byte", self._timeouts.first_byte)

    def error(self, where: str) -> errors.TimeoutError | None:
        """Make the error of the phase whose time is over; None while neither is."""
        if not self._has_run_out:
            return None
        seconds = self._timeouts.connect if self._phase == "connect" else self._timeouts.first_byte
        return errors.TimeoutError(self._phase, seconds or 0.0, where)

    def _restart(self, phase: errors.TimeoutPhase, seconds: float | None) -> None:
        # A body may still be sent when the reply's head is in.
        if not self._is_running or self._has_run_out:
            return
        self._phase = phase
        self._due = inf if seconds is None else self._loop.time() + seconds
        if self._due < self._timer_due:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = self._due
        self._timer = None if self._due == inf else self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        if self._loop.time() < self._due:
            self._set_timer()
        elif self._task is not None:
            self._has_run_out = True
            self._task.cancel()


CLOCK: ContextVar[Clock | None] = ContextVar("tailrace_request_clock", default=None)
"""The clock of the request that is being made, in the task that makes it and in its writer's."""


class TimedRequest(aiohttp.ClientRequest):
    """A request of aiohttp that restarts its `CLOCK` with the connection, and with its body.

    aiohttp's trace signals would tell the same, at the cost of thirty calls a request.
    """

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        clock = CLOCK.get()
        if clock is None:
            return await super().send(conn)
        clock.sent()
        try:
            return await super().send(conn)
        except BaseException:
            clock.connecting()
            raise

    def write_bytes(
        self, writer: Any, conn: Any, content_length: int | None = None
    ) -> Coroutine[Any, Any, None]:
        clock = CLOCK.get()
        # A small body is handed to the system together with the head.
        if clock is not None and (content_length is None or content_length > MOST_COPIED):
            writer._on_chunk_sent = _Sent(clock)  # noqa: SLF001 - which its signals set alone
        return super().write_bytes(writer, conn, content_length)


class _Sent:
    """Callback that a writer of aiohttp awaits with each piece of a body that it writes."""

    __slots__ = ("_clock",)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def __call__(self, chunk: bytes) -> None:
        del chunk
        self._clock.sent()
