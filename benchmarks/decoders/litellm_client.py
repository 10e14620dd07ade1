"""litellm's streamed completion, over the openai client."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from contenders.litellm_client import litellm
from decoders.openai_client import CLIENT, MESSAGES, TRANSPORT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailrace.conformance import Part

__all__ = ["text"]

litellm.suppress_debug_info = True  # else each failure is also printed, and logged
logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)


def text(
    chunks: Iterable[bytes], *, status: int = 200, content_type: str = "text/event-stream"
) -> Iterator[Part]:
    """The content of its chunks, their reasoning and finish reason."""
    TRANSPORT.answer(chunks, status, content_type)
    for chunk in litellm.completion("openai/gpt-4o", MESSAGES, stream=True, client=CLIENT):
        if not chunk.choices:
            continue
        yield chunk.choices[0].delta.content or ""
        yield "reasoning", getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
        if (reason := chunk.choices[0].finish_reason) is not None:
            yield "finish_reason", reason


text.claims = ("head", "reasoning", "finish_reason", "error_messages")  # type: ignore[attr-defined]
