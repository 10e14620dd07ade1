"""Batches: rows a second and processor time a row, beside what people write by hand.

Against a server on loopback that answers each request after 200 ms, contenders take turns, each in
a process of its own. Then a run of a million rows, of which nearly all are done: how long until the
first of the others is asked, and how much memory it takes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from batch_client import BARE, CONTENDERS, FLEET, OPENAI, OURS, WORKERS
from report import Figure, Section, Table, arguments, publish, told, version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = Path(__file__).resolve().parent
SECONDS = 0.2  # until an answer
ROUNDS = 3
SCHEMES = ("plain", "TLS")
FEWER = {OPENAI: 5}
"""Contenders that get a part of the rows, since they take that much longer."""

NOTES = """\
{rows:,} rows, {at_once} at once, {rounds} rounds in turns; medians, and medians of the rounds' own
ratios. The server, a process of its own on the same cores, answers after {milliseconds:.0f} ms, and
so no contender can do more than {most:,.0f} rows a second. Ours reads and checks its input, keeps
to its rules, and writes each answer to the disk's cache; the others keep all in memory. Processor
times are those of the whole client process, without imports; "openai" gets a fifth of the rows.
All run on asyncio's own loop. Ours over a fleet and without one take turns by themselves, over
plain HTTP and over TLS; the fleet's thread counts."""

Took = dict[str, list[dict[str, float]]]


def main() -> None:
    """Measure, publish."""
    options = arguments(__doc__)
    rows, at_once, rounds, known = (
        (200, 16, 1, 2000) if options.quick else (10_000, 512, ROUNDS, 10**6)
    )
    missing = {OPENAI} if find_spec("openai") is None else set()
    field = [name for name in CONTENDERS if name not in {*missing, FLEET}]
    with TemporaryDirectory() as name:
        folder = Path(name)
        took = measured(folder, field, rows, at_once, rounds)
        over: dict[str, Took] = {}
        if find_spec("tailrace_fleet"):
            over = over_a_fleet(folder, 50 if options.quick else rows, at_once, rounds)
        resumed = going_on(folder, known)
    notes = NOTES.format(
        rows=rows,
        at_once=at_once,
        rounds=rounds,
        milliseconds=SECONDS * 1e3,
        most=at_once / SECONDS,
    )
    section = Section(
        name="batch",
        title="Batches",
        tables=(table(took), *fleet_tables(over), resumed_table(resumed, known)),
        figures=(*figures(took, resumed, known), *fleet_figures(over)),
        notes=notes,
        versions={
            name: version(name)
            for name in ("aiohttp", "openai", "python", "tailrace")
            if find_spec(name) or name == "python"
        },
    )
    publish(section, options)


# -- measuring -------------------------------------------------------------------------------------


