"""What a request to a model means, whatever the API that brought it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tailrace.replica._answers import HistoryTurn

IMAGE_TOKENS = 258
"""The tokens that an image, or a file, counts for."""

ANY_OBJECT: dict[str, object] = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}
"""The schema of an answer that is to be JSON of no certain form."""


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A function that the model may call; `schema`: that of its arguments."""

    name: str
    schema: object


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A function's result as text; `name`: the function's, empty where nothing tells it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """An image or a file in a request; `about` tells its type and size, or where it is."""

    kind: Literal["image", "file", "sound"]
    about: str


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may call (``auto``), must (``required``) or must not (``none``).

    `names`: the functions that it may choose from, None for all.
    """

    mode: Literal["auto", "required", "none"] = "auto"
    names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A request that can be answered.

    `turns`: the conversation, oldest first; the last is what is to be answered. `question`: what
    the visitor wrote in it, in which words may change the reply; `results`: what tools returned in
    it. `called`: the functions called since the visitor's last question. `schema`: that of a
    structured answer. `thinks`: None where the request leaves it to the model. `limit`: the most
    tokens of the reply.
    """

    model: str
    turns: tuple[HistoryTurn, ...]
    question: str
    results: tuple[ToolResult, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    tools: tuple[OfferedTool, ...] = ()
    choice: ToolChoice = ToolChoice()
    called: frozenset[str] = frozenset()
    parallel: bool = True
    schema: object = None
    streams: bool = False
    limit: int | None = None
    stops: tuple[str, ...] = ()
    thinks: bool | None = None


def decode_base64(data: object) -> bytes | None:
    """Decode standard Base64 with its padding; None where `data` is anything else."""
    if not isinstance(data, str):
        return None
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        return None


def parse_data_url(url: str) -> tuple[str, bytes] | None:
    """Return the media type and the bytes of a data URL in Base64; None for any other URL."""
    found = _DATA_URL.match(url)
    data = None if found is None else decode_base64(url[found.end() :])
    return None if found is None or data is None else (found[1].lower(), data)


_DATA_URL = re.compile(
    r"data:([a-zA-Z0-9.+-]{1,64}/[a-zA-Z0-9.+-]{1,128})(?:;[^;,]{1,64}){0,4};base64,"
)


def about_bytes(media_type: str, data: bytes) -> str:
    """Tell the type and size of an attachment."""
    return f"{media_type}, {len(data)} bytes" if media_type else f"{len(data)} bytes"
