"""A fleet of streams: what an event costs, how true its moments are, and what a stream takes.

Beside what people hold many streams with in Python, and beside the floor: a bare epoll loop and the
core, `rust/fleet/floor`. Contenders take turns, each in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endtoend import Server, serving
from endtoend_client import CHURNED, DECODED, OURS
from report import Figure, Options, Section, Table, arguments, medians, publish, told, version
from timing import Samples

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parent
FLEET = FOLDER.parent / "rust" / "fleet"
TARGET = FOLDER.parent / "target" / "fleet"
ROUNDS = 5
SECONDS = 120.0  # the most a process may take
SEEN_FLOOR = 4.6  # microseconds of the floor, beside which the reaches were measured
ONE, FLOOR, UVLOOP = "fleet", "floor: epoll and the core", "uvloop, httptools + DeltaDecoder"
RESTED = "floor that rests 1 ms"
# By name, what `fleet_client.py` calls it.
CLIENTS = {
    ONE: "fleet",
    "fleet, rests of 10 ms": "fleet-rested",
    "fleet, times behind the read": "fleet-read",
    "the same, no rests": "fleet-restless",
    "the same, no clocks either": "fleet-unclocked",
    UVLOOP: "uvloop",
}
PACKAGES = ("aiohttp", "httptools", "python", "tailrace", "uvloop")
KIB = 2**10
NOTES = """\
Of events: microseconds of processor time of the whole client process, 200 streams at once, counted
from when all streams are open and quiet until the last text has come; the fleet's threads count.
In brackets the ratio to the floor (plain) or to aiohttp with a decoder (TLS), the median of the
rounds' own ratios. The floor has no TLS, no pool, no clocks, looks at no head and keeps no rows;
one row has it rest as a fleet does. "Memory kept" is aiohttp where asyncio's room for each read is
not mapped anew, as our transport sees to. The fleet is as it comes: times of the kernel, rests of
1 ms at most, clocks; with times taken behind the read it rests 0.1 ms. Its rows are taken every
50 ms, and not looked at. With rests of 10 ms (`coalesce=0.01`) what comes within one has one time.

Of stamps: from the server's write, which notes the moment in what it sends, to the moment that the
client has for it; the server, the client and, where one computes, a thread of Python that does
nothing else share the machine's cores. Where the server itself is late, its own next writes are.

Memory is what the process grows by, divided by the streams; what the system has for a socket is not
in it. Cancelling is until all ends were taken."""


@dataclass(frozen=True, slots=True)
class Mode:
    """How the server sends: `events` a stream are counted."""

    name: str
    per_write: int
    interval: float
    events: int
    tls: bool = False


PLAIN = Mode("1 event a write, every 20 ms", 1, 0.02, 100)
TLS = Mode("1 event a write, every 20 ms, TLS", 1, 0.02, 100, tls=True)
FULL = Mode("20 events a write, back to back", 20, 0.0, 2000)
FULL_TLS = Mode("20 events a write, back to back, TLS", 20, 0.0, 2000, tls=True)
MODES = (PLAIN, TLS, FULL, FULL_TLS)


def main() -> None:
    """Measure, publish."""
    options = arguments(__doc__)
    if find_spec("tailrace_fleet") is None:
        raise SystemExit("the fleet is not installed: make .venv-peers/.fleet")
    floor = built_floor(options)
    with serving("endtoend_server.py") as server:
        grid = costs(server, floor, options)
    with serving("fleet_server.py") as server:
        seen = Seen(server, options)
    section = Section(
        name="fleet",
        title="A fleet of streams",
        tables=(costs_table(grid), *seen.tables()),
        figures=(*cost_figures(grid), *seen.figures(), *wheel_figures()),
        notes=NOTES,
        versions={each: version(each) for each in PACKAGES if find_spec(each.replace("-", "_"))},
        medians={f"fleet, {mode.name}": medians(each, ONE) for mode, each in grid.items()},
    )
    publish(section, options)


# -- processes -------------------------------------------------------------------------------------


def built_floor(options: Options) -> Path | None:
    """The floor's program, built; None where there is no cargo, or in a quick run none is built."""
    program = TARGET / "release" / "tailrace-fleet-floor"
    if shutil.which("cargo") is None or (options.quick and not program.exists()):
        return None
    manifest = str(FLEET / "Cargo.toml")
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", manifest]
    command += ["--target-dir", str(TARGET), "--package", "tailrace-fleet-floor"]
    subprocess.run(command, check=True)  # noqa: S603 - our own command line
    return program


