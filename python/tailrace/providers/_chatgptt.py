"""chatgptt.me: AI Power behind a page of its own."""

from __future__ import annotations

from typing import ClassVar

from tailrace.providers._wordpress import WordPressChatProvider

__all__ = ["ChatGptt"]


class ChatGptt(WordPressChatProvider):
    """Streams from chatgptt.me, or from any site with the same plugin through `url=`."""

    label = "ChatGptt"
    url = "https://chatgptt.me"
    api_endpoint = "https://chatgptt.me/wp-admin/admin-ajax.php"
    default_model = "gpt-4o"
    models: ClassVar[list[str]] = ["gpt-4", default_model, "gpt-4o-mini"]
