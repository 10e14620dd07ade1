"""Requests for chats, read as Ollama's server reads them: what it does not know has no effect."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from tailrace.replica._answers import HistoryTurn
from tailrace.replica._site import well_formed
from tailrace.replica._sites.models.requests import (
    ANY_OBJECT,
    Attachment,
    ModelRequest,
    OfferedTool,
    ToolResult,
    about_bytes,
    decode_base64,
)
from tailrace.replica._sites.models.site import RequestRefusedError, as_json, escaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tailrace.replica._response import SiteResponse

MODELS: Mapping[str, tuple[str, ...]] = {
    "qwen3-vl:8b": ("completion", "vision", "tools", "thinking"),
    "llama3.2:latest": ("completion", "tools"),
    "gemma3:latest": ("completion", "vision"),
    "all-minilm:latest": ("embedding",),
}
"""The models, and what each can."""

MAX_LOGPROBS = 20
TOKEN_NANOSECONDS = 20_000_000

_NUMBERS = ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty")
_WHOLE_NUMBERS = ("num_predict", "num_ctx", "top_k", "seed")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request for a chat; `logprobs`: as in OpenAI's. Without messages a model is loaded.

    `unloads`: whether the model is to be unloaded.
    """

    name: str
    meant: ModelRequest | None
    streams: bool
    logprobs: int | None = None
    unloads: bool = False


def error(status: int, message: str, headers: Sequence[tuple[str, str]] = ()) -> SiteResponse:
    """Return the response that tells an error."""
    return whole(status, {"error": message}, headers)


ESCAPED = "<>&\u2028\u2029"
"""The characters that Go's JSON encoder escapes."""


def whole(
    status: int, body: Mapping[str, Any], headers: Sequence[tuple[str, str]] = ()
) -> SiteResponse:
    """Return a response that is no stream."""
    response = as_json(status, body, headers)
    return replace(response, chunks=[escaped(chunk, ESCAPED) for chunk in response.chunks])


def refused(message: str, status: int = 400) -> RequestRefusedError:
    """Return what refuses a request."""
    return RequestRefusedError(error(status, message))


def read_request(body: Mapping[str, Any]) -> ChatRequest:
    """Read the request for a chat."""
    name, abilities = read_model(body.get("model"))
    if "completion" not in abilities:
        raise refused(f'"{name}" does not support chat')
    streams = body.get("stream", True)
    if not isinstance(streams, bool):
        raise wrong_type("stream", "bool", streams)
    messages = body.get("messages")
    if messages is not None and not isinstance(messages, list):
        raise wrong_type("messages", "[]api.Message", messages)
    if not messages:
        return ChatRequest(name, None, streams, unloads=body.get("keep_alive") in (0, "0", "0s"))
    read = [_Message.read(message) for message in messages]
    tools = tuple(_read_tools(body.get("tools")))
    thinks = _read_think(body.get("think"))
    _check_abilities(name, abilities, tools=bool(tools), thinks=bool(thinks))
    attachments = tuple(each for message in read for each in message.images)
    if attachments and "vision" not in abilities:
        raise refused("this model is missing data required for image input", 500)
    options = _read_options(body.get("options"))
    limit = options.get("num_predict", -1)
    meant = ModelRequest(
        model=name,
        turns=tuple(HistoryTurn(message.turn_role, message.text) for message in read),
        question="" if read[-1].role == "tool" else read[-1].text,
        results=tuple(_results(read)),
        attachments=attachments,
        tools=tools,
        called=frozenset(_called(read)),
        schema=_read_format(body.get("format")),
        streams=streams,
        limit=limit if limit > 0 else None,
        stops=_stops(options.get("stop")),
        thinks=None if thinks is None and "thinking" in abilities else bool(thinks),
    )
    return ChatRequest(name, meant, streams, _read_logprobs(body))


def read_model(model: object) -> tuple[str, tuple[str, ...]]:
    """Return the model's name as it was asked for, and what the model can."""
    if not model:
        raise refused("model is required")
    if not isinstance(model, str):
        raise wrong_type("model", "string", model)
    name = model if ":" in model else f"{model}:latest"
    if name not in MODELS:
        raise refused(f"model '{model}' not found", 404)
    return model, MODELS[name]


def _check_abilities(name: str, abilities: Sequence[str], *, tools: bool, thinks: bool) -> None:
    if tools and "tools" not in abilities:
        whole = name if ":" in name else f"{name}:latest"
        raise refused(f"registry.ollama.ai/library/{whole} does not support tools")
    if thinks and "thinking" not in abilities:
        raise refused(f'"{name}" does not support thinking')


def wrong_type(
    field: str, wanted: str, value: object, request: str = "ChatRequest"
) -> RequestRefusedError:
    """Return the refusal of Go's JSON decoder, which names the `request`."""
    kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}
    return refused(
        f"json: cannot unmarshal {kinds.get(type(value), 'object')} into Go struct field "
        f"{request}.{field} of type {wanted}"
    )


# -- messages --------------------------------------------------------------------------------------

_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "user",
}


