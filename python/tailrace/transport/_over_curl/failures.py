"""Error codes of libcurl (libcurl-errors(3)), translated into our errors.

The texts of libcurl are not shown, since they may hold whole URLs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace import errors
from tailrace.transport._rules import TRUST_ADVICE

if TYPE_CHECKING:
    from tailrace.transport._rules import Proxy

__all__ = ["UNKNOWN_CODE", "failed_request"]

UNKNOWN_CODE = -1
"""The code of a transfer that was cut, or that failed without a code of libcurl's."""

_NO_PROXY_HOST, _REFUSED, _TIMED_OUT, _PROXY_HANDSHAKE = 5, 7, 28, 97
_FIRST_REFUSAL = 300  # a status of CONNECT other than 2xx opens no tunnel, RFC 9110, 9.3.6
_BROKE = "the connection to {site} broke before a reply came (curl error {code})"
_NO_HTTP = "{site} answered with what is no HTTP"
_FAILURES: dict[int, tuple[type[errors.TailraceError], str]] = {
    1: (
        errors.NetworkError,
        _NO_HTTP,
    ),  # a reply without a status line, which is HTTP/0.9 to libcurl
    3: (errors.InvalidRequestError, "the URL is malformed"),
    6: (errors.ConnectError, "{site} could not be reached: its name was not found"),
    7: (errors.ConnectError, "{site} could not be reached: connection refused or host unreachable"),
    8: (errors.NetworkError, _NO_HTTP),
    16: (errors.NetworkError, "{site} answered with what is no HTTP/2"),
    35: (errors.TLSError, "TLS with {site} failed: the handshake failed"),
    58: (errors.TLSError, "TLS with {site} failed: the local certificate cannot be used"),
    59: (errors.TLSError, "TLS with {site} failed: no cipher in common"),
    60: (
        errors.TLSError,
        "TLS with {site} failed: the certificate is not valid for this host, or not trusted"
        + TRUST_ADVICE,
    ),
    77: (
        errors.TLSError,
        f"TLS with {{site}} failed: the file of trusted authorities cannot be read{TRUST_ADVICE}",
    ),
    83: (
        errors.TLSError,
        f"TLS with {{site}} failed: the issuer of the certificate is not trusted{TRUST_ADVICE}",
    ),
    91: (errors.TLSError, "TLS with {site} failed: the certificate's status is invalid"),
    92: (errors.NetworkError, "{site} broke off an HTTP/2 reply"),
    100: (errors.LimitExceeded, "{site} sent a longer head than libcurl allows"),
}


def failed_request(
    code: int,
    site: str,
    proxy: Proxy | None,
    *,
    connect_seconds: float | None,
    connect_status: int,
) -> errors.TailraceError:
    """Make the error of a request that ended with `code` before the response's head was in.

    `site` is the origin as messages name it; `connect_seconds` the connect clock, for a
    `TimeoutError`; `connect_status` the proxy's status to CONNECT, 0 without one.
    """
    if code == _TIMED_OUT:
        return errors.TimeoutError("connect", connect_seconds or 0.0, site)
    if _is_of_the_proxy(code, proxy, connect_status):
        name = proxy.name if proxy else "the environment names"
        return errors.ProxyError(
            f"the proxy {name} could not be reached or refused to connect to {site}"
        )
    kind, text = _FAILURES.get(code, (errors.NetworkError, _BROKE))
    if kind is errors.TLSError and proxy and proxy.scheme == "https" and not connect_status:
        # TLS with a site behind a proxy begins when the proxy has answered.
        return errors.ProxyError(text.format(site=f"the proxy {proxy.name}", code=code))
    return kind(text.format(site=site, code=code))


def _is_of_the_proxy(code: int, proxy: Proxy | None, connect_status: int) -> bool:
    if code in {_NO_PROXY_HOST, _PROXY_HANDSHAKE}:
        return True
    # With a proxy, connections are refused by the proxy; one that refuses a tunnel answers CONNECT
    # with a status.
    return proxy is not None and (code == _REFUSED or connect_status >= _FIRST_REFUSAL)
