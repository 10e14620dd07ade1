"""Embeddings: a unit vector of each text, the same for the same text."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

from tailrace.replica._answers import tokenize
from tailrace.replica._sites.models.openai.completions import read_texts
from tailrace.replica._sites.models.openai.errors import known_model, read_count, refused
from tailrace.replica._sites.models.site import as_json
from tailrace.replica._sites.models.vectors import unit_vector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.replica._response import SiteResponse

EMBEDDING_MODELS = ("text-embedding-3-small",)
DIMENSIONS = 1536


def as_embeddings(body: Mapping[str, Any]) -> SiteResponse:
    """Return the response to the request `body` for embeddings."""
    model = known_model(body.get("model"), EMBEDDING_MODELS)
    texts = read_texts(body.get("input"), "input")
    if any(not text for text in texts):
        raise refused("Invalid 'input': input cannot be an empty string.", "input")
    dimensions = read_count(body, "dimensions", 1, DIMENSIONS) or DIMENSIONS
    format_ = body.get("encoding_format") or "float"
    if format_ not in ("float", "base64"):
        raise refused("`encoding_format` is float or base64.", "encoding_format")
    vectors = [unit_vector(text, dimensions) for text in texts]
    tokens = sum(len(tokenize(text)) for text in texts)
    data = [
        {
            "object": "embedding",
            "index": number,
            "embedding": vector if format_ == "float" else _packed(vector),
        }
        for number, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return as_json(200, {"object": "list", "data": data, "model": model, "usage": usage})


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
