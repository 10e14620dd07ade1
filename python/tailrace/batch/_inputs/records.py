"""Records of CSV, each with a limit: what is longer is passed over, and the next one is read."""

from __future__ import annotations

import csv
from io import TextIOWrapper
from typing import TYPE_CHECKING

from tailrace.batch._inputs.files import unpacked
from tailrace.batch._inputs.source import MAX_ROW_BYTES, Overlong
from tailrace.errors import BatchInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["records_of"]

_PIECE = 2**18  # characters


def records_of(path: Path, name: str, separator: str) -> Iterator[list[str] | Overlong]:
    """Yield the records of a file, empty ones included, the header first.

    Raises BatchInputError, which calls the file `name`, for what is no CSV.
    """
    # The limit is the whole process's: it is raised where it must be, and never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    problem = ""
    with unpacked(path, name) as file:
        text = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        lines = _Lines(text, separator)
        try:
            while (record := lines.record()) is not None:
                yield record
        except csv.Error as error:
            problem = f"line {lines.first} of {name} is no CSV: {error}"
    if problem:
        raise BatchInputError(problem)


class _TooLongError(Exception):
    """The record is longer than the limit."""


class _Lines:
    """The lines of `text` as a reader of CSV takes them; `first`: the number of a record's first.

    Within a record a line ends in quotes alone, and so the state in which the next one begins is
    known without the lines before.
    """

    def __init__(self, text: TextIOWrapper, separator: str) -> None:
        self.first = 0
        self._text = text
        self._separator = separator
        self._reader = csv.reader(self, delimiter=separator, strict=True)
        self._number = 0
        self._size = 0
        self._beginning = self._line = self._ahead = ""

    def record(self) -> list[str] | Overlong | None:
        """Return the next record, None where there is none. Raises csv.Error."""
        self._size = 0
        self.first = self._number + 1
        try:
            return next(self._reader, None)
        except _TooLongError:
            pass
        self._pass_over()
        self._reader = csv.reader(self, delimiter=self._separator, strict=True)
        return Overlong(self._beginning)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        """Return the next line of a record. Raises _TooLongError."""
        line = self._line = self._read(MAX_ROW_BYTES + 1 - self._size)
        if not line:
            raise StopIteration
        if not self._size:
            self._beginning = line[: Overlong.KEPT]
        self._number += 1
        self._size += len(line)
        if self._size > MAX_ROW_BYTES:
            raise _TooLongError
        return line

    def _read(self, most: int) -> str:
        """Return a line, or so many characters of one, but not the half of CR LF."""
        line, self._ahead = self._ahead, ""
        if line != "\r":
            line += self._text.readline(most)
        if line[-1:] == "\r":
            self._ahead = self._text.readline(1)
            if self._ahead == "\n":
                line, self._ahead = f"{line}\n", ""
        return line

    def _pass_over(self) -> None:
        """Read the rest of a record that is too long. Raises csv.Error where it has no end."""
        is_first = self._size == len(self._line)
        state = _state_after(self._line, "begins" if is_first else "quoted", self._separator)
        while state != "ended":
            piece = self._read(_PIECE)
            if not piece and state == "quoted":
                raise csv.Error("a quoted cell has no end")
            if not piece:
                return
            self._number += piece.endswith(("\n", "\r"))
            state = _state_after(piece, state, self._separator)


def _state_after(piece: str, state: str, separator: str) -> str:
    """Return where in a record the reader is behind a line, or a piece of one.

    ``begins``: at a cell's beginning; ``plain``: in one without quotes; ``quoted``: between quotes;
    ``quote``: behind a quote that ends a cell, or stands for one; ``ended``: behind the record.
    """
    at, size = 0, len(piece)
    while at < size:
        if state == "quoted":
            at = piece.find('"', at) + 1 or size + 1
            state = "quoted" if at > size else "quote"
        elif piece[at] == '"' and state in ("begins", "quote"):
            state, at = "quoted", at + 1
        else:
            next_quoted = piece.find(f'{separator}"', at)
            state, at = ("quoted", next_quoted + 2) if next_quoted >= 0 else ("plain", size)
    if state == "quoted":
        return state
    if piece.endswith(("\n", "\r")):
        return "ended"
    return "begins" if piece.endswith(separator) and state == "plain" else state
