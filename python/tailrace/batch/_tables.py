"""A run's output as a table, for people: in the input's order, a row for each of its rows.

A table is made of the part and errors files whenever one is wanted; it has no part in what makes a
row done. Beside what the answers hold it can show the input's own fields.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from tailrace.batch._appending import replacing, writing
from tailrace.batch._arrow import arrow
from tailrace.batch._columns import COLUMNS, Outcome
from tailrace.batch._hidden import hidden_file, remove_dead_files
from tailrace.batch._inputs.source import Overlong
from tailrace.batch._line_index import RUN_FILE, LineIndex
from tailrace.batch._rows import RowError
from tailrace.errors import BatchWriteError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from tailrace.batch._inputs import Source

__all__ = ["DEFAULT_COLUMNS", "Table", "check_table", "write_table"]

DEFAULT_COLUMNS = ("id", "text", "error")
"""The columns of a table where none are asked for."""

_INPUT = "input."
_PARQUET_ROWS = 1000  # of a row group's piece


@dataclass(frozen=True, slots=True)
class Table:
    """Counts of a written table: rows `done`, `failed`, and `missing`, which have no line yet."""

    done: int
    failed: int
    missing: int


def check_table(
    folder: str | Path,
    source: Source,
    target: str | Path,
    *,
    columns: Sequence[str] = DEFAULT_COLUMNS,
) -> None:
    """Refuse a table that could not be written after a run, before anything is asked.

    Arguments and errors are those of `write_table`; `folder` need not be there yet. A field that
    no line of an input without a header has is found only when the table is written.
    """
    path = Path(target)
    if _writer_of(path) is _parquet:
        arrow()
    _refuse_own(path, Path(folder), source)
    if path.parent.is_dir():
        with writing(path), hidden_file(path):
            pass
    elif path.parent != Path(folder):
        raise BatchWriteError(f"{path} cannot be written: there is no folder {path.parent}")
    _Rows(source, columns)


def write_table(
    folder: str | Path,
    source: Source,
    target: str | Path,
    *,
    columns: Sequence[str] = DEFAULT_COLUMNS,
) -> Table:
    """Write what the run in `folder` has of the rows of `source`, its input, as a table.

    `target`: the file, which is replaced in one step; its name ends in ``.csv``, ``.tsv``,
    ``.jsonl`` or ``.parquet``. `columns`: names of `COLUMNS` and of the input's fields; in front of
    the name of a field that a column has, too, stands ``input.``. A row that failed is there with
    its ``error``; one that has no line yet is left out. All shards in the folder are read.

    Raises BatchFolderError where the folder holds no run, or one of another input;
    InvalidRequestError for a column that is none, and another form; MissingRequirementsError for
    Parquet without pyarrow; BatchInputError; BatchWriteError.
    """
    path = Path(target)
    opened = _writer_of(path)
    _refuse_own(path, Path(folder), source)
    rows = _Rows(source, columns)
    remove_dead_files(path.parent, path.name)
    with LineIndex(Path(folder), source) as index, replacing(path) as file:
        with opened(file, columns) as write:
            for row in rows.of(index):
                write(row)
        rows.refuse_unknown()
    return rows.counts


def _refuse_own(path: Path, folder: Path, source: Source) -> None:
    """Raise InvalidRequestError for a table in the place of the input, or of the run's own files.

    These may be hard links, or be called by another way. Raises BatchWriteError for a file that is
    read-only: another one could take its place, which is not what it was made so for.
    """
    with writing(path):
        is_input = path.exists() and path.samefile(source.path)
        is_inside = folder.is_dir() and path.parent.is_dir() and path.parent.samefile(folder)
        is_read_only = path.exists() and not os.access(path, os.W_OK)
    if is_read_only:
        raise BatchWriteError(f"{path} cannot be written: it is read-only")
    if is_input:
        raise InvalidRequestError(f"{path} is the input: a table would take its place")
    if is_inside and RUN_FILE.fullmatch(path.name):
        raise InvalidRequestError(f"{path} is a file of the run: a table would take its place")


class _Rows:
    """The rows of a table with `columns`.

    A field of the input that no row has is refused, at the beginning where the input tells its
    fields, otherwise at the end.
    """

    def __init__(self, source: Source, columns: Sequence[str]) -> None:
        self.counts = Table(0, 0, 0)
        self._source = source
        self._columns = columns
        self._fields = {each: each.removeprefix(_INPUT) for each in columns if each not in COLUMNS}
        self._seen = set(source.columns or ())
        if source.columns is not None:
            self.refuse_unknown()

    def refuse_unknown(self) -> None:
        """Raise InvalidRequestError for a field that no row has had."""
        unknown = [name for name, each in self._fields.items() if each not in self._seen]
        if unknown:
            raise InvalidRequestError(
                f"there is no column {unknown[0]}: there are {', '.join(COLUMNS)}, and the fields "
                f"of {self._source.name}"
            )

    def of(self, index: LineIndex) -> Iterator[list[Any]]:
        """Yield the values of each row that has a line."""
        done = failed = missing = 0
        for number, record in self._source.records(whole=bool(self._fields)):
            line = index.line(number)
            if line is None:
                missing += 1
                continue
            outcome = Outcome(number, line)
            done, failed = done + outcome.is_done, failed + (not outcome.is_done)
            yield self._values(outcome, record)
        self.counts = Table(done, failed, missing)

    def _values(self, outcome: Outcome, record: Any) -> list[Any]:
        given = self._given(record) if self._fields else {}
        return [
            given.get(self._fields[each]) if each in self._fields else COLUMNS[each].value(outcome)
            for each in self._columns
        ]

    def _given(self, record: Any) -> dict[str, Any]:
        """Return the fields of a record, none of one that cannot be read."""
        if isinstance(record, Overlong):
            return {}
        try:
            fields = self._source.fields_of(record)
        except RowError:
            return {}
        self._seen.update(self._fields.values() & fields.keys())
        return fields


# -- forms -----------------------------------------------------------------------------------------

_Write = Callable[[list[Any]], object]
_Writer = Callable[["IO[bytes]", "Sequence[str]"], "AbstractContextManager[_Write]"]


@contextmanager
def _csv(file: IO[bytes], columns: Sequence[str], separator: str = ",") -> Iterator[_Write]:
    text = TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(columns)
    yield lambda row: writer.writerow([_cell(each) for each in row])
    text.detach()


def _tsv(file: IO[bytes], columns: Sequence[str]) -> AbstractContextManager[_Write]:
    return _csv(file, columns, "\t")


@contextmanager
def _json_lines(file: IO[bytes], columns: Sequence[str]) -> Iterator[_Write]:
    yield lambda row: file.write(_json(dict(zip(columns, row, strict=True))) + b"\n")


@contextmanager
def _parquet(file: IO[bytes], columns: Sequence[str]) -> Iterator[_Write]:
    pa, parquet = arrow()
    types = {"text": pa.string(), "whole": pa.int64(), "numbers": pa.list_(pa.float64())}
    kinds = [COLUMNS[each].type if each in COLUMNS else "json" for each in columns]
    fields = zip(columns, [types.get(each, pa.string()) for each in kinds], strict=True)
    schema = pa.schema(list(fields))
    held: list[list[Any]] = []

    def flush() -> None:
        rows = zip(schema, kinds, zip(*held, strict=True), strict=True)
        values = [_array(pa, field, kind, column) for field, kind, column in rows]
        writer.write_batch(pa.record_batch(values, schema=schema))
        held.clear()

    def write(row: list[Any]) -> None:
        held.append(row)
        if len(held) >= _PARQUET_ROWS:
            flush()

    with parquet.ParquetWriter(file, schema) as writer:
        yield write
        if held:
            flush()


def _array(pa: Any, field: Any, kind: str, column: Sequence[Any]) -> Any:
    """Return a piece of a column; raises InvalidRequestError for a value of another type."""
    values = column if kind != "json" else [None if e is None else _text(e) for e in column]
    try:
        return pa.array(values, type=field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        problem = str(error)
    raise InvalidRequestError(
        f"the column {field.name} is of the type {field.type} in Parquet, and a value is not "
        f"({problem}): .jsonl takes any"
    )


def _text(value: Any) -> str:
    """Return a text as it is, and else the JSON of a value, such as a date's without its quotes."""
    written = _json(value)
    return str(msgspec.json.decode(written)) if written.startswith(b'"') else written.decode()


def _writer_of(path: Path) -> _Writer:
    """Return what writes a file of such a name; raises InvalidRequestError where nothing does."""
    opened = _WRITERS.get(path.suffix.lower())
    if opened is None:
        raise InvalidRequestError(f"{path} ends in none of {', '.join(_WRITERS)}")
    return opened


def _cell(value: Any) -> Any:
    """Return a value as a cell of text, None for none."""
    return value if value is None or isinstance(value, str | int) else _text(value)


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=str)


_WRITERS: dict[str, _Writer] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
