"""inference-perf's reading of a chat reply, over a response of aiohttp.

What it keeps are counts and times; the text is what it has its tokenizer count. It tells the text
of a request that did not fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
from inference_perf.apis.chat import ChatCompletionAPIData, ChatMessage
from inference_perf.config import APIConfig, APIType

from decoders.at_hand import AtHand, RequestFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tailrace.conformance import Part

__all__ = ["text"]

CONFIG = APIConfig(type=APIType.Chat, streaming=True)
URL = "http://127.0.0.1/v1/chat/completions"


class Counted:
    """A tokenizer that keeps what it is to count."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def count_tokens(self, text: str, **_: Any) -> int:
        """Keep the text; its characters are as good as tokens here."""
        self.texts.append(text)
        return len(text)


async def text(
    chunks: Iterable[bytes], *, status: int = 200, content_type: str = "text/event-stream"
) -> AsyncIterator[Part]:
    """The text it counts, and the counts that the server told."""
    tokenizer = Counted()
    asked = ChatCompletionAPIData(messages=[ChatMessage(role="user", content="?")])
    async with (
        aiohttp.ClientSession(connector=AtHand(chunks, status, content_type)) as session,
        session.post(URL, data=b"{}") as response,
    ):
        if response.status != 200:  # noqa: PLR2004 - its own client does the same
            raise RequestFailedError(await response.text())
        told = await asked.process_response(response, CONFIG, tokenizer)
    yield tokenizer.texts[-1]
    usage = told.response_metrics.server_usage or {}
    if {"prompt_tokens", "completion_tokens"} <= usage.keys():
        yield "usage", usage["prompt_tokens"], usage["completion_tokens"]


text.claims = ("head", "usage", "error_messages")  # type: ignore[attr-defined]
