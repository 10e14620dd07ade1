"""The lines of a run's files by the numbers of their rows, of all shards in a folder."""

from __future__ import annotations

import re
from array import array
from collections import OrderedDict
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Self

from tailrace.batch._fingerprint import change_of, fingerprint_of
from tailrace.batch._inputs.files import reading
from tailrace.batch._lines import head_of
from tailrace.batch._record import records_in
from tailrace.batch._states import reader_of_numbers
from tailrace.errors import BatchFolderError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tailrace.batch._inputs import Source

__all__ = ["RUN_FILE", "LineIndex"]

_READ = 2**18
_MOST_OPEN = 128  # files
_OFFSET_BITS = 44  # of an entry: files of up to 16 TiB, and a million of them
RUN_FILE = re.compile(r"(part|errors)-\d{5}-of-\d{5}\.jsonl")
"""The name of a file of a run's lines."""


class LineIndex:
    """Index of the lines of a run's output by row, 8 bytes each; a context manager.

    Leaving it closes the files.

    Raises BatchFolderError where `folder` holds no run, or one of another input than `source`.
    """

    def __init__(self, folder: Path, source: Source) -> None:
        with reading(str(folder)):
            records = [*records_in(folder).values()]
            names = sorted(each.name for each in folder.iterdir() if RUN_FILE.fullmatch(each.name))
        if not records:
            raise BatchFolderError(f"{folder} holds no run")
        now = fingerprint_of(source.path, source.name)
        change = change_of(source.path, source.name, records[0].fingerprint, now)
        if change:
            raise BatchFolderError(
                f"{source.name} is not the input of the run in {folder}: {change}"
            )
        last = max((each.checked.last for each in records if each.checked), default=0)
        self._head = head_of(now.sha256)
        self._paths = [folder / name for name in names]
        self._entries = array("Q", bytes(8 * (last + 1)))  # 0 for none
        self._open: OrderedDict[int, IO[bytes]] = OrderedDict()
        self._closing = ExitStack()
        for index, path in enumerate(self._paths):
            self._add(index, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def line(self, number: int) -> bytes | None:
        """Return the line of a row, None where it has none."""
        entry = self._entries[number] if number < len(self._entries) else 0
        if not entry:
            return None
        index, offset = divmod(entry - 1, 2**_OFFSET_BITS)
        path = self._paths[index]
        with reading(str(path)):
            file = self._file(index, path)
            file.seek(offset)
            return file.readline()

    def _add(self, index: int, path: Path) -> None:
        """Note the whole lines of a file; a run may be writing the rest."""
        number_in = reader_of_numbers(path, self._head, len(self._entries))
        base, offset = index * 2**_OFFSET_BITS + 1, 0
        with reading(str(path)), path.open("rb", buffering=_READ) as file:
            for line in file:
                if line.endswith(b"}\n") and b"\0" not in line:
                    self._entries[number_in(line)] = base + offset
                offset += len(line)

    def _file(self, index: int, path: Path) -> IO[bytes]:
        file = self._open.get(index)
        if file is None:
            if len(self._open) >= _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            file = self._open[index] = path.open("rb")
        self._open.move_to_end(index)
        return file
