"""The secrets of a call, and their redaction in a recording.

Pure functions over URLs, headers and bodies, and the table of secret values with their stand-ins.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "REDACTED",
    "Secrets",
    "bare_url",
    "find_in_url",
    "kept_headers",
    "nonces_in",
    "redacted_body",
    "redacted_url",
]

REDACTED = "[redacted]"
"""Stands for a value that does not reach the file, unless its length must be kept."""

_SHORTEST_SOUGHT = 6  # bytes: a shorter value is no secret in a response but a word
_SECRET_FIELD = re.compile(
    r"nonce|pass|sign|token|secret|key|cookie|auth|session|client_id|email", re.IGNORECASE
)
_MESSAGE_FIELD = re.compile(r"(?:.*_)?(?:message|text|content|prompt|input|history)", re.IGNORECASE)
_QUOTE = rb"""(?:["']|&quot;|&#0?3[49];)"""
_NONCES = re.compile(
    rb"nonce[\w-]*"
    + _QUOTE
    + rb"?\s*(?:[=:]|\svalue=)\s*"
    + _QUOTE
    + rb"([A-Za-z0-9]{6,256})"
    + _QUOTE,
    re.IGNORECASE,
)
_KEPT_HEADERS = frozenset(
    {
        "accept",
        "accept-language",
        "cache-control",
        "cf-mitigated",
        "connection",
        "content-encoding",
        "content-language",
        "content-length",
        "content-type",
        "date",
        "expires",
        "location",
        "pragma",
        "referer",
        "retry-after",
        "server",
        "transfer-encoding",
        "user-agent",
        "vary",
        "via",
        "x-accel-buffering",
        "x-cache",
        "x-powered-by",
        "x-requested-with",
    }
)


class Secrets:
    """Secret values, each with a stand-in of the same length, used wherever the value occurs."""

    def __init__(self) -> None:
        self._stand_ins: dict[str, str] = {}

    def add(self, value: str) -> str:
        """Add `value` to the secrets, and return its stand-in."""
        if value not in self._stand_ins:
            number = str(len(self._stand_ins) + 1)
            length = len(value.encode("utf-8", "surrogatepass"))
            self._stand_ins[value] = (
                number.rjust(length, "0") if length >= _SHORTEST_SOUGHT else REDACTED
            )
        return self._stand_ins[value]

    def out_of(self, data: bytes) -> bytes:
        """Replace every secret in a response, but those too short to be told from other text."""
        for value in sorted(self._stand_ins, key=len, reverse=True):
            sought = value.encode("utf-8", "surrogatepass")
            if len(sought) >= _SHORTEST_SOUGHT:
                data = data.replace(sought, self._stand_ins[value].encode())
        return data


def nonces_in(page: bytes) -> Iterator[str]:
    """Find the nonces that a page or a JSON text holds."""
    for match in _NONCES.finditer(page):
        yield match[1].decode("ascii")


def kept_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return all headers, but only with the values of those known to be harmless."""
    return tuple((name, _kept_value(name.lower(), value)) for name, value in headers)


def _kept_value(name: str, value: str) -> str:
    if name not in _KEPT_HEADERS:
        return REDACTED
    return (
        bare_url(value)
        if name in ("location", "referer")
        else value.encode("utf-8", "replace").decode()
    )


def bare_url(url: str) -> str:
    """Return a URL without the parts that may be secret: user, password, query, fragment."""
    try:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return REDACTED


def find_in_url(url: str, secrets: Secrets) -> None:
    """Add a URL's password and the secret fields of its query to `secrets`."""
    redacted_url(url, secrets)
    if password := urlsplit(url).password:
        secrets.add(password)


def redacted_url(url: str, secrets: Secrets) -> str:
    """Return a URL without credentials and fragment, with stand-ins in its query."""
    query = _redacted_form(urlsplit(url).query, secrets, keep_messages=False)
    return bare_url(url) + (f"?{query}" if query else "")


def _redacted_form(text: str, secrets: Secrets, *, keep_messages: bool) -> str:
    fields = parse_qsl(text, keep_blank_values=True)
    kept = [
        (name, _field(name, value, secrets, keep_messages=keep_messages)) for name, value in fields
    ]
    return urlencode(kept, quote_via=quote, safe="[]")


def redacted_body(
    body: bytes | None, kind: str, secrets: Secrets, *, keep_messages: bool
) -> str | None:
    """Return a request's body as text, without its secrets; None unless it is a form or JSON.

    `kind` is the Content-Type; without `keep_messages` the prompt is redacted too.
    """
    if body is None:
        return None
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if "form-urlencoded" not in kind:
            return None
        return _redacted_form(text, secrets, keep_messages=keep_messages)
    return json.dumps(_redacted_json("", value, secrets, keep_messages=keep_messages))


def _redacted_json(name: str, value: Any, secrets: Secrets, *, keep_messages: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: _redacted_json(key, each, secrets, keep_messages=keep_messages)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_redacted_json(name, each, secrets, keep_messages=keep_messages) for each in value]
    return (
        _field(name, value, secrets, keep_messages=keep_messages)
        if isinstance(value, str)
        else value
    )


def _field(name: str, value: str, secrets: Secrets, *, keep_messages: bool) -> str:
    if value and _SECRET_FIELD.search(name):
        return secrets.add(value)
    if value and not keep_messages and _MESSAGE_FIELD.fullmatch(name):
        return REDACTED
    return value
