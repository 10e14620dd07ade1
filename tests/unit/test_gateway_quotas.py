"""Quotas of a key, by a clock the test holds."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from tailrace.gateway import Key
from tailrace.gateway._door import quotas as module
from tailrace.gateway._door.quotas import Quotas, SharedQuotas

KEYS = {name: Key.of(name, f"sk-tailrace-of-{name}") for name in "ab"}


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_without_limits_all_may_ask() -> None:
    quotas = Quotas(rate=None, concurrency=None, clock=Clock())
    assert [quotas.acquire(KEYS["a"]) for _ in range(1000)] == [None] * 1000


def test_a_minutes_requests_may_come_together_and_then_evenly() -> None:
    clock = Clock()
    quotas = Quotas(rate=6, concurrency=None, clock=clock)
    assert [quotas.acquire(KEYS["a"]) for _ in range(6)] == [None] * 6
    over = quotas.acquire(KEYS["a"])
    assert over is not None
    assert over.code == "rate_limit_exceeded"
    assert over.retry_after == pytest.approx(10)
    assert quotas.acquire(KEYS["b"]) is None
    clock.now += 9.9
    assert quotas.acquire(KEYS["a"]) is not None
    clock.now += 0.2
    assert quotas.acquire(KEYS["a"]) is None
    assert quotas.acquire(KEYS["a"]) is not None
    clock.now += 3600
    assert [quotas.acquire(KEYS["a"]) for _ in range(6)] == [None] * 6
    assert quotas.acquire(KEYS["a"]) is not None


def test_what_is_charged_is_waited_for_later() -> None:
    clock = Clock()
    quotas = Quotas(rate=6, concurrency=1, clock=clock)
    assert quotas.acquire(KEYS["a"]) is None
    quotas.charge(KEYS["a"], 15)
    quotas.release(KEYS["a"])
    over = quotas.acquire(KEYS["a"])
    assert over is not None
    assert over.retry_after == pytest.approx(110)
    assert quotas.acquire(KEYS["b"]) is None
    clock.now += 110.1
    assert quotas.acquire(KEYS["a"]) is None
    free = Quotas(rate=None, concurrency=None, clock=clock)
    free.charge(None, 15)
    assert free.acquire(None) is None


def test_less_than_one_a_minute_is_a_rate_too() -> None:
    clock = Clock()
    quotas = Quotas(rate=0.5, concurrency=None, clock=clock)
    assert quotas.acquire(None) is None
    over = quotas.acquire(None)
    assert over is not None
    assert over.retry_after == pytest.approx(120)
    clock.now += 120
    assert quotas.acquire(None) is None


def test_requests_under_way() -> None:
    quotas = Quotas(rate=None, concurrency=2, clock=Clock())
    assert [quotas.acquire(KEYS["a"]), quotas.acquire(KEYS["a"])] == [None, None]
    over = quotas.acquire(KEYS["a"])
    assert over is not None
    assert over.code == "concurrency_limit_exceeded"
    assert quotas.acquire(KEYS["b"]) is None
    quotas.release(KEYS["a"])
    assert quotas.acquire(KEYS["a"]) is None


def test_who_is_refused_for_what_is_under_way_loses_nothing_of_its_rate() -> None:
    quotas = Quotas(rate=2, concurrency=1, clock=Clock())
    assert quotas.acquire(KEYS["a"]) is None
    assert quotas.acquire(KEYS["a"]) is not None
    quotas.release(KEYS["a"])
    assert quotas.acquire(KEYS["a"]) is None


def of_workers(shared: SharedQuotas, clock: Clock, **limits: float | None) -> list[Quotas]:
    given: dict[str, Any] = {"rate": None, "concurrency": None, **limits}
    return [Quotas(**given, clock=clock, shared=shared, worker=number) for number in range(2)]


def test_limits_hold_over_all_workers_together() -> None:
    clock, shared = Clock(), SharedQuotas(2)
    one, other = of_workers(shared, clock, rate=3, concurrency=2)
    assert [each.acquire(KEYS["a"]) for each in (one, other)] == [None, None]
    for each in (one, other):
        over = each.acquire(KEYS["a"])
        assert over is not None
        assert over.code == "concurrency_limit_exceeded"
    assert one.acquire(KEYS["b"]) is None
    other.release(KEYS["a"])
    assert one.acquire(KEYS["a"]) is None
    one.release(KEYS["a"])
    over = other.acquire(KEYS["a"])
    assert over is not None
    assert over.code == "rate_limit_exceeded"
    shared.close()


def test_what_a_dead_worker_had_under_way_is_given_back() -> None:
    shared = SharedQuotas(2)
    one, other = of_workers(shared, Clock(), concurrency=2)
    assert [each.acquire(KEYS["a"]) for each in (one, other)] == [None, None]
    shared.forget(0)
    assert other.acquire(KEYS["a"]) is None
    assert other.acquire(KEYS["a"]) is not None
    shared.close()


def test_a_keys_own_limits_come_before_the_gateways() -> None:
    quotas = Quotas(rate=1, concurrency=1, clock=Clock())
    key = Key.of("own", "sk-tailrace-of-own", rate=5, concurrency=3)
    assert [quotas.acquire(key) for _ in range(3)] == [None] * 3
    over = quotas.acquire(key)
    assert over is not None
    assert "3 requests under way" in over.message


def test_a_place_is_given_on_where_all_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CALLERS", 2)
    shared = SharedQuotas(2)
    one, other = of_workers(shared, Clock(), concurrency=1)
    keys = [Key.of(f"k{number}", f"sk-tailrace-of-k{number}") for number in range(4)]
    assert one.acquire(keys[0]) is None
    for key in keys[1:]:
        assert other.acquire(key) is None
        assert one.acquire(key) is not None
        other.release(key)
    assert other.acquire(keys[0]) is not None
    assert other.acquire(keys[1]) is None
    shared.close()


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is forked there")
def test_a_lock_is_free_once_its_holder_is_killed() -> None:
    shared = SharedQuotas(2)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with shared.lock:
            os.write(writing, b"held")
            signal.pause()
    assert os.read(reading, 4) == b"held"
    os.kill(child, signal.SIGKILL)
    with shared.lock:
        pass
    os.waitpid(child, 0)
    for each in (reading, writing):
        os.close(each)
    shared.close()
