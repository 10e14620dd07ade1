"""Requests of the Responses API, read strictly: unlike chat completions, it refuses other names.

Nothing is stored, so an earlier response cannot be gone on with, and no item referred to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tailrace.replica._answers import HistoryTurn
from tailrace.replica._site import well_formed
from tailrace.replica._sites.models.openai import parts
from tailrace.replica._sites.models.openai.chat_requests import (
    CHAT_MODELS,
    MAX_TOKENS,
    MAX_TOP_LOGPROBS,
)
from tailrace.replica._sites.models.openai.errors import (
    known_model,
    read_count,
    read_flag,
    refused,
)
from tailrace.replica._sites.models.openai.tools import read_choice, read_format, read_tools
from tailrace.replica._sites.models.requests import Attachment, ModelRequest, ToolResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LEAST_TOKENS = 16
"""The least `max_output_tokens`."""

FIELDS = frozenset(
    {
        "background",
        "context_management",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """A request for a response: its `body`, which the response repeats, and what it means.

    `summarizes`: whether a summary of the reasoning is wanted; `encrypts`: whether the reasoning is
    to come back, encrypted, with later requests; `top_logprobs`: as in `ChatRequest`.
    """

    body: Mapping[str, Any]
    meant: ModelRequest
    summarizes: bool
    encrypts: bool
    top_logprobs: int | None


def read_request(body: Mapping[str, Any]) -> ResponseRequest:
    """Read the request for a response."""
    _check_names(body)
    _refuse_what_is_stored(body)
    model = known_model(body.get("model"), CHAT_MODELS)
    instructions = body.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise refused("`instructions` is text.", "instructions", "invalid_type")
    items = _read_items(body.get("input"))
    _check_calls(items)
    system = [] if instructions is None else [HistoryTurn("system", well_formed(instructions))]
    turns = tuple(item.turn for item in items if item.turn is not None)
    if not turns:
        raise refused("`input` holds nothing that can be answered.", "input")
    tools = read_tools(body, nested=False)
    format_, place = _object(body, "text").get("format"), "text.format"
    include, reasoning = _includes(body), _object(body, "reasoning")
    text = "".join(turn.text for turn in (*system, *turns))
    top = read_count(body, "top_logprobs", 0, MAX_TOP_LOGPROBS)
    meant = ModelRequest(
        model=model,
        turns=(*system, *turns),
        question="" if items[-1].kind == "result" else turns[-1].text,
        results=tuple(_results(items)),
        attachments=tuple(each for item in items for each in item.attachments),
        tools=tools,
        choice=read_choice(body, tools, nested=False),
        called=frozenset(_called(items)),
        parallel=read_flag(body, "parallel_tool_calls", default=True),
        schema=read_format(format_, place, nested=False, text=text),
        streams=read_flag(body, "stream"),
        limit=read_count(body, "max_output_tokens", LEAST_TOKENS, MAX_TOKENS),
        thinks=True if reasoning.get("summary") else None,
    )
    wants_logprobs = "message.output_text.logprobs" in include
    return ResponseRequest(
        body,
        meant,
        summarizes=bool(reasoning.get("summary")),
        encrypts="reasoning.encrypted_content" in include,
        top_logprobs=(top or 0) if wants_logprobs else None,
    )


def _check_names(body: Mapping[str, Any]) -> None:
    for name in body:
        if name not in FIELDS:
            raise refused(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    options = body.get("stream_options")
    if options is None:
        return
    if not body.get("stream") or not isinstance(options, dict):
        raise refused("`stream_options` is an object, and for streams only.", "stream_options")
    for name in options:
        if name != "include_obfuscation":
            place = f"stream_options.{name}"
            raise refused(f"Unknown parameter: '{place}'.", place, "unknown_parameter")


def _refuse_what_is_stored(body: Mapping[str, Any]) -> None:
    earlier = body.get("previous_response_id")
    if earlier is not None:
        raise refused(
            f"Previous response with id '{earlier}' not found.",
            "previous_response_id",
            "previous_response_not_found",
        )
    for name in ("conversation", "prompt"):
        if body.get(name) is not None:
            raise refused(f"'{name}' is not found: this server stores nothing.", name)
    if body.get("background"):
        raise refused("This server answers at once: 'background' is not supported.", "background")


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise refused(f"`{name}` is an object.", name, "invalid_type")
    return value or {}


def _includes(body: Mapping[str, Any]) -> Sequence[object]:
    include = body.get("include") or []
    if not isinstance(include, list):
        raise refused("`include` is a list of names.", "include", "invalid_type")
    return include


# -- the items of the input ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Item:
    """An item: a message, a call, a result or reasoning. `name` and `call_id`: of a call."""

    kind: Literal["question", "answer", "call", "result", "reasoning"]
    turn: HistoryTurn | None = None
    attachments: tuple[Attachment, ...] = ()
    call_id: str = ""
    name: str = ""


def _read_items(value: object) -> list[_Item]:
    if isinstance(value, str):
        return [_Item("question", HistoryTurn("user", well_formed(value)))]
    if not isinstance(value, list) or not value:
        raise refused("`input` is text, or a list of at least one item.", "input", "invalid_type")
    return [_read_item(item, f"input[{number}]") for number, item in enumerate(value)]


def _read_item(item: Any, place: str) -> _Item:
    match item:
        case {"type": "function_call", "call_id": str(id_), "name": str(name), "arguments": str()}:
            return _Item("call", call_id=id_, name=name)
        case {"type": "function_call_output", "call_id": str(id_), "output": output}:
            text, attachments = _read_content(output, "user", f"{place}.output")
            return _Item("result", HistoryTurn("user", text), attachments, call_id=id_)
        case {"type": "reasoning", "summary": list()}:
            return _Item("reasoning")
        case {"type": "item_reference", "id": id_}:
            raise refused(f"Item with id '{id_}' not found.", "input")
        case {"role": str(role), "content": content} if item.get("type", "message") == "message":
            if role not in _ROLES:
                raise refused(f"Invalid value: '{role}'.", f"{place}.role", "invalid_value")
            text, attachments = _read_content(content, role, f"{place}.content")
            kind: Literal["answer", "question"] = "answer" if role == "assistant" else "question"
            return _Item(kind, HistoryTurn(_ROLES[role], text), attachments)
    kind_ = item.get("type") if isinstance(item, dict) else None
    raise refused(f"Invalid item {kind_!r}, or a field of it is missing.", place, "invalid_value")


def _read_content(content: object, role: str, place: str) -> tuple[str, tuple[Attachment, ...]]:
    if isinstance(content, str):
        return well_formed(content), ()
    if not isinstance(content, list):
        raise refused("Content is text or a list of parts.", place, "invalid_type")
    read = [_read_part(part, role, f"{place}[{number}]") for number, part in enumerate(content)]
    text = "".join(part for part in read if isinstance(part, str))
    return well_formed(text), tuple(part for part in read if isinstance(part, Attachment))


def _read_part(part: object, role: str, place: str) -> str | Attachment:
    given = role != "assistant"
    match part:
        case {"type": "input_text", "text": str(text)} if given:
            return text
        case {"type": "output_text", "text": str(text)} if not given:
            return text
        case {"type": "refusal", "refusal": str(text)} if not given:
            return text
        case {"type": "input_image", "file_id": str(file_id)} if given:
            return Attachment("image", file_id)
        case {"type": "input_image", "image_url": url} if given:
            return parts.read_image(url, f"{place}.image_url")
        case {"type": "input_file"} if given:
            return parts.read_file(part, place)
    kind = part.get("type") if isinstance(part, dict) else None
    known = "'input_text', 'input_image' and 'input_file'" if given else "'output_text', 'refusal'"
    raise refused(
        f"Invalid value: '{kind}'. Supported values are: {known}.", f"{place}.type", "invalid_value"
    )


def _check_calls(items: Sequence[_Item]) -> None:
    """Refuse results without their call, and calls without their results."""
    calls = [item.call_id for item in items if item.kind == "call"]
    results = [item.call_id for item in items if item.kind == "result"]
    for call_id in results:
        if call_id not in calls:
            raise refused(
                f"No tool call found for function call output with call_id {call_id}.", "input"
            )
    for call_id in calls:
        if call_id not in results:
            raise refused(f"No tool output found for function call {call_id}.", "input")


def _called(items: Sequence[_Item]) -> Iterator[str]:
    asked = [number for number, item in enumerate(items) if item.kind == "question"]
    for item in items[asked[-1] if asked else 0 :]:
        if item.kind == "call":
            yield item.name


def _results(items: Sequence[_Item]) -> Iterator[ToolResult]:
    """Yield the results with which the input ends."""
    names = {item.call_id: item.name for item in items if item.kind == "call"}
    ending = len(items)
    while ending and items[ending - 1].kind == "result":
        ending -= 1
    for item in items[ending:]:
        yield ToolResult(names[item.call_id], "" if item.turn is None else item.turn.text)


_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
