"""Quotas of a key, by a clock the test holds."""

from __future__ import annotations

import pytest

from tailrace.gateway._door.quotas import Quotas


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_without_limits_all_may_ask() -> None:
    quotas = Quotas(rate=None, concurrency=None, clock=Clock())
    assert [quotas.acquire("a") for _ in range(1000)] == [None] * 1000


def test_a_minutes_requests_may_come_together_and_then_evenly() -> None:
    clock = Clock()
    quotas = Quotas(rate=6, concurrency=None, clock=clock)
    assert [quotas.acquire("a") for _ in range(6)] == [None] * 6
    over = quotas.acquire("a")
    assert over is not None
    assert over.code == "rate_limit_exceeded"
    assert over.retry_after == pytest.approx(10)
    assert quotas.acquire("b") is None
    clock.now += 9.9
    assert quotas.acquire("a") is not None
    clock.now += 0.2
    assert quotas.acquire("a") is None
    assert quotas.acquire("a") is not None
    clock.now += 3600
    assert [quotas.acquire("a") for _ in range(6)] == [None] * 6
    assert quotas.acquire("a") is not None


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
    assert [quotas.acquire("a"), quotas.acquire("a")] == [None, None]
    over = quotas.acquire("a")
    assert over is not None
    assert over.code == "concurrency_limit_exceeded"
    assert quotas.acquire("b") is None
    quotas.release("a")
    assert quotas.acquire("a") is None


def test_who_is_refused_for_what_is_under_way_loses_nothing_of_its_rate() -> None:
    quotas = Quotas(rate=2, concurrency=1, clock=Clock())
    assert quotas.acquire("a") is None
    assert quotas.acquire("a") is not None
    quotas.release("a")
    assert quotas.acquire("a") is None
