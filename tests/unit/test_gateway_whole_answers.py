"""Whole answers of OpenAI's wires, from deltas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace import Delta, Usage
from tailrace.gateway._wires.chat import ChatWire
from tailrace.gateway._wires.completions import CompletionWire
from tailrace.gateway._wires.request import ModelRequest
from tailrace.gateway._wires.wire import Ending, Identity

IDENTITY = Identity("chatcmpl-1", 0, "m", "fp_1")
REQUEST = ModelRequest(model="m", messages=[])


@pytest.mark.parametrize("wire", [ChatWire(), CompletionWire()], ids=["chat", "legacy"])
@pytest.mark.parametrize(
    ("reason", "given", "told"),
    [
        ("tool_calls", "", "{}"),
        ("STOP", " ", "{}"),
        (None, "", "{}"),
        ("length", "", ""),
        ("end_turn", '{"at": 1}', '{"at": 1}'),
    ],
)
def test_the_arguments_of_a_call_are_json_unless_the_answer_was_cut(
    wire: Any, reason: str | None, given: str, told: str
) -> None:
    """As those of a stream are."""
    deltas = [Delta("tool_call", given, index=0, id="c", name="tide")]
    encoder = wire.encoder(REQUEST, IDENTITY)
    whole = encoder.whole(deltas, Ending(reason, Usage(1, 1), estimated=True))
    choice = json.loads(whole)["choices"][0]
    (call,) = choice.get("message", choice)["tool_calls"]
    assert call["function"] == {"name": "tide", "arguments": told}
    streamed = encoder.events(deltas) + encoder.finish(Ending(reason, Usage(1, 1), estimated=True))
    assert (b'"arguments":"{}"' in streamed) is (told == "{}")
