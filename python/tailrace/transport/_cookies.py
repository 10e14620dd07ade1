"""The cookies of one call: the jar of both transports, and what a site has set in it."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from http.cookies import Morsel
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from tailrace._headers import moment_of
from tailrace._printable import visible_line
from tailrace.transport import _rules as rules
from tailrace.transport._base import SiteCookies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Jar"]

log: logging.Logger = logging.getLogger("tailrace")


class Jar(aiohttp.CookieJar):
    """A jar that begins with the `cookies` of a caller, and keeps those of IP hosts.

    A site's cookie that cannot be sent as it came is left out, and named in a warning.
    """

    def __init__(self, cookies: Mapping[str, str]) -> None:
        super().__init__(unsafe=True, quote_cookie=False)
        self.update_cookies(
            {name: _write(Morsel(), name, value) for name, value in cookies.items()}
        )

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Take in the Set-Cookie `headers` of a response, values as they are written there."""
        for header in headers:
            name, equals, value = header.partition(";")[0].partition("=")
            name = name.strip(" \t")
            can_be_sent = bool(equals) and rules.is_sendable_cookie(name, value.strip(" \t"))
            if can_be_sent:
                try:
                    super().update_cookies_from_headers(
                        [_EPOCH.sub(r"\g<1>1", header)], response_url
                    )
                except Exception:  # noqa: BLE001 - http.cookies raises what it likes
                    can_be_sent = False
            if not can_be_sent:
                _warn_once(rules.origin(str(response_url)), name if equals else "")
        for morsel in self:
            value = morsel.coded_value.partition(";")[0].rstrip(" \t")
            if morsel.value != value:  # a browser sends the quotes, too, and ends at any semicolon
                _write(morsel, morsel.key, value)

    @property
    def values(self) -> dict[str, str]:
        """All cookies by name."""
        return {morsel.key: morsel.value for morsel in self}

    def of_site(self, url: str, now: float) -> SiteCookies:
        """Return the cookies for `url`, whatever its path; `now`: seconds since 1970."""
        there = URL(url, encoded=True)
        lifetimes = [(each, _seconds_left(each, now)) for each in self if _is_for(each, there)]
        kept = [(each, left) for each, left in lifetimes if left is None or left > 0]
        ends = [left for _, left in kept if left is not None]
        return SiteCookies({each.key: each.value for each, _ in kept}, min(ends, default=None))


def _write(morsel: Morsel[str], name: str, value: str) -> Morsel[str]:
    """Return a cookie with that name and value, neither of which is read or quoted.

    `Morsel.set` refuses the names of attributes, such as ``version``, which cookies may have.
    """
    morsel.__setstate__({"key": name, "value": value, "coded_value": value})  # type: ignore[attr-defined]
    return morsel


@lru_cache(maxsize=256)
def _warn_once(origin: str, name: str) -> None:
    which = visible_line(name[:_LONGEST_NAME]) if name else "without a name"
    log.warning("%s sets a cookie that cannot be sent back: %s", origin, which)


_LONGEST_NAME = 100  # characters shown of a peer's text

# aiohttp takes the first second of 1970, which sites write to delete a cookie, for no date at all.
_EPOCH = re.compile(r"(01[ -]Jan[ -]1970 00:00:0)0", re.IGNORECASE)


def _is_for(morsel: Morsel[str], url: URL) -> bool:
    domain, host = morsel["domain"].lstrip(".").lower(), (url.raw_host or "").lower()
    is_of_host = not domain or host == domain or host.endswith(f".{domain}")
    return is_of_host and (url.scheme == "https" or not morsel["secure"])


def _seconds_left(morsel: Morsel[str], now: float) -> float | None:
    """Return the seconds for which a cookie is good, None for as long as the browser runs."""
    try:
        return float(int(morsel["max-age"]))
    except ValueError:
        until = moment_of(morsel["expires"])
    return None if until is None else until.timestamp() - now
