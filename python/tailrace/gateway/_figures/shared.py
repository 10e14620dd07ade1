"""What each worker knows, where all of them can read it: one place a worker in memory they share.

A worker writes what it knows into its own place every second; any of them can add up all places, so
that whichever worker is asked answers for the whole gateway. A worker that was started in place of
a dead one goes on with its counts. A place is written without a lock and read with a checksum: what
is caught half written is read again.
"""

from __future__ import annotations

import logging
import mmap
import struct
import zlib
from typing import TYPE_CHECKING

import msgspec

from tailrace.gateway._figures.requests import TrafficSnapshot
from tailrace.gateway._figures.streams import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Board", "Known"]

log: logging.Logger = logging.getLogger("tailrace.gateway")

PLACE_BYTES = 4 * 2**20
"""The room of one worker: 700 models' figures at their largest.

Memory is taken only as far as it is written.
"""

_HEAD = struct.Struct("<II")
_READS = 5


class Known(msgspec.Struct, frozen=True):
    """What one worker knows: of its streams, and of its requests."""

    streams: Snapshot = Snapshot()
    traffic: TrafficSnapshot = TrafficSnapshot()


class Board:
    """The places of `workers`. Made before they are forked, it is theirs together."""

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, workers * PLACE_BYTES)
        self._workers = workers
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Known)
        self._too_large = False

    def write(self, worker: int, known: Known) -> None:
        """Put down what a worker knows."""
        data = self._encoder.encode(known)
        if len(data) > PLACE_BYTES - _HEAD.size:
            if not self._too_large:
                log.warning(
                    "a worker's figures need %d bytes: other workers no longer see them", len(data)
                )
            self._too_large = True
            return
        start = worker * PLACE_BYTES
        self._memory[start : start + _HEAD.size] = _HEAD.pack(len(data), zlib.crc32(data))
        self._memory[start + _HEAD.size : start + _HEAD.size + len(data)] = data

    def read(self, worker: int) -> Known | None:
        """What a worker put down last; None where it has not, or is just about to."""
        start = worker * PLACE_BYTES
        for _ in range(_READS):
            length, checksum = _HEAD.unpack(self._memory[start : start + _HEAD.size])
            data = self._memory[start + _HEAD.size : start + _HEAD.size + length]
            if length and zlib.crc32(data) == checksum:
                return self._decoder.decode(data)
        return None

    def all(self, worker: int, now: Callable[[], Known]) -> list[Known]:
        """What all workers know; of `worker` itself what it knows just now."""
        found = [now() if each == worker else self.read(each) for each in range(self._workers)]
        return [known for known in found if known is not None]

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
