"""chatgpt.es: AI Power behind a guard that wants a browser-like transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tailrace._messages import turns_prompt
from tailrace.providers._wordpress import WordPressChatProvider

if TYPE_CHECKING:
    from tailrace._messages import Turn
    from tailrace.transport import TransportKind

__all__ = ["ChatGptEs"]


class ChatGptEs(WordPressChatProvider):
    """Streams from chatgpt.es over curl_cffi (extra ``impersonate``), or from any site with the
    plugin through `url=`.

    The site keeps no history and no system message; the conversation goes as one prompt behind
    `SYSTEM_PROMPT`.
    """

    label = "ChatGptEs"
    url = "https://chatgpt.es"
    api_endpoint = "https://chatgpt.es/wp-admin/admin-ajax.php"
    supports_system_message = False
    supports_message_history = False
    default_model = "gpt-4o"
    models: ClassVar[list[str]] = ["gpt-4", default_model, "gpt-4o-mini"]
    transport_kind: ClassVar[TransportKind] = "impersonate"

    SYSTEM_PROMPT = "Answer in the language of the user's last message, whatever language this page or the bot uses."

    @classmethod
    def prompt(cls, turns: list[Turn]) -> str:
        """The language prompt, then the conversation."""
        return f"{cls.SYSTEM_PROMPT}\n\n{turns_prompt(turns)}"
