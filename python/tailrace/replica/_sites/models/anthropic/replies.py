"""Messages, whole or as events, as Anthropic's server writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._sites.models.anthropic.blocks import signature_of
from tailrace.replica._sites.models.anthropic.errors import REQUEST_ID, error, error_object
from tailrace.replica._sites.models.site import FAILURE_MESSAGE, as_json, as_stream, named_event
from tailrace.replica._sites.outcomes import CHUNKS_BEFORE_FAILURE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tailrace.replica._sites.models.anthropic.requests import MessageRequest
    from tailrace.replica._sites.models.behaviors import ModelBehavior
    from tailrace.replica._sites.models.replies import ModelReply

Record = dict[str, Any]

HEADERS = (("request-id", REQUEST_ID),)

_OVERLOADED = 529
_PING = named_event("ping", {"type": "ping"})
_EXPLANATION = "The request could not be answered under the usage policy."


def as_message(request: MessageRequest, reply: ModelReply, behavior: ModelBehavior) -> SiteResponse:
    """Return the response to a request for a message."""
    writer = _Writer(request, reply)
    if request.meant.streams:
        return _stream(writer, behavior)
    if behavior.end == "stall":
        return NO_RESPONSE
    if not behavior.is_whole:
        return error(500, FAILURE_MESSAGE)
    return as_json(200, writer.whole(), HEADERS)


def _stream(writer: _Writer, behavior: ModelBehavior) -> SiteResponse:
    opening, contents = writer.opening(), list(writer.contents())
    closing = [*writer.closing(), named_event("message_stop", {"type": "message_stop"})]
    # The one ping that every stream has comes behind the start of its first block.
    begun = [opening, *contents[:1], _PING, *contents[1 : 1 + CHUNKS_BEFORE_FAILURE]]
    match behavior.end:
        case "midfail":
            failed = named_event("error", error_object(_OVERLOADED, "Overloaded"))
            return _as_stream([*begun, failed])
        case "cut":
            return _as_stream([*begun, closing[0][: len(closing[0]) // 2]])
        case "stall":
            return as_stream(begun, "stall", headers=HEADERS)
    if behavior.keep_alives:
        contents = [_PING + event for event in contents]
    events = [opening, *contents[:1], _PING, *contents[1:], *closing]
    return _as_stream(events if behavior.end == "done" else events[:-1])


def _as_stream(events: Sequence[bytes]) -> SiteResponse:
    return as_stream(events, headers=HEADERS)


class _Writer:
    def __init__(self, request: MessageRequest, reply: ModelReply) -> None:
        self._request = request
        self._reply = reply

    # -- whole -------------------------------------------------------------------------------------

    def whole(self) -> Record:
        """Return the whole message."""
        return {
            **self._message(list(self._blocks())),
            **self._stopping(),
            "usage": self._usage(self._reply.completion_tokens),
        }

    def _message(self, content: list[Record]) -> Record:
        return {
            "id": self._reply.identifier("msg_01", 22),
            "type": "message",
            "role": "assistant",
            "model": self._request.meant.model,
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
        }

    def _stopping(self) -> Record:
        reply = self._reply
        reasons = {
            "length": "max_tokens",
            "calls": "tool_use",
            "filter": "refusal",
            "refusal": "refusal",
        }
        reason = "stop_sequence" if reply.stop is not None else reasons.get(reply.end, "end_turn")
        stopping: Record = {"stop_reason": reason, "stop_sequence": reply.stop}
        if reason == "refusal":
            details = {"type": "refusal", "category": None, "explanation": _EXPLANATION}
            stopping["stop_details"] = details
        return stopping

    def _usage(self, output_tokens: int) -> Record:
        reply = self._reply
        cached = reply.cached_tokens if self._request.caches else 0
        return {
            "input_tokens": reply.prompt_tokens - cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached,
            "output_tokens": output_tokens,
            "service_tier": "standard",
        }

    def _blocks(self) -> Iterator[Record]:
        """Yield the blocks of the whole message; calls whose arguments were cut are left out."""
        reply = self._reply
        if reply.reasoning:
            thinking = "".join(reply.reasoning)
            shown = thinking if self._request.shows_thoughts else ""
            yield {"type": "thinking", "thinking": shown, "signature": signature_of(thinking)}
        if reply.text:
            yield {"type": "text", "text": "".join(reply.text)}
        for number, call in enumerate(reply.calls):
            if call.is_whole:
                yield self._call(number, call.arguments)

    def _call(self, number: int, arguments: object) -> Record:
        return {
            "type": "tool_use",
            "id": self._reply.identifier("toolu_01", 22, number),
            "name": self._reply.calls[number].name,
            "input": arguments,
        }

    # -- events ------------------------------------------------------------------------------------

    def opening(self) -> bytes:
        """Return the event that begins the message."""
        usage = self._usage(1)
        return _event({"type": "message_start", "message": {**self._message([]), "usage": usage}})

    def contents(self) -> Iterator[bytes]:
        """Yield the events of all blocks."""
        for index, (begun, deltas) in enumerate(self._parts()):
            yield _event({"type": "content_block_start", "index": index, "content_block": begun})
            for delta in deltas:
                yield _event({"type": "content_block_delta", "index": index, "delta": delta})
            yield _event({"type": "content_block_stop", "index": index})

    def _parts(self) -> Iterator[tuple[Record, list[Record]]]:
        """Yield each block as it begins, and its deltas."""
        reply = self._reply
        if reply.reasoning:
            shown = reply.reasoning if self._request.shows_thoughts else ()
            deltas = [{"type": "thinking_delta", "thinking": token} for token in shown]
            signature = signature_of("".join(reply.reasoning))
            deltas.append({"type": "signature_delta", "signature": signature})
            yield {"type": "thinking", "thinking": "", "signature": ""}, deltas
        if reply.text:
            deltas = [{"type": "text_delta", "text": token} for token in reply.text]
            yield {"type": "text", "text": ""}, deltas
        for number, call in enumerate(reply.calls):
            pieces = ("", *call.pieces)
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            yield self._call(number, {}), deltas

    def closing(self) -> list[bytes]:
        """Return the event that tells why the message ended."""
        usage = self._usage(self._reply.completion_tokens)
        del usage["service_tier"]
        return [_event({"type": "message_delta", "delta": self._stopping(), "usage": usage})]


def _event(record: Mapping[str, Any]) -> bytes:
    return named_event(record["type"], record)
