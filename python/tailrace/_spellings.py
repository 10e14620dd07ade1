"""The spellings that a value may have in a page, a form, a JSON text or a header.

Pure functions over bytes. A text is read as it is, then with its escapes decoded, then with the
escapes of that decoded: a JSON text in an attribute of a page has two layers of them.
"""

from __future__ import annotations

import base64
import re
import sys
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from html.entities import html5
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    Counts: TypeAlias = Callable[[bytes, int, int, int], bool]
    """Text, begin, end and number of a place."""

__all__ = ["Reading", "Spellings", "encoded_spellings", "plain_spellings", "readings_of"]

_LAYERS = 4
_SHORTEST_SPELLING = 6  # bytes
_MOST_SOUGHT_SINGLY = 1000  # spellings, each of which costs a look at the whole text
_ESCAPE = re.compile(
    rb"%[0-9A-Fa-f]{2}"
    rb"|\\u[dD][89aAbB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}"
    rb"|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|%u[0-9A-Fa-f]{4}"
    rb"|\\[\"'\\/bfnrt]"
    rb"|&(?:#[0-9]{1,16}|#[xX][0-9A-Fa-f]{1,16}|[A-Za-z][A-Za-z0-9]{1,31});"
)
# A form's plus is a space, and nothing tells a form's value from another text.
_PLUS_AS_SPACE = bytes.maketrans(b"+", b" ")


def plain_spellings(value: bytes) -> list[bytes]:
    """Return `value`, and what it means where it is escaped itself."""
    return _long_enough(reading.text for reading in readings_of(value))


def encoded_spellings(value: bytes) -> list[bytes]:
    """Return `value`, and what it means, in hexadecimal digits and in base64.

    A value may stand anywhere in encoded bytes. At its ends base64 mixes it with its neighbours;
    these characters are left out.
    """
    spellings: list[bytes] = []
    for plain in plain_spellings(value):
        spellings += (plain.hex().encode(), plain.hex().upper().encode())
        for before in range(3):
            encoded = base64.b64encode(b"\0" * before + plain)
            inner = encoded[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6]
            spellings += (inner, inner.translate(bytes.maketrans(b"+/", b"-_")))
    return _long_enough(spellings)


def _long_enough(spellings: Iterable[bytes]) -> list[bytes]:
    return [each for each in dict.fromkeys(spellings) if len(each) >= _SHORTEST_SPELLING]


def readings_of(data: bytes) -> Iterator[Reading]:
    """Yield `data` as it is, and as it reads with its escapes decoded, layer by layer."""
    reading = Reading(data)
    yield reading
    for layer in range(_LAYERS):
        decoded = _decoded(reading)
        if layer > 0 and not decoded.starts:
            return
        yield decoded
        reading = decoded


class Spellings:
    """The spellings of secret values that texts are searched for, each with its value's number."""

    def __init__(self) -> None:
        self._plain: dict[bytes, int] = {}
        self._decoded: dict[bytes, int] = {}  # as they stand in a text whose escapes are decoded
        self._sizes: dict[bytes, set[int]] = {}  # of the spellings that begin so

    def add(self, value: bytes, number: int) -> None:
        """Seek a value as it is, and encoded."""
        self.add_spellings(plain_spellings(value), number)
        self.add_spellings(encoded_spellings(value), number)

    def add_spellings(self, spellings: Iterable[bytes], number: int) -> None:
        """Seek spellings of a value."""
        for plain in spellings:
            decoded = plain.translate(_PLUS_AS_SPACE)
            self._plain.setdefault(plain, number)
            self._decoded.setdefault(decoded, number)
            for each in (plain, decoded):
                self._sizes.setdefault(each[:_SHORTEST_SPELLING], set()).add(len(each))

    def places(self, data: bytes, counts: Counts | None = None) -> list[tuple[int, int, int]]:
        """Return where values begin and end in `data`, each with its number.

        `counts`: tells of a place in a reading of `data` whether it is one.
        """
        if not self._plain:
            return []
        return [
            (*reading.place(at, size), number)
            for reading in readings_of(data)
            for at, size, number in self._places_in(reading)
            if counts is None or counts(reading.text, at, at + size, number)
        ]

    def sought_in(self, reading: Reading) -> dict[bytes, int]:
        """Return the spellings that a reading is searched for, each with its value's number."""
        return self._plain if reading.below is None else self._decoded

    def _places_in(self, reading: Reading) -> Iterator[tuple[int, int, int]]:
        sought = self.sought_in(reading)
        if len(sought) <= _MOST_SOUGHT_SINGLY:
            return _found_singly(reading.text, sought)
        return self._found_together(reading.text, sought)

    def _found_together(
        self, text: bytes, sought: dict[bytes, int]
    ) -> Iterator[tuple[int, int, int]]:
        """Find what is sought in a time that does not grow with its number.

        A page of a stranger's may hold as many secrets as it likes.
        """
        for at in range(len(text) - _SHORTEST_SPELLING + 1):
            for size in self._sizes.get(text[at : at + _SHORTEST_SPELLING], ()):
                number = sought.get(text[at : at + size])
                if number is not None:
                    yield at, size, number


