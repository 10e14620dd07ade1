"""Responses, whole or as events, as OpenAI's servers write them.

Reasoning is told as a summary where the request wants one; else in full, as servers of open models
tell it.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._sites.models.logprobs import token_logprob, token_logprobs
from tailrace.replica._sites.models.openai.chat_replies import call_id
from tailrace.replica._sites.models.openai.errors import error
from tailrace.replica._sites.models.site import FAILURE_MESSAGE, as_json, as_stream, named_event
from tailrace.replica._sites.outcomes import CHUNKS_BEFORE_FAILURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tailrace.replica._sites.models.behaviors import ModelBehavior
    from tailrace.replica._sites.models.openai.response_requests import ResponseRequest
    from tailrace.replica._sites.models.replies import FunctionCall, ModelReply

Record = dict[str, Any]


def as_response(
    request: ResponseRequest, reply: ModelReply, behavior: ModelBehavior
) -> SiteResponse:
    """Return the response to a request for a response."""
    writer = _Writer(request, reply)
    if request.meant.streams:
        return _stream(writer, behavior)
    if behavior.end == "stall":
        return NO_RESPONSE
    if not behavior.is_whole:
        return error(500, FAILURE_MESSAGE, type_="server_error")
    return as_json(200, writer.response(writer.status, writer.items()))


def _stream(writer: _Writer, behavior: ModelBehavior) -> SiteResponse:
    opening, contents = list(writer.opening()), list(writer.contents())
    closing = writer.closing()
    begun = [*opening, *contents[: CHUNKS_BEFORE_FAILURE + 2]]  # two begin the message
    match behavior.end:
        case "midfail":
            return as_stream(_numbered([*begun, *writer.failed()]))
        case "stall":
            return as_stream(_numbered(begun), "stall")
        case "nodone":
            return as_stream(_numbered([*opening, *contents]))
    events = _numbered([*opening, *contents, closing])
    if behavior.end == "cut":
        cut = len(begun)
        return as_stream([*events[:cut], events[-1][: len(events[-1]) // 2]])
    if behavior.keep_alives:
        events = [b": still thinking\n\n" + event for event in events]
    return as_stream(events)


def _numbered(events: Iterable[Record]) -> list[bytes]:
    return [
        named_event(event["type"], {**event, "sequence_number": number})
        for number, event in enumerate(events)
    ]


class _Writer:
    """A writer of the events and objects of one response; the events have no numbers yet."""

    def __init__(self, request: ResponseRequest, reply: ModelReply) -> None:
        self._request = request
        self._reply = reply

    @property
    def status(self) -> str:
        """The status of the response once it has ended."""
        return "incomplete" if self._reply.end in ("length", "filter") else "completed"

    # -- the whole ---------------------------------------------------------------------------------

    def response(self, status: str, items: list[Record]) -> Record:
        """Return the response with `items`; most of its fields repeat the request's."""
        body, is_over = self._request.body, status not in ("in_progress", "failed")
        reasons = {"length": "max_output_tokens", "filter": "content_filter"}
        defaults = {"effort": None, "summary": None}
        return {
            "id": self._reply.identifier("resp_", 48),
            "object": "response",
            "created_at": int(self._reply.created),
            "status": status,
            "background": False,
            "completed_at": int(self._reply.created) if status == "completed" else None,
            "error": None,
            "incomplete_details": (
                {"reason": reasons[self._reply.end]} if status == "incomplete" else None
            ),
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "max_tool_calls": body.get("max_tool_calls"),
            "model": self._request.meant.model,
            "output": items,
            "parallel_tool_calls": self._request.meant.parallel,
            "previous_response_id": None,
            "reasoning": {**defaults, **(body.get("reasoning") or {})},
            "safety_identifier": body.get("safety_identifier"),
            "service_tier": "default" if is_over else "auto",
            "store": False,
            "temperature": body.get("temperature", 1.0),
            "text": {"format": {"type": "text"}, **(body.get("text") or {})},
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": body.get("tools") or [],
            "top_logprobs": body.get("top_logprobs") or 0,
            "top_p": body.get("top_p", 1.0),
            "truncation": body.get("truncation") or "disabled",
            "usage": self._usage() if is_over else None,
            "user": body.get("user"),
            "metadata": body.get("metadata") or {},
        }

    def _usage(self) -> Record:
        reply = self._reply
        return {
            "input_tokens": reply.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": reply.cached_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": reply.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": len(reply.reasoning)},
            "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        }

    def items(self) -> list[Record]:
        """Return the items of the output: reasoning, a message, calls."""
        reply = self._reply
        items = [self._reasoning()] if reply.reasoning else []
        if self._has_message:
            items.append(self._message())
        return [*items, *(self._call(*each) for each in enumerate(reply.calls))]

    @property
    def _has_message(self) -> bool:
        reply = self._reply
        is_only_thought = bool(reply.reasoning) and reply.end == "length"
        return bool(reply.text or reply.refusal) or not (reply.calls or is_only_thought)

    def _reasoning(self) -> Record:
        text = "".join(self._reply.reasoning)
        summarizes = self._request.summarizes
        item: Record = {
            "id": self._reply.identifier("rs_", 48),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text}] if summarizes else [],
        }
        if not summarizes:
            item["content"] = [{"type": "reasoning_text", "text": text}]
        if self._request.encrypts:
            item["encrypted_content"] = base64.b64encode(text.encode("utf-8", "replace")).decode()
        return item

    def _message(self) -> Record:
        return {
            "id": self._reply.identifier("msg_", 48),
            "type": "message",
            "status": self.status,
            "content": [self._part(is_begun=False)],
            "role": "assistant",
        }

    def _part(self, *, is_begun: bool) -> Record:
        """Return the part of the message: a refusal or text, empty where it has only begun."""
        reply = self._reply
        if reply.refusal:
            return {"type": "refusal", "refusal": "" if is_begun else "".join(reply.refusal)}
        top = self._request.top_logprobs
        return {
            "type": "output_text",
            "annotations": [],
            "logprobs": [] if is_begun or top is None else token_logprobs(reply.text, top),
            "text": "" if is_begun else "".join(reply.text),
        }

    def _call(self, number: int, call: FunctionCall) -> Record:
        return {
            "id": self._reply.identifier("fc_", 48, number),
            "type": "function_call",
            "status": "completed" if call.is_whole else "incomplete",
            "arguments": call.text,
            "call_id": call_id(self._reply, number),
            "name": call.name,
        }

    # -- the events --------------------------------------------------------------------------------

    def opening(self) -> Iterator[Record]:
        """Yield the events before the first item."""
        for name in ("created", "in_progress"):
            yield {"type": f"response.{name}", "response": self.response("in_progress", [])}

    def closing(self) -> Record:
        """Return the event that ends the response."""
        response = self.response(self.status, self.items())
        return {"type": f"response.{self.status}", "response": response}

    def failed(self) -> Iterator[Record]:
        """Yield the events of a response that fails: the error, in the form that is really sent."""
        failure = {"code": "server_error", "message": FAILURE_MESSAGE}
        yield {"type": "error", "error": {"type": "server_error", **failure, "param": None}}
        response = {**self.response("failed", []), "error": failure}
        yield {"type": "response.failed", "response": response}

    def contents(self) -> Iterator[Record]:
        """Yield the events of all items."""
        for index, item in enumerate(self.items()):
            match item["type"]:
                case "reasoning":
                    begun = {**item, "summary": []}
                    events = self._reasoning_events(item["id"])
                case "message":
                    begun = {**item, "status": "in_progress", "content": []}
                    events = self._message_events(item["id"])
                case _:
                    begun = {**item, "status": "in_progress", "arguments": ""}
                    events = self._call_events(item)
            begun.pop("encrypted_content", None)
            if item["type"] == "reasoning" and "content" in begun:
                begun["content"] = []
            yield {"type": "response.output_item.added", "output_index": index, "item": begun}
            for event in events:
                yield {**event, "output_index": index}
            yield {"type": "response.output_item.done", "output_index": index, "item": item}

    def _reasoning_events(self, item_id: str) -> Iterator[Record]:
        tokens = self._reply.reasoning
        if self._request.summarizes:
            yield from _part_events(
                "response.reasoning_summary_text",
                tokens,
                {"item_id": item_id, "summary_index": 0},
                ("response.reasoning_summary_part", {"type": "summary_text", "text": ""}),
            )
        else:
            yield from _part_events(
                "response.reasoning_text",
                tokens,
                {"item_id": item_id, "content_index": 0},
                ("response.content_part", {"type": "reasoning_text", "text": ""}),
            )

    def _message_events(self, item_id: str) -> Iterator[Record]:
        reply, place = self._reply, {"item_id": item_id, "content_index": 0}
        part = {**place, "type": "response.content_part.added", "part": self._part(is_begun=True)}
        yield part
        for token in reply.refusal:
            yield {**place, "type": "response.refusal.delta", "delta": token}
        if reply.refusal:
            text = "".join(reply.refusal)
            yield {**place, "type": "response.refusal.done", "refusal": text}
        else:
            yield from self._text_events(place)
        part = {**place, "type": "response.content_part.done", "part": self._part(is_begun=False)}
        yield part

    def _text_events(self, place: Mapping[str, Any]) -> Iterator[Record]:
        top, tokens = self._request.top_logprobs, self._reply.text
        for token in tokens:
            logprobs = [] if top is None else [token_logprob(token, top)]
            delta = {"type": "response.output_text.delta", "delta": token, "logprobs": logprobs}
            yield {**place, **delta}
        logprobs = [] if top is None else token_logprobs(tokens, top)
        done = {"type": "response.output_text.done", "text": "".join(tokens), "logprobs": logprobs}
        yield {**place, **done}

    def _call_events(self, item: Mapping[str, Any]) -> Iterator[Record]:
        place = {"item_id": item["id"]}
        number = [self._reply.identifier("fc_", 48, at) for at in range(len(self._reply.calls))]
        call = self._reply.calls[number.index(item["id"])]
        name = "response.function_call_arguments"
        for piece in call.pieces:
            yield {**place, "type": f"{name}.delta", "delta": piece}
        if call.is_whole:
            yield {**place, "type": f"{name}.done", "arguments": call.text, "name": call.name}


def _part_events(
    name: str, tokens: Iterable[str], place: Mapping[str, Any], part: tuple[str, Record]
) -> Iterator[Record]:
    """Yield the events of a part of reasoning; `part`: its events' name, and itself, empty."""
    tokens = tuple(tokens)
    text = "".join(tokens)
    yield {**place, "type": f"{part[0]}.added", "part": part[1]}
    for token in tokens:
        yield {**place, "type": f"{name}.delta", "delta": token}
    yield {**place, "type": f"{name}.done", "text": text}
    yield {**place, "type": f"{part[0]}.done", "part": {**part[1], "text": text}}
