"""OpenAI's batch lines, and the errors files that a run writes in their form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from tailrace.batch._inputs.bodies import check_body, problem_of, read_json_line
from tailrace.batch._inputs.files import lines_of
from tailrace.batch._inputs.source import Source
from tailrace.batch._rows import ENDPOINTS, INVALID_ROW, Row, RowError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace.batch._inputs.source import Overlong

__all__ = ["OpenAILines"]


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    custom_id: str
    url: str
    body: msgspec.Raw
    method: str = "POST"
    # What a line of an errors file has besides, which says nothing about the request.
    id: msgspec.Raw = msgspec.Raw(b"")
    response: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")


_read = msgspec.json.Decoder(_Line).decode
# Azure's batches name the endpoints without the version.
_ENDPOINTS = {**{each: each for each in ENDPOINTS}, **{each[3:]: each for each in ENDPOINTS}}


class OpenAILines(Source):
    """Lines with ``custom_id``, ``method``, ``url`` and ``body``."""

    format: ClassVar[str] = "openai"

    def records(self, *, whole: bool = False) -> Iterator[tuple[int, bytes | Overlong]]:  # noqa: ARG002 - it is
        """Yield each line that is not empty, with its number."""
        return lines_of(self.path, self.name)

    def row(self, number: int, record: bytes) -> Row:
        """Return a line as a row. Raises RowError."""
        try:
            line = _read(record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            trouble = error
        else:
            return _row(number, line)
        read = read_json_line(record)
        if isinstance(read, dict):
            raise RowError(_told_before(read) or problem_of(trouble, record), _id_in(read))
        raise RowError(problem_of(trouble, record))

    def fields_of(self, record: bytes) -> dict[str, Any]:
        """Return a line's ``custom_id`` and the members of its body."""
        line = read_json_line(record)
        body = line.get("body") if isinstance(line, dict) else None
        return {"custom_id": line.get("custom_id"), **body} if isinstance(body, dict) else {}

    def shown(self, record: bytes) -> str:
        """Return a line as text."""
        return record.decode("utf-8", "replace").strip()


def _row(number: int, line: _Line) -> Row:
    endpoint = _ENDPOINTS.get(line.url)
    if endpoint is None:
        raise RowError(
            f"url is {line.url!r}, and not one of {', '.join(ENDPOINTS)}", line.custom_id
        )
    if line.method != "POST":
        raise RowError(f"method is {line.method!r}, and not POST", line.custom_id)
    if not line.custom_id:
        raise RowError("custom_id is empty")
    body = bytes(line.body)
    problem = check_body(endpoint, body)
    if problem:
        raise RowError(f"body: {problem}", line.custom_id)
    return Row(number, line.custom_id, endpoint, body)


def _id_in(line: dict[str, Any]) -> str | None:
    found = line.get("custom_id")
    return found if isinstance(found, str) and found else None


def _told_before(line: dict[str, Any]) -> str:
    """Return what an errors file says of a row that was no row before; empty for other lines."""
    error = line.get("error")
    if isinstance(error, dict) and error.get("code") == INVALID_ROW:
        return f"an earlier run could not send it ({error.get('message')})"
    return ""
