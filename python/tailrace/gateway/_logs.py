"""Logs: one line for each request, as JSON, where that was asked for. No prompt, no answer, no key,
no address.

Everything goes through `logging`. A request's line says its id, the name of the key, the gateway's
own name for its path, the status, the model asked, how the stream ended and how long things took.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tailrace.gateway._figures.streams import kind_of

if TYPE_CHECKING:
    from tailrace.gateway._figures.streams import OpenStream
    from tailrace.gateway._settings import LogFormat

__all__ = ["AccountOfRequest", "JsonFormatter", "begin_logging", "write_account"]

requests_log: logging.Logger = logging.getLogger("tailrace.gateway.requests")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOfRequest:
    """How one request went; `streams` are the calls to sites it made, one or none."""

    id: str
    key: str | None
    method: str
    route: str
    status: int
    seconds: float
    streams: list[OpenStream]

    def fields(self) -> dict[str, Any]:
        """What the line says, by name; times are in seconds."""
        said: dict[str, Any] = {
            "id": self.id,
            "key": self.key,
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "seconds": round(self.seconds, 6),
        }
        for stream in self.streams:
            said |= _of_stream(stream)
        return said


def _of_stream(stream: OpenStream) -> dict[str, Any]:
    first = None if stream.first_at is None else round(stream.first_at - stream.begun_at, 6)
    return {
        "model": f"{stream.site}/{stream.model}",
        "streams": stream.streams,
        "outcome": stream.outcome,
        "error": None if stream.error is None else kind_of(stream.error),
        "first_delta_seconds": first,
        "deltas": stream.delta_count,
        "input_tokens": stream.input_tokens,
        "output_tokens": stream.output_tokens,
    }


def write_account(account: AccountOfRequest) -> None:
    """Write the line of one request, if anybody wants it."""
    if requests_log.isEnabledFor(logging.INFO):
        requests_log.info("request", extra={"tailrace": account.fields()})


class JsonFormatter(logging.Formatter):
    """A record as one JSON object a line."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "at": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if self._worker is not None:
            line["worker"] = self._worker
        line |= getattr(record, "tailrace", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def begin_logging(log_format: LogFormat, worker: int | None = None) -> None:
    """Send the package's logs to stderr: warnings as text, or everything, a line for each request
    too, as JSON.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(worker)
        if log_format == "json"
        else logging.Formatter("tailrace: %(message)s")
    )
    for name in ("tailrace", "aiohttp", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if log_format == "json" else logging.WARNING)
