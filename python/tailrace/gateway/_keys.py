"""The keys of clients, each with a name; compared by their digests, in constant time.

A name is what logs and figures show; the key itself is kept as its SHA-256 digest only, and stands
in no message, no log and no repr.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DIGEST_BYTES", "MOST_PATTERNS", "Key", "KeyRing", "check_limits"]

DIGEST_BYTES = 32
MOST_PATTERNS = 100
"""The most patterns of models' ids that a key may have."""

_LONGEST_PATTERN = 256
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHORTEST, _LONGEST = 16, 512


@dataclass(frozen=True, slots=True)
class Key:
    """One key that a gateway accepts: its `name`, and its SHA-256 `digest`; made by `Key.of`.

    `models`: patterns of the ids that it may ask for (`*` is any text, ``shop/*`` all models of a
    site), empty for all. `rate`: requests a minute, and `concurrency`: requests under way; None for
    the gateway's own limits. `expires`: the moment from which on it is refused, with a time zone;
    None for never. Raises InvalidRequestError for a malformed one.
    """

    name: str
    digest: bytes = field(repr=False)
    models: tuple[str, ...] = ()
    rate: float | None = None
    concurrency: int | None = None
    expires: datetime | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.digest) != DIGEST_BYTES:
            raise InvalidRequestError(f"the digest of the key {self.name!r} must have 32 bytes")
        if len(self.models) > MOST_PATTERNS or not all(
            0 < len(pattern) <= _LONGEST_PATTERN for pattern in self.models
        ):
            raise InvalidRequestError(
                f"the key {self.name!r} may have {MOST_PATTERNS} patterns of models, each of 1 to "
                f"{_LONGEST_PATTERN} characters"
            )
        if self.expires is not None and self.expires.tzinfo is None:
            raise InvalidRequestError(
                f"the key {self.name!r} must expire at a time with a time zone"
            )
        _check_expiry(self.name, self.expires)
        check_limits(self.rate, self.concurrency, f" of the key {self.name!r}")

    @classmethod
    def of(
        cls,
        name: str,
        secret: str,
        *,
        models: Iterable[str] = (),
        rate: float | None = None,
        concurrency: int | None = None,
        expires: datetime | None = None,
    ) -> Key:
        """Make a key of that name from its `secret`, the text that clients send.

        The others are the attributes. Raises InvalidRequestError for a malformed name, secret or
        limit.
        """
        _check_name(name)
        if not _SHORTEST <= len(secret) <= _LONGEST or not all(
            "!" <= letter <= "~" for letter in secret
        ):
            raise InvalidRequestError(
                f"the key {name!r} must be {_SHORTEST} to {_LONGEST} visible ASCII characters "
                "without spaces"
            )
        digest = _digest(secret.encode())
        return cls(name, digest, tuple(models), rate, concurrency, expires)

    def may_ask_for(self, model_id: str) -> bool:
        """Tell whether the key may ask for the model of that id."""
        return not self.models or any(fnmatchcase(model_id, each) for each in self.models)

    def has_expired(self, now_ms: int) -> bool:
        """Tell whether the key has expired; `now_ms`: milliseconds since 1970."""
        return self.expires is not None and now_ms >= self.expires.timestamp() * 1000

    @property
    def expiry(self) -> str:
        """The moment it expires, as text; empty for never."""
        if self.expires is None:
            return ""
        return self.expires.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _check_expiry(name: str, expires: datetime | None) -> None:
    try:
        _ = expires and expires.astimezone(UTC)
    except OverflowError:
        raise InvalidRequestError(
            f"the key {name!r} must expire between the years 1 and 9999 of UTC"
        ) from None


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            "a key's name is 1 to 64 letters, digits, '.', '_' and '-', the first no mark"
        )


def check_limits(rate: float | None, concurrency: int | None, of: str = "") -> None:
    """Raise InvalidRequestError for a limit that is none; `of`: words for what has it."""
    if rate is not None and not (
        isinstance(rate, int | float) and math.isfinite(rate) and rate > 0
    ):
        raise InvalidRequestError(
            f"rate{of} must be a number of requests a minute above 0, not {rate!r}"
        )
    is_count = type(concurrency) is int and 1 <= concurrency <= _MOST_AT_ONCE
    if concurrency is not None and not is_count:
        raise InvalidRequestError(
            f"concurrency{of} must be a whole number from 1 to {_MOST_AT_ONCE}, not {concurrency!r}"
        )


_MOST_AT_ONCE = 1_000_000


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

    def find(self, secret: bytes) -> Key | None:
        """Return the key with this `secret`; None where there is none.

        All keys are compared, so that the time tells nothing about them.
        """
        digest = _digest(secret)
        found: Key | None = None
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
