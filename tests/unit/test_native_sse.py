"""Server-sent events through the wheel: the vectors however they are cut, the limit's sequence, the
records.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import pytest
from vector_files import Case, cases, cuts, input_bytes, told

from tailrace import ServerSentEvent, SSEDecoder
from tailrace.errors import InvalidRequestError, LimitExceeded, StreamError

MEMORY = Path("/proc/self/statm")
ONE_EVENT = b"event: greeting\nid: 7\nretry: 1500\ndata: hello\ndata: you\n\n"


def record(event: ServerSentEvent) -> dict[str, Any]:
    return {"event": event.event, "data": event.data, "id": event.id, "retry": event.retry}


def decode(decoder: SSEDecoder, chunks: list[bytes]) -> tuple[list[dict[str, Any]], bool]:
    """The events, and whether the limit was passed."""
    events: list[dict[str, Any]] = []
    try:
        for chunk in chunks:
            events += map(record, decoder.feed(chunk))
        events += map(record, decoder.close())
    except LimitExceeded:
        return events, True
    return events, False


def pages_in_use() -> int:
    return int(MEMORY.read_text().split()[1])


@pytest.mark.parametrize("case", cases("sse"))
def test_vector_however_it_is_cut(case: Case) -> None:
    limits = {key: case[key] for key in ("max_event_bytes",) if key in case}
    if 0 in limits.values():
        with pytest.raises(InvalidRequestError):
            SSEDecoder(**limits)
        return  # a limit of the core's that the border does not take
    keys = ("event", "data", "id", "retry")
    expected = [{key: event[key] for key in keys} for event in case["events"]]
    for chunks in cuts(input_bytes(case["input"])):
        decoder = SSEDecoder(**limits)
        assert decode(decoder, chunks) == (expected, case.get("limit", False)), told(chunks)
        assert (decoder.last_event_id, decoder.retry) == (case["last_event_id"], case["retry"]), (
            told(chunks)
        )


def test_events_before_a_limit_come_first_and_the_error_ever_after() -> None:
    decoder = SSEDecoder(max_event_bytes=10)
    assert [
        event.data for event in decoder.feed(b"data: a\n\ndata: b\n\ndata: 12345\n\ndata: c\n\n")
    ] == ["a", "b"]
    for _ in range(2):
        with pytest.raises(LimitExceeded, match=r"larger than max_event_bytes \(10 bytes\)"):
            decoder.feed(b"")
        with pytest.raises(LimitExceeded):
            decoder.feed(b"\n\ndata: d\n\n")
        with pytest.raises(LimitExceeded):
            decoder.close()


def test_a_limit_with_nothing_before_it_is_raised_from_the_next_call_too() -> None:
    decoder = SSEDecoder(max_event_bytes=10)
    assert decoder.feed(b"data: 12345") == []
    with pytest.raises(LimitExceeded) as raised:
        decoder.feed(b"")
    assert isinstance(raised.value, StreamError)
    assert raised.value.kind == "limit"
    with pytest.raises(LimitExceeded):
        decoder.close()


def test_close_raises_what_no_feed_has() -> None:
    decoder = SSEDecoder(max_event_bytes=10)
    assert len(decoder.feed(b"data: a\n\ndata: 12345")) == 1
    with pytest.raises(LimitExceeded):
        decoder.close()


def test_comments_and_unknown_fields_are_no_part_of_an_event() -> None:
    decoder = SSEDecoder(max_event_bytes=10)
    events = decoder.feed(b": " + b"x" * 5000 + b"\nfield: " + b"y" * 5000 + b"\ndata: 1234\n\n")
    assert [event.data for event in events] == ["1234"]


@pytest.mark.skipif(not MEMORY.exists(), reason="nothing tells how much memory is in use")
def test_a_long_id_is_kept_once_however_many_events_it_stays_in_force_for() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"id: " + b"x" * 2**20 + b"\n\n")
    before = pages_in_use()
    events = decoder.feed(b"data\n\n" * 500)
    assert (pages_in_use() - before) * mmap.PAGESIZE < 50 * 2**20
    assert len(events) == 500
    assert events[-1].id == "x" * 2**20
    later = decoder.feed(b"id: a\ndata\n\nid: b\n\nid: c\n\ndata\n\nid\ndata\n\n")
    assert [event.id for event in later] == ["a", "c", ""]


def test_close_drops_what_is_unfinished_and_can_be_repeated() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert (decoder.close(), decoder.close()) == ([], [])
    assert decoder.feed(b"\ndata: b\n\n") == []


@pytest.mark.parametrize("limit", [0, -1])
def test_limits_must_be_above_zero(limit: int) -> None:
    with pytest.raises(
        InvalidRequestError, match="max_event_bytes must be a number of bytes above 0"
    ):
        SSEDecoder(max_event_bytes=limit)


def test_records_are_frozen_comparable_and_shown() -> None:
    [event] = SSEDecoder().feed(ONE_EVENT)
    assert (
        repr(event) == r"ServerSentEvent(event='greeting', data='hello\nyou', id='7', retry=1500)"
    )
    assert len({event, *SSEDecoder().feed(ONE_EVENT)}) == 1
    assert [event] == SSEDecoder().feed(ONE_EVENT)
    assert [event] != SSEDecoder().feed(ONE_EVENT.replace(b"you", b"me"))
    assert event != "greeting"
    for name in ("event", "data", "id", "retry", "other"):
        with pytest.raises(AttributeError):
            setattr(event, name, "x")
