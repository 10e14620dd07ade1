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

    `role`: who speaks, such as ``user``; `text`: its text, all parts joined. Both can be encoded as
    UTF-8.
    """

    role: str
    text: str


def parse_messages(messages: object) -> list[Turn]:
    """Parse a caller's messages; InvalidRequestError names the first one that cannot be sent."""
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise InvalidRequestError(
            f"messages must be a list of messages, not {type(messages).__name__}"
        )
    if not messages:
        raise InvalidRequestError("the message list is empty: give at least one message")
    try:
        return [_turn(position, message) for position, message in enumerate(messages)]
    except RecursionError:
        pass
    raise InvalidRequestError("the content of a message is nested too deep")


def _turn(position: int, message: object) -> Turn:
    if not isinstance(message, Mapping):
        raise InvalidRequestError(
            f"message {position} must be a mapping, not {type(message).__name__}"
        )
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise InvalidRequestError(
            f"message {position} has no role: 'system', 'user' or 'assistant' is expected"
        )
    if "content" not in message:
        raise InvalidRequestError(f"message {position} has no content")
    return Turn(browser_text(role), browser_text(_content(position, message["content"])))


def _content(position: int, content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        text = content.get("text")
        return text if isinstance(text, str) else ""
    if isinstance(content, Sequence) and not isinstance(content, bytes):
        return "".join(_content(position, part) for part in content)
    kind = type(content).__name__
    raise InvalidRequestError(
        f"the content of message {position} must be text or a list of parts, not {kind}"
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
