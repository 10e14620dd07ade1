"""What a key may ask, by a clock the test holds; and the board, whatever is written to it while it
is read.
"""

from __future__ import annotations

import mmap
import threading

import pytest

from tailrace.gateway._door.quotas import Quotas
from tailrace.gateway._figures import shared as board_module
from tailrace.gateway._figures.histogram import Counts
from tailrace.gateway._figures.requests import Traffic, TrafficSnapshot, traffic_added_up
from tailrace.gateway._figures.shared import Board, Known
from tailrace.gateway._figures.streams import Figures, Snapshot


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_without_limits_all_may_ask() -> None:
    quotas = Quotas(rate=None, concurrency=None, clock=Clock())
    assert [quotas.enter("a") for _ in range(1000)] == [None] * 1000


def test_a_minutes_requests_may_come_together_and_then_evenly() -> None:
    clock = Clock()
    quotas = Quotas(rate=6, concurrency=None, clock=clock)
    assert [quotas.enter("a") for _ in range(6)] == [None] * 6
    over = quotas.enter("a")
    assert over is not None
    assert over.code == "rate_limit_exceeded"
    assert over.retry_after == pytest.approx(10)
    assert quotas.enter("b") is None
    clock.now += 9.9
    assert quotas.enter("a") is not None
    clock.now += 0.2
    assert quotas.enter("a") is None
    assert quotas.enter("a") is not None
    clock.now += 3600
    assert [quotas.enter("a") for _ in range(6)] == [None] * 6
    assert quotas.enter("a") is not None


def test_less_than_one_a_minute_is_a_rate_too() -> None:
    clock = Clock()
    quotas = Quotas(rate=0.5, concurrency=None, clock=clock)
    assert quotas.enter(None) is None
    over = quotas.enter(None)
    assert over is not None
    assert over.retry_after == pytest.approx(120)
    clock.now += 120
    assert quotas.enter(None) is None


def test_requests_under_way() -> None:
    quotas = Quotas(rate=None, concurrency=2, clock=Clock())
    assert [quotas.enter("a"), quotas.enter("a")] == [None, None]
    over = quotas.enter("a")
    assert over is not None
    assert over.code == "concurrency_limit_exceeded"
    assert quotas.enter("b") is None
    quotas.leave("a")
    assert quotas.enter("a") is None


def test_who_is_refused_for_what_is_under_way_loses_nothing_of_its_rate() -> None:
    quotas = Quotas(rate=2, concurrency=1, clock=Clock())
    assert quotas.enter("a") is None
    assert quotas.enter("a") is not None
    quotas.leave("a")
    assert quotas.enter("a") is None


def known(streams: int) -> Known:
    return Known(Snapshot([Figures(site="s", model="m" * (streams % 500 + 1), streams=streams)]))


def test_workers_read_each_others_places() -> None:
    board = Board(3)
    assert board.read(0) is None
    board.write(0, known(7))
    board.write(2, known(9))
    assert [board.read(number) for number in range(3)] == [known(7), None, known(9)]
    assert board.all(1, lambda: known(1)) == [known(7), known(1), known(9)]
    board.close()


def test_what_is_caught_half_written_is_never_taken_for_whole() -> None:
    board = Board(1)
    board.write(0, known(1))
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            board.write(0, known(number))

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for _ in range(3000):
            found = board.read(0)
            if found is not None:
                (figures,) = found.streams.figures
                assert len(figures.model) == figures.streams % 500 + 1
    finally:
        stop.set()
        writing.join()
    board.close()


def test_a_damaged_place_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[mmap.mmap] = []
    real = mmap.mmap

    def noted(descriptor: int, size: int) -> mmap.mmap:
        made.append(real(descriptor, size))
        return made[-1]

    monkeypatch.setattr(mmap, "mmap", noted)
    board = Board(1)
    board.write(0, known(1))
    made[0][20] ^= 0xFF
    assert board.read(0) is None
    board.close()


def test_more_than_a_place_holds_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    board = Board(1)
    board.write(0, known(1))
    large = Known(Snapshot([Figures(site="s", model="m" * board_module.PLACE_BYTES)]))
    for _ in range(3):
        board.write(0, large)
    assert len(caplog.records) == 1
    assert board.read(0) == known(1)
    board.close()


def test_traffic_is_counted_and_added_up() -> None:
    traffic = Traffic()
    traffic.answered("GET", "/v1/models", 200, 0.5)
    traffic.answered("BREW", "/v1/models", 405, 0.25)
    traffic.refused("bad_request")
    traffic.connections = 3
    next_one = Traffic(traffic.snapshot())
    next_one.answered("GET", "/v1/models", 200, 0.5)
    total = traffic_added_up([traffic.snapshot(), next_one.snapshot()])
    assert (total.connections, total.refused) == (3, {"bad_request": 2})
    assert {(each.method, each.status): each.seconds.total for each in total.answered} == {
        ("GET", 200): 1.5,
        ("_OTHER", 405): 0.5,
    }
    assert traffic_added_up([]) == TrafficSnapshot()
    assert Counts().count == 0
