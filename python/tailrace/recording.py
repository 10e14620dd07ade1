"""A call as it went over the wire, in a file: what was sent, each read with its moment, and how it
ended.

One JSON object a line: a head that names the format, then for each exchange its ``request``, the
reply's ``head``, one ``read`` for each piece that came off the network (seconds since the start,
decoded bytes in base64), and its ``end``.

Secrets never reach the file. Of a request stays what is known to be harmless: headers by a list of
names, fields of forms, queries and JSON bodies unless their name or what they hold is secret. A
secret value that a reply repeats (a nonce in a page) is replaced by a stand-in of the same length,
the same one everywhere, so that read boundaries hold.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from tailrace.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

__all__ = [
    "REDACTED",
    "ExchangeWriter",
    "RecordedEnd",
    "RecordedExchange",
    "RecordedHead",
    "RecordedRead",
    "RecordedRequest",
    "Recording",
    "RecordingWriter",
    "read_recording",
]

FORMAT = "tailrace-recording"
VERSION = 1
REDACTED = "[redacted]"
MAX_BYTES = 64 * 2**20
"""The largest recording written or read, in bytes."""

How = Literal["complete", "broken", "left", "failed"]
_HOWS: tuple[How, ...] = ("complete", "broken", "left", "failed")


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """What was sent.

    `body`: its text, redacted; None where there was none or where it is of an unknown form.
    """

    at: float
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str | None


@dataclass(frozen=True, slots=True)
class RecordedHead:
    """A reply's status line and headers; `url` is the final one, after redirects."""

    at: float
    status: int
    reason: str
    url: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RecordedRead:
    """One read: decoded bytes as they came."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class RecordedEnd:
    """How an exchange ended.

    ``complete``; ``broken`` (the reply broke off); ``left`` (the client had enough, or would not
    wait any longer); ``failed`` (no reply came: `error` is the error's class, `status` and `target`
    what it knows of both).
    """

    at: float
    how: How
    error: str | None = None
    status: int | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedExchange:
    """One request and its reply; `head` is None where none came."""

    request: RecordedRequest
    head: RecordedHead | None
    reads: tuple[RecordedRead, ...]
    end: RecordedEnd


@dataclass(frozen=True, slots=True)
class Recording:
    """A call: its exchanges in the order they began, the provider's name, and the path of its
    site's URL.
    """

    exchanges: tuple[RecordedExchange, ...]
    provider: str | None = None
    path: str = "/"


# -- writing ---------------------------------------------------------------------------------------


class RecordingWriter:
    """Keeps what is told of a call, and writes the file when it is closed, since a secret may show
    late.

    The file must not exist: `OSError` at once if it does or cannot be made. `keep_messages`: the
    prompt stays in the requests. A reply's text stays always, and with it what it repeats of the
    prompt. `clock` counts seconds. What does not fit into `max_bytes` raises `RecordingError` where
    it is told.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        provider: str | None = None,
        site_path: str = "/",
        keep_messages: bool = False,
        clock: Callable[[], float] = time.monotonic,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._provider = provider
        self._site_path = site_path
        self._keep_messages = keep_messages
        self._clock = clock
        self._began: float = clock()
        self._left = max_bytes
        self._secrets = _Secrets()
        self._exchanges: list[ExchangeWriter] = []
        self._file = Path(path).open("x", encoding="utf-8", newline="\n")  # noqa: SIM115 - closed by `close`

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def secret(self, value: str) -> None:
        """Name a secret of the call, which a reply may repeat."""
        self._secrets.add(value)

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> ExchangeWriter:
        """Begin an exchange."""
        self.spend(len(body or b""))
        written = ExchangeWriter(self, method, url, dict(headers), body)
        self._exchanges.append(written)
        return written

    def recording(self) -> Recording:
        """What has been told so far, without its secrets."""
        for each in self._exchanges:
            each.look_for_secrets(self._secrets)
        exchanges = tuple(
            each.recorded(self._secrets, keep_messages=self._keep_messages)
            for each in self._exchanges
        )
        return Recording(exchanges, self._provider, self._site_path)

    def close(self) -> None:
        """Write the file. Closing twice is allowed."""
        if self._file.closed:
            return
        with self._file:
            for line in _lines(self.recording()):
                self._file.write(json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n")

    def now(self) -> float:
        """Seconds since the start, to the microsecond."""
        return round(self._clock() - self._began, 6)

    def spend(self, size: int) -> None:
        """Count bytes to be kept; `RecordingError` beyond the limit."""
        self._left -= size
        if self._left < 0:
            raise RecordingError("the recording is larger than its limit")


class ExchangeWriter:
    """One exchange being recorded. After its end nothing more is taken down."""

    def __init__(
        self,
        writer: RecordingWriter,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | None,
    ) -> None:
        self._writer = writer
        self._method = method
        self._url = url
        self._headers = headers
        self._body = body
        self._at = writer.now()
        self._head: tuple[float, int, str, str, list[tuple[str, str]]] | None = None
        self._reads: list[RecordedRead] = []
        self._end: RecordedEnd | None = None

    def head(self, status: int, reason: str, url: str, headers: Iterable[tuple[str, str]]) -> None:
        """Take down the reply's head."""
        self._head = (self._writer.now(), status, reason, url, list(headers))

    def read(self, data: bytes) -> None:
        """Take down one read."""
        self._writer.spend(len(data))
        if self._end is None:
            self._reads.append(RecordedRead(self._writer.now(), data))

    def end(self, how: How, error: BaseException | None = None) -> None:
        """Take down how it ended; the first end counts."""
        if self._end is None:
            name = None if error is None else type(error).__name__
            status, target = getattr(error, "status", None), getattr(error, "target", None)
            self._end = RecordedEnd(
                self._writer.now(), how, name, status, target and _bare_url(target)
            )

    def look_for_secrets(self, secrets: _Secrets) -> None:
        """Add the secrets of this exchange to those known."""
        _find_in_url(self._url, secrets)
        _body_text(self._body, self._kind(self._headers.items()), secrets, keep_messages=True)
        if self._head is not None:
            for name, value in self._head[4]:
                if name.lower() == "set-cookie":
                    secrets.add(value.partition(";")[0].partition("=")[2].strip())
            if any(each in self._kind(self._head[4]) for each in ("html", "json")):
                for found in _NONCES.finditer(self._received()):
                    secrets.add(found[1].decode("ascii"))

    def recorded(self, secrets: _Secrets, *, keep_messages: bool) -> RecordedExchange:
        """The exchange without its secrets."""
        body = _body_text(
            self._body, self._kind(self._headers.items()), secrets, keep_messages=keep_messages
        )
        request = RecordedRequest(
            self._at,
            self._method,
            _redacted_url(self._url, secrets),
            _kept_headers(self._headers.items()),
            body,
        )
        head = None
        if self._head is not None:
            at, status, reason, url, headers = self._head
            head = RecordedHead(
                at, status, reason, _redacted_url(url, secrets), _kept_headers(headers)
            )
        end = self._end or RecordedEnd(self._writer.now(), "left")
        return RecordedExchange(request, head, self._redacted_reads(secrets), end)

    def _redacted_reads(self, secrets: _Secrets) -> tuple[RecordedRead, ...]:
        body, reads, start = secrets.out_of(self._received()), [], 0
        for each in self._reads:
            reads.append(RecordedRead(each.at, body[start : start + len(each.data)]))
            start += len(each.data)
        return tuple(reads)

    def _received(self) -> bytes:
        return b"".join(each.data for each in self._reads)

    @staticmethod
    def _kind(headers: Iterable[tuple[str, str]]) -> str:
        return next(
            (value.lower() for name, value in headers if name.lower() == "content-type"), ""
        )


class _Secrets:
    """Secret values, and what stands in for each: as long as it is, and the same everywhere."""

    def __init__(self) -> None:
        self._stand_ins: dict[str, str] = {}

    def add(self, value: str) -> str:
        """Take a value for a secret; returns what stands in for it."""
        if value not in self._stand_ins:
            number = str(len(self._stand_ins) + 1)
            length = len(value.encode("utf-8", "surrogatepass"))
            self._stand_ins[value] = (
                number.rjust(length, "0") if length >= _SHORTEST_SOUGHT else REDACTED
            )
        return self._stand_ins[value]

    def out_of(self, data: bytes) -> bytes:
        """Replace every secret in a reply; one of a few characters is no secret there but a word."""
        for value in sorted(self._stand_ins, key=len, reverse=True):
            sought = value.encode("utf-8", "surrogatepass")
            if len(sought) >= _SHORTEST_SOUGHT:
                data = data.replace(sought, self._stand_ins[value].encode())
        return data


_SHORTEST_SOUGHT = 6
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
# fmt: off
_KEPT_HEADERS = frozenset({
    "accept", "accept-language", "cache-control", "cf-mitigated", "connection", "content-encoding",
    "content-language", "content-length", "content-type", "date", "expires", "location", "pragma", "referer",
    "retry-after", "server", "transfer-encoding", "user-agent", "vary", "via", "x-accel-buffering", "x-cache",
    "x-powered-by", "x-requested-with",
})
# fmt: on


def _kept_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _kept_value(name.lower(), value)) for name, value in headers)


