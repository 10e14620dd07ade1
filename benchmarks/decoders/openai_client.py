"""The openai package: its decoder of events alone, and a streamed completion of its client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
from openai import OpenAI
from openai._streaming import SSEDecoder  # it has no public name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openai.types.chat import ChatCompletionMessageParam

    from tailrace.conformance import Part

__all__ = ["CLIENT", "HTTP", "MESSAGES", "TRANSPORT", "events", "text"]


class Body(httpx2.SyncByteStream):
    """The reads, as httpx2 wants them."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = list(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)


class AtHand(httpx2.BaseTransport):
    """Answers every request with the reply it was given last."""

    def answer(self, chunks: Iterable[bytes], status: int, content_type: str) -> None:
        """Take the reply to the next request."""
        self._reply = status, {"Content-Type": content_type}, Body(chunks)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The reply."""
        status, headers, body = self._reply
        return httpx2.Response(status, headers=headers, stream=body, request=request)


MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What runs off below the mill?"}
]
TRANSPORT = AtHand()
HTTP = httpx2.Client(transport=TRANSPORT)
CLIENT = OpenAI(api_key="none", base_url="http://127.0.0.1/v1", http_client=HTTP, max_retries=0)


def events(chunks: Iterable[bytes]) -> Iterator[tuple[str, str, str, int | None]]:
    """Its events; None is its word for the default."""
    for event in SSEDecoder().iter_bytes(iter(chunks)):
        yield event.event or "message", event.data, event.id or "", event.retry


def text(
    chunks: Iterable[bytes], *, status: int = 200, content_type: str = "text/event-stream"
) -> Iterator[Part]:
    """A streamed completion's text, counts and finish reason; its tool calls come in pieces."""
    TRANSPORT.answer(chunks, status, content_type)
    for chunk in CLIENT.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True):
        if chunk.choices:
            yield chunk.choices[0].delta.content or ""
            if (reason := chunk.choices[0].finish_reason) is not None:
                yield "finish_reason", reason
        if chunk.usage is not None:
            yield "usage", chunk.usage.prompt_tokens, chunk.usage.completion_tokens


events.claims = ("types", "ids", "retry")  # type: ignore[attr-defined]
text.claims = ("head", "usage", "finish_reason", "error_messages")  # type: ignore[attr-defined]
