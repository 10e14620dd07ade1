"""langchain-openai's chat model, streamed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from langchain_openai import ChatOpenAI

from decoders.openai_client import HTTP, TRANSPORT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_core.messages import AIMessageChunk

    from tailrace.conformance import Part

__all__ = ["text"]

MODEL = ChatOpenAI(
    model="gpt-4o",
    api_key="none",
    base_url="http://127.0.0.1/v1",
    http_client=HTTP,
    max_retries=0,
    stream_usage=True,
)


def text(
    chunks: Iterable[bytes], *, status: int = 200, content_type: str = "text/event-stream"
) -> Iterator[Part]:
    """The text of its chunks, and what their sum holds beside it."""
    TRANSPORT.answer(chunks, status, content_type)
    whole: AIMessageChunk | None = None
    for chunk in MODEL.stream("What runs off below the mill?"):
        yield str(chunk.text)
        whole = chunk if whole is None else whole + chunk
    if whole is not None:
        yield from beside(whole)


def beside(whole: AIMessageChunk) -> Iterator[Part]:
    """What is no text."""
    for call in whole.tool_calls:
        yield "tool_call", call["id"], call["name"], json.dumps(call["args"])
    for call in whole.invalid_tool_calls:
        yield "tool_call", call["id"], call["name"], call["args"] or ""
    if (usage := whole.usage_metadata) is not None:
        yield "usage", usage["input_tokens"], usage["output_tokens"]
    if (reason := whole.response_metadata.get("finish_reason")) is not None:
        yield "finish_reason", reason


text.claims = ("head", "tool_calls", "usage", "finish_reason", "error_messages")  # type: ignore[attr-defined]
