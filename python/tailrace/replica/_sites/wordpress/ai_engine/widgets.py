"""Parts that AI Engine adds to a page: a script, and one empty element a bot.

Attributes, their order and quotes, and the keys of their JSON follow the captured pages
(``ai-engine/*/page-elements``); the words are our own. A page without a bot has none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace.replica._sites.wordpress.php import esc_html, json_encode
from tailrace.replica._sites.wordpress.theme import PluginParts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailrace.replica._sites.wordpress.ai_engine.versions import Version


@dataclass(frozen=True, slots=True)
class AIEngineWidget:
    """One chat bot as its element shows it; `bot_id` None: the page has its settings' id alone."""

    version: Version
    bot_id: str | None
    custom_id: str | None
    name: str
    nonce: str | None
    session_id: str | None
    context_id: int
    rest_url: str
    plugin_url: str
    streams: bool
    popup: bool
    max_length: int
    start_sentence: str
    mode: str

    def html(self) -> str:
        """Return the element."""
        theme = {"type": "internal", "name": "Harbour", "themeId": "harbour", "settings": []}
        attributes = {"params": self._params(), "system": self._system(), "theme": theme}
        written = " ".join(
            f"data-{name}='{esc_html(json_encode(value))}'" for name, value in attributes.items()
        )
        return f"<div class='mwai-chatbot-container' {written}></div>"

    def _params(self) -> dict[str, object]:
        mode = {"mode": self.mode} if self.version.has_page_parts else {}
        return {
            "aiName": f"{self.name}: ",
            "userName": "Sailor: ",
            "textSend": "Send",
            "textInputMaxLength": self.max_length,
            "startSentence": self.start_sentence,
            "window": self.popup,
            **mode,
        }

    def _system(self) -> dict[str, object]:
        system: dict[str, object] = {
            "botId": self.bot_id,
            "customId": self.custom_id,
            "userData": None,
            "sessionId": self.session_id,
            "restNonce": self.nonce,
            "contextId": self.context_id,
            "pluginUrl": self.plugin_url,
            "restUrl": self.rest_url,
            "stream": self.streams,
            "debugMode": False,
        }
        if self.version.has_page_parts:
            system |= {"crossSite": False, "actions": [], "blocks": [], "shortcuts": []}
        return system


def plugin_parts(plugin_url: str, widgets: Sequence[AIEngineWidget]) -> PluginParts:
    """Return the plugin's parts of a page for `widgets`, in order."""
    if not widgets:
        return PluginParts()
    script = f'<script id="mwai_chatbot-js" src="{plugin_url}app/chatbot.js?ver=1795986051">'
    content = "\n".join(widget.html() for widget in widgets)
    return PluginParts(content=f"{content}\n", scripts=f"{script}</script>\n")
