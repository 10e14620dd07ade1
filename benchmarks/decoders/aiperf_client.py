"""aiperf's client and chat endpoint, over a reply at hand.

A record with an error has no responses there, so it tells the text of a request that did not fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiperf.common.enums import ModelSelectionStrategy
from aiperf.common.models import (
    EndpointInfo,
    ModelEndpointInfo,
    ModelInfo,
    ModelListInfo,
    ParsedResponseRecord,
)
from aiperf.endpoints.openai_chat import ChatEndpoint
from aiperf.transports.aiohttp_client import AioHttpClient

from decoders.at_hand import AtHand, RequestFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from aiperf.common.models import ParsedResponse, RequestRecord, Turn

    from tailrace.conformance import Part

__all__ = ["text"]

MODELS = ModelListInfo(
    models=[ModelInfo(name="m")], model_selection_strategy=ModelSelectionStrategy.ROUND_ROBIN
)
ENDPOINT = ChatEndpoint(
    ModelEndpointInfo(models=MODELS, endpoint=EndpointInfo(type="chat", streaming=True))
)
URL = "http://127.0.0.1/v1/chat/completions"


async def text(
    chunks: Iterable[bytes], *, status: int = 200, content_type: str = "text/event-stream"
) -> AsyncIterator[Part]:
    """What a record's responses hold, and its error."""
    record = await asked(AtHand(chunks, status, content_type))
    record.create_error_from_invalid()
    fail(record)
    responses, turn = ENDPOINT.process_responses(record, capture_assistant_turn=True)
    parsed = ParsedResponseRecord(request=record, responses=responses)
    parsed.create_error_from_invalid()
    fail(record)
    for part in parts(responses, turn):
        yield part


async def asked(connector: AtHand) -> RequestRecord:
    """Its record of one request."""
    client = AioHttpClient()
    try:
        return await client.post_request(URL, b"{}", {}, connector=connector, connector_owner=True)
    finally:
        await client.close()


def fail(record: RequestRecord) -> None:
    """Raise where the record has an error."""
    if record.error is not None:
        raise RequestFailedError(record.error.message)


def parts(responses: list[ParsedResponse], turn: Turn | None) -> Iterator[Part]:
    """The responses as the kit wants them; tool calls as it would send them back."""
    for response in responses:
        data: Any = response.data
        yield getattr(data, "text", None) or getattr(data, "content", None) or ""
        yield "reasoning", getattr(data, "reasoning", None) or ""
        if response.usage is not None:
            yield "usage", response.usage.prompt_tokens, response.usage.completion_tokens
    for message in (turn and turn.raw_messages) or ():
        for call in message.get("tool_calls", ()):
            function = call["function"]
            yield "tool_call", call.get("id"), function.get("name"), function.get("arguments", "")


text.claims = ("head", "reasoning", "tool_calls", "usage", "error_messages")  # type: ignore[attr-defined]
