"""Chats, whole or a line a token, as Ollama's server writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._sites.models.logprobs import token_logprob, token_logprobs
from tailrace.replica._sites.models.ollama.requests import (
    ESCAPED,
    TOKEN_NANOSECONDS,
    error,
    whole,
)
from tailrace.replica._sites.models.site import as_stream, escaped, json_line
from tailrace.replica._sites.outcomes import CHUNKS_BEFORE_FAILURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace.replica._sites.models.behaviors import ModelBehavior
    from tailrace.replica._sites.models.ollama.requests import ChatRequest
    from tailrace.replica._sites.models.replies import ModelReply

Record = dict[str, Any]

NDJSON = "application/x-ndjson"
FAILURE_MESSAGE = "an error was encountered while running the model: unexpected EOF"


def as_chat(request: ChatRequest, reply: ModelReply, behavior: ModelBehavior) -> SiteResponse:
    """Return the response to a request for a chat."""
    writer = _Writer(request, reply)
    if not request.streams:
        if behavior.end == "stall":
            return NO_RESPONSE
        return whole(200, writer.whole()) if behavior.is_whole else error(500, FAILURE_MESSAGE)
    lines = [_line(writer.record(each)) for each in writer.messages()]
    last = _line(writer.record({"role": "assistant", "content": ""}, is_last=True))
    begun = lines[:CHUNKS_BEFORE_FAILURE]
    match behavior.end:
        case "midfail":
            lines = [*begun, _line({"error": FAILURE_MESSAGE})]
        case "cut":
            lines = [*begun, last[: len(last) // 2]]
        case "stall":
            return as_stream(begun, "stall", content_type=NDJSON)
        case "done":
            lines = [*lines, last]
    return as_stream(lines, content_type=NDJSON)


def loaded(request: ChatRequest, created: float) -> SiteResponse:
    """Return the response to a request without messages: the model is there, or it is gone."""
    record = {
        "model": request.name,
        "created_at": rfc3339(created),
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "unload" if request.unloads else "load",
    }
    if not request.streams:
        return whole(200, record)
    return as_stream([_line(record)], content_type=NDJSON)


def _line(record: Record) -> bytes:
    return escaped(json_line(record), ESCAPED)


def rfc3339(seconds: float) -> str:
    """Write a time as Ollama does."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


class _Writer:
    def __init__(self, request: ChatRequest, reply: ModelReply) -> None:
        self._request = request
        self._reply = reply

    def whole(self) -> Record:
        """Return the whole chat."""
        reply = self._reply
        message: Record = {"role": "assistant", "content": "".join(reply.text)}
        if reply.reasoning:
            message["thinking"] = "".join(reply.reasoning)
        if calls := list(self._calls()):
            message["tool_calls"] = calls
        record = self.record(message, is_last=True)
        if self._request.logprobs is not None:
            record["logprobs"] = token_logprobs(reply.text, self._request.logprobs)
        return record

    def messages(self) -> Iterator[Record]:
        """Yield the messages of a stream but the last: a token each, or a whole call."""
        reply, said = self._reply, {"role": "assistant", "content": ""}
        yield from ({**said, "thinking": token} for token in reply.reasoning)
        yield from ({**said, "content": token} for token in reply.text)
        yield from ({**said, "tool_calls": [call]} for call in self._calls())

    def _calls(self) -> Iterator[Record]:
        for number, call in enumerate(self._reply.calls):
            if call.is_whole:
                function = {"index": number, "name": call.name, "arguments": call.arguments}
                yield {"id": self._reply.identifier("call_", 8, number), "function": function}

    def record(self, message: Record, *, is_last: bool = False) -> Record:
        """Return the record of a line; the last tells why the chat ended, and counts."""
        reply = self._reply
        record: Record = {
            "model": self._request.name,
            "created_at": rfc3339(reply.created),
            "message": message,
            "done": is_last,
        }
        top = self._request.logprobs
        if top is not None and message["content"] and not is_last:
            record["logprobs"] = [token_logprob(message["content"], top)]
        if not is_last:
            return record
        asked, answered = reply.prompt_tokens, reply.completion_tokens
        return {
            **record,
            "done_reason": "length" if reply.end == "length" else "stop",
            "total_duration": (asked + answered) * TOKEN_NANOSECONDS,
            "load_duration": 1_000_000,
            "prompt_eval_count": asked,
            "prompt_eval_duration": asked * TOKEN_NANOSECONDS,
            "eval_count": answered,
            "eval_duration": answered * TOKEN_NANOSECONDS,
        }
