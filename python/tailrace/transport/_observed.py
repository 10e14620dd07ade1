"""A transport that records when each request was sent and answered, and changes nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tailrace.transport import Session, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailrace.transport import Response
    from tailrace.transport._base import SiteCookies

__all__ = ["ObservedRequest", "ObservedTransport"]


@dataclass(slots=True)
class ObservedRequest:
    """One request that was sent.

    `url`: the URL as it was asked for; `begun` and `answered` are times of the observing
    transport's clock; `answered` and `status` are None, and `headers` empty, until the response's
    head is in.
    """

    method: str
    begun: float
    url: str = field(default="", repr=False)
    answered: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class ObservedTransport(Transport):
    """A transport over the connections of `transport`.

    `sent` lists the requests made here, in their order, behind those that are in it; `clock` tells
    their times.
    """

    def __init__(
        self,
        transport: Transport,
        clock: Callable[[], float],
        sent: list[ObservedRequest] | None = None,
    ) -> None:
        self.sent: list[ObservedRequest] = [] if sent is None else sent
        self._transport = transport
        self._clock = clock

    def session(self, **options: Any) -> Session:
        """See `Transport.session`."""
        return _ObservedSession(self._transport.session(**options), self.sent, self._clock)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._transport.aclose()

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._transport.abort()


class _ObservedSession(Session):
    def __init__(
        self, session: Session, sent: list[ObservedRequest], clock: Callable[[], float]
    ) -> None:
        self._session = session
        self._sent = sent
        self._clock = clock

    @property
    def cookies(self) -> dict[str, str]:
        return self._session.cookies

    def cookies_for(self, url: str) -> SiteCookies:
        return self._session.cookies_for(url)

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        record = self._record("GET", url)
        return self._answered(record, await self._session.get(url, headers=headers))

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Response:
        record = self._record("POST", url)
        return self._answered(record, await self._session.post(url, body=body, headers=headers))

    async def aclose(self) -> None:
        await self._session.aclose()

    def abort(self) -> None:
        self._session.abort()

    def _record(self, method: str, url: str) -> ObservedRequest:
        record = ObservedRequest(method, self._clock(), url)
        self._sent.append(record)
        return record

    def _answered(self, record: ObservedRequest, response: Response) -> Response:
        record.answered, record.status = self._clock(), response.status
        record.headers = response.headers
        return response
