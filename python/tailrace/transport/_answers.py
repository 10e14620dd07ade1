"""Whether a reply with this head may be an answer. It needs nothing that reads one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace.errors import ChallengeError, NetworkError, ProxyError
from tailrace.transport._rules import is_challenge, origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.transport._rules import Proxy

__all__ = ["check_answer", "check_status"]

# RFC 9110, 15.5.8: the proxy's answer to a request that it forwards itself, without a tunnel.
_PROXY_AUTHENTICATION = 407
_FINAL_STATUSES = range(200, 1000)  # RFC 9110, 15; nobody asks to switch protocols


def check_answer(url: str, status: int, headers: Mapping[str, str], proxy: Proxy | None) -> None:
    """Raise what `check_status` does, and ProxyError for what `proxy` answers in a site's place."""
    check_status(url, status, headers)
    if status == _PROXY_AUTHENTICATION and proxy is not None:
        raise ProxyError(f"the proxy {proxy.name} wants another user and password: status 407")


def check_status(url: str, status: int, headers: Mapping[str, str]) -> None:
    """Raise NetworkError for the status of a reply that is none, ChallengeError for a challenge."""
    if status not in _FINAL_STATUSES:
        site = origin(url)
        raise NetworkError(f"{site} answered with what is no HTTP: status {status}")
    if is_challenge(headers):
        raise ChallengeError(status=status)
