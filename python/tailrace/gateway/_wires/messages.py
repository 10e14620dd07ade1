"""Anthropic's messages: a request's schema, and the encoder of their answers.

Source: Anthropic's API reference, "Create a Message".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from tailrace import MessageEncoder
from tailrace.gateway._wires.message_blocks import Reader
from tailrace.gateway._wires.request import (
    ModelRequest,
    check_depth,
    read_known,
    read_object,
    refused,
    surplus,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tailrace import Delta
    from tailrace.errors import TailraceError
    from tailrace.gateway._problems import Problem
    from tailrace.gateway._wires.wire import Ending, Identity

__all__ = ["MessageRequest", "MessageWire"]

MOST_STOPS = 64
LONGEST_STOP = 256

_Number = float | int
_Stop = Annotated[str, Meta(max_length=LONGEST_STOP)]
_Content = str | list[dict[str, Any]]


class RequestMessage(msgspec.Struct):
    """One message."""

    role: Literal["user", "assistant", "system"]
    content: _Content


class MessageRequest(msgspec.Struct, kw_only=True):
    """A request's known fields, in their form."""

    model: str
    messages: Annotated[list[RequestMessage], Meta(min_length=1)]
    max_tokens: int
    container: Any = None
    context_management: Any = None
    mcp_servers: Any = None
    metadata: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None
    service_tier: Any = None
    stop_sequences: Annotated[list[_Stop], Meta(max_length=MOST_STOPS)] | None = None
    stream: bool | None = None
    system: _Content | None = None
    temperature: _Number | None = None
    thinking: dict[str, Any] | None = None
    tool_choice: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    top_k: int | None = None
    top_p: _Number | None = None


_REFUSED = {
    "container": "the gateway runs no code",
    "mcp_servers": "no request chooses a server that is to be asked",
}


class MessageWire:
    """Anthropic's messages."""

    id_prefix: ClassVar[str] = "msg_"

    def read(self, body: bytes) -> ModelRequest:
        """Read a request; raises RefusedError, which names the field that cannot be taken."""
        return self.read_fields(read_object(body))

    def read_fields(self, given: dict[str, Any]) -> ModelRequest:
        """Read a request's fields; raises as `read`."""
        fields, request, extra = read_known(
            given, MessageRequest, whole=("max_tokens", "top_k"), counted="messages"
        )
        for name, problem in _REFUSED.items():
            if getattr(request, name):
                raise refused(f"{name} is not supported: {problem}", name, "unsupported_parameter")
        check_depth([fields["messages"], fields.get("system"), request.tools, extra])
        return _read(request, {name: each for name, each in extra.items() if each is not None})

    def encoder(self, request: ModelRequest, identity: Identity) -> MessageAnswer:
        """Make the encoder of one message."""
        del request
        return MessageAnswer(identity)


def _read(request: MessageRequest, extra: Mapping[str, Any]) -> ModelRequest:
    reader = Reader()
    messages = reader.system(request.system)
    for number, message in enumerate(request.messages):
        messages += reader.messages(f"messages[{number}]", message.role, message.content)
    tools, others = _tools(request.tools or (), reader)
    of_blocks = tuple(dict.fromkeys(reader.lost))
    reader.lost.clear()
    as_came = _as_they_came(request) if of_blocks or _signed(request) else {}
    alone = of_blocks if as_came else ()
    if request.context_management:
        reader.lost.append("context_management")
    reader.lose(request.metadata or {}, "metadata", frozenset({"user_id"}))
    reader.lose(request.tool_choice or {}, "tool_choice", _CHOICE_KEYS)
    own = _own(request)
    is_unsigned = _goes_on_with_a_call(messages) and not (as_came and _signed(request))
    lost = ("thinking",) if "thinking" in own and is_unsigned else ()
    return ModelRequest(
        model=request.model,
        messages=messages,
        options={**_options(request), **({"tools": tools} if tools else {})},
        extra=extra,
        extra_apis=("messages",),
        own={name: value for name, value in own.items() if name not in lost} | as_came,
        own_lost=lost,
        own_replaces=frozenset({"reasoning_effort"} if request.thinking else ()),
        own_alone=(*_own_alone(request), *alone),
        unsupported=tuple(others),
        ignored=tuple(dict.fromkeys((*(() if alone else of_blocks), *reader.lost))),
        stops=tuple(stop for stop in request.stop_sequences or () if stop),
        streams=bool(request.stream),
        names=_NAMES,
    )


