"""What a decoder holds between reads, and what a feed needs beyond what it returns.

Measured in a process whose Python takes every object from malloc (PYTHONMALLOC=malloc), with
`heap.c` put before malloc to count what is in use: Rust's memory and Python's alike, to the byte.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import workloads
from report import Figure, Section, Table, arguments, publish, version
from tailrace import DeltaDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).resolve().with_name("heap.c")
DECODERS = 1_000
IDLE = "after 50 events of W1"
IDLE_LIMIT = 1_024
EXCESS_LIMIT = 64 * 1024
NOTES = """\
Between reads: everything a decoder and its Python object occupy, the mean of {decoders:,} of \
them. Beyond what it
returns: the most that was in use during a feed, less what was in use when it returned, its \
result and what the decoder
holds of an unfinished event included; the bytes fed belong to the caller."""


@dataclass(frozen=True, slots=True)
class Heap:
    """The counts of `heap.c` in this process."""

    library: ctypes.CDLL

    def used(self) -> int:
        """Bytes in use."""
        return int(self.library.heap_used())

    def excess(self, work: Callable[[], object]) -> tuple[int, int]:
        """What `work` leaves in use, its result alive; what it needed beyond that."""
        before = self.used()
        self.library.heap_peak_from_now()
        result = work()
        peak, after = int(self.library.heap_peak()), self.used()
        del result
        return after - before, max(0, peak - after)


def main() -> None:
    """Measure in a process of its own, publish."""
    options = arguments(__doc__)
    library = ctypes.CDLL(None)
    if not hasattr(library, "heap_used"):
        sys.exit(again_with_the_count())
    for function in (library.heap_used, library.heap_peak):
        function.restype = ctypes.c_size_t
    heap = Heap(library)
    held = {shows: idle(heap, before) for shows, before in idle_states().items()}
    needed = {
        shows: heap.excess(work) for shows, work in feeds(20 if options.quick else 1_000).items()
    }
    section = Section(
        name="memory",
        title="Memory",
        tables=(
            Table(
                "Between reads, bytes a decoder",
                ("state", "bytes"),
                tuple((key, f"{n:,}") for key, n in held.items()),
            ),
            Table(
                "During a feed, bytes",
                ("feed", "left in use", "needed beyond it"),
                tuple(
                    (shows, f"{left:,}", f"{excess:,}") for shows, (left, excess) in needed.items()
                ),
            ),
        ),
        figures=(
            Figure("memory, an idle decoder", held[IDLE], IDLE_LIMIT, unit="B"),
            Figure(
                "memory, a feed beyond what it returns",
                max(most for _, most in needed.values()),
                EXCESS_LIMIT,
                unit="B",
            ),
        ),
        notes=NOTES.format(decoders=DECODERS),
        versions={package: version(package) for package in ("tailrace", "python")},
        medians={"memory": {"idle": held, "feed": needed}},
    )
    publish(section, options)


def again_with_the_count() -> int:
    """The same command in a process that counts; the C compiler is the one cargo links with."""
    if sys.platform != "linux":
        print("memory is measured on Linux with glibc only")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        counting = str(Path(folder) / "heap.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", counting, str(SOURCE)], check=True)  # noqa: S603, S607
        environment = {**os.environ, "LD_PRELOAD": counting, "PYTHONMALLOC": "malloc"}
        return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode  # noqa: S603


def idle_states() -> dict[str, bytes]:
    """What a decoder has been fed before it waits for its next read."""
    reply = workloads.w1(50)
    half = reply.events[7][:150]
    return {
        "before the first": b"",
        IDLE: b"".join(reply.events[:51]),
        f"{IDLE} and {len(half)} B of the next": b"".join(reply.events[:51]) + half,
    }


def idle(heap: Heap, fed: bytes) -> int:
    """Bytes a decoder that has been fed `fed`."""
    decoders: list[DeltaDecoder | None] = [None] * DECODERS
    before = heap.used()
    for number in range(DECODERS):
        decoder = DeltaDecoder()
        decoder.feed(fed)
        decoders[number] = decoder
    del decoder
    return (heap.used() - before) // DECODERS


def feeds(scale: int) -> dict[str, Callable[[], object]]:
    """Reads of several kinds, from the ordinary to the absurd."""
    short, long, wide = workloads.w1(20 * scale), workloads.w4p(scale), workloads.w2(20 * scale)
    read = short.feeds(workloads.FEEDS["64 KB"])[0]
    big = workloads.one_event(2**20)

    def feeding(data: bytes, *, joined: bool = False) -> Callable[[], object]:
        decoder = DeltaDecoder()
        feed = decoder.feed_text if joined else decoder.feed
        return lambda: (feed(data), decoder)

    return {
        f"W1, a read of {len(read):,} B": feeding(read),
        f"W1, {len(short.body):,} B at once": feeding(short.body),
        f"W1, {len(short.body):,} B at once, one str": feeding(short.body, joined=True),
        f"W2, {len(wide.body):,} B at once": feeding(wide.body),
        f"W2, {len(wide.body):,} B at once, one str": feeding(wide.body, joined=True),
        f"W4p, {len(long.body):,} B at once": feeding(long.body),
        f"W4p, {len(long.body):,} B at once, one str": feeding(long.body, joined=True),
        f"one event of {len(big.events[0]):,} B": feeding(big.body),
        f"the first half of an event of {len(big.events[0]):,} B": feeding(big.body[: 2**19]),
    }


if __name__ == "__main__":
    main()
