"""A service's word for why its model stopped, in the words of OpenAI's chat completions."""

from __future__ import annotations

__all__ = ["finish_reason_of"]

_CUT = (
    "length",
    "max_output_tokens",
    "max_tokens",
    "model_context_window_exceeded",
    "model_length",
)
_FILTERED = (
    "blocklist",
    "content_filter",
    "content-filter",
    "image_safety",
    "prohibited_content",
    "recitation",
    "refusal",
    "safety",
    "spii",
)
_FINISH_REASONS = dict.fromkeys(_CUT, "length") | dict.fromkeys(_FILTERED, "content_filter")


def finish_reason_of(reason: str | None, *, calls: bool = False) -> str:
    """Return OpenAI's name of a site's finish `reason`; ``stop`` where it has no other.

    `calls`: the answer calls tools, which is why it ended unless it was cut or filtered.
    """
    told = _FINISH_REASONS.get((reason or "").lower())
    return told or ("tool_calls" if calls else "stop")
