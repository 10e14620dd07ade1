"""The secrets of a call, where they stand, and their redaction in a recording.

Pure functions over URLs, headers, bodies and environment variables, and the table of secret values
with their stand-ins.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from tailrace._secrecy import parts_of_header, secrets_in_url
from tailrace._spellings import Spellings
from tailrace.errors import SECRET_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "REDACTED",
    "Secrets",
    "bare_url",
    "find_in_environment",
    "find_in_headers",
    "find_in_url",
    "kept_headers",
    "one_line_of_http",
    "redacted_body",
    "redacted_url",
    "secrets_in",
]

REDACTED = "[redacted]"
"""Stands for a value that does not reach the file, unless its length must be kept."""

_SHORTEST_SOUGHT = 6  # bytes: a shorter value is no secret in a response but a word
_SHORTEST_FIELD = 4  # characters of a whole field that is a secret found elsewhere
_SHORTEST_VARIABLE = 8  # characters
_SHORTEST_KEY = 10  # characters of a part of a header that is not known to hold credentials


class Secrets:
    """Secret values, each with a stand-in that is used wherever the value occurs."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._sought = Spellings()

    def __contains__(self, value: str) -> bool:
        return value in self._numbers

    def add(self, value: str) -> str:
        """Add `value` to the secrets, and return its stand-in, as long as the value in UTF-8."""
        data = _bytes(value)
        is_new = value not in self._numbers
        number = self._numbers.setdefault(value, len(self._numbers) + 1)
        if len(data) < _SHORTEST_SOUGHT:
            return REDACTED
        if is_new:
            self._sought.add(data, number)
        return _stand_in(number, len(data))

    def out_of(self, data: bytes) -> bytes:
        """Replace every secret in `data`, but those too short to be told from other text.

        A secret is found as it is, percent-encoded, escaped as in HTML or JSON, within base64, and
        in up to four of these at once. The length stays, and with it the boundaries of reads.
        """
        pieces: list[bytes] = []
        done = 0
        for begin, end, number in self._places(data):
            if end > done:
                start = max(begin, done)
                pieces += (data[done:start], _stand_in(number, end - start).encode())
                done = end
        return b"".join([*pieces, data[done:]])

    def out_of_text(self, text: str) -> str:
        """Replace every secret in a text, as `out_of` does."""
        return self.out_of(_bytes(text)).decode("utf-8", "replace")

    def _places(self, data: bytes) -> list[tuple[int, int, int]]:
        """Find where secrets stand in `data`, from its beginning, each with its number."""
        # Of two that begin together the longer one stands first.
        return sorted(self._sought.places(data), key=lambda place: (place[0], -place[1]))


def _stand_in(number: int, length: int) -> str:
    """Return a number that JSON takes as well as HTML, and that stands for no other secret."""
    return "1" + str(number).rjust(length - 1, "0") if length > len(str(number)) else "0" * length


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# -- responses -------------------------------------------------------------------------------------

# A quote, as it is or escaped for HTML, JSON, a URL, or several of them.
_QUOTE = rb"""(?:\\{0,8}+["'`]|&quot;|&#0?3[49];|&#[xX]2[27];|\\{1,8}+u002[27]|%2[27])"""
_IS = rb"(?:\s{0,16}+(?:[=:]|%3[AaDd])|\s{1,16}+value=)\s{0,16}+"
_NONCES = re.compile(
    rb"nonce[\w-]{0,64}+" + _QUOTE + rb"?" + _IS + _QUOTE + rb"([A-Za-z0-9]{6,256}+)" + _QUOTE,
    re.IGNORECASE,
)
_ID = rb"(?:conversation[_-]?uuid|client[_-]?id|session[_-]?id|(?:access|csrf|auth|new)[_-]?token)"
_IDS = re.compile(
    _ID + _QUOTE + rb"?" + _IS + _QUOTE + rb"([\w.~-]{6,256}+)" + _QUOTE,
    re.IGNORECASE,
)
_CONVERSATION = re.compile(
    rb"conversation[_-]?uuid(?:&quot;|&#0?3[49];|&#x2[27];|u002[27]|%[0-9a-f]{2}|value=|\W){1,40}+"
    rb"([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})",
    re.IGNORECASE,
)
_INPUT = re.compile(rb"<input\s([^<>]{1,2048}+)>", re.IGNORECASE)
_SECRET_NAME = re.compile(
    rb"(?:name|id)\s{0,4}+=\s{0,4}+[\"']?[\w-]{0,64}?(?:nonce|" + _ID + rb")", re.IGNORECASE
)
_VALUE = re.compile(rb"\bvalue\s{0,4}+=\s{0,4}+[\"']?([\w.~-]{6,256}+)", re.IGNORECASE)


