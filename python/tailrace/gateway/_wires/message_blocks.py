"""The blocks of Anthropic's messages, as messages of chat completions.

Results of tools stand in a user's message there; here each is a message, in front of what the user
says beside them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tailrace.gateway._wires.request import refused, surplus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tailrace.gateway._problems import RefusedError

__all__ = ["Reader"]


class Reader:
    """A reader of messages; `lost`: the names of what has no place in a chat completion."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    def system(self, content: str | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
        """Return the system's message, if there is one."""
        text = "" if content is None else self._text_of("system", content)
        return [{"role": "system", "content": text}] if text else []

    def messages(
        self, place: str, role: str, content: str | list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return what one message says; raises RefusedError, which names a wrong block."""
        if isinstance(content, str):
            return [{"role": role, "content": content}]
        if role == "system":
            return self.system(content)
        blocks = [(f"{place}.content[{number}]", block) for number, block in enumerate(content)]
        if role == "assistant":
            return list(self._assistant(blocks))
        return self._user(blocks)

    def lose(self, record: Mapping[str, Any], where: str, known: frozenset[str]) -> None:
        """Note the keys of a record that have a value and are not known."""
        cache = f"{where}.{_CACHE}"
        self.lost += (_CACHE if name == cache else name for name in surplus(where, record, known))

    # -- the two sides -----------------------------------------------------------------------------

    def _user(self, blocks: Iterable[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = []
        parts: list[dict[str, Any]] = []
        for place, block in blocks:
            if block.get("type") == "tool_result":
                results.append(self._result(place, block))
            else:
                parts.append(self._part(place, block))
        return [*results, *([{"role": "user", "content": parts}] if parts or not results else [])]

    def _result(self, place: str, block: dict[str, Any]) -> dict[str, Any]:
        self.lose(block, "tool_result", _RESULT_KEYS)
        call_id = _text(f"{place}.tool_use_id", block.get("tool_use_id"))
        content = block.get("content") or ""
        if isinstance(content, list):
            content = [
                self._part(f"{place}.content[{number}]", part)
                for number, part in enumerate(content)
            ]
            if all(part["type"] == "text" for part in content):
                content = "".join(part["text"] for part in content)
        elif not isinstance(content, str):
            raise _wrong(f"{place}.content", "text or a list of blocks")
        return {"role": "tool", "tool_call_id": call_id, "content": content}

    def _assistant(self, blocks: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        for place, block in blocks:
            match block.get("type"):
                case "text":
                    text = self._part(place, block)["text"]
                    message["content"] = (message["content"] or "") + text
                case "thinking":
                    thought = _text(f"{place}.thinking", block.get("thinking"))
                    message["reasoning_content"] = message.get("reasoning_content", "") + thought
                case "redacted_thinking":
                    self.lost.append("redacted_thinking")
                case "tool_use":
                    message.setdefault("tool_calls", []).append(self._call(place, block))
                case kind:
                    raise _no_place(place, kind)
        if message["content"] is not None or "tool_calls" in message:
            yield message  # and nothing of reasoning that nothing followed

    def _call(self, place: str, block: dict[str, Any]) -> dict[str, Any]:
        self.lose(block, "tool_use", _CALL_KEYS)
        name = _text(f"{place}.name", block.get("name"))
        arguments = json.dumps(block.get("input") or {}, ensure_ascii=False)
        return {
            "id": _text(f"{place}.id", block.get("id")),
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }

    # -- parts -------------------------------------------------------------------------------------

    def _part(self, place: str, block: object) -> dict[str, Any]:
        if not isinstance(block, dict):
            raise _wrong(place, "a block with a type")
        match block.get("type"):
            case "text":
                self.lose(block, "text", frozenset({"type", "text"}))
                return {"type": "text", "text": _text(f"{place}.text", block.get("text"))}
            case "image":
                self.lose(block, "image", frozenset({"type", "source"}))
                url = _url(f"{place}.source", block.get("source"))
                return {"type": "image_url", "image_url": {"url": url}}
            case "document":
                self.lose(block, "document", frozenset({"type", "source", "title"}))
                return _document(f"{place}.source", block)
        raise _no_place(place, block.get("type"))

    def _text_of(self, place: str, content: str | list[dict[str, Any]]) -> str:
        if isinstance(content, str):
            return content
        parts = [self._part(f"{place}[{number}]", block) for number, block in enumerate(content)]
        for number, part in enumerate(parts):
            if part["type"] != "text":
                raise _wrong(f"{place}[{number}]", "a block of text")
        return "\n\n".join(part["text"] for part in parts)


_CACHE = "cache_control"
_RESULT_KEYS = frozenset({"type", "tool_use_id", "content"})
_CALL_KEYS = frozenset({"type", "id", "name", "input"})


def _url(place: str, source: object) -> str:
    match source:
        case {"type": "url", "url": str(url)}:
            return url
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            return f"data:{media_type};base64,{data}"
    raise _wrong(place, "a source of the type url or base64")


def _document(place: str, block: Mapping[str, Any]) -> dict[str, Any]:
    title = block.get("title")
    named = {"filename": title} if isinstance(title, str) else {}
    match block.get("source"):
        case {"type": "text", "data": str(text)}:
            return {"type": "text", "text": f"{title}\n\n{text}" if named else text}
        case {"type": "base64"} as source:
            return {"type": "file", "file": {"file_data": _url(place, source), **named}}
    raise _wrong(place, "a source of the type text or base64")


def _text(place: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(place, "text")
    return value


def _wrong(place: str, expected: str) -> RefusedError:
    return refused(f"{place}: expected {expected}", place, "invalid_type")


def _no_place(place: str, kind: object) -> RefusedError:
    problem = f"{place} is of the type {str(kind)[:80]!r}, which has no place in a message"
    return refused(problem, f"{place}.type", "unsupported_value")
