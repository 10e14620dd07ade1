"""litellm over the openai client.

Every chunk becomes an object of its own, with callbacks and costs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from contenders import Contender
from contenders.openai_client import CLIENT, MESSAGES, TRANSPORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workloads import Reply

__all__ = ["CONTENDERS", "litellm"]

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = (
    "True"  # else its import asks the network for a list of prices
)
import litellm


def decode(_: Reply, feeds: Sequence[bytes]) -> list[str]:
    """A streamed completion."""
    TRANSPORT.feeds = feeds
    chunks = litellm.completion("openai/gpt-4o", MESSAGES, stream=True, client=CLIENT)
    return [
        content for chunk in chunks if chunk.choices and (content := chunk.choices[0].delta.content)
    ]


CONTENDERS = (Contender("litellm stream", decode, ("litellm", "openai", "httpx"), share=0.02),)
