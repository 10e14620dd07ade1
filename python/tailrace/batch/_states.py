"""Which rows have their line, as the files of earlier starts say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace._native import _row_numbers
from tailrace.batch._appending import mend
from tailrace.batch._lines import is_invalid
from tailrace.errors import BatchFolderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["DONE", "FAILED", "read_answers", "read_failures", "reader_of_numbers"]

DONE, FAILED = 1, 2
"""What a row can be, in a bytearray that has a byte for each number of a row; or else 0."""

_TWICE = "row {} twice: it is not as the run left it"


def read_answers(path: Path, head: bytes, states: bytearray) -> int:
    """Mend the part file at `path`, and note its rows as done in `states`.

    `head`: what the run's lines begin with. Returns how many bytes of torn lines were taken out.
    Raises BatchFolderError for a line of another run, and for a row that is in the file twice;
    BatchWriteError.
    """
    number_in = reader_of_numbers(path, head, len(states))

    def note(number: int) -> None:
        if states[number]:
            raise BatchFolderError(f"{path} has {_TWICE.format(number)}")
        states[number] = DONE

    def keeps(line: bytes) -> bool:
        note(number_in(line))
        return True

    def skim(data: bytes, start: int) -> int:
        numbers, end = _row_numbers(data, head, start)
        if numbers and not 0 < min(numbers) <= max(numbers) < len(states):
            return start
        for number in numbers:
            note(number)
        return end

    return mend(path, keeps, skim)


def read_failures(path: Path, head: bytes, states: bytearray, *, retry: bool) -> int:
    """Mend the errors file at `path`, and note its rows as failed in `states`.

    With `retry`, the lines of rows that can be sent are taken out; those of rows that are done are
    in any case. Returns and raises as `read_answers` does, which comes before.
    """
    number_in = reader_of_numbers(path, head, len(states))

    def keeps(line: bytes) -> bool:
        number = number_in(line)
        if states[number] == DONE or (retry and not is_invalid(line)):
            return False
        if states[number]:
            raise BatchFolderError(f"{path} has {_TWICE.format(number)}")
        states[number] = FAILED
        return True

    return mend(path, keeps)


def reader_of_numbers(path: Path, head: bytes, end: int) -> Callable[[bytes], int]:
    """Return what reads a line's number, which is below `end`. It raises BatchFolderError."""
    start = len(head)

    def number_in(line: bytes) -> int:
        if line.startswith(head):
            try:
                number = int(line[start : line.index(b'"', start)])
            except ValueError:
                number = 0
            if 0 < number < end:
                return number
        beginning = line[:80].decode("utf-8", "replace")
        raise BatchFolderError(f"{path} has a line that is not of this run: {beginning}")

    return number_in
