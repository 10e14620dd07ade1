"""The rules of every transport, as pure functions: URLs, redirects, headers, cookies, proxies.

An error names a site or proxy as ``scheme://host:port`` and a redirect's target without query and
credentials; no message made by these functions holds a password, a query, a cookie or a header's
value.
"""

from __future__ import annotations

import base64
import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

from tailrace.errors import InvalidProxyError, InvalidRequestError, RedirectError

if TYPE_CHECKING:
    import ssl

__all__ = [
    "DEFAULT_HEADERS",
    "MOST_INTERIM_HEADS",
    "TRUST_ADVICE",
    "Proxy",
    "Target",
    "certificate_reason",
    "checked_cookies",
    "checked_headers",
    "checked_proxy",
    "checked_seconds",
    "checked_url",
    "is_challenge",
    "is_encodable",
    "is_interim",
    "is_redirect",
    "is_sendable_cookie",
    "is_whole_url",
    "lacks_scheme",
    "merged_headers",
    "origin",
    "redirect_target",
    "refused_redirect",
    "system_reason",
    "too_many_interim_heads",
    "without_scheme",
]

DEFAULT_HEADERS: Mapping[str, str] = {
    "User-Agent": "Mozilla/5.0 (compatible; Tailrace)",
    # As a browser navigates: some sites answer a type of JSON with JSON in the page's place.
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.9",
}

MOST_INTERIM_HEADS = 64
"""The most interim heads (1xx, RFC 9110, 15.2) in front of one response; real sites send a few."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PROXY_PORTS = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}
_FOLLOWED = frozenset({301, 302, 303, 307, 308})
_LONGEST_CLOCK = 1e6  # seconds: libcurl counts milliseconds in 32 bits
_LONGEST_COOKIE = 4096  # bytes, as in browsers (RFC 6265bis, 5.6)
_LONGEST_NAMED = 200  # characters of a peer's text in one of our messages

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but the tab, RFC 9110, 5.5
_COOKIE_NAME = re.compile(r"[!#-+\--:<>-\[\]-~]{1,4096}")  # visible ASCII but " , ; = and \
_COOKIE_END = re.compile(r"[\x00-\x1f\x7f;]")  # ends a cookie's value, or its header
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"

# Headers that the transport sets; a caller's value would contradict the framing, the cookie jar or
# the proxy.
_TRANSPORT_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL to be sent.

    `url` is ASCII, without credentials and fragment; `authorization` is the header made of the
    credentials.
    """

    url: str
    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; the repr shows neither user nor password."""

    scheme: str
    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Name of the proxy in messages: ``scheme://host:port``."""
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"

    @property
    def is_socks(self) -> bool:
        """Whether the proxy speaks SOCKS rather than HTTP."""
        return self.scheme.startswith("socks")


def checked_url(url: str) -> Target:
    """Parse a URL; raises `InvalidRequestError` unless it is http or https and has a host."""
    if not isinstance(url, str):
        raise InvalidRequestError("the URL is malformed")
    return _target(url)


@lru_cache(maxsize=256)  # a site is called at the same few URLs
def _target(url: str) -> Target:
    parts = _split(url)
    if parts is None or _CONTROL.search(url) or not is_encodable(url):
        raise InvalidRequestError("the URL is malformed")
    if parts.scheme not in _DEFAULT_PORTS:
        if lacks_scheme(url):
            raise InvalidRequestError(without_scheme(url))
        raise InvalidRequestError(
            f"the URL's scheme is {_cut(parts.scheme)!r}: it must be http or https"
        )
    if not parts.hostname:
        raise InvalidRequestError("the URL names no host")
    return Target(_rebuilt(parts), _basic(parts))


def lacks_scheme(text: str) -> bool:
    """Tell an address without its scheme, such as ``shop.example/help``, from a name."""
    host = re.split(r"[/?#]", text, maxsplit=1)[0].rpartition("@")[2]
    return bool(_BARE_HOST.fullmatch(host)) and (host != text or bool(_DOTTED.search(host)))


# A host's name, an IPv4 address or an IPv6 one in brackets, perhaps with a port.
_BARE_HOST = re.compile(
    r"(?:[\w-]{1,63}(?:\.[\w-]{1,63}){0,32}\.?|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?"
)
_DOTTED = re.compile(r"[.:\]]|^localhost$", re.IGNORECASE)
_ON_THIS_MACHINE = re.compile(r"localhost|127\.|\[::1\]", re.IGNORECASE)


def without_scheme(text: str) -> str:
    """Return the message for an address that `lacks_scheme`, with the URL that is meant.

    One with a password in it is not quoted.
    """
    if "@" in text:
        return "the URL has no scheme: begin it with https:// or http://"
    scheme = "http" if _ON_THIS_MACHINE.match(text) else "https"
    return f"the URL has no scheme: write {scheme}://{_cut(text)}"


def is_whole_url(url: str) -> bool:
    """Tell whether a URL says its scheme, http or https, and its host."""
    parts = _split(url)
    return parts is not None and parts.scheme in _DEFAULT_PORTS and bool(parts.hostname)


