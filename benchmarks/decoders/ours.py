"""Tailrace, through the wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace import DeltaDecoder, SSEDecoder
from tailrace.conformance import CLAIMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailrace import ServerSentEvent
    from tailrace.conformance import Part

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


def text(
    chunks: Iterable[bytes],
    *,
    max_event_bytes: int = LIMIT,
    dialect: Any = "openai",
    status: int = 200,
    content_type: str | None = None,
) -> Iterator[Part]:
    """Its deltas, what it collected beside them, and its error where there is one."""
    decoder = DeltaDecoder(
        dialect, status=status, content_type=content_type, max_event_bytes=max_event_bytes
    )
    decoder.collect()
    for chunk in chunks:
        yield from decoder.feed(chunk)
    yield from decoder.close()
    yield from collected(decoder)
    if decoder.error is not None:
        raise decoder.error


def collected(decoder: DeltaDecoder) -> Iterator[Part]:
    """What is no text."""
    yield "reasoning", decoder.reasoning
    for call in decoder.tool_calls:
        yield "tool_call", call.id, call.name, call.arguments
    if decoder.usage is not None:
        yield "usage", decoder.usage.prompt_tokens, decoder.usage.completion_tokens
    if decoder.finish_reason is not None:
        yield "finish_reason", decoder.finish_reason


events.claims = ("types", "ids", "retry", "limits")  # type: ignore[attr-defined]
text.claims = tuple(CLAIMS["deltas"])  # type: ignore[attr-defined]