@contextmanager
def serving(seconds: float, authority: Path | None = None) -> Iterator[str]:
    """The server's base URL, with a file for its authority over TLS; it ends with the block."""
    command = [sys.executable, str(FOLDER / "batch_server.py"), str(seconds)]
    if authority is not None:
        command.append(str(authority))
    with subprocess.Popen(  # noqa: S603 - our own command line
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            origin = server.stdout.readline() if server.stdout else ""
            yield f"{origin.strip()}/v1"
        finally:
            server.terminate()


def written(path: Path, count: int) -> Path:
    """A file of so many of OpenAI's batch lines."""
    line = '{"custom_id":"row-%d","method":"POST","url":"/v1/chat/completions","body":%s}\n'
    message = {"role": "user", "content": "What runs off below the mill? " * 4}
    body = json.dumps({"model": "bench", "messages": [message]})
    with path.open("w") as file:
        file.writelines(line % (number, body) for number in range(count))
    return path


def measured(folder: Path, field: list[str], rows: int, at_once: int, rounds: int) -> Took:
    """What each contender took a row, round by round, each in another order."""
    counts = {name: rows // FEWER.get(name, 1) for name in field}
    files = {count: written(folder / f"{count}.jsonl", count) for count in set(counts.values())}
    took: Took = {name: [] for name in field}
    for number in range(rounds):
        for name in field[number:] + field[:number]:
            count = counts[name]
            out = folder / f"out-{number}"
            took[name].append(run_one(name, files[count], out, at_once, count))
    return took


def over_a_fleet(folder: Path, rows: int, at_once: int, rounds: int) -> dict[str, Took]:
    """What ours takes a row without a fleet and over one, plain and over TLS."""
    file, field = written(folder / f"{rows}.jsonl", rows), [OURS, FLEET]
    took: dict[str, Took] = {scheme: {name: [] for name in field} for scheme in SCHEMES}
    for number in range(rounds):
        for scheme, rounds_of in took.items():
            for place, name in enumerate(field[:: -1 if number % 2 else 1]):
                out = folder / f"fleet-{scheme}-{number}-{place}"
                authority = folder / "authority.pem" if scheme == "TLS" else None
                rounds_of[name].append(run_one(name, file, out, at_once, rows, authority=authority))
    return took


def run_one(
    name: str, rows: Path, out: Path, at_once: int, count: int, *, authority: Path | None = None
) -> dict[str, float]:
    """Run one contender to its end, against a server of its own; what it took a row."""
    client = [sys.executable, str(FOLDER / "batch_client.py"), name]
    with serving(SECONDS, authority) as url:
        command = [*client, url, str(rows), str(out), str(at_once)]
        trusting = dict(os.environ)
        if authority is not None:
            trusting["SSL_CERT_FILE"] = str(authority)
        ended = subprocess.run(  # noqa: S603 - our own command line
            command, capture_output=True, text=True, check=True, env=trusting
        )
    spent: dict[str, float] = json.loads(ended.stdout)
    if spent["done"] != count:
        raise SystemExit(f"{name} has {spent['done']} of {count} answers")
    return {key: spent[key] / count for key in ("seconds", "processor")}


def going_on(folder: Path, known: int) -> dict[str, float]:
    """Go on where all but a few rows are done: seconds to the first request, and megabytes."""
    rows, out = written(folder / "known.jsonl", known), folder / "known"
    code = (FOLDER / "batch_resume.py", str(rows), str(out))
    with serving(0.0) as url:
        ended = subprocess.run(  # noqa: S603
            [sys.executable, *map(str, code), url], capture_output=True, text=True, check=True
        )
        spent: dict[str, Any] = json.loads(ended.stdout)
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/first") as reply:  # noqa: S310
            first = int(reply.read())
    return {"seconds": (first - spent["begun"]) / 1e9, "megabytes": spent["megabytes"]}


# -- telling ---------------------------------------------------------------------------------------


def ratio(took: Took, key: str, one: str, other: str) -> float:
    """The median of the rounds' own ratios."""
    pairs = zip(took[one], took[other], strict=True)
    return statistics.median(first[key] / second[key] for first, second in pairs)


def table(took: Took) -> Table:
    """Rows a second, and processor time a row."""
    cells = []
    for name, rounds in took.items():
        seconds = statistics.median(each["seconds"] for each in rounds)
        processor = statistics.median(each["processor"] for each in rounds)
        times = ratio(took, "processor", name, OURS)
        cells.append((name, told(1 / seconds), told(processor * 1e6), told(times)))
    columns = ("", "rows a second", "µs of processor a row", "times ours")
    return Table("Rows", columns, tuple(cells))


def fleet_tables(over: Mapping[str, Took]) -> Iterator[Table]:
    """What a row takes over a fleet and without one, where there is one."""
    cells = tuple(
        (
            scheme,
            *(
                told(statistics.median(each["processor"] for each in took[name]) * 1e6)
                for name in (OURS, FLEET)
            ),
            told(ratio(took, "processor", FLEET, OURS)),
        )
        for scheme, took in over.items()
    )
    if cells:
        columns = ("", "without", "over a fleet", "ratio")
        yield Table("Over a fleet, µs of processor a row", columns, cells)


def fleet_figures(over: Mapping[str, Took]) -> Iterator[Figure]:
    """What a fleet is to cost, and how long it may take."""
    for scheme, took in over.items():
        reach = 0.9 if scheme == "TLS" else 1.0
        spent = ratio(took, "processor", FLEET, OURS)
        yield Figure(f"batch: processor over a fleet, {scheme}", spent, reach)
        yield Figure(f"batch: seconds over a fleet, {scheme}", ratio(took, "seconds", FLEET, OURS))


def resumed_table(resumed: Mapping[str, float], known: int) -> Table:
    """What going on takes."""
    cells = (f"{known:,} rows", told(resumed["seconds"]), told(resumed["megabytes"]))
    return Table("Going on", ("", "s to the first request", "MB at most"), (cells,))


def figures(took: Took, resumed: Mapping[str, float], known: int) -> Iterator[Figure]:
    """What is to be reached."""
    against = ratio(took, "seconds", OURS, BARE)
    yield Figure("batch: seconds against a bare aiohttp gather", against, 1 / 0.85, 1.0)
    if OPENAI in took:
        yield Figure(
            "batch: processor against AsyncOpenAI",
            ratio(took, "processor", OURS, OPENAI),
            0.15,
            0.08,
        )
    workers = ratio(took, "processor", OURS, WORKERS)
    yield Figure("batch: processor against aiohttp's workers", workers)
    if known >= 10**6:
        yield Figure("batch: a million rows, going on", resumed["seconds"], 5, 2, "s")
        yield Figure("batch: a million rows, memory", resumed["megabytes"], 200, 100, "MB")


if __name__ == "__main__":
    main()
