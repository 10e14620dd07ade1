"""Tools, the choice among them, and forms of answers: as chat completions and Responses say them.

The two APIs differ in where a function's name stands, and in what a format is called; `place` is
how errors name the field.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tailrace.replica._sites.models.openai.errors import refused
from tailrace.replica._sites.models.requests import ANY_OBJECT, OfferedTool, ToolChoice
from tailrace.replica._sites.models.schemas import closed_objects_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")


def read_tools(body: Mapping[str, Any], *, nested: bool) -> tuple[OfferedTool, ...]:
    """Read ``tools``; `nested`: a function's fields stand under ``function``.

    Tools of other types are known by name only, and never called.
    """
    tools = body.get("tools")
    if tools is None:
        _refuse_without_tools(body)
        return ()
    if not isinstance(tools, list):
        raise refused("`tools` is a list of tools.", "tools")
    if not tools and nested:
        raise refused("[] is too short - 'tools'", "tools", "empty_array")
    return tuple(_functions(tools, nested=nested))


def _refuse_without_tools(body: Mapping[str, Any]) -> None:
    for name in ("tool_choice", "parallel_tool_calls"):
        if body.get(name) is not None and (name, body[name]) != ("tool_choice", "none"):
            raise refused(f"'{name}' is only allowed when 'tools' are specified.", name)


def _functions(tools: Sequence[object], *, nested: bool) -> Iterator[OfferedTool]:
    for number, tool in enumerate(tools):
        place = f"tools[{number}]"
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            raise refused(f"`{place}` is a tool with a type.", f"{place}.type")
        if tool["type"] != "function":
            continue
        function = tool.get("function") if nested else tool
        place = f"{place}.function" if nested else place
        if not isinstance(function, dict):
            raise refused(
                f"Missing required parameter: '{place}'.", place, "missing_required_parameter"
            )
        yield _function(function, place)


def _function(function: Mapping[str, Any], place: str) -> OfferedTool:
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.match(name):
        raise refused(
            f"Invalid '{place}.name': up to 64 letters, digits, underscores and dashes.",
            f"{place}.name",
            "invalid_value",
        )
    schema = function.get("parameters")
    if schema is not None and (not isinstance(schema, dict) or schema.get("type") != "object"):
        raise refused(
            f"Invalid schema for function '{name}': schema must have type 'object'.",
            f"{place}.parameters",
            "invalid_function_parameters",
        )
    fault = closed_objects_fault(schema, all_required=True) if function.get("strict") else None
    if fault is not None:
        raise refused(
            f"Invalid schema for function '{name}': {fault}",
            f"{place}.parameters",
            "invalid_function_parameters",
        )
    return OfferedTool(name, schema or {"type": "object", "properties": {}})


def read_choice(
    body: Mapping[str, Any], tools: Sequence[OfferedTool], *, nested: bool
) -> ToolChoice:
    """Read ``tool_choice``; `nested`: as in `read_tools`."""
    choice = body.get("tool_choice")
    match choice:
        case None | "auto":
            return ToolChoice()
        case "none":
            return ToolChoice("none")
        case "required":
            return ToolChoice("required")
        case {"type": "function"}:
            function = choice.get("function") if nested else choice
            name = function.get("name") if isinstance(function, dict) else None
            return ToolChoice("required", _known_names([name], tools))
        case {"type": "allowed_tools"}:
            return _allowed(choice.get("allowed_tools") if nested else choice, tools, nested=nested)
    raise refused(
        "`tool_choice` is none, auto, required or a function.", "tool_choice", "invalid_value"
    )


def _allowed(allowed: object, tools: Sequence[OfferedTool], *, nested: bool) -> ToolChoice:
    match allowed:
        case {"mode": "auto" | "required" as mode, "tools": [*listed]}:
            names = [_function_name(each, nested=nested) for each in listed]
            return ToolChoice(mode, _known_names(names, tools))
    raise refused("Allowed tools are a mode and a list of tools.", "tool_choice", "invalid_value")


def _function_name(tool: object, *, nested: bool) -> object:
    function = tool.get("function") if nested and isinstance(tool, dict) else tool
    return function.get("name") if isinstance(function, dict) else None


def _known_names(names: Sequence[object], tools: Sequence[OfferedTool]) -> tuple[str, ...]:
    offered = [tool.name for tool in tools]
    for name in names:
        if name not in offered:
            raise refused(
                f"Tool choice 'function' not found in 'tools' parameter: {name}.", "tool_choice"
            )
    return tuple(str(name) for name in names)


def read_format(format_: Any, place: str, *, nested: bool, text: str) -> object:
    """Return the schema that an answer must have, or None; `text`: that of all messages.

    `format_`: the field called `place`; `nested`: a schema and its name stand under
    ``json_schema``.
    """
    match format_:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            if "json" not in text.lower():
                raise refused(
                    f"'messages' must contain the word 'json' in some form, to use '{place}' of "
                    "type 'json_object'.",
                    place,
                )
            return ANY_OBJECT
        case {"type": "json_schema"}:
            inner = format_.get("json_schema") if nested else format_
            return _schema(inner, f"{place}.json_schema" if nested else place)
    raise refused(f"`{place}` is text, json_object or json_schema.", place, "invalid_value")


def _schema(format_: object, place: str) -> object:
    if not isinstance(format_, dict):
        raise refused(
            f"Missing required parameter: '{place}'.", place, "missing_required_parameter"
        )
    name, schema = format_.get("name"), format_.get("schema")
    if not isinstance(name, str) or not _NAME.match(name):
        raise refused(
            f"Invalid '{place}.name': up to 64 letters, digits, underscores and dashes.",
            f"{place}.name",
            "invalid_value",
        )
    if not isinstance(schema, dict):
        raise refused(
            f"Missing required parameter: '{place}.schema'.",
            f"{place}.schema",
            "missing_required_parameter",
        )
    fault = closed_objects_fault(schema, all_required=True) if format_.get("strict") else None
    if fault is not None:
        raise refused(f"Invalid schema for response_format '{name}': {fault}", place)
    return schema
