"""Errors of aiohttp, translated into ours, whose texts hold no URL and no header."""

from __future__ import annotations

import ssl

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from tailrace import errors
from tailrace.transport import _rules as rules
from tailrace.transport._over_aiohttp.connections import InterimHeadsError
from tailrace.transport._socks import socks_errors

__all__ = ["LONGEST_FIELD", "failed_request"]

LONGEST_FIELD = 64 * 2**10
"""The most bytes of one line of a response's head: policies and cookies may be long."""


def failed_request(error: Exception, url: str, proxy: rules.Proxy | None) -> errors.TailraceError:
    """Make the error of a request to `url` that failed with aiohttp's `error`.

    Our error does not refer to `error`, whose text and causes may hold passwords.
    """
    site, causes = rules.origin(url), _chain(error)
    return (
        _failed_proxy(error, causes, site, proxy)
        or _failed_connection(error, causes, site)
        or _failed_reply(error, causes, site)
        or errors.NetworkError(f"the request to {site} failed: {type(error).__name__}")
    )


def _failed_proxy(
    error: Exception,
    causes: list[BaseException],
    site: str,
    proxy: rules.Proxy | None,
) -> errors.TailraceError | None:
    name = proxy.name if proxy else "the environment names"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return errors.ProxyError(
            f"the proxy {name} refused to connect to {site}: status {error.status}"
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return errors.ProxyError(f"the proxy {name} could not be reached: {_reason_of(causes)}")
    if proxy is not None and isinstance(error, aiohttp.ClientConnectorDNSError):
        return errors.ProxyError(f"the proxy {name} could not be reached: its name was not found")
    if proxy is not None and _is_tls_of_the_proxy(error, proxy):
        return errors.ProxyError(f"TLS with the proxy {name} failed: {_reason_of(causes)}")
    if (
        proxy is not None
        and proxy.is_socks
        and any(isinstance(cause, socks_errors()) for cause in causes)
    ):
        return errors.ProxyError(
            f"the proxy {name} could not be reached or refused to connect to {site}"
        )
    return None


def _is_tls_of_the_proxy(error: Exception, proxy: rules.Proxy) -> bool:
    """Tell whether TLS failed with an https proxy, and not with the site behind it."""
    if proxy.scheme != "https":
        return False
    kinds = (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError)
    return isinstance(error, kinds) and (error.host, error.port) == (proxy.host, proxy.port)


def _failed_connection(
    error: Exception, causes: list[BaseException], site: str
) -> errors.TailraceError | None:
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return errors.TLSError(f"TLS with {site} failed: {_reason_of(causes)}")
    # Python says of a name with an empty or an endless part that it cannot be written.
    if isinstance(error, aiohttp.ClientConnectorDNSError | UnicodeError):
        return errors.ConnectError(f"{site} could not be reached: its name was not found")
    if isinstance(error, aiohttp.ClientConnectorError):
        return errors.ConnectError(f"{site} could not be reached: {_reason_of(causes)}")
    return None


def _failed_reply(
    error: Exception, causes: list[BaseException], site: str
) -> errors.TailraceError | None:
    if any(isinstance(cause, InterimHeadsError) for cause in causes):
        return errors.LimitExceeded(rules.too_many_interim_heads(site))
    if any(isinstance(cause, LineTooLong) for cause in causes):
        return errors.LimitExceeded(f"{site} sent a header longer than {LONGEST_FIELD} bytes")
    if isinstance(error, aiohttp.ClientResponseError):
        return errors.NetworkError(f"{site} answered with what is no HTTP")
    if isinstance(error, aiohttp.InvalidURL):
        return errors.InvalidRequestError("the URL is malformed")
    if isinstance(error, aiohttp.ClientError | OSError):
        return errors.NetworkError(f"the connection to {site} broke before a reply came")
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, at most eight of them."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and len(links) < 8:  # noqa: PLR2004 - longer than any library's
        links.append(link)
        link = link.__cause__ or link.__context__
    return links


def _reason_of(causes: list[BaseException]) -> str:
    """Return the operating system's or OpenSSL's short reason; it names no URL and no header."""
    for cause in reversed(causes):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return rules.certificate_reason(cause)
        if isinstance(cause, ssl.SSLError):
            return (cause.reason or "handshake failed").replace("_", " ").lower()
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.errno:
            return rules.system_reason(cause.errno)
    return "the connection failed"
