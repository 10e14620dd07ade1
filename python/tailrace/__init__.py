"""Chat streams to text, and a client for chat sites, of which your own come first.

Where to begin:

- `Site`: a chat site by its URL. ``site.stream(prompt)`` gives the answer as it comes,
  ``site.ask(prompt)`` the whole of it, ``site.conversation()`` a dialogue.
- `stream_deltas`: the text of a response that aiohttp, httpx, requests or another library opened,
  with asyncio and without.
- `DeltaDecoder`: the text in bytes that you read yourself, one read at a time.
- `decode`: what a whole reply says, its text, its tool calls and the rest, from its bytes.
- `decode_many`: the same of many replies that were kept, on all processors.
- ``tailrace serve``: an OpenAI-compatible server over all your sites (`tailrace.gateway`);
  ``tailrace --help`` lists the other commands.

All but the last are names of this module. Importing it imports the Rust extension and the errors,
and neither asyncio nor an HTTP library: every other name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tailrace import errors
from tailrace._native import (
    DIALECTS,
    ChatWidget,
    ChunkEncoder,
    CompletionEncoder,
    DecodedReply,
    Delta,
    DeltaDecoder,
    MessageEncoder,
    Page,
    PageScanner,
    PageTokens,
    ResponseEncoder,
    ServerSentEvent,
    SSEDecoder,
    ThinkingBlock,
    ToolCall,
    Usage,
    __version__,
    decode,
    decode_many,
    finish_reason_of,
    scan_page,
    sign_request,
)
from tailrace.errors import (
    ArchiveError,
    BatchFolderError,
    BatchInputError,
    BatchLockedError,
    BatchTableError,
    BatchWorkersError,
    BatchWriteError,
    ChallengeError,
    CloudflareError,
    ConnectError,
    ConversationLimitError,
    EndpointError,
    InvalidProxyError,
    InvalidRequestError,
    LimitExceeded,
    MissingAuthError,
    MissingRequirementsError,
    ModelNotFoundError,
    ModelNotServedError,
    ModelNotSupportedError,
    NetworkError,
    NonceRefusedError,
    PaymentRequiredError,
    ProfileError,
    ProviderNotFoundError,
    ProviderNotWorkingError,
    ProxyError,
    RateLimitError,
    RecordingError,
    RedirectError,
    ReplyBrokenError,
    ResponseError,
    ResponseStatusError,
    RetryNoProviderError,
    RetryProviderError,
    StreamError,
    StreamNotSupportedError,
    TailraceError,
    TLSError,
    TokenNotFoundError,
    ToolArgumentsError,
    WidgetNotFoundError,
)

# Not in `__all__`: a star import would hide Python's own TimeoutError, which catches more.
from tailrace.errors import TimeoutError as TimeoutError  # noqa: A004

if TYPE_CHECKING:
    from tailrace import (
        anthropic as anthropic,
    )
    from tailrace import (
        batch as batch,
    )
    from tailrace import (
        conformance as conformance,
    )
    from tailrace import (
        fleet as fleet,
    )
    from tailrace import (
        gateway as gateway,
    )
    from tailrace import (
        load as load,
    )
    from tailrace import (
        locust as locust,
    )
    from tailrace import (
        openai as openai,
    )
    from tailrace import (
        providers as providers,
    )
    from tailrace import (
        pytest_plugin as pytest_plugin,
    )
    from tailrace import (
        ray as ray,
    )
    from tailrace import (
        recording as recording,
    )
    from tailrace import (
        replica as replica,
    )
    from tailrace import (
        sites as sites,
    )
    from tailrace import (
        transport as transport,
    )
    from tailrace._calls.retry_policy import RetryPolicy
    from tailrace._calls.throttling import Throttle
    from tailrace._messages import Messages, format_prompt
    from tailrace._streams.conversation import ConversationStream
    from tailrace._streams.opened import (
        DeltaStream,
        EventStream,
        RecordStream,
        stream_deltas,
        stream_events,
    )
    from tailrace._streams.outcome import Outcome
    from tailrace._streams.stream import ChatStream
    from tailrace._streams.timings import Timings
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
    from tailrace.providers._conversation import Conversation
    from tailrace.sites import Site, discover, doctor, site

__all__ = [
    "DIALECTS",
    "ArchiveError",
    "AsyncGeneratorProvider",
    "BatchFolderError",
    "BatchInputError",
    "BatchLockedError",
    "BatchTableError",
    "BatchWorkersError",
    "BatchWriteError",
    "ChallengeError",
    "ChatGptEs",
    "ChatGptt",
    "ChatStream",
    "ChatWidget",
    "ChatgptDemoProvider",
    "ChatgptFree",
    "ChunkEncoder",
    "CloudflareError",
    "CompletionEncoder",
    "ConnectError",
    "Conversation",
    "ConversationLimitError",
    "ConversationStream",
    "DecodedReply",
    "Delta",
    "DeltaDecoder",
    "DeltaStream",
    "EndpointError",
    "EventStream",
    "GPROChat",
    "GeminiProChatProvider",
    "InvalidProxyError",
    "InvalidRequestError",
    "IterListProvider",
    "LimitExceeded",
    "MessageEncoder",
    "Messages",
    "MissingAuthError",
    "MissingRequirementsError",
    "ModelNotFoundError",
    "ModelNotServedError",
    "ModelNotSupportedError",
    "NetworkError",
    "NonceRefusedError",
    "OpenAIProvider",
    "Outcome",
    "Page",
    "PageScanner",
    "PageTokens",
    "PaymentRequiredError",
    "ProfileError",
    "ProviderModelMixin",
    "ProviderNotFoundError",
    "ProviderNotWorkingError",
    "ProxyError",
    "RateLimitError",
    "RecordStream",
    "RecordingError",
    "RedirectError",
    "ReplyBrokenError",
    "ResponseEncoder",
    "ResponseError",
    "ResponseStatusError",
    "RetryNoProviderError",
    "RetryPolicy",
    "RetryProvider",
    "RetryProviderError",
    "SSEDecoder",
    "ServerSentEvent",
    "Site",
    "StreamError",
    "StreamNotSupportedError",
    "TLSError",
    "TailraceError",
    "ThinkingBlock",
    "Throttle",
    "Timings",
    "TokenNotFoundError",
    "ToolArgumentsError",
    "ToolCall",
    "Usage",
    "WidgetNotFoundError",
    "WordPressChatProvider",
    "__version__",
    "decode",
    "decode_many",
    "discover",
    "doctor",
    "errors",
    "finish_reason_of",
    "format_prompt",
    "scan_page",
    "sign_request",
    "site",
    "stream_deltas",
    "stream_events",
]

_HOMES = {
    "_calls.retry_policy": ("RetryPolicy",),
    "_calls.throttling": ("Throttle",),
    "_messages": (
        "Messages",
        "format_prompt",
    ),
    "_streams.outcome": ("Outcome",),
    "_streams.timings": ("Timings",),
    "_streams.stream": ("ChatStream",),
    "_streams.conversation": ("ConversationStream",),
    "_streams.opened": (
        "DeltaStream",
        "EventStream",
        "RecordStream",
        "stream_deltas",
        "stream_events",
    ),
    "providers": (
        "AsyncGeneratorProvider",
        "ChatgptDemoProvider",
        "ChatGptEs",
        "ChatgptFree",
        "ChatGptt",
        "GeminiProChatProvider",
        "GPROChat",
        "IterListProvider",
        "OpenAIProvider",
        "ProviderModelMixin",
        "RetryProvider",
        "WordPressChatProvider",
    ),
    "providers._conversation": ("Conversation",),
    "sites": (
        "Site",
        "discover",
        "doctor",
        "site",
    ),
}
_LATE = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = frozenset(
    {
        "anthropic",
        "batch",
        "conformance",
        "fleet",
        "gateway",
        "load",
        "locust",
        "openai",
        "providers",
        "pytest_plugin",
        "ray",
        "recording",
        "replica",
        "sites",
        "transport",
    }
)


def __getattr__(name: str) -> object:
    """Import a name or a public module when it is first used (PEP 562)."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
