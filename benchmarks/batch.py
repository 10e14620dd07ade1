"""Batches: rows a second and processor time a row, beside what people write by hand.

Against a server on loopback that answers each request after 200 ms, contenders take turns, each in
a process of its own. Then a run of a million rows, of which nearly all are done: how long until the
first of the others is asked, and how much memory it takes.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from batch_client import BARE, CONTENDERS, OPENAI, OURS, WORKERS
from report import Figure, Section, Table, arguments, publish, told, version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = Path(__file__).resolve().parent
SECONDS = 0.2  # until an answer
ROUNDS = 3
FEWER = {OPENAI: 5}
"""Contenders that get a part of the rows, since they take that much longer."""

NOTES = """\
{rows:,} rows, {at_once} at once, {rounds} rounds in turns; medians, and medians of the rounds' own
ratios. The server, a process of its own on the same cores, answers after {milliseconds:.0f} ms, and
so no contender can do more than {most:,.0f} rows a second. Ours reads and checks its input, keeps
to its rules, and writes each answer to the disk's cache; the others keep all in memory. Processor
times are those of the whole client process, without imports; "openai" gets a fifth of the rows.
All run on asyncio's own loop."""

Took = dict[str, list[dict[str, float]]]


def main() -> None:
    """Measure, publish."""
    options = arguments(__doc__)
    rows, at_once, rounds, known = (
        (200, 16, 1, 2000) if options.quick else (10_000, 512, ROUNDS, 10**6)
    )
    field = [name for name in CONTENDERS if find_spec("openai") or name != OPENAI]
    with TemporaryDirectory() as name:
        folder = Path(name)
        took = measured(folder, field, rows, at_once, rounds)
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
        tables=(table(took), resumed_table(resumed, known)),
        figures=tuple(figures(took, resumed, known)),
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
def serving(seconds: float) -> Iterator[str]:
    """The server's base URL; the server ends with the block."""
    command = [sys.executable, str(FOLDER / "batch_server.py"), str(seconds)]
    with subprocess.Popen(  # noqa: S603 - our own command line
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            port = server.stdout.readline() if server.stdout else ""
            yield f"http://127.0.0.1:{int(port)}/v1"
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
            with serving(SECONDS) as url:
                out = folder / f"out-{number}"
                spent = run_one(name, url, files[count], out, at_once)
            if spent["done"] != count:
                raise SystemExit(f"{name} has {spent['done']} of {count} answers")
            took[name].append({key: spent[key] / count for key in ("seconds", "processor")})
    return took


def run_one(name: str, url: str, rows: Path, out: Path, at_once: int) -> dict[str, float]:
    """Run one contender to its end."""
    client = [sys.executable, str(FOLDER / "batch_client.py"), name]
    command = [*client, url, str(rows), str(out), str(at_once)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    spent: dict[str, float] = json.loads(ended.stdout)
    return spent


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
