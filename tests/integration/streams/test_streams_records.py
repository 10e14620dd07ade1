"""`stream_deltas(…, records=True)`: everything a reply adds, in its order, with asyncio and
without.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, assert_type

import openai
import pytest
from reply_server import DONE, delta, serving

from tailrace import Delta, DeltaStream, RecordStream, stream_deltas
from tailrace.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Sequence


def chunk(**delta: Any) -> bytes:
    return (
        b"data: %b\n\n"
        % json.dumps({"id": "c-1", "choices": [{"index": 0, "delta": delta}]}).encode()
    )


def call(index: int, arguments: str, **head: Any) -> dict[str, Any]:
    name = {"name": head.pop("name")} if "name" in head else {}
    return {"index": index, **head, "function": {**name, "arguments": arguments}}


ASKED: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "Weather?"}],
    "stream": True,
}
TOOLS = [
    chunk(role="assistant", content=None, reasoning_content="Hm."),
    chunk(content="Looking"),
    chunk(tool_calls=[call(0, "", id="call-a", type="function", name="weather")]),
    chunk(tool_calls=[call(0, '{"town":')]),
    chunk(
        tool_calls=[call(0, ' "Ulm"}'), call(1, "{}", id="call-b", type="function", name="time")]
    ),
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n',
    DONE,
]
SEEN = [
    ("reasoning", "Hm.", None, None, None),
    ("text", "Looking", None, None, None),
    ("tool_call", "", 0, "call-a", "weather"),
    ("tool_call", '{"town":', 0, None, None),
    ("tool_call", ' "Ulm"}', 0, None, None),
    ("tool_call", "{}", 1, "call-b", "time"),
]


def shown(records: Sequence[Delta]) -> list[tuple[Any, ...]]:
    return [(each.kind, each.text, each.index, each.id, each.name) for each in records]


def test_records_come_in_their_order() -> None:
    with stream_deltas(TOOLS, records=True) as records:
        assert_type(records, RecordStream)
        assert shown(list(records)) == SEEN
    assert (records.end, records.finish_reason, records.ids) == (
        "done",
        "tool_calls",
        {"id": "c-1"},
    )


async def test_records_come_in_their_order_with_asyncio() -> None:
    async with stream_deltas(iter(TOOLS), records=True) as records:
        assert shown([each async for each in records]) == SEEN
    assert repr(records) == "<RecordStream done>"


def test_text_alone_is_what_records_call_text() -> None:
    with stream_deltas(TOOLS) as deltas:
        assert_type(deltas, DeltaStream)
        assert list(deltas) == ["Looking"]


@pytest.mark.parametrize("end", [b"", b"data: {", b'data: {"error":{"message":"no"}}\n\n'])
def test_records_before_a_failure_are_delivered(end: bytes) -> None:
    with stream_deltas([b"".join(TOOLS[:4]) + end], records=True) as records:
        assert shown([next(records) for _ in range(4)]) == SEEN[:4]
        with pytest.raises(StreamError):
            next(records)


async def test_records_are_seen_before_the_next_are_sent() -> None:
    async with serving(delta("a"), TOOLS[2], DONE, held=True) as server:
        with openai.OpenAI(base_url=server.url, api_key="any", max_retries=0) as client:
            request = client.chat.completions.with_streaming_response.create(**ASKED)

            def read() -> list[str]:
                kinds: list[str] = []
                with request as response, stream_deltas(response, records=True) as records:
                    for each in records:
                        kinds.append(each.kind)
                        server.go_on()
                return kinds

            assert await asyncio.to_thread(read) == ["text", "tool_call"]


async def test_tool_calls_are_those_the_openai_package_gives() -> None:
    async with (
        serving(*TOOLS) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="any", max_retries=0) as client,
    ):
        completions = client.chat.completions
        theirs = [
            ("tool_call", each.function.arguments, each.index, each.id, each.function.name)
            async for one in await completions.create(**ASKED)
            for each in one.choices[0].delta.tool_calls or ()
            if each.function is not None
        ]
        request = completions.with_streaming_response.create(**ASKED)
        async with request as response, stream_deltas(response, records=True) as records:
            ours = shown([each async for each in records])
    assert [each for each in ours if each[0] == "tool_call"] == theirs
