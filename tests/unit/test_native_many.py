"""Many replies at once: each is what a decoder fed with the whole of it says, in the order they
were given.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import tracemalloc
import weakref
from contextlib import suppress
from itertools import groupby, repeat
from typing import TYPE_CHECKING, Any

import pytest
from vector_files import Case, cases, reply_bytes

from tailrace import DecodedReply, DeltaDecoder, decode_many, errors
from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = ("dialect", "content_type", "status", "failure_tail", "max_event_bytes", "max_body_bytes")
CHUNK = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
USAGE = b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n'


def numbered(number: int) -> bytes:
    """A reply that says its number."""
    return CHUNK.replace(b'"a"', b'"%d"' % number) + DONE


def options_of(case: Case) -> dict[str, Any]:
    return {key: case[key] for key in OPTIONS if key in case}


def fed_whole(reply: bytes, options: dict[str, Any]) -> tuple[object, ...]:
    decoder = DeltaDecoder(**options)
    decoder.collect()
    text = decoder.feed_text(reply) + "".join(decoder.close())
    return told(text, decoder)


def told(text: str, reply: DeltaDecoder | DecodedReply) -> tuple[object, ...]:
    error = reply.error and (type(reply.error), str(reply.error), vars(reply.error))
    return (
        text,
        reply.end,
        reply.finish_reason,
        reply.usage,
        reply.ids,
        error,
        reply.events,
        reply.bad_events,
        reply.passed_over,
    )


@pytest.mark.parametrize("threads", [1, 2, 7, None])
def test_every_vector_is_what_a_decoder_fed_whole_says(threads: int | None) -> None:
    every = [case.values[0] for case in cases("deltas") + cases("replies")]
    assert all(isinstance(case, dict) for case in every)
    compared = 0
    for _, alike in groupby(sorted(every, key=lambda case: repr(options_of(case))), key=options_of):  # type: ignore[arg-type]
        group = list(alike)
        options = options_of(group[0])  # type: ignore[arg-type]
        replies = [reply_bytes(case) for case in group]  # type: ignore[arg-type]
        records = decode_many(replies, threads=threads, **options)
        for reply, record in zip(replies, records, strict=True):
            assert told(record.text, record) == fed_whole(reply, options)
            compared += 1
    assert compared == len(every)


@pytest.mark.parametrize("threads", [1, 2, 3, 64])
def test_the_order_is_kept_over_many_runs_and_uneven_sizes(threads: int) -> None:
    padding = b": " + b"x" * 600_000 + b"\n"
    replies = [numbered(n) + (padding if n % 7 == 0 else b"") for n in range(3_000)]
    records = decode_many((padding + each for each in replies[:30]), threads=threads)
    assert [record.text for record in records] == [str(n) for n in range(30)]
    assert [record.text for record in decode_many(replies, threads=threads)] == [
        str(n) for n in range(3_000)
    ]


def test_slices_follow_each_other_and_each_is_let_go_before_the_next() -> None:
    """One thread's slice is 64 MiB: an iterator of 200 MiB is never held whole."""
    alive = most = 0

    class Chunk(bytes):
        """One that is counted while it lives."""

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def replies() -> Iterator[bytes]:
        nonlocal alive, most
        for number in range(200):
            alive += 1
            most = max(most, alive)
            yield Chunk(numbered(number) + b"\n" * 2**20)

    assert [record.text for record in decode_many(replies(), threads=1)] == [
        str(n) for n in range(200)
    ]
    assert 60 <= most <= 66
    assert alive == 0


def test_a_buffer_that_is_filled_anew_is_copied_in_time() -> None:
    buffer = bytearray()

    def replies(form: type) -> Iterator[Any]:
        for number in range(50):
            buffer[:] = numbered(number)
            with memoryview(buffer) as view:
                yield buffer if form is bytearray else view

    for form in (bytearray, memoryview):
        assert [record.text for record in decode_many(replies(form))] == [str(n) for n in range(50)]


def test_nothing_gives_nothing() -> None:
    assert decode_many([]) == []
    assert decode_many(iter(())) == []
    assert [record.end for record in decode_many([b""])] == ["failed"]


def test_a_record() -> None:
    (record,) = decode_many([CHUNK + USAGE + b"data: {\n\n" + DONE])
    assert (record.text, record.end, record.finish_reason, record.error) == (
        "a",
        "done",
        None,
        None,
    )
    assert (record.events, record.bad_events, record.ids) == (4, 1, {"id": "c1"})
    assert record.usage is not None
    assert record.usage.total_tokens == 3
    assert repr(record) == "<DecodedReply done>"
    record.ids["id"] = "other"
    assert record.ids == {"id": "c1"}
    for name in ("text", "end", "error"):
        with pytest.raises(AttributeError):
            setattr(record, name, None)