def _as_they_came(request: MessageRequest) -> dict[str, Any]:
    """Return blocks and tools for a site of this API, which takes all that they say.

    Thinking without a signature, as this gateway's answers have it, and empty text are left out:
    the API refuses both. Nothing where a message is the system's, for which its form has no place.
    """
    if any(message.role == "system" for message in request.messages):
        return {}
    messages = [
        {"role": message.role, "content": _taken_blocks(message.content)}
        for message in request.messages
    ]
    tools = [tool for tool in request.tools or () if tool.get("type") in (None, "custom")]
    values = {
        "messages": [message for message in messages if message["content"]],
        "system": _taken_blocks(request.system or ""),
        "tools": tools,
    }
    return {name: value for name, value in values.items() if value}


def _taken_blocks(content: _Content) -> _Content:
    return content if isinstance(content, str) else [each for each in content if _is_taken(each)]


def _is_taken(block: Mapping[str, Any]) -> bool:
    kind = block.get("type")
    needed = {"thinking": "signature", "text": "text"}.get(str(kind))
    return needed is None or bool(block.get(needed))


def _signed(request: MessageRequest) -> bool:
    """Tell whether the assistant's last message begins with thoughts that the API knows again."""
    said = (each.content for each in reversed(request.messages) if each.role == "assistant")
    first = next(iter(next(said, "")), None)
    if not isinstance(first, dict):
        return False
    return first.get("type") == "redacted_thinking" or bool(
        first.get("type") == "thinking" and first.get("signature")
    )


def _goes_on_with_a_call(messages: list[dict[str, Any]]) -> bool:
    """Tell whether the last thing that the assistant said is a call.

    The API takes no thinking then unless the call's message begins with the thoughts that led to
    it, signed; and those that a client has of this gateway are not.
    """
    said = (each for each in reversed(messages) if each["role"] == "assistant")
    return "tool_calls" in next(said, {})


_NAMES = {
    "max_completion_tokens": "max_tokens",
    "messages": "messages",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning_effort": "thinking",
    "response_format": "output_config.format",
    "user": "metadata.user_id",
}
"""The API's own names of options."""


def _options(request: MessageRequest) -> dict[str, Any]:
    choice = request.tool_choice or {}
    config = request.output_config or {}
    form = config.get("format") or request.output_format
    values = {
        "max_completion_tokens": request.max_tokens,
        "parallel_tool_calls": False if choice.get("disable_parallel_tool_use") else None,
        "reasoning_effort": config.get("effort") or _effort(request.thinking),
        "response_format": None if form is None else _format(form),
        "temperature": request.temperature,
        "tool_choice": _tool_choice(choice) if choice else None,
        "top_k": request.top_k,
        "top_p": request.top_p,
        "user": (request.metadata or {}).get("user_id"),
    }
    return {name: value for name, value in values.items() if value is not None}


