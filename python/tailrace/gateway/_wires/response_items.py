"""The items of a Responses' input, as messages of chat completions.

An assistant's messages, reasoning and calls that follow one another are one message there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.gateway._wires.request import refused, surplus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailrace.gateway._problems import RefusedError

__all__ = ["messages_of"]


def messages_of(
    instructions: str | None, items: str | list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the messages of a request's `instructions` and input, and names of what they lose.

    Raises RefusedError, which names the first item that has no place in a message.
    """
    dialogue = _Dialogue()
    if instructions:
        dialogue.messages.append({"role": "system", "content": instructions})
    if isinstance(items, str):
        dialogue.messages.append({"role": "user", "content": items})
        return dialogue.messages, []
    for number, item in enumerate(items):
        dialogue.add(f"input[{number}]", item)
    messages = [message for message in dialogue.messages if _says_something(message)]
    if not messages:
        raise refused("input: expected text, or at least one item", "input", "invalid_type")
    return messages, dialogue.lost


def _says_something(message: Mapping[str, Any]) -> bool:
    """Tell a message from reasoning that nothing followed."""
    return message["content"] is not None or "refusal" in message or "tool_calls" in message


class _Dialogue:
    """The messages so far; reasoning waits for what the assistant says next.

    What the assistant says behind a call stands in the call's message: the next one has to be the
    call's result. `lost`: names of what has no place in a message.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.lost: list[str] = []

    def add(self, place: str, item: dict[str, Any]) -> None:
        """Add one item."""
        kind = item.get("type", "message")
        add = _ADDED.get(kind) if isinstance(kind, str) else None
        if add is None:
            problem = f"{place} is of the type {str(kind)[:80]!r}, which has no place in a message"
            raise refused(problem, f"{place}.type", "unsupported_value")
        add(self, place, item)
        self.lost += _lost(kind, item)

    def _message(self, place: str, item: dict[str, Any]) -> None:
        role = item.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise _wrong(f"{place}.role", f"one of {', '.join(_ROLES)}")
        content = _content(f"{place}.content", item.get("content"))
        if role == "assistant":
            self._said(place, content)
        else:
            self.messages.append({"role": _ROLES[role], "content": content})

    def _said(self, place: str, content: str | list[dict[str, Any]]) -> None:
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        refusal = "".join(part["refusal"] for part in parts if part["type"] == "refusal")
        if len(parts) > sum(part["type"] in ("text", "refusal") for part in parts):
            raise _wrong(f"{place}.content", "an assistant's text")
        message = self._assistant()
        if "tool_calls" not in message and (message["content"] or message.get("refusal")):
            message = self._begin_assistant()
        told = (message["content"] or "") + text
        message["content"] = told or (None if refusal else "")
        if refusal:
            message["refusal"] = message.get("refusal", "") + refusal

    def _call(self, place: str, item: dict[str, Any]) -> None:
        call = {
            "id": _text(f"{place}.call_id", item.get("call_id")),
            "type": "function",
            "function": {
                "name": _text(f"{place}.name", item.get("name")),
                "arguments": _text(f"{place}.arguments", item.get("arguments")),
            },
        }
        self._assistant().setdefault("tool_calls", []).append(call)

    def _result(self, place: str, item: dict[str, Any]) -> None:
        call_id = _text(f"{place}.call_id", item.get("call_id"))
        content = _content(f"{place}.output", item.get("output"))
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def _reasoning(self, place: str, item: dict[str, Any]) -> None:
        told = item.get("content") or item.get("summary") or []
        if not isinstance(told, list):
            raise _wrong(f"{place}.summary", "a list of parts")
        texts = [part.get("text") for part in told if isinstance(part, dict)]
        text = "\n\n".join(each for each in texts if isinstance(each, str))
        message = self._assistant()
        if "tool_calls" not in message:
            message = self._begin_assistant()
        if text:
            before = message.get("reasoning_content")
            message["reasoning_content"] = f"{before}\n\n{text}" if before else text

    def _assistant(self) -> dict[str, Any]:
        """Return the assistant's message that goes on, or a new one."""
        if self.messages and self.messages[-1]["role"] == "assistant":
            return self.messages[-1]
        return self._begin_assistant()

    def _begin_assistant(self) -> dict[str, Any]:
        self.messages.append({"role": "assistant", "content": None})
        return self.messages[-1]


_ADDED: Mapping[str, Callable[[_Dialogue, str, dict[str, Any]], None]] = {
    "message": _Dialogue._message,  # noqa: SLF001 - this module's own
    "function_call": _Dialogue._call,  # noqa: SLF001
    "function_call_output": _Dialogue._result,  # noqa: SLF001
    "reasoning": _Dialogue._reasoning,  # noqa: SLF001
}

_ITEM_KEYS: Mapping[str, frozenset[str]] = {
    "message": frozenset({"type", "id", "status", "role", "content"}),
    "function_call": frozenset({"type", "id", "status", "call_id", "name", "arguments"}),
    "function_call_output": frozenset({"type", "id", "status", "call_id", "output"}),
    "reasoning": frozenset({"type", "id", "status", "summary", "content"}),
}
_PART_KEYS = frozenset(
    {
        *("type", "text", "refusal", "logprobs", "image_url", "detail", "input_audio"),
        *("file_id", "file_data", "filename"),
    }
)


def _lost(kind: str, item: Mapping[str, Any]) -> list[str]:
    """Name what of an item that was added has no place in a message."""
    lost = [*surplus(kind, item, _ITEM_KEYS[kind])]
    content = item.get("output" if kind == "function_call_output" else "content")
    for part in content if isinstance(content, list) and kind != "reasoning" else ():
        lost += surplus(part["type"], part, _PART_KEYS)
    return lost


_ROLES: Mapping[str, str] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",  # the name that every server of chat completions knows
}


# -- parts -----------------------------------------------------------------------------------------


def _content(place: str, content: object) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _wrong(place, "text or a list of parts")
    return [_part(f"{place}[{number}]", part) for number, part in enumerate(content)]


def _part(place: str, part: object) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise _wrong(place, "a part with a type")
    match part.get("type"):
        case "input_text" | "output_text" | "text" | "summary_text":
            return {"type": "text", "text": _text(f"{place}.text", part.get("text"))}
        case "refusal":
            return {"type": "refusal", "refusal": _text(f"{place}.refusal", part.get("refusal"))}
        case "input_image" if part.get("file_id") is None:
            return {"type": "image_url", "image_url": _image(place, part)}
        case "input_file" if part.get("file_url") is None:
            names = ("file_id", "file_data", "filename")
            file = {name: part[name] for name in names if part.get(name) is not None}
            return {"type": "file", "file": file}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part.get("input_audio")}
    what = "by such a reference" if part.get("type") in ("input_image", "input_file") else "here"
    problem = f"{place}: {str(part.get('type'))[:80]!r} has no place {what}"
    raise refused(problem, f"{place}.type", "unsupported_value")


def _image(place: str, part: Mapping[str, Any]) -> dict[str, Any]:
    image = {"url": _text(f"{place}.image_url", part.get("image_url"))}
    detail = part.get("detail")
    return image if detail in (None, "auto") else {**image, "detail": detail}


def _text(place: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(place, "text")
    return value


def _wrong(place: str, expected: str) -> RefusedError:
    return refused(f"{place}: expected {expected}", place, "invalid_type")
