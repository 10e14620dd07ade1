"""Requests for messages, read as strictly as Anthropic's server reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tailrace.replica._answers import HistoryTurn
from tailrace.replica._sites.models.anthropic.blocks import Block, read_content
from tailrace.replica._sites.models.anthropic.errors import (
    check_fields,
    check_number,
    check_one_of,
    check_text,
    error,
    refused,
)
from tailrace.replica._sites.models.requests import (
    ModelRequest,
    OfferedTool,
    ToolChoice,
    ToolResult,
)
from tailrace.replica._sites.models.schemas import closed_objects_fault
from tailrace.replica._sites.models.site import RequestRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MODELS = ("claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5")
MAX_TOKENS = 64_000
LEAST_BUDGET = 1024

COUNTED_FIELDS = ("cache_control", "output_config", "system", "thinking", "tool_choice", "tools")
FIELDS = (
    *COUNTED_FIELDS,
    "container",
    "inference_geo",
    "metadata",
    "service_tier",
    "stop_sequences",
    "stream",
    "temperature",
    "top_k",
    "top_p",
)
"""The fields of a request for a message beside the three that it needs."""


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """A request for a message; `caches`: whether it marks something to be cached.

    `shows_thoughts`: whether thoughts come back in words, or as a signature alone.
    """

    meant: ModelRequest
    caches: bool
    shows_thoughts: bool


def read_request(body: Mapping[str, Any]) -> MessageRequest:
    """Read the request for a message."""
    check_fields(body, "", ("model", "max_tokens", "messages"), FIELDS)
    check_number(body["max_tokens"], "max_tokens", 1, 2**31, whole=True)
    if body["max_tokens"] > MAX_TOKENS:
        raise refused(
            f"max_tokens: {body['max_tokens']} > {MAX_TOKENS}, which is the maximum allowed number "
            f"of output tokens for {body['model']}"
        )
    streams = body.get("stream", False)
    if not isinstance(streams, bool):
        raise refused("stream: Input should be a valid boolean")
    _check_sampling(body)
    meant = read_meant(body, streams=streams, limit=body["max_tokens"], stops=_stops(body))
    thinking = body.get("thinking") or {}
    return MessageRequest(
        meant, caches=_marks_cache(body), shows_thoughts=thinking.get("display") != "omitted"
    )


def read_meant(
    body: Mapping[str, Any],
    *,
    streams: bool = False,
    limit: int | None = None,
    stops: tuple[str, ...] = (),
) -> ModelRequest:
    """Read what a request means whose tokens are to be counted, or that is to be answered."""
    model = known_model(body["model"])
    turns = _read_turns(body["messages"])
    tools = _read_tools(body.get("tools"))
    choice, parallel = _read_choice(body.get("tool_choice"), tools)
    thinks = _read_thinking(body, choice, turns)
    last = turns[-1].blocks
    system = _read_system(body.get("system"))
    return ModelRequest(
        model=model,
        turns=(*system, *(HistoryTurn(turn.role, turn.text) for turn in turns)),
        question="".join(block.text for block in last if block.kind == "text"),
        results=tuple(_results(turns)),
        attachments=tuple(
            each for turn in turns for block in turn.blocks for each in block.attachments
        ),
        tools=tools,
        choice=choice,
        called=frozenset(_called(turns)),
        parallel=parallel,
        schema=_read_format(body.get("output_config")),
        streams=streams,
        limit=limit,
        stops=stops,
        thinks=thinks,
    )


def known_model(model: object) -> str:
    """Return `model`, which this server must have."""
    name = check_text(model, "model")
    if name not in MODELS:
        raise RequestRefusedError(error(404, f"model: {name}"))
    return name


# -- turns -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Turn:
    """All messages in a row of one role."""

    role: Literal["user", "assistant", "system"]
    blocks: tuple[Block, ...]

    @property
    def text(self) -> str:
        return "\n".join(block.text for block in self.blocks if block.text)

    def ids(self, kind: str) -> list[str]:
        return [block.call_id for block in self.blocks if block.kind == kind]


def _read_turns(messages: object) -> list[_Turn]:
    if not isinstance(messages, list):
        raise refused("messages: Input should be a valid list")
    if not messages:
        raise refused("messages: at least one message is required")
    turns: list[_Turn] = []
    for number, message in enumerate(messages):
        place = f"messages.{number}"
        check_fields(message, place, ("role", "content"))
        role = message["role"]
        check_one_of(role, f"{place}.role", ("user", "assistant", "system"))
        blocks = read_content(message["content"], role, f"{place}.content")
        is_last_answer = role == "assistant" and number == len(messages) - 1
        if not blocks and not is_last_answer:
            raise refused(
                f"{place}: all messages must have non-empty content except for the optional final "
                "assistant message"
            )
        if turns and turns[-1].role == role:
            blocks = (*turns.pop().blocks, *blocks)
        turns.append(_Turn(role, blocks))
        _check_results(turns, number)
    _check_ends(turns)
    return turns


def _check_results(turns: Sequence[_Turn], number: int) -> None:
    """Refuse results that answer no call of the turn before, or that stand behind other blocks."""
    turn = turns[-1]
    calls = turns[-2].ids("call") if len(turns) > 1 else []
    for position, block in enumerate(turn.blocks):
        if block.kind == "result" and block.call_id not in calls:
            raise refused(
                f"messages.{number}.content.{position}: unexpected `tool_use_id` found in "
                f"`tool_result` blocks: {block.call_id}. Each `tool_result` block must have a "
                "corresponding `tool_use` block in the previous message."
            )
    kinds = [block.kind == "result" for block in turn.blocks]
    missing = [call_id for call_id in calls if call_id not in turn.ids("result")]
    if calls and turn.role == "user" and (missing or kinds != sorted(kinds, reverse=True)):
        raise refused(
            f"messages.{number - 1}: `tool_use` ids were found without `tool_result` blocks "
            f"immediately after: {', '.join(missing or calls)}. Each `tool_use` block must have a "
            "corresponding `tool_result` block in the next message."
        )


def _check_ends(turns: Sequence[_Turn]) -> None:
    if turns[0].role != "user":
        raise refused('messages: first message must use the "user" role')
    if turns[-1].role == "assistant":
        if turns[-1].ids("call"):
            raise refused(
                "messages: `tool_use` ids were found without `tool_result` blocks immediately "
                f"after: {', '.join(turns[-1].ids('call'))}. Each `tool_use` block must have a "
                "corresponding `tool_result` block in the next message."
            )
        if turns[-1].text != turns[-1].text.rstrip():
            raise refused("messages: final assistant content cannot end with trailing whitespace")


def _read_system(system: object) -> Iterator[HistoryTurn]:
    if system is None:
        return
    text = "\n".join(block.text for block in read_content(system, "system", "system"))
    if text:
        yield HistoryTurn("system", text)


def _called(turns: Sequence[_Turn]) -> Iterator[str]:
    asked = [at for at, turn in enumerate(turns) if turn.role == "user" and not turn.ids("result")]
    for turn in turns[asked[-1] if asked else 0 :]:
        yield from (block.name for block in turn.blocks if block.kind == "call")


def _results(turns: Sequence[_Turn]) -> Iterator[ToolResult]:
    calls = (block for turn in turns for block in turn.blocks if block.kind == "call")
    names = {call.call_id: call.name for call in calls}
    for block in turns[-1].blocks:
        if block.kind == "result":
            yield ToolResult(names.get(block.call_id, ""), block.text)


# -- tools and thoughts ----------------------------------------------------------------------------

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}\Z")
_TOOL_FIELDS = (
    "allowed_callers",
    "cache_control",
    "defer_loading",
    "description",
    "eager_input_streaming",
    "input_examples",
    "strict",
    "type",
)


def _read_tools(tools: object) -> tuple[OfferedTool, ...]:
    if tools is None:
        return ()
    if not isinstance(tools, list):
        raise refused("tools: Input should be a valid list")
    read = tuple(_read_tool(tool, f"tools.{number}") for number, tool in enumerate(tools))
    if len({tool.name for tool in read}) != len(read):
        raise refused("tools: Tool names must be unique.")
    return read


def _read_tool(tool: object, place: str) -> OfferedTool:
    if isinstance(tool, dict) and tool.get("type") not in (None, "custom"):
        raise refused(f"{place}: this server has no tool of type '{tool['type']}'")
    place = f"{place}.custom"
    read = check_fields(tool, place, ("name", "input_schema"), _TOOL_FIELDS)
    name = check_text(read["name"], f"{place}.name")
    if not _NAME.match(name):
        raise refused(f"{place}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    schema = read["input_schema"]
    if not isinstance(schema, dict):
        raise refused(f"{place}.input_schema: Input should be a valid dictionary")
    if "type" not in schema:
        raise refused(f"{place}.input_schema.type: Field required")
    check_one_of(schema["type"], f"{place}.input_schema.type", ("object",))
    for keyword in ("oneOf", "allOf", "anyOf"):
        if keyword in schema:
            raise refused(
                f"{place}.input_schema: input_schema does not support oneOf, allOf, or anyOf at "
                "the top level"
            )
    if read.get("strict"):
        _check_closed(schema, f"{place}.input_schema")
    return OfferedTool(name, schema)


def _check_closed(schema: object, place: str) -> None:
    if closed_objects_fault(schema, all_required=False) is not None:
        raise refused(
            f"{place}: For 'object' type, 'additionalProperties' must be explicitly set to false"
        )


def _read_choice(choice: object, tools: Sequence[OfferedTool]) -> tuple[ToolChoice, bool]:
    """Read the choice among the tools, and whether several may be called at once."""
    if choice is None:
        return ToolChoice(), True
    if not isinstance(choice, dict):
        raise refused("tool_choice: Input should be a valid dictionary")
    kind = check_one_of(choice.get("type"), "tool_choice.type", ("auto", "any", "tool", "none"))
    place = f"tool_choice.{kind}"
    named = ("name",) if kind == "tool" else ()
    check_fields(
        choice, place, ("type", *named), () if kind == "none" else ("disable_parallel_tool_use",)
    )
    if not tools:
        raise refused("tool_choice: tool_choice may only be specified while providing tools")
    if kind == "tool" and choice["name"] not in [tool.name for tool in tools]:
        raise refused(f"tool_choice: Tool '{choice['name']}' not found in provided tools")
    chosen = {
        "auto": ToolChoice(),
        "none": ToolChoice("none"),
        "any": ToolChoice("required"),
        "tool": ToolChoice("required", (str(choice.get("name")),)),
    }[kind]
    return chosen, not choice.get("disable_parallel_tool_use", False)


def _read_thinking(
    body: Mapping[str, Any], choice: ToolChoice, turns: Sequence[_Turn]
) -> bool | None:
    thinking = body.get("thinking")
    if thinking is None:
        return None
    if not isinstance(thinking, dict):
        raise refused("thinking: Input should be a valid dictionary")
    kind = check_one_of(thinking.get("type"), "thinking.type", ("enabled", "disabled", "adaptive"))
    needed = ("type", "budget_tokens") if kind == "enabled" else ("type",)
    check_fields(thinking, f"thinking.{kind}", needed, () if kind == "disabled" else ("display",))
    if kind == "disabled":
        return False
    if kind == "enabled":
        _check_budget(body, thinking["budget_tokens"], turns)
    if choice.mode == "required":
        raise refused("Thinking may not be enabled when tool_choice forces tool use.")
    if body.get("temperature", 1) != 1:
        raise refused("`temperature` may only be set to 1 when thinking is enabled.")
    return True


def _check_budget(body: Mapping[str, Any], budget: object, turns: Sequence[_Turn]) -> None:
    place = "thinking.enabled.budget_tokens"
    check_number(budget, place, LEAST_BUDGET, 2**31, whole=True)
    if isinstance(budget, int) and budget >= body.get("max_tokens", 2**31):
        raise refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
    answers = [turn for turn in turns if turn.role == "assistant"]
    if answers and answers[-1].ids("call") and answers[-1].blocks[0].kind != "thinking":
        raise refused(
            f"messages.{2 * len(answers) - 1}.content.0.type: Expected `thinking` or "
            f"`redacted_thinking`, but found `{answers[-1].blocks[0].kind}`. When `thinking` is "
            "enabled, a final `assistant` message must start with a thinking block."
        )


# -- the rest --------------------------------------------------------------------------------------

_EFFORTS = ("low", "medium", "high", "xhigh", "max")


def _read_format(config: object) -> object:
    """Return the schema of a structured answer, or None."""
    if config is None:
        return None
    read = check_fields(config, "output_config", (), ("effort", "format"))
    if read.get("effort") is not None:
        check_one_of(read["effort"], "output_config.effort", _EFFORTS)
    if read.get("format") is None:
        return None
    place = "output_config.format"
    format_ = check_fields(read["format"], place, ("type", "schema"))
    check_one_of(format_["type"], f"{place}.type", ("json_schema",))
    if not isinstance(format_["schema"], dict):
        raise refused(f"{place}.schema: Input should be a valid dictionary")
    _check_closed(format_["schema"], f"{place}.schema")
    return format_["schema"]


def _check_sampling(body: Mapping[str, Any]) -> None:
    for name, most in (("temperature", 1), ("top_p", 1)):
        if body.get(name) is not None:
            check_number(body[name], name, 0, most, whole=False)
    if body.get("top_k") is not None:
        check_number(body["top_k"], "top_k", 0, 2**31, whole=True)
    if body.get("temperature") is not None and body.get("top_p") is not None:
        raise refused(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only "
            "one."
        )
    metadata = body.get("metadata")
    if metadata is not None:
        check_fields(metadata, "metadata", (), ("user_id",))


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    stops = body.get("stop_sequences")
    if stops is None:
        return ()
    if not isinstance(stops, list):
        raise refused("stop_sequences: Input should be a valid list")
    for number, stop in enumerate(stops):
        if not check_text(stop, f"stop_sequences.{number}").strip():
            raise refused("stop_sequences: each stop sequence must contain non-whitespace")
    return tuple(stops)


def _marks_cache(value: object) -> bool:
    """Tell whether there is a mark for the cache anywhere within `value`."""
    if isinstance(value, dict):
        return bool(value.get("cache_control")) or any(map(_marks_cache, value.values()))
    return isinstance(value, list) and any(map(_marks_cache, value))
