"""The gateway's logs: warnings as text or, with ``json``, everything as JSON, a line a record.

Everything goes through `logging`. A request's line holds its id, the name of the key, the gateway's
own name for its path, the status, the model, how the stream ended and how long things took; no
prompt, no answer, no key and no address.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from traceback import format_tb
from typing import TYPE_CHECKING, Any

import msgspec

from tailrace._printable import visible
from tailrace.gateway._figures.streams import error_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.gateway._figures.streams import OpenStream
    from tailrace.gateway._models import ModelRegistry
    from tailrace.gateway._settings import LogFormat

__all__ = [
    "AccessRecord",
    "JsonFormatter",
    "configure_logging",
    "log_access",
    "log_missing_variables",
]

log: logging.Logger = logging.getLogger("tailrace.gateway")
requests_log: logging.Logger = logging.getLogger("tailrace.gateway.requests")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRecord:
    """The log record of one request; `seconds`: its duration, `streams`: its calls to sites."""

    id: str
    key: str | None
    method: str
    route: str
    status: int
    seconds: float
    streams: list[OpenStream]

    def fields(self) -> dict[str, Any]:
        """Return the fields of the line by name; times are in seconds."""
        fields: dict[str, Any] = {
            "id": self.id,
            "key": self.key,
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "seconds": round(self.seconds, 6),
        }
        for stream in self.streams:
            fields |= _stream_fields(stream)
        return fields


def _stream_fields(stream: OpenStream) -> dict[str, Any]:
    first = None if stream.first_at is None else round(stream.first_at - stream.begun_at, 6)
    return {
        "model": f"{stream.site}/{stream.model}",
        "streams": stream.streams,
        "outcome": stream.outcome,
        "error": None if stream.error is None else error_kind(stream.error),
        "first_delta_seconds": first,
        "deltas": stream.delta_count,
        "input_tokens": stream.input_tokens,
        "output_tokens": stream.output_tokens,
    }


def log_access(record: AccessRecord) -> None:
    """Log one request, where the level of the logger allows it."""
    if requests_log.isEnabledFor(logging.INFO):
        requests_log.info("request", extra={"tailrace": record.fields()})


def log_missing_variables(registry: ModelRegistry, environ: Mapping[str, str]) -> None:
    """Warn of each secret of a site whose variable is not set in `environ`."""
    for site, secret in registry.missing_secrets(environ):
        place = f" ({secret.file}: {secret.key})" if secret.file else ""
        log.warning(
            "%s cannot be asked: the environment variable %s is not set%s",
            site,
            secret.variable,
            place,
            extra={"tailrace": {"site": site, "variable": secret.variable}},
        )


class TextFormatter(logging.Formatter):
    """A formatter for people, who read a log on a terminal sooner or later.

    Of an exception only its class and where it was raised is shown: its words may hold a prompt.
    """

    def __init__(self) -> None:
        super().__init__("tailrace: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as text, control characters made visible."""
        return visible(super().format(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name in `logging`
        """Return an exception without its words."""
        return _without_words(ei)


def _without_words(exception: Any) -> str:
    kind, _, traceback = exception
    place = "".join(format_tb(traceback))
    return f"{place}{kind.__name__ if kind else 'no exception'}"


class JsonFormatter(logging.Formatter):
    """A formatter that writes a log record as one line of JSON, with the number of the worker."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as JSON, with the fields in its attribute `tailrace`."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "at": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage().encode("utf-8", "replace").decode(),
        }
        if self._worker is not None:
            line["worker"] = self._worker
        line |= getattr(record, "tailrace", {})
        if record.exc_info:
            line["traceback"] = _without_words(record.exc_info)
        return visible(msgspec.json.encode(line, enc_hook=str).decode())


def configure_logging(log_format: LogFormat, worker: int | None = None) -> None:
    """Send the package's logs to stderr: warnings as text or, with ``json``, everything.

    `worker`: the number to write into each line of JSON.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(worker) if log_format == "json" else TextFormatter())
    for name in ("tailrace", "aiohttp", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if log_format == "json" else logging.WARNING)
