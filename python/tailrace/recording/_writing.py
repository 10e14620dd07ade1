"""The recording of a call under way, and its file, written when the call is over."""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote_to_bytes

from tailrace.errors import RecordingError
from tailrace.recording._model import (
    FORMAT,
    MAX_BYTES,
    VERSION,
    RecordedEnd,
    RecordedExchange,
    RecordedHead,
    RecordedRead,
    RecordedRequest,
    Recording,
)
from tailrace.recording._secrets import (
    Secrets,
    bare_url,
    find_in_environment,
    find_in_headers,
    find_in_url,
    kept_headers,
    one_line_of_http,
    redacted_body,
    redacted_url,
    secrets_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from tailrace.recording._model import How

__all__ = ["ExchangeWriter", "RecordingWriter"]


class RecordingWriter:
    """A recording in the making, as a context manager.

    The file is written when the writer is closed, since a secret may show late. `path` must not
    exist: the constructor raises OSError if it does or cannot be made. `provider`: the provider's
    name; `site_path`: the path of its site's URL. `keep_messages`: the prompt stays in the
    requests. A response's text stays always, and with it what it repeats of the prompt. `clock`
    returns seconds that never go back. `environ`: the environment variables whose secrets are kept
    out of the file, the process's own unless given. Bytes of bodies beyond `max_bytes` raise
    RecordingError where they are recorded.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        provider: str | None = None,
        site_path: str = "/",
        keep_messages: bool = False,
        clock: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._provider = provider
        self._site_path = site_path
        self._keep_messages = keep_messages
        self._clock = clock
        self._began: float = clock()
        self._left = max_bytes
        self._secrets = Secrets()
        self._environ = os.environ if environ is None else environ
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
        """Add `value` to the secrets of the call, which are replaced wherever they occur."""
        self._secrets.add(value)

    def secret_url(self, url: str) -> None:
        """Add the user and password of `url`, such as a proxy's, and its query's secret fields."""
        find_in_url(url, self._secrets)

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> ExchangeWriter:
        """Begin an exchange with the request that is being sent.

        `method`: ``GET`` or ``POST``; `url`, `headers` and `body` in full: their secrets are
        replaced when the file is written. Raises RecordingError beyond the limit.
        """
        self.spend(len(body or b""))
        written = ExchangeWriter(self, method, url, dict(headers), body)
        self._exchanges.append(written)
        return written

    @property
    def exchange_count(self) -> int:
        """The number of exchanges begun so far."""
        return len(self._exchanges)

    def recording(self) -> Recording:
        """Return the exchanges recorded so far, without their secrets."""
        find_in_environment(self._environ, self._secrets)
        for each in self._exchanges:
            each.look_for_secrets(self._secrets)
        exchanges = tuple(
            each.recorded(self._secrets, keep_messages=self._keep_messages)
            for each in self._exchanges
        )
        provider, path = (
            text and self._secrets.out_of_text(text) for text in (self._provider, self._site_path)
        )
        return Recording(exchanges, provider, path or "/")

    def close(self) -> None:
        """Write the file. Closing twice is allowed."""
        if self._file.closed:
            return
        with self._file:
            for line in _lines(self.recording()):
                self._file.write(json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n")

    def now(self) -> float:
        """Return the seconds since the start, to the microsecond."""
        return round(self._clock() - self._began, 6)

    def spend(self, size: int) -> None:
        """Count `size` bytes to be kept; raises RecordingError beyond the limit."""
        self._left -= size
        if self._left < 0:
            raise RecordingError("the recording is larger than its limit")


class ExchangeWriter:
    """An exchange being recorded, made by `RecordingWriter.exchange`; its end closes it.

    `writer`: the recording it belongs to; `method`, `url`, `headers`, `body`: of the request.
    """

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
        """Record the head of the response.

        `status` and `reason`: of its status line; `url`: the final one, after redirects; `headers`:
        pairs of name and value.
        """
        self._head = (self._writer.now(), status, reason, url, list(headers))

    def read(self, data: bytes) -> None:
        """Record one read: `data`, decoded bytes as they came."""
        self._writer.spend(len(data))
        if self._end is None:
            self._reads.append(RecordedRead(self._writer.now(), data))

    def end(self, how: How, error: BaseException | None = None) -> None:
        """Record how the exchange ended, and with which `error`; the first end counts.

        `how`: ``complete``, ``broken``, ``left`` or ``failed``, as `RecordedEnd` explains them.
        """
        if self._end is None:
            name = None if error is None else type(error).__name__
            status, target = getattr(error, "status", None), getattr(error, "target", None)
            self._end = RecordedEnd(
                self._writer.now(), how, name, status, target and bare_url(target)
            )

    def look_for_secrets(self, secrets: Secrets) -> None:
        """Add the secrets of this exchange to `secrets`."""
        find_in_url(self._url, secrets)
        find_in_headers(self._headers.items(), secrets)
        redacted_body(self._body, _kind(self._headers.items()), secrets, keep_messages=True)
        for secret in secrets_in(unquote_to_bytes((self._body or b"").replace(b"+", b" "))):
            secrets.add(secret)
        if self._head is None:
            return
        *_, url, headers = self._head
        find_in_url(url, secrets)
        for name, value in headers:
            if name.lower() == "set-cookie":
                cookie = value.partition(";")[0].partition("=")[2]
                secrets.add(cookie.strip().strip('"'))
            elif name.lower() == "location":
                find_in_url(value, secrets)
        is_answer = _kind(headers).startswith("text/plain")
        for secret in secrets_in(self._received(), is_answer=is_answer):
            secrets.add(secret)

    def recorded(self, secrets: Secrets, *, keep_messages: bool) -> RecordedExchange:
        """Return the exchange without `secrets`; `keep_messages`: with the prompt in its body."""
        body = redacted_body(
            self._body, _kind(self._headers.items()), secrets, keep_messages=keep_messages
        )
        request = RecordedRequest(
            self._at,
            self._method,
            secrets.out_of_text(redacted_url(self._url, secrets)),
            kept_headers(self._headers.items(), secrets),
            body and secrets.out_of_text(body),
        )
        head = None
        if self._head is not None:
            at, status, reason, url, headers = self._head
            head = RecordedHead(
                at,
                status,
                one_line_of_http(reason, secrets),
                secrets.out_of_text(redacted_url(url, secrets)),
                kept_headers(headers, secrets),
            )
        return RecordedExchange(request, head, self._redacted_reads(secrets), self._ended(secrets))

    def _ended(self, secrets: Secrets) -> RecordedEnd:
        end = self._end or RecordedEnd(self._writer.now(), "left")
        return replace(end, target=end.target and secrets.out_of_text(end.target))

    def _redacted_reads(self, secrets: Secrets) -> tuple[RecordedRead, ...]:
        body, reads, start = secrets.out_of(self._received()), [], 0
        for each in self._reads:
            reads.append(RecordedRead(each.at, body[start : start + len(each.data)]))
            start += len(each.data)
        return tuple(reads)

    def _received(self) -> bytes:
        return b"".join(each.data for each in self._reads)


def _kind(headers: Iterable[tuple[str, str]]) -> str:
    return next((value.lower() for name, value in headers if name.lower() == "content-type"), "")


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
