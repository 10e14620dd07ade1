"""End to end.

What one event of a stream costs a client, beside what the network and aiohttp alone cost it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from endtoend_client import BASE, CHURNED, CONTENDERS, DECODED, KEPT, OURS, RESPONSE, WHOLE
from report import Figure, Options, Section, Table, arguments, medians, publish, told, version
from timing import Samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from endtoend_client import Contender

FOLDER = Path(__file__).resolve().parent
ROUNDS = 5
SECONDS = 180.0  # the most a process may take
PEERS = {"gpt4free": 0.2, WHOLE: 0.03, "litellm stream": 0.008}
ON_UVLOOP = ("asyncio streams, raw", BASE, OURS)  # enough to tell what the loop is worth
ON_TLS = (BASE, KEPT, DECODED, OURS, RESPONSE)  # and what TLS costs
PACKAGES = (
    "aiohttp",
    "g4f",
    "httpx",
    "httpx-sse",
    "langchain-openai",
    "liter-llm",
    "litellm",
    "msgspec",
    "openai",
    "pyreqwest",
    "python",
    "tailrace",
    "uvloop",
)
NOTES = """\
Microseconds of processor time of the whole client process an event, in brackets the ratio to \
aiohttp's raw reads: one
aiohttp server process, one client process at a time, 200 streams at once. Counted from when all \
streams are open and
quiet until the last text has come; opening and closing are outside. Rounds interleave; medians, \
and medians of the
rounds' ratios.

What is not like for like:

- The raw readers look at no text. aiohttp's own has no clock for silence unless it is asked for \
one, and then takes a
  timer a read; ours has its clocks on.
- asyncio makes room for 256 KiB at each read of a socket, which glibc maps and unmaps each time \
until a larger block
  has been freed. Our transport sees to that once a process; "memory kept" is aiohttp in a \
process where it happened.
- Back to back, a client that is slower gets more events a read, and so its reads cost it less an \
event.
- The openai client builds whole objects, litellm others of those; gpt4free yields an object \
beside every text. Where
  ours reads over the openai client, that has opened the response, and httpx reads the socket.
  In writes of 20 they and httpx-sse read fewer events. gpt4free reads 20 streams: it opens no \
more to one host.
- langchain-openai makes messages of the openai client's objects. pyreqwest and liter-llm read the \
socket in threads of
  Rust, whose time counts, too; liter-llm makes an object of every chunk.