def _found_singly(text: bytes, sought: dict[bytes, int]) -> Iterator[tuple[int, int, int]]:
    for spelling, number in sought.items():
        at = text.find(spelling)
        while at >= 0:
            yield at, len(spelling), number
            at = text.find(spelling, at + len(spelling))


@dataclass(slots=True)
class Reading:
    """A text, and where each of its bytes comes from in the text `below` it, of which it is made.

    For each decoded escape `starts` and `ends` say where its bytes are here, `sources` and `stops`
    where the escape is in the text below.
    """

    text: bytes
    below: Reading | None = None
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)

    def place(self, at: int, size: int) -> tuple[int, int]:
        """Return where `size` bytes from `at` on begin and end in the lowest text."""
        return self._first(at), self._last(at + size - 1) + 1

    def _first(self, at: int) -> int:
        """Return where the byte `at` comes from in the lowest text: the first byte there."""
        if self.below is None:
            return at
        escape = bisect_right(self.starts, at) - 1
        if escape < 0:
            return self.below._first(at)  # noqa: SLF001 - of the same class
        inside = at < self.ends[escape]
        source = self.sources[escape] if inside else self.stops[escape] + at - self.ends[escape]
        return self.below._first(source)  # noqa: SLF001

    def _last(self, at: int) -> int:
        """Return where the byte `at` comes from in the lowest text: the last byte there."""
        if self.below is None:
            return at
        escape = bisect_right(self.starts, at) - 1
        if escape < 0:
            return self.below._last(at)  # noqa: SLF001
        inside = at < self.ends[escape]
        source = self.stops[escape] - 1 if inside else self.stops[escape] + at - self.ends[escape]
        return self.below._last(source)  # noqa: SLF001


def _decoded(below: Reading) -> Reading:
    reading = Reading(b"", below)
    pieces: list[bytes] = []
    done = size = 0
    for match in _ESCAPE.finditer(below.text):
        meant = _meaning(match[0])
        if meant is None:
            continue
        plain = below.text[done : match.start()]
        size += len(plain)
        reading.starts.append(size)
        size += len(meant)
        reading.ends.append(size)
        reading.sources.append(match.start())
        reading.stops.append(match.end())
        pieces += (plain, meant)
        done = match.end()
    reading.text = b"".join([*pieces, below.text[done:]]).translate(_PLUS_AS_SPACE)
    return reading


@lru_cache(maxsize=4096)
def _meaning(escape: bytes) -> bytes | None:
    """Return the bytes that an escape stands for, None for what is no escape after all."""
    match escape[:2]:
        case b"\\u":
            units = bytes.fromhex(escape.replace(b"\\u", b"").decode())
            return units.decode("utf-16-be", "replace").encode()
        case b"\\x" | b"%u":
            return chr(int(escape[2:].decode(), 16)).encode("utf-8", "replace")
        case b"&#":
            digits = escape[2:-1].decode()
            return _character(int(digits[1:], 16) if digits[0] in "xX" else int(digits))
        case _ if escape.startswith(b"%"):
            return bytes.fromhex(escape[1:].decode())
        case _ if escape.startswith(b"\\"):
            return _LETTERS.get(escape[1:], escape[1:])
    meant = html5.get(escape[1:].decode())
    return None if meant is None else meant.encode()


def _character(number: int) -> bytes | None:
    return chr(number).encode("utf-8", "replace") if number <= sys.maxunicode else None


_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
