"""chatgptfree.ai: AI Power that answers as a stream or as one JSON body."""

from __future__ import annotations

from typing import ClassVar

from tailrace.providers._wordpress import WordPressChatProvider

__all__ = ["ChatgptFree"]


class ChatgptFree(WordPressChatProvider):
    """Streams from chatgptfree.ai, or from any site with the same plugin through `url=`."""

    label = "ChatgptFree"
    url = "https://chatgptfree.ai"
    api_endpoint = "https://chatgptfree.ai/wp-admin/admin-ajax.php"
    default_model = "gpt-4o-mini-2024-07-18"
    models: ClassVar[list[str]] = [default_model]
    model_aliases: ClassVar[dict[str, str]] = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18"}