def origin(url: str) -> str:
    """Return ``scheme://host:port`` of a URL, without the port where it is the default one."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{_netloc(parts)}"


def is_interim(status: int) -> bool:
    """Tell whether a response follows the head of this status, RFC 9110, 15.2.

    None follows 101, which is not HTTP any more behind its head.
    """
    return status < _FIRST_FINAL_STATUS and status != _SWITCHING


_FIRST_FINAL_STATUS, _SWITCHING = 200, 101


def too_many_interim_heads(site: str) -> str:
    """Return the words for a peer that sends more than `MOST_INTERIM_HEADS`."""
    return f"{site} sent more than {MOST_INTERIM_HEADS} interim heads (1xx) in place of a reply"


def is_redirect(status: int) -> bool:
    """Tell whether a status is a redirect: any 3xx, since no request is conditional (RFC 9110)."""
    return 300 <= status < 400  # noqa: PLR2004 - the class of statuses, RFC 9110, 15.4


def is_challenge(headers: Mapping[str, str]) -> bool:
    """Tell whether a guard wants a browser, by its header ``cf-mitigated: challenge``."""
    return headers.get("cf-mitigated", "").strip().lower() == "challenge"


def checked_seconds(name: str, value: float | None) -> float | None:
    """Return a clock's seconds, or None for no clock.

    Raises `InvalidRequestError`, which calls the clock `name`, for anything but a number above 0
    and at most 1,000,000.
    """
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 < value <= _LONGEST_CLOCK
    ):
        raise InvalidRequestError(
            f"{name} must be a number of seconds above 0, or None for no clock"
        )
    return float(value)


TRUST_ADVICE = (
    "; the environment variable SSL_CERT_FILE names a file of authorities to trust, as a company's "
    "own proxy may need"
)
"""Words behind a failure of TLS for want of an authority."""


def certificate_reason(error: ssl.SSLCertVerificationError) -> str:
    """Return OpenSSL's reason, and a remedy where the issuer of the certificate is not trusted."""
    is_distrusted = error.verify_code in _DISTRUSTED
    return f"{error.verify_message}{TRUST_ADVICE if is_distrusted else ''}"


# X509_V_ERR_* of OpenSSL: no issuer is found (2, 20, 21), or one is its own issuer (18, 19).
_DISTRUSTED = frozenset({2, 18, 19, 20, 21})


def system_reason(number: int) -> str:
    """Return a short reason for `number`, an `errno`; Windows has no texts for those of sockets."""
    return _REASONS.get(number) or os.strerror(number).lower()


_REASONS = {
    errno.EMFILE: "too many open files (ulimit -n says how many there may be)",
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ETIMEDOUT: "connection timed out",
}


def redirect_target(url: str, status: int, location: str | None) -> str:
    """Return the URL that a redirected GET of `url` goes on to, or raise `RedirectError` with it.

    Followed are 301, 302, 303, 307 and 308 to the same host or its ``www.`` twin, on the same port,
    or from http on port 80 to https on port 443; never from https to http.
    """
    if location is None:
        raise RedirectError(f"{origin(url)} answered {status} without saying where to go", "")
    parts = _joined(url, location)
    if parts is None or parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise RedirectError(f"{origin(url)} redirected to what is no http or https URL", "")
    target = _rebuilt(parts)
    if status not in _FOLLOWED or not _is_same_site(urlsplit(url), parts):
        raise refused_redirect(url, status, target)
    return target


def refused_redirect(
    url: str, status: int, location: str | None, why: str = "not followed"
) -> RedirectError:
    """Make the error of a redirect that is not followed.

    The error names the target without query and credentials, and `why`.
    """
    parts = _joined(url, location or "")
    shown = (
        urlunsplit((parts.scheme, _netloc(parts), _quoted(parts.path), "", ""))
        if parts and location
        else ""
    )
    named = _cut(shown) if shown else "nowhere"
    return RedirectError(f"{origin(url)} answered {status} and redirected to {named}: {why}", shown)


def checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers with names in lower case.

    `InvalidRequestError` for one that cannot be sent as it is (RFC 9110, 5.1 and 5.5), or that is
    the transport's own to set.
    """
    if not isinstance(headers or {}, Mapping):
        raise InvalidRequestError(
            f"headers must be a mapping of names to values, not {type(headers).__name__}"
        )
    checked: dict[str, str] = {}
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise InvalidRequestError(
                "a header's name is empty or holds a character that no name may hold"
            )
        if name.lower() in _TRANSPORT_HEADERS:
            raise InvalidRequestError(f"the header {name} is the transport's to set")
        if not isinstance(value, str) or _CONTROL.search(value) or not is_encodable(value):
            raise InvalidRequestError(
                f"the value of the header {name} is no text, or holds control characters"
            )
        checked[name.lower()] = value
    return checked


def merged_headers(*layers: Mapping[str, str]) -> dict[str, str]:
    """Join layers of headers.

    A later layer wins over an earlier one, whatever the case of the names.
    """
    return {_titled(name): value for layer in layers for name, value in layer.items()}


def checked_cookies(cookies: Mapping[str, str] | None) -> dict[str, str]:
    """Return the cookies; `InvalidRequestError` for one that cannot be sent as it is."""
    checked = dict(cookies or {})
    for name, value in checked.items():
        if not isinstance(name, str) or not _COOKIE_NAME.fullmatch(name):
            raise InvalidRequestError(
                "a cookie's name is empty or holds a character that no name may hold"
            )
        if not _is_cookie_value(value):
            raise InvalidRequestError(
                f"the value of the cookie {name} is no text a cookie may hold"
            )
    return checked


def is_sendable_cookie(name: str, value: str) -> bool:
    """Tell whether a site's cookie can be kept, and sent as it is."""
    if not _COOKIE_NAME.fullmatch(name) or not _is_cookie_value(value):
        return False
    return len(name) + len(value.encode()) <= _LONGEST_COOKIE


def _is_cookie_value(value: object) -> bool:
    """Tell whether a value goes out as it is.

    Browsers send spaces within one (RFC 6265, 5.4), and bytes beyond ASCII as they came. aiohttp
    writes them as UTF-8 alone.
    """
    if not isinstance(value, str) or value != value.strip(" "):
        return False
    return not _COOKIE_END.search(value) and is_encodable(value)


def checked_proxy(url: str | None) -> Proxy | None:
    """Parse a proxy's URL; `InvalidProxyError` for an unknown kind and what is no URL."""
    if url is None or url == "":
        return None
    parts = _split(url)
    if parts is None or not parts.hostname or _CONTROL.search(url):
        raise InvalidProxyError(
            "the proxy's URL is malformed: it must look like http://host:port, with user:password@ "
            "in front of the host where the proxy wants them"
        )
    if parts.scheme not in _PROXY_PORTS:
        raise InvalidProxyError(
            f"a proxy of kind {_cut(parts.scheme)!r} is unknown: use {', '.join(_PROXY_PORTS)}"
        )
    username = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    if _CONTROL.search(f"{username}{password}") or not _is_latin(f"{username}{password}"):
        raise InvalidProxyError("the proxy's user or password holds characters that cannot be sent")
    port = _PROXY_PORTS[parts.scheme] if parts.port is None else parts.port
    return Proxy(parts.scheme, _ascii_host(parts.hostname), port, username, password)


def _split(url: str) -> SplitResult | None:
    """Split a URL, or return None where that, its port or its host cannot be read."""
    if not isinstance(url, str):
        return None
    try:
        url.encode("utf-8", "surrogateescape")
        parts = urlsplit(url)
        if parts.port == 0 or (parts.hostname and not _is_host(_ascii_host(parts.hostname))):
            return None
    except ValueError:
        return None
    return parts


def _joined(url: str, location: str) -> SplitResult | None:
    try:
        return _split(urljoin(url, location.strip()))
    except ValueError:
        return None


def _is_host(host: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-z._~%!$&'()*+,;=\-]+|[0-9a-f:.]+(%[0-9a-z._~\-]+)?", host))


def _ascii_host(host: str) -> str:
    """Return a host's name in ASCII, as it is looked up (RFC 3490).

    Raises UnicodeError, a ValueError, where there is no such form.
    """
    return host.lower() if host.isascii() else host.encode("idna").decode("ascii")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _netloc(parts: SplitResult) -> str:
    host = _bracketed(_ascii_host(parts.hostname or ""))
    return (
        host if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"
    )


def _rebuilt(parts: SplitResult) -> str:
    path, query = _quoted(parts.path), _quoted(parts.query)
    return urlunsplit((parts.scheme, _netloc(parts), path or "/", query, ""))


def _quoted(text: str) -> str:
    """Quote a part of a URL; a byte that is no UTF-8 is one in a redirect's target alone."""
    return quote(text, safe=_URL_SAFE, errors="surrogateescape")


def _basic(parts: SplitResult) -> str | None:
    if parts.username is None and parts.password is None:
        return None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def _is_same_site(here: SplitResult, there: SplitResult) -> bool:
    hosts = [(parts.hostname or "").lower().removeprefix("www.") for parts in (here, there)]
    ports = [parts.port or _DEFAULT_PORTS[parts.scheme] for parts in (here, there)]
    if hosts[0] != hosts[1] or (here.scheme, there.scheme) == ("https", "http"):
        return False
    return ports[0] == ports[1] or (here.scheme != there.scheme and ports == [80, 443])


def is_encodable(text: str) -> bool:
    """Tell whether a text can be sent at all: UTF-8 has no lone surrogates."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _is_latin(text: str) -> bool:
    return all(character <= "\xff" for character in text)


@lru_cache(maxsize=256)  # of the same few headers
def _titled(name: str) -> str:
    return "-".join(word.capitalize() for word in name.split("-"))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_NAMED else f"{text[:_LONGEST_NAMED]}..."
