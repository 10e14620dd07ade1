"""A server that answers as a recording: each response in its recorded reads, at their pace."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict, deque
from contextlib import AsyncExitStack
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from aiohttp import web

from tailrace.errors import InvalidRequestError
from tailrace.recording import REDACTED, RecordedExchange, RecordedHead
from tailrace.replica._listening import HIGHEST_PORT, MAX_REQUEST_BYTES, listen
from tailrace.replica._sending import NO_CONTENT_TYPE

if TYPE_CHECKING:
    from tailrace.recording import Recording

__all__ = ["Replay"]

_NOT_SENT = frozenset(
    {"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"}
)


class Replay:
    """A server of the exchanges of `recording` on `host` and `port` (0: a free one).

    A request is answered by method and path: the first time with the first such exchange, then with
    the next, and after the last with the first again; its body and headers do not count. Each read
    is sent in a write of its own, after the recorded wait times `pace`: 1 is as recorded, 0 is at
    once. A response that broke off breaks off again; one that the client left stays open until the
    client leaves; a request that got no response gets none. Raises OSError for a port that is
    taken, and InvalidRequestError for a recording without exchanges or a wrong argument.
    """

    def __init__(
        self, recording: Recording, *, host: str = "127.0.0.1", port: int = 0, pace: float = 0.0
    ) -> None:
        if not 0 <= port <= HIGHEST_PORT:
            raise InvalidRequestError(f"port must be 0 to {HIGHEST_PORT}, not {port!r}")
        if not pace >= 0:
            raise InvalidRequestError(f"pace must be a factor of 0 or more, not {pace!r}")
        if not recording.exchanges:
            raise InvalidRequestError(
                "the recording holds no exchange: there is nothing to answer with"
            )
        self._recording = recording
        self._host = host
        self._port = port
        self._pace = pace
        self._served: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._exchanges: defaultdict[tuple[str, str], list[RecordedExchange]] = defaultdict(list)
        for each in recording.exchanges:
            for path in {
                _path_of(each.request.url),
                _path_of(each.head.url if each.head else each.request.url),
            }:
                self._exchanges[each.request.method, path].append(each)
        self._origin = ""
        self._stopping = asyncio.Event()
        self._stack = AsyncExitStack()

    @property
    def origin(self) -> str:
        """The origin of the server: scheme, host and port."""
        if not self._origin:
            raise InvalidRequestError("the replay is not running: enter it with `async with` first")
        return self._origin

    @property
    def url(self) -> str:
        """The recorded page's URL on this server, for the ``url=`` of a provider."""
        return self.origin + self._recording.path

    @property
    def provider(self) -> str | None:
        """The name of the provider that was recorded."""
        return self._recording.provider

    @property
    def paths(self) -> tuple[str, ...]:
        """The requests that have an answer, each as method and path."""
        return tuple(f"{method} {path}" for method, path in self._exchanges)

    async def __aenter__(self) -> Self:
        self._stopping.clear()
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.router.add_route("*", "/{path:.*}", self._answer)
        async with AsyncExitStack() as stack:
            self._origin = await listen(app, self._host, self._port, stack)
            stack.callback(self._stopping.set)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        self._origin = ""
        await self._stack.aclose()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        key = (request.method, request.path)
        if key not in self._exchanges:
            return web.Response(
                status=404, text=f"This recording answers {', '.join(self.paths)}.\n"
            )
        exchanges = self._exchanges[key]
        exchange = exchanges[self._served[key] % len(exchanges)]
        self._served[key] += 1
        await request.read()
        if exchange.head is None:
            return await self._fail(request, exchange)
        return await self._send(request, exchange, exchange.head)

    async def _send(
        self, request: web.Request, exchange: RecordedExchange, head: RecordedHead
    ) -> web.StreamResponse:
        await self._wait(head.at - exchange.request.at)
        response = web.StreamResponse(status=head.status, reason=head.reason)
        response.headers.extend(_sent_headers(head))
        await response.prepare(request)
        last = head.at
        for time, data in self._reads(exchange, head):
            await self._wait(time - last)
            await response.write(data)
            last = time
        if exchange.end.how == "left":
            await self._hold(request)
        await self._wait(exchange.end.at - last)
        if exchange.end.how == "broken":
            await self._cut(request)
        await response.write_eof()
        return response

    def _reads(self, exchange: RecordedExchange, head: RecordedHead) -> list[tuple[float, bytes]]:
        """Return the reads; in a page, with this origin instead of the recorded one.

        With the recorded origin, messages would be sent to the recorded site.
        """
        reads = [read.data for read in exchange.reads]
        kind = next((value for name, value in head.headers if name.lower() == "content-type"), "")
        if "html" in kind.lower():
            parts = urlsplit(head.url)
            reads = _replace_origin(reads, f"{parts.scheme}://{parts.netloc}", self.origin)
        return [(read.at, data) for read, data in zip(exchange.reads, reads, strict=True)]

    async def _fail(self, request: web.Request, exchange: RecordedExchange) -> web.StreamResponse:
        """Fail as the recorded request did, as far as a running server can."""
        end = exchange.end
        if end.error == "ChallengeError":
            return web.Response(status=end.status or 403, headers={"cf-mitigated": "challenge"})
        if end.error == "RedirectError" and end.target:
            return web.Response(status=302, headers={"Location": end.target})
        if end.how == "left" or end.error == "TimeoutError":
            await self._hold(request)
        await self._wait(end.at - exchange.request.at)
        return await self._cut(request)

    async def _wait(self, seconds: float) -> None:
        if self._pace > 0 and seconds > 0:
            await asyncio.sleep(seconds * self._pace)

    async def _hold(self, request: web.Request) -> None:
        """Wait for the client to leave, which cancels this handler."""
        await self._stopping.wait()
        await self._cut(request)

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        """Close the connection after the bytes written; its loss cancels this handler."""
        if request.transport is not None:
            request.transport.close()
        await asyncio.Event().wait()
        raise AssertionError  # the event above is never set


def _replace_origin(reads: list[bytes], old: str, new: str) -> list[bytes]:
    """Replace the origin `old` by `new`, also as JSON escapes it, and keep the reads' boundaries.

    A boundary within an origin moves to that origin's end.
    """
    spellings = {
        each.encode(): into.encode() for each, into in ((old, new), (_escaped(old), _escaped(new)))
    }
    sought = re.compile(b"(?:" + b"|".join(map(re.escape, spellings)) + rb")(?![\w.:-])")
    whole, cuts, shift, past = b"".join(reads), [0], 0, 0
    waiting = deque(sought.finditer(whole))
    for end in accumulate(map(len, reads)):
        while waiting and waiting[0].start() < end:
            match = waiting.popleft()
            shift += len(spellings[match[0]]) - len(match[0])
            past = match.end() + shift
        cuts.append(max(end + shift, past))
    moved = sought.sub(lambda match: spellings[match[0]], whole)
    return [moved[begin:end] for begin, end in pairwise(cuts)]


def _escaped(origin: str) -> str:
    return origin.replace("/", "\\/")


def _path_of(url: str) -> str:
    return urlsplit(url).path or "/"


def _sent_headers(head: RecordedHead) -> list[tuple[str, str]]:
    headers = [
        (name, value)
        for name, value in head.headers
        if name.lower() not in _NOT_SENT and value != REDACTED
    ]
    has_type = any(name.lower() == "content-type" for name, _ in headers)
    return headers if has_type else [*headers, ("Content-Type", NO_CONTENT_TYPE)]