def test_the_error_is_a_decoders_and_the_text_before_it_stays() -> None:
    broken, refused = decode_many([CHUNK, CHUNK + b'data: {"error":"no"}\n\n'])
    assert (broken.text, broken.end, refused.text, refused.end) == ("a", "truncated", "a", "failed")
    assert broken.error is broken.error
    assert isinstance(refused.error, errors.StreamError)
    assert (refused.error.kind, refused.error.message) == ("upstream", "no")
    (limited,) = decode_many([CHUNK], status=429)
    assert type(limited.error) is errors.RateLimitError


def test_an_error_that_was_raised_leaves_no_circle_behind() -> None:
    def work() -> weakref.ref[BaseException]:
        (record,) = decode_many([CHUNK])
        assert record.error is not None
        try:
            raise record.error
        except errors.StreamError as error:
            kept: weakref.ref[BaseException] = weakref.ref(error)
            error.record = record  # type: ignore[attr-defined]
        return kept

    kept = work()
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize(
    ("replies", "says"),
    [
        ([numbered(1), "text"], "reply 1: data must be bytes, bytearray or memoryview, not str"),
        ([None], "reply 0: data must be bytes, bytearray or memoryview, not NoneType"),
        (b"one reply", "reply 0: data must be bytes, bytearray or memoryview, not int"),
    ],
)
def test_what_is_no_reply_is_named_with_its_index(replies: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        decode_many(replies)
    assert str(raised.value) == says


def test_the_index_counts_over_slices() -> None:
    padded = numbered(0) + b"\n" * 2**20
    with pytest.raises(InvalidRequestError, match=r"^reply 150: "):
        decode_many([padded] * 150 + [7], threads=1)  # type: ignore[list-item]


def test_a_view_whose_buffer_is_gone_is_named_too() -> None:
    view = memoryview(b"x")
    view.release()
    with pytest.raises(InvalidRequestError, match=r"^reply 1: .*released"):
        decode_many([b"", view])


def test_options_that_cannot_be() -> None:
    for threads in (0, -1, 2**70):
        with pytest.raises(
            InvalidRequestError, match="threads must be a number of threads above 0"
        ):
            decode_many([], threads=threads)
    with pytest.raises(InvalidRequestError, match="the decoder dialects are "):
        decode_many([], "morse")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="max_body_bytes"):
        decode_many([], max_body_bytes=0)
    with pytest.raises(TypeError, match="not iterable"):
        decode_many(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        decode_many([], "openai", "text/html")  # type: ignore[call-arg]


def test_what_the_iterator_raises_comes_through() -> None:
    def replies() -> Iterator[bytes]:
        yield DONE
        raise LookupError("the archive is gone")

    with pytest.raises(LookupError, match="the archive is gone"):
        decode_many(replies())


def test_ctrl_c_is_heard_between_slices() -> None:
    taken = 0

    def replies() -> Iterator[bytes]:
        nonlocal taken
        for reply in repeat(DONE + b"\n" * 2**20, 1_000):
            taken += 1
            if taken == 100:
                signal.raise_signal(signal.SIGINT)
            yield reply

    with pytest.raises(KeyboardInterrupt):
        decode_many(replies(), threads=1)
    assert taken <= 130


def test_no_reference_is_kept() -> None:
    """Neither of the replies nor of what was made of those before a wrong one; the process does not
    grow.
    """
    reply = numbered(1)
    replies: list[Any] = [reply] * 500
    before = sys.getrefcount(reply)
    for wrong in (None, 7):
        replies[-1] = reply if wrong is None else wrong
        for _ in range(20):
            with suppress(InvalidRequestError):
                decode_many(replies)
    replies[-1] = reply
    assert sys.getrefcount(reply) == before
    tracemalloc.start()
    try:
        for _ in range(20):
            decode_many(replies)
        assert tracemalloc.get_traced_memory()[0] < 2**16
    finally:
        tracemalloc.stop()


def test_other_threads_run_meanwhile_and_may_do_the_same() -> None:
    reply = numbered(1) * 1_000
    texts: list[list[str]] = []
    workers = [
        threading.Thread(
            target=lambda: texts.append(
                [each.text for each in decode_many([reply] * 200, threads=2)]
            )
        )
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert texts == [["1"] * 200] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # of forking beside threads, from Python 3.12 on
def test_a_forked_process_decodes_as_well() -> None:
    replies = [numbered(n) + b"\n" * 2**18 for n in range(8)]
    expected = [record.text for record in decode_many(replies, threads=2)]
    child = os.fork()
    if not child:
        os._exit(
            0 if [record.text for record in decode_many(replies, threads=2)] == expected else 1
        )
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