def _own(request: MessageRequest) -> dict[str, Any]:
    """Return what goes to a site of this API in its own words.

    The form of an answer is an option of every API, and so is the effort unless thinking has its
    own words, too.
    """
    options = {"format"} if request.thinking else {"format", "effort"}
    config = {
        name: value
        for name, value in (request.output_config or {}).items()
        if name not in options and value is not None
    }
    values = {
        "service_tier": request.service_tier,
        "thinking": request.thinking,
        "output_config": config or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _own_alone(request: MessageRequest) -> tuple[str, ...]:
    tier = () if request.service_tier is None else ("service_tier",)
    thinking = request.thinking or {}
    # An effort is all that other APIs know of it, and few models of theirs can be told not to.
    is_lost = thinking.get("type") == "disabled" or thinking.get("display") is not None
    return (
        *tier,
        *(("thinking",) if is_lost else ()),
        *surplus("output_config", request.output_config, _CONFIG_KEYS),
    )


_CONFIG_KEYS = frozenset({"effort", "format"})


def _effort(thinking: Mapping[str, Any] | None) -> str | None:
    """Return how hard a model is to think that may think for so many tokens.

    None, the model's own default, where it is not to think, or as hard as it sees fit.
    """
    budget = (thinking or {}).get("budget_tokens")
    if not isinstance(budget, int):
        return None
    return next(effort for most, effort in _EFFORTS if budget <= most)


_EFFORTS = ((4_096, "low"), (16_384, "medium"), (float("inf"), "high"))
"""The most tokens of each effort; the API says nothing of how one is the other."""


def _tools(
    tools: Iterable[Mapping[str, Any]], reader: Reader
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Return tools in the form of chat completions, and the problem of each that no client runs."""
    functions: list[dict[str, Any]] = []
    others: list[tuple[str, str]] = []
    for number, tool in enumerate(tools):
        if tool.get("type") not in (None, "custom"):
            kind = str(tool["type"])[:80]
            problem = f"tools[{number}] is of the type {kind!r}: no site has tools of its own here"
            others.append(("tools", problem))
            continue
        reader.lose(tool, "tools", _TOOL_KEYS)
        function = {"name": tool.get("name"), "parameters": tool.get("input_schema")}
        described = {name: tool[name] for name in ("description", "strict") if tool.get(name)}
        functions.append({"type": "function", "function": {**function, **described}})
    return functions, others


_TOOL_KEYS = frozenset({"type", "name", "description", "input_schema", "strict"})


def _tool_choice(choice: Mapping[str, Any]) -> str | dict[str, Any]:
    kind = choice.get("type")
    if kind == "tool":
        return {"type": "function", "function": {"name": choice.get("name")}}
    if isinstance(kind, str) and kind in _CHOICES:
        return _CHOICES[kind]
    problem = "tool_choice.type: expected one of auto, any, tool and none"
    raise refused(problem, "tool_choice.type", "invalid_type")


_CHOICE_KEYS = frozenset({"type", "name", "disable_parallel_tool_use"})
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def _format(form: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        problem = "output_config.format: expected the type json_schema"
        raise refused(problem, "output_config.format", "invalid_type")
    schema = {"name": "answer", "schema": form.get("schema"), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


# -- the answer ------------------------------------------------------------------------------------


class MessageAnswer:
    """One message: as events, or whole."""

    def __init__(self, identity: Identity) -> None:
        self._encoder = MessageEncoder(id=identity.id, model=identity.model)
        self.start = self._encoder.start
        self.events = self._encoder.events
        self.relay = self._encoder.relay
        self.keep_alive = self._encoder.keep_alive

    @property
    def failure(self) -> TailraceError | None:
        """The reason why the encoder ended the stream as failed; None where it did not."""
        return self._encoder.failure

    def finish(self, ending: Ending) -> bytes:
        """Return the events that end the message."""
        return self._encoder.finish(
            ending.reason,
            ending.usage,
            stop_sequence=ending.stop_sequence,
            estimated=ending.estimated,
        )

    def error(self, problem: Problem) -> bytes:
        """Return the event of Anthropic's error object."""
        return self._encoder.error(
            problem.message, kind=problem.anthropic_kind, param=problem.param, code=problem.code
        )

    def whole(self, deltas: list[Delta], ending: Ending) -> bytes:
        """Return the whole message."""
        return self._encoder.whole(
            deltas,
            ending.reason,
            ending.usage,
            stop_sequence=ending.stop_sequence,
            estimated=ending.estimated,
        )
