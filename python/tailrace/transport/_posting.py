"""Many posts to one URL, each answered whole: the same head, another body each time.

As with calls, none of them sends the cookies that a response to another set.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from tailrace._headers import encodable, seconds_to_wait

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace import errors

__all__ = ["Poster", "WholeReply"]


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
