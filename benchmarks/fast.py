"""What `tailrace.openai.fast` leaves of what an event costs the client of the package `openai`.

An event is read for its text, with asyncio, over httpx and over aiohttp, and without. And what
importing costs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from endtoend import SECONDS, serving
from endtoend_client import FAST, FAST_OVER_AIOHTTP, WHOLE, WHOLE_OVER_AIOHTTP
from report import Figure, Section, Table, arguments, medians, publish, told, version
from timing import Samples

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parent
ROUNDS = 7
IMPORTS = 15  # rounds
STREAMS = 200  # of asyncio, at once
BLOCKING_WHOLE = "blocking openai client, whole objects"
BLOCKING_FAST = "blocking openai client, tailrace.openai.fast"
Pairs: TypeAlias = dict[str, tuple[str, str]]
PAIRS: Pairs = {
    "asyncio": (WHOLE, FAST),
    "asyncio over aiohttp": (WHOLE_OVER_AIOHTTP, FAST_OVER_AIOHTTP),
    "without asyncio": (BLOCKING_WHOLE, BLOCKING_FAST),
}
REACH = {20: 0.08, 1: 0.35}  # by events a write
NOTES = f"""\
Microseconds of processor time of the whole client process an event, as in "End to end": {STREAMS} \
streams at once with asyncio, one without. The ratio is the median of the rounds' own, to the same \
client's whole objects; that of asyncio over aiohttp also to those over httpx, which is what a \
program without either has. Where there are pauses between the writes, the process has slept, and \
finds its caches cold; other work on the machine makes them colder.

Imports are fresh processes that do nothing else, in turns; a bare one is taken off."""
PACKAGES = ("aiohttp", "anyio", "h11", "httpx", "httpx2", "openai", "python", "tailrace")


@dataclass(frozen=True, slots=True)
class Mode:
    """How the server sends: to 200 streams of asyncio, and to the one without."""

    name: str
    per_write: int
    interval: float  # seconds
    events: int
    blocking_interval: float
    blocking_events: int


MODES = (
    Mode("20 events a write, back to back", 20, 0.0, 100, 0.0, 4000),
    Mode("20 events a write, with pauses", 20, 0.1, 100, 0.002, 4000),
    Mode("1 event a write, with pauses", 1, 0.1, 20, 0.002, 400),
)
IMPORT = {
    "openai": "import openai",
    "openai and tailrace.openai": "import openai, tailrace.openai",
}


def main() -> None:
    """Measure, publish."""
    options = arguments(__doc__)
    if not find_spec("openai"):
        raise SystemExit("the package openai is not installed")
    pairs = dict(PAIRS)
    if options.quick:
        del pairs["asyncio over aiohttp"]
    with serving() as server:
        grid = measured(server.plain, pairs, quick=options.quick)
    imports = imported(2 if options.quick else IMPORTS)
    section = Section(
        name="fast",
        title="The openai client, read by the core",
        tables=(table(grid, pairs), imports_table(imports)),
        figures=tuple(figures(grid, pairs, imports)),
        notes=NOTES,
        versions={package: version(package) for package in PACKAGES if find_spec(package)},
        medians={
            **{mode.name: medians(samples, FAST) for mode, samples in grid.items()},
            "import": medians(imports, "openai"),
        },
    )
    publish(section, options)


# -- measuring -------------------------------------------------------------------------------------


def measured(origin: str, pairs: Pairs, *, quick: bool) -> dict[Mode, Samples]:
    """All rounds, each contender in turn."""
    names = [name for pair in pairs.values() for name in pair]
    modes = MODES[::2] if quick else MODES
    taken: dict[Mode, dict[str, list[float]]] = {
        mode: {name: [] for name in names} for mode in modes
    }
    for number in range(2 if quick else ROUNDS):
        turn = number % len(names)
        for mode, samples in taken.items():
            for name in names[turn:] + names[:turn]:
                samples[name].append(sample(origin, name, mode, quick=quick))
    return {mode: Samples(rounds) for mode, rounds in taken.items()}


def sample(origin: str, name: str, mode: Mode, *, quick: bool) -> float:
    """Nanoseconds an event, in a fresh process."""
    if name in PAIRS["without asyncio"]:
        how = [str(FOLDER / "fast_blocking.py"), *(["--fast"] if name == BLOCKING_FAST else [])]
        events, interval = mode.blocking_events, mode.blocking_interval
    else:
        how = [str(FOLDER / "endtoend_client.py"), name, "--streams", str(10 if quick else STREAMS)]
        events, interval = mode.events, mode.interval
    events = 2 * mode.per_write if quick else events
    sent = [
        "--events",
        str(events),
        "--per-write",
        str(mode.per_write),
        "--interval",
        str(interval),
    ]
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, *how, "--origin", origin, *sent],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name}, {mode.name}: {done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def imported(rounds: int) -> Samples:
    """Nanoseconds of what is imported."""
    taken: dict[str, list[float]] = {name: [] for name in IMPORT}
    for _ in range(rounds):
        bare = process_time("pass")
        for name, program in IMPORT.items():
            taken[name].append(process_time(program) - bare)
    return Samples(taken)


def process_time(program: str) -> float:
    """The processor time of a process, in nanoseconds."""
    command = [sys.executable, "-c", program]
    _, status, used = os.wait4(os.spawnv(os.P_NOWAIT, sys.executable, command), 0)  # noqa: S606 - our own
    if status:
        raise SystemExit(f"{program!r} failed")
    return (used.ru_utime + used.ru_stime) * 1e9


# -- telling ---------------------------------------------------------------------------------------


def table(grid: dict[Mode, Samples], pairs: Pairs) -> Table:
    """Kinds of clients down, modes across."""
    cells = tuple(
        (f"{kind}, {what}", *(cell(samples, name, pair[0]) for samples in grid.values()))
        for kind, pair in pairs.items()
        for what, name in zip(("whole objects", "fast"), pair, strict=True)
    )
    return Table(
        "CPU time of the client, µs an event", ("client", *(mode.name for mode in grid)), cells
    )


def cell(samples: Samples, name: str, whole: str) -> str:
    """The median; for a fast client how it stands to whole objects, over httpx, too."""
    shown = told(samples.median(name) / 1000)
    if name == whole:
        return shown
    ratios = [f"{samples.ratio(name, whole):.3f}"]
    if whole == WHOLE_OVER_AIOHTTP:
        ratios.append(f"{samples.ratio(name, WHOLE):.3f} to httpx")
    return f"{shown} ({', '.join(ratios)})"


def imports_table(imports: Samples) -> Table:
    """What importing costs."""
    cells = tuple((name, told(imports.median(name) / 1e6)) for name in IMPORT)
    return Table("CPU time of imports, ms", ("import", "median"), cells)


def figures(grid: dict[Mode, Samples], pairs: Pairs, imports: Samples) -> Iterator[Figure]:
    """What was to be reached."""
    for mode, samples in grid.items():
        for kind, (whole, fast) in pairs.items():
            to = WHOLE if whole == WHOLE_OVER_AIOHTTP else whole
            what = f"tailrace.openai.fast, {kind}, {mode.name}, to whole objects"
            yield Figure(what, samples.ratio(fast, to), REACH[mode.per_write])
    names = tuple(IMPORT)
    yield Figure("importing openai and tailrace.openai, to openai", imports.ratio(*names[::-1]))


if __name__ == "__main__":
    main()
