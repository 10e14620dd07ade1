"""Many posts to one URL, each answered whole: the same head, another body each time.

What a `Session` does once a call is done once for all of them here, so that a request costs little
more than its bytes. As with calls, none of them sends the cookies that a response to another set.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from tailrace import errors
from tailrace._headers import encodable, seconds_to_wait

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tailrace.transport._base import Response, Transport

__all__ = ["Poster", "SessionPoster", "WholeReply"]


class WholeReply(NamedTuple):
    """A response that was read to its end: its `status`, its `headers`, its decoded `body`.

    `failure`: the reason why the body is not whole, None where it is.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    failure: errors.TailraceError | None = None

    @property
    def content_type(self) -> str | None:
        """The Content-Type header as sent, as `Response.content_type`."""
        value = self.headers.get("content-type")
        return None if value is None else encodable(value)

    @property
    def retry_after(self) -> float | None:
        """The seconds that Retry-After asks for, as `Response.retry_after`."""
        headers = self.headers
        return seconds_to_wait(
            headers.get("retry-after"), headers.get("date"), headers.get("retry-after-ms")
        )


class Poster(ABC):
    """Posts to one URL, over the connections of one transport; `Transport.poster` makes it."""

    @abstractmethod
    async def post(self, body: bytes) -> WholeReply:
        """Post `body` and return the whole response.

        All four clocks of `Timeouts` run. Raises what `Session.post` does where no head came; what
        fails behind it is the `failure` of the response.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Free what the poster holds; the transport and its connections stay."""


class SessionPoster(Poster):
    """Posts over any transport: a session of its own for each."""

    def __init__(
        self,
        transport: Transport,
        url: str,
        *,
        headers: Mapping[str, str] | None,
        options: Mapping[str, Any],
    ) -> None:
        """Post to `url`; `options`: those of `Transport.session`."""
        self._transport = transport
        self._url = url
        self._headers = headers
        self._options = options
        transport.session(**options)  # wrong ones fail here, and once

    async def post(self, body: bytes) -> WholeReply:
        """See `Poster.post`."""
        total = self._options["timeouts"].total
        try:
            async with asyncio.timeout(total) as clock:
                return await self._post(body)
        except TimeoutError:
            if not clock.expired():
                raise
        raise errors.TimeoutError("total", total)

    async def aclose(self) -> None:
        """See `Poster.aclose`."""

    async def _post(self, body: bytes) -> WholeReply:
        async with self._transport.session(**self._options) as session:
            response = await session.post(self._url, body=body, headers=self._headers)
            parts, failure = await _read(response, self._options["timeouts"].idle)
            return WholeReply(response.status, response.headers, parts, failure)


async def _read(
    response: Response, idle: float | None
) -> tuple[bytes, errors.TailraceError | None]:
    """Return the body as far as it came, and why it is no longer."""
    from tailrace.transport._base import read_within  # noqa: PLC0415 - which imports this module

    parts = bytearray()
    try:
        while data := await read_within(response, idle):
            parts += data
    except errors.TailraceError as failure:
        return bytes(parts), failure
    return bytes(parts), None
