"""SOCKS proxies for the transport over aiohttp; the only module that needs the extra ``socks``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.errors import MissingRequirementsError

if TYPE_CHECKING:
    import aiohttp

    from tailrace.transport._rules import Proxy

__all__ = ["require_socks", "socks_connector", "socks_errors"]


def require_socks() -> None:
    """Raise `MissingRequirementsError` where the extra is not installed."""
    try:
        import aiohttp_socks  # noqa: F401, PLC0415
    except ImportError:
        missing = True
    else:
        missing = False
    if missing:
        raise MissingRequirementsError(
            'a SOCKS proxy needs aiohttp-socks: pip install "tailrace[socks]"'
        )


def socks_connector(proxy: Proxy, **options: Any) -> aiohttp.BaseConnector:
    """Make a connector through `proxy`.

    ``socks5h`` and ``socks4a`` leave looking up the host's name to the proxy.
    """
    from aiohttp_socks import ProxyConnector, ProxyType  # noqa: PLC0415

    return ProxyConnector(
        proxy.host,
        proxy.port,
        ProxyType.SOCKS5 if proxy.scheme.startswith("socks5") else ProxyType.SOCKS4,
        proxy.username,
        proxy.password,
        rdns=proxy.scheme in {"socks5h", "socks4a"},
        **options,
    )


def socks_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that are the connector's own."""
    from aiohttp_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError  # noqa: PLC0415

    return ProxyConnectionError, ProxyError, ProxyTimeoutError
