"""A cache of page tokens: one fetch for any number of waiting callers.

The cache does no HTTP of its own: the fetch is an argument. Values are shared by every thread under
a lock; a fetch in flight is shared by the callers of one event loop. The cancellation of one
caller, even of the one that started the fetch, does not cancel the others; the fetch itself is
cancelled when no caller waits for it any more.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from tailrace._environment import running_loop
from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["CacheKey", "Cached", "TokenCache", "cache_key"]

T = TypeVar("T")

DEFAULT_LIFETIME = 12 * 3600.0
"""Seconds for which a value is served: a WordPress nonce lives 12 to 24 hours."""

DEFAULT_CAPACITY = 1024
"""The most values a cache keeps; the one stored first is dropped for one more."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """The site, bot and caller that tokens are for.

    `site`: the URL of the page and the endpoint, without credentials; `bot`: the bot's id and name;
    `identity`: a digest of cookies, proxy and credentials, so that no repr can show them.
    """

    site: str
    bot: str
    identity: str


def cache_key(
    site: str,
    bot: str,
    cookies: Mapping[str, str] | None,
    proxy: str | None,
    *credentials: str | None,
) -> CacheKey:
    """Make the key of one site, bot, set of cookies, proxy and the credentials for the site."""
    secrets = (sorted(map(repr, (cookies or {}).items())), proxy, credentials)
    identity = repr(secrets).encode("utf-8", "surrogatepass")
    return CacheKey(site, bot, hashlib.sha256(identity).hexdigest())


@dataclass(frozen=True, slots=True)
class Cached(Generic[T]):
    """A value, and whether it was fetched for this caller (`fresh`) or came from the cache."""

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
    """A cache of page tokens by site, bot and caller; calls that share it share the page fetch.

    `lifetime`: seconds for which a value is served, 12 hours by default, the least that a WordPress
    nonce lives; `capacity`: the most values that are kept, 1024 by default; `clock` returns seconds
    that never go back.
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
        """Return the value of `key` from the cache, or else the result of `fetch`.

        An error that `fetch` raises is raised to every waiting caller.
        """
        value = self._stored(key)
        if value is not None:
            return Cached(value, fresh=False)
        return Cached(await self._join(key, fetch), fresh=True)

    async def refresh(self, key: CacheKey, stale: T, fetch: Callable[[], Awaitable[T]]) -> T:
        """Return a value other than `stale`: one fetched for another caller, or by `fetch`."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.value is stale:
                del self._entries[key]
        return (await self.get(key, fetch)).value

    def put(self, key: CacheKey, stale: T, value: T) -> None:
        """Serve `value` from now on instead of `stale`, unless that is no longer served."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.value is stale:
                self._entries[key] = _Entry(value, self._clock())

    def renew_early(
        self, key: CacheKey, fetch: Callable[[], Awaitable[T]]
    ) -> asyncio.Task[T] | None:
        """Begin to replace the value of `key` if it is past half its life and still served.

        Returns the task of the fetch, which the caller may cancel at any time and whose failure is
        ignored; None for a younger value.
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or self._clock() - entry.stored_at < self._lifetime / 2:
                return None
        task = asyncio.ensure_future(self._join(key, fetch))
        task.add_done_callback(_retrieve_failure)
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
        key_in_loop = (key, running_loop())
        with self._lock:
            flight = self._flights.get(key_in_loop)
            if flight is None or flight.task.done():
                flight = _Flight(asyncio.ensure_future(self._fly(key, fetch)))
                self._flights[key_in_loop] = flight
            flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        except TailraceError as error:
            # A copy for each waiter: the notes and the traceback that one call adds must not show
            # in the error of another.
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
        """Cancel a fetch without waiting callers, and wait until its connection is closed."""
        with self._lock:
            if self._flights.get(key_in_loop) is flight:
                del self._flights[key_in_loop]
        if not flight.task.done():
            flight.task.cancel()
            await asyncio.wait([flight.task])
            if not flight.task.cancelled():
                # The fetch failed while it was cancelled: retrieve the error, which has no caller
                # left, or asyncio logs it.
                flight.task.exception()


def _retrieve_failure(task: asyncio.Task[T]) -> None:
    """Retrieve the failure of an early fetch, or asyncio logs it as never retrieved.

    The old value is still served, and the next caller tries again.
    """
    if not task.cancelled():
        task.exception()
