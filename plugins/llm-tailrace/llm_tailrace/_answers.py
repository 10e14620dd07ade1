"""An answer of a site as the events that `llm` makes its parts of."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import llm
from llm.parts import StreamEvent

from llm_tailrace._messages import OWN
from tailrace import finish_reason_of
from tailrace._printable import visible_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm.models import _BaseResponse

    from llm_tailrace._apis import Api
    from tailrace import ChatStream, Delta, ToolCall, Usage

__all__ = ["Answer"]

log = logging.getLogger("llm_tailrace")


@dataclass(slots=True)
class _Call:
    """A tool call: its `id`, the number of its part, and whether its name came."""

    id: str
    part: int
    is_named: bool = False


@dataclass(slots=True)
class Answer:
    """An answer as it comes: a `tailrace.Delta` in, events out.

    `api`: how its site is spoken to, which stands beside what only that can read.
    """

    api: Api
    _last_part: int = -1
    _open: str = ""  # the family of the part that goes on: text, reasoning or none
    _text_part: int | None = None
    _calls: dict[int | None, _Call] = field(default_factory=dict)
    _logprobs: list[Any] = field(default_factory=list)

    def events(self, delta: Delta) -> Iterator[StreamEvent]:
        """Yield the events that a delta is."""
        if delta.logprobs is not None:
            self._logprobs.append(json.loads(delta.logprobs))
        if delta.kind == "tool_call":
            yield from self._call(delta)
        elif delta.kind == "reasoning":
            yield from self._reasoning(delta)
        else:  # a refusal is what the model says, too
            yield from self._text(delta)

    def _text(self, delta: Delta) -> Iterator[StreamEvent]:
        if delta.text:
            self._text_part = self._part("text")
            yield StreamEvent("text", delta.text, self._text_part)
        if delta.signature is None:
            return
        if self._text_part is None:  # llm keeps reasoning without words, and no such text
            own = self._own(text_signature=delta.signature)
            yield StreamEvent("reasoning", "", self._part(""), provider_metadata=own)
        else:
            own = self._own(signature=delta.signature)
            yield StreamEvent("text", "", self._text_part, provider_metadata=own)

    def _reasoning(self, delta: Delta) -> Iterator[StreamEvent]:
        if delta.data is not None and delta.id is None:
            self._open = ""  # it stands apart from what is shown
        part = self._part("reasoning")
        if delta.text:
            yield StreamEvent("reasoning", delta.text, part)
        own: dict[str, Any] | None = None
        if delta.data is not None:
            named = {} if delta.id is None else {"id": delta.id}
            own = self._own(data=delta.data, **named)
        elif delta.signature is not None:
            own = self._own(signature=delta.signature)
        if own is not None:
            self._open = ""  # what follows is another block
            yield StreamEvent("reasoning", "", part, provider_metadata=own)

    def _call(self, delta: Delta) -> Iterator[StreamEvent]:
        call = self._calls.get(delta.index)
        if call is None:
            call = _Call(self._call_id(delta), self._part(""))
            self._calls[delta.index] = call
        if delta.name and not call.is_named:
            call.is_named = True
            yield StreamEvent("tool_call_name", delta.name, call.part, call.id)
        if delta.text or delta.signature is not None:
            own = None if delta.signature is None else self._own(signature=delta.signature)
            yield StreamEvent(
                "tool_call_args", delta.text, call.part, call.id, provider_metadata=own
            )

    def _call_id(self, delta: Delta) -> str:
        """Return the id by which a call's result is known: its own unless another call has that."""
        taken = {each.id for each in self._calls.values()}
        return delta.id if delta.id and delta.id not in taken else f"call_{uuid4().hex}"

    def _part(self, family: str) -> int:
        """Return the number of the part that goes on, or of a new one."""
        if not family or self._open != family:
            self._last_part += 1
        self._open = family
        return self._last_part

    def _own(self, **told: str) -> dict[str, Any]:
        return {OWN: {"api": self.api, **told}}

    # -- the end -----------------------------------------------------------------------------------

    def end(self, stream: ChatStream, response: _BaseResponse) -> Iterator[StreamEvent]:
        """Tell `response` what the answer was beside its events, and yield the last ones.

        `stream`: the answer, read to its end. Raises ModelError for a call of a tool whose
        arguments are no JSON object.
        """
        for call in stream.tool_calls:
            response.add_tool_call(self._whole_call(call))
        usage = stream.usage
        if usage is not None:
            _set_usage(usage, response)
            if usage.reasoning_tokens and not stream.reasoning:
                yield StreamEvent("reasoning", "", self._part(""), redacted=True)
        if model := stream.ids.get("model"):
            response.set_resolved_model(model)
        response.response_json = self._record(stream)
        _warn(stream, response)

    def _whole_call(self, call: ToolCall) -> llm.ToolCall:
        arguments = call.parsed()
        if not isinstance(arguments, dict):
            raise llm.ModelError(f"the arguments of the tool {call.name} are no JSON object")
        return llm.ToolCall(call.name, arguments, self._calls[call.index].id)

    def _record(self, stream: ChatStream) -> dict[str, Any]:
        """Return what the log keeps of an answer beside its parts."""
        record = {
            "end": stream.end,
            "finish_reason": stream.finish_reason,
            "ids": stream.ids,
            "refusal": stream.refusal,
            "passed_over": stream.passed_over,
            "bad_events": stream.bad_events,
            "attempts": [str(each) for each in stream.attempts],
            "logprobs": self._logprobs,
        }
        return {name: value for name, value in record.items() if value}


def _set_usage(usage: Usage, response: _BaseResponse) -> None:
    """Tell `response` the token counts, without those that the site left out."""
    told = {"cached": usage.cached_tokens, "reasoning": usage.reasoning_tokens}
    if usage.total_tokens != usage.prompt_tokens + usage.completion_tokens:
        told["total"] = usage.total_tokens
    response.set_usage(
        input=usage.prompt_tokens or None,
        output=usage.completion_tokens or None,
        details={name: count for name, count in told.items() if count} or None,
    )


def _warn(stream: ChatStream, response: _BaseResponse) -> None:
    """Log what who reads the text alone would miss."""
    reason = finish_reason_of(stream.finish_reason)
    if reason != "stop":
        log.warning("the answer is not whole: its end is %r", stream.finish_reason)
    if stream.tool_calls and not response.prompt.tools:
        names = ", ".join(visible_line(call.name) for call in stream.tool_calls)
        log.warning("the answer also calls tools that it was not given: %s", names)
    shown_nowhere = [kind for kind in stream.passed_over if kind in _DATA]
    if shown_nowhere:
        log.warning("the answer also holds what is not shown: %s", ", ".join(shown_nowhere))


_DATA = ("image", "audio", "file")
"""Kinds of what is passed over that may be all that was asked for."""
