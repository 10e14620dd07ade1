"""The one clock of a request, and the trace signals of aiohttp that restart it."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

import aiohttp

from tailrace import errors

if TYPE_CHECKING:
    from types import SimpleNamespace, TracebackType

    from tailrace.transport._base import Timeouts

__all__ = ["TRACE", "Clock"]


class Clock:
    """The one clock of a request: for connecting and then, from its last byte on, for a reply."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._phase: errors.TimeoutPhase = "connect"
        self._timer = asyncio.timeout(timeouts.connect)
        self._is_running = True
        self._restarted_at = 0.0

    async def __aenter__(self) -> None:
        await self._timer.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_running = False
        await self._timer.__aexit__(kind, error, traceback)

    def connecting(self) -> None:
        self._restart("connect", self._timeouts.connect)

    def sent(self) -> None:
        self._restart("first byte", self._timeouts.first_byte)

    def error(self, where: str) -> errors.TimeoutError | None:
        """Make the error of the phase whose time is over; None while neither is."""
        if not self._timer.expired():
            return None
        seconds = self._timeouts.connect if self._phase == "connect" else self._timeouts.first_byte
        return errors.TimeoutError(self._phase, seconds or 0.0, where)

    def _restart(self, phase: errors.TimeoutPhase, seconds: float | None) -> None:
        # A body may still be sent when the reply's head is in.
        if not self._is_running or self._timer.expired():
            return
        now = asyncio.get_running_loop().time()
        if phase == self._phase and now - self._restarted_at < (seconds or inf) * _NEGLIGIBLE:
            return
        self._phase, self._restarted_at = phase, now
        self._timer.reschedule(None if seconds is None else now + seconds)


_NEGLIGIBLE = 0.01
"""The part of a clock's time by which it may run out too early: signals come in quick succession,
and to set a timer anew takes as long as to send a request's head.
"""


def _trace() -> aiohttp.TraceConfig:
    """Make the hooks that restart the clock of a request.

    The clock may begin anew: aiohttp re-sends a request when a pooled connection proves to be dead.
    """
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_on_connecting)
    for signal in (trace.on_connection_create_end, trace.on_connection_reuseconn):
        signal.append(_on_sent)
    trace.on_request_headers_sent.append(_on_sent)
    trace.on_request_chunk_sent.append(_on_sent)
    return trace


async def _on_connecting(
    _client: aiohttp.ClientSession, context: SimpleNamespace, _params: object
) -> None:
    context.trace_request_ctx.connecting()


async def _on_sent(
    _client: aiohttp.ClientSession, context: SimpleNamespace, _params: object
) -> None:
    context.trace_request_ctx.sent()


TRACE = _trace()
"""The hooks that restart the clock of each request, which is its `trace_request_ctx`."""
