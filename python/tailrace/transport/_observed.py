"""A transport that notes when each request was sent and answered, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tailrace.transport import Session, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailrace.transport import Response

__all__ = ["Sent", "WatchedTransport"]


@dataclass(slots=True)
class Sent:
    """One request; `answered` and `status` once its reply's head is in.

    Times are the clock's seconds.
    """

    method: str
    begun: float
    answered: float | None = None
    status: int | None = None


class WatchedTransport(Transport):
    """Another's connections; `sent` lists the requests made through this, in their order."""

    def __init__(self, transport: Transport, clock: Callable[[], float]) -> None:
        self.sent: list[Sent] = []
        self._transport = transport
        self._clock = clock

    def session(self, **options: Any) -> Session:
        """See `Transport.session`."""
        return _WatchedSession(self._transport.session(**options), self.sent, self._clock)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._transport.aclose()

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._transport.abort()


class _WatchedSession(Session):
    def __init__(self, session: Session, sent: list[Sent], clock: Callable[[], float]) -> None:
        self._session = session
        self._sent = sent
        self._clock = clock

    @property
    def cookies(self) -> dict[str, str]:
        return self._session.cookies

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        noted = self._begun("GET")
        return self._answered(noted, await self._session.get(url, headers=headers))

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Response:
        noted = self._begun("POST")
        return self._answered(noted, await self._session.post(url, body=body, headers=headers))

    async def aclose(self) -> None:
        await self._session.aclose()

    def abort(self) -> None:
        self._session.abort()

    def _begun(self, method: str) -> Sent:
        noted = Sent(method, self._clock())
        self._sent.append(noted)
        return noted

    def _answered(self, noted: Sent, reply: Response) -> Response:
        noted.answered, noted.status = self._clock(), reply.status
        return reply
