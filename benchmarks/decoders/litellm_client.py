"""litellm's streamed completion, over the openai client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contenders.litellm_client import litellm
from contenders.openai_client import CLIENT, MESSAGES, TRANSPORT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["text"]

litellm.suppress_debug_info = True  # else each failure is also printed


def text(chunks: Iterable[bytes]) -> Iterator[str]:
    """The content of its chunks."""
    TRANSPORT.feeds = list(chunks)
    for chunk in litellm.completion("openai/gpt-4o", MESSAGES, stream=True, client=CLIENT):
        if chunk.choices and (content := chunk.choices[0].delta.content):
            yield content
