"""Many kept replies to texts, in memory and from files, on all processors.

`decode_many` and ``tailrace decode``.

Here the wall's clock counts, for that is what processors are used for; what it took of them
together stands beside it.
"""

from __future__ import annotations

import gzip
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import workloads
from bulk_peer import InProcesses, processors, text_of
from report import Figure, Section, Table, arguments, medians, publish, told, version
from tailrace import decode_many
from timing import Samples, WrongResultError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tailrace import DecodedReply
    from workloads import Reply

OURS, ALONE = "tailrace.decode_many", "tailrace.decode_many, one thread"
COMMAND = "tailrace decode"
PEER, PEER_ALONE = (
    "hand loop + msgspec, typed, in processes",
    "hand loop + msgspec, typed, one process",
)
BENCHMARKS = Path(__file__).resolve().parent
PACK: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plain": ("", bytes),
    "gzip": (".gz", gzip.compress),
    "zstd": (".zst", zstd.compress),
}
MIXTURE = (workloads.w1, workloads.w1o, workloads.w1i, workloads.w2, workloads.w4)
EVENTS = (200, 400, 800, 1_600, 3_200)
NOTES = """\
{count:,} replies, {size:,} bytes: {different} different ones, of 200 to 3,200 events of W1, W1o, \
W1i and W2, and of a
twentieth as many of W4, in turn. Bytes are those of the replies, unpacked; GB/s is 10⁹ of them \
in a second by the
wall's clock, on {processors} processors; CPU time is of all threads and processes together.

What is not like for like:

- Ours gives a record a reply: text, how it ended, error, ids, usage, counts. The hand loop gives \
the text alone, and
  knows nothing of the protocol but `data:` lines.
- In memory: the loop's processes are there before the clock starts, and had the replies from \
their fork on. Only
  numbers and texts go between processes.
- From files: both are commands, from their start to their end, and write a JSON line a reply to \
a file. The files have
  been read before, so that they come out of memory. The loop unpacks with Python's libraries, as \
ours does, a file at
  once."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the texts.

    What is done while the clock runs, and what is seen in its result afterwards.

    That is the texts in their order, and the nanoseconds that processes took which are still
    running.
    """

    name: str
    work: Callable[[], Any]
    seen: Callable[[Any], tuple[list[str], int]]


@dataclass(slots=True)
class Taken:
    """Nanoseconds a byte, by way and round: by the wall's clock, and of processors."""

    wall: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)


def main() -> None:
    """Measure, publish."""
    options = arguments(__doc__)
    different = [build(count) for count in EVENTS for build in scaled(options.quick)]
    count = len(different) if options.quick else 2_000
    chosen = [different[number % len(different)] for number in range(count)]
    # Each in memory of its own, as replies that were kept are.
    bodies, texts = (
        [bytes(bytearray(reply.body)) for reply in chosen],
        [reply.text for reply in chosen],
    )
    rounds = 2 if options.quick else 9
    taken = {"memory": in_memory(bodies, texts, rounds)}
    with tempfile.TemporaryDirectory() as folder:
        for form, (suffix, pack) in PACK.items():
            files = written(
                Path(folder) / form,
                suffix,
                {reply.body: pack(reply.body) for reply in different},
                bodies,
            )
            taken[form] = from_files(files, texts, sum(map(len, bodies)), rounds)
    section = Section(
        name="bulk",
        title="Many kept replies",
        tables=tuple(tables(taken)),
        figures=tuple(figures(taken)),
        notes=NOTES.format(
            count=count,
            size=sum(map(len, bodies)),
            different=len(different),
            processors=processors(),
        ),
        versions={package: version(package) for package in ("tailrace", "python", "msgspec")},
        medians={
            f"bulk, {form}": medians(Samples(each.wall), OURS if form == "memory" else COMMAND)
            for form, each in taken.items()
        },
    )
    publish(section, options)


