"""The only HTTP clients: over aiohttp, and over curl_cffi behind the extra ``impersonate``.

Importing this package imports neither library; a transport's own is imported when the transport is
first named.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from tailrace.errors import InvalidRequestError
from tailrace.transport._base import (
    DEFAULT_LIMITS,
    Limits,
    Response,
    Session,
    SiteCookies,
    Timeouts,
    Transport,
    read_all,
    read_within,
)
from tailrace.transport._posting import Poster, WholeReply
from tailrace.transport._room import keep_room_for_reads

if TYPE_CHECKING:
    from tailrace.transport._over_aiohttp import AiohttpTransport
    from tailrace.transport._over_curl import ImpersonateTransport
    from tailrace.transport._recorded import RecordingTransport

__all__ = [
    "DEFAULT_LIMITS",
    "AiohttpTransport",
    "ImpersonateTransport",
    "Limits",
    "Poster",
    "RecordingTransport",
    "Response",
    "Session",
    "SiteCookies",
    "Timeouts",
    "Transport",
    "TransportKind",
    "WholeReply",
    "keep_room_for_reads",
    "make_transport",
    "read_all",
    "read_within",
]

TransportKind = Literal["aiohttp", "impersonate"]
"""Name of a kind of transport, as `make_transport` takes it."""

_LATE = {
    "AiohttpTransport": "_over_aiohttp",
    "ImpersonateTransport": "_over_curl",
    "RecordingTransport": "_recorded",
}
_KINDS = {"aiohttp": "AiohttpTransport", "impersonate": "ImpersonateTransport"}


def make_transport(kind: TransportKind = "aiohttp", **options: Any) -> Transport:
    """Make a transport by name.

    `kind`: ``aiohttp`` for `AiohttpTransport`, ``impersonate`` for `ImpersonateTransport`;
    `options` are the keyword arguments of that class.

    Raises `InvalidRequestError` for an unknown name, `MissingRequirementsError` where its extra is
    not installed.
    """
    if kind not in _KINDS:
        raise InvalidRequestError(f"no transport is called {kind!r}: use {' or '.join(_KINDS)}")
    transport: Transport = __getattr__(_KINDS[kind])(**options)
    return transport


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
