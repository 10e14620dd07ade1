"""Sites that stayed at an older version of AI Power 1.x: the boundaries at which it behaves
differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tailrace.replica._sites.wordpress.ai_power import (
    BUFFERED,
    COMPLETION,
    DEFAULT,
    STREAMING,
    AIPowerSite,
    ChatPage,
)
from tailrace.replica._sites.wordpress.ai_power_versions import Version

if TYPE_CHECKING:
    from tailrace.replica._site import Page

PAGES = (
    ChatPage("default", "/", "the default bot, streaming", 12, bots=(DEFAULT,)),
    ChatPage("stream", "/chat-stream/", "a bot that streams", 13, bots=(STREAMING,)),
    ChatPage(
        "json", "/chat-json/", "a bot that answers with one JSON object", 14, bots=(BUFFERED,)
    ),
    ChatPage("two", "/chat-two/", "two bots on one page", 15, bots=(STREAMING, BUFFERED)),
    ChatPage(
        "completion", "/chat-completion/", "a bot on a completion model", 18, bots=(COMPLETION,)
    ),
    ChatPage(
        "no-chat", "/no-chat/", "no bot, yet a script with the nonce", 23, "Nobody to talk to here."
    ),
)


class AIPower1879Site(AIPowerSite):
    """The last version whose own page streams with an EventSource, which can only GET."""

    name: ClassVar[str] = "ai-power-1.8.79"
    version: ClassVar[Version] = Version(1, 8, 79)
    shows: ClassVar[str] = "AI Power 1.8.79: streams by GET too, and the whole JSON after [DONE]"
    pages: ClassVar[tuple[Page, ...]] = PAGES


class AIPower1890Site(AIPowerSite):
    """The last version that refuses a nonce with 200, and the last that takes the message by GET."""

    name: ClassVar[str] = "ai-power-1.8.90"
    version: ClassVar[Version] = Version(1, 8, 90)
    shows: ClassVar[str] = "AI Power 1.8.90: a refused nonce is 200 and JSON"
    pages: ClassVar[tuple[Page, ...]] = PAGES


class AIPower1895Site(AIPowerSite):
    """The last version that takes line ends out of the message."""

    name: ClassVar[str] = "ai-power-1.8.95"
    version: ClassVar[Version] = Version(1, 8, 95)
    shows: ClassVar[str] = (
        "AI Power 1.8.95: the message loses its line ends; a refused nonce is 403"
    )
    pages: ClassVar[tuple[Page, ...]] = PAGES
