"""Batches on a Ray cluster: beside Ray Data's own stage for HTTP, and beside one process.

All of it on the cores of this machine, against the server of `batch.py`, which answers after
200 ms. It runs in an environment that has Ray (``make bench`` sees to it). The seconds are those
from the first request, as the server saw it, to the end: workers take some seconds to start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
import urllib.request
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import tailrace.ray
from batch import SECONDS, ratio, serving, written
from report import Figure, Section, Table, arguments, publish, told, version
from tailrace import Site, batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Took = dict[str, list[dict[str, float]]]

ROUNDS = 3
AT_ONCE = 128
PROCESSOR, ASK = "Ray Data's HttpRequestProcessor", "tailrace.ray.Ask, one actor"
ONE, RUN = "tailrace.batch.run, one process", "tailrace.ray.run, four workers"
NOTES = """\
{rounds} rounds in turns; medians, and medians of the rounds' own ratios. {at_once} requests at
once, which are {most:,.0f} rows a second at most; Ray's stage has no such number, and sends the
rows of a batch one after another. It gets {few:,} rows, the others {rows:,}. Four workers share one
plan, and two cores with the server and with Ray's own processes."""
PROMPT = "What runs off below the mill? " * 4


def main() -> None:
    """Measure, publish."""
    options = arguments(__doc__)
    rows, few, rounds = (1000, 8, 1) if options.quick else (12_000, 96, ROUNDS)
    ray = begun()
    with TemporaryDirectory() as name:
        took = measured(Path(name), rows, few, rounds)
    ray.shutdown()
    section = Section(
        name="batch-ray",
        title="Batches on Ray",
        tables=(table(took),),
        figures=tuple(figures(took)),
        notes=NOTES.format(
            rounds=rounds, at_once=AT_ONCE, most=AT_ONCE / SECONDS, few=few, rows=rows
        ),
        versions={name: version(name) for name in ("aiohttp", "python", "ray", "tailrace")},
    )
    publish(section, options)


def begun() -> Any:
    """Ray, on this machine, without a word to anybody."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
    ray = import_module("ray")
    ray.init(
        num_cpus=8,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    import_module("ray.data").DataContext.get_current().enable_progress_bars = False
    return ray


def measured(folder: Path, rows: int, few: int, rounds: int) -> Took:
    """What each contender took a row, round by round, each in another order."""
    file = written(folder / "rows.jsonl", rows)
    field: dict[str, tuple[Callable[[str, Path], int], int]] = {
        PROCESSOR: (lambda url, _: processed(url, few), few),
        ASK: (lambda url, _: asked(url, rows), rows),
        ONE: (lambda url, out: in_one(url, file, out), rows),
        RUN: (lambda url, out: by_workers(url, file, out), rows),
    }
    took: Took = {name: [] for name in field}
    names = list(field)
    for number in range(rounds):
        for index, name in enumerate(names[number:] + names[:number]):
            work, count = field[name]
            with serving(SECONDS) as url:
                done = work(url, folder / f"{number}-{index}")
                ended = time.monotonic_ns()
                with urllib.request.urlopen(f"{url.removesuffix('/v1')}/first") as reply:  # noqa: S310
                    first = int(reply.read())
            if done != count:
                raise SystemExit(f"{name} has {done} of {count} answers")
            took[name].append({"seconds": (ended - first) / 1e9 / count})
    return took


def processed(url: str, count: int) -> int:
    """Ray Data's stage."""
    llm = import_module("ray.data.llm")
    config = llm.HttpRequestProcessorConfig(url=f"{url}/chat/completions", concurrency=1)
    processor = llm.build_processor(
        config,
        preprocess=lambda row: {
            "payload": {"model": "bench", "messages": [{"role": "user", "content": row["prompt"]}]}
        },
        postprocess=lambda row: {"text": row["http_response"]["choices"][0]["message"]["content"]},
    )
    with contextlib.redirect_stdout(None):
        return sum(1 for row in processor(dataset(count)).take_all() if row["text"])


def asked(url: str, count: int) -> int:
    """Our stage."""
    stage = dataset(count).map_batches(
        tailrace.ray.Ask,
        fn_constructor_kwargs={"site": site(url), "plan": batch.Plan(concurrency=AT_ONCE)},
        batch_size=2 * AT_ONCE,
        concurrency=1,
    )
    return sum(1 for row in stage.take_all() if row["error"] is None and row["text"])


def in_one(url: str, rows: Path, out: Path) -> int:
    """A run in this process."""
    plan = batch.Plan(concurrency=AT_ONCE)
    return asyncio.run(batch.run(rows, out, site(url), plan)).done


def by_workers(url: str, rows: Path, out: Path) -> int:
    """A run by four workers."""
    plan = batch.Plan(concurrency=AT_ONCE)
    return tailrace.ray.run(rows, out, site(url), plan, workers=4).done


def dataset(count: int) -> Any:
    """A dataset of prompts, in one block, so that one actor has all of it."""
    prompts = [{"prompt": PROMPT} for _ in range(count)]
    return import_module("ray.data").from_items(prompts, override_num_blocks=1)


def site(url: str) -> Site:
    """The server as a site."""
    return Site(url, software="openai", model="bench")


def table(took: Took) -> Table:
    """Rows a second."""
    cells = []
    for name, rounds in took.items():
        seconds = statistics.median(each["seconds"] for each in rounds)
        times = ratio(took, "seconds", PROCESSOR, name)
        cells.append((name, told(1 / seconds), told(times)))
    return Table("Rows", ("", "rows a second", "times Ray Data's stage"), tuple(cells))


def figures(took: Took) -> Iterator[Figure]:
    """What is to be reached."""
    yield Figure(
        "batch: seconds of the stage against Ray Data's",
        ratio(took, "seconds", ASK, PROCESSOR),
        1 / 10,
        1 / 20,
    )
    yield Figure(
        "batch: seconds of four Ray workers against one process",
        ratio(took, "seconds", RUN, ONE),
        1 / 0.9,
    )


if __name__ == "__main__":
    main()
