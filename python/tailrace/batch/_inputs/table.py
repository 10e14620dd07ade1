"""CSV: a header, and a record a row, whose cells are text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from tailrace.batch._inputs.prompts import TableSource
from tailrace.batch._inputs.records import records_of
from tailrace.batch._inputs.source import HOLDS_NUL, MAX_ROW_BYTES, Overlong
from tailrace.batch._rows import RowError
from tailrace.errors import BatchInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tailrace.batch._inputs.prompts import PromptFields

# Bytes that are no UTF-8, as a reader keeps them.
_BROKEN = re.compile("[\udc80-\udcff]")

__all__ = ["CSVTable", "TSVTable"]


class CSVTable(TableSource):
    """Records separated by commas, with the columns' names in the first one.

    Quoting is RFC 4180's. A cell of a parameter is read as JSON where it is JSON (``0.2``,
    ``true``, ``["a"]``) and text where it is not, as a model's name always is; an empty one is
    none.
    """

    format: ClassVar[str] = "csv"
    noun: ClassVar[str] = "record"
    separator: ClassVar[str] = ","

    def __init__(self, path: Path, name: str, fields: PromptFields) -> None:
        super().__init__(path, name, fields, _header_of(path, name, self.separator))
        self._read = {each for each in self.columns if self.fields.is_sent(each)} | {"messages"}
        self._read -= {self.fields.prompt, "model"}  # a model's name may be a number

    def records(self, *, whole: bool = False) -> Iterator[tuple[int, list[str] | Overlong]]:  # noqa: ARG002 - it is
        """Yield each record that is not empty, with its number; the header has none."""
        records = records_of(self.path, self.name, self.separator)
        next(records, None)
        for number, record in enumerate(records, 1):
            if record:
                yield number, record

    def fields_of(self, record: list[str]) -> dict[str, Any]:
        """Return what a record holds, by its column's name. Raises RowError."""
        if len(record) != len(self.columns):
            raise RowError(f"it has {len(record)} cells, and the header {len(self.columns)}")
        if any(map(_BROKEN.search, record)):
            raise RowError("it is no UTF-8")
        if any("\0" in cell for cell in record):
            raise RowError(HOLDS_NUL)
        read = self._read
        return {
            name: _value(cell) if name in read else cell
            for name, cell in zip(self.columns, record, strict=True)
            if cell
        }

    def shown(self, record: list[str]) -> str:
        """Return a record as text."""
        return self.separator.join(record)


class TSVTable(CSVTable):
    """Records separated by tabs."""

    format: ClassVar[str] = "tsv"
    separator: ClassVar[str] = "\t"


def _header_of(path: Path, name: str, separator: str = ",") -> list[str]:
    """Return the names of a table's columns.

    Raises BatchInputError for a file without a header, and for one that names a column twice.
    """
    record = next(records_of(path, name, separator), [])
    if isinstance(record, Overlong):
        raise BatchInputError(f"the header of {name} is longer than {MAX_ROW_BYTES} bytes")
    header = [each.strip() for each in record]
    if any("\0" in each for each in header):
        raise BatchInputError(f"the header of {name} cannot be read: {HOLDS_NUL}")
    if not header:
        raise BatchInputError(f"{name} has no header with the names of its columns")
    if any(map(_BROKEN.search, header)):
        raise BatchInputError(f"the header of {name} is no UTF-8")
    twice = sorted({each for each in header if header.count(each) > 1})
    if twice:
        raise BatchInputError(f"the header of {name} has the column {twice[0]!r} twice")
    return header


def _value(cell: str) -> Any:
    try:
        return msgspec.json.decode(cell)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return cell
