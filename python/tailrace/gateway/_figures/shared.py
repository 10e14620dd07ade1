"""The figures of all workers, in memory they share: one slot a worker.

A worker writes its figures into its own slot every second; each of them can add up all slots, so
that the reply of any worker is for the whole gateway. A worker that replaces a dead one goes on
with its counts. A slot has two halves, written in turn without a lock and read with a checksum:
where a worker is killed while it writes one, the other holds what it wrote before. Behind the slots
each worker has a ring of records, in which its last minutes outlive it, too.

prometheus-client's multiprocess mode would do the same with a file for each process and kind of
metric, in a folder that a variable of the environment names. Both were measured in one program, in
turns, by medians as multiples of ours. A read with deltas takes 6 to 8 times as long, for each
value goes into a mapped file (2.5 to 3 times without that mode), a whole call 8 to 10 times, a
scrape of four workers and 20 models 3 to 5 times. Files of dead workers stay, and every scrape
reads them: after 20 replaced workers there were 52 files, and a scrape took 10 times as long. Where
a worker was killed while it made its files, up to 3 of 100 scrapes raised `struct.error`. ``/live``
needs quantiles of the last minute, which that mode does not have; without them it would still take
28 times as long. Here the kernel frees the memory with the last process, and nothing is left.
"""

from __future__ import annotations

import logging
import mmap
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from tailrace.gateway._figures.requests import RequestSnapshot
from tailrace.gateway._figures.streams import StreamSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SharedFigures", "WorkerFigures", "WorkerSlot"]

log: logging.Logger = logging.getLogger("tailrace.gateway")

HALF_BYTES = 4 * 2**20
"""The size of one half of a worker's slot: 700 models' figures at their largest.

The kernel provides memory only for pages that are written.
"""

KEPT_RECORDS = 512
"""The records in a worker's ring: more than the seconds that are shown of the past."""

RECORD_BYTES = 512
"""The size of one record with its head."""

_HEAD = struct.Struct("<QII")  # the number of the write, from 1 on; the data's length and checksum
_READS = 5
_SLOT_BYTES = 2 * HALF_BYTES + KEPT_RECORDS * RECORD_BYTES


class WorkerFigures(msgspec.Struct, frozen=True):
    """The figures of one worker: of its streams, and of its requests."""

    streams: StreamSnapshot = StreamSnapshot()
    requests: RequestSnapshot = RequestSnapshot()


class SharedFigures:
    """The memory with the slots of `workers` processes; made before they are forked."""

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, workers * _SLOT_BYTES)
        self._workers = workers
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(WorkerFigures)
        self._too_large = False

    def slot(self, worker: int) -> WorkerSlot:
        """Return the slot of one worker; the first is number 0."""
        return WorkerSlot(self, worker)

    def write(self, worker: int, figures: WorkerFigures) -> None:
        """Write a worker's figures into its slot; figures too large are not written, and logged."""
        data = self._encoder.encode(figures)
        if len(data) > HALF_BYTES - _HEAD.size:
            if not self._too_large:
                log.warning(
                    "a worker's figures need %d bytes: other workers no longer see them", len(data)
                )
            self._too_large = True
            return
        (newest, _), (_, older) = self._halves(worker)
        _HEAD.pack_into(self._memory, older, 0, 0, 0)  # it holds nothing until it is whole
        self._memory[older + _HEAD.size : older + _HEAD.size + len(data)] = data
        _HEAD.pack_into(self._memory, older, newest + 1, len(data), zlib.crc32(data))

    def _halves(self, worker: int) -> list[tuple[int, int]]:
        """Return the number of the last write and the start of each half, the newest first."""
        starts = (worker * _SLOT_BYTES, worker * _SLOT_BYTES + HALF_BYTES)
        heads = [(_HEAD.unpack_from(self._memory, start)[0], start) for start in starts]
        return sorted(heads, reverse=True)

    def read(self, worker: int) -> WorkerFigures | None:
        """Read the slot of a worker; None where it holds no whole figures."""
        for _ in range(_READS):
            for _, start in self._halves(worker):
                _, data = self._whole(start, HALF_BYTES)
                if data is not None:
                    return self._decoder.decode(data)
        return None

    def _whole(self, start: int, size: int) -> tuple[int, bytes | None]:
        """Return the number and the data of what was written at `start`; None where it is torn."""
        written, length, checksum = _HEAD.unpack_from(self._memory, start)
        data = self._memory[start + _HEAD.size : start + _HEAD.size + min(length, size)]
        return written, data if written and zlib.crc32(data) == checksum else None

    def keep(self, worker: int, number: int, record: bytes) -> None:
        """Keep a worker's record of this `number`, from 1 on, in place of one long before it.

        One that is too large is not kept.
        """
        if len(record) <= RECORD_BYTES - _HEAD.size:
            start = self._record(worker, number)
            _HEAD.pack_into(self._memory, start, 0, 0, 0)  # it holds nothing until it is whole
            self._memory[start + _HEAD.size : start + _HEAD.size + len(record)] = record
            _HEAD.pack_into(self._memory, start, number, len(record), zlib.crc32(record))

    def _record(self, worker: int, number: int) -> int:
        ring = worker * _SLOT_BYTES + 2 * HALF_BYTES
        return ring + number % KEPT_RECORDS * RECORD_BYTES

    def kept(self, worker: int) -> list[tuple[int, bytes]]:
        """Return the numbers and records that a worker has kept, in their order."""
        starts = (self._record(worker, number) for number in range(KEPT_RECORDS))
        found = (self._whole(start, RECORD_BYTES - _HEAD.size) for start in starts)
        return sorted((number, data) for number, data in found if data is not None)

    def read_all(self, worker: int, now: Callable[[], WorkerFigures]) -> list[WorkerFigures]:
        """Read the figures of all workers; `now` makes fresh ones for `worker`."""
        read = [now() if each == worker else self.read(each) for each in range(self._workers)]
        return [figures for figures in read if figures is not None]

    def end(self, worker: int) -> None:
        """Count what was open in a worker that died as ended."""
        figures = self.read(worker)
        if figures is not None:
            self.write(worker, WorkerFigures(figures.streams.ended(), figures.requests.ended()))

    def close(self) -> None:
        """Free the memory."""
        self._memory.close()


@dataclass(frozen=True, slots=True)
class WorkerSlot:
    """The slot of one worker, which can read the slots of all others, too; `worker`: its number."""

    _figures: SharedFigures
    worker: int

    @property
    def is_first(self) -> bool:
        """Whether it is that of the first worker, which says what concerns all, once."""
        return self.worker == 0

    def write(self, figures: WorkerFigures) -> None:
        """Write the worker's figures."""
        self._figures.write(self.worker, figures)

    def read(self) -> WorkerFigures | None:
        """Read the figures written last, by this worker or by one that it replaces."""
        return self._figures.read(self.worker)

    def read_all(self, now: Callable[[], WorkerFigures]) -> list[WorkerFigures]:
        """Read the figures of all workers; `now` makes fresh ones for this worker."""
        return self._figures.read_all(self.worker, now)

    def keep(self, number: int, record: bytes) -> None:
        """Keep the record of this `number`, from 1 on, in place of one long before it."""
        self._figures.keep(self.worker, number, record)

    def kept(self) -> list[tuple[int, bytes]]:
        """Return the numbers and records kept by this worker, or by one that it replaces."""
        return self._figures.kept(self.worker)
