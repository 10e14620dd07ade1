"""The token cache: one fetch for all who wait, whoever leaves; refreshed only when it must be."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from tailrace._calls.token_cache import CacheKey, TokenCache, cache_key
from tailrace.errors import StreamError
from tailrace.providers._wordpress import SiteTokens

KEY = CacheKey("https://site.example", "0", "nobody")
OTHER = CacheKey("https://other.example", "0", "nobody")


class RefusedError(Exception):
    pass


@dataclass
class Fetch:
    """A fetch that waits to be let go, and knows what became of it."""

    values: list[str] = field(default_factory=lambda: ["first", "second", "third"])
    failure: Exception | None = None
    started: int = 0
    cancelled: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> str:
        self.started += 1
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        return self.values[self.started - 1]


def at_once(value: str) -> Fetch:
    fetch = Fetch(values=[value] * 9)
    fetch.go.set()
    return fetch


async def waiting(
    cache: TokenCache[str], fetch: Fetch, count: int
) -> list[asyncio.Task[tuple[str, bool]]]:
    """Callers that all wait for one fetch."""

    async def call() -> tuple[str, bool]:
        cached = await cache.get(KEY, fetch)
        return cached.value, cached.fresh

    tasks = [asyncio.ensure_future(call()) for _ in range(count)]
    await fetch.begun.wait()
    await asyncio.sleep(0)
    return tasks


async def test_all_who_wait_share_one_fetch() -> None:
    cache: TokenCache[str] = TokenCache()
    fetch = Fetch()
    tasks = await waiting(cache, fetch, 50)
    fetch.go.set()
    assert set(await asyncio.gather(*tasks)) == {("first", True)}
    assert (await cache.get(KEY, fetch)).fresh is False
    assert fetch.started == 1


async def test_a_leader_that_is_cancelled_takes_nobody_along() -> None:
    cache: TokenCache[str] = TokenCache()
    fetch = Fetch()
    leader, *others = await waiting(cache, fetch, 3)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    fetch.go.set()
    assert await asyncio.gather(*others) == [("first", True)] * 2
    assert (fetch.started, fetch.cancelled) == (1, 0)


async def test_when_all_are_cancelled_the_fetch_is() -> None:
    cache: TokenCache[str] = TokenCache()
    fetch = Fetch()
    tasks = await waiting(cache, fetch, 3)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert (fetch.started, fetch.cancelled) == (1, 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (await cache.get(KEY, at_once("again"))).value == "again"


async def test_a_caller_who_comes_before_the_last_has_left_keeps_the_fetch_alive() -> None:
    cache: TokenCache[str] = TokenCache()
    fetch = Fetch()
    (first,) = await waiting(cache, fetch, 1)
    first.cancel()
    fetch.go.set()
    assert (await cache.get(KEY, at_once("not asked"))).value == "first"
    assert (first.cancelled(), fetch.started, fetch.cancelled) == (True, 1, 0)


async def test_a_caller_who_comes_while_a_fetch_is_being_cancelled_gets_one_of_his_own() -> None:
    cache: TokenCache[str] = TokenCache()
    begun, closing, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow_to_leave() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            closing.set()
            await closed.wait()
        return "never"

    only = asyncio.ensure_future(cache.get(KEY, slow_to_leave))
    await begun.wait()
    only.cancel()
    await closing.wait()
    assert (await cache.get(KEY, at_once("his own"))).value == "his own"
    assert not only.done()  # leaving waits until the fetch has closed what it had open
    closed.set()
    await asyncio.wait([only])
    assert only.cancelled()


async def test_a_failing_fetch_reaches_all_and_is_not_kept() -> None:
    cache: TokenCache[str] = TokenCache()
    fetch = Fetch(failure=RefusedError("no"))
    tasks = await waiting(cache, fetch, 3)
    fetch.go.set()
    assert [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == [
        RefusedError
    ] * 3
    cached = await cache.get(KEY, at_once("fine"))
    assert (cached.value, cached.fresh) == ("fine", True)


async def test_each_who_waits_is_told_of_a_failure_by_itself() -> None:
    cache: TokenCache[str] = TokenCache()
    fetch = Fetch(failure=StreamError("upstream", "down", status=503))
    tasks = await waiting(cache, fetch, 3)
    fetch.go.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(each) for each in told] == [str(fetch.failure)] * 3
    for number, each in enumerate(told):
        assert isinstance(each, StreamError)
        assert (each.status, each.kind) == (503, "upstream")
        each.add_note(f"call {number}")
    assert [getattr(each, "__notes__", None) for each in told] == [
        ["call 0"],
        ["call 1"],
        ["call 2"],
    ]


async def test_a_fetch_that_fails_while_it_is_cancelled_is_not_complained_about() -> None:
    """Nobody is left to be told; `no_complaints` sees an exception that was never retrieved."""
    cache: TokenCache[str] = TokenCache()
    begun = asyncio.Event()

    async def stubborn() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise RefusedError("while leaving")

    task = asyncio.ensure_future(cache.get(KEY, stubborn))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_fetch_that_ends_all_the_same_when_cancelled_is_kept() -> None:
    cache: TokenCache[str] = TokenCache()
    begun = asyncio.Event()

    async def stubborn() -> str:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "all the same"

    task = asyncio.ensure_future(cache.get(KEY, stubborn))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await cache.get(KEY, at_once("not asked"))).value == "all the same"


async def test_a_refresh_compares() -> None:
    cache: TokenCache[str] = TokenCache()
    fetch = at_once("unused")
    stale = (await cache.get(KEY, at_once("stale"))).value
    assert await cache.refresh(KEY, stale, at_once("new")) == "new"
    # Somebody else has refreshed meanwhile: what he got is taken, nothing is fetched.
    assert await cache.refresh(KEY, stale, fetch) == "new"
    assert fetch.started == 0


async def test_many_refreshes_are_one_fetch() -> None:
    cache: TokenCache[str] = TokenCache()
    stale = (await cache.get(KEY, at_once("stale"))).value
    fetch = at_once("new")
    assert (
        await asyncio.gather(*(cache.refresh(KEY, stale, fetch) for _ in range(20))) == ["new"] * 20
    )
    assert fetch.started == 1


@pytest.mark.parametrize(
    ("seconds", "served"), [(0.0, "old"), (59.9, "old"), (60.0, "new"), (1e9, "new")]
)
async def test_a_lifetime(seconds: float, served: str) -> None:
    now = [1000.0]
    cache: TokenCache[str] = TokenCache(lifetime=60.0, clock=lambda: now[0])
    await cache.get(KEY, at_once("old"))
    now[0] += seconds
    cached = await cache.get(KEY, at_once("new"))
    assert (cached.value, cached.fresh) == (served, served == "new")


async def test_being_served_does_not_lengthen_a_life() -> None:
    now = [0.0]
    cache: TokenCache[str] = TokenCache(lifetime=60.0, clock=lambda: now[0])
    await cache.get(KEY, at_once("old"))
    for now[0] in (30.0, 59.0):
        assert (await cache.get(KEY, at_once("new"))).value == "old"
    now[0] = 60.0
    assert (await cache.get(KEY, at_once("new"))).value == "new"


async def test_past_its_capacity_the_oldest_is_forgotten() -> None:
    cache: TokenCache[str] = TokenCache(capacity=2)
    keys = [CacheKey(f"https://{number}.example", "0", "") for number in range(3)]
    for key in keys:
        await cache.get(key, at_once(key.site))
    assert [(await cache.get(key, at_once("new"))).value for key in keys[1:]] == [
        key.site for key in keys[1:]
    ]
    assert (await cache.get(keys[0], at_once("new"))).value == "new"
    assert repr(cache) == "TokenCache(2 sites)"


async def test_what_is_forgotten_is_fetched_again() -> None:
    cache: TokenCache[str] = TokenCache()
    await cache.get(KEY, at_once("old"))
    cache.forget(KEY)
    cache.forget(OTHER)
    assert (await cache.get(KEY, at_once("new"))).value == "new"


async def test_keys_are_apart() -> None:
    cache: TokenCache[str] = TokenCache()
    await cache.get(KEY, at_once("one"))
    assert (await cache.get(OTHER, at_once("two"))).value == "two"
    assert (await cache.get(KEY, at_once("three"))).value == "one"


def test_loops_of_two_threads_share_values_and_not_fetches() -> None:
    cache: TokenCache[str] = TokenCache()
    both = threading.Barrier(2, timeout=10)
    fetched: list[str] = []

    async def run(name: str) -> str:
        async def fetch() -> str:
            await asyncio.to_thread(both.wait)  # neither goes on before both have begun
            fetched.append(name)
            return name

        first = await cache.get(KEY, fetch)
        assert first.value == name
        await asyncio.to_thread(both.wait)
        return (await cache.get(KEY, fetch)).value

    with ThreadPoolExecutor(2) as pool:
        left, right = pool.map(lambda name: asyncio.run(run(name)), ["left", "right"])
    assert sorted(fetched) == ["left", "right"]
    assert left == right  # the one stored last
    assert cache._flights == {}


def test_a_loop_that_is_gone_does_not_stand_in_the_way() -> None:
    cache: TokenCache[str] = TokenCache()

    async def left_behind() -> None:
        fetch = Fetch()
        await waiting(cache, fetch, 2)  # asyncio.run cancels them

    asyncio.run(left_behind())
    assert asyncio.run(cache.get(KEY, at_once("new"))).value == "new"


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (("s", "b", None, None), ("s", "b", {}, None), True),
        (("s", "b", {"a": "1", "b": "2"}, None), ("s", "b", {"b": "2", "a": "1"}, None), True),
        (("s", "b", {"a": "1"}, None), ("s", "b", {"a": "2"}, None), False),
        (("s", "b", None, "http://p"), ("s", "b", None, None), False),
        (("s", "b", None, None), ("s", "c", None, None), False),
        (("s", "b", None, None), ("t", "b", None, None), False),
        (("s", "b", {"a": "\ud800"}, None), ("s", "b", {"a": "\ud800"}, None), True),
    ],
)
def test_whose_key_it_is(
    one: tuple[str, str, None, None], two: tuple[str, str, None, None], *, same: bool
) -> None:
    assert (cache_key(*one) == cache_key(*two)) is same


async def test_nothing_shows_a_secret() -> None:
    key = cache_key(
        "https://site.example", "0", {"session": "COOKIE"}, "http://user:PASSWORD@proxy.example"
    )
    tokens = SiteTokens("NONCE", "12", "https://site.example", "https://site.example/ajax")
    cache: TokenCache[SiteTokens] = TokenCache()

    async def fetch() -> SiteTokens:
        return tokens

    cached = await cache.get(key, fetch)
    for shown in (
        repr(key),
        repr(tokens),
        repr(cached),
        repr(cache),
        str(tokens),
        repr(cache._entries),
    ):
        assert not {word for word in ("COOKIE", "PASSWORD", "NONCE") if word in shown}
