"""Embeddings: a unit vector of each text, the same for the same text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.replica._answers import tokenize
from tailrace.replica._sites.models.ollama.requests import (
    TOKEN_NANOSECONDS,
    read_model,
    refused,
    whole,
    wrong_type,
)
from tailrace.replica._sites.models.vectors import unit_vector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.replica._response import SiteResponse

DIMENSIONS = 384
CONTEXT_TOKENS = 256


def as_embeddings(body: Mapping[str, Any]) -> SiteResponse:
    """Return the response to the request `body` for embeddings."""
    name, _ = read_model(body.get("model"))
    dimensions = _read_dimensions(body.get("dimensions"))
    texts = _read_texts(body.get("input"))
    truncates = _truncates(body.get("truncate"))
    counts = [len(tokenize(text)) for text in texts]
    if max(counts, default=0) > CONTEXT_TOKENS and not truncates:
        raise refused("the input length exceeds the context length")
    tokens = sum(min(count, CONTEXT_TOKENS) for count in counts)
    return whole(
        200,
        {
            "model": name,
            "embeddings": [unit_vector(text, dimensions) for text in texts],
            "total_duration": tokens * TOKEN_NANOSECONDS,
            "load_duration": 1_000_000,
            "prompt_eval_count": tokens,
        },
    )


def _read_texts(given: object) -> list[str]:
    """Return the texts; without any a model is loaded."""
    texts = [given] if isinstance(given, str) else given or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise refused("invalid input type")
    return [] if given == "" else texts


def _read_dimensions(given: object) -> int:
    if given is not None and (not isinstance(given, int) or isinstance(given, bool)):
        raise wrong_type("dimensions", "int", given, "EmbedRequest")
    return given if given and 0 < given < DIMENSIONS else DIMENSIONS


def _truncates(given: object) -> bool:
    if given is not None and not isinstance(given, bool):
        raise wrong_type("truncate", "bool", given, "EmbedRequest")
    return given is not False