def secrets_in(response: bytes, *, is_answer: bool = False) -> Iterator[str]:
    """Find the nonces, and the ids of visitors and conversations, that a response holds.

    `is_answer`: it is a text that may show code, of which only a conversation's id is told.
    """
    patterns = (_CONVERSATION,) if is_answer else (_NONCES, _IDS, _CONVERSATION)
    for pattern in patterns:
        for match in pattern.finditer(response):
            yield match[1].decode("ascii", "replace")
    for attributes in () if is_answer else _INPUT.finditer(response):
        value = _VALUE.search(attributes[1])
        if value is not None and _SECRET_NAME.search(attributes[1]):
            yield value[1].decode("ascii", "replace")


# -- headers ---------------------------------------------------------------------------------------

_KEPT_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "cf-mitigated",
        "connection",
        "content-encoding",
        "content-language",
        "content-length",
        "content-type",
        "date",
        "dnt",
        "expires",
        "host",
        "location",
        "origin",
        "pragma",
        "priority",
        "referer",
        "retry-after",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "server",
        "transfer-encoding",
        "upgrade-insecure-requests",
        "user-agent",
        "vary",
        "via",
        "x-accel-buffering",
        "x-cache",
        "x-powered-by",
        "x-requested-with",
    }
)
_URL_HEADERS = frozenset({"location", "origin", "referer"})
_HTTP_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110, 5.5: all but the tab


def find_in_headers(headers: Iterable[tuple[str, str]], secrets: Secrets) -> None:
    """Add the values of a request's headers to `secrets`, but those known to be harmless.

    Parts of a value are added, too: of credentials and cookies all, of others those that are no
    words.
    """
    for name, value in headers:
        if name.lower() in _URL_HEADERS:
            find_in_url(value, secrets)
        elif name.lower() not in _KEPT_HEADERS:
            _add_sought(value, secrets)
            is_secret = SECRET_FIELD.search(name) is not None
            for part in parts_of_header(value):
                if is_secret or _is_no_word(part):
                    _add_sought(part, secrets)


def _is_no_word(part: str) -> bool:
    """Tell a key from a word, which must not be taken out of an answer."""
    return len(part) >= _SHORTEST_KEY and re.search(r"\d", part) is not None


def _add_sought(value: str, secrets: Secrets) -> None:
    """Add a value to the secrets, unless it is too short to be sought."""
    if len(_bytes(value)) >= _SHORTEST_SOUGHT:
        secrets.add(value)


def kept_headers(
    headers: Iterable[tuple[str, str]], secrets: Secrets
) -> tuple[tuple[str, str], ...]:
    """Return all headers, but only with the values of those known to be harmless."""
    return tuple(
        (one_line_of_http(name, secrets), _kept_value(name.lower(), value, secrets))
        for name, value in headers
    )


def _kept_value(name: str, value: str, secrets: Secrets) -> str:
    if name not in _KEPT_HEADERS:
        return REDACTED
    kept = bare_url(value) if name in _URL_HEADERS else value
    return one_line_of_http(kept, secrets)


def one_line_of_http(text: str, secrets: Secrets) -> str:
    """Return a status line's or header's text as UTF-8 can say it, without secrets.

    Control characters, which no sender may send there, become spaces.
    """
    return _HTTP_CONTROL.sub(" ", secrets.out_of_text(text.encode("utf-8", "replace").decode()))


# -- environment variables -------------------------------------------------------------------------

_SECRET_WORDS = re.compile(
    r"(?:KEY|PASS|PASSWD|PASSWORD|PWD|TOKEN|SECRET|COOKIE|CREDENTIAL|NONCE|WEBHOOK)S?$"
    r"|^(?:AUTH|BEARER|CREDS?|DSN|JWT|PASSPHRASE|PAT|SALT|SIGNING)$"
)
_FOLDERS = frozenset({"PWD", "OLDPWD"})
_WORD_IN_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN_PARTS = re.compile(r"[\n,;]")
_BESIDE_PARTS = " \t\r\"'{}[]"


