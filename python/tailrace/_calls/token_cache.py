"""A cache of page tokens: one fetch for any number of waiting callers.

The cache does no HTTP of its own: the fetch is an argument. Values are shared by every thread under
a lock; a fetch in flight is shared by the callers of one event loop. A caller that is cancelled,
the one that started the fetch too, does not cancel the others; the fetch itself ends when nobody
waits for it any more.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["CacheKey", "Cached", "TokenCache", "cache_key"]

T = TypeVar("T")

DEFAULT_LIFETIME = 12 * 3600.0
"""Seconds for which a value is served: a WordPress nonce lives 12 to 24 hours."""

DEFAULT_CAPACITY = 1024
"""How many values a cache keeps; past that the one stored first is forgotten."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """The site, bot and caller that tokens are for.

    `identity` is a digest of cookies and proxy, so that no repr can show them.
    """

    site: str
    bot: str
    identity: str


def cache_key(
    site: str, bot: str, cookies: Mapping[str, str] | None, proxy: str | None
) -> CacheKey:
    """Make the key of one site, bot, set of cookies and proxy."""
    identity = repr((sorted((cookies or {}).items()), proxy)).encode("utf-8", "surrogatepass")
    return CacheKey(site, bot, hashlib.sha256(identity).hexdigest())


@dataclass(frozen=True, slots=True)
class Cached(Generic[T]):
    """A value and whether it was fetched while the caller waited (`fresh`) or lay in the cache."""

    value: T
    fresh: bool


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T
    stored_at: float


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = field(default=0)


class TokenCache(Generic[T]):
    """Tokens by key.

    `lifetime`: seconds for which a value is served; `capacity`: how many values are kept; `clock`
    gives seconds that never go back.
    """

    def __init__(
        self,
        *,
        lifetime: float = DEFAULT_LIFETIME,
        capacity: int = DEFAULT_CAPACITY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lifetime = lifetime
        self._capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[CacheKey, _Entry[T]] = {}
        self._flights: dict[tuple[CacheKey, asyncio.AbstractEventLoop], _Flight[T]] = {}

    def __repr__(self) -> str:
        return f"TokenCache({len(self._entries)} sites)"

    async def get(self, key: CacheKey, fetch: Callable[[], Awaitable[T]]) -> Cached[T]:
        """Return the value in the cache, or the one that `fetch` brings.

        An error that `fetch` raises is raised to every waiting caller.
        """
        value = self._stored(key)
        if value is not None:
            return Cached(value, fresh=False)
        return Cached(await self._join(key, fetch), fresh=True)

    async def refresh(self, key: CacheKey, stale: T, fetch: Callable[[], Awaitable[T]]) -> T:
        """Return a value other than `stale`: another caller's, or the one that `fetch` brings."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.value is stale:
                del self._entries[key]
        return (await self.get(key, fetch)).value

    def renew_early(
        self, key: CacheKey, fetch: Callable[[], Awaitable[T]]
    ) -> asyncio.Task[T] | None:
        """Begin to replace a value that is past half its life, while it is still served.

        Returns the task, which its caller may cancel at any time and whose failure matters to
        nobody; None for a younger value.
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or self._clock() - entry.stored_at < self._lifetime / 2:
                return None
        task = asyncio.ensure_future(self._join(key, fetch))
        task.add_done_callback(_look_at_failure)
        return task

    def forget(self, key: CacheKey) -> None:
        """Drop the value of one key."""
        with self._lock:
            self._entries.pop(key, None)

    def _stored(self, key: CacheKey) -> T | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if self._clock() - entry.stored_at >= self._lifetime:
                del self._entries[key]
                return None
            return entry.value

    def _store(self, key: CacheKey, value: T) -> None:
        with self._lock:
            self._entries.pop(key, None)
            while len(self._entries) >= self._capacity:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = _Entry(value, self._clock())

    async def _join(self, key: CacheKey, fetch: Callable[[], Awaitable[T]]) -> T:
        """Wait for the fetch in flight, starting it if there is none."""
        key_in_loop = (key, asyncio.get_running_loop())
        with self._lock:
            flight = self._flights.get(key_in_loop)
            if flight is None or flight.task.done():
                flight = _Flight(asyncio.ensure_future(self._fly(key, fetch)))
                self._flights[key_in_loop] = flight
            flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        except TailraceError as error:
            # Each waiter has its own: what one notes on it (an attempt, a traceback) is no other
            # call's.
            raise copy.copy(error) from None
        finally:
            flight.waiting -= 1
            if flight.waiting == 0:
                await self._land(key_in_loop, flight)

    async def _fly(self, key: CacheKey, fetch: Callable[[], Awaitable[T]]) -> T:
        value = await fetch()
        self._store(key, value)
        return value

    async def _land(
        self, key_in_loop: tuple[CacheKey, asyncio.AbstractEventLoop], flight: _Flight[T]
    ) -> None:
        """End a fetch that nobody waits for any more, and let its connection close first."""
        with self._lock:
            if self._flights.get(key_in_loop) is flight:
                del self._flights[key_in_loop]
        if not flight.task.done():
            flight.task.cancel()
            await asyncio.wait([flight.task])
            if not flight.task.cancelled():
                # The fetch failed while it was ended: nobody is left to be told.
                flight.task.exception()


def _look_at_failure(task: asyncio.Task[T]) -> None:
    """Retrieve a failure that matters to nobody, or asyncio complains that nobody did.

    The old value still serves, and the next caller tries again.
    """
    if not task.cancelled():
        task.exception()
