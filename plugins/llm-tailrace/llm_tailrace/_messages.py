"""The dialogue as `llm` keeps it, in the form of OpenAI's chat completions, which all sites take.

What only the service that said it can read, a signature say, goes back to the same API alone.
"""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import llm
from llm.parts import (
    AttachmentPart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

from tailrace.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from llm_tailrace._apis import Api

__all__ = ["OWN", "chat_messages"]

OWN = "tailrace"
"""The key of what is ours among the metadata of a part."""

log = logging.getLogger("llm_tailrace")


def chat_messages(messages: Iterable[llm.Message], api: Api) -> list[dict[str, Any]]:
    """Return the messages of a prompt as the site takes them; `api`: how it is spoken to.

    Raises ModelError for what is no message, and for a part that has no place in its message.
    """
    return [each for message in _with_call_ids(messages) for each in _translated(message, api)]


def _with_call_ids(messages: Iterable[llm.Message]) -> Iterator[llm.Message]:
    """Yield the messages with ids for calls that have none, as those of other plugins' models.

    A result without one is that of the first such call of its name that has none yet.
    """
    waiting: list[tuple[str, str]] = []  # names and ids of calls
    for place, message in enumerate(messages):
        if not isinstance(message, llm.Message):
            kind = type(message).__name__
            raise llm.ModelError(f"message {place} must be an llm.Message, not {kind}")
        parts = list(message.parts)
        for number, part in enumerate(parts):
            if not isinstance(part, ToolCallPart | ToolResultPart) or part.tool_call_id:
                continue
            if isinstance(part, ToolCallPart):
                waiting.append((part.name, f"call_{place}_{number}"))
                parts[number] = replace(part, tool_call_id=waiting[-1][1])
            elif open_calls := [each for each in waiting if each[0] == part.name]:
                waiting.remove(open_calls[0])
                parts[number] = replace(part, tool_call_id=open_calls[0][1])
        yield replace(message, parts=parts)


def _translated(message: llm.Message, api: Api) -> Iterator[dict[str, Any]]:
    parts = list(_of_this_side(message.parts))
    if message.role == "tool":
        yield from (_result(part, api) for part in parts)
        return
    record: dict[str, Any] = {"role": message.role, "content": _content(parts, api)}
    if message.role == "assistant":
        record |= _of_an_answer(parts, api)
    elif any(isinstance(part, ToolCallPart | ReasoningPart) for part in parts):
        raise _misplaced("a tool call or reasoning", message.role)
    if any(isinstance(part, ToolResultPart) for part in parts):
        raise _misplaced("a tool's result", message.role)
    yield record


def _misplaced(what: str, role: str) -> llm.ModelError:
    return llm.ModelError(f"a message of the role {role!r} holds {what}, which has no place there")


def _of_this_side(parts: Sequence[Part]) -> Iterator[Part]:
    """Yield the parts without calls that another service carried out, and their results."""
    left_out = 0
    for part in parts:
        if isinstance(part, ToolCallPart | ToolResultPart) and part.server_executed:
            left_out += 1
        else:
            yield part
    if left_out:
        log.warning("calls that another service carried out are not sent: %d parts", left_out)


def _content(parts: Iterable[Part], api: Api) -> str | list[dict[str, Any]]:
    """Return the text of a message, or its parts where there are attachments."""
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, TextPart):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, AttachmentPart):
            content.append(_attached(part.attachment or llm.Attachment(), api))
    if all(each["type"] == "text" for each in content):
        return "".join(each["text"] for each in content)
    return content


# -- what an assistant said ------------------------------------------------------------------------


def _of_an_answer(parts: Sequence[Part], api: Api) -> dict[str, Any]:
    """Return the calls that an answer made, and what its service wants back with it."""
    record: dict[str, Any] = {}
    owned = [(part, own) for part in parts if (own := _own(part, api)) is not None]
    thoughts = [
        (part, own)
        for part, own in owned
        if isinstance(part, ReasoningPart) and "text_signature" not in own
    ]
    if thoughts:
        record["thinking_blocks"] = [_block(part, own) for part, own in thoughts]
    signed = [own["signature"] for part, own in owned if isinstance(part, TextPart)]
    signed += [own["text_signature"] for _, own in owned if "text_signature" in own]
    if signed:
        record["extra_content"] = _signed(signed[-1])
    if calls := [_call(part, api) for part in parts if isinstance(part, ToolCallPart)]:
        record["tool_calls"] = calls
    return record


