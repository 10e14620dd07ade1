"""A lock that a process holds on a file, and that the system takes from it when it dies."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from tailrace.errors import BatchFolderError, BatchLockedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileLock", "take_lock"]

_FREE_ELSEWHERE = "put the output folder on a file system that has locks"

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def take_lock(descriptor: int) -> Literal["ours", "taken", "none"]:
    """Take the lock on an open file, which ends when it is closed; tell whose it is.

    ``none``: the file system has no locks.
    """
    try:
        _take(descriptor)
    except (BlockingIOError, PermissionError):
        return "taken"
    except OSError:
        return "none"
    return "ours"


class FileLock:
    """The lock on the file at `path`, which is made where there is none, and stays.

    It is taken at once, and the file says by whom. Raises BatchLockedError where another has it,
    calling the locked thing `name`, and BatchFolderError where the file system has no locks.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        failure: BatchFolderError
        try:
            _take(self._file)
        except (BlockingIOError, PermissionError):
            failure = BatchLockedError(f"another run is writing {name}{_holder(path)}")
        except OSError as error:
            failure = BatchFolderError(
                f"{name} cannot be locked ({error.strerror}): {_FREE_ELSEWHERE}"
            )
        else:
            with suppress(OSError):  # a full disk, which the run is told of where it matters
                os.truncate(self._file, 0)
                os.write(self._file, f"process {os.getpid()} on {platform.node()}\n".encode())
            return
        self.close()
        raise failure

    def close(self) -> None:
        """Give the lock back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _holder(path: Path) -> str:
    """Return what the file says about who has the lock, in words; empty where it cannot be read."""
    try:
        told = path.read_text("utf-8", "replace")[:_LONGEST].strip()
    except OSError:  # as on Windows, where nobody else may read it
        return ""
    return f": {told}" if told else ""


_LONGEST = 300  # characters
