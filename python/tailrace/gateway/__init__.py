"""The gateway: an OpenAI-compatible server over all providers and sites of ``tailrace.toml``.

``tailrace serve`` runs it from the command line. From Python, with the extra ``gateway``::

    import asyncio, time
    from tailrace.gateway import (
        Gateway, ModelRegistry, Settings, base_urls, open_sockets, serve_until_signal,
    )

    async def main() -> None:
        settings = Settings(port=8780)
        registry = ModelRegistry.load(created=int(time.time()))
        sockets = open_sockets(settings.host, settings.port)
        print(f"{base_urls(sockets)[0]}/v1")
        await serve_until_signal(Gateway(settings, registry), sockets)

    asyncio.run(main())

Every name is imported when it is first used; `MissingRequirementsError` says where the extra is
missing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tailrace.errors import MissingRequirementsError

if TYPE_CHECKING:
    from tailrace.gateway._key_files import keys_of_environment, read_keys
    from tailrace.gateway._keys import Key
    from tailrace.gateway._models import ModelRegistry
    from tailrace.gateway._server import Gateway, serve_until_signal
    from tailrace.gateway._settings import Settings
    from tailrace.gateway._sockets import base_urls, open_sockets

__all__ = [
    "Gateway",
    "Key",
    "ModelRegistry",
    "Settings",
    "base_urls",
    "keys_of_environment",
    "open_sockets",
    "read_keys",
    "serve_until_signal",
]

_HOMES = {
    "Gateway": "_server",
    "Key": "_keys",
    "ModelRegistry": "_models",
    "Settings": "_settings",
    "base_urls": "_sockets",
    "keys_of_environment": "_key_files",
    "open_sockets": "_sockets",
    "read_keys": "_key_files",
    "serve_until_signal": "_server",
}


def __getattr__(name: str) -> object:
    """Import a name from its module when it is used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tailrace"):
            raise
        raise MissingRequirementsError(
            f'serving needs {error.name}, which is not installed: pip install "tailrace[gateway]"'
        ) from None


def __dir__() -> list[str]:
    return sorted(__all__)
