"""The records of a stream: made by hand, copied, pickled, matched, taken apart."""

import copy
import pickle
import weakref
from typing import Any

import pytest

from tailrace import (
    DecodedReply,
    Delta,
    ServerSentEvent,
    ThinkingBlock,
    ToolCall,
    Usage,
    decode_many,
)
from tailrace.errors import InvalidRequestError, LimitExceeded, StreamError

REPLY = (
    b'data: {"id":"c","choices":[{"delta":{"content":"a"}}],"usage":{"total_tokens":3}}\n\n'
    b"data: [DONE]\n\n"
)
RECORDS = [
    ServerSentEvent(),
    ServerSentEvent("greeting", "hello\nyou", "7", 1500),
    Usage(),
    Usage(1, 2, 9, 0, 1),
    Delta("text", "a"),
    Delta("tool_call", "{", 1, "c", "tide"),
    ToolCall(),
    ToolCall("c", "tide", '{"at": 9}', 1),
    DecodedReply(),
    DecodedReply("a", "stopped", "stop", Usage(1, 2), {"id": "r"}, None, 3, 1, "gemini"),
    DecodedReply(tool_calls=[ToolCall("c", "tide")], reasoning="Hm.", refusal="No."),
    *decode_many([REPLY, REPLY[:20], b'data: {"error":{"message":"no","code":"c"}}\n\n']),
    ThinkingBlock(),
    ThinkingBlock("Hm.", "c2ln"),
    ThinkingBlock(data="ZW5j"),
    ToolCall("c", "tide", "{}", 0, "c2ln"),
    Delta("text", "a", logprobs='[{"token":"a","logprob":-1}]'),
]


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_copied_pickled_and_made_again(record: Any) -> None:
    kind, fields = type(record), record._asdict()
    assert tuple(fields) == kind.__match_args__
    assert fields == {name: getattr(record, name) for name in fields}
    made = [kind(**fields), kind(*fields.values()), copy.copy(record), copy.deepcopy(record)]
    made += [pickle.loads(pickle.dumps(record, protocol)) for protocol in range(6)]  # noqa: S301
    for other in made:
        assert type(other) is kind
        assert (other, hash(other), repr(other)) == (record, hash(record), repr(record))
    assert weakref.ref(record)() is record


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_fields_are_compared_and_stay_as_they_are(record: Any) -> None:
    for name, value in record._asdict().items():
        with pytest.raises(AttributeError):
            setattr(record, name, value)
    assert record != object()
    assert len({*RECORDS}) == len(RECORDS)


def test_matched_by_their_fields() -> None:
    match Delta("tool_call", "{}", 0, "c", "tide"):
        case Delta("tool_call", text, index, id=found):
            assert (text, index, found) == ("{}", 0, "c")
        case _:
            pytest.fail("no match")
    match Usage(1, 2):
        case Usage(prompt, completion, total, cached_tokens=None):
            assert (prompt, completion, total) == (1, 2, 3)
        case _:
            pytest.fail("no match")


def test_an_error_goes_along() -> None:
    (failed,) = decode_many([b'data: {"error":{"message":"no","code":"c"}}\n\n'])
    restored = pickle.loads(pickle.dumps(failed))  # noqa: S301
    assert isinstance(restored.error, StreamError)
    assert (restored.end, restored.error.message, restored.error.code) == ("failed", "no", "c")
    assert DecodedReply(error=failed.error).error is failed.error


def test_errors_in_records_are_compared_by_what_they_hold() -> None:
    def record(*, code: str | None = None, attempts: tuple[StreamError, ...] = ()) -> DecodedReply:
        error = StreamError("upstream", "no", code=code)
        error.attempts = attempts
        return DecodedReply(end="failed", error=error)

    assert (record(), hash(record())) == (record(), hash(record()))
    assert record() != record(code="c")
    assert record() != record(attempts=(StreamError("empty", "nothing"),))
    assert record() != DecodedReply(end="failed", error=LimitExceeded("no"))
    assert record() != DecodedReply(end="failed")


def test_what_no_record_holds_is_refused() -> None:
    wrong: Any = "morse"
    for make in (
        lambda: Delta(wrong),
        lambda: Delta("text", index=-1),
        lambda: Usage(-1),
        lambda: Usage(cached_tokens=-1),
        lambda: ServerSentEvent(retry=-1),
        lambda: DecodedReply(end=wrong),
        lambda: DecodedReply(dialect=wrong),
        lambda: DecodedReply(events=-1),
    ):
        with pytest.raises(InvalidRequestError):
            make()
