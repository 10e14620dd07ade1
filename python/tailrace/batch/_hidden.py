"""Files and folders that are there while they are written: what a dead process left is taken away.

Each is locked by who writes it, and the system takes the lock when that process dies. So whoever
gets the lock knows that nobody writes it any more. Where there are no locks nothing is taken away.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING
from weakref import finalize

from tailrace.batch._lock import take_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["finish", "hidden_file", "remove_dead_files", "scratch_folder"]

_NAME = re.compile(r"\.(.{1,255})\.[0-9a-f]{8}\.new", re.DOTALL)
_PREFIX = "tailrace-"
_OWNER = ".owner"
_TRIES = 100


@contextmanager
def hidden_file(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Open a new file beside `path`, under a hidden name, and yield its path and the file.

    In the end it is taken away, unless it was given another name. Raises OSError.
    """
    new, file = _locked_file(path)
    try:
        with file:
            yield new, file
    finally:
        with suppress(OSError):
            new.unlink()


def finish(file: IO[bytes]) -> None:
    """Have the disk keep what was written, so that the file can be given its name."""
    file.flush()
    os.fsync(file.fileno())
    if sys.platform == "win32":  # where nothing that is open gets another name
        file.close()


def remove_dead_files(folder: Path, name: str | None = None) -> None:
    """Take away the hidden files in `folder` that no process writes.

    `name`: of the one file that they were to become, or else of any. What cannot be taken away
    stays.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for each in entries:
            found = _NAME.fullmatch(each.name)
            if found and name in (None, found[1]):
                _remove_if_dead(Path(each.path))


def _locked_file(path: Path) -> tuple[Path, IO[bytes]]:
    for _ in range(_TRIES):
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        file = new.open("xb")
        if _is_mine(file.fileno(), new):
            return new, file
        file.close()
    raise FileNotFoundError(f"{new} is taken away as soon as it is made")


def _is_mine(descriptor: int, path: Path) -> bool:
    """Lock an open file; return False where a process that looked for dead ones took it away."""
    if sys.platform != "win32" and take_lock(descriptor) == "taken":
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove_if_dead(path: Path, folder: Path | None = None) -> None:
    """Take away a file that nobody has locked, or the `folder` that it is in."""
    if sys.platform == "win32":  # where a file is closed, and free, before it gets its name
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        is_ours = os.fstat(descriptor).st_uid == os.geteuid()
        if is_ours and take_lock(descriptor) == "ours":
            if folder is None:
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def scratch_folder() -> TemporaryDirectory[str]:
    """Return a new folder of this machine, and take away those that dead processes left."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for each in entries:
            if each.name.startswith(_PREFIX):
                _remove_if_dead(Path(each.path, _OWNER), Path(each.path))
    while True:
        folder = TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
        owner = Path(folder.name, _OWNER)
        try:
            descriptor = os.open(owner, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:
            continue
        if _is_mine(descriptor, owner):
            finalize(folder, os.close, descriptor)
            return folder
        os.close(descriptor)
