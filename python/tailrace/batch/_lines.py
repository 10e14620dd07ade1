"""The lines of a run's two files, in the forms of OpenAI's batches.

The ``id`` of a line ends in the row's number, behind the beginning of the input's SHA-256: by it a
row is known again without its ``custom_id`` being read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from tailrace._messages import browser_text
from tailrace.batch._rows import INVALID_ROW
from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.batch._rows import BadRow, Row

__all__ = [
    "answer_line",
    "bad_line",
    "failure_line",
    "head_of",
    "is_invalid",
]


def head_of(sha256: str) -> bytes:
    """Return what the lines of a run begin with, by the SHA-256 of its input."""
    return f'{{"id":"batch_req_{sha256[:12]}_'.encode()


def answer_line(
    head: bytes, row: Row, body: bytes | Mapping[str, Any], status_code: int, request_id: str
) -> bytes:
    """Return the line of a row's answer; the arguments are those of `OutputFolder.write_done`."""
    return b'%b%d","custom_id":%b,"response":%b,"error":null}\n' % (
        head,
        row.number,
        _encode(row.id),
        _response(status_code, request_id, body),
    )


def failure_line(
    head: bytes,
    row: Row,
    error: Mapping[str, Any],
    response: tuple[int, str, bytes | Mapping[str, Any] | None] | None,
) -> bytes:
    """Return the line of a row's failure, with which it can be asked again.

    `error`: the line's ``error``; `response`: the status, the request's id and the body, None where
    there was none.
    """
    return (
        b'%b%d","custom_id":%b,"response":%b,"error":%b,"method":"POST","url":%b,"body":%b}\n'
        % (
            head,
            row.number,
            _encode(row.id),
            b"null" if response is None else _response(*response[:2], _body_or_text(response[2])),
            _encode(error),
            _encode(row.endpoint),
            one_line_json(row.body),
        )
    )


def bad_line(head: bytes, bad: BadRow, noun: str) -> bytes:
    """Return the line of a row that cannot be sent; `noun`: what the input's records are called."""
    error = {
        "code": INVALID_ROW,
        "message": f"{noun} {bad.number}: {bad.reason}",
        noun: bad.number,
        "raw": bad.raw,
    }
    return b'%b%d","custom_id":%b,"response":null,"error":%b}\n' % (
        head,
        bad.number,
        _encode(bad.id),
        _encode(error),
    )


class _Error(msgspec.Struct):
    code: str


class _Failure(msgspec.Struct):
    error: _Error


def is_invalid(line: bytes) -> bool:
    """Return whether a line is of a row that cannot be sent."""
    try:
        return msgspec.json.decode(line, type=_Failure).error.code == INVALID_ROW
    except msgspec.MsgspecError:
        return False


def one_line_json(body: bytes) -> bytes:
    """Return a JSON text on one line. Raises InvalidRequestError for what is none."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
        if not body.isascii():
            body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _forgiven(body)
    # What JSON has in its strings are escapes: a newline stands between its tokens.
    if b"\n" in body or b"\r" in body:
        return body.replace(b"\n", b" ").replace(b"\r", b" ")
    return body


def _forgiven(body: bytes) -> bytes:
    """Return JSON that holds half characters with U+FFFD for them, as not every reader takes it."""
    try:
        return _written(json.loads(body))
    except (ValueError, RecursionError):
        pass
    raise InvalidRequestError("the response's body is no JSON")


def _written(value: object) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return browser_text(text).encode()


def _body_or_text(body: bytes | Mapping[str, Any] | None) -> bytes:
    """Return a body of any form as JSON: what is none, such as a page, as a text."""
    if not isinstance(body, bytes):
        return _encode(body)
    try:
        return one_line_json(body)
    except InvalidRequestError:
        return _encode(body.decode("utf-8", "replace"))


def _response(status_code: int, request_id: str, body: bytes | Mapping[str, Any] | None) -> bytes:
    return b'{"status_code":%d,"request_id":%b,"body":%b}' % (
        status_code,
        _encode(request_id),
        one_line_json(body) if isinstance(body, bytes) else _encode(body),
    )


def _encode(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError):
        pass
    try:
        return _written(value)  # with half characters
    except (TypeError, ValueError, RecursionError):
        pass
    raise InvalidRequestError("what is to be written cannot be JSON")
