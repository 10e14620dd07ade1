"""What an input was when a run began, so that a changed one is noticed, and how it changed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from tailrace.batch._inputs.files import reading

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Fingerprint", "change_of", "fingerprint_of"]

_READ = 2**18


class Fingerprint(msgspec.Struct, frozen=True):
    """The bytes of an input's file: how many there are, and their SHA-256 in hexadecimal."""

    size: int
    sha256: str


def fingerprint_of(path: Path, name: str) -> Fingerprint:
    """Return the fingerprint of the file at `path`.

    Raises BatchInputError, which calls the file `name`.
    """
    digest, size = hashlib.sha256(), 0
    with reading(name), path.open("rb", buffering=0) as file:
        while piece := file.read(_READ):
            digest.update(piece)
            size += len(piece)
    return Fingerprint(size, digest.hexdigest())


def change_of(path: Path, name: str, before: Fingerprint, now: Fingerprint) -> str:
    """Return how the file at `path` changed since it was as `before`, in words; empty if not."""
    if now == before:
        return ""
    if now.size == before.size:
        return f"its {now.size} bytes are other ones (SHA-256 {now.sha256}, then {before.sha256})"
    if now.size < before.size:
        return f"it has {now.size} bytes, and had {before.size}"
    digest = hashlib.sha256()
    left = before.size
    with reading(name), path.open("rb", buffering=0) as file:
        while left and (piece := file.read(min(_READ, left))):
            digest.update(piece)
            left -= len(piece)
    more = f"it has {now.size} bytes, and had {before.size}"
    if digest.hexdigest() == before.sha256:
        return f"{more}: what was added stands at its end"
    return more
