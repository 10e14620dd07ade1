"""A caller's requests, checked as every transport checks them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from tailrace._messages import browser_text
from tailrace.errors import InvalidRequestError
from tailrace.transport._rules import DEFAULT_HEADERS, checked_headers, checked_url, merged_headers
from tailrace_fleet._native import DIALECTS, Head
from tailrace_fleet._trust import trust_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from tailrace_fleet._native import Engine

__all__ = ["Heads", "Prepared", "Request", "checked_dialect"]

Prepared: TypeAlias = tuple[Head, bytes, int, int | None]
"""Head, body, tag and due time of a request, as the engine takes them."""

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


class Heads:
    """The heads of a fleet's requests: what is the same in many is checked once."""

    def __init__(self, engine: Engine, dialect: str) -> None:
        """`dialect`: of the requests that name none."""
        self._engine = engine
        self._dialect = dialect
        self._known: dict[Hashable, Head] = {}

    def prepared(self, request: Request) -> Prepared:
        """Return `request` as the engine takes it.

        Raises `InvalidRequestError` for what cannot be sent.
        """
        if not isinstance(request, Request):
            raise InvalidRequestError(
                f"submit_many takes objects of tailrace.fleet.Request, not {type(request).__name__}"
            )
        head = self._head_of(request)
        body = _body(request)
        at = None if request.at is None else _moment(request.at)
        return head, body, _whole("tag", request.tag), at

    def _head_of(self, request: Request) -> Head:
        key = _key_of(request)
        try:
            head = self._known.get(key)
        except TypeError:  # it holds what is no text
            head = None
        if head is None:
            head = self._checked(request)
            if key is not None:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[key] = head
        return head

    def _checked(self, request: Request) -> Head:
        target = checked_url(request.url)
        if len(target.url) > _LONGEST_URL:
            raise InvalidRequestError(f"the URL is longer than {_LONGEST_URL} bytes")
        typed = {"content-type": "application/json"} if request.data is None else {}
        signed = {"authorization": target.authorization} if target.authorization else {}
        headers = merged_headers(_OFFERED, typed, signed, checked_headers(request.headers))
        dialect = self._dialect if request.dialect is None else checked_dialect(request.dialect)
        if target.url.startswith("https:") and not self._engine.has_trust:
            self._engine.trust(trust_of(None))
        return Head(target.url, list(headers.items()), dialect)


_MOST_KNOWN = 256


def _key_of(request: Request) -> Hashable:
    """Return what a head is made of; None where that may be another the next time."""
    headers = request.headers
    if headers is not None and type(headers) is not dict:
        return None
    items = () if headers is None else tuple(headers.items())
    return request.url, items, request.dialect, request.data is None


def _body(request: Request) -> bytes:
    if (request.json is None) == (request.data is None):
        raise InvalidRequestError("give the request's body as json or as data, and not as both")
    if request.data is None:
        return _encoded(request.json)
    data: Any = request.data
    if isinstance(data, str):
        data = browser_text(data).encode()
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidRequestError(f"data must be bytes or str, not {type(data).__name__}")
    if not len(data):
        raise InvalidRequestError("data is empty: a request needs a body")
    return bytes(data)


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
