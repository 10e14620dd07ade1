"""A strict reader of recording files: its errors name the wrong line and the expected content."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tailrace._json import read_json
from tailrace.errors import RecordingError
from tailrace.recording._model import (
    FORMAT,
    HOWS,
    MAX_BYTES,
    VERSION,
    RecordedEnd,
    RecordedExchange,
    RecordedHead,
    RecordedRead,
    RecordedRequest,
    Recording,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_recording"]

_LONGEST_CALL = 1e9  # seconds
_PAIR = 2


def read_recording(path: str | Path, *, max_bytes: int = MAX_BYTES * 2) -> Recording:
    """Read the recording in the file `path`.

    `max_bytes`: the most bytes of the file, by default twice those of a recording, since its bodies
    are base64. Raises RecordingError, which names the wrong line and the expected content, and
    OSError as `open` does.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(max_bytes + 1)
    except ValueError:  # of a path that no system has
        raise RecordingError("the path of the recording holds a character no path can") from None
    if len(data) > max_bytes:
        raise RecordingError(f"the recording is larger than {max_bytes} bytes")
    lines = [
        _Line(number, text) for number, text in enumerate(data.split(b"\n"), 1) if text.strip()
    ]
    if not lines:
        raise RecordingError("the recording is empty")
    provider, site_path = lines[0].opening()
    rest = iter(lines[1:])
    return Recording(tuple(_exchange(line, rest) for line in rest), provider, site_path)


def _exchange(first: _Line, rest: Iterator[_Line]) -> RecordedExchange:
    request = first.request()
    head: RecordedHead | None = None
    reads: list[RecordedRead] = []
    for line in rest:
        kind = line.kind()
        if kind == "end":
            return RecordedExchange(request, head, tuple(reads), line.end())
        if kind == "head" and head is None:
            head = line.head()
        elif kind == "read" and head is not None:
            reads.append(line.read())
        else:
            raise line.error("the order is request, head, read…, end")
    raise first.error("the exchange that begins here has no end")


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a file, with a method for each kind of content."""

    number: int
    text: bytes
    value: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        try:
            value = read_json(self.text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise self.error("it is no JSON object")
        object.__setattr__(self, "value", value)

    def error(self, problem: str) -> RecordingError:
        return RecordingError(f"line {self.number} of the recording: {problem}")

    def opening(self) -> tuple[str | None, str]:
        if self.value.get("format") != FORMAT:
            raise self.error(f"this is no {FORMAT}")
        if self.value.get("version") != VERSION:
            raise self.error(f"its version is not {VERSION}, the one this release reads")
        self._expect(self.value, ("format", "version", "provider", "path"))
        path = self._line(self.value, "path")
        if not path.startswith("/"):
            raise self.error("path must begin with a slash")
        return self._line_or_none(self.value, "provider"), path

    def kind(self) -> str:
        if len(self.value) != 1:
            raise self.error("one key is expected: request, head, read or end")
        return next(iter(self.value))

    def request(self) -> RecordedRequest:
        fields = self._fields("request", ("at", "method", "url", "headers", "body"))
        return RecordedRequest(
            self._at(fields),
            self._method(fields),
            self._url(fields),
            self._headers(fields),
            None if fields["body"] is None else self._text(fields, "body"),
        )

    def head(self) -> RecordedHead:
        fields = self._fields("head", ("at", "status", "reason", "url", "headers"))
        return RecordedHead(
            self._at(fields),
            self._status(fields),
            self._line(fields, "reason"),
            self._url(fields),
            self._headers(fields),
        )

    def read(self) -> RecordedRead:
        fields = self._fields("read", ("at", "data"))
        try:
            return RecordedRead(
                self._at(fields), base64.b64decode(self._text(fields, "data"), validate=True)
            )
        except (binascii.Error, ValueError):
            raise self.error("data must be base64") from None

    def end(self) -> RecordedEnd:
        fields = self._fields("end", ("at", "how", "error", "status", "target"))
        how = self._text(fields, "how")
        if how not in HOWS:
            raise self.error(f"how must be one of {', '.join(HOWS)}")
        return RecordedEnd(
            self._at(fields),
            how,
            self._line_or_none(fields, "error"),
            None if fields["status"] is None else self._status(fields),
            self._line_or_none(fields, "target"),
        )

    def _fields(self, kind: str, names: tuple[str, ...]) -> dict[str, Any]:
        if self.kind() != kind:
            raise self.error(f"a {kind} is expected here")
        fields = self.value[kind]
        if not isinstance(fields, dict):
            raise self.error(f"{kind} must be an object")
        self._expect(fields, names)
        return fields

    def _expect(self, fields: dict[str, Any], names: tuple[str, ...]) -> None:
        if set(fields) != set(names):
            raise self.error(f"its keys must be {', '.join(names)}")

    def _text(self, fields: dict[str, Any], name: str) -> str:
        value = fields[name]
        if not isinstance(value, str):
            raise self.error(f"{name} must be text")
        if _SURROGATE.search(value):
            raise self.error(f"{name} must be text without lone surrogates")
        return value

    def _line(self, fields: dict[str, Any], name: str) -> str:
        value = self._text(fields, name)
        if _CONTROL.search(value):
            raise self.error(f"{name} must be text without control characters")
        return value

    def _line_or_none(self, fields: dict[str, Any], name: str) -> str | None:
        return None if fields[name] is None else self._line(fields, name)

    def _method(self, fields: dict[str, Any]) -> str:
        method = self._text(fields, "method")
        if not _TOKEN.fullmatch(method):
            raise self.error("method must be a name such as GET or POST")
        return method

    def _at(self, fields: dict[str, Any]) -> float:
        value = fields["at"]
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 <= value < _LONGEST_CALL
        ):
            raise self.error("at must be a number of seconds")
        return float(value)

    def _status(self, fields: dict[str, Any]) -> int:
        value = fields["status"]
        if type(value) is not int or not 100 <= value <= 999:  # noqa: PLR2004 - RFC 9110, 15
            raise self.error("status must be a whole number of three digits")
        return value

    def _url(self, fields: dict[str, Any]) -> str:
        url = self._line(fields, "url")
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise self.error("url must be an http or https URL")
        return url

    def _headers(self, fields: dict[str, Any]) -> tuple[tuple[str, str], ...]:
        headers = fields["headers"]
        if not isinstance(headers, list) or not all(_is_header(each) for each in headers):
            raise self.error(
                "headers must be pairs of a name and a value, without control characters"
            )
        return tuple((name, value) for name, value in headers)


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")  # RFC 9110, 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but the tab, RFC 9110, 5.5
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def _is_header(pair: object) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == _PAIR
        and all(isinstance(each, str) for each in pair)
        and _TOKEN.fullmatch(pair[0]) is not None
        and not _CONTROL.search(pair[1])
        and not _SURROGATE.search(pair[1])
    )
