"""The keys of clients, read from files and from the environment.

A file of keys is text, one ``name:key`` a line; empty lines and lines that begin with ``#`` are
skipped. Or it is TOML, a table ``[keys.NAME]`` for each, where a key has limits of its own. The
variable ``TAILRACE_KEYS`` of the environment holds lines, with commas or line ends between them.
"""

from __future__ import annotations

import re
import sys
import tomllib
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from tailrace.errors import InvalidRequestError
from tailrace.gateway._keys import MOST_PATTERNS, Key
from tailrace.sites._profiles import explained

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["KEYS_VARIABLE", "check_secrecy", "keys_of_environment", "read_keys"]

KEYS_VARIABLE = "TAILRACE_KEYS"
MAX_FILE_BYTES = 2**20
MAX_KEYS = 1000

_OTHERS_MAY = 0o077


def read_keys(file: Path) -> list[Key]:
    """Read the keys of a file: one ``name:key`` a line, or a table ``[keys.NAME]`` for each.

    Raises InvalidRequestError, which names the file and the line or key, never their content.
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
    text = data.decode("utf-8", "replace")
    lines = text.splitlines()
    keys = list(_of_tables(text, file) if _has_tables(lines) else _of_lines(lines, str(file)))
    if not keys:
        raise InvalidRequestError(
            f"the file of keys {file} holds no key: expected name:key, one a line, or tables "
            "[keys.NAME]"
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
    lines = environ.get(KEYS_VARIABLE, "").replace(",", "\n").splitlines()
    return list(_of_lines(lines, KEYS_VARIABLE))


# -- lines -----------------------------------------------------------------------------------------


def _of_lines(lines: list[str], source: str) -> Iterator[Key]:
    for count, (number, text) in enumerate(_meaningful(lines)):
        name, colon, secret = text.partition(":")
        if not colon:
            raise InvalidRequestError(f"{source}, line {number}: expected name:key")
        if count == MAX_KEYS:
            raise InvalidRequestError(f"{source}: more than {MAX_KEYS} keys")
        try:
            yield Key.of(name.strip(), secret.strip())
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{source}, line {number}: {error}") from None


def _meaningful(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines that hold something, each with its number."""
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text


# -- tables ----------------------------------------------------------------------------------------


class _KeyTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table of a key, key by key."""

    key: str | None = None
    key_sha256: Annotated[str, Meta(pattern="^[0-9A-Fa-f]{64}$")] | None = None
    models: Annotated[list[str], Meta(min_length=1, max_length=MOST_PATTERNS)] | None = None
    rate: float | None = None
    concurrency: int | None = None
    expires: Any = None


def _has_tables(lines: list[str]) -> bool:
    """Tell whether a file holds tables: no name of a key begins with a bracket."""
    _, first = next(_meaningful(lines), (0, ""))
    return first.startswith("[")


def _of_tables(text: str, file: Path) -> Iterator[Key]:
    document = _document(text, file)
    tables = document.pop("keys", {})
    for other in document:
        raise InvalidRequestError(
            f"{file}: {other[:80]}: unknown key: a key is a table [keys.NAME]"
        )
    if not isinstance(tables, dict) or len(tables) > MAX_KEYS:
        raise InvalidRequestError(f"{file}: keys: expected up to {MAX_KEYS} tables [keys.NAME]")
    for number, (name, table) in enumerate(tables.items(), 1):
        try:
            yield _key(name, table)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{file}, table {number}: {error}") from None


def _document(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Its words may quote a key.
        place = re.search(r"at line \d{1,9}", str(error))
    raise InvalidRequestError(f"{file}: it is not TOML{f' {place[0]}' if place else ''}")


def _key(name: str, table: object) -> Key:
    try:
        given = msgspec.convert(table, _KeyTable)
    except msgspec.ValidationError as error:
        key, problem = explained(str(error), _KeyTable.__struct_fields__)
        raise InvalidRequestError(f"{key.removeprefix('.') or 'key'}: {problem}") from None
    if (given.key is None) == (given.key_sha256 is None):
        raise InvalidRequestError("expected either key or key_sha256")
    limits: dict[str, Any] = {
        "models": tuple(given.models or ()),
        "rate": given.rate,
        "concurrency": given.concurrency,
        "expires": _moment(given.expires),
    }
    if given.key_sha256 is not None:
        return Key(name, bytes.fromhex(given.key_sha256), **limits)
    return Key.of(name, given.key or "", **limits)


def _moment(value: object) -> datetime | None:
    """Return the moment a key expires: of a day, its beginning in UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            return value
    elif isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    elif value is None:
        return None
    raise InvalidRequestError(
        "expires: expected a day, 2027-01-01, or a time with its offset, 2027-01-01T12:00:00Z"
    )
