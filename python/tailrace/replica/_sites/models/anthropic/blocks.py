"""The content of a message: blocks, each with its own fields, and the rules among them."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from tailrace.replica._site import well_formed
from tailrace.replica._sites.models.anthropic.errors import (
    check_fields,
    check_one_of,
    check_text,
    refused,
)
from tailrace.replica._sites.models.requests import Attachment, about_bytes, decode_base64

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its kind, its text, and what came with it.

    `call_id`: of a call or a result; `name`: of the function called.
    """

    kind: Literal["text", "attachment", "thinking", "call", "result"]
    text: str = ""
    attachments: tuple[Attachment, ...] = ()
    call_id: str = ""
    name: str = ""


def signature_of(thinking: str) -> str:
    """Return the signature by which the server knows its own thoughts again."""
    digest = sha256(b"replica|" + thinking.encode("utf-8", "replace")).digest()
    return b64encode(digest * 3).decode("ascii")


def read_content(content: object, role: str, place: str) -> tuple[Block, ...]:
    """Read the content of a message of `role`: text, or a list of blocks."""
    if isinstance(content, str):
        return (_text(content, role),) if content else ()
    if not isinstance(content, list):
        raise refused(f"{place}: Input should be a valid list")
    return tuple(read_block(each, role, f"{place}.{at}") for at, each in enumerate(content))


def read_block(block: object, role: str, place: str) -> Block:
    """Read a block of a message of `role`."""
    if not isinstance(block, dict):
        raise refused(f"{place}: Input should be a valid dictionary")
    kind = block.get("type")
    readers = _READERS[role]
    if not isinstance(kind, str) or kind not in readers:
        known = ", ".join(f"'{name}'" for name in readers)
        raise refused(
            f"{place}: Input tag '{kind}' found using 'type' does not match any of the expected "
            f"tags: {known}"
        )
    required, optional, read = readers[kind]
    place = f"{place}.{kind}"
    check_fields(block, place, ("type", *required), ("cache_control", *optional))
    parsed: Block = read(block, place)
    return parsed


def _text(text: str, role: str) -> Block:
    if role != "assistant" and not text.strip():
        raise refused("messages: text content blocks must contain non-whitespace text")
    return Block("text", well_formed(text))


def _read_text(block: Mapping[str, Any], place: str) -> Block:
    text = check_text(block["text"], f"{place}.text")
    if not text:
        raise refused("messages: text content blocks must be non-empty")
    return _text(text, "user")


def _read_image(block: Mapping[str, Any], place: str) -> Block:
    source, place = block["source"], f"{place}.source"
    match source:
        case {"type": "base64"}:
            about = _about(source, f"{place}.base64", IMAGE_TYPES)
        case {"type": "url"}:
            check_fields(source, f"{place}.url", ("type", "url"))
            about = check_text(source["url"], f"{place}.url.url")
            if not about.startswith("https://"):
                raise refused(f"{place}.url.url: Only HTTPS URLs are supported")
        case {"type": "file"}:
            check_fields(source, f"{place}.file", ("type", "file_id"))
            about = check_text(source["file_id"], f"{place}.file.file_id")
        case _:
            raise _no_source(place, ("base64", "url", "file"))
    return Block("attachment", attachments=(Attachment("image", about),))


def _read_document(block: Mapping[str, Any], place: str) -> Block:
    source, place = block["source"], f"{place}.source"
    match source:
        case {"type": "base64"}:
            about = _about(source, f"{place}.base64", ("application/pdf",))
        case {"type": "text"}:
            check_fields(source, f"{place}.text", ("type", "media_type", "data"))
            check_one_of(source["media_type"], f"{place}.text.media_type", ("text/plain",))
            data = check_text(source["data"], f"{place}.text.data")
            about = about_bytes("text/plain", data.encode("utf-8", "replace"))
        case {"type": "url"}:
            check_fields(source, f"{place}.url", ("type", "url"))
            about = check_text(source["url"], f"{place}.url.url")
        case {"type": "file"}:
            check_fields(source, f"{place}.file", ("type", "file_id"))
            about = check_text(source["file_id"], f"{place}.file.file_id")
        case _:
            raise _no_source(place, ("base64", "text", "url", "file"))
    return Block("attachment", attachments=(Attachment("file", about),))


def _about(source: Mapping[str, Any], place: str, types: Sequence[str]) -> str:
    check_fields(source, place, ("type", "media_type", "data"))
    media_type = check_one_of(source["media_type"], f"{place}.media_type", types)
    data = decode_base64(source["data"])
    if data is None:
        raise refused(f"{place}: invalid base64 data")
    if not data:
        raise refused(f"{place}: cannot be empty")
    return about_bytes(media_type, data)


def _no_source(place: str, known: Sequence[str]) -> Exception:
    tags = ", ".join(f"'{name}'" for name in known)
    return refused(
        f"{place}: Input tag found using 'type' does not match any of the expected tags: {tags}"
    )


def _read_thinking(block: Mapping[str, Any], place: str) -> Block:
    thinking = check_text(block["thinking"], f"{place}.thinking")
    # Of thoughts that were not shown, nothing but the signature comes back.
    if thinking and block["signature"] != signature_of(thinking):
        raise refused(f"{place.removesuffix('.thinking')}: Invalid `signature` in `thinking` block")
    return Block("thinking")


def _read_redacted(block: Mapping[str, Any], place: str) -> Block:
    check_text(block["data"], f"{place}.data")
    return Block("thinking")


def _read_call(block: Mapping[str, Any], place: str) -> Block:
    call_id, name = (
        check_text(block["id"], f"{place}.id"),
        check_text(block["name"], f"{place}.name"),
    )
    if not isinstance(block["input"], dict):
        raise refused(f"{place}.input: Input should be a valid dictionary")
    return Block("call", call_id=call_id, name=name)


def _read_result(block: Mapping[str, Any], place: str) -> Block:
    call_id = check_text(block["tool_use_id"], f"{place}.tool_use_id")
    content = block.get("content") or ""
    if isinstance(content, str):
        return Block("result", well_formed(content), call_id=call_id)
    if not isinstance(content, list):
        raise refused(f"{place}.content: Input should be a valid list")
    parts = [read_block(each, "result", f"{place}.content.{at}") for at, each in enumerate(content)]
    attachments = tuple(each for part in parts for each in part.attachments)
    return Block("result", "".join(part.text for part in parts), attachments, call_id)


_TEXT = (("text",), ("citations",), _read_text)
_IMAGE = (("source",), ("transformations",), _read_image)
_DOCUMENT = (("source",), ("citations", "context", "title"), _read_document)
_READERS: dict[str, dict[str, Any]] = {
    "system": {"text": _TEXT},
    "user": {
        "text": _TEXT,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "tool_result": (("tool_use_id",), ("content", "is_error"), _read_result),
    },
    "result": {"text": _TEXT, "image": _IMAGE, "document": _DOCUMENT},
    "assistant": {
        "text": _TEXT,
        "thinking": (("thinking", "signature"), (), _read_thinking),
        "redacted_thinking": (("data",), (), _read_redacted),
        "tool_use": (("id", "name", "input"), ("caller",), _read_call),
    },
}
"""The blocks of each role, and of results: their required fields, their others, their reader."""
