"""Calls too many for a site wait for their place, under no clock but the total one, and leave none
taken.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import DONE, SSE, Asked, Line, Site, bot, delta, page, sockets_to

from tailrace import ChatStream, RetryPolicy, WordPressChatProvider, errors
from tailrace._calls.retrying import Retrying
from tailrace._calls.throttling import Limited, Throttle
from tailrace._calls.token_cache import TokenCache

if TYPE_CHECKING:
    from tailrace._calls.exchange import Exchange

HI = [{"role": "user", "content": "hi"}]
CACHE: TokenCache[Any] = TokenCache()


def exchange(site: Site, limit: Throttle) -> Limited:
    stream = WordPressChatProvider.create_async_generator("", HI, url=site.url, token_cache=CACHE)
    inner: Exchange = stream._exchange
    return Limited(inner, limit)


def limited(
    site: Site, limit: Throttle, *, idle: float | None = None, total: float | None = None
) -> ChatStream:
    return ChatStream(exchange(site, limit), idle=idle, total=total)


async def text(stream: ChatStream) -> str:
    async with stream:
        return "".join([each async for each in stream])


async def stalls(asked: Asked, line: Line) -> None:
    if asked.method == "GET":
        await line.reply(page())
    else:
        await line.begin(SSE)
        await line.chunks((delta("begun"),))
        await line.stall()


async def test_no_more_than_so_many_are_under_way() -> None:
    most = 0

    async def answer(asked: Asked, line: Line) -> None:
        nonlocal most
        if asked.method == "GET":
            await line.reply(page())
            return
        most = max(most, limit.under_way)
        await line.begin(SSE)
        await line.chunks((delta("Hi"), DONE))
        await line.end()

    limit = Throttle(concurrency=3)
    async with Site(answer) as site:
        assert await asyncio.gather(*(text(limited(site, limit)) for _ in range(20))) == ["Hi"] * 20
    assert (most, limit.under_way) == (3, 0)


async def test_calls_begin_no_faster_than_the_rate() -> None:
    begun: list[float] = []

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "POST":
            begun.append(asyncio.get_running_loop().time())
        await bot(delta("Hi"), DONE)(asked, line)

    limit = Throttle(rate=2, per=0.2)
    loop = asyncio.get_running_loop()
    async with Site(answer) as site:
        started = loop.time()
        await asyncio.gather(*(text(limited(site, limit)) for _ in range(6)))
    # Two at once, the other four a tenth of a second apart: the last not before four tenths have
    # passed.
    assert begun[-1] - started > 0.39
    assert [number for number, each in enumerate(begun) if each - started < 0.09] in (
        [0, 1],
        [0],
        [],
    )


async def test_waiting_counts_against_the_total_clock_alone() -> None:
    limit = Throttle(concurrency=1)
    async with Site(stalls) as site:
        first = limited(site, limit)
        assert await anext(first) == "begun"
        waiting = limited(site, limit, idle=0.01, total=0.2)
        with pytest.raises(errors.TimeoutError) as raised:
            await waiting.read()
        assert raised.value.phase == "total"
        assert limit.under_way == 1
        await first.aclose()
        assert limit.under_way == 0
        assert sockets_to(site.port) == 0


async def test_whoever_is_cancelled_holds_no_place() -> None:
    chance = random.Random(5)
    limit = Throttle(concurrency=2, rate=1000, per=1)
    async with Site(bot(*[delta(each) for each in "abc"], DONE)) as site:
        await text(limited(site, limit))
        for _ in range(10):
            tasks = [asyncio.create_task(text(limited(site, limit))) for _ in range(8)]
            for _ in range(chance.randint(0, 30)):
                await asyncio.sleep(0)
            for each in chance.sample(tasks, 6):
                each.cancel()
            await asyncio.wait(tasks)
            assert limit.under_way == 0
        async with asyncio.timeout(10):
            assert (
                await asyncio.gather(*(text(limited(site, limit)) for _ in range(2))) == ["abc"] * 2
            )


async def test_one_that_waits_for_its_turn_gives_its_place_back_when_cancelled() -> None:
    limit = Throttle(concurrency=1, rate=1, per=1000)
    async with Site(bot(delta("Hi"), DONE)) as site:
        assert await text(limited(site, limit)) == "Hi"
        waiting = asyncio.create_task(text(limited(site, limit)))
        gate = limit.gate()
        for _ in range(5):  # turns of the loop: nothing but the limit is waited for
            await asyncio.sleep(0)
        assert gate._rate is not None
        assert gate._rate._waiters
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert gate._slots is not None
        assert (limit.under_way, gate._slots.locked()) == (0, False)


async def test_a_failure_and_a_bare_break_free_the_place() -> None:
    limit = Throttle(concurrency=1)
    async with Site(bot(b"Oops", status="500 Oops")) as site:
        for _ in range(2):
            with pytest.raises(errors.ResponseStatusError):
                await text(limited(site, limit))
    async with Site(stalls) as site:
        async for _ in limited(site, limit):
            break
        await site.settled()
        async with asyncio.timeout(10):
            assert await anext(limited(site, limit)) == "begun"
        await site.settled()
    assert limit.under_way == 0


async def test_a_wait_before_another_try_holds_no_place() -> None:
    held: list[int] = []

    async def nap(_: float) -> None:
        held.append(limit.under_way)

    limit = Throttle(concurrency=1)
    async with Site(bot(b"Oops", status="503 Busy")) as site:
        stream = ChatStream(
            Retrying(lambda: exchange(site, limit), RetryPolicy(attempts=3), sleep=nap)
        )
        with pytest.raises(errors.ResponseStatusError):
            await text(stream)
        assert site.methods["POST"] == 3
    assert (held, limit.under_way) == ([0, 0], 0)


def test_each_loop_counts_for_itself_and_is_forgotten() -> None:
    limit = Throttle(concurrency=1, rate=5)

    async def once() -> str:
        async with Site(bot(delta("Hi"), DONE)) as site:
            return await text(limited(site, limit))

    assert [asyncio.run(once()) for _ in range(3)] == ["Hi"] * 3
    assert len(limit._gates) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"concurrency": True},
        {"concurrency": 1.5},
        {"rate": 0.5},
        {"rate": float("nan")},
        {"rate": "2"},
        {"per": 0},
        {"per": -1},
        {"per": True},
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequestError, match=next(iter(wrong))):
        Throttle(**wrong)