def run(command: list[str], server: Server) -> Any:
    """What a client prints last."""
    trusting = {**os.environ, "SSL_CERT_FILE": server.authority}
    done = subprocess.run(  # noqa: S603 - our own command line
        command, capture_output=True, text=True, timeout=SECONDS, check=False, env=trusting
    )
    if done.returncode or not done.stdout:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def asked(server: Server, contender: str, what: str, *, tls: bool = False, **more: Any) -> Any:
    """What a client of `fleet_client.py` has found."""
    origin = server.safe if tls else server.plain
    command = [sys.executable, str(FOLDER / "fleet_client.py"), contender, "--what", what]
    command += ["--origin", origin, "--control", server.plain]
    for name, value in more.items():
        if value is True:
            command.append(f"--{name}")
        elif value is not False:
            command += [f"--{name.replace('_', '-')}", str(value)]
    return run(command, server)


# -- what an event costs ---------------------------------------------------------------------------


def costs(server: Server, floor: Path | None, options: Options) -> dict[Mode, Samples]:
    """Nanoseconds an event, all rounds; each begins with another contender."""
    field = [ONE, DECODED, OURS] if options.quick else [ONE, DECODED, CHURNED, OURS]
    if not options.quick:
        has_uvloop = find_spec("httptools") and find_spec("uvloop")
        field += [name for name in CLIENTS if name != ONE and (name != UVLOOP or has_uvloop)]
    if floor is not None:
        field += [FLOOR, RESTED]
    modes = (PLAIN, TLS) if options.quick else MODES
    taken: dict[Mode, dict[str, list[float]]] = {mode: {} for mode in modes}
    for number in range(2 if options.quick else ROUNDS):
        turn = number % len(field)
        for mode in modes:
            for one in field[turn:] + field[:turn]:
                if not (one in (FLOOR, RESTED) and mode.tls):
                    spent = cost(server, one, mode, floor, quick=options.quick)
                    taken[mode].setdefault(one, []).append(spent)
    return {mode: Samples(rounds) for mode, rounds in taken.items()}


def cost(server: Server, one: str, mode: Mode, floor: Path | None, *, quick: bool) -> float:
    """Nanoseconds an event, in a fresh process."""
    origin = server.safe if mode.tls else server.plain
    events = mode.per_write * 3 if quick else mode.events
    words = ["--origin", origin, "--streams", "10" if quick else "200", "--opening", "20"]
    words += ["--events", str(events), "--per-write", str(mode.per_write)]
    words += ["--interval", str(mode.interval)]
    if one in (FLOOR, RESTED):
        rest = ["--rest", "0.001"] if one == RESTED else []
        return float(run([str(floor), *words, *rest], server))
    if one in CLIENTS:
        client = [sys.executable, str(FOLDER / "fleet_client.py"), CLIENTS[one]]
        return float(run([*client, *words, "--control", server.plain], server))
    client = [sys.executable, str(FOLDER / "endtoend_client.py"), one]
    return float(run([*client, *words], server))


def costs_table(grid: dict[Mode, Samples]) -> Table:
    """Contenders down, modes across."""
    names = list(dict.fromkeys(name for samples in grid.values() for name in samples.rounds))
    cells = tuple(
        (name, *(cell(samples, name, mode) for mode, samples in grid.items())) for name in names
    )
    return Table(
        "CPU time of the client, µs an event", ("client", *(mode.name for mode in grid)), cells
    )