def _own(part: Part, api: Api) -> dict[str, Any] | None:
    """Return what a site with the same API told beside the part; None without."""
    metadata = getattr(part, "provider_metadata", None) or {}
    own = metadata.get(OWN)
    return own if isinstance(own, dict) and own.get("api") == api else None


def _block(part: ReasoningPart, own: dict[str, Any]) -> dict[str, Any]:
    """Return a block of reasoning in the form that its API has for it."""
    if "id" in own:
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        named = {"id": own["id"]} if own["id"] else {}
        return {"type": "reasoning", **named, "summary": summary, "encrypted_content": own["data"]}
    if "data" in own:
        return {"type": "redacted_thinking", "data": own["data"]}
    return {"type": "thinking", "thinking": part.text, "signature": own["signature"]}


def _call(part: ToolCallPart, api: Api) -> dict[str, Any]:
    own = _own(part, api)
    extra = {} if own is None else {"extra_content": _signed(own["signature"])}
    function = {"name": part.name, "arguments": json.dumps(part.arguments)}
    return {"id": part.tool_call_id, "type": "function", "function": function, **extra}


def _signed(signature: str) -> dict[str, Any]:
    """Return Gemini's signature in the form of Google's OpenAI-compatible API."""
    return {"google": {"thought_signature": signature}}


# -- tools' results and attachments ----------------------------------------------------------------


def _result(part: Part, api: Api) -> dict[str, Any]:
    if not isinstance(part, ToolResultPart):
        raise _misplaced("another part than a tool's result", "tool")
    attached = [_attached(each, api) for each in part.attachments]
    content = [{"type": "text", "text": part.output}, *attached] if attached else part.output
    # Gemini's results have the function's name, which an earlier call need not tell.
    named = {"name": part.name} if api == "gemini" and part.name else {}
    return {"role": "tool", "tool_call_id": part.tool_call_id, "content": content, **named}


def _attached(attachment: llm.Attachment, api: Api) -> dict[str, Any]:
    """Return an attachment as a part of a message; whether the site takes it, it says itself.

    An address is handed on where the API fetches it, else what is there is read here. Raises
    ModelError for one that cannot be read, that is empty, or of which nobody knows what it is.
    """
    kind = _read(attachment, _media_type)
    if kind.startswith("image/"):
        is_fetched = attachment.url is not None and api in ("chat", "responses", "anthropic")
        url = attachment.url if is_fetched else _data_url(attachment, kind)
        return {"type": "image_url", "image_url": {"url": url}}
    if kind in _SOUNDS and api != "gemini":
        sound = {"data": _read(attachment, _base64), "format": _SOUNDS[kind]}
        return {"type": "input_audio", "input_audio": sound}
    data = _data_url(attachment, kind)
    name = f"{attachment.id()[:16]}.{kind.rpartition('/')[2]}"
    return {"type": "file", "file": {"filename": name, "file_data": data}}


_SOUNDS = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def _data_url(attachment: llm.Attachment, kind: str) -> str:
    return f"data:{kind};base64,{_read(attachment, _base64)}"


def _read(attachment: llm.Attachment, read: Callable[[llm.Attachment], str]) -> str:
    """Return what `read` reads; raises ModelError with the attachment's name where it fails."""
    try:
        found = read(attachment)
    except Exception as error:  # noqa: BLE001 - of a file, or of the client by which llm fetches
        problem = str(error) or type(error).__name__
    else:
        if found:
            return found
        problem = "it is empty" if read is _base64 else "its media type is not known"
    named = attachment.path or attachment.url or attachment.type or "without a name"
    raise llm.ModelError(one_line(f"the attachment {named} cannot be sent: {problem}"))


def _media_type(attachment: llm.Attachment) -> str:
    """Return the type without its parameters, which servers send and APIs do not take."""
    return str(attachment.resolve_type() or "").partition(";")[0].strip().lower()


def _base64(attachment: llm.Attachment) -> str:
    return b64encode(attachment.content_bytes() or b"").decode()
