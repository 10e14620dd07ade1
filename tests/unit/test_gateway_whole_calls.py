"""Calls of a whole answer: put together as in a stream, with the same ids where there are none."""

from __future__ import annotations

import json

import pytest

from tailrace import ChunkEncoder, Delta
from tailrace.gateway._wires.chunked import whole_calls


def piece(
    text: str,
    index: int | None,
    id: str | None = None,  # noqa: A002 - as a delta has it
    name: str | None = None,
) -> Delta:
    return Delta("tool_call", text, index=index, id=id, name=name)


ANSWERS = [
    [Delta("text", "no call")],
    [piece("{}", 0, id="a", name="tide")],
    [piece("", 3, id="a", name="tide"), piece('{"at":', 3), piece("1}", 3)],
    [
        piece('{"a":', 0, name="tide"),
        piece('{"b":', 1, name="moon"),
        piece("1}", 0),
        piece("2}", 1),
    ],
    [piece("{}", 0, name="tide"), piece("{}", 1, id="b", name="tide"), piece("{}", 2, name="x")],
    [piece("{}", None, name="tide")],
    [piece("{}", 0, id="a", name="tide"), piece("{}", 1, id="a", name="moon")],
    [piece("", 0, id="a", name="x"), piece("", 1, id="a", name="y"), piece("{}", 0, id="a")],
    [piece("", 0, id="a", name="tide"), piece("", 1, id="b", name="moon"), piece("{}", 1)],
]


@pytest.mark.parametrize("deltas", ANSWERS)
@pytest.mark.parametrize("answer_id", ["chatcmpl-12ab", "cmpl-1_2-3", "resp_1-2", "plain"])
def test_a_whole_answer_has_the_calls_of_its_stream(deltas: list[Delta], answer_id: str) -> None:
    encoder = ChunkEncoder(id=answer_id, created=1, model="m", system_fingerprint=None)
    streamed: list[dict[str, str]] = []
    events = encoder.events(deltas) + encoder.finish("stop")
    for event in events.decode().split("\n\n")[:-1]:
        delta = json.loads(event.removeprefix("data: "))["choices"][0]["delta"]
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                streamed.append({"id": call["id"], "name": "", "arguments": ""})
            for name, text in call["function"].items():
                streamed[call["index"]][name] += text
    whole = whole_calls(deltas, answer_id, "stop")
    assert streamed == [
        {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
        for call in whole
    ]
