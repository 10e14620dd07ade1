"""A streamed reply on its way to a client: when its head goes out, and what breaks a silence.

The head goes out with the first event of the site, of whatever kind, or with the first comment: a
site that has answered 200 and is silent must not look dead. Until then a failure has a status of
its own.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tailrace.gateway._wires.wire import AnswerEncoder

__all__ = ["EventStream"]

A = TypeVar("A")

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # or nginx buffers the reply
}


class _Response(web.StreamResponse):
    """A reply whose head is sent with its first bytes, in one piece."""

    _send_headers_immediately = False


class EventStream:
    """The reply to `request`, written through `encoder`; `stop` it whatever happens.

    `headers` returns further ones when the head goes out; those that are others at the end, since
    another site answered than the one that was asked first, are told there, as comments.
    `interval`: the seconds of silence after which a comment goes out, once `is_answering` tells
    that the site has begun to answer. One task writes; what goes out by itself goes in between.
    """

    def __init__(
        self,
        request: web.Request,
        encoder: AnswerEncoder,
        *,
        headers: Callable[[], Mapping[str, str]],
        interval: float,
        is_answering: Callable[[], bool],
    ) -> None:
        self._request = request
        self._encoder = encoder
        self._response = _Response(headers=_HEADERS)
        self._headers = headers
        self._told: Mapping[str, str] = {}
        self._interval = interval
        self._is_answering = is_answering
        self._loop = asyncio.get_running_loop()
        self._silent_since = self._loop.time()  # without an end while something is being written
        self._timer = self._loop.call_at(self._silent_since + interval, self._look)
        self._begun = False
        self._speaking: asyncio.Task[None] | None = None

    async def has_begun(self) -> bool:
        """Tell whether the head is out, or on its way; from then on nothing goes out by itself."""
        self._timer.cancel()
        if self._speaking is not None:
            await self._speaking
        return self._begun

    def begin_soon(self) -> None:
        """Send the head and the first events: the site has sent an event without a delta."""
        if not self._begun and self._speaking is None:
            self._speaking = self._loop.create_task(self._speak(bytes))

    def write(self, encode: Callable[[A], bytes], what: A) -> Awaitable[None]:
        """Send `what`, as `encode` writes it, behind the head and the first events."""
        if self._begun and self._speaking is None:
            # No coroutine of its own, since every event of a reply passes here.
            self._silent_since = self._loop.time()
            return self._response.write(encode(what))
        return self._write_behind(encode, what)

    def send(self, data: bytes) -> bool:
        """Send `data` at once, behind what was written; return whether more may be sent so.

        Where it is False, the client is behind: the next `write` waits for it.
        """
        self._silent_since = self._loop.time()
        writing = self._request.writer.write(data, drain=False)  # type: ignore[call-arg]
        try:
            writing.send(None)  # a coroutine that never waits: the only wait would be for a drain
        except StopIteration:
            return not self._request.protocol.writing_paused
        finally:
            writing.close()
        raise RuntimeError("aiohttp waits within a write that does not drain")

    async def _write_behind(self, encode: Callable[[A], bytes], what: A) -> None:
        if self._speaking is not None:
            await self._speaking
        data = encode(what) if self._begun else await self._begin() + encode(what)
        self._silent_since = inf
        await self._response.write(data)
        self._silent_since = self._loop.time()

    async def end(self, encode: Callable[[A], bytes], what: A) -> web.StreamResponse:
        """Send `what` and end the reply, in one piece; its connection can be used again."""
        if self._speaking is not None:
            await self._speaking
        data = self._changed() if self._begun else await self._begin()
        self._silent_since = inf
        await self._response.write_eof(data + encode(what))
        return self._response

    def _changed(self) -> bytes:
        """Return, as comments, the headers that are no longer those of the head."""
        now = self._headers()
        if now == self._told:
            return b""
        names = dict.fromkeys((*self._told, *now))
        changed = [name for name in names if now.get(name) != self._told.get(name)]
        return "".join(f": {name}: {now.get(name, '')}\n\n" for name in changed).encode()

    def stop(self) -> None:
        """Let nothing go out by itself any more, what is on its way included."""
        self._timer.cancel()
        if self._speaking is not None:
            self._speaking.cancel()

    async def _begin(self) -> bytes:
        """Send the head, and return the first events."""
        self._begun = True
        self._told = self._headers()
        self._response.headers.update(self._told)
        await self._response.prepare(self._request)
        return self._encoder.start()

    async def _speak(self, encode: Callable[[], bytes]) -> None:
        """Write between two writes of the reader, which waits for it."""
        try:
            with suppress(ConnectionError):  # a client that left: the next write tells
                head = b"" if self._begun else await self._begin()
                data = head + encode()
                # With the first bytes goes the head, and some wires begin with none.
                await self._response.write(data or self._encoder.keep_alive())
                self._silent_since = self._loop.time()
        finally:
            self._speaking = None

    def _look(self) -> None:
        now = self._loop.time()
        due = min(self._silent_since, now) + self._interval
        if due <= now:
            due = now + self._interval
            # A client that does not read what was written gets nothing in between.
            is_read = not self._request.protocol.writing_paused
            if is_read and self._speaking is None and self._is_answering():
                self._speaking = self._loop.create_task(self._speak(self._encoder.keep_alive))
        self._timer = self._loop.call_at(due, self._look)
