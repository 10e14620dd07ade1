"""A caller's requests, checked as every transport checks them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from tailrace._messages import browser_text
from tailrace.errors import InvalidRequestError
from tailrace.transport._rules import DEFAULT_HEADERS, checked_headers, checked_url, merged_headers
from tailrace_fleet._native import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Prepared", "Request", "checked_dialect", "prepared"]

Prepared: TypeAlias = tuple[str, list[tuple[str, str]], bytes, int, int | None, str]
"""URL, headers, body, tag, due time and dialect of a request, as the engine takes them."""

_LONGEST_URL = 65_534  # of the library that sends it
_WHOLE = range(-(2**63), 2**63)
_YEAR = 366 * 24 * 3600 * 1_000_000_000  # nanoseconds
_OFFERED = {**DEFAULT_HEADERS, "accept-encoding": "identity"}
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """A request for `Fleet.submit_many`; its fields are the arguments of `Fleet.submit`."""

    url: str
    json: object = None
    data: bytes | str | None = None
    headers: Mapping[str, str] | None = None
    tag: int = 0
    at: int | None = None
    dialect: str | None = None

    def __repr__(self) -> str:
        return f"<Request {self.tag}>"  # all else may hold secrets


def checked_dialect(dialect: str) -> str:
    """Return `dialect`; raises `InvalidRequestError` for one that no decoder reads."""
    if dialect == "auto" or dialect in DIALECTS:
        return dialect
    names = ", ".join((*DIALECTS, "auto"))
    raise InvalidRequestError(f"dialect must be one of {names}, not {dialect!r}")


def prepared(request: Request, dialect: str) -> Prepared:
    """Return `request` as the engine takes it; `dialect`: where it names none.

    Raises `InvalidRequestError` for what cannot be sent.
    """
    if not isinstance(request, Request):
        raise InvalidRequestError(
            f"submit_many takes objects of tailrace.fleet.Request, not {type(request).__name__}"
        )
    target = checked_url(request.url)
    if len(target.url) > _LONGEST_URL:
        raise InvalidRequestError(f"the URL is longer than {_LONGEST_URL} bytes")
    signed = {"authorization": target.authorization} if target.authorization else {}
    body, typed = _body(request)
    headers = merged_headers(_OFFERED, typed, signed, checked_headers(request.headers))
    named = dialect if request.dialect is None else checked_dialect(request.dialect)
    tag = _whole("tag", request.tag)
    at = None if request.at is None else _moment(request.at)
    return target.url, list(headers.items()), body, tag, at, named


def _body(request: Request) -> tuple[bytes, dict[str, str]]:
    """Return the body, and the header that says what it is."""
    if (request.json is None) == (request.data is None):
        raise InvalidRequestError("give the request's body as json or as data, and not as both")
    if request.data is None:
        return _encoded(request.json), {"content-type": "application/json"}
    data: Any = request.data
    if isinstance(data, str):
        data = browser_text(data).encode()
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidRequestError(f"data must be bytes or str, not {type(data).__name__}")
    if not len(data):
        raise InvalidRequestError("data is empty: a request needs a body")
    return bytes(data), {}


def _encoded(value: object) -> bytes:
    try:
        text = _JSON.encode(value)
    except (TypeError, ValueError, RecursionError):
        text = ""
    if not text:
        raise InvalidRequestError("json holds what JSON cannot say")
    return browser_text(text).encode()


def _moment(at: object) -> int:
    """Check a due time: one of another clock, such as `time.time_ns`, lies decades ahead."""
    due = _whole("at", at)
    if due - time.monotonic_ns() > _YEAR:
        raise InvalidRequestError(
            "at lies more than a year ahead: it counts as time.monotonic_ns() does"
        )
    return due


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in _WHOLE:
        raise InvalidRequestError(f"{name} must be a whole number of 64 bits, not {value!r}")
    return value