def cell(samples: Samples, name: str, mode: Mode) -> str:
    """The median, and how it stands to what it is held against; nothing for who did not run."""
    if name not in samples.rounds:
        return ""
    base = DECODED if mode.tls or FLOOR not in samples.rounds else FLOOR
    return f"{told(samples.median(name) / 1000)} ({samples.ratio(name, base):.2f})"


def cost_figures(grid: dict[Mode, Samples]) -> Iterator[Figure]:
    """What an event is to cost."""
    plain, tls = grid[PLAIN], grid[TLS]
    yield Figure("fleet: plain, an event, to a provider", plain.ratio(ONE, OURS), 1 / 3.5)
    if FLOOR in plain.rounds:
        yield Figure("fleet: plain, an event, to the floor", plain.ratio(ONE, FLOOR), 2, 1.4)
        yield Figure("fleet: plain, an event, to a floor that rests", plain.ratio(ONE, RESTED))
    if UVLOOP in plain.rounds:
        yield Figure("fleet: plain, an event, to uvloop", plain.ratio(ONE, UVLOOP))
    base = CHURNED if CHURNED in tls.rounds else DECODED
    yield Figure("fleet: TLS, an event, to aiohttp", tls.ratio(ONE, base), 1 / 3.7, 1 / 5.5)
    yield Figure("fleet: TLS, an event, to aiohttp, memory kept", tls.ratio(ONE, DECODED))
    if UVLOOP in tls.rounds:
        yield Figure("fleet: TLS, an event, to uvloop", tls.ratio(ONE, UVLOOP))
    for mode, reach in ((FULL, 0.25), (FULL_TLS, 0.35)):
        if mode in grid:
            took = grid[mode].median(ONE) / 1000
            yield Figure(f"fleet: {mode.name}, an event", took, reach, unit="µs")
    yield from floor_figures(grid)


def floor_figures(grid: dict[Mode, Samples]) -> Iterator[Figure]:
    """What an event is to cost, in events of the floor: one a write, without TLS.

    What is to be reached was measured beside a floor of `SEEN_FLOOR`. Between two machines the
    system's part of an event and Python's differ by two factors, and this holds the former alone.
    """
    if FLOOR not in grid[PLAIN].rounds:
        return
    floor = grid[PLAIN].median(FLOOR)
    reaches = {TLS: (12.2, 8.2), FULL: (0.25, None), FULL_TLS: (0.35, None)}
    for mode, (reach, beyond) in reaches.items():
        if mode in grid:
            most = beyond and beyond / SEEN_FLOOR
            took = grid[mode].median(ONE) / floor
            yield Figure(f"fleet: {mode.name}, to the plain floor", took, reach / SEEN_FLOOR, most)


# -- stamps, memory, leaving, many -----------------------------------------------------------------


