"""The border itself: what is taken for bytes, threads, and re-entry."""

from __future__ import annotations

import array
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tailrace import DeltaDecoder, PageScanner, SSEDecoder, errors, scan_page, sign_request
from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

EVENT = b"data: abc\n\n"
CHUNK = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
PAGE = b'<div class="wpaicg-chatbox" data-nonce="n" data-post-id="1">'


def spread(data: bytes) -> memoryview:
    """`data` as every second byte of a buffer: not contiguous."""
    return memoryview(bytes(byte for each in data for byte in (each, 0)))[::2]


def backwards(data: bytes) -> memoryview:
    return memoryview(data[::-1])[::-1]


def words(data: bytes) -> memoryview:
    """`data`, padded with line ends, as a buffer of 16-bit numbers."""
    return memoryview(array.array("H", data + b"\n" * (len(data) % 2)))


class Bytes(bytes):
    """A subclass is bytes as well."""


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, spread, backwards, words, Bytes])
def test_every_form_of_bytes_is_taken(form: Callable[[bytes], Any]) -> None:
    assert [event.data for event in SSEDecoder().feed(form(EVENT))] == ["abc"]
    assert DeltaDecoder().feed(form(CHUNK)) == ["x"]
    assert DeltaDecoder().feed_text(form(CHUNK)) == "x"
    assert PageScanner().feed(form(PAGE)) is True
    assert scan_page(form(PAGE)).tokens.nonce == "n"


def test_a_bytearray_is_copied_and_can_change_at_once() -> None:
    decoder = SSEDecoder()
    read = bytearray(EVENT[:-1])
    decoder.feed(read)
    read.extend(b"more")
    read[:] = b"\0" * len(read)
    assert [event.data for event in decoder.feed(b"\n")] == ["abc"]


@pytest.mark.parametrize(
    "wrong", ["text", None, 7, [1, 2], (b"x",), array.array("B", EVENT), object()]
)
def test_everything_else_is_a_type_error_that_says_what_is_taken(wrong: Any) -> None:
    takers: list[Callable[[Any], object]] = [
        SSEDecoder().feed,
        DeltaDecoder().feed,
        DeltaDecoder().feed_text,
        PageScanner().feed,
        scan_page,
    ]
    for taker in takers:
        with pytest.raises(
            TypeError, match=f"bytes, bytearray or memoryview, not {type(wrong).__name__}"
        ):
            taker(wrong)


def test_a_type_error_changes_nothing() -> None:
    decoder = SSEDecoder()
    decoder.feed(EVENT[:5])
    with pytest.raises(TypeError):
        decoder.feed("text")  # type: ignore[arg-type]
    assert [event.data for event in decoder.feed(EVENT[5:])] == ["abc"]


def test_options_are_named() -> None:
    with pytest.raises(TypeError):
        SSEDecoder(10)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        DeltaDecoder("openai", "text/html")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        DeltaDecoder(b"openai")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        DeltaDecoder().close(False)  # type: ignore[call-arg]  # noqa: FBT003


def test_no_class_can_be_subclassed() -> None:
    for kind in (SSEDecoder, DeltaDecoder, PageScanner):
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Own", (kind,), {})


THREADS = 4
ROUNDS = 2000


def in_threads(work: Callable[[], int], rounds: int = ROUNDS) -> tuple[int, int]:
    """What all threads counted, and how many clear errors they met."""
    start = threading.Barrier(THREADS)
    counted: list[int] = []
    refused: list[int] = []
    failures: list[BaseException] = []

    def run() -> None:
        start.wait()
        for _ in range(rounds):
            try:
                counted.append(work())
            except InvalidRequestError:
                refused.append(1)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
                failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    return sum(counted), len(refused)


def test_threads_in_one_event_decoder_take_turns_or_are_told() -> None:
    decoder = SSEDecoder()
    events, refused = in_threads(lambda: len(decoder.feed(EVENT)))
    assert events + refused == THREADS * ROUNDS


def test_threads_in_one_delta_decoder_take_turns_or_are_told() -> None:
    decoder = DeltaDecoder()
    deltas, refused = in_threads(lambda: len(decoder.feed(CHUNK)))
    assert deltas + refused == THREADS * ROUNDS
    assert decoder.events == deltas


def test_threads_in_one_scanner_take_turns_or_are_told() -> None:
    scanner = PageScanner(everything=True)
    rounds = 1024 // THREADS  # no more widgets are kept of one page
    scanned, refused = in_threads(lambda: int(not scanner.feed(PAGE)), rounds)
    assert scanned + refused == THREADS * rounds
    assert len(scanner.close().widgets) == scanned


def test_threads_with_a_decoder_each_do_not_meet() -> None:
    decoders = threading.local()

    def feed() -> int:
        if not hasattr(decoders, "own"):
            decoders.own = DeltaDecoder()
        return len(decoders.own.feed_text(CHUNK))

    assert in_threads(feed) == (THREADS * ROUNDS, 0)


def test_a_buffer_that_other_threads_change_is_read_as_it_was_at_one_time() -> None:
    buffer = bytearray(EVENT * 50)

    def change_and_feed() -> int:
        buffer.extend(EVENT)
        events = SSEDecoder().feed(buffer)
        if len(buffer) > 200 * len(EVENT):
            del buffer[50 * len(EVENT) :]
        return int({event.data for event in events} == {"abc"})

    assert in_threads(change_and_feed) == (THREADS * ROUNDS, 0)


def test_a_decoder_that_is_in_use_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making the error runs Python code, which may come back to the decoder."""
    decoder = DeltaDecoder()
    decoder.close()
    met: list[str] = []
    make = errors.reply_error

    def come_back(**fields: Any) -> errors.StreamError:
        for again in (
            lambda: decoder.feed(b""),
            lambda: decoder.feed_text(b""),
            decoder.close,
            lambda: decoder.error,
        ):
            with pytest.raises(InvalidRequestError) as raised:
                again()
            met.append(str(raised.value))
        return make(**fields)

    monkeypatch.setattr(errors, "reply_error", come_back)
    assert decoder.error is not None
    assert set(met) == {
        "this DeltaDecoder is in use by another thread: one object, one reader at a time"
    }
    assert len(met) == 4


HUGE = 2**63


def test_numbers_beyond_64_bits_are_wrong_input_too() -> None:
    wrong: list[Callable[[], object]] = [
        lambda: SSEDecoder(max_event_bytes=-HUGE - 1),
        lambda: DeltaDecoder(max_body_bytes=-HUGE - 1),
        lambda: DeltaDecoder(status=HUGE),
        lambda: PageScanner(max_page_bytes=-HUGE - 1),
        lambda: sign_request(HUGE, "m", "k"),
    ]
    for call in wrong:
        with pytest.raises(InvalidRequestError):
            call()


@pytest.mark.parametrize(
    "name", ["done", "end", "framing", "finish_reason", "usage", "ids", "events", "bad_events"]
)
def test_state_of_a_decoder_that_is_in_use_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = DeltaDecoder()
    decoder.close()
    make = errors.reply_error

    def come_back(**fields: Any) -> errors.StreamError:
        with pytest.raises(InvalidRequestError, match="in use by another thread"):
            getattr(decoder, name)
        return make(**fields)

    monkeypatch.setattr(errors, "reply_error", come_back)
    assert decoder.error is not None
