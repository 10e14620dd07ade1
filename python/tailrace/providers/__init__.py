"""The providers, imported on first use: ``from tailrace.providers import ChatGptt``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tailrace.errors import ProviderNotFoundError

if TYPE_CHECKING:
    from tailrace.providers._fallback import FallbackStream, IterListProvider, RetryProvider
    from tailrace.providers._g4f import (
        AsyncGeneratorProvider,
        ChatgptDemoProvider,
        ChatGptEs,
        ChatgptFree,
        ChatGptt,
        ChatProvider,
        GeminiProChatProvider,
        GPROChat,
        OpenAIProvider,
        ProviderModelMixin,
        WordPressChatProvider,
    )

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
    "FallbackStream": "fallback",
    "IterListProvider": "fallback",
    "RetryProvider": "fallback",
}
"""Modules of the names that are not in `_g4f`."""

_SITES = ("ChatGptt", "ChatgptFree", "ChatGptEs", "GPROChat")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}._{_HOMES.get(name, 'g4f')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def site_providers() -> list[type[ChatProvider]]:
    """Return the providers of public sites, in the order of their documents."""
    return [provider_named(name) for name in _SITES]


def provider_named(name: str) -> type[ChatProvider]:
    """Return the provider called `name`, in upper or lower case.

    Raises ProviderNotFoundError, which lists all names, for an unknown one.
    """
    for site in _SITES:
        if site.lower() == name.lower():
            provider: type[ChatProvider] = getattr(import_module(f"{__name__}._g4f"), site)
            return provider
    raise ProviderNotFoundError(f"there is no provider {name!r}; there are {', '.join(_SITES)}")
