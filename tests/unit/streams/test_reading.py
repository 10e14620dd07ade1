"""The reading of a reply, event by event: no loop, no thread, no clock.

The table here and the one in the docstring of `ReplyReading` are the same, and hold every event in
every state.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import pytest

from tailrace import Delta, DeltaDecoder, Outcome, ToolCall, errors
from tailrace._calls.exchange import OpeningOf
from tailrace._streams.closing import deltas_of, texts_of
from tailrace._streams.reading import Decoding, ReplyReading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Reading = ReplyReading[str, DeltaDecoder]

TABLE = [
    ("unopened", "begin", "waiting", "nothing"),
    ("unopened", "any expire, fail", "ended", "error"),
    ("unopened", "stop", "ended", "nothing"),
    ("unopened", "any feed, any break off, settle", "unopened", "nothing"),
    ("waiting", "feed, begin, settle", "waiting", "nothing"),
    ("waiting", "feed deltas", "delivering", "deltas"),
    ("waiting", "feed end, break off whole", "ended", "nothing"),
    ("waiting", "feed rest", "ended", "rest"),
    ("waiting", "feed early end, break off", "undecided", "nothing"),
    ("waiting", "break off rest", "ended", "rest, verdict"),
    ("waiting", "expire, fail", "ended", "error"),
    ("waiting", "expire whole, stop", "ended", "nothing"),
    ("delivering", "feed, begin, settle", "delivering", "nothing"),
    ("delivering", "feed deltas", "delivering", "deltas"),
    ("delivering", "feed end, break off whole", "ended", "nothing"),
    ("delivering", "feed rest", "ended", "rest"),
    ("delivering", "feed early end, break off", "ended", "verdict"),
    ("delivering", "break off rest", "ended", "rest, verdict"),
    ("delivering", "expire, fail", "ended", "error"),
    ("delivering", "expire whole, stop", "ended", "nothing"),
    ("undecided", "begin", "waiting", "nothing"),
    ("undecided", "settle", "ended", "verdict"),
    ("undecided", "any expire, fail", "ended", "error"),
    ("undecided", "stop", "ended", "nothing"),
    ("undecided", "any feed, any break off", "undecided", "nothing"),
    ("ended", "any expire, fail", "ended", "error"),
    ("ended", "begin, any feed, any break off", "ended", "nothing"),
    ("ended", "settle, stop", "ended", "nothing"),
    ("left", "anything", "left", "nothing"),
    ("anywhere", "leave", "left", "nothing"),
]


COMMENT = b": keep-alive\n\n"
DELTA = b'data: {"choices":[{"delta":{"content":"d"}}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
HELD = b'data: {"choices":[{"delta":{"content":"r"}}]}'  # no blank line: held back until the end
HELD_END = b'data: {"choices":[{"delta":{"content":"r"},"finish_reason":"stop"}]}'
HELD_DONE = FINISH + DONE[:-1]
BAD = b"data: {\n\n"


class Source:
    """The bytes of a reply that nobody reads: a reading is told of them."""

    def __init__(self, retry_after: float | None = None) -> None:
        self.retry_after = retry_after

    async def read(self) -> bytes:
        raise AssertionError("a reading reads nothing by itself")


class Asked:
    """An exchange that has made attempts before."""

    attempts = (errors.ConnectError("refused"),)

    def conceal(self, error: errors.TailraceError) -> None:
        """Has sent no secret."""


def opening(status: int = 200, retry_after: float | None = None) -> OpeningOf[DeltaDecoder]:
    return OpeningOf(Source(retry_after), DeltaDecoder(status=status))


def reading(exchange: Asked | None = None, *, any_read_is_progress: bool = False) -> Reading:
    return ReplyReading(
        Decoding(DeltaDecoder.feed, DeltaDecoder.close),
        exchange=exchange,
        any_read_is_progress=any_read_is_progress,
    )


def begun(*reads: bytes) -> Reading:
    one = reading()
    one.begin(opening())
    for data in reads:
        one.feed(data)
    one.ready.clear()
    return one


def left() -> Reading:
    one = begun(DELTA)
    one.leave()
    return one


STATES: dict[str, Callable[[], Reading]] = {
    "unopened": reading,
    "waiting": begun,
    "delivering": lambda: begun(DELTA),
    "undecided": lambda: begun(b""),
    "ended": lambda: begun(DELTA, DONE),
    "left": left,
}

BROKEN = errors.ReplyBrokenError("reset")
SILENT = errors.TimeoutError("total", 5)
ERRORS = (BROKEN, SILENT)


def after(data: bytes, event: Callable[[Reading], object]) -> Callable[[Reading], object]:
    def both(one: Reading) -> None:
        one.feed(data)
        event(one)

    return both


EVENTS: dict[str, Callable[[Reading], object]] = {
    "begin": lambda one: one.begin(opening()),
    "feed": lambda one: one.feed(COMMENT),
    "feed deltas": lambda one: one.feed(DELTA),
    "feed end": lambda one: one.feed(FINISH + DONE),
    "feed rest": after(HELD_END, lambda one: one.feed(b"")),
    "feed early end": lambda one: one.feed(b""),
    "break off": lambda one: one.break_off(BROKEN),
    "break off whole": after(HELD_DONE, lambda one: one.break_off(BROKEN)),
    "break off rest": after(HELD, lambda one: one.break_off(BROKEN)),
    "settle": lambda one: one.settle(),
    "expire": lambda one: one.expire(SILENT),
    "expire whole": after(HELD_DONE, lambda one: one.expire(SILENT)),
    "fail": lambda one: one.fail(SILENT),
    "stop": lambda one: one.stop(),
    "leave": lambda one: one.leave(),
}


def cells() -> Iterator[tuple[str, str, str, str]]:
    """One state and one event each."""
    for states, events, following, delivered in TABLE:
        for state in STATES if states == "anywhere" else [states]:
            for event in named(events):
                if (state, event) != ("left", "leave") or states == "left":
                    yield state, event, following, delivered


def named(events: str) -> Iterator[str]:
    for each in events.split(", "):
        if each == "anything":
            yield from EVENTS
        elif each.startswith("any "):
            yield from (event for event in EVENTS if event.startswith(each.removeprefix("any ")))
        else:
            yield each


def delivered_by(one: Reading) -> str:
    found = [{"d": "deltas", "r": "rest"}[text] for text in one.ready]
    if found:
        assert one.deliver() is True
        one.ready.clear()
    raised = None
    try:
        assert one.deliver() is False
    except errors.TailraceError as error:
        raised = error
    if raised is not None:
        assert one.outcome.error is raised
        found.append("error" if raised in ERRORS else "verdict")
    assert one.deliver() is False  # a failure is raised once
    return ", ".join(found) or "nothing"


@pytest.mark.parametrize(("state", "event", "following", "delivered"), list(cells()))
def test_every_row(state: str, event: str, following: str, delivered: str) -> None:
    one = STATES[state]()
    assert one.state == state
    EVENTS[event](one)
    assert (one.state, delivered_by(one)) == (following, delivered)
    assert one.state == following  # delivery changes no state
    assert one.ended is (following in ("ended", "left"))
    assert (one.undecided is not None) is (following == "undecided")


def test_every_event_stands_in_every_state_once() -> None:
    assert sorted((state, event) for state, event, _, _ in cells()) == sorted(
        (state, event) for state in STATES for event in EVENTS
    )


def test_the_docstring_has_the_same_table() -> None:
    lines = [line.strip() for line in (ReplyReading.__doc__ or "").splitlines()]
    first, second, last = (at for at, line in enumerate(lines) if line.startswith("====="))
    assert [cell.strip() for cell in lines[second - 1].split("  ") if cell] == [
        "state",
        "event",
        "next state",
        "delivered",
    ]
    assert second == first + 2
    rows = [
        tuple(cell.strip() for cell in line.split("  ") if cell)
        for line in lines[second + 1 : last]
    ]
    assert rows == TABLE


# -- what else a reading decides -------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (DELTA + DELTA + DONE, ("dd", "ended", "done", None)),
        (DELTA + FINISH, ("d", "ended", "stopped", None)),
        (DELTA + HELD, ("dr", "ended", "truncated", "truncated")),
        (COMMENT, ("", "undecided", "open", None)),
        (DELTA + BAD + DONE, ("d", "ended", "done", None)),
        (DELTA + b'data: {"error":{"message":"no"}}\n\n', ("d", "ended", "failed", "upstream")),
    ],
)
def test_chunk_boundaries_change_nothing(size: int, body: bytes, expected: tuple[str, ...]) -> None:
    one = begun()
    texts: list[str] = []
    for start in range(0, len(body), size):
        if not one.feed(body[start : start + size]):
            break
        texts += one.ready
        one.ready.clear()
    else:
        assert one.feed(b"") is False
    texts += one.ready
    error = one.outcome.error
    kind = error.kind if isinstance(error, errors.StreamError) else None
    assert ("".join(texts), one.state, one.outcome.end, kind) == expected


def test_feed_says_whether_to_read_on() -> None:
    one = begun()
    assert [one.feed(data) for data in (COMMENT, DELTA, DONE, DELTA)] == [True, True, False, False]
    assert list(one.ready) == ["d"]


def test_another_reply_takes_the_place_of_one_that_failed() -> None:
    one = begun(b"")
    failure = one.undecided
    assert one.outcome == Outcome()  # nothing has been decided
    one.begin(opening())
    one.feed(DELTA + DONE)
    assert failure is not None
    assert (list(one.ready), one.outcome.end, one.outcome.error) == (["d"], "done", None)


def test_an_error_knows_the_attempts_before_it() -> None:
    one = reading(Asked())
    assert one.outcome.attempts == Asked.attempts
    one.begin(opening())
    one.feed(b"")
    one.settle()
    outcome = one.outcome
    assert outcome.error is not None
    assert outcome.error.attempts == outcome.attempts == Asked.attempts
    assert outcome.end == "failed"


def test_a_refusal_has_the_retry_after_of_its_source() -> None:
    one = reading()
    one.begin(opening(503, retry_after=7.0))
    one.feed(b"")
    failure = one.undecided
    assert isinstance(failure, errors.ResponseStatusError)
    assert failure.retry_after == 7.0


def test_a_cause_goes_over_to_the_verdict() -> None:
    one, cause = begun(DELTA), OSError("reset")
    broken = errors.ReplyBrokenError("reset")
    broken.__cause__ = cause
    one.break_off(broken)
    error = one.outcome.error
    assert isinstance(error, errors.StreamError)
    assert error.__cause__ is cause


@pytest.mark.parametrize(
    ("reads", "any_read_is_progress", "expected"),
    [
        ([COMMENT, DELTA, COMMENT, DELTA], False, [False, True, False, True]),
        ([COMMENT, b"data: ", COMMENT], True, [True, True, True]),
        ([b"data: {}", b"\n\n"], False, [False, True]),
        ([b'{"choices":', b"[{"], False, [True, True]),  # one body: every read is a piece of it
    ],
)
def test_what_restarts_the_idle_clock(
    reads: list[bytes],
    any_read_is_progress: bool,
    expected: list[bool],
) -> None:
    one = reading(any_read_is_progress=any_read_is_progress)
    one.begin(opening())
    found = []
    for data in reads:
        assert one.feed(data)
        found.append(one.progressed())
    assert found == expected


def test_another_reply_is_progress_from_its_first_event() -> None:
    one = begun(COMMENT, BAD)
    assert one.progressed()
    one.break_off(BROKEN)
    assert one.progressed() is False
    one.begin(opening())
    one.feed(BAD)
    assert one.progressed()


def test_skipped_events_are_logged_when_a_reply_is_settled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = begun(BAD, b"")
    assert one.state == "undecided"
    assert caplog.records == []  # another reply may take its place
    one.settle()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "1 of 1 events skipped: bad data")
    ]
    assert one.outcome.bad_events == 1


def test_what_was_ready_is_not_delivered_to_who_has_left() -> None:
    one = begun()
    one.feed(DELTA)
    one.leave()
    assert (list(one.ready), one.deliver(), one.outcome.error) == ([], False, None)


def test_the_outcome_says_what_the_decoder_knows() -> None:
    one = begun(
        b'data: {"id":"c-1","model":"m","choices":[{"delta":{"content":"d"}}]}\n\n',
        FINISH,
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"total_tokens":3}}\n\n',
    )
    outcome = one.outcome
    assert (outcome.end, outcome.finish_reason, outcome.ids) == (
        "open",
        "stop",
        {"id": "c-1", "model": "m"},
    )
    assert outcome.usage is not None
    assert outcome.usage.total_tokens == 3
    one.fail(SILENT)
    assert (one.outcome.end, one.outcome.error) == ("failed", SILENT)


# -- deltas of every kind --------------------------------------------------------------------------

THOUGHT = b'data: {"choices":[{"delta":{"reasoning_content":"Hm."}}]}\n\n'
CALL = (
    b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c",'
    b'"function":{"name":"tide","arguments":"{}"}}]}}]}\n\n'
)
TEXTS = Decoding(DeltaDecoder.feed, DeltaDecoder.close)
EVERYTHING = Decoding(DeltaDecoder.feed_events, DeltaDecoder.close_events)


def turned(*reads: bytes) -> tuple[Reading, deque[Delta]]:
    """A reading of deltas of every kind."""
    one, ready = begun(), deque[Delta]()
    one.turn_to(EVERYTHING, ready, deltas_of)
    for data in reads:
        one.feed(data)
    return one, ready


def test_what_is_no_text_is_kept_while_the_text_is_read() -> None:
    one = begun(THOUGHT, CALL)
    outcome = one.outcome
    assert (outcome.reasoning, outcome.refusal) == ("Hm.", "")
    assert outcome.tool_calls == (ToolCall("c", "tide", "{}", 0),)


@pytest.mark.parametrize("data", [THOUGHT, CALL])
def test_who_reads_text_loses_nothing_by_another_reply_until_text_was_delivered(
    data: bytes,
) -> None:
    one = begun(data)
    states: list[str] = [one.state]
    one.break_off(BROKEN)
    assert [*states, one.state] == ["waiting", "undecided"]
    assert one.outcome == Outcome()
    one.begin(opening())
    one.feed(DELTA + DONE)
    assert (list(one.ready), one.outcome.end, one.outcome.reasoning) == (["d"], "done", "")


@pytest.mark.parametrize("data", [THOUGHT, CALL, DELTA])
def test_who_reads_deltas_has_got_something_from_the_first_of_any_kind(data: bytes) -> None:
    one, ready = turned(data)
    assert (one.state, len(ready)) == ("delivering", 1)
    one.break_off(BROKEN)
    assert (one.state, one.outcome.end) == ("ended", "truncated")


def test_an_answer_of_tool_calls_alone_is_whole() -> None:
    one = begun(CALL, DONE)
    assert (one.state, one.outcome.end, one.deliver()) == ("ended", "done", False)


def test_what_waits_is_converted_by_who_reads_next() -> None:
    one, texts, deltas = begun(), deque[str](), deque[Delta]()
    one.turn_to(TEXTS, texts, texts_of)
    one.feed(THOUGHT + DELTA)
    one.turn_to(EVERYTHING, deltas, deltas_of)
    one.turn_to(EVERYTHING, deltas, deltas_of)
    assert (list(texts), list(deltas)) == ([], [Delta("text", "d")])
    one.feed(CALL + DELTA)
    assert [each.kind for each in deltas] == ["text", "tool_call", "text"]
    one.turn_to(TEXTS, texts, texts_of)
    assert (list(texts), list(deltas)) == (["d", "d"], [])
    assert one.outcome.reasoning == "Hm."


def test_who_is_reading_goes_on_with_his_own_items() -> None:
    one, deltas = begun(), deque[Delta]()
    texts = one.ready
    one.is_being_read = True
    one.turn_to(EVERYTHING, deltas, deltas_of)
    assert one.feed(DELTA)
    assert (list(texts), list(deltas)) == (["d"], [])
    assert one.feed(DONE) is False  # nothing can be fed any more: whoever comes takes what is left
    one.turn_to(EVERYTHING, deltas, deltas_of)
    assert (list(texts), list(deltas)) == ([], [Delta("text", "d")])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_chunk_boundaries_change_no_delta_of_any_kind(size: int) -> None:
    body = THOUGHT + DELTA + CALL + DELTA + DONE
    one, ready = turned(*(body[start : start + size] for start in range(0, len(body), size)))
    assert [each.kind for each in ready] == ["reasoning", "text", "tool_call", "text"]
    assert (one.outcome.reasoning, len(one.outcome.tool_calls)) == ("Hm.", 1)
