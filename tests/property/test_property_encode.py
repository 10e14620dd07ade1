"""Any text becomes one line of JSON that is read back, by whoever splits the stream into lines,
however.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from cutting import cut, sizes
from hypothesis import given
from hypothesis import strategies as st

from tailrace import (
    ChunkEncoder,
    CompletionEncoder,
    Delta,
    DeltaDecoder,
    MessageEncoder,
    ResponseEncoder,
    SSEDecoder,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

AnyEncoder: TypeAlias = ChunkEncoder | CompletionEncoder | MessageEncoder | ResponseEncoder

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


# -- every kind, on every wire ---------------------------------------------------------------------

SPOKEN = st.builds(Delta, st.sampled_from(["text", "reasoning", "refusal"]), TEXTS)
ARGUMENTS = st.dictionaries(TEXTS, TEXTS, max_size=2).map(json.dumps)


@st.composite
def calls(draw: st.DrawFn) -> list[list[Delta]]:
    """Calls in pieces; the first piece of each has the name, and often an id."""
    pieces = []
    for index in range(draw(st.integers(0, 3))):
        arguments = draw(ARGUMENTS)
        cut = draw(st.integers(0, len(arguments)))
        id_ = draw(st.none() | st.just(f"call-{index}"))
        first = Delta("tool_call", "", index * 2, id_, f"tool{index}")
        parts = (arguments[:cut], arguments[cut:])
        pieces.append([first, *(Delta("tool_call", part, index * 2) for part in parts)])
    return pieces


@st.composite
def answers(draw: st.DrawFn) -> list[Delta]:
    """Deltas of every kind, calls mixed with one another."""
    threads = [draw(st.lists(SPOKEN, max_size=4)), *draw(calls())]
    mixed = []
    while threads := [thread for thread in threads if thread]:
        mixed.append(threads[draw(st.integers(0, len(threads) - 1))].pop(0))
    return mixed


def held(deltas: list[Delta], *, refusal: str = "refusal") -> dict[str, Any]:
    """What the deltas hold, however they are cut; calls in no order."""
    spoken = dict.fromkeys(("text", "reasoning", "refusal"), "")
    calls: dict[int | None, list[Any]] = {}
    for delta in deltas:
        if delta.kind == "tool_call":
            call = calls.setdefault(delta.index, [delta.name, ""])
            call[1] += delta.text
        else:
            spoken[refusal if delta.kind == "refusal" else delta.kind] += delta.text
    return {
        **{kind: readable(text) for kind, text in spoken.items()},
        "calls": sorted((name, json.loads(text)) for name, text in calls.values()),
    }


def read_back(dialect: Any, data: bytes) -> tuple[list[Delta], DeltaDecoder]:
    decoder = DeltaDecoder(dialect)
    return decoder.feed_events(data) + decoder.close_events(), decoder


@given(answers(), st.integers(0, 20))
def test_every_kind_is_read_back_on_every_wire(deltas: list[Delta], at: int) -> None:
    usage = Usage(7, 5, cached_tokens=3, reasoning_tokens=2)
    before, behind = deltas[:at], deltas[at:]
    chunks = ChunkEncoder(id="chatcmpl-1", created=0, model="m", system_fingerprint=None)
    told = chunks.role() + chunks.events(before) + chunks.keep_alive() + chunks.events(behind)
    told += chunks.finish("length") + chunks.usage(7, 5, cached=3, reasoning=2) + chunks.done()
    read, decoder = read_back("openai", told)
    assert held(read) == held(deltas)
    assert (decoder.end, decoder.finish_reason, decoder.usage) == ("done", "length", usage)

    response = ResponseEncoder(id="resp_1", created_at=0, model="m")
    told = response.start() + response.events(before) + response.keep_alive()
    told += response.events(behind) + response.finish("length", usage)
    read, decoder = read_back("openai-responses", told)
    assert held(read) == held(deltas)
    assert (decoder.end, decoder.finish_reason, decoder.usage) == (
        "done",
        "max_output_tokens",
        usage,
    )

    message = MessageEncoder(id="msg_1", model="m")
    told = message.start(7) + message.events(before) + message.keep_alive()
    told += message.events(behind) + message.finish("length", usage)
    read, decoder = read_back("anthropic", told)
    assert held(read) == held(deltas, refusal="text")
    assert (decoder.end, decoder.finish_reason, decoder.usage) == ("done", "max_tokens", usage)


# -- log probabilities -----------------------------------------------------------------------------

FIGURES = st.floats(-50, 0)
TOP = st.dictionaries(TEXTS.map(readable), FIGURES, max_size=3)


@st.composite
def scored(draw: st.DrawFn) -> list[Delta]:
    """Texts, most of them with log probabilities of their tokens."""
    deltas = []
    for pieces in draw(st.lists(st.lists(TEXTS, max_size=3), max_size=5)):
        told = [
            {
                "token": piece,
                "logprob": draw(FIGURES),
                "top_logprobs": [{"token": t, "logprob": p} for t, p in draw(TOP).items()],
            }
            for piece in pieces
        ]
        logprobs = json.dumps({"content": told}) if told else None
        deltas.append(Delta("text", "".join(pieces) or "x", logprobs=logprobs))
    return deltas


def tokens_of(deltas: list[Delta]) -> list[Any]:
    """The tokens of all deltas; those of a refusal there are none of."""
    told = [json.loads(delta.logprobs) for delta in deltas if delta.logprobs is not None]
    assert all(each["refusal"] is None for each in told)
    return [token for each in told for token in each["content"]]


@given(scored(), st.integers(1, 50))
def test_log_probabilities_are_read_back_however_they_are_cut(
    deltas: list[Delta], size: int
) -> None:
    for delta in deltas:
        again = Delta(**delta._asdict())
        assert (again, hash(again)) == (delta, hash(delta))
    fields: Any = {"created": 0, "model": "m", "system_fingerprint": None}
    chunks = ChunkEncoder(id="chatcmpl-1", **fields)
    legacy = CompletionEncoder(id="cmpl-1", **fields)
    response = ResponseEncoder(id="resp_1", created_at=0, model="m")
    for dialect, told in (
        ("openai", chunks.events(deltas) + chunks.done()),
        ("openai", legacy.events(deltas) + legacy.done()),
        ("openai-responses", response.events(deltas) + response.finish()),
        ("openai-responses", response.whole(deltas)),
    ):
        decoder = DeltaDecoder(dialect)  # type: ignore[arg-type]
        reads = [told[at : at + size] for at in range(0, len(told), size)]
        read = [delta for data in reads for delta in decoder.feed_events(data)]
        read += decoder.close_events()
        assert "".join(delta.text for delta in read) == "".join(
            readable(delta.text) for delta in deltas
        )
        assert tokens_of(read) == tokens_of(deltas)


# -- straight from a decoder -----------------------------------------------------------------------


@given(answers(), scored(), sizes)
def test_a_relay_writes_what_the_deltas_would_and_counts_them(
    deltas: list[Delta], told: list[Delta], lengths: list[int]
) -> None:
    fields: Any = {"created": 0, "model": "m", "system_fingerprint": None}
    makers: tuple[Callable[[], AnyEncoder], ...] = (
        lambda: ChunkEncoder(id="chatcmpl-1", **fields),
        lambda: CompletionEncoder(id="cmpl-1", **fields),
        lambda: MessageEncoder(id="msg_1", model="m"),
        lambda: ResponseEncoder(id="resp_1", created_at=0, model="m"),
    )
    source = ChunkEncoder(id="chatcmpl-0", **fields)
    reply = source.role() + source.events(told + deltas) + source.finish("stop") + source.done()
    for make in makers:
        relaying, plain = make(), make()
        decoder, other = DeltaDecoder(), DeltaDecoder()
        decoder.collect()
        for data in cut(reply, lengths):
            read = other.feed_events(data)
            assert relaying.relay(decoder, data) == (
                plain.events(read),
                len(read),
                sum(len(delta.text) for delta in read),
            )
        assert (decoder.end, decoder.close_events()) == ("done", other.close_events())
