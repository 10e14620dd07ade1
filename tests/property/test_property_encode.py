"""Any text becomes one line of JSON that is read back, by whoever splits the stream into lines,
however.
"""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tailrace import ChunkEncoder, DeltaDecoder, SSEDecoder

PIECES = st.one_of(
    st.text(),
    st.characters(),
    st.sampled_from(
        [
            '"',
            "\\",
            "\n\ndata: [DONE]\n\n",
            "\r",
            "</script>",
            "\x85",
            "\u2028",
            "\x9b31m",
            "\0",
            "\ud800",
        ]
    ),
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)


def readable(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@given(st.lists(TEXTS, max_size=5), TEXTS, TEXTS, st.none() | TEXTS, st.booleans())
def test_a_stream_is_read_back(
    texts: list[str], id_: str, model: str, fingerprint: str | None, usage: bool
) -> None:
    encoder = ChunkEncoder(
        id=id_, created=0, model=model, system_fingerprint=fingerprint, include_usage=usage
    )
    events = encoder.role() + encoder.deltas(texts) + encoder.finish("stop") + encoder.usage(1, 2)
    # What str.splitlines takes for a line's end is more than what the specification does.
    lines = events.decode().splitlines()
    assert len(lines) == 2 * (len(texts) + 3)
    assert lines[1::2] == [""] * (len(texts) + 3)
    read = [json.loads(line.removeprefix("data: ")) for line in lines[::2]]
    assert [each["choices"][0]["delta"]["content"] for each in read[1:-2]] == [
        readable(text) for text in texts
    ]
    assert {(each["id"], each["model"]) for each in read} == {(readable(id_), readable(model))}
    assert [event.data for event in SSEDecoder().feed(events)] == [
        line.removeprefix("data: ") for line in lines[::2]
    ]


@given(st.lists(TEXTS, max_size=5))
def test_our_own_decoder_reads_it_back(texts: list[str]) -> None:
    encoder = ChunkEncoder(id="c", created=0, model="m", system_fingerprint=None)
    decoder = DeltaDecoder("openai")
    read = decoder.feed_text(
        encoder.role() + encoder.deltas(texts) + encoder.finish("stop") + encoder.done()
    )
    assert read == "".join(readable(text) for text in texts)
    assert (decoder.end, decoder.bad_events) == ("done", 0)


@given(TEXTS, TEXTS, st.none() | TEXTS, st.none() | TEXTS)
def test_an_error_is_read_back(
    message: str, kind: str, param: str | None, code: str | None
) -> None:
    encoder = ChunkEncoder(id="c", created=0, model="m", system_fingerprint=None)
    (line, empty) = encoder.error(message, kind=kind, param=param, code=code).decode().splitlines()
    assert empty == ""
    read = [each and readable(each) for each in (message, kind, param, code)]
    assert json.loads(line.removeprefix("data: ")) == {
        "error": dict(zip(("message", "type", "param", "code"), read, strict=True))
    }
