"""Trust in files of sites that come with a folder, such as a repository of somebody else's.

A file's digest is kept in the user's state folder when the user trusts it, so that a file that has
changed is not trusted any more.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from tailrace.errors import ProfileError
from tailrace.sites._state import MAX_FILE_BYTES, state_file, write_state

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_trusted", "revoke_trust", "trust"]


class _Trusted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    file: str
    sha256: str


def trust(file: Path, data: bytes, folder: Path | None = None) -> None:
    """Trust a file as long as its content is `data`; `folder`: the state folder, else the user's.

    Raises ProfileError where that cannot be kept.
    """
    try:
        write_state(_kept_in(file, folder), msgspec.json.encode(_trusted(file, data)))
    except OSError as error:
        raise ProfileError(
            str(file), "", f"the trust in it cannot be kept: {error.strerror or error}"
        ) from None


def is_trusted(file: Path, data: bytes, folder: Path | None = None) -> bool:
    """Tell whether the user trusts this file with this content."""
    try:
        with _kept_in(file, folder).open("rb") as opened:
            kept = msgspec.json.decode(opened.read(MAX_FILE_BYTES), type=_Trusted)
    except (OSError, msgspec.DecodeError):
        return False
    return kept == _trusted(file, data)


def revoke_trust(file: Path, folder: Path | None = None) -> bool:
    """Trust a file no more; False where it was not trusted, with this content or another.

    Raises ProfileError where that cannot be kept.
    """
    try:
        _kept_in(file, folder).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ProfileError(
            str(file), "", f"the trust in it cannot be revoked: {error.strerror or error}"
        ) from None
    return True


def _trusted(file: Path, data: bytes) -> _Trusted:
    name = str(file.resolve()).encode("utf-8", "backslashreplace").decode()
    return _Trusted(file=name, sha256=hashlib.sha256(data).hexdigest())


def _kept_in(file: Path, folder: Path | None) -> Path:
    return state_file("trusted", str(file.resolve()), folder)
