"""The fastest way to get text out of a chat stream, and the client for the chat sites nobody else
keeps working.

Importing this imports no HTTP library: the parser stands alone, and providers are imported on first
use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace import errors
from tailrace._calls.retry_policy import RetryPolicy
from tailrace._messages import Messages, format_prompt
from tailrace._native import (
    DIALECTS,
    ChatWidget,
    ChunkEncoder,
    DecodedReply,
    Delta,
    DeltaDecoder,
    Page,
    PageScanner,
    PageTokens,
    ServerSentEvent,
    SSEDecoder,
    Usage,
    __version__,
    decode_many,
    scan_page,
    sign_request,
)
from tailrace._streams.opened import (
    DeltaStream,
    EventStream,
    RecordStream,
    stream_deltas,
    stream_events,
)
from tailrace._streams.outcome import Outcome
from tailrace._streams.stream import ChatStream

if TYPE_CHECKING:
    from tailrace.providers import (
        AsyncGeneratorProvider,
        ChatgptDemoProvider,
        ChatGptEs,
        ChatgptFree,
        ChatGptt,
        GeminiProChatProvider,
        GPROChat,
        IterListProvider,
        OpenAIProvider,
        ProviderModelMixin,
        RetryProvider,
        WordPressChatProvider,
    )
    from tailrace.sites import Site, discover, doctor, site

__all__ = [
    "DIALECTS",
    "AsyncGeneratorProvider",
    "ChatGptEs",
    "ChatGptt",
    "ChatStream",
    "ChatWidget",
    "ChatgptDemoProvider",
    "ChatgptFree",
    "ChunkEncoder",
    "DecodedReply",
    "Delta",
    "DeltaDecoder",
    "DeltaStream",
    "EventStream",
    "GPROChat",
    "GeminiProChatProvider",
    "IterListProvider",
    "Messages",
    "OpenAIProvider",
    "Outcome",
    "Page",
    "PageScanner",
    "PageTokens",
    "ProviderModelMixin",
    "RecordStream",
    "RetryPolicy",
    "RetryProvider",
    "SSEDecoder",
    "Site",
    "ServerSentEvent",
    "Usage",
    "WordPressChatProvider",
    "__version__",
    "decode_many",
    "discover",
    "doctor",
    "errors",
    "format_prompt",
    "scan_page",
    "sign_request",
    "site",
    "stream_deltas",
    "stream_events",
]

_PROVIDERS = frozenset(
    {
        "AsyncGeneratorProvider",
        "ChatGptEs",
        "ChatGptt",
        "ChatgptDemoProvider",
        "ChatgptFree",
        "GPROChat",
        "GeminiProChatProvider",
        "OpenAIProvider",
        "IterListProvider",
        "ProviderModelMixin",
        "RetryProvider",
        "WordPressChatProvider",
    }
)
_SITES = frozenset({"Site", "discover", "doctor", "site"})


def __getattr__(name: str) -> object:
    if name in _PROVIDERS:
        from tailrace import providers  # noqa: PLC0415 - on first use

        return getattr(providers, name)
    if name in _SITES:
        from tailrace import sites  # noqa: PLC0415 - on first use

        return getattr(sites, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
