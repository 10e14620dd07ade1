"""Streams far larger than memory may grow: what is held stays the same, or a limit ends it."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tailrace import DeltaDecoder, PageScanner, SSEDecoder
from tailrace.errors import LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
LENGTH = int(os.environ.get("SCALE_MIB", "256")) * MIB
READ = 64 * 1024

CHUNK = (
    '{"id":"c1","object":"chat.completion.chunk","model":"m",'
    '"choices":[{"index":0,"delta":{"content":" mill"}}]}'
)

pytestmark = pytest.mark.heavy

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="reads the resident size from /proc"
)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * mmap.PAGESIZE


def growth(feed: Callable[[bytes], object], unit: str) -> int:
    """Bytes by which the process has grown at most while it fed ``LENGTH`` bytes, every read the
    same object.
    """
    read = (unit * (READ // len(unit))).encode()
    feed(read)
    before = most = resident()
    for number in range(LENGTH // len(read)):
        feed(read)
        if number % 64 == 0:
            most = max(most, resident())
    return max(most, resident()) - before


@needs_proc
@pytest.mark.parametrize(
    ("dialect", "unit"),
    [
        ("openai", f"data: {CHUNK}\n\n"),
        ("openai", ": ping\n\n"),
        ("openai", ": a comment that does not end, "),
        ("ai-power", f"data: {CHUNK}\r\n\r\n"),
        ("aipkit", 'data: {"delta":"w\\u00e9"}\n\n'),
        ("ai-engine", 'data: {"type":"live","data":"w\\u00e9"}\n\n'),
        ("text", "an answer that does not end, 🎉"),
    ],
)
def test_an_answer_without_end_holds_nothing(dialect: Any, unit: str) -> None:
    decoder = DeltaDecoder(dialect, failure_tail="Internal server error")
    assert growth(decoder.feed_text, unit) <= 2 * MIB
    assert decoder.end == "open"


@needs_proc
@pytest.mark.parametrize(
    "unit", ["data: a short event\n\n", ": a comment that does not end ", "id: 7\n\n", "\n"]
)
def test_events_without_end_hold_nothing(unit: str) -> None:
    assert growth(SSEDecoder().feed, unit) <= 2 * MIB


@needs_proc
@pytest.mark.parametrize("unit", ["PHP Notice: debris\n", "data: a line without end", "{"])
def test_what_cannot_be_delivered_ends_at_its_limit(unit: str) -> None:
    decoder = DeltaDecoder("openai")
    assert growth(decoder.feed, unit) <= 20 * MIB
    assert decoder.error is not None
    assert (decoder.end, decoder.error.kind) == ("failed", "limit")


@needs_proc
def test_an_event_without_end_raises_ever_after() -> None:
    decoder = SSEDecoder()
    refused = 0

    def feed(read: bytes) -> None:
        nonlocal refused
        try:
            assert decoder.feed(read) == []
            assert not refused
        except LimitExceeded:
            refused += 1

    assert growth(feed, "data: one more line\n") <= 20 * MIB
    assert refused >= (LENGTH - 9 * MIB) // READ


@needs_proc
@pytest.mark.parametrize("start", ["", "<!--", "<div a='", "<script>", "<title>"])
def test_a_page_without_end_is_read_as_far_as_its_limit(start: str) -> None:
    scanner = PageScanner(everything=True)
    assert not scanner.feed(start.encode())
    assert growth(scanner.feed, "what does not end, ") <= 16 * MIB
    assert scanner.feed(b"")
    with pytest.raises(LimitExceeded):
        _ = scanner.close().tokens