def find_in_environment(environ: Mapping[str, str], secrets: Secrets) -> None:
    """Add the values of environment variables whose names say that they are secret.

    Of a list, as in ``TAILRACE_KEYS``, each part is added; of any variable that holds a URL, the
    URL's user and password, and the secret fields of its query.
    """
    for name, value in environ.items():
        if _is_secret_variable(name):
            for part in _parts_of_variable(value):
                if len(part) >= _SHORTEST_VARIABLE:
                    secrets.add(part)
        if "://" in value:
            _find_in_url(value, secrets)
        elif "@" in value and name.upper().endswith("_PROXY"):
            _find_in_url(f"http://{value}", secrets)


def _is_secret_variable(name: str) -> bool:
    words = re.split(r"[^A-Z]", _WORD_IN_CAMEL_CASE.sub("_", name).upper())
    return name not in _FOLDERS and any(map(_SECRET_WORDS.search, words))


def _parts_of_variable(value: str) -> Iterator[str]:
    for part in (value, *_BETWEEN_PARTS.split(value)):
        yield part.strip()
        yield part.strip(_BESIDE_PARTS)
        for mark in (":", "=", "Bearer ", "Basic "):
            yield part.partition(mark)[2].strip(_BESIDE_PARTS)


# -- URLs ------------------------------------------------------------------------------------------

# Fields of a query whose values say what is asked for, not by whom.
_KEPT_FIELDS = frozenset(
    [
        "action",
        "alt",
        "bot",
        "bot_id",
        "lang",
        "locale",
        "model",
        "p",
        "page",
        "page_id",
        "post",
        "post_id",
        "stream",
        "type",
        "v",
        "ver",
        "version",
    ]
)
_LONGEST_NUMBER = 9  # digits of a number that names a page or a post
_MESSAGE_WORDS = frozenset(
    {"message", "newmessage", "text", "content", "prompt", "input", "history"}
)


def bare_url(url: str) -> str:
    """Return a URL without the parts that may be secret: user, password, query, fragment."""
    parts = _split(url)
    if parts is None:
        return REDACTED
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def find_in_url(url: str, secrets: Secrets) -> None:
    """Add a URL's user and password and the secret fields of its query to `secrets`."""
    redacted_url(url, secrets)
    _find_in_url(url, secrets)


def _find_in_url(url: str, secrets: Secrets) -> None:
    for value in secrets_in_url(url):
        _add_sought(value, secrets)


def redacted_url(url: str, secrets: Secrets) -> str:
    """Return a URL without credentials and fragment, with stand-ins in its query."""
    parts = _split(url)
    if parts is None:
        return REDACTED
    fields = [_query_field(*field, secrets) for field in _fields(parts.query)]
    return bare_url(url) + (f"?{_encoded(fields)}" if fields else "")


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _fields(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True, errors="replace")


def _encoded(fields: list[tuple[str, str]]) -> str:
    return urlencode(fields, quote_via=quote, safe="[]", errors="replace")


def _query_field(name: str, value: str, secrets: Secrets) -> tuple[str, str]:
    """Return a field of a query as it is kept: its value only where it is known to be harmless.

    A word alone may be a secret itself.
    """
    if not value:
        return (name if len(name) < _SHORTEST_SOUGHT else secrets.add(name)), value
    if _is_message(name):
        return name, REDACTED
    is_number = len(value) <= _LONGEST_NUMBER and value.isdecimal()
    if not SECRET_FIELD.search(name) and (is_number or name.lower() in _KEPT_FIELDS):
        return name, value
    return name, secrets.add(value)


def _is_message(name: str) -> bool:
    return name.lower().rpartition("_")[2] in _MESSAGE_WORDS


# -- bodies of requests ----------------------------------------------------------------------------


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
        return json.dumps(_redacted_json("", value, secrets, keep_messages=keep_messages))
    except (ValueError, RecursionError):
        if "form-urlencoded" not in kind:
            return None
    fields = [
        (name, _field(name, value, secrets, keep_messages=keep_messages))
        for name, value in _fields(text)
    ]
    return _encoded(fields)


def _redacted_json(name: str, value: Any, secrets: Secrets, *, keep_messages: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: _redacted_json(key, each, secrets, keep_messages=keep_messages)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_redacted_json(name, each, secrets, keep_messages=keep_messages) for each in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return secrets.add(str(value)) if SECRET_FIELD.search(name) else value
    return (
        _field(name, value, secrets, keep_messages=keep_messages)
        if isinstance(value, str)
        else value
    )


def _field(name: str, value: str, secrets: Secrets, *, keep_messages: bool) -> str:
    if value and SECRET_FIELD.search(name):
        return secrets.add(value)
    if len(value) >= _SHORTEST_FIELD and value in secrets:
        return secrets.add(value)
    if value and not keep_messages and _is_message(name):
        return REDACTED
    return value
