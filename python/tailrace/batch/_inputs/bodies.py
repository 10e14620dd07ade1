"""What every format needs: JSON that others wrote, and what a request's body must hold."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from tailrace._messages import browser_text

__all__ = ["check_body", "in_whole_characters", "problem_of", "read_json_line"]

_MALFORMED = "JSON is malformed: "


def problem_of(error: Exception, line: bytes = b"") -> str:
    """Return what is wrong with a `line`, in words."""
    if isinstance(error, msgspec.DecodeError) and in_whole_characters(line) != line:
        return "it holds half of a surrogate pair, which is no character"
    if isinstance(error, msgspec.ValidationError):
        return str(error).replace(" - at `$.", " at `").replace(" - at `$`", "")
    if isinstance(error, UnicodeDecodeError):
        return "it is no UTF-8"
    if isinstance(error, RecursionError):
        return "it is no JSON that can be read: nested too deep"
    return f"it is no JSON: {str(error).removeprefix(_MALFORMED)}"


def read_json_line(line: bytes) -> Any:
    """Return the value of a line that should be JSON, None where it is not.

    Half a character, as programs leave it that cut a text, is U+FFFD.
    """
    for edited in (bytes, in_whole_characters):
        try:
            return msgspec.json.decode(edited(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return None


def in_whole_characters(line: bytes) -> bytes:
    r"""Return JSON with U+FFFD for each half character (``\ud83d``); what is no JSON as it is."""
    if _HALF.search(line) is None:
        return line
    try:
        text = json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError):
        return line
    whole = browser_text(text)
    return line if whole == text else whole.encode()


_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
"""What is half a character, unless its backslash is quoted."""


class _Chat(msgspec.Struct, gc=False):
    messages: list[msgspec.Raw]
    model: str | None = None


class _Responses(msgspec.Struct, gc=False):
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    prompt: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # a stored one, by its id
    model: str | None = None


class _Completions(msgspec.Struct, gc=False):
    prompt: str | list[Any]
    model: str | None = None


class _Embeddings(msgspec.Struct, gc=False):
    input: str | list[Any]
    model: str | None = None


_BODIES: dict[str, msgspec.json.Decoder[Any]] = {
    "/v1/chat/completions": msgspec.json.Decoder(_Chat),
    "/v1/responses": msgspec.json.Decoder(_Responses),
    "/v1/completions": msgspec.json.Decoder(_Completions),
    "/v1/embeddings": msgspec.json.Decoder(_Embeddings),
}


def check_body(endpoint: str, body: bytes) -> str:
    """Return what `body` lacks to be asked of `endpoint`, in words; empty where nothing.

    Only what every server must have is looked for: the rest is the server's to judge.
    """
    try:
        read = _BODIES[endpoint].decode(body)
        if not body.isascii():
            body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return problem_of(error)
    if isinstance(read, _Chat) and not read.messages:
        return "messages is empty"
    if isinstance(read, _Responses) and read.input is read.prompt:
        return "it has neither input nor prompt"
    return ""
