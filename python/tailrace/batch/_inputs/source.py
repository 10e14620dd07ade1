"""What all inputs are: records with numbers, each of which is a row or tells why it is none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.batch._rows import BadRow, RowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tailrace.batch._rows import Row

__all__ = ["HOLDS_NUL", "MAX_ROW_BYTES", "Overlong", "Source"]

MAX_ROW_BYTES = 64 * 2**20
"""The most bytes of one row of an input."""

HOLDS_NUL = "it holds NUL, which no text does: UTF-8 is read, and not UTF-16"
"""The reason why a row of text is none that has NUL in it."""

_LONGEST_RAW = 2000  # characters of a bad row that are shown


@dataclass(frozen=True, slots=True)
class Overlong:
    """A record that is longer than a row may be, of which the `beginning` alone was kept."""

    KEPT: ClassVar[int] = 2**13
    """The characters that are kept, or the bytes."""

    beginning: str


class Source(ABC):
    """An input of a batch, which can be read any number of times.

    `path`: the file; `name`: what messages call it; `format`: one of `FORMATS`; `noun`: what its
    records are called.
    """

    format: ClassVar[str]
    noun: ClassVar[str] = "line"

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name

    @property
    def columns(self) -> Sequence[str] | None:
        """The names of the fields that each record has, None where each may have others."""
        return None

    @property
    def fields_seen(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of fields beside the prompts, as far as rows were read: sent, and not sent."""
        return (), ()

    @property
    def settings(self) -> Mapping[str, Any]:
        """The options by which the file is read, as a run's record keeps them."""
        return {"format": self.format}

    @abstractmethod
    def records(self, *, whole: bool = False) -> Iterator[tuple[int, Any]]:
        """Yield each record's number, from 1, and the record, not looked into, or an `Overlong`.

        `whole`: whether what is not sent must be in the records, too. Raises BatchInputError where
        the file cannot be read to its end.
        """

    @abstractmethod
    def row(self, number: int, record: Any) -> Row:
        """Return a record as a row. Raises RowError."""

    @abstractmethod
    def fields_of(self, record: Any) -> dict[str, Any]:
        """Return what a record holds, by name, as far as it is in it. Raises RowError."""

    @abstractmethod
    def shown(self, record: Any) -> str:
        """Return a record as text."""

    def rows(self, skip: Callable[[int], object] | None = None) -> Iterator[Row | BadRow]:
        """Yield the rows, in their order.

        `skip`: is given a row's number, and tells whether to leave it out; those cost little.
        """
        for number, record in self.records():
            if skip is None or not skip(number):
                yield self.read(number, record)

    def read(self, number: int, record: Any) -> Row | BadRow:
        """Return a record as a row, or as one that cannot be sent."""
        if isinstance(record, Overlong):
            problem = f"it is longer than {MAX_ROW_BYTES} bytes, the most that a row may have"
            return self.bad(number, record, problem, None)
        try:
            return self.row(number, record)
        except RowError as error:
            return self.bad(number, record, error.reason, error.id)

    def bad(self, number: int, record: Any, reason: str, row_id: str | None) -> BadRow:
        """Return a record as a row that cannot be sent."""
        shown = record.beginning if isinstance(record, Overlong) else self.shown(record)
        raw = shown if len(shown) <= _LONGEST_RAW else f"{shown[:_LONGEST_RAW]}…"
        return BadRow(number, row_id, reason, raw)
