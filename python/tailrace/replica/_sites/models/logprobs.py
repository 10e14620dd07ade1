"""Probabilities of tokens: the same for the same token, each with less likely ones beside it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def logprob(token: str) -> float:
    """Return the logarithm of the probability of `token`, between -1 and 0."""
    return -sha256(token.encode("utf-8", "surrogatepass")).digest()[0] / 256


def token_logprob(token: str, alternatives: int) -> dict[str, object]:
    """Return the record of `token`, as OpenAI and Ollama write it, with the `alternatives`."""
    return {**_record(token, logprob(token)), "top_logprobs": _top(token, alternatives)}


def token_logprobs(tokens: Iterable[str], alternatives: int) -> list[dict[str, object]]:
    """Return the records of `tokens`."""
    return [token_logprob(token, alternatives) for token in tokens]


def likeliest(token: str, number: int) -> list[tuple[str, float]]:
    """Return the `number` likeliest tokens in the place of `token`, itself the first."""
    return [
        (token if at == 0 else f"{token}{'~' * at}", logprob(token) - at) for at in range(number)
    ]


def _top(token: str, number: int) -> list[dict[str, object]]:
    return [_record(each, value) for each, value in likeliest(token, number)]


def _record(token: str, value: float) -> dict[str, object]:
    return {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "replace"))}
