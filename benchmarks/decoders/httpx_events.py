"""httpx-sse over an httpx response whose bytes are at hand.

Its text with the standard library's json.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
from httpx_sse import EventSource

from contenders.httpx_events import Body

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["events", "text"]


def source(chunks: Iterable[bytes]) -> EventSource:
    """The reads as a response."""
    return EventSource(
        httpx.Response(
            200, headers={"Content-Type": "text/event-stream"}, stream=Body(list(chunks))
        )
    )


def events(chunks: Iterable[bytes]) -> Iterator[tuple[str, str, str, int | None]]:
    """Its events."""
    for event in source(chunks).iter_sse():
        yield event.event, event.data, event.id, event.retry


def text(chunks: Iterable[bytes]) -> Iterator[str]:
    """The content of the events' data."""
    for event in source(chunks).iter_sse():
        if event.data == "[DONE]":
            return
        choices = json.loads(event.data)["choices"]
        if choices and (content := choices[0]["delta"].get("content")):
            yield content


events.claims = ("types", "ids", "retry")  # type: ignore[attr-defined]
