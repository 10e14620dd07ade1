"""What one would write in place of `decode_many` and ``tailrace decode``.

The hand loop with msgspec, in processes.

    python benchmarks/bulk_peer.py FOLDER > lines

The files of a folder, in the order of their names, as JSON lines with a name and a text. What the
hand loop leaves out is told beside it; what is compressed, this program knows by the name.
"""

from __future__ import annotations

import gzip
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from contenders.hand_loop import typed
from workloads import Reply

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["InProcesses", "text_of"]

_OPEN: dict[str, Callable[[Path], bytes]] = {
    ".gz": lambda path: gzip.decompress(path.read_bytes()),
    ".zst": lambda path: zstd.decompress(path.read_bytes()),
}
_A_PROCESS = (
    8  # portions of the work: few enough to cost nothing, and enough for processes to end together
)


def main() -> None:
    """Write a line a file."""
    paths = sorted(Path(sys.argv[1]).iterdir())
    lines = msgspec.json.Encoder()
    with ProcessPoolExecutor(processors()) as processes:
        for path, text in zip(
            paths, processes.map(text_in, paths, chunksize=portion(paths)), strict=True
        ):
            sys.stdout.buffer.write(lines.encode({"file": str(path), "text": text}) + b"\n")


def text_in(path: Path) -> str:
    """The text of a file's reply."""
    return text_of(_OPEN.get(path.suffix, Path.read_bytes)(path))


def text_of(reply: bytes) -> str:
    """The text of a reply, by the strongest of the hand loops."""
    return "".join(typed(Reply("", "", (), ""), [reply]))


class InProcesses:
    """The hand loop in a process for each processor, which has had the replies from its start."""

    def __init__(self, replies: Sequence[bytes]) -> None:
        InProcesses._replies = replies
        self._places = range(len(replies))
        self._processes = ProcessPoolExecutor(processors(), get_context("fork"))
        list(self._processes.map(_timed, self._places[:64]))  # all have started

    _replies: Sequence[bytes] = ()

    def work(self) -> list[tuple[str, int]]:
        """Each text, and the nanoseconds of processor time that it took."""
        return list(self._processes.map(_timed, self._places, chunksize=portion(self._places)))

    def close(self) -> None:
        """End the processes."""
        self._processes.shutdown()


def _timed(place: int) -> tuple[str, int]:
    start = time.process_time_ns()
    text = text_of(InProcesses._replies[place])  # noqa: SLF001 - in a process that was forked for it
    return text, time.process_time_ns() - start


def processors() -> int:
    """How many there are for us."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def portion(work: Sequence[object]) -> int:
    """What a process is given at once."""
    return max(1, len(work) // (_A_PROCESS * processors()))


if __name__ == "__main__":
    main()
