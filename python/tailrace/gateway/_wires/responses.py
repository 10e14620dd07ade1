"""OpenAI's Responses: a request's schema, and the encoder of their answers.

The gateway keeps nothing, so a request that goes on with a kept response or conversation is
refused, and ``store`` is answered false. Source: OpenAI's API reference, "Create a model response".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from tailrace import ResponseEncoder
from tailrace.gateway._wires.chunked import ignored_stream_options
from tailrace.gateway._wires.request import (
    ModelRequest,
    check_depth,
    read_known,
    read_object,
    refused,
    surplus,
)
from tailrace.gateway._wires.response_items import messages_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tailrace import Delta
    from tailrace.errors import TailraceError
    from tailrace.gateway._problems import Problem
    from tailrace.gateway._wires.wire import Ending, Identity

__all__ = ["ResponseRequest", "ResponseWire"]

_Number = float | int


class Reasoning(msgspec.Struct):
    """The wish for reasoning: how much of it, and whether its summary is told."""

    effort: str | None = None
    summary: str | None = None


class TextOptions(msgspec.Struct):
    """The form of the answer's text, and how long it is."""

    format: dict[str, Any] | None = None
    verbosity: str | None = None


class ResponseRequest(msgspec.Struct, kw_only=True):
    """A request's known fields, in their form."""

    model: str
    input: str | list[dict[str, Any]]
    background: bool | None = None
    conversation: Any = None
    include: list[str] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: Any = None
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    prompt: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
    reasoning: Reasoning | None = None
    safety_identifier: Any = None
    service_tier: Any = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: Any = None
    temperature: _Number | None = None
    text: TextOptions | None = None
    tool_choice: str | dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    top_logprobs: int | None = None
    top_p: _Number | None = None
    truncation: str | None = None
    user: str | None = None


_WHOLE_NUMBERS = ("max_output_tokens", "max_tool_calls", "top_logprobs")
_HINTS = ("metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier")
_KEPT = {
    "background": "the gateway answers at once",
    "conversation": "the gateway keeps no conversations: send its items as the input",
    "previous_response_id": "the gateway keeps no responses: send the dialogue as the input",
    "prompt": "the gateway keeps no prompts: send their text as the input",
}
"""Fields that ask for what would have to be kept, and what a client can do."""


class ResponseWire:
    """OpenAI's Responses."""

    id_prefix: ClassVar[str] = "resp_"

    def read(self, body: bytes) -> ModelRequest:
        """Read a request; raises RefusedError, which names the field that cannot be taken."""
        fields, request, extra = read_known(
            read_object(body), ResponseRequest, whole=_WHOLE_NUMBERS, counted="input"
        )
        _refuse_what_is_kept(request)
        check_depth([fields.get(name) for name in ("input", "tools", "tool_choice", "text")])
        check_depth([extra])
        tools, others = _tools(request.tools or ())
        includes = _includes(request)
        messages, lost = messages_of(request.instructions, request.input)
        own = _own(request, fields)
        as_came = _as_it_came(request) if lost else {}
        return ModelRequest(
            model=request.model,
            messages=messages,
            options={**_options(request), **({"tools": tools} if tools else {})},
            hints=_hints(request, fields),
            extra={name: value for name, value in extra.items() if value is not None},
            extra_apis=("responses",),
            own={"store": False, **own, **as_came},
            own_alone=(*_own_alone(own), *(lost if as_came else ())),
            own_replaces=frozenset({"logprobs"} if "include" in own else ()),
            unsupported=(*others, *includes),
            ignored=(*_ignored(request, fields), *(() if as_came else lost)),
            streams=bool(request.stream),
            names=_NAMES,
            body=msgspec.json.encode({**fields, "store": False, "background": False}),
        )

    def encoder(self, request: ModelRequest, identity: Identity) -> ResponseAnswer:
        """Make the encoder of one response."""
        return ResponseAnswer(identity, request.body)