- Columns with "uvloop" are read by uvloop's loop, all others by asyncio's own; those with "TLS" \
are read over TLS of
  asyncio, with the same server."""


@dataclass(frozen=True, slots=True)
class Mode:
    """How the server sends, and how the clients read; `events` a stream are counted."""

    name: str
    per_write: int
    interval: float
    events: int
    uvloop: bool = False
    tls: bool = False

    def is_for(self, contender: Contender) -> bool:
        """Whether the contender is measured so."""
        few = ON_UVLOOP if self.uvloop else ON_TLS
        return not (self.uvloop or self.tls) or contender.name in few


BUSY = Mode("20 events a write, back to back", 20, 0.0, 800)
PACED = Mode("1 event a write, every 100 ms", 1, 0.1, 20)
PACED_TLS = Mode("1 event a write, every 100 ms, TLS", 1, 0.1, 20, tls=True)
MODES = (
    BUSY,
    Mode("20 events a write, every 100 ms", 20, 0.1, 200),
    PACED,
    Mode("20 events a write, back to back, TLS", 20, 0.0, 800, tls=True),
    PACED_TLS,
    Mode("20 events a write, back to back, uvloop", 20, 0.0, 800, uvloop=True),
    Mode("1 event a write, every 100 ms, uvloop", 1, 0.1, 20, uvloop=True),
)


def main() -> None:
    """Measure, publish."""
    options = arguments(__doc__)
    field = [one for one in CONTENDERS.values() if find_spec(one.package) and one.name != CHURNED]
    modes = [mode for mode in MODES if not mode.uvloop or find_spec("uvloop")]
    if options.quick:
        field = [CONTENDERS[name] for name in (BASE, DECODED, OURS)]
        modes = [BUSY, PACED, PACED_TLS]
    with serving() as server:
        grid = measured(server, field, modes, options)
    section = Section(
        name="endtoend",
        title="End to end",
        tables=(table(grid, field),),
        figures=tuple(figures(grid)),
        notes=NOTES,
        versions={
            package: version(package)
            for package in PACKAGES
            if find_spec(package.replace("-", "_"))
        },
        medians={mode.name: medians(samples, OURS) for mode, samples in grid.items()},
    )
    publish(section, options)


# -- measuring -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """Its origins, and the file with the certificate authority of the one over TLS."""

    plain: str
    safe: str
    authority: str


@contextmanager
def serving(program: str = "endtoend_server.py") -> Iterator[Server]:
    """The server that `program` is, which ends with the block."""
    command = [sys.executable, str(FOLDER / program)]
    with subprocess.Popen(  # noqa: S603 - our own command line
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            yield Server(*(server.stdout.readline() if server.stdout else "").split())
        finally:
            server.terminate()


def measured(
    server: Server, field: list[Contender], modes: list[Mode], options: Options
) -> dict[Mode, Samples]:
    """All rounds; each begins with another contender."""
    taken: dict[Mode, dict[str, list[float]]] = {mode: {} for mode in modes}
    for number in range(2 if options.quick else ROUNDS):
        turn = number % len(field)
        for mode in modes:
            for one in field[turn:] + field[:turn]:
                if mode.is_for(one):
                    taken[mode].setdefault(one.name, []).append(sample(server, one, mode, options))
    return {mode: Samples(rounds) for mode, rounds in taken.items()}


def sample(server: Server, one: Contender, mode: Mode, options: Options) -> float:
    """Nanoseconds an event, in a fresh process."""
    writes = mode.events // mode.per_write
    if mode.per_write > 1:
        writes = max(2, int(writes * one.share))
    writes = 2 if options.quick else writes
    command = [
        *(sys.executable, str(FOLDER / "endtoend_client.py"), one.name),
        *("--origin", server.safe if mode.tls else server.plain),
        *(
            "--streams",
            "10" if options.quick else str(one.streams),
            "--events",
            str(writes * mode.per_write),
        ),
        *("--per-write", str(mode.per_write), "--interval", str(mode.interval)),
        *(["--uvloop"] if mode.uvloop else []),
    ]
    trusting = {**os.environ, "SSL_CERT_FILE": server.authority}
    done = subprocess.run(  # noqa: S603 - our own command line
        command, capture_output=True, text=True, timeout=SECONDS, check=False, env=trusting
    )
    if done.returncode:
        raise SystemExit(f"{one.name}, {mode.name}: {done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1]))


# -- telling ---------------------------------------------------------------------------------------


def table(grid: dict[Mode, Samples], field: list[Contender]) -> Table:
    """Contenders down, modes across."""
    cells = tuple(
        (one.name, *(cell(samples, one.name) for samples in grid.values())) for one in field
    )
    return Table(
        "CPU time of the client, µs an event", ("client", *(mode.name for mode in grid)), cells
    )


def cell(samples: Samples, name: str) -> str:
    """The median, and how it stands to aiohttp's raw reads; nothing for who did not run."""
    if name not in samples.rounds:
        return ""
    return f"{told(samples.median(name) / 1000)} ({samples.ratio(name, BASE):.2f})"


def figures(grid: dict[Mode, Samples]) -> Iterator[Figure]:
    """What was to be reached."""
    yield Figure(f"end to end, {BUSY.name}, to {BASE}", grid[BUSY].ratio(OURS, BASE), 1.25, 1.1)
    yield Figure(f"end to end, {PACED.name}, to {BASE}", grid[PACED].ratio(OURS, BASE), 1.1, 0.7)
    for mode in (PACED, PACED_TLS):
        yield Figure(
            f"end to end, {mode.name}, to {DECODED}", grid[mode].ratio(OURS, DECODED), 1.15
        )
    for peer, reach in PEERS.items():
        if peer in grid[BUSY].rounds:
            yield Figure(f"end to end, {BUSY.name}, to {peer}", grid[BUSY].ratio(OURS, peer), reach)


if __name__ == "__main__":
    main()
