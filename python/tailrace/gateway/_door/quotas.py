"""Quotas of each key: requests begun in a minute, and requests under way at once.

The rate is a token bucket that holds one minute's requests and fills up evenly: after a quiet
minute as many may come together. The counts are those of all workers, in memory that they share;
what a worker counts for itself is given back where it is killed.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tailrace.gateway._keys import Key

__all__ = ["OverQuota", "Quotas", "SharedQuotas"]

_MINUTE = 60.0

MOST_CALLERS = 4096
"""The most keys that are counted at a time: more than a gateway may have."""


@dataclass(frozen=True, slots=True)
class OverQuota:
    """A refusal; `code`: the quota that is used up, `retry_after`: the seconds to wait."""

    code: str
    message: str
    retry_after: float


class Quotas:
    """The quotas of all keys, as one worker looks at them; callers without a key share one.

    `rate`: requests a minute; `concurrency`: requests at once; both of each key that has none of
    its own; None sets no limit. `clock` gives seconds that never go back, the same in all workers.
    `shared`: the counts, with those of the other workers; `worker`: this one's number.
    """

    def __init__(
        self,
        *,
        rate: float | None,
        concurrency: int | None,
        clock: Callable[[], float],
        shared: SharedQuotas | None = None,
        worker: int = 0,
    ) -> None:
        self._rate = rate
        self._concurrency = concurrency
        self._clock = clock
        self._shared = SharedQuotas(1) if shared is None else shared
        self._worker = worker
        self._places: dict[str | None, tuple[int, bytes]] = {}

    def acquire(self, key: Key | None) -> OverQuota | None:
        """Begin a request of `key`, to be followed by `release`; or return a refusal."""
        rate = self._rate if key is None or key.rate is None else key.rate
        most = self._concurrency if key is None or key.concurrency is None else key.concurrency
        name = None if key is None else key.name
        if rate is None and most is None and (place := self._known_place(name)) is not None:
            self._shared.count(place, self._worker, 1)
            return None
        with self._shared.lock:
            place = self._place(name)
            over = self._over(place, rate, most)
            if over is None:
                self._shared.count(place, self._worker, 1)
        return over

    def _place(self, name: str | None) -> int:
        """Return the place of a key's counts; the lock is held."""
        place = self._known_place(name)
        if place is not None:
            return place
        owner = _owner(name)
        place = self._shared.place_of(owner, self._clock())
        self._places[name] = place, owner
        return place

    def _known_place(self, name: str | None) -> int | None:
        known = self._places.get(name)
        return known[0] if known is not None and self._shared.is_of(*known) else None

    def _over(self, place: int, rate: float | None, most: int | None) -> OverQuota | None:
        if most is not None and self._shared.under_way(place) >= most:
            message = f"this key has {most} requests under way, as many as it may"
            return OverQuota("concurrency_limit_exceeded", message, 1.0)
        if rate is None:
            return None
        full = max(1.0, rate)
        now = self._clock()
        used = self._used(place, rate, now)
        if used > full - 1:
            wait = (used - (full - 1)) * _MINUTE / rate
            return OverQuota(
                "rate_limit_exceeded", f"this key may ask {rate:g} times a minute", wait
            )
        self._shared.fill(place, used + 1, now)
        return None

    def charge(self, key: Key | None, more: int) -> None:
        """Count `more` requests against the rate of `key`, for what one under way asks besides.

        None is refused for it: those that come later wait until the bucket has room again.
        """
        rate = self._rate if key is None or key.rate is None else key.rate
        if rate is None:
            return
        with self._shared.lock:
            place = self._place(None if key is None else key.name)
            now = self._clock()
            self._shared.fill(place, self._used(place, rate, now) + more, now)

    def _used(self, place: int, rate: float, now: float) -> float:
        """Return how much of the bucket is used now; the lock is held."""
        used, counted_at = self._shared.bucket(place)
        return max(0.0, used - max(0.0, now - counted_at) * rate / _MINUTE)

    def release(self, key: Key | None) -> None:
        """End a request that `acquire` let begin."""
        # The place stays while requests are under way, and nobody else writes this worker's count.
        place, _ = self._places[None if key is None else key.name]
        self._shared.count(place, self._worker, -1)