_NAMES = {
    "logprobs": "include",
    "max_completion_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
"""The API's own names of options."""


def _refuse_what_is_kept(request: ResponseRequest) -> None:
    for name, problem in _KEPT.items():
        if getattr(request, name):
            raise refused(f"{name} is not supported: {problem}", name, "unsupported_parameter")


def _options(request: ResponseRequest) -> dict[str, Any]:
    reasoning, text = request.reasoning, request.text
    values = {
        "logprobs": True if _LOGPROBS in (request.include or ()) else None,
        "max_completion_tokens": request.max_output_tokens,
        "parallel_tool_calls": request.parallel_tool_calls,
        "reasoning_effort": None if reasoning is None else reasoning.effort,
        "response_format": None if text is None else _format(text.format),
        "temperature": request.temperature,
        "tool_choice": _tool_choice(request.tool_choice),
        # Without them it has no effect in this API, and is an error in others.
        "top_logprobs": request.top_logprobs if _LOGPROBS in (request.include or ()) else None,
        "top_p": request.top_p,
        "user": request.user,
    }
    return {name: value for name, value in values.items() if value is not None}


def _hints(request: ResponseRequest, fields: Mapping[str, Any]) -> dict[str, Any]:
    verbosity = None if request.text is None else request.text.verbosity
    tier = None if request.service_tier == "auto" else request.service_tier
    values = {name: fields.get(name) for name in _HINTS}
    values |= {"service_tier": tier, "verbosity": verbosity}
    return {name: value for name, value in values.items() if value is not None}


def _own(request: ResponseRequest, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what chat completions have no place for."""
    reasoning = fields.get("reasoning") or {}
    values = {
        "reasoning": {
            name: value
            for name, value in reasoning.items()
            if name != "effort" and value is not None
        },
        "truncation": None if request.truncation == "disabled" else request.truncation,
        "include": _told(request) if _ENCRYPTED in (request.include or ()) else None,
    }
    return {name: value for name, value in values.items() if value}


def _told(request: ResponseRequest) -> list[str]:
    """Return what is to be told beside the answer and can be."""
    return [name for name in request.include or () if name in (_ENCRYPTED, _LOGPROBS)]


def _as_it_came(request: ResponseRequest) -> dict[str, Any]:
    """Return the input for a site of this API, which takes all that it says.

    Without the ids of items, which are the gateway's own where it made them, and without reasoning
    that is not encrypted, for the API would look for it among what it has kept.
    """
    items = [
        {name: value for name, value in item.items() if name not in ("id", "status")}
        for item in request.input
        if isinstance(item, dict)
        and (item.get("type") != "reasoning" or item.get("encrypted_content"))
    ]
    return {
        "input": items,
        **({"instructions": request.instructions} if request.instructions else {}),
    }


def _own_alone(own: Mapping[str, Any]) -> tuple[str, ...]:
    names = (name for name in ("truncation", "include") if name in own)
    return (*surplus("reasoning", own.get("reasoning"), frozenset()), *names)


def _ignored(request: ResponseRequest, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what is without effect.

    Nothing is kept, and no tool but the client's is called.
    """
    asked = {"store": request.store, "max_tool_calls": request.max_tool_calls}
    return (
        *(name for name, value in asked.items() if value),
        *surplus("text", fields.get("text"), frozenset(TextOptions.__struct_fields__)),
        *ignored_stream_options(fields),
    )


_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"


def _includes(request: ResponseRequest) -> Iterable[tuple[str, str]]:
    """Yield what is to be told and cannot be."""
    for name in request.include or ():
        if name not in (_ENCRYPTED, _LOGPROBS):
            yield "include", f"include: {name[:80]!r} is not supported by this gateway"


def _tools(
    tools: Iterable[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Return functions in the form of chat completions, and the problem of each other tool."""
    functions: list[dict[str, Any]] = []
    others: list[tuple[str, str]] = []
    for number, tool in enumerate(tools):
        if tool.get("type") == "function":
            said = {name: value for name, value in tool.items() if value is not None}
            del said["type"]
            functions.append({"type": "function", "function": said})
        else:
            kind = str(tool.get("type"))[:80]
            problem = f"tools[{number}] is of the type {kind!r}: no site has tools of its own here"
            others.append(("tools", problem))
    return functions, others


def _tool_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    """Return the choice in the form of chat completions."""
    if not isinstance(choice, dict):
        return choice
    kind = choice.get("type")
    if kind == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    if kind == "allowed_tools":
        listed = choice.get("tools")
        tools = [_tool_choice(each) for each in listed] if isinstance(listed, list) else listed
        return {"type": kind, kind: {"mode": choice.get("mode"), "tools": tools}}
    problem = f"tool_choice: {str(kind)[:80]!r} is not supported by this gateway"
    raise refused(problem, "tool_choice", "unsupported_value")


def _format(written: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the form of an answer as chat completions write it."""
    if written is None or written.get("type") != "json_schema":
        return written
    schema = {name: value for name, value in written.items() if name != "type"}
    return {"type": "json_schema", "json_schema": schema}


# -- the answer ------------------------------------------------------------------------------------


class ResponseAnswer:
    """One response: as events, or whole."""

    def __init__(self, identity: Identity, request: bytes) -> None:
        self._encoder = ResponseEncoder(
            id=identity.id, created_at=identity.created, model=identity.model, request=request
        )
        self.start = self._encoder.start
        self.events = self._encoder.events
        self.relay = self._encoder.relay
        self.keep_alive = self._encoder.keep_alive

    @property
    def failure(self) -> TailraceError | None:
        """The reason why the encoder ended the stream as failed; None where it did not."""
        return self._encoder.failure

    def finish(self, ending: Ending) -> bytes:
        """Return the events that end the response."""
        return self._encoder.finish(ending.reason, ending.usage, estimated=ending.estimated)

    def error(self, problem: Problem) -> bytes:
        """Return the event of a response that failed."""
        return self._encoder.error(
            problem.message, kind=problem.kind, param=problem.param, code=problem.code
        )

    def whole(self, deltas: list[Delta], ending: Ending) -> bytes:
        """Return the whole response."""
        return self._encoder.whole(deltas, ending.reason, ending.usage, estimated=ending.estimated)
