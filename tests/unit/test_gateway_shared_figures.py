"""The figures that workers share, whatever is written meanwhile; and those of requests."""

from __future__ import annotations

import mmap
import threading
from typing import TYPE_CHECKING

from tailrace._histogram import HistogramCounts
from tailrace.gateway._figures import shared
from tailrace.gateway._figures.requests import (
    RequestFigures,
    RequestSnapshot,
    merge_request_snapshots,
)
from tailrace.gateway._figures.shared import SharedFigures, WorkerFigures
from tailrace.gateway._figures.streams import ModelFigures, StreamSnapshot

if TYPE_CHECKING:
    import pytest


def figures_of(streams: int) -> WorkerFigures:
    return WorkerFigures(
        StreamSnapshot([ModelFigures(site="s", model="m" * (streams % 500 + 1), streams=streams)])
    )


def test_workers_read_each_others_slots() -> None:
    memory = SharedFigures(3)
    assert memory.read(0) is None
    memory.write(0, figures_of(7))
    memory.write(2, figures_of(9))
    assert [memory.read(number) for number in range(3)] == [figures_of(7), None, figures_of(9)]
    assert memory.read_all(1, lambda: figures_of(1)) == [
        figures_of(7),
        figures_of(1),
        figures_of(9),
    ]
    memory.close()


def test_what_is_caught_half_written_is_never_taken_for_whole() -> None:
    memory = SharedFigures(1)
    memory.write(0, figures_of(1))
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            memory.write(0, figures_of(number))

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for _ in range(3000):
            found = memory.read(0)
            if found is not None:
                (model,) = found.streams.figures
                assert len(model.model) == model.streams % 500 + 1
    finally:
        stop.set()
        writing.join()
    memory.close()


def test_a_damaged_slot_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[mmap.mmap] = []
    real = mmap.mmap

    def noted(descriptor: int, size: int) -> mmap.mmap:
        made.append(real(descriptor, size))
        return made[-1]

    monkeypatch.setattr(mmap, "mmap", noted)
    memory = SharedFigures(1)
    memory.write(0, figures_of(1))
    made[0][20] ^= 0xFF
    assert memory.read(0) is None
    memory.write(0, figures_of(2))
    memory.write(0, figures_of(3))
    assert memory.read(0) == figures_of(3)
    made[0][20] ^= 0xFF  # as where a worker is killed while it writes
    assert memory.read(0) == figures_of(2)
    memory.close()


def test_what_was_open_in_a_dead_worker_has_ended() -> None:
    memory = SharedFigures(2)
    open_ = ModelFigures(site="s", model="m", open=2, streams=5, outcomes={"done": 3})
    memory.write(
        1, WorkerFigures(StreamSnapshot([open_]), RequestSnapshot(connections=4, requests=2))
    )
    for number in (0, 1, 1):
        memory.end(number)
    found = memory.read(1)
    assert found is not None
    (model,) = found.streams.figures
    assert (model.open, model.streams, model.outcomes) == (0, 5, {"done": 3, "failed": 2})
    assert model.errors == {"worker_died": 2}
    assert (found.requests.connections, found.requests.requests) == (0, 0)
    assert memory.read(0) is None
    memory.close()


def test_more_than_a_slot_holds_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    memory = SharedFigures(1)
    memory.write(0, figures_of(1))
    large = WorkerFigures(StreamSnapshot([ModelFigures(site="s", model="m" * shared.HALF_BYTES)]))
    for _ in range(3):
        memory.write(0, large)
    assert len(caplog.records) == 1
    assert memory.read(0) == figures_of(1)
    memory.close()


def test_requests_are_counted_and_added_up() -> None:
    request_figures = RequestFigures()
    request_figures.answered("GET", "/v1/models", 200, 0.5)
    request_figures.answered("BREW", "/v1/models", 405, 0.25)
    request_figures.refused("bad_request")
    request_figures.connections = 3
    next_one = RequestFigures(request_figures.snapshot())
    next_one.answered("GET", "/v1/models", 200, 0.5)
    total = merge_request_snapshots([request_figures.snapshot(), next_one.snapshot()])
    assert (total.connections, total.refused) == (3, {"bad_request": 2})
    assert {(each.method, each.status): each.seconds.total for each in total.answered} == {
        ("GET", 200): 1.5,
        ("_OTHER", 405): 0.5,
    }
    assert merge_request_snapshots([]) == RequestSnapshot()
    assert HistogramCounts().count == 0


def test_a_workers_last_records_are_kept() -> None:
    memory = SharedFigures(2)
    assert memory.kept(1) == []
    for number in range(1, 2 * shared.KEPT_RECORDS):
        memory.keep(1, number, b"%d" % number)
    kept = memory.kept(1)
    assert [number for number, _ in kept] == [*range(shared.KEPT_RECORDS, 2 * shared.KEPT_RECORDS)]
    assert all(record == b"%d" % number for number, record in kept)
    assert memory.kept(0) == []
    memory.keep(1, 9999, b"x" * shared.RECORD_BYTES)
    assert memory.kept(1) == kept
    memory.close()


def test_a_record_that_is_torn_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[mmap.mmap] = []
    real = mmap.mmap

    def noted(descriptor: int, size: int) -> mmap.mmap:
        made.append(real(descriptor, size))
        return made[-1]

    monkeypatch.setattr(mmap, "mmap", noted)
    memory = SharedFigures(1)
    memory.keep(0, 1, b"one")
    memory.keep(0, 2, b"two")
    made[0][made[0].find(b"one")] ^= 0xFF
    assert memory.kept(0) == [(2, b"two")]
    memory.close()
