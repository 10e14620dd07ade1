"""Which provider speaks a dialect, and what a profile of such a site may say: the one table a new
dialect joins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace import providers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.providers import ChatProvider

__all__ = ["DEFAULT_DIALECT", "DIALECTS", "Dialect"]

DEFAULT_DIALECT = "ai-power"
"""What a URL speaks unless its profile or its user says otherwise: most chat pages are WordPress
pages.
"""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The name of the provider class in `tailrace.providers`, and the keys that only sites of this
    kind have.
    """

    provider_name: str
    keys: frozenset[str]

    def provider(self) -> type[ChatProvider]:
        """The class, imported now."""
        provider: type[ChatProvider] = getattr(providers, self.provider_name)
        return provider


_BOTS = frozenset({"bot", "bot_name"})
_SIGNED = frozenset({"secret_key_env", "password_env"})

DIALECTS: Mapping[str, Dialect] = {
    "ai-power": Dialect("WordPressChatProvider", _BOTS | {"native_history"}),
    "aipkit": Dialect("WordPressChatProvider", _BOTS),  # which of the two it is, the page tells
    "geminiprochat": Dialect("GeminiProChatProvider", _SIGNED),
    "chatgpt-demo": Dialect("ChatgptDemoProvider", _SIGNED),
    "openai": Dialect("OpenAIProvider", frozenset({"api_key_env"})),
}
