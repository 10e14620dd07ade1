"""What a table shows of a row's line: a column is a name, a type, and what it takes of the line."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from tailrace import decode
from tailrace.batch._inputs.bodies import in_whole_characters

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace import DecodedReply

__all__ = ["COLUMNS", "Column", "Outcome"]


class _Response(msgspec.Struct):
    status_code: int
    request_id: str | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    custom_id: str | None
    response: _Response | None = None
    error: dict[str, Any] | None = None


class _Embedding(msgspec.Struct):
    embedding: Any = None


class _Message(msgspec.Struct):
    content: Any = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    text: str | None = None


class _Body(msgspec.Struct):
    model: str | None = None
    data: list[_Embedding] | None = None
    choices: list[_Choice] | None = None


_read_line = msgspec.json.Decoder(_Line).decode
_read_body = msgspec.json.Decoder(_Body).decode


class Outcome:
    """End of one row, as its line in a part or errors file tells it."""

    def __init__(self, number: int, line: bytes) -> None:
        self.number = number
        try:
            self.line = _read_line(line)
        except msgspec.DecodeError:  # half characters, as versions before this wrote them
            self.line = _read_line(in_whole_characters(line))
        self.failure: dict[str, Any] = self.line.error or {}

    @property
    def is_done(self) -> bool:
        """Whether the row is answered."""
        return self.line.error is None

    @property
    def raw_body(self) -> bytes:
        """The response's body, ``null`` where there was none."""
        return b"null" if self.line.response is None else bytes(self.line.response.body)

    @cached_property
    def body(self) -> _Body:
        """The response's body, as far as it is of the form that is expected."""
        try:
            return _read_body(self.raw_body)
        except msgspec.MsgspecError:
            return _Body()

    @cached_property
    def reply(self) -> DecodedReply | None:
        """The response's body as a reply, None where it is none: a failure, or embeddings."""
        if not self.is_done or self.embeddings:
            return None
        body = self.raw_body
        return decode(body, max_body_bytes=len(body) + 1, max_event_bytes=len(body) + 1)

    @property
    def embeddings(self) -> list[Any]:
        """The embeddings of an answer that has some, in their order."""
        found = [each.embedding for each in self.body.data or () if each.embedding is not None]
        return [_numbers(each) if isinstance(each, str) else each for each in found]

    @property
    def error(self) -> str | None:
        """Why there is no answer, or no whole one."""
        if not self.is_done:
            return str(self.failure.get("message") or "")
        return None if self.reply is None or self.reply.error is None else str(self.reply.error)

    @property
    def texts(self) -> list[str]:
        """The texts of all choices."""
        said = [
            each.text if each.message is None else each.message.content
            for each in self.body.choices or ()
        ]
        texts = [each for each in said if isinstance(each, str)]
        return texts or ([self.reply.text] if self.reply is not None and self.reply.text else [])

    @property
    def tool_calls(self) -> list[dict[str, Any]] | None:
        """The tools that the model calls."""
        calls = self.reply.tool_calls if self.reply else ()
        return [
            {"id": each.id, "name": each.name, "arguments": each.arguments} for each in calls
        ] or None


class Column(NamedTuple):
    """A column of a table: the type of its values, and what takes one of an outcome, or None."""

    type: Literal["text", "whole", "numbers", "json"]
    value: Callable[[Outcome], Any]


def _numbers(packed: str) -> Any:
    """Return an embedding that was asked for as base64: little-endian floats of 4 bytes."""
    try:
        values = array("f", base64.b64decode(packed, validate=True))
    except (binascii.Error, ValueError):
        return packed
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def _of_reply(name: str) -> Callable[[Outcome], Any]:
    return lambda outcome: getattr(outcome.reply, name, None) or None


def _of_usage(name: str) -> Callable[[Outcome], Any]:
    return lambda outcome: getattr(getattr(outcome.reply, "usage", None), name, None)


def _of_response(name: str) -> Callable[[Outcome], Any]:
    return lambda outcome: getattr(outcome.line.response, name, None)


def _of_failure(name: str) -> Callable[[Outcome], Any]:
    return lambda outcome: outcome.failure.get(name)


COLUMNS: dict[str, Column] = {
    "id": Column("text", lambda outcome: outcome.line.custom_id),
    "number": Column("whole", lambda outcome: outcome.number),
    "text": Column("text", lambda outcome: outcome.reply.text if outcome.reply else None),
    "texts": Column("json", lambda outcome: outcome.texts or None),
    "reasoning": Column("text", _of_reply("reasoning")),
    "refusal": Column("text", _of_reply("refusal")),
    "tool_calls": Column("json", lambda outcome: outcome.tool_calls),
    "finish_reason": Column("text", _of_reply("finish_reason")),
    "model": Column("text", lambda outcome: outcome.body.model),
    "prompt_tokens": Column("whole", _of_usage("prompt_tokens")),
    "completion_tokens": Column("whole", _of_usage("completion_tokens")),
    "total_tokens": Column("whole", _of_usage("total_tokens")),
    "embedding": Column("numbers", lambda outcome: next(iter(outcome.embeddings), None)),
    "embeddings": Column("json", lambda outcome: outcome.embeddings or None),
    "status_code": Column("whole", _of_response("status_code")),
    "request_id": Column("text", _of_response("request_id")),
    "body": Column("text", lambda outcome: outcome.raw_body.decode()),
    "error": Column("text", lambda outcome: outcome.error),
    "error_code": Column("text", _of_failure("code")),
    "attempts": Column("whole", _of_failure("attempts")),
    "partial_text": Column("text", _of_failure("partial_text")),
}
"""The columns that a table can have beside the input's own fields, by name."""
