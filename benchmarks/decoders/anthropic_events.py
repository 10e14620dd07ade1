"""The anthropic package's raw events, over a response whose bytes are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
from anthropic import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["events"]


class Body(httpx2.SyncByteStream):
    """The reads, as httpx2 wants them."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = list(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)


def events(chunks: Iterable[bytes]) -> Iterator[tuple[str, str, str, int | None]]:
    """Its events; None is its word for the default."""
    response = httpx2.Response(
        200, headers={"Content-Type": "text/event-stream"}, stream=Body(chunks)
    )
    for event in Stream.raw_events(response):
        yield event.event or "message", event.data, event.id or "", event.retry


events.claims = ("types", "ids", "retry")  # type: ignore[attr-defined]
