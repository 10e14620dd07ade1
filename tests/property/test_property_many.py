"""Any replies, however many and by however many threads: each is what a decoder fed with the whole
of it says.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace import DIALECTS, DecodedReply, DeltaDecoder, decode_many

fragments = st.one_of(
    st.sampled_from(
        [
            b'data: {"id":"c1","choices":[{"delta":{"content":"a \\u2019"}}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"\xc3\xa9"},"finish_reason":"stop"}]}\r\n\r\n',
            b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n',
            b'data: {"error":{"message":"no","code":"c"}}\n\n',
            b'event: message\ndata: {"choices":[{"delta":{"content":"words"}}]}\n\n',
            b'{"status":"success","data":"a body"}',
            b"data: [DONE]\n\n",
            b"data: {\n\n",
            b"<!DOCTYPE html><title>Just a moment...</title>",
            b":" + b"x" * 200_000 + b"\n",  # a run of a thread is not much more
        ]
    ),
    st.binary(max_size=20),
)
replies = st.lists(fragments, max_size=6).map(b"".join)


def said(text: str, reply: DeltaDecoder | DecodedReply) -> tuple[object, ...]:
    error = reply.error and (type(reply.error), vars(reply.error))
    return (
        text,
        reply.end,
        reply.finish_reason,
        reply.usage,
        reply.ids,
        error,
        reply.events,
        reply.bad_events,
    )


@settings(max_examples=100)
@given(st.lists(replies, max_size=12), st.sampled_from(DIALECTS), st.integers(1, 4), st.booleans())
def test_each_reply_is_what_a_decoder_says(
    many: list[bytes], dialect: Any, threads: int, changing: bool
) -> None:
    given_as = map(bytearray, many) if changing else iter(many)
    records = decode_many(given_as, dialect, threads=threads)
    assert len(records) == len(many)
    for reply, record in zip(many, records, strict=True):
        decoder = DeltaDecoder(dialect)
        text = decoder.feed_text(reply) + "".join(decoder.close())
        assert said(record.text, record) == said(text, decoder)
