"""What workers of a run are told, and what is made of what they tell, without Ray."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tailrace.ray
from tailrace import Site
from tailrace.batch import Plan, Report, Tokens
from tailrace.batch._gate import ClosedError, Gate
from tailrace.batch._rates import Window
from tailrace.errors import MissingRequirementsError, RateLimitError
from tailrace.ray._driver import _is_less
from tailrace.ray._shards import Shards
from tailrace.ray._shares import share_of
from tailrace.ray._worker import Opened

PLAN = Plan(concurrency=10, rpm=60.0)
EMPTY = Report(
    site="s",
    url="u",
    software="openai",
    model="m",
    at="",
    input="in",
    output="out",
    shard=(0, 1),
    plan=PLAN,
)


@given(
    count=st.integers(1, 50),
    more=st.integers(0, 1000),
    rpm=st.none() | st.floats(1, 1e6),
    tpm=st.none() | st.floats(1, 1e6),
)
def test_shares_are_the_plan_together(
    count: int, more: int, rpm: float | None, tpm: float | None
) -> None:
    plan = Plan(concurrency=count + more, rpm=rpm, tpm=tpm)
    shares = [share_of(plan, index, count) for index in range(count)]
    assert sum(each.concurrency for each in shares) == plan.concurrency
    assert min(each.concurrency for each in shares) >= 1
    for name in ("rpm", "tpm"):
        whole, parts = getattr(plan, name), [getattr(each, name) for each in shares]
        assert parts == [None] * count if whole is None else sum(parts) <= whole * (1 + 1e-9)


def test_who_is_to_have_less_makes_room_first() -> None:
    two, three = share_of(PLAN, 0, 2), share_of(PLAN, 0, 3)
    assert _is_less(three, two)
    assert not _is_less(two, three)
    assert not _is_less(two, two)
    assert not _is_less(two, None)


@pytest.mark.parametrize(
    ("most", "halved", "now", "limit"),
    [(64, False, 32, 32), (64, False, 128, 128), (64, True, 48, 32), (64, True, 16, 16)],
)
def test_a_window_follows_unless_the_site_wanted_fewer(
    most: int,
    halved: bool,
    now: int,
    limit: int,
) -> None:
    window = Window(most, adapts=True)
    for _ in range(most if halved else 0):
        window.shrink(0.0, 1.0, most)
    window.resize(now)
    assert window.limit == limit
    for _ in range(10_000):
        window.grow()
    assert window.limit == now


async def test_what_another_gate_was_told_is_not_told_on() -> None:
    """Two workers that hear of each other's pauses would make them longer for ever."""
    now = [0.0]
    told, other = (Gate(PLAN, lambda: now[0], 60.0) for _ in range(2))
    begun = await told.enter(0)
    refusal = RateLimitError("upstream", "slower", status=429)
    refusal.retry_after = 30.0
    told.failed(refusal, begun)
    assert told.paused == 30
    other.pause(told.paused)
    now[0] = 1.0
    assert (told.paused, other.paused) == (29, 0)
    waiting = asyncio.ensure_future(other.enter(0))
    await asyncio.sleep(0)
    assert not waiting.done()
    other.close()
    with pytest.raises(ClosedError):
        await waiting


def report(**counts: Any) -> Report:
    return Report(**{name: getattr(EMPTY, name) for name in EMPTY.__struct_fields__} | counts)


def test_the_work_of_a_dead_worker_counts_and_none_twice() -> None:
    shards = Shards(2)
    assert list(shards.waiting) == [0, 1]
    first = shards.waiting.popleft()
    shards.open(first, Opened(20, done=3, failed=1))
    shards.tell(first, report(skipped=3, done=2, failed=1, requests=4, usage=Tokens(total=10)))
    shards.put_back(first)  # its worker died
    assert list(shards.waiting) == [0, 1]
    shards.open(first, Opened(20, done=6, failed=1))  # one more than it had told
    told = shards.add_to(EMPTY)
    assert (told.rows, told.skipped, told.done, told.failed, told.left) == (20, 3, 3, 1, 13)
    errors = {"timeout": 1}
    shards.end(first, report(skipped=6, done=2, failed=2, requests=3, errors=errors), is_over=True)
    assert not shards.is_over
    shards.open(1, Opened(20, done=0, failed=0))
    shards.end(1, report(done=9, failed=1, requests=11, errors=errors), is_over=True)
    assert shards.is_over
    told = shards.add_to(EMPTY)
    assert (told.rows, told.skipped, told.done, told.failed, told.left) == (20, 3, 14, 3, 0)
    assert (told.failed_before, told.requests, told.usage.total) == (1, 18, 10)
    assert told.errors == {"timeout": 2}


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    site = Site("http://127.0.0.1:9/v1", software="openai", model="m")
    with pytest.raises(MissingRequirementsError, match=r'pip install "tailrace\[ray\]"'):
        tailrace.ray.run("in.jsonl", "out", site)