class Seen:
    """What was measured besides costs, the median of rounds."""

    def __init__(self, server: Server, options: Options) -> None:
        self._server = server
        self._quick = options.quick
        self._rounds = 1 if options.quick else ROUNDS
        self.stamps = self._stamps()
        self.memory = self._memory()
        streams = 20 if options.quick else 500
        self.leaving = self._median("fleet", "leaving", streams=streams, opening=1)
        flood = {"streams": 8, "opening": 1, "events": 2000 if options.quick else 100_000}
        self.sleeping = self._median("fleet", "sleeping", **flood)
        self.many = self._many()

    def _median(self, contender: str, what: str, **more: Any) -> dict[str, float]:
        found = [asked(self._server, contender, what, **more) for _ in range(self._rounds)]
        return {name: statistics.median(each[name] for each in found) for name in found[0]}

    def _stamps(self) -> dict[tuple[str, str], dict[str, float]]:
        """By contender and whether Python computes; 30,000 events a second, of aiohttp 10,000."""
        shown = {}
        contenders = {"fleet": 300, "fleet-read": 300, "aiohttp": 100}
        for contender in ("fleet", "fleet-read") if self._quick else contenders:
            count = 10 if self._quick else contenders[contender]
            for busy in (False, True):
                shown[contender, "computing" if busy else "idle"] = self._median(
                    contender,
                    "stamps",
                    streams=count,
                    opening=1,
                    events=20 if self._quick else 300,
                    interval=0.01,
                    busy=busy,
                )
        return shown

    def _memory(self) -> dict[tuple[str, str], float]:
        """KiB a stream, by contender and scheme."""
        shown = {}
        for contender in ("fleet",) if self._quick else ("fleet", "aiohttp"):
            for tls in (False, True):
                found = [
                    asked(
                        self._server,
                        contender,
                        "memory",
                        tls=tls,
                        streams=20 if self._quick else 1000,
                        opening=5,
                    )
                    for _ in range(self._rounds)
                ]
                shown[contender, "TLS" if tls else "plain"] = statistics.median(found) / KIB
        return shown

    def _many(self) -> dict[str, dict[str, float]]:
        """4,000 streams with 20,000 events a second, 10,000 with 100,000, of one thread."""
        if self._quick:
            return {"20 streams": self._median("fleet", "many", streams=20, opening=1, events=20)}
        return {
            "4,000 streams": self._median(
                "fleet", "many", streams=4000, opening=1, events=50, per_write=5, interval=1.0
            ),
            "10,000 streams": self._median(
                "fleet", "many", streams=9900, opening=1, events=50, per_write=10, interval=1.0
            ),
        }

    def tables(self) -> tuple[Table, ...]:
        """All of it as rows."""
        columns = ("p50", "p99", "p999", "most")
        stamps = tuple(
            (f"{name}, Python {state}", *(told(each[column]) for column in columns))
            for (name, state), each in self.stamps.items()
        )
        memory = tuple((f"{name}, {kind}", told(kib)) for (name, kind), kib in self.memory.items())
        leaving = tuple((name, told(each)) for name, each in self.leaving.items())
        sleeping = tuple((name, f"{each:.3g}") for name, each in self.sleeping.items())
        many = tuple(
            (name, *(f"{each[key]:,.3g}" for key in ("whole", "events", "core")))
            for name, each in self.many.items()
        )
        return (
            Table("Stamps, ms late", ("client", *columns), stamps),
            Table("Memory, KiB a stream", ("client", "KiB"), memory),
            Table("500 streams, ms", ("", "ms"), leaving),
            Table("While a taker sleeps", ("", "MB, part of a core"), sleeping),
            Table("One thread", ("", "whole", "events a second", "cores"), many),
        )

    def figures(self) -> Iterator[Figure]:
        """What is to be reached."""
        for state in ("idle", "computing"):
            late = self.stamps["fleet", state]["p99"]
            yield Figure(f"fleet: stamps' p99, Python {state}", late, 0.5, 0.05, "ms")
            late = self.stamps["fleet-read", state]["p99"]
            yield Figure(f"fleet: p99 of times behind the read, Python {state}", late, unit="ms")
        for kind, reach in (("plain", 36), ("TLS", 45)):
            kib = self.memory["fleet", kind]
            yield Figure(f"fleet: memory a stream, {kind}", kib, reach, 20, "KiB")
        yield Figure("fleet: 500 streams cancelled", self.leaving["cancelling"], 20, unit="ms")
        yield Figure("fleet: closed with 500 running", self.leaving["closing"], 100, unit="ms")
        yield Figure(
            "fleet: memory while a taker sleeps", self.sleeping["megabytes"], 16, unit="MB"
        )


def wheel_figures() -> Iterator[Figure]:
    """The size of the wheel, where one was built."""
    wheels = list(FOLDER.parent.glob("dist/fleet/*.whl"))
    if wheels:
        newest = max(wheels, key=lambda each: each.stat().st_mtime)
        yield Figure("fleet: the wheel", newest.stat().st_size / 1e6, 1.8, unit="MB")


if __name__ == "__main__":
    main()