def _kept_value(name: str, value: str) -> str:
    if name not in _KEPT_HEADERS:
        return REDACTED
    return (
        _bare_url(value)
        if name in ("location", "referer")
        else value.encode("utf-8", "replace").decode()
    )


def _bare_url(url: str) -> str:
    """A URL without what may be secret in it: user, password, query, fragment."""
    try:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return REDACTED


def _find_in_url(url: str, secrets: _Secrets) -> None:
    _redacted_url(url, secrets)
    if password := urlsplit(url).password:
        secrets.add(password)


def _redacted_url(url: str, secrets: _Secrets) -> str:
    query = _redacted_form(urlsplit(url).query, secrets, keep_messages=False)
    return _bare_url(url) + (f"?{query}" if query else "")


def _redacted_form(text: str, secrets: _Secrets, *, keep_messages: bool) -> str:
    fields = parse_qsl(text, keep_blank_values=True)
    kept = [
        (name, _field(name, value, secrets, keep_messages=keep_messages)) for name, value in fields
    ]
    return urlencode(kept, quote_via=quote, safe="[]")


def _body_text(
    body: bytes | None, kind: str, secrets: _Secrets, *, keep_messages: bool
) -> str | None:
    """A request's body as text, without its secrets; None where it is neither a form nor JSON."""
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


