"""The providers, imported on first use: ``from tailrace.providers import ChatGptt``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tailrace.errors import ProviderNotFoundError

if TYPE_CHECKING:
    from tailrace.providers._base import AsyncGeneratorProvider, ChatProvider, ProviderModelMixin
    from tailrace.providers._chatgptes import ChatGptEs
    from tailrace.providers._chatgptfree import ChatgptFree
    from tailrace.providers._chatgptt import ChatGptt
    from tailrace.providers._fallback import FallbackStream, IterListProvider, RetryProvider
    from tailrace.providers._geminiprochat import ChatgptDemoProvider, GeminiProChatProvider
    from tailrace.providers._gprochat import GPROChat
    from tailrace.providers._openai import OpenAIProvider
    from tailrace.providers._wordpress import WordPressChatProvider

__all__ = [
    "AsyncGeneratorProvider",
    "ChatGptEs",
    "ChatGptt",
    "ChatProvider",
    "ChatgptDemoProvider",
    "ChatgptFree",
    "FallbackStream",
    "GPROChat",
    "GeminiProChatProvider",
    "IterListProvider",
    "OpenAIProvider",
    "ProviderModelMixin",
    "RetryProvider",
    "WordPressChatProvider",
    "provider_named",
    "site_providers",
]

_HOMES = {
    "AsyncGeneratorProvider": "base",
    "ChatProvider": "base",
    "ProviderModelMixin": "base",
    "ChatGptt": "chatgptt",
    "ChatgptFree": "chatgptfree",
    "ChatGptEs": "chatgptes",
    "GPROChat": "gprochat",
    "ChatgptDemoProvider": "geminiprochat",
    "GeminiProChatProvider": "geminiprochat",
    "OpenAIProvider": "openai",
    "FallbackStream": "fallback",
    "IterListProvider": "fallback",
    "RetryProvider": "fallback",
    "WordPressChatProvider": "wordpress",
}

_SITES = ("ChatGptt", "ChatgptFree", "ChatGptEs", "GPROChat")


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}._{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def site_providers() -> list[type[ChatProvider]]:
    """The providers of public sites, in the order of their documents."""
    return [provider_named(name) for name in _SITES]


def provider_named(name: str) -> type[ChatProvider]:
    """The provider of that name, whatever its case; ProviderNotFoundError lists those there are."""
    for site in _SITES:
        if site.lower() == name.lower():
            provider: type[ChatProvider] = getattr(
                import_module(f"{__name__}._{_HOMES[site]}"), site
            )
            return provider
    raise ProviderNotFoundError(f"there is no provider {name!r}; there are {', '.join(_SITES)}")