class SharedQuotas:
    """The counts of `workers` processes in memory that they share; made before they are forked.

    Each key has a place: whose it is, how full its bucket is and since when, and the requests under
    way of each worker. Who reads or writes it holds the `lock`, which the kernel frees where its
    holder is killed.
    """

    def __init__(self, workers: int) -> None:
        self._counts = struct.Struct(f"={workers}I")
        self._size = _BUCKET.size + self._counts.size
        self._memory = mmap.mmap(-1, MOST_CALLERS * (_OWNER_BYTES + self._size))
        self.lock: AbstractContextManager[Any] = nullcontext() if workers == 1 else _FileLock()

    def is_of(self, place: int, owner: bytes) -> bool:
        """Tell whether the place is that of `owner`."""
        start = place * _OWNER_BYTES
        return self._memory[start : start + _OWNER_BYTES] == owner

    def place_of(self, owner: bytes, now: float) -> int:
        """Return the place of `owner`: its own, a free one, or that of a key at rest."""
        found = self._owners(owner)
        if found is None:
            found = self._owners(_NOBODY)
            if found is None:
                found = next(filter(self._is_at_rest, range(MOST_CALLERS)))
            self._memory[found * _OWNER_BYTES : (found + 1) * _OWNER_BYTES] = owner
            self.fill(found, 0.0, now)
        return found

    def _owners(self, owner: bytes) -> int | None:
        """Return the first place of that owner."""
        at = -1
        while (at := self._memory.find(owner, at + 1, MOST_CALLERS * _OWNER_BYTES)) >= 0:
            if at % _OWNER_BYTES == 0:
                return at // _OWNER_BYTES
        return None

    def _is_at_rest(self, place: int) -> bool:
        return not self.under_way(place)

    def under_way(self, place: int) -> int:
        """Count the requests under way in all workers."""
        return sum(self._counts.unpack_from(self._memory, self._at(place) + _BUCKET.size))

    def count(self, place: int, worker: int, more: int) -> None:
        """Count `more` requests of a worker as under way."""
        at = self._at(place) + _BUCKET.size + worker * _COUNT.size
        (before,) = _COUNT.unpack_from(self._memory, at)
        _COUNT.pack_into(self._memory, at, max(0, before + more))

    def bucket(self, place: int) -> tuple[float, float]:
        """Return how much of the bucket was used, and when that was counted."""
        used, counted_at = _BUCKET.unpack_from(self._memory, self._at(place))
        return used, counted_at

    def fill(self, place: int, used: float, now: float) -> None:
        """Write down how much of the bucket is used now."""
        _BUCKET.pack_into(self._memory, self._at(place), used, now)

    def _at(self, place: int) -> int:
        return MOST_CALLERS * _OWNER_BYTES + place * self._size

    def forget(self, worker: int) -> None:
        """Give back what a worker that died had under way."""
        with self.lock:
            for place in range(MOST_CALLERS):
                at = self._at(place) + _BUCKET.size + worker * _COUNT.size
                if self._memory[at : at + _COUNT.size] != _NONE:  # a page that is not used stays so
                    _COUNT.pack_into(self._memory, at, 0)

    def close(self) -> None:
        """Free the memory."""
        self._memory.close()
        if isinstance(self.lock, _FileLock):
            self.lock.close()


_OWNER_BYTES = 16
_NOBODY = bytes(_OWNER_BYTES)
_BUCKET = struct.Struct("=dd")
_COUNT = struct.Struct("=I")
_NONE = bytes(_COUNT.size)


def _owner(name: str | None) -> bytes:
    """Return a key's name as a place has it; None: of those without a key."""
    text = b"" if name is None else b":" + name.encode()
    return hashlib.blake2b(text, digest_size=_OWNER_BYTES).digest()


class _FileLock:
    """A lock between processes, of a file without a name; it is held for microseconds.

    The record locks of POSIX belong to a process: a child does not inherit them, and the kernel
    frees those of a process that ends in any way. A semaphore would stay taken.
    """

    def __init__(self) -> None:
        import fcntl  # noqa: PLC0415 - where there is none, nothing is forked

        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the lock
        self._fcntl: Any = fcntl

    def __enter__(self) -> None:
        self._fcntl.lockf(self._file, self._fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._fcntl.lockf(self._file, self._fcntl.LOCK_UN)

    def close(self) -> None:
        self._file.close()
