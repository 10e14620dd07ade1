"""Parquet: a table whose columns have types, read by pyarrow."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from tailrace.batch._arrow import arrow
from tailrace.batch._inputs.files import reading
from tailrace.batch._inputs.prompts import TableSource
from tailrace.batch._rows import RowError
from tailrace.errors import BatchInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tailrace.batch._inputs.prompts import PromptFields

__all__ = ["ParquetTable"]

_BATCH_BYTES = 4 * 2**20  # of values, as far as a row group's average tells
_MOST_ROWS = 10_000  # of a batch
_BUFFER = 2**20

_Record = tuple[Any, int]  # a batch of rows, and an index in it


class ParquetTable(TableSource):
    """Rows of a Parquet file. A value that is null is none, at any depth."""

    format: ClassVar[str] = "parquet"
    noun: ClassVar[str] = "row"

    def __init__(self, path: Path, name: str, fields: PromptFields) -> None:
        pa, parquet = arrow()
        with _understood(name, pa), parquet.ParquetFile(path) as file:
            columns = list(file.schema_arrow.names)
        twice = sorted({each for each in columns if columns.count(each) > 1})
        if twice:
            raise BatchInputError(f"{name} has the column {twice[0]!r} twice")
        super().__init__(path, name, fields, columns)

    def records(self, *, whole: bool = False) -> Iterator[tuple[int, _Record]]:
        """Yield each row, with its number; the values that are not sent are read if `whole`."""
        pa, parquet = arrow()
        # Every column if none is to be sent: each row is then refused by name.
        needed = [each for each in self.columns if whole or self.fields.is_needed(each)]
        number = 0
        with (
            _understood(self.name, pa),
            parquet.ParquetFile(self.path, buffer_size=_BUFFER) as file,
        ):
            size = _batch_size(file.metadata)
            for batch in file.iter_batches(size, columns=needed or self.columns):
                for index in range(batch.num_rows):
                    number += 1
                    yield number, (batch, index)

    def fields_of(self, record: _Record) -> dict[str, Any]:
        """Return what a row holds, by its column's name. Raises RowError."""
        return {name: self._value(name, cell) for name, cell in _cells(record) if cell.is_valid}

    def shown(self, record: _Record) -> str:
        """Return a row as text."""
        values = {name: _as_text(cell) for name, cell in _cells(record) if cell.is_valid}
        return msgspec.json.encode(values, enc_hook=str).decode()

    def _value(self, name: str, cell: Any) -> Any:
        """Return what a cell holds; raises RowError for what is sent and JSON cannot say."""
        if not self.fields.is_needed(name):
            return _as_text(cell)
        try:
            value = _bare(cell.as_py(maps_as_pydicts="strict"))
        except UnicodeDecodeError:
            problem = "is no UTF-8"
        except (ValueError, OverflowError, KeyError) as error:
            problem = f"cannot be read: {error}"
        else:
            problem = _unspeakable(value)
        if problem:
            raise RowError(f"its {name} {problem}")
        return value


@contextmanager
def _understood(name: str, pa: Any) -> Iterator[None]:
    """Turn what can go wrong with reading a file into a BatchInputError that calls it `name`."""
    problem = ""
    with reading(name):
        try:
            yield
        except pa.ArrowException as error:
            problem = str(error)
    if problem:
        raise BatchInputError(f"{name} cannot be read as Parquet: {problem}")


def _batch_size(metadata: Any) -> int:
    """Return how many rows make a batch, so that rows that are large make small ones."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    largest = max((each.total_byte_size // (each.num_rows or 1) for each in groups), default=0)
    return max(1, min(_MOST_ROWS, _BATCH_BYTES // (largest or 1)))


def _cells(record: _Record) -> Iterator[tuple[str, Any]]:
    batch, index = record
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        yield name, column[index]


def _as_text(cell: Any) -> Any:
    """Return what a cell holds, as text where Python has no value for it."""
    try:
        return _bare(cell.as_py(maps_as_pydicts="lossy"))
    except UnicodeDecodeError:
        packed = getattr(cell, "as_buffer", None)
        return str(cell) if packed is None else packed().to_pybytes().decode("utf-8", "replace")
    except (ValueError, OverflowError):  # such as nanoseconds, and years beyond 9999
        pass
    return _in_words(cell)


def _in_words(cell: Any) -> str:
    pa, _ = arrow()
    try:
        return str(cell.cast(pa.string()).as_py())
    except (pa.ArrowException, ValueError, OverflowError):
        return str(getattr(cell, "value", type(cell).__name__))


def _unspeakable(value: Any) -> str:
    """Return why a value cannot be said in JSON, in words; empty where it can."""
    if isinstance(value, float) and not isfinite(value):
        return f"is {value}, which is no number of JSON"
    if isinstance(value, bytes):
        return "is bytes, and no text"
    inside = value.values() if isinstance(value, dict) else value
    if isinstance(inside, str) or not isinstance(inside, Iterable):
        return ""
    return next(filter(None, map(_unspeakable, inside)), "")


def _bare(value: Any) -> Any:
    """Return a value without the members of structs that are null: a struct has all, always."""
    if isinstance(value, dict):
        return {name: _bare(each) for name, each in value.items() if each is not None}
    return [_bare(each) for each in value] if isinstance(value, list) else value
