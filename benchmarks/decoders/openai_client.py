"""The openai package: its decoder of events alone, and the text of its client's chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openai._streaming import SSEDecoder  # it has no public name

from contenders.openai_client import CLIENT, MESSAGES, TRANSPORT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["events", "text"]


def events(chunks: Iterable[bytes]) -> Iterator[tuple[str, str, str, int | None]]:
    """Its events; None is its word for the default."""
    for event in SSEDecoder().iter_bytes(iter(chunks)):
        yield event.event or "message", event.data, event.id or "", event.retry


def text(chunks: Iterable[bytes]) -> Iterator[str]:
    """A streamed completion."""
    TRANSPORT.feeds = list(chunks)
    for chunk in CLIENT.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True):
        if chunk.choices and (content := chunk.choices[0].delta.content):
            yield content


events.claims = ("types", "ids", "retry")  # type: ignore[attr-defined]
