"""The sockets a gateway listens on, their URLs, and the limit of open descriptors."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

from tailrace.errors import InvalidRequestError
from tailrace.transport._descriptors import raise_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailrace.gateway._settings import Settings

__all__ = [
    "BACKLOG",
    "base_urls",
    "open_sockets",
    "open_worker_sockets",
    "raise_descriptor_limit",
]

BACKLOG = 1024
_SPARE_DESCRIPTORS = 256


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of `host` and return the sockets.

    `port`: 0 takes a free one, the same for all addresses. Raises OSError where an address is not
    available, and InvalidRequestError for a host without an address.
    """
    return _opened(_addresses(host, port), port)


def open_worker_sockets(host: str, port: int, workers: int) -> list[list[socket.socket]]:
    """Listen as `open_sockets` does, and return the sockets of each of `workers` processes.

    On Linux each has its own, and the kernel spreads connections evenly over them. Elsewhere all
    share the same ones, and whoever is first takes a connection. Errors are those of
    `open_sockets`.
    """
    if sys.platform != "linux" or workers == 1:
        return [open_sockets(host, port)] * workers
    if port:
        _close(open_sockets(host, port))  # shared sockets would share it with another gateway
    addresses = _addresses(host, port)
    opened: list[list[socket.socket]] = []
    try:
        for _ in range(workers):
            opened.append(_opened(addresses, port, is_shared=True))
            port = opened[0][0].getsockname()[1]
    except OSError:
        for each in opened:
            _close(each)
        raise
    return opened


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    try:
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise InvalidRequestError(f"there is no address {host!r} to listen on") from None
    return list(dict.fromkeys((each[0], each[4]) for each in resolved))


def _close(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _opened(
    addresses: Sequence[tuple[socket.AddressFamily, Any]], port: int, *, is_shared: bool = False
) -> list[socket.socket]:
    """Listen on each of `addresses`; port 0 takes a free one, the same for all."""
    opened: list[socket.socket] = []
    try:
        for family, address in addresses:
            taken = opened[0].getsockname()[1] if opened else port
            opened.append(_listening(family, (address[0], taken, *address[2:]), is_shared))
    except OSError:
        _close(opened)
        raise
    return opened


def _listening(
    family: socket.AddressFamily,
    address: tuple[Any, ...],
    is_shared: bool,  # noqa: FBT001 - of this module
) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":  # where SO_REUSEADDR lets another program take the port over
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared and sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.settimeout(0)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def base_urls(sockets: Sequence[socket.socket]) -> list[str]:
    """Name the URLs, without a path, at which clients on this machine reach `sockets`."""
    addresses = [each.getsockname() for each in sockets]
    reached = [(_LOOPBACK.get(host, host), port) for host, port, *_ in addresses]
    return [f"http://{f'[{host}]' if ':' in host else host}:{port}" for host, port in reached]


# A socket bound to every address is reached by loopback's, too.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def raise_descriptor_limit(settings: Settings) -> str | None:
    """Let the process open two descriptors for each connection.

    Returns None, or a warning in one sentence where the system does not allow so many.
    """
    wanted = 2 * settings.max_connections + _SPARE_DESCRIPTORS
    allowed = raise_limit(wanted)
    if allowed >= wanted:
        return None
    return (
        f"the system allows {allowed} open files, too few for {settings.max_connections} "
        "connections and what they ask: raise it (ulimit -n), or give --max-connections "
        f"{max(1, (allowed - _SPARE_DESCRIPTORS) // 2)}"
    )
