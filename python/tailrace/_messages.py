"""Messages of a caller, parsed into turns, and joined to one prompt.

Messages are parsed once, here; past this module every text can be encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tailrace.errors import InvalidRequestError

__all__ = [
    "SYSTEM_ROLES",
    "Message",
    "Messages",
    "Turn",
    "browser_text",
    "format_prompt",
    "holds_more_than_text",
    "parse_messages",
]

Message = dict[str, Any]
"""One message in the form of OpenAI's API.

``{"role": …, "content": str | list of parts | None}``.
"""

Messages = list[Message]
"""A list of messages; code written for gpt4free calls the alias like a constructor."""

SYSTEM_ROLES = ("system", "developer")
"""Roles that instruct rather than speak; the second is OpenAI's newer name for the first."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message, parsed.

    `role`: who speaks, such as ``user``, in lower case; `text`: its text, all parts joined. Both
    can be encoded as UTF-8.
    """

    role: str
    text: str


def parse_messages(messages: object, *, text_only: bool = False) -> list[Turn]:
    """Parse a caller's messages; InvalidRequestError names the first one that cannot be sent.

    `text_only`: what is no text, such as an image or a tool call, cannot be sent either. Else it is
    no part of the turns.
    """
    if not isinstance(messages, list | Sequence) or isinstance(messages, str | bytes):
        raise InvalidRequestError(
            f"messages must be a list of messages, not {type(messages).__name__}"
        )
    if not messages:
        raise InvalidRequestError("the message list is empty: give at least one message")
    turns = [_turn(position, message) for position, message in enumerate(messages)]
    if text_only:
        for position, message in enumerate(messages):
            _check_text_only(position, message)
    return turns


def holds_more_than_text(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether any of the messages, which have been parsed, holds what is no text."""
    try:
        for position, message in enumerate(messages):
            _check_text_only(position, message)
    except InvalidRequestError:
        return True
    return False


def _turn(position: int, message: object) -> Turn:
    if not isinstance(message, dict | Mapping):  # most are a dict, which is known at once
        raise InvalidRequestError(
            f"message {position} must be a mapping, not {type(message).__name__}"
        )
    role = message.get("role")
    if not isinstance(role, str) or not role.strip():
        raise InvalidRequestError(
            f"message {position} has no role: 'system', 'user' or 'assistant' is expected"
        )
    if "content" not in message and not any(message.get(each) for each in _BESIDE_CONTENT):
        raise InvalidRequestError(f"message {position} has no content")
    text = "".join(_text_of(part) for part in _parts(position, message.get("content")))
    if not text and isinstance(message.get("refusal"), str):
        text = message["refusal"]
    return Turn(browser_text(role).strip().lower(), browser_text(text))


_BESIDE_CONTENT = ("refusal", "tool_calls", "function_call", "audio", "images")
"""Keys of a message that may stand in the place of its content, or beside it."""

_MEDIA = frozenset(
    {
        *("attachments", "audio", "audio_url", "document", "documents", "file", "files"),
        *("file_data", "image", "image_url", "images", "inline_data", "input_audio", "media"),
        *("video", "video_url", "videos"),
    }
)
"""Keys under which the messages and parts of common APIs hold what is no text."""

_TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""Types of parts that are text, and the key of it."""


def _parts(position: int, content: object) -> Sequence[str | Mapping[str, Any] | None]:
    """Return the parts of a content; InvalidRequestError for what is none."""
    if content is None or isinstance(content, str | Mapping):
        return [content]
    parts = content if isinstance(content, Sequence) and not isinstance(content, bytes) else None
    for part in [content] if parts is None else parts:
        if part is not None and not isinstance(part, str | Mapping):
            kind = type(part).__name__
            raise InvalidRequestError(
                f"the content of message {position} must be text or a list of parts, not {kind}"
            )
    return parts or []


def _text_of(part: str | Mapping[str, Any] | None) -> str:
    """Return the text of a part; empty for a part that holds none."""
    if isinstance(part, str):
        return part
    text = None if part is None else part.get(_TEXT_PARTS.get(_kind(part), "text"))
    return text if isinstance(text, str) else ""


def _kind(part: Mapping[str, Any]) -> str:
    return str(part.get("type") or "text")[:80]


def _check_text_only(position: int, message: Mapping[str, Any]) -> None:
    """Raise InvalidRequestError for what a message holds beside text."""
    for key in (*_BESIDE_CONTENT, *sorted(_MEDIA & message.keys())):
        if key != "refusal" and message.get(key):
            raise _no_text(position, key)
    for part in _parts(position, message.get("content")):
        if not isinstance(part, Mapping):
            continue
        kind = _kind(part)
        if kind not in _TEXT_PARTS:
            raise _no_text(position, f"a part of the type {kind!r}")
        if not isinstance(part.get(_TEXT_PARTS[kind]), str):
            raise _no_text(position, f"a part of the type {kind!r} without text")
        for key in sorted(_MEDIA & part.keys()):
            if part[key]:
                raise _no_text(position, f"a part of the type {kind!r} with {key}")


def _no_text(position: int, what: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"message {position} holds {what}, which cannot be sent: the site takes text alone"
    )


def browser_text(text: str) -> str:
    """Return `text` as a browser sends it: surrogate pairs joined, U+FFFD for each lone one."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def format_prompt(
    messages: Messages,
    add_special_tokens: bool = False,  # noqa: FBT001, FBT002 - gpt4free's signature
    do_continue: bool = False,  # noqa: FBT001, FBT002
    include_system: bool = True,  # noqa: FBT001, FBT002
) -> str:
    """Join a whole conversation to one prompt, as gpt4free's providers send it.

    A single one of the `messages` is its content alone, unless `add_special_tokens`. Otherwise one
    ``Role: content`` line a message (blank ones skipped) and a last line ``Assistant:``, which
    `do_continue` leaves out. `include_system` false leaves out the messages of the roles ``system``
    and ``developer``. Raises InvalidRequestError for messages that cannot be sent.
    """
    return turns_prompt(
        parse_messages(messages),
        add_special_tokens=add_special_tokens,
        do_continue=do_continue,
        include_system=include_system,
    )


def turns_prompt(
    turns: Sequence[Turn],
    *,
    add_special_tokens: bool = False,
    do_continue: bool = False,
    include_system: bool = True,
) -> str:
    """Join messages that are already parsed to one prompt; see `format_prompt`."""
    if len(turns) == 1 and not add_special_tokens:
        return turns[0].text
    lines = [
        f"{turn.role.capitalize()}: {turn.text}"
        for turn in turns
        if turn.text.strip() and (include_system or turn.role not in SYSTEM_ROLES)
    ]
    if not do_continue:
        lines.append("Assistant:")
    return "\n".join(lines)
