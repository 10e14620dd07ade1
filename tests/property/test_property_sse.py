"""Any event list, any line ends, any splits: the events that a plain reader of WHATWG HTML 9.2.6
finds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import cycle

from cutting import bytewise, cut, sizes
from hypothesis import given
from hypothesis import strategies as st

from tailrace import SSEDecoder
from tailrace.errors import LimitExceeded

Record = tuple[str, str, str, int | None]

LARGEST_RETRY = 2**64 - 1


@dataclass
class PlainReader:
    """9.2.5 and 9.2.6 word by word, over a stream that is there in full."""

    events: list[Record] = field(default_factory=list)
    last_event_id: str = ""
    retry: int | None = None
    data: str = ""
    event: str = ""
    id: str | None = None
    own_retry: int | None = None

    def read(self, stream: bytes) -> PlainReader:
        text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
        *lines, _unfinished = re.split("\r\n|\r|\n", text)
        for line in lines:
            if not line:
                self.dispatch()
            elif not line.startswith(":"):
                name, _, value = line.partition(":")
                self.process(name, value.removeprefix(" "))
        return self

    def process(self, name: str, value: str) -> None:
        if name == "event":
            self.event = value
        elif name == "data":
            self.data += f"{value}\n"
        elif name == "id" and "\0" not in value:
            self.id = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            self.own_retry = self.retry = min(int(value), LARGEST_RETRY)

    def dispatch(self) -> None:
        if self.id is not None:
            self.last_event_id = self.id
        if self.data:
            event = (
                self.event or "message",
                self.data.removesuffix("\n"),
                self.last_event_id,
                self.own_retry,
            )
            self.events.append(event)
        self.data, self.event, self.id, self.own_retry = "", "", None, None


def decode(chunks: list[bytes]) -> tuple[list[Record], str, int | None]:
    decoder = SSEDecoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.close()
    records = [(event.event, event.data, event.id, event.retry) for event in events]
    return records, decoder.last_event_id, decoder.retry


def plainly(stream: bytes) -> tuple[list[Record], str, int | None]:
    reader = PlainReader().read(stream)
    return reader.events, reader.last_event_id, reader.retry


values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=12)
lines = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(
            ["data", "data", "event", "id", "retry", "", "dat", "Data", "data ", "ide", "field"]
        ),
        st.sampled_from([":", ": ", ":  ", ""]),
        st.one_of(
            values,
            st.from_regex("[0-9]{1,21}", fullmatch=True),
            st.sampled_from(["", "\0", "\ufeff", "1a"]),
        ),
    ),
    st.just(""),
)
ends = st.lists(st.sampled_from(["\n", "\r", "\r\n"]), min_size=1, max_size=6)


def stream_of(written: list[str], line_ends: list[str]) -> bytes:
    return "".join(
        line + end for line, end in zip(written, cycle(line_ends), strict=False)
    ).encode()


@given(
    st.lists(lines, max_size=30), ends, st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb"]), sizes
)
def test_any_lines_any_ends_any_splits(
    written: list[str], line_ends: list[str], mark: bytes, lengths: list[int]
) -> None:
    stream = mark + stream_of(written, line_ends)
    expected = plainly(stream)
    assert decode([stream]) == expected
    assert decode(cut(stream, lengths)) == expected
    assert decode(bytewise(stream)) == expected


names = st.one_of(st.none(), values)
blocks = st.tuples(
    names,
    st.lists(values, min_size=1, max_size=3),
    names.filter(lambda name: not name or "\0" not in name),
)


@given(st.lists(blocks, max_size=8), st.sampled_from(["\n", "\r", "\r\n"]), sizes)
def test_events_as_a_server_means_them(
    sent: list[tuple[str | None, list[str], str | None]], end: str, lengths: list[int]
) -> None:
    written: list[str] = []
    expected: list[Record] = []
    last_id = ""
    for event, data, given_id in sent:
        written += [] if event is None else [f"event: {event}"]
        written += [f"data: {line}" for line in data]
        written += [] if given_id is None else [f"id: {given_id}"]
        written.append("")
        last_id = last_id if given_id is None else given_id
        expected.append((event or "message", "\n".join(data), last_id, None))
    stream = stream_of(written, [end])
    assert decode(cut(stream, lengths))[0] == expected


pieces = st.one_of(
    st.sampled_from(
        [
            b"data:",
            b"data: ",
            b"data",
            b"event:",
            b"id:",
            b"retry: 5",
            b":",
            b"\n",
            b"\r",
            b"\n\n",
            b"\0",
        ]
    ),
    st.sampled_from(
        [b"\xff", b"\xf0\x9f", b"\x8e\x89", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc0\x80"]
    ),
    st.binary(max_size=3),
)


@given(st.lists(pieces, max_size=40).map(b"".join), sizes)
def test_any_bytes(stream: bytes, lengths: list[int]) -> None:
    expected = plainly(stream)
    assert decode([stream]) == expected
    assert decode(cut(stream, lengths)) == expected
    assert decode(bytewise(stream)) == expected


def decode_within(chunks: list[bytes], limit: int) -> tuple[list[str], bool]:
    decoder = SSEDecoder(max_event_bytes=limit)
    seen: list[str] = []
    try:
        for chunk in chunks:
            seen += [event.data for event in decoder.feed(chunk)]
        decoder.close()
    except LimitExceeded:
        return seen, True
    return seen, False


@given(st.lists(pieces, max_size=40).map(b"".join), sizes, st.integers(1, 40))
def test_a_limit_is_the_inputs_and_not_the_reads(
    stream: bytes, lengths: list[int], limit: int
) -> None:
    whole = decode_within([stream], limit)
    assert decode_within(cut(stream, lengths), limit) == whole
    assert decode_within(bytewise(stream), limit) == whole
