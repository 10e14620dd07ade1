"""What was sent as a secret, and is left out of what is told of a failure.

A server may say again what it was sent: a key in its error, all headers on a proxy's page, a nonce
in a message. Whoever sends keeps nothing ready for that; once a failure is to be told, it names
what it has sent to a `SentSecrets`, which takes that out of the error's texts. Nothing is ever
taken out of an answer.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from tailrace._spellings import Spellings, encoded_spellings, plain_spellings, readings_of
from tailrace.errors import (
    LONGEST_CODE,
    LONGEST_MESSAGE,
    MAX_RAW_BYTES,
    SECRET_FIELD,
    TailraceError,
    first_bytes,
    one_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailrace._spellings import Reading

__all__ = [
    "LEFT_OUT",
    "SentSecrets",
    "parts_of_header",
    "secrets_in_url",
    "without_secret_fields",
]

E = TypeVar("E", bound=BaseException)

LEFT_OUT = "[secret]"
"""Stands where a secret was."""

SHORTEST = 6
"""The least bytes of a secret that is left out: a shorter one stands in words by chance."""

_LONG = 16  # bytes: a secret of so many is left out wherever it stands
_ANYWHERE, _ENCODED, _ALONE, _NAMED = range(4)  # where a secret counts as one
_WORDS = re.compile(r"[^\W\d_]{1,16}(?:[-_. ][^\W\d_]{1,16}){0,16}")
_BEFORE = 32  # bytes in front of a word that may name it a secret
_SHORTEST_BEGINNING = 3  # bytes of a secret that was cut
_CUT = "…".encode()
_MOST_UTF8 = 3  # bytes of a character that may be missing in a text that was cut
_NOT_ALONE = re.compile(rb"[A-Za-z0-9_]")


class SentSecrets:
    """The secrets that one call, or one site, is sent, and what is told of a failure without them.

    A secret is found as it is, percent-encoded, escaped as in HTML or JSON, in hexadecimal digits,
    within base64, and in up to four of these at once. One of 16 bytes or more is found wherever it
    stands, a shorter one only where no letter or digit is beside it, and one that is words alone
    only behind a name such as ``key``, ``token`` or ``password``; one of less than 6 bytes is not
    looked for.
    """

    def __init__(self) -> None:
        self._sought = Spellings()
        self._known: set[str] = set()
        self._longest = 0  # bytes of a spelling

    @classmethod
    def of_request(
        cls,
        url: str,
        headers: Mapping[str, str],
        cookies: Mapping[str, str] | None = None,
        proxy: tuple[str | None, str | None] = (None, None),
    ) -> Self:
        """Return those of one request; `proxy`: the user and password of its proxy."""
        secrets = cls()
        secrets.add_url(url)
        secrets.add_headers(headers)
        secrets.add_cookies(cookies)
        user, password = proxy
        if user or password:
            secrets.add(user, password, _basic(user or "", password or ""))
        return secrets

    def add(self, *values: object, is_random: bool = False) -> None:
        """Add secrets; what is no text is passed over.

        `is_random`: a machine has made them, so that none of them is a word, whatever its letters.
        """
        for value in values:
            if isinstance(value, str) and value not in self._known:
                self._known.add(value)
                for spellings, where in _spellings_of(value, is_random=is_random):
                    self._sought.add_spellings(spellings, where)
                    self._longest = max([self._longest, *map(len, spellings)])

    def add_url(self, url: object) -> None:
        """Add the user and password of a URL, and the secret fields of its query."""
        if isinstance(url, str):
            self.add(*secrets_in_url(url))

    def add_headers(self, headers: Mapping[str, Any] | None) -> None:
        """Add the values of headers whose names say that they are secret, and their parts."""
        for name, value in (headers or {}).items():
            if isinstance(value, str) and SECRET_FIELD.search(str(name)):
                _, _, rest = value.partition(" ")
                is_scheme = rest and str(name).lower().endswith("authorization")
                self.add(rest if is_scheme else value, *parts_of_header(value))

    def add_cookies(self, cookies: Mapping[str, Any] | None) -> None:
        """Add the values of cookies."""
        self.add(*(cookies or {}).values())

    def add_fields(self, value: object) -> None:
        """Add the texts of fields whose names say that they are secret, in a request's JSON."""
        waiting = [value]
        while waiting:
            each = waiting.pop()
            if isinstance(each, Mapping):
                self.add(*(text for name, text in each.items() if SECRET_FIELD.search(str(name))))
                waiting += each.values()
            elif isinstance(each, list | tuple):
                waiting += each

    def out_of(self, text: str) -> str:
        """Return a text without the secrets, and without the beginning of one that was cut off."""
        data = _bytes(text)
        done = self.out_of_bytes(data)
        return text if done is data else done.decode("utf-8", "replace")

    def out_of_bytes(self, data: bytes) -> bytes:
        """Return what `out_of` does, of a text in UTF-8."""
        if not self._known:
            return data
        places = [(begin, end) for begin, end, _ in self._sought.places(data, self._counts)]
        places += self._beginnings(data)
        pieces: list[bytes] = []
        done = 0
        # Of two that begin together the longer one stands first.
        for begin, end in sorted(places, key=lambda place: (place[0], -place[1])):
            if begin >= done:
                pieces += (data[done:begin], LEFT_OUT.encode())
            done = max(done, end)
        return b"".join([*pieces, data[done:]]) if pieces else data

    def out_of_error(self, error: E) -> E:
        """Take the secrets out of all texts of an error, of those it holds and of its causes.

        The error itself is changed, and returned.
        """
        _Concealing(self).of(error)
        return error

    def _counts(self, text: bytes, begin: int, end: int, where: int) -> bool:
        """Tell whether a secret at this place of a text is one, and no word."""
        if where in (_ANYWHERE, _ENCODED):
            return True
        if _is_beside(text[begin - 1 : begin]) or _is_beside(text[end : end + 1]):
            return False
        return where == _ALONE or _is_named(text[max(0, begin - _BEFORE) : begin])

    def _beginnings(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where the beginnings of secrets stand that were cut off."""
        if len(data) > MAX_RAW_BYTES - _MOST_UTF8:
            yield from self._beginnings_at(data, len(data))
        end = data.rfind(_CUT)
        for _ in range(_MOST_CUTS):  # a stranger's text may have any number of them
            if end < 0:
                return
            yield from self._beginnings_at(data, end)
            end = data.rfind(_CUT, 0, end)

    def _beginnings_at(self, data: bytes, end: int) -> Iterator[tuple[int, int]]:
        start = max(0, end - _LONGEST_ESCAPE * self._longest)
        for reading in readings_of(data[start:end]):
            for spelling, where in self._sought.sought_in(reading).items():
                begin = self._beginning_in(reading, spelling, where)
                if begin is not None:
                    yield start + reading.place(begin, 1)[0], end

    def _beginning_in(self, reading: Reading, spelling: bytes, where: int) -> int | None:
        """Return where, at the end of a text, a beginning of a spelling stands; None without."""
        text = reading.text
        # A few of base64's letters stand anywhere by chance.
        least = SHORTEST if where == _ENCODED else _SHORTEST_BEGINNING
        if text[-least:] not in spelling:
            return None
        for size in range(min(len(spelling) - 1, len(text)), least - 1, -1):
            if text.endswith(spelling[:size]):
                begin = len(text) - size
                return begin if self._counts(text, begin, len(text), where) else None
        return None


_LONGEST_ESCAPE = 6  # bytes, of one
_MOST_CUTS = 150


@lru_cache(maxsize=256)  # of the same few secrets, for each call that failed
def _spellings_of(value: str, *, is_random: bool) -> tuple[tuple[list[bytes], int], ...]:
    """Return the spellings by which a secret is found, and where they count as one."""
    data = _bytes(value)
    if len(data) < SHORTEST:
        return ()
    return (
        (plain_spellings(data), _where(value, len(data), is_random=is_random)),
        (encoded_spellings(data), _ENCODED),
    )


def _where(value: str, size: int, *, is_random: bool) -> int:
    if size >= _LONG:
        return _ANYWHERE
    return _ALONE if is_random or not _WORDS.fullmatch(value) else _NAMED


def _is_beside(letter: bytes) -> bool:
    return _NOT_ALONE.match(letter) is not None


def _is_named(before: bytes) -> bool:
    return SECRET_FIELD.search(before.decode("latin-1")) is not None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# -- errors ----------------------------------------------------------------------------------------


class _Concealing:
    """The taking of secrets out of an error, and out of all errors that belong to it, once each."""

    def __init__(self, secrets: SentSecrets) -> None:
        self._secrets = secrets
        self._seen: set[int] = set()
        self._texts: dict[str, str] = {}  # an error has most of them twice

    def of(self, error: BaseException | None) -> None:
        """Take the secrets out of an error of this package; others are not touched."""
        if not isinstance(error, TailraceError) or id(error) in self._seen:
            return
        self._seen.add(id(error))
        error.args = tuple(self._value("", each) for each in error.args)
        for name, value in vars(error).items():
            concealed = self._value(name, value)
            if concealed is not value:
                vars(error)[name] = concealed
        self.of(error.__cause__)
        self.of(error.__context__)

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            concealed = self._texts.get(value)
            if concealed is None:
                concealed = self._texts[value] = self._secrets.out_of(value)
            return value if concealed == value else _shortened(name, value, concealed)
        if isinstance(value, list | tuple):
            each = [self._value("", item) for item in value]
            is_changed = any(new is not old for new, old in zip(each, value, strict=True))
            return type(value)(each) if is_changed else value
        self.of(value)
        return value


def _shortened(name: str, text: str, concealed: str) -> str:
    """Hold a text to the limit that it has, which what stands for a secret may pass."""
    if name == "raw":
        return first_bytes(concealed)
    longest = LONGEST_CODE if name == "code" else LONGEST_MESSAGE
    return one_line(concealed, longest) if len(text) <= longest else concealed


def without_secret_fields(value: Any) -> Any:
    """Return what JSON can say without the texts of fields whose names say that they are secret."""
    if isinstance(value, Mapping):
        return {
            name: LEFT_OUT
            if isinstance(each, str) and each and SECRET_FIELD.search(str(name))
            else without_secret_fields(each)
            for name, each in value.items()
        }
    return [without_secret_fields(each) for each in value] if isinstance(value, list) else value


# -- where secrets stand ---------------------------------------------------------------------------

_FIELD = re.compile(r"[?&;#]([\w.-]{1,64}+)=(?=([^&;#\s]{1,2048}+))")


def parts_of_header(value: str) -> Iterator[str]:
    """Split credentials (RFC 9110, 11.4) or cookies into what is secret in them."""
    scheme, _, credentials = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(credentials).decode().partition(":")
        except (binascii.Error, ValueError):
            user = password = ""
        yield from (user, password)
    for part in value.replace(",", ";").replace(" ", ";").split(";"):
        if part != scheme:
            yield part
        yield part.partition("=")[2].strip("\"'")
        yield part.partition("=")[2].strip("\"'=")
        yield part.partition(":")[2].strip("\"'{}[]")


def secrets_in_url(url: str) -> Iterator[str]:
    """Yield the user and password of a URL, and the values of the secret fields of its query.

    Fields are found wherever they stand: in a URL within the URL, too.
    """
    yield from _credentials(url)
    for each in dict.fromkeys((url, unquote(url))):
        for name, value in _FIELD.findall(each):
            if SECRET_FIELD.search(name):
                yield unquote(value)


def _credentials(url: str) -> Iterable[str]:
    try:
        place = urlsplit(url).netloc
    except ValueError:
        return ()
    if "@" not in place:
        return ()
    user, _, password = place.rpartition("@")[0].partition(":")
    plain = (unquote(user), unquote(password))
    return (user, password, *plain, _basic(*plain))


def _basic(user: str, password: str) -> str:
    """Return the credentials of the Authorization header made of a user and a password."""
    return base64.b64encode(_bytes(f"{user}:{password}")).decode("ascii")
