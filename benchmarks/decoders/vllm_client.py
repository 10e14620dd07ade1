"""The request function of vLLM's benchmark, `vllm bench serve`.

It tells the text of a request that did not fail.
"""

from __future__ import annotations

from itertools import dropwhile
from typing import TYPE_CHECKING

import aiohttp
from vllm.benchmarks.lib.endpoint_request_func import (
    RequestFuncInput,
    async_request_openai_chat_completions,
)

from decoders.at_hand import AtHand, RequestFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tailrace.conformance import Part

__all__ = ["text"]

ASKED = RequestFuncInput(
    prompt="What runs off below the mill?",
    api_url="http://127.0.0.1/v1/chat/completions",
    prompt_len=0,
    output_len=16,
    model="m",
)


async def text(
    chunks: Iterable[bytes], *, status: int = 200, content_type: str = "text/event-stream"
) -> AsyncIterator[Part]:
    """The text it reports, its counts, and its error."""
    async with aiohttp.ClientSession(connector=AtHand(chunks, status, content_type)) as session:
        told = await async_request_openai_chat_completions(ASKED, session)
    yield told.generated_text
    if told.output_tokens:
        yield "usage", told.prompt_len, told.output_tokens
    if not told.success:
        raise RequestFailedError(without_frames(told.error))


text.claims = ("head", "usage", "error_messages")  # type: ignore[attr-defined]


def without_frames(error: str) -> str:
    """An error without the frames of its traceback, which name the folders of one machine."""
    _, traceback, rest = error.rpartition("Traceback (most recent call last):\n")
    if not traceback:
        return rest
    return "\n".join(dropwhile(lambda line: line.startswith(" "), rest.splitlines()))
