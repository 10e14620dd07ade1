"""guidellm's backend for OpenAI's API, whose client's transport is a reply at hand.

It tells the text of a request that did not fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from guidellm.backends.openai import OpenAIHTTPBackend
from guidellm.schemas import GenerationRequest, RequestInfo
from guidellm.schemas.backends import OpenAIHTTPBackendArgs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from guidellm.schemas import GenerationResponse

    from tailrace.conformance import Part

__all__ = ["text"]

ARGUMENTS = OpenAIHTTPBackendArgs(target="http://127.0.0.1", model="m")


class Body(httpx.AsyncByteStream):
    """The reads, as httpx wants them."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = list(chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


class AtHand(httpx.AsyncBaseTransport):
    """Answers a request with one reply."""

    def __init__(self, chunks: Iterable[bytes], status: int, content_type: str) -> None:
        self._response = httpx.Response(
            status, headers={"Content-Type": content_type}, stream=Body(chunks)
        )

    async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
        """The reply."""
        return self._response


class Backend(OpenAIHTTPBackend):  # type: ignore[misc]  # it is not where types are checked
    """Its backend, whose own start makes a client that connects, and takes no transport."""

    def __init__(self, transport: AtHand) -> None:
        super().__init__(ARGUMENTS)
        self._transport = transport

    async def process_startup(self) -> None:
        """Begin, with a client over the reply."""
        self._async_client = httpx.AsyncClient(transport=self._transport)
        self._in_process = True


async def text(
    chunks: Iterable[bytes], *, status: int = 200, content_type: str = "text/event-stream"
) -> AsyncIterator[Part]:
    """What its last response holds."""
    backend = Backend(AtHand(chunks, status, content_type))
    request = GenerationRequest(columns={"text_column": ["What runs off below the mill?"]})
    await backend.process_startup()
    try:
        async for response, _ in backend.resolve(request, RequestInfo()):
            if response is not None:
                for part in parts(response):
                    yield part
    finally:
        await backend.process_shutdown()


def parts(response: GenerationResponse) -> Iterator[Part]:
    """The response as the kit wants it."""
    yield response.text or ""
    yield "reasoning", response.reasoning_text or ""
    for call in response.tool_calls or ():
        yield "tool_call", call.id, call.function.name, call.function.arguments
    prompt, answer = response.input_metrics.text_tokens, response.output_metrics.text_tokens
    if prompt is not None and answer is not None:
        yield "usage", prompt, answer


text.claims = ("head", "reasoning", "tool_calls", "usage", "error_messages")  # type: ignore[attr-defined]
