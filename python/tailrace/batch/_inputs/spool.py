"""What can be read once alone, kept in the output folder: stdin, and what comes from a pipe."""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
import sys
from errno import EISDIR
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tailrace.batch._appending import writing
from tailrace.batch._hidden import finish, hidden_file, remove_dead_files
from tailrace.errors import BatchFolderError, BatchInputError

if TYPE_CHECKING:
    from typing import IO

__all__ = ["is_stream", "spooled"]

_KEPT = "input"  # in the output folder


def is_stream(path: str | Path) -> bool:
    """Return whether `path` names what can be read once alone. Raises OSError."""
    if str(path) == "-":
        return True
    mode = Path(path).stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    return not stat.S_ISREG(mode)


def spooled(path: str | Path, folder: Path, stdin: BinaryIO | None = None) -> Path:
    """Keep what comes from `path`, ``-`` being `stdin`, in `folder`, and return the kept file.

    A later start of the run gets the same again, or nothing, and goes on with what was kept. Raises
    BatchFolderError where it gets something else, BatchInputError for nothing the first time, and
    BatchWriteError.
    """
    kept = folder / _KEPT
    with writing(kept):
        folder.mkdir(parents=True, exist_ok=True)
        remove_dead_files(folder, _KEPT)
        with hidden_file(kept) as (new, file):
            _copy(path, file, stdin)
            finish(file)
            _keep(new, kept)
    return kept


def _copy(path: str | Path, file: IO[bytes], stdin: BinaryIO | None) -> None:
    if str(path) != "-":
        with Path(path).open("rb") as opened:
            shutil.copyfileobj(opened, file)
        return
    given = stdin or (sys.stdin and sys.stdin.buffer)  # a program may have none
    if given and not given.isatty():  # a person who starts a run again types nothing
        shutil.copyfileobj(given, file)


def _keep(new: Path, kept: Path) -> None:
    if not new.stat().st_size:
        if not kept.exists():
            raise BatchInputError("nothing came from stdin")
    elif not _took_name(new, kept) and not filecmp.cmp(new, kept, shallow=False):
        raise BatchFolderError(
            f"the input is not the one that this run began with, which is kept as {kept}: "
            "another input needs another output folder"
        )


def _took_name(new: Path, kept: Path) -> bool:
    """Give a file the name `kept`, unless there is one of that name: two may begin at once."""
    try:
        os.link(new, kept)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if kept.exists():
            return False
        new.replace(kept)
    return True
