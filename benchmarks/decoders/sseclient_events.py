"""sseclient-py over an iterator of reads, as its documentation feeds it from httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sseclient import SSEClient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["events"]


def events(chunks: Iterable[bytes]) -> Iterator[tuple[str, str, None]]:
    """Its events.

    Its id is that of the event's own block, and its retry is text: neither is claimed.
    """
    for event in SSEClient(iter(chunks)).events():
        yield event.event, event.data, None


events.claims = ("types",)  # type: ignore[attr-defined]
