"""Small files of the user's state folder, one a subject, so that writers never meet."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import platformdirs

__all__ = ["MAX_FILE_BYTES", "state_file", "write_state"]

MAX_FILE_BYTES = 64 * 2**10


def state_file(kind: str, subject: str, folder: Path | None) -> Path:
    """Return the file about a `subject`, named by a digest, since a subject is no file's name.

    `kind`: the folder of all such files; `folder`: the state folder, the user's for None.
    """
    state = platformdirs.user_state_path("tailrace", appauthor=False) if folder is None else folder
    # The name of a folder, of which a path consists, may be no UTF-8.
    digest = hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()
    return state / kind / f"{digest[:32]}.json"


def write_state(file: Path, data: bytes) -> None:
    """Write a file whole or not at all; raises the system's OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(data)
    Path(name).replace(file)
