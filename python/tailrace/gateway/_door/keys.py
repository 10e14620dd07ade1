"""Keys: who may ask. Several, each with a name; compared on digests, every one of them, in constant
time.

A file of keys is text, one ``name:key`` a line; empty lines and lines that begin with ``#`` are
skipped. The variable ``TAILRACE_KEYS`` of the environment holds the same, with commas or line ends
between them. A name is what logs and figures show; the key itself is kept as its SHA-256 digest
only, and stands in no message, no log and no repr.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["KEYS_VARIABLE", "Key", "KeyRing", "check_secrecy", "keys_of_environment", "read_keys"]

KEYS_VARIABLE = "TAILRACE_KEYS"
MAX_FILE_BYTES = 2**20
MAX_KEYS = 1000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHORTEST, _LONGEST = 16, 512
_OTHERS_MAY = 0o077


@dataclass(frozen=True, slots=True)
class Key:
    """One key: whose it is, and its digest."""

    name: str
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, name: str, secret: str) -> Key:
        """A key of that name; InvalidRequestError for a name or a key that cannot be one."""
        if not _NAME.fullmatch(name):
            raise InvalidRequestError(
                "a key's name is 1 to 64 letters, digits, '.', '_' and '-', the first no mark"
            )
        if not _SHORTEST <= len(secret) <= _LONGEST or not all(
            "!" <= letter <= "~" for letter in secret
        ):
            raise InvalidRequestError(
                f"the key {name!r} must be {_SHORTEST} to {_LONGEST} visible ASCII characters without spaces"
            )
        return cls(name, _digest(secret.encode()))


class KeyRing:
    """The keys a gateway accepts. Names and keys are each there once."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)
        names = {key.name for key in self._keys}
        if len(names) != len(self._keys) or len({key.digest for key in self._keys}) != len(
            self._keys
        ):
            raise InvalidRequestError("a key's name and the key itself may be given only once")

    def __len__(self) -> int:
        return len(self._keys)

    def name_of(self, secret: bytes) -> str | None:
        """The name of the key that this is; None: it is none of them.

        Takes the same time whichever it is.
        """
        given = _digest(secret)
        found: str | None = None
        for key in self._keys:
            if hmac.compare_digest(given, key.digest):
                found = key.name
        return found


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def read_keys(file: Path) -> list[Key]:
    """The keys of a file.

    InvalidRequestError names the file and the line, never what stands in it.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidRequestError(
            f"the keys cannot be read from {file}: {error.strerror or error}"
        ) from None
    if len(data) > MAX_FILE_BYTES:
        raise InvalidRequestError(f"the file of keys {file} is larger than {MAX_FILE_BYTES} bytes")
    keys = _parsed(data.decode("utf-8", "replace").splitlines(), str(file))
    if not keys:
        raise InvalidRequestError(
            f"the file of keys {file} holds no key: expected name:key, one a line"
        )
    return keys


def check_secrecy(file: Path) -> str | None:
    """What is wrong with who may read the file, as one sentence; None: only its owner may, or no
    mode tells.
    """
    if sys.platform == "win32":  # where the mode says nothing of others
        return None
    mode = file.stat().st_mode & 0o777
    if not mode & _OTHERS_MAY:
        return None
    return (
        f"others than its owner may use the file of keys {file} (mode {mode:o}): chmod 600 {file}"
    )


def keys_of_environment(environ: Mapping[str, str]) -> list[Key]:
    """The keys of `KEYS_VARIABLE`; none where it is not set."""
    return _parsed(environ.get(KEYS_VARIABLE, "").replace(",", "\n").splitlines(), KEYS_VARIABLE)


def _parsed(lines: list[str], where: str) -> list[Key]:
    keys: list[Key] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, colon, secret = text.partition(":")
        if not colon:
            raise InvalidRequestError(f"{where}, line {number}: expected name:key")
        if len(keys) == MAX_KEYS:
            raise InvalidRequestError(f"{where}: more than {MAX_KEYS} keys")
        try:
            keys.append(Key.of(name.strip(), secret.strip()))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{where}, line {number}: {error}") from None
    return keys
