"""Bodies that no record of a wire describes: those that the core or a site writes, and health."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "EmbeddingRequest",
    "Embeddings",
    "Health",
    "Message",
    "Readiness",
    "Response",
    "TokenCount",
]


class EmbeddingRequest(msgspec.Struct):
    """A request for embeddings; further fields go to the site as they are."""

    model: str
    input: Any


class Embeddings(msgspec.Struct):
    """The site's own answer, as it came."""

    object: str
    data: list[dict[str, Any]]
    model: str


class TokenCount(msgspec.Struct):
    """The site's own count, as it came."""

    input_tokens: int


class MessageUsage(msgspec.Struct):
    """The tokens of a message, as Anthropic's API names them."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int | msgspec.UnsetType = msgspec.UNSET
    cache_creation_input_tokens: int | msgspec.UnsetType = msgspec.UNSET
    output_tokens_details: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


class Message(msgspec.Struct):
    """A whole answer on Anthropic's wire: its blocks of text, thinking and tool use."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: str | None
    stop_sequence: str | None
    usage: MessageUsage


class ResponseUsage(msgspec.Struct):
    """The tokens of a response."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens_details: dict[str, int]


class Response(msgspec.Struct):
    """A whole answer on the wire of OpenAI's Responses; the request's fields stand in it, too."""

    id: str
    object: Literal["response"]
    created_at: float
    model: str
    status: Literal["completed", "incomplete", "failed", "in_progress"]
    output: list[dict[str, Any]]
    usage: ResponseUsage | None
    error: dict[str, Any] | None
    incomplete_details: dict[str, Any] | None
    store: Literal[False]


class Health(msgspec.Struct):
    """A sign that the process lives."""

    status: Literal["alive"]
    version: str


class Readiness(msgspec.Struct):
    """Whether the gateway takes requests."""

    status: Literal["ready", "stopping"]
