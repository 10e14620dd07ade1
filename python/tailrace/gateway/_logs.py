"""The gateway's logs: warnings as text or, with ``json``, everything as JSON, a line a record.

Everything goes through `logging`. A request's line holds its id, the name of the key, the gateway's
own name for its path, the status, the model, how the stream ended and how long things took; of a
failure its kind, OpenAI's code and parameter, and its detail in our own words, with the site's
address. A request that failed at a site or in the gateway is a warning, and so a line of text, too.
No line holds a prompt, an answer, a key or the client's address: words of peers and of clients are
left out.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from contextvars import ContextVar
from traceback import format_tb
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from tailrace import errors
from tailrace._error_kinds import error_kind
from tailrace._printable import visible
from tailrace.errors import TailraceError
from tailrace.gateway._problems import INVALID_REQUEST, STOPPING, last_failure, problem_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tailrace.gateway._figures.streams import OpenStream
    from tailrace.gateway._keys import Key
    from tailrace.gateway._models import ModelRegistry
    from tailrace.gateway._problems import Problem, RefusedError
    from tailrace.gateway._settings import LogFormat

__all__ = [
    "CURRENT_REQUEST",
    "AccessRecord",
    "JsonFormatter",
    "configure_logging",
    "log_access",
    "log_expired_keys",
    "log_handler",
    "log_missing_variables",
    "words_of",
]

CURRENT_REQUEST: ContextVar[str | None] = ContextVar("tailrace_current_request", default=None)
"""The id of the request that is being answered, which stands in every line about it."""

log: logging.Logger = logging.getLogger("tailrace.gateway")
requests_log: logging.Logger = logging.getLogger("tailrace.gateway.requests")


class AccessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The log record of one request; `seconds`: its duration, `streams`: its calls to sites.

    `refusal`: the reply where it was refused, None where it was not.
    """

    id: str
    key: str | None
    method: str
    route: str
    status: int
    seconds: float
    streams: list[OpenStream]
    refusal: RefusedError | None = None

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
        told = self._told
        if told is not None:
            asked = {each.answer: each for each in self.streams}
            fields |= _stream_fields(told)
            if len(asked) > 1:
                fields |= _sums(asked.values())
            if before := [each for each in self.streams if asked[each.answer] is not each]:
                fields["tried_before"] = [_failed(each) for each in before]
        return fields | self._failure_fields()

    @property
    def _told(self) -> OpenStream | None:
        """The call that a line tells of: of several answers' the first that failed, or the first.

        Of the calls for one answer it is the last one, which was asked after the others failed.
        """
        last = {each.answer: each for each in self.streams}.values()
        failed = (each for each in last if each.error is not None)
        return next(failed, next(iter(last), None))

    def _failure_fields(self) -> dict[str, Any]:
        problem = self.problem
        if problem is None:
            return {}
        fields = {"code": problem.code, "param": problem.param, "detail": None}
        if self.error is not None:
            fields["detail"] = words_of(self.error) or None
        return fields

    @property
    def error(self) -> TailraceError | None:
        """The failure that ended the request, None where no site failed."""
        if self.refusal is not None:
            return self.refusal.error
        return None if self._told is None else self._told.error

    @property
    def problem(self) -> Problem | None:
        """The reply to a request that was refused or failed, None for one that was answered."""
        if self.refusal is not None:
            return self.refusal.problem
        return None if self.error is None else problem_of(self.error)

    @property
    def is_failure(self) -> bool:
        """Whether a site or the gateway failed, and not the client."""
        problem = self.problem
        if problem is None or problem.code == STOPPING:
            return False
        if self.error is None and problem.kind == INVALID_REQUEST:
            return False
        return problem.status >= _SERVERS_FAULT or (
            self.error is not None and problem.status == _BUSY
        )

    def sentence(self) -> str:
        """Return the line of a failure as text."""
        problem, error = self.problem, self.error
        where = self.route if self._told is None else _name_of(self._told)
        kind = (None if error is None else error_kind(error)) or "gateway"
        code = "" if problem is None or problem.code in (None, kind) else f", {problem.code}"
        detail = "" if error is None else words_of(error)
        by = "" if self.key is None else f", key {self.key}"
        return f"{where} failed ({kind}{code}): {detail or 'no details'} [{self.id}{by}]"


_SERVERS_FAULT = 500
_BUSY = 429


def _stream_fields(stream: OpenStream) -> dict[str, Any]:
    first = None if stream.first_at is None else round(stream.first_at - stream.begun_at, 6)
    return {
        "model": _name_of(stream),
        "streams": stream.streams,
        "outcome": stream.outcome,
        "error": None if stream.error is None else error_kind(stream.error),
        "first_delta_seconds": first,
        "deltas": stream.delta_count,
        "input_tokens": stream.input_tokens,
        "output_tokens": stream.output_tokens,
        **({"passed_over": dict(stream.passed_over)} if stream.passed_over else {}),
    }