def scaled(quick: bool) -> list[Callable[[int], Reply]]:  # noqa: FBT001 - said once
    """The workloads, each by a number of events of W1: W4's are some twenty times as long."""
    share = {workloads.w4: 20}
    return [
        lambda count, build=build: build(
            max(5, count // share.get(build, 1) // (50 if quick else 1))
        )  # type: ignore[misc]
        for build in MIXTURE
    ]


# -- measuring -------------------------------------------------------------------------------------


def measure(ways: Sequence[Way], texts: list[str], size: int, rounds: int) -> Taken:
    """Measure in rounds, after one that does not count, in rotating order; compare every text."""
    taken = Taken()
    for number in range(-1, rounds):
        turn = number % len(ways)
        for way in (*ways[turn:], *ways[:turn]):
            before, start = processor_ns(), time.perf_counter_ns()
            result = way.work()
            wall, processor = time.perf_counter_ns() - start, processor_ns() - before
            came, elsewhere = way.seen(result)
            if came != texts:
                raise WrongResultError(way.name)
            if number >= 0:
                taken.wall.setdefault(way.name, []).append(wall / size)
                taken.processor.setdefault(way.name, []).append((processor + elsewhere) / size)
    return taken


def processor_ns() -> int:
    """Of this process, all its threads, and of the processes that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return round(sum(each.ru_utime + each.ru_stime for each in used) * 1e9)


def in_memory(bodies: list[bytes], texts: list[str], rounds: int) -> Taken:
    """Bytes at hand."""
    with closing(InProcesses(bodies)) as processes:
        ways = [
            Way(OURS, lambda: decode_many(bodies), records),
            Way(ALONE, lambda: decode_many(bodies, threads=1), records),
            Way(
                PEER,
                processes.work,
                lambda done: ([text for text, _ in done], sum(taken for _, taken in done)),
            ),
            Way(PEER_ALONE, lambda: [text_of(body) for body in bodies], lambda came: (came, 0)),
        ]
        return measure(ways, texts, sum(map(len, bodies)), rounds)


def records(decoded: list[DecodedReply]) -> tuple[list[str], int]:
    """What ours gives."""
    return [record.text for record in decoded], 0


def written(folder: Path, suffix: str, packed: dict[bytes, bytes], bodies: Sequence[bytes]) -> Path:
    """A file for each reply, in their order."""
    folder.mkdir()
    for number, body in enumerate(bodies):
        (folder / f"{number:05}.sse{suffix}").write_bytes(packed[body])
    return folder


def from_files(folder: Path, texts: list[str], size: int, rounds: int) -> Taken:
    """Commands over a folder, each from its start to its end."""
    ours = [sys.executable, "-m", "tailrace", "decode", "-r", str(folder)]
    peer = [sys.executable, str(BENCHMARKS / "bulk_peer.py"), str(folder)]
    out = folder.with_suffix(".jsonl")
    ways = [Way(COMMAND, lambda: run(ours, out), lines), Way(PEER, lambda: run(peer, out), lines)]
    return measure(ways, texts, size, rounds)


def run(command: list[str], out: Path) -> Path:
    """Run it to its end, with `out` for its stdout."""
    with out.open("wb") as stdout:
        subprocess.run(command, check=True, stdout=stdout, stderr=subprocess.DEVNULL)  # noqa: S603 - ours
    return out


def lines(out: Path) -> tuple[list[str], int]:
    """The texts in a file of JSON lines."""
    return [msgspec.json.decode(line)["text"] for line in out.read_bytes().splitlines()], 0


# -- telling ---------------------------------------------------------------------------------------


def tables(taken: dict[str, Taken]) -> Iterator[Table]:
    """One for the memory, one for the files."""
    yield table("In memory", taken["memory"])
    for form in PACK:
        yield table(f"From files, {form}", taken[form])


def table(title: str, taken: Taken) -> Table:
    """The ways, and what each took."""
    wall, processor = Samples(taken.wall), Samples(taken.processor)
    ours = next(iter(taken.wall))
    rows = (
        (
            name,
            told(1 / wall.median(name)),
            f"{wall.ratio(name, ours):.3g}",
            told(processor.median(name) * 1e3),
            f"{processor.ratio(name, ours):.3g}",
        )
        for name in taken.wall
    )
    return Table(
        title,
        ("way", "GB/s", "time, times ours", "CPU ms a GB", "CPU time, times ours"),
        tuple(rows),
    )


def figures(taken: dict[str, Taken]) -> Iterator[Figure]:
    """For orientation."""
    for form, each in taken.items():
        ours = next(iter(each.wall))
        yield Figure(
            f"bulk, {form}, {ours}, time to the {PEER}", Samples(each.wall).ratio(ours, PEER)
        )


if __name__ == "__main__":
    main()
