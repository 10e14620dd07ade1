"""The sites of the replica: `SITES` has one row for each, a module the software behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace.replica._sites.models.anthropic.site import AnthropicSite
from tailrace.replica._sites.models.gemini.site import GeminiSite
from tailrace.replica._sites.models.ollama.site import OllamaSite
from tailrace.replica._sites.models.openai.site import OpenAISite
from tailrace.replica._sites.signed.chatgpt_demo import ChatgptDemoSite
from tailrace.replica._sites.signed.geminiprochat import GeminiProChatSite
from tailrace.replica._sites.wordpress.ai_engine.site import (
    AIEngine209Site,
    AIEngine280Site,
    AIEngine301Site,
    AIEngine1999Site,
    AIEngineSite,
)
from tailrace.replica._sites.wordpress.ai_power.site import (
    AIPower1879Site,
    AIPower1890Site,
    AIPower1895Site,
    AIPowerSite,
)
from tailrace.replica._sites.wordpress.aipkit.site import AIPKit240Site, AIPKitSite

if TYPE_CHECKING:
    from tailrace.replica._site import ReplicaSite

SITES: tuple[type[ReplicaSite], ...] = (
    AIPowerSite,
    GeminiProChatSite,
    AIPKitSite,
    AIPKit240Site,
    AIPower1879Site,
    AIPower1890Site,
    AIPower1895Site,
    ChatgptDemoSite,
    OpenAISite,
    AnthropicSite,
    GeminiSite,
    OllamaSite,
    AIEngineSite,
    AIEngine301Site,
    AIEngine280Site,
    AIEngine209Site,
    AIEngine1999Site,
)