def _redacted_json(name: str, value: Any, secrets: _Secrets, *, keep_messages: bool) -> Any:
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


def _field(name: str, value: str, secrets: _Secrets, *, keep_messages: bool) -> str:
    if value and _SECRET_FIELD.search(name):
        return secrets.add(value)
    if value and not keep_messages and _MESSAGE_FIELD.fullmatch(name):
        return REDACTED
    return value


def _lines(recording: Recording) -> Iterable[dict[str, Any]]:
    yield {
        "format": FORMAT,
        "version": VERSION,
        "provider": recording.provider,
        "path": recording.path,
    }
    for each in recording.exchanges:
        request, head, end = each.request, each.head, each.end
        yield {
            "request": {
                "at": request.at,
                "method": request.method,
                "url": request.url,
                "headers": request.headers,
                "body": request.body,
            }
        }
        if head is not None:
            yield {
                "head": {
                    "at": head.at,
                    "status": head.status,
                    "reason": head.reason,
                    "url": head.url,
                    "headers": head.headers,
                }
            }
        for read in each.reads:
            yield {"read": {"at": read.at, "data": base64.b64encode(read.data).decode("ascii")}}
        yield {
            "end": {
                "at": end.at,
                "how": end.how,
                "error": end.error,
                "status": end.status,
                "target": end.target,
            }
        }


# -- reading ---------------------------------------------------------------------------------------


def read_recording(path: str | Path, *, max_bytes: int = MAX_BYTES * 2) -> Recording:
    """Read a recording; `RecordingError` names the line that is wrong and what was expected,
    `OSError` as `open` does.

    `max_bytes`: of the file, whose base64 makes it larger than what it holds.
    """
    with Path(path).open("rb") as file:
        data = file.read(max_bytes + 1)
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
    """One line of a file, and what it must be."""

    number: int
    text: bytes
    value: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        try:
            value = json.loads(self.text)
        except (ValueError, RecursionError):
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
        path = self._text(self.value, "path")
        if not path.startswith("/"):
            raise self.error("path must begin with a slash")
        return self._text_or_none(self.value, "provider"), path

    def kind(self) -> str:
        if len(self.value) != 1:
            raise self.error("one key is expected: request, head, read or end")
        return next(iter(self.value))

    def request(self) -> RecordedRequest:
        fields = self._fields("request", ("at", "method", "url", "headers", "body"))
        return RecordedRequest(
            self._at(fields),
            self._text(fields, "method"),
            self._url(fields),
            self._headers(fields),
            self._text_or_none(fields, "body"),
        )

    def head(self) -> RecordedHead:
        fields = self._fields("head", ("at", "status", "reason", "url", "headers"))
        return RecordedHead(
            self._at(fields),
            self._status(fields),
            self._text(fields, "reason"),
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
        if how not in _HOWS:
            raise self.error(f"how must be one of {', '.join(_HOWS)}")
        return RecordedEnd(
            self._at(fields),
            how,
            self._text_or_none(fields, "error"),
            None if fields["status"] is None else self._status(fields),
            self._text_or_none(fields, "target"),
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
        return value

    def _text_or_none(self, fields: dict[str, Any], name: str) -> str | None:
        return None if fields[name] is None else self._text(fields, name)

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
        url = self._text(fields, "url")
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
            raise self.error("headers must be pairs of a name and a value, without line ends")
        return tuple((name, value) for name, value in headers)


_LONGEST_CALL = 1e9  # seconds
_PAIR = 2


def _is_header(pair: object) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == _PAIR
        and all(isinstance(each, str) and not re.search(r"[\r\n\0]", each) for each in pair)
        and re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", pair[0]) is not None
    )
