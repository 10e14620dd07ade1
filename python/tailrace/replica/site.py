"""What every site of the replica is: pages, markers, routes, and replies sent chunk by chunk.

A site decides what to say; this module says it. It knows no dialect.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from aiohttp import web

from tailrace.errors import InvalidRequestError
from tailrace.replica.answers import Question, Turn
from tailrace.replica.exchanges import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tailrace.replica.answers import Answers

EXCHANGE = web.RequestKey("exchange", Exchange)

Play = TypeVar("Play")
Ending = Literal["cleanly", "never", "silently"]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a site: its short name, its path, and what it is there to show."""

    name: str
    path: str
    shows: str


@dataclass(frozen=True, slots=True)
class Marker(Generic[Play]):
    """A word that, written as ``[[name]]`` in a message, makes a site do what `shows` says; `play` is the site's."""

    name: str
    shows: str
    play: Play = field(repr=False)

    @property
    def text(self) -> str:
        """The word as it stands in a message."""
        return f"[[{self.name}]]"


def find_marker(markers: Iterable[Marker[Play]], message: str) -> Marker[Play] | None:
    """Return the first of `markers` whose word is in `message`."""
    return next((marker for marker in markers if marker.text in message), None)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it goes out: one HTTP chunk for each of `chunks`, `pace` seconds between them.

    `ends`: ``cleanly``; ``never`` (after the chunks nothing more comes and the connection stays); ``silently`` (not
    even a status line comes). `content_type` None: the reply has no Content-Type.
    """

    chunks: Sequence[bytes]
    content_type: str | None
    status: int = 200
    reason: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    pace: float = 0.0
    ends: Ending = "cleanly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the sites of one replica share. Times are in seconds; `stopping` is set when the replica shuts down."""

    answers: Answers
    pace: float
    clock: Callable[[], float]
    nonce_lifetime: float
    secret: str
    password: str | None
    stopping: asyncio.Event


class Site(ABC):
    """One site: what it shows and how it answers."""

    name: ClassVar[str]
    shows: ClassVar[str]
    pages: ClassVar[tuple[Page, ...]]
    markers: ClassVar[tuple[Marker[Any], ...]]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    async def answer(self, request: web.Request) -> Reply:
        """Return the reply to `request`, whatever its path."""

    def expire_nonces(self) -> None:
        """Refuse the nonces of pages served so far."""
        raise InvalidRequestError(f"{self.name} has no nonces")

    async def ask(self, message: str, history: Sequence[Turn]) -> str:
        """Return what the model answers, with each lone surrogate replaced, as a site's encoder does."""
        answer = await self.settings.answers(Question(self.name, message, tuple(history)))
        return well_formed(answer)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer `request` and send the reply."""
        reply = await self.answer(request)
        return await self._send(request, reply)

    async def _send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if reply.ends == "silently":
            await self._hold(request)
        response = web.StreamResponse(status=reply.status, reason=reply.reason)
        response.headers.extend(_headers(reply))
        exchange = request[EXCHANGE]
        exchange.status = reply.status
        await response.prepare(request)
        for number, chunk in enumerate(() if request.method == "HEAD" else reply.chunks):
            if number:
                await asyncio.sleep(reply.pace)
            await response.write(chunk)
            exchange.bytes_sent += len(chunk)
        if reply.ends == "never":
            await self._hold(request)
        await response.write_eof()
        return response

    async def _hold(self, request: web.Request) -> None:
        """Wait for the client to leave, which cancels this handler; a stopping replica breaks the connection."""
        await self.settings.stopping.wait()
        if request.transport is not None:
            request.transport.abort()
        await asyncio.Event().wait()


async def hide_framework(_request: web.Request, response: web.StreamResponse) -> None:
    """Take out the headers that aiohttp adds and no site sends."""
    if response.headers.get("Content-Type") == NO_CONTENT_TYPE:
        del response.headers["Content-Type"]
    if response.headers.get("Server", "").startswith("Python/"):
        del response.headers["Server"]


def well_formed(text: str) -> str:
    """Return `text` with one U+FFFD for each lone surrogate, as a browser's encoder writes it."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


NO_CONTENT_TYPE = "x-replica/none"
"""A Content-Type that `hide_framework` takes out again, since aiohttp would add one of its own."""


def _headers(reply: Reply) -> list[tuple[str, str]]:
    return [("Content-Type", reply.content_type or NO_CONTENT_TYPE), *reply.headers]
