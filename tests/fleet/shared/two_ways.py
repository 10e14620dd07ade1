"""One reply, read in two ways: over aiohttp's transport as every provider does, and over a fleet.

What came of it is one record for both, so that one table of cases holds for both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from tailrace import ChatStream, DeltaDecoder, errors
from tailrace._calls.exchange import Opening
from tailrace.fleet import Fleet
from tailrace.transport import AiohttpTransport, Limits, Timeouts

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from tailrace import Usage
    from tailrace.errors import TailraceError
    from tailrace.fleet import Ended
    from tailrace.transport import Response, Session

__all__ = ["WAYS", "Asked", "Read", "Way", "over_aiohttp", "over_fleet", "told"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How one reply is asked for."""

    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    dialect: Any = "openai"
    connect: float | None = 30.0
    first_byte: float | None = 30.0
    idle: float | None = 30.0
    total: float | None = None
    max_reply_bytes: int | None = 64 * 2**20
    proxy: str | None = None
    tls: ssl.SSLContext | None = None


@dataclass
class Read:
    """What came of one reply."""

    text: str = ""
    end: str = ""
    error: TailraceError | None = None
    status: int | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    id: str | None = None
    model: str | None = None


class Way(Protocol):
    """A way to read a reply; what cannot be asked at all is raised."""

    async def __call__(self, url: str, asked: Asked = ..., /) -> Read: ...


class _Exchange:
    """One post over a transport, as a provider's call makes it."""

    def __init__(self, session: Session, url: str, asked: Asked) -> None:
        self._session = session
        self._url = url
        self._asked = asked
        self.response: Response | None = None

    async def open(self) -> Opening:
        asked = self._asked
        response = self.response = await self._session.post(
            self._url, body=asked.body, headers=asked.headers
        )
        decoder = DeltaDecoder(
            asked.dialect, content_type=response.content_type, status=response.status
        )
        return Opening(response, decoder)

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:
        del opening, error
        return None

    def conceal(self, error: TailraceError) -> None:
        """Has sent no secret."""

    async def aclose(self) -> None:
        await self._session.aclose()

    def abort(self) -> None:
        self._session.abort()


async def over_aiohttp(url: str, asked: Asked = Asked()) -> Read:
    """Read a reply over aiohttp's transport."""
    timeouts = Timeouts(
        connect=asked.connect, first_byte=asked.first_byte, idle=asked.idle, total=asked.total
    )
    read = Read()
    async with AiohttpTransport(tls=asked.tls) as transport:
        session = transport.session(
            proxy=asked.proxy,
            timeouts=timeouts,
            limits=Limits(max_reply_bytes=asked.max_reply_bytes),
        )
        exchange = _Exchange(session, url, asked)
        async with ChatStream(exchange, idle=asked.idle, total=asked.total) as stream:
            try:
                while deltas := await stream.read():
                    read.text += "".join(deltas)
            except errors.TailraceError as error:
                if not isinstance(error, errors.NetworkError | errors.StreamError) and isinstance(
                    error, errors.InvalidRequestError
                ):
                    raise
                read.error = error
            outcome = stream.outcome
    if exchange.response is not None:
        read.status = exchange.response.status
    read.end, read.finish_reason, read.usage = outcome.end, outcome.finish_reason, outcome.usage
    read.id, read.model = outcome.ids.get("id"), outcome.ids.get("model")
    return read


async def over_fleet(url: str, asked: Asked = Asked()) -> Read:
    """Read a reply over a fleet of its own."""
    async with fleet_for(asked) as fleet:
        fleet.submit(url, data=asked.body, headers=dict(asked.headers))
        (ended,) = [ended async for batch in fleet.batches() for ended in batch.ended]
    return read_of(ended)


def fleet_for(asked: Asked, keep: Any = "text") -> Fleet:
    """Make the fleet that asks so."""
    return Fleet(
        keep=keep,
        dialect=asked.dialect,
        connect_timeout=asked.connect,
        first_byte_timeout=asked.first_byte,
        idle_timeout=asked.idle,
        total_timeout=asked.total,
        max_reply_bytes=asked.max_reply_bytes,
        proxy=asked.proxy,
        tls=asked.tls,
    )


def read_of(ended: Ended) -> Read:
    """Return what a fleet told of a reply."""
    return Read(
        ended.text or "",
        ended.end,
        ended.error,
        ended.status,
        ended.finish_reason,
        ended.usage,
        ended.response_id,
        ended.model,
    )


WAYS: dict[str, Way] = {"aiohttp": over_aiohttp, "fleet": over_fleet}

_FIELDS = ("kind", "status", "code", "raw", "phase", "seconds", "retry_after", "bad_coding")


def told(error: TailraceError | None, *, words: bool = True) -> dict[str, Any] | None:
    """Return an error's class and its fields; its `words`, too, where both ways have the same.

    Of a redirect's target both tell the origin.
    """
    if error is None:
        return None
    shown = {name: getattr(error, name) for name in _FIELDS if hasattr(error, name)}
    if isinstance(error, errors.RedirectError):
        parts = urlsplit(error.target)
        shown["target"] = f"{parts.scheme}://{parts.netloc}" if error.target else ""
        words = False
    return {"class": type(error), **shown, **({"words": str(error)} if words else {})}