def _sums(streams: Collection[OpenStream]) -> dict[str, int]:
    """Return what several answers have together."""
    return {
        "answers": len(streams),
        "deltas": sum(each.delta_count for each in streams),
        "input_tokens": sum(each.input_tokens for each in streams),
        "output_tokens": sum(each.output_tokens for each in streams),
    }


def _name_of(stream: OpenStream) -> str:
    return f"{stream.site}/{stream.model}"


def _failed(stream: OpenStream) -> dict[str, Any]:
    if stream.error is None:
        return {"model": _name_of(stream), "error": None, "detail": None}
    return {
        "model": _name_of(stream),
        "error": error_kind(stream.error),
        "detail": words_of(stream.error) or None,
    }


def words_of(error: TailraceError) -> str:
    """Return an error's own words, without any that a site or a client wrote; empty for none."""
    error = last_failure(error)
    if isinstance(error, errors.StreamError):
        status = "" if error.status is None else f"HTTP {error.status}"
        code = error.code if error.code and _CODE.fullmatch(error.code) else ""
        return " ".join(filter(None, (status, code))) or error.kind
    return str(error) if isinstance(error, _OWN_WORDS) else ""


_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_OWN_WORDS = (
    errors.EndpointError,
    errors.MissingRequirementsError,
    errors.NetworkError,
    errors.ProfileError,
    errors.RedirectError,
    errors.TimeoutError,
    errors.TokenNotFoundError,
    errors.WidgetNotFoundError,
)


def log_access(record: AccessRecord) -> None:
    """Log one request, where the level of the logger allows it."""
    level = logging.WARNING if record.is_failure else logging.INFO
    if requests_log.isEnabledFor(level):
        extra = {"tailrace": record.fields(), "event": "request"}
        requests_log.log(level, "%s", record.sentence() if record.is_failure else "", extra=extra)


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


def log_expired_keys(keys: Iterable[Key], now_ms: int) -> None:
    """Warn of each key that has expired by now; `now_ms`: milliseconds since 1970."""
    for key in keys:
        if key.has_expired(now_ms):
            log.warning(
                "the key %r expired on %s",
                key.name,
                key.expiry,
                extra={"tailrace": {"key": key.name}},
            )


class TextFormatter(logging.Formatter):
    """A formatter for people, who read a log on a terminal sooner or later.

    Of an exception only its class and where it was raised is shown: its words may hold a prompt.
    """

    def __init__(self) -> None:
        super().__init__("tailrace: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as text, with its request's id, control characters made visible."""
        text = super().format(record)
        request_id = getattr(record, "request_id", None)
        if request_id is not None and request_id not in text:
            text += f" [{request_id}]"
        return visible(text)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name in `logging`
        """Return an exception without its words."""
        return _without_words(ei)


def _said(record: logging.LogRecord) -> str:
    return record.getMessage().encode("utf-8", "replace").decode()


class _OwnWords(logging.Filter):
    """A filter that leaves out of a message what errors in it hold of others' words.

    It also notes the request that is being answered.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the errors among a record's arguments by their own words."""
        record.request_id = CURRENT_REQUEST.get()
        if isinstance(record.args, tuple):
            record.args = tuple(
                words_of(each) or "its words are left out"
                if isinstance(each, TailraceError)
                else each
                for each in record.args
            )
        return True


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
            "event": getattr(record, "event", None) or _said(record),
        }
        if self._worker is not None:
            line["worker"] = self._worker
        request_id = getattr(record, "request_id", None)
        if request_id is not None:
            line["id"] = request_id
        line |= getattr(record, "tailrace", {})
        if record.exc_info:
            line["traceback"] = _without_words(record.exc_info)
        return visible(msgspec.json.encode(line, enc_hook=str).decode())


def log_handler(
    log_format: LogFormat, worker: int | None = None, stream: TextIO | None = None
) -> logging.Handler:
    """Make the handler that writes to `stream`, stderr unless given.

    `worker`: the number to write into each line of JSON.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.addFilter(_OwnWords())
    handler.setFormatter(JsonFormatter(worker) if log_format == "json" else TextFormatter())
    return handler


def configure_logging(log_format: LogFormat, worker: int | None = None) -> None:
    """Send the package's logs to stderr: warnings as text or, with ``json``, everything.

    `worker`: as for `log_handler`.
    """
    handler = log_handler(log_format, worker)
    for name in ("tailrace", "aiohttp", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if log_format == "json" else logging.WARNING)
