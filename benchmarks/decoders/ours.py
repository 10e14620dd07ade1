"""Tailrace, through the wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace import DeltaDecoder, SSEDecoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailrace import ServerSentEvent

__all__ = ["events", "text"]

LIMIT = 8 * 2**20


def events(
    chunks: Iterable[bytes], *, max_event_bytes: int = LIMIT
) -> Iterator[tuple[str, str, str, int | None]]:
    """Its events."""
    decoder = SSEDecoder(max_event_bytes=max_event_bytes)
    for chunk in chunks:
        yield from map(record, decoder.feed(chunk))
    yield from map(record, decoder.close())


def record(event: ServerSentEvent) -> tuple[str, str, str, int | None]:
    """What is compared."""
    return event.event, event.data, event.id, event.retry


def text(chunks: Iterable[bytes], *, max_event_bytes: int = LIMIT) -> Iterator[str]:
    """Its deltas, and its error where there is one."""
    decoder = DeltaDecoder("openai", max_event_bytes=max_event_bytes)
    for chunk in chunks:
        yield from decoder.feed(chunk)
    yield from decoder.close()
    if decoder.error is not None:
        raise decoder.error


events.claims = ("types", "ids", "retry", "limits")  # type: ignore[attr-defined]
text.claims = ("ends", "bodies", "choices", "completions", "limits")  # type: ignore[attr-defined]
