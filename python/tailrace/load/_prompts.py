"""The prompts of a load, from a file."""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import TYPE_CHECKING, Any

import msgspec

from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path

    from tailrace._messages import Messages

__all__ = ["read_prompts"]

_LARGEST_FILE = 64 * 2**20


class _Prompt(msgspec.Struct, forbid_unknown_fields=True):
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None


def read_prompts(file: Path) -> list[str | Messages]:
    """Read a prompt from each line of `file` that is not empty.

    Of a ``.jsonl`` file a line is a JSON string, or an object with ``prompt`` (a text) or
    ``messages`` (a list); of any other it is the text itself. Raises InvalidRequestError, with the
    line's number, for one that is none of it, and for a file without a prompt or above 64 MiB.
    """
    with file.open("rb") as opened:
        data = opened.read(_LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise InvalidRequestError(f"{file} is larger than {_LARGEST_FILE} bytes")
    read = _of_json if file.suffix == ".jsonl" else _of_text
    lines = enumerate(data.removeprefix(BOM_UTF8).split(b"\n"), 1)
    prompts = [read(line, f"line {number} of {file}") for number, line in lines if line.strip()]
    if not prompts:
        raise InvalidRequestError(f"{file} holds no prompt")
    return prompts


def _of_text(line: bytes, place: str) -> str:
    try:
        return line.decode().strip()
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{place} is no UTF-8") from None


def _of_json(line: bytes, place: str) -> str | Messages:
    try:
        read: str | _Prompt = msgspec.json.decode(line, type=str | _Prompt)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{place} is no prompt: {error}") from None
    if isinstance(read, str):
        return read
    given: list[str | Messages] = [
        each for each in (read.prompt, read.messages) if each is not None
    ]
    if len(given) != 1:
        raise InvalidRequestError(f"{place} needs either prompt or messages")
    return given[0]
