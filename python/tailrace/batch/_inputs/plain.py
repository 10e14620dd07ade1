"""Plain lines: JSON objects with a prompt or messages, or a prompt each as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from tailrace.batch._inputs.bodies import problem_of
from tailrace.batch._inputs.files import lines_of
from tailrace.batch._inputs.prompts import PromptSource
from tailrace.batch._inputs.source import HOLDS_NUL
from tailrace.batch._rows import RowError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace.batch._inputs.source import Overlong

__all__ = ["PlainLines", "TextLines"]

_read = msgspec.json.Decoder(str | dict[str, Any]).decode


class TextLines(PromptSource):
    """Lines of text, each of which is a prompt."""

    format: ClassVar[str] = "text"

    def records(self, *, whole: bool = False) -> Iterator[tuple[int, bytes | Overlong]]:  # noqa: ARG002 - it is
        """Yield each line that is not empty, with its number."""
        return lines_of(self.path, self.name)

    def fields_of(self, record: bytes) -> dict[str, Any]:
        """Return what a line holds, by name. Raises RowError."""
        try:
            text = record.decode().strip()
        except UnicodeDecodeError:
            problem = "it is no UTF-8"
        else:
            if "\0" not in text:
                return {self.fields.prompt: text}
            problem = HOLDS_NUL
        raise RowError(problem)

    def shown(self, record: bytes) -> str:
        """Return a line as text."""
        return record.decode("utf-8", "replace").strip()


class PlainLines(TextLines):
    """Lines of JSON: objects with ``prompt`` or ``messages``, or strings, which are prompts."""

    format: ClassVar[str] = "plain"

    def fields_of(self, record: bytes) -> dict[str, Any]:
        """Return what a line holds, by name. Raises RowError."""
        try:
            read = _read(record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            problem = problem_of(error, record)
        else:
            return {self.fields.prompt: read} if isinstance(read, str) else read
        raise RowError(problem)
