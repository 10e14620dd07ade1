"""A file of lines that grows by whole lines, whatever fails, and is mended before it grows on.

A line counts when it is whole, with its newline. What a killed process, a full disk or a power loss
left behind is no line: the rest at the end is cut off, and a line in which the disk lost something
is taken out.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from errno import ENOENT
from typing import IO, TYPE_CHECKING

from tailrace.batch._hidden import finish, hidden_file
from tailrace.errors import BatchWriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["LineFile", "mend", "replacing", "writing"]

_READ = 2**17  # what is larger, the allocator maps anew each time


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a BatchWriteError that names `path`."""
    problem = ""
    try:
        yield
    except OSError as error:
        problem = _reason(error)
    if problem:
        raise BatchWriteError(f"{path} cannot be written: {problem}")


def _reason(error: BaseException) -> str:
    found = error.strerror if isinstance(error, OSError) else None
    return found or str(error) or type(error).__name__


def mend(
    path: Path,
    keeps: Callable[[bytes], object],
    skim: Callable[[bytes, int], int] = lambda _, start: start,
) -> int:
    """Take out of the file at `path`, if there is one, the lines that are not whole objects.

    `keeps`: is given each whole line, and returns false for one that is to be taken out, too.
    `skim`: is given bytes of the file and where a line begins in them, and returns where the lines
    end that it has seen to be whole and to be kept, of which `keeps` hears nothing. Returns how
    many bytes of lines that were not whole were taken out. Whenever this is interrupted, the file
    is as before or as after. Raises BatchWriteError.
    """
    if not path.exists():
        return 0
    offset = torn = 0
    dropped: list[tuple[int, int]] = []
    data = b""
    with writing(path), path.open("rb", buffering=0) as file:
        while piece := file.read(_READ):
            data += piece
            at = skim(data, 0)
            while stop := data.find(b"\n", at) + 1:
                line = data[at:stop]
                is_whole = line.endswith(b"}\n") and b"\0" not in line
                if not is_whole or not keeps(line):
                    torn += 0 if is_whole else len(line)
                    _drop(dropped, offset + at, offset + stop)
                at = skim(data, stop)
            offset, data = offset + at, data[at:]
    end = offset + len(data)
    if data:
        torn += len(data)
        _drop(dropped, offset, end)
    if len(dropped) == 1 and dropped[0][1] == end:
        with writing(path), path.open("rb+") as file:
            file.truncate(dropped[0][0])
            os.fsync(file.fileno())
    elif dropped:
        with replacing(path) as new:
            new.writelines(_without(path, dropped))
    return torn


def _drop(dropped: list[tuple[int, int]], start: int, stop: int) -> None:
    """Add a range to those that are dropped; neighbours are one."""
    if dropped and dropped[-1][1] == start:
        start = dropped.pop()[0]
    dropped.append((start, stop))


def _without(path: Path, dropped: list[tuple[int, int]]) -> Iterator[bytes]:
    at = 0
    with path.open("rb") as file:
        for start, stop in [*dropped, (file.seek(0, os.SEEK_END), 0)]:
            file.seek(at)
            left = start - at
            while left and (piece := file.read(min(_READ, left))):
                left -= len(piece)
                yield piece
            at = stop


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of the one at `path` when it is whole, and on the disk.

    Others may be doing the same, as shards do with one table; the last one stays. Where the block
    fails, the file at `path` stays as it is. Raises BatchWriteError.
    """
    with writing(path):
        with hidden_file(path) as (new, file):
            yield file
            finish(file)
            new.replace(path)
        _sync_folder(path.parent)


class LineFile:
    """The file at `path`, to which whole lines are added; made where there is none.

    Raises BatchWriteError where it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._failed = ""
        self._unsynced = False
        with writing(path):
            is_new = not path.exists()
            self._file = path.open("ab", buffering=0)
            self._size = self._file.tell()
            if is_new:
                _sync_folder(path.parent)

    def append(self, line: bytes) -> None:
        """Write a line, with its newline, and hand it to the system. Raises BatchWriteError.

        After a failure the file holds the lines before it, and takes no more.
        """
        if self._failed:
            raise BatchWriteError(self._failed)
        try:
            written = self._file.write(line)
            while written < len(line):
                written += self._file.write(line[written:])
        except BaseException as error:  # of a signal, too
            self._failed = f"{self.path} cannot be written: {_reason(error)}"
            # Where that fails, too, the torn line is cut off when the file is mended.
            with suppress(OSError):
                self._file.truncate(self._size)
            if not isinstance(error, OSError):
                raise
        else:
            self._size += len(line)
            self._unsynced = True
            return
        raise BatchWriteError(self._failed)

    def sync(self) -> None:
        """Wait until the disk has all lines added before. Raises BatchWriteError."""
        if not self._unsynced:
            return
        self._unsynced = False
        try:
            with writing(self.path):
                os.fsync(self._file.fileno())
                if self._is_deleted():
                    raise FileNotFoundError(ENOENT, "it was deleted or moved")
        except BatchWriteError as error:
            self._failed = str(error)
            raise

    def _is_deleted(self) -> bool:
        """Return whether the file has lost its name: what is written to it is lost with it."""
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return True
        # Some file systems count no names at all.
        status = os.fstat(self._file.fileno())
        return not status.st_nlink and not os.path.samestat(status, named)

    def close(self) -> None:
        """Wait until the disk has all lines, and close the file. Raises BatchWriteError."""
        if not self._file.closed:
            try:
                self.sync()
            finally:
                self._file.close()


def _sync_folder(folder: Path) -> None:
    """Wait until the disk knows the names in `folder`, where the system can be asked to."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
