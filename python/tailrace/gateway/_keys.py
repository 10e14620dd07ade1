"""The keys of clients, each with a name; compared by their digests, in constant time.

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
    """One key that a gateway accepts: its `name`, and its SHA-256 `digest`; made by `Key.of`."""

    name: str
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, name: str, secret: str) -> Key:
        """Make a key of that name from its `secret`, the text that clients send.

        Raises InvalidRequestError for a malformed name or secret.
        """
        if not _NAME.fullmatch(name):
            raise InvalidRequestError(
                "a key's name is 1 to 64 letters, digits, '.', '_' and '-', the first no mark"
            )
        if not _SHORTEST <= len(secret) <= _LONGEST or not all(
            "!" <= letter <= "~" for letter in secret
        ):
            raise InvalidRequestError(
                f"the key {name!r} must be {_SHORTEST} to {_LONGEST} visible ASCII characters "
                "without spaces"
            )
        return cls(name, _digest(secret.encode()))


class KeyRing:
    """The keys that a gateway accepts.

    Raises InvalidRequestError for a name or a key that occurs twice.
    """

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
        """Return the name of the key with this `secret`; None where no key has it.

        All keys are compared, so that the time tells nothing about them.
        """
        digest = _digest(secret)
        name: str | None = None
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                name = key.name
        return name


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def read_keys(file: Path) -> list[Key]:
    """Read the keys of a file, one ``name:key`` a line.

    Raises InvalidRequestError, which names the file and the line, never their content.
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
    """Return a warning, one sentence, about a file of keys that others than its owner may read.

    None where nobody else may, and on systems whose file modes do not show it.
    """
    if sys.platform == "win32":  # file modes do not show the access of others there
        return None
    mode = file.stat().st_mode & 0o777
    if not mode & _OTHERS_MAY:
        return None
    return (
        f"others than its owner may use the file of keys {file} (mode {mode:o}): chmod 600 {file}"
    )


def keys_of_environment(environ: Mapping[str, str]) -> list[Key]:
    """Read the keys of the variable ``TAILRACE_KEYS`` in `environ`; none where it is not set.

    Raises InvalidRequestError, which names the variable and the line, never their content.
    """
    return _parsed(environ.get(KEYS_VARIABLE, "").replace(",", "\n").splitlines(), KEYS_VARIABLE)


def _parsed(lines: list[str], source: str) -> list[Key]:
    keys: list[Key] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, colon, secret = text.partition(":")
        if not colon:
            raise InvalidRequestError(f"{source}, line {number}: expected name:key")
        if len(keys) == MAX_KEYS:
            raise InvalidRequestError(f"{source}: more than {MAX_KEYS} keys")
        try:
            keys.append(Key.of(name.strip(), secret.strip()))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{source}, line {number}: {error}") from None
    return keys
