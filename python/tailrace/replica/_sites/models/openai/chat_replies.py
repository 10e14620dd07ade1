"""Chat completions, whole or as chunks, as OpenAI's servers write them.

Reasoning stands in ``reasoning_content``, where compatible servers put it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._sites.models.logprobs import token_logprob, token_logprobs
from tailrace.replica._sites.models.openai.errors import error, error_object
from tailrace.replica._sites.models.site import FAILURE_MESSAGE, as_json, as_stream, data_line
from tailrace.replica._sites.outcomes import CHUNKS_BEFORE_FAILURE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tailrace.replica._sites.models.behaviors import ModelBehavior
    from tailrace.replica._sites.models.openai.chat_requests import ChatRequest
    from tailrace.replica._sites.models.replies import FunctionCall, ModelReply

DONE = b"data: [DONE]\n\n"


def usage(reply: ModelReply) -> dict[str, object]:
    """Return the counts of tokens, as chat completions and legacy completions tell them."""
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": len(reply.reasoning),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def finish_reason(reply: ModelReply) -> str:
    """Return why the completion ended: ``stop``, too, where the request named the function."""
    if reply.end == "calls":
        choice = reply.request.choice
        is_named = choice.mode == "required" and choice.names is not None
        return "stop" if is_named else "tool_calls"
    return {"length": "length", "filter": "content_filter"}.get(reply.end, "stop")


def call_id(reply: ModelReply, number: int) -> str:
    """Return the id of the call with that number."""
    return reply.identifier("call_", salt=number)


def as_completion(request: ChatRequest, reply: ModelReply, behavior: ModelBehavior) -> SiteResponse:
    """Return the response to a request for a chat completion."""
    writer = _Writer(request, reply)
    return writer.stream(behavior) if request.meant.streams else writer.whole(behavior)


class _Writer:
    def __init__(self, request: ChatRequest, reply: ModelReply) -> None:
        self._request = request
        self._reply = reply

    def _head(self, object_: str) -> dict[str, object]:
        """Return the fields that every record of this reply begins with."""
        return {
            "id": self._reply.identifier("chatcmpl-", 29),
            "object": object_,
            "created": int(self._reply.created),
            "model": self._request.meant.model,
            "service_tier": "default",
            "system_fingerprint": "fp_replica",
        }

    # -- whole -------------------------------------------------------------------------------------

    def whole(self, behavior: ModelBehavior) -> SiteResponse:
        if behavior.end == "stall":
            return NO_RESPONSE
        if not behavior.is_whole:
            return error(500, FAILURE_MESSAGE, type_="server_error")
        choice = {
            "index": 0,
            "message": self._message(),
            "logprobs": self._logprobs(self._reply.text),
            "finish_reason": finish_reason(self._reply),
        }
        completion = {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": usage(self._reply),
        }
        return as_json(200, completion)

    def _message(self) -> dict[str, Any]:
        reply = self._reply
        content = "".join(reply.text)
        has_text = bool(content) or not (reply.calls or reply.refusal)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": content if has_text else None,
            "refusal": "".join(reply.refusal) or None,
        }
        if reply.reasoning:
            message["reasoning_content"] = "".join(reply.reasoning)
        if reply.calls:
            message["tool_calls"] = [
                {
                    "id": call_id(reply, number),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.text},
                }
                for number, call in enumerate(reply.calls)
            ]
        return message

    def _logprobs(self, tokens: Sequence[str]) -> dict[str, object] | None:
        top = self._request.top_logprobs
        if top is None:
            return None
        return {"content": token_logprobs(tokens, top), "refusal": None}

    # -- as chunks ---------------------------------------------------------------------------------

    def stream(self, behavior: ModelBehavior) -> SiteResponse:
        opening = [self._chunk(self._opening())]
        contents = [self._chunk(delta) for delta in self._deltas()]
        if behavior.keep_alives:
            contents = [b": still thinking\n\n" + chunk for chunk in contents]
        closing = [self._chunk({}, finish_reason(self._reply))]
        if self._request.include_usage:
            head = self._head("chat.completion.chunk")
            closing.append(data_line({**head, "choices": [], "usage": usage(self._reply)}))
        begun = [*opening, *contents[:CHUNKS_BEFORE_FAILURE]]
        match behavior.end:
            case "midfail":
                failed = data_line(error_object(FAILURE_MESSAGE, type_="server_error"))
                return as_stream([*begun, failed])
            case "cut":
                return as_stream([*begun, closing[0][: len(closing[0]) // 2]])
            case "stall":
                return as_stream(begun, "stall")
            case "nodone":
                return as_stream([*opening, *contents, *closing])
            case "done":
                return as_stream([*opening, *contents, *closing, DONE])

    def _opening(self) -> dict[str, object]:
        reply = self._reply
        opening: dict[str, object] = {
            "role": "assistant",
            "content": None if reply.calls and not reply.text else "",
            "refusal": None,
        }
        if self._begins_with_call:
            opening["tool_calls"] = [self._begun(0, reply.calls[0])]
        return opening

    @property
    def _begins_with_call(self) -> bool:
        """Whether the reply is one call and nothing else: its name then comes at once."""
        reply = self._reply
        return len(reply.calls) == 1 and not (reply.reasoning or reply.text)

    def _deltas(self) -> Iterator[Mapping[str, object]]:
        reply = self._reply
        yield from ({"reasoning_content": token} for token in reply.reasoning)
        yield from ({"content": token} for token in reply.text)
        yield from ({"refusal": token} for token in reply.refusal)
        for number, call in enumerate(reply.calls):
            if not self._begins_with_call:
                yield {"tool_calls": [self._begun(number, call)]}
            for piece in call.pieces:
                yield {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}

    def _begun(self, number: int, call: FunctionCall) -> dict[str, object]:
        return {
            "index": number,
            "id": call_id(self._reply, number),
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }

    def _chunk(self, delta: Mapping[str, object], reason: str | None = None) -> bytes:
        top = self._request.top_logprobs
        content = delta.get("content")
        logprobs = (
            {"content": [token_logprob(content, top)], "refusal": None}
            if top is not None and isinstance(content, str) and content
            else None
        )
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        record = {**self._head("chat.completion.chunk"), "choices": [choice]}
        return data_line({**record, "usage": None} if self._request.include_usage else record)