@dataclass(frozen=True, slots=True)
class _Message:
    """A message; `calls`: the functions it calls, by their ids; `call_id`, `tool`: of a result."""

    role: str
    text: str
    images: tuple[Attachment, ...]
    calls: tuple[tuple[str, str], ...]
    call_id: str
    tool: str

    @property
    def turn_role(self) -> Literal["system", "user", "assistant"]:
        return _ROLES[self.role]

    @classmethod
    def read(cls, message: object) -> _Message:
        if not isinstance(message, dict):
            raise wrong_type("messages", "api.Message", message)
        role, content = message.get("role"), message.get("content")
        content = "" if content is None else content
        if role not in tuple(_ROLES):
            raise refused(f"invalid role: {role}, must be one of [system, user, assistant, tool]")
        if not isinstance(content, str):
            raise wrong_type("messages.content", "string", content)
        return cls(
            role,
            well_formed(content),
            tuple(_images(message.get("images") or [])),
            tuple(_calls(message.get("tool_calls") or [])),
            _text(message, "tool_call_id"),
            _text(message, "tool_name"),
        )


def _text(message: Mapping[str, Any], name: str) -> str:
    value = message.get(name) or ""
    if not isinstance(value, str):
        raise wrong_type(f"messages.{name}", "string", value)
    return value


def _images(images: object) -> Iterator[Attachment]:
    if not isinstance(images, list):
        raise wrong_type("messages.images", "[]api.ImageData", images)
    for image in images:
        data = decode_base64(image)
        if not data:
            raise refused("illegal base64 data at input byte 0")
        yield Attachment("image", about_bytes("", data))


def _calls(calls: object) -> Iterator[tuple[str, str]]:
    if not isinstance(calls, list):
        raise wrong_type("messages.tool_calls", "[]api.ToolCall", calls)
    for call in calls:
        match call:
            case {"function": {"name": str(name), "arguments": dict()}}:
                yield str(call.get("id") or ""), name
            case {"function": {"arguments": arguments}}:
                field = "messages.tool_calls.function.arguments"
                raise wrong_type(field, "api.ToolCallFunctionArguments", arguments)
            case _:
                raise wrong_type("messages.tool_calls", "api.ToolCall", call)


def _called(messages: Sequence[_Message]) -> Iterator[str]:
    asked = [at for at, message in enumerate(messages) if message.role == "user"]
    for message in messages[asked[-1] if asked else 0 :]:
        yield from (name for _, name in message.calls)


def _results(messages: Sequence[_Message]) -> Iterator[ToolResult]:
    """Yield the results with which the conversation ends; without names they count calls."""
    names = {id_: name for message in messages for id_, name in message.calls}
    ending = len(messages)
    while ending and messages[ending - 1].role == "tool":
        ending -= 1
    called = messages[ending - 1].calls if ending else ()
    for number, message in enumerate(messages[ending:]):
        in_order = called[number][1] if number < len(called) else ""
        name = message.tool or (names.get(message.call_id, "") if message.call_id else in_order)
        yield ToolResult(name, message.text)


# -- the rest --------------------------------------------------------------------------------------


def _read_tools(tools: object) -> Iterator[OfferedTool]:
    if tools is not None and not isinstance(tools, list):
        raise wrong_type("tools", "api.Tools", tools)
    for tool in tools or ():
        match tool:
            case {"function": {"name": str(name)} as function}:
                schema = function.get("parameters") or {"type": "object"}
                if not isinstance(schema, dict):
                    field = "tools.function.parameters"
                    raise wrong_type(field, "api.ToolFunctionParameters", schema)
                yield OfferedTool(name, schema)
            case _:
                raise wrong_type("tools.function", "api.ToolFunction", tool)


def _read_think(think: object) -> bool | None:
    if think is None or isinstance(think, bool):
        return think
    if think not in ("high", "medium", "low"):
        raise refused(
            f'invalid think value: "{think}" (must be "high", "medium", "low", true, or false)'
        )
    return True


def _read_format(format_: object) -> object:
    match format_:
        case None | "":
            return None
        case "json":
            return ANY_OBJECT
        case dict():
            return format_
    shown = json.dumps(format_)
    raise refused(f'invalid format: {shown}; expected "json" or a valid JSON Schema object')


def _read_options(options: object) -> Mapping[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise wrong_type("options", "map[string]interface {}", options)
    for names, type_, kinds in (
        (_NUMBERS, "float32", (int, float)),
        (_WHOLE_NUMBERS, "integer", (int,)),
    ):
        for name in names:
            value = options.get(name, 0)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise refused(f'option "{name}" must be of type {type_}')
    return options


def _stops(stops: object) -> tuple[str, ...]:
    if stops is None:
        return ()
    if not isinstance(stops, list) or not all(isinstance(each, str) for each in stops):
        raise refused('option "stop" must be of an array')
    return tuple(stops)


def _read_logprobs(body: Mapping[str, Any]) -> int | None:
    wanted, top = body.get("logprobs") or False, body.get("top_logprobs") or 0
    if not isinstance(wanted, bool):
        raise wrong_type("logprobs", "bool", wanted)
    if not isinstance(top, int) or not 0 <= top <= MAX_LOGPROBS:
        raise refused("top_logprobs must be between 0 and 20")
    return top if wanted else None
