"""What was measured, written down.

The raw figures in `results/<date>.json`, the page in `results/<date>.md`.

A program publishes its section under its name; what the others published the same day stays.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tailrace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from timing import Samples

__all__ = [
    "RESULTS",
    "Figure",
    "Options",
    "Section",
    "Table",
    "arguments",
    "medians",
    "publish",
    "rows",
    "told",
    "version",
    "with_spread",
]

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
ORDER = (
    "decode",
    "page",
    "sign",
    "memory",
    "bulk",
    "endtoend",
    "fast",
    "load",
    "batch",
    "batch-ray",
    "fleet",
    "gateway",
)
METHOD = """\
Contenders take turns in one process, in another order each round, and every result is compared \
with what the generator
put in; a turn under 50 ms is preceded by one that does not count. Times are CPU time of the \
thread: the median of the
rounds, the quartiles in brackets. The machine's speed drifts, so the ratios count: each is the \
median of the rounds'
own ratios."""
LARGE = 100  # from here on figures are told without decimals


@dataclass(frozen=True, slots=True)
class Options:
    """What a run was asked for."""

    date: str
    folder: Path
    quick: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure to reach: the less, the better."""

    what: str
    measured: float
    reach: float | None = None  # None: for orientation
    beyond: float | None = None
    unit: str = ""

    def row(self) -> tuple[str, ...]:
        """What, measured, wanted, verdict."""
        wanted = ("" if figure is None else f"{figure:g}" for figure in (self.reach, self.beyond))
        return (self.what, told(self.measured, self.unit), *wanted, self.verdict())

    def verdict(self) -> str:
        """How it stands."""
        if self.reach is None:
            return ""
        if self.beyond is not None and self.measured <= self.beyond:
            return "beyond"
        return "reached" if self.measured <= self.reach else "**not reached**"


@dataclass(frozen=True, slots=True)
class Section:
    """What one program measured."""

    name: str
    title: str
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...] = ()
    notes: str = ""  # Markdown
    versions: Mapping[str, str] = field(default_factory=dict)
    medians: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # workload, contender, what was taken


def arguments(description: str | None) -> Options:
    """The command line that all programs here share."""
    parser = argparse.ArgumentParser(description=description)
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    parser.add_argument(
        "--date", default=today, help="the day the results are filed under; today unless given"
    )
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where results are filed")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a smoke run: little work, contenders as installed, no files",
    )
    asked = parser.parse_args()
    return Options(asked.date, asked.folder, asked.quick)


def publish(section: Section, options: Options) -> None:
    """Show the section; file it, unless the run was a quick one."""
    print(rendered(asdict(section)))
    if options.quick:
        return
    file = options.folder / f"{options.date}.json"
    results: dict[str, Any] = (
        json.loads(file.read_text("utf-8"))
        if file.exists()
        else {"date": options.date, "sections": {}}
    )
    results["machine"] = machine()
    results["sections"][section.name] = asdict(section)
    options.folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    file.with_suffix(".md").write_text(document(results), "utf-8")


def document(results: Mapping[str, Any]) -> str:
    """All sections as one page."""
    sections = sorted(
        results["sections"].values(), key=lambda section: ORDER.index(section["name"])
    )
    figures = [Figure(**figure).row() for section in sections for figure in section["figures"]]
    versions = {
        package: told for section in sections for package, told in section["versions"].items()
    }
    parts = [
        f"# Speed, {results['date']}",
        f"Made by `make bench DATE={results['date']}` on {results['machine']}.",
        METHOD,
        "## Figures to reach",
        rows(("what", "measured", "reach", "beyond", ""), figures),
        *map(rendered, sections),
        "## Versions",
        rows(("package", "version"), sorted(versions.items())),
    ]
    return "\n\n".join(parts) + "\n"


def rendered(section: Mapping[str, Any]) -> str:
    """A section as Markdown."""
    parts = [f"## {section['title']}"]
    for table in section["tables"]:
        parts += [f"### {table['title']}", rows(table["columns"], table["rows"])]
    return "\n\n".join([*parts, section["notes"]]).rstrip()


def rows(columns: Iterable[str], cells: Iterable[Iterable[str]]) -> str:
    """A table as Markdown, figures to the right."""
    head = list(columns)
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *cells))


def told(figure: float, unit: str = "") -> str:
    """A figure as a reader wants it: three digits or more."""
    return f"{figure:,.0f} {unit}".rstrip() if figure >= LARGE else f"{figure:.3g} {unit}".rstrip()


def with_spread(samples: Samples, name: str) -> str:
    """Median and quartiles; nothing for who did not run."""
    if name not in samples.rounds:
        return ""
    first, third = samples.quartiles(name)
    return f"{told(samples.median(name))} ({told(first)} to {told(third)})"


def medians(samples: Samples, ours: str) -> dict[str, dict[str, float]]:
    """What is filed of each contender: its time, and that divided by ours."""
    filed = {}
    for name in samples.rounds:
        first, third = samples.quartiles(name)
        filed[name] = {
            "median": samples.median(name),
            "first_quartile": first,
            "third_quartile": third,
            "times_ours": samples.ratio(name, ours),
        }
    return filed


def version(package: str) -> str:
    """The installed version; of what comes from npm, the one in its own package file."""
    if package == "python":
        return platform.python_version()
    if package == "tailrace":
        return tailrace.__version__
    if package == "node":
        asked = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)  # noqa: S607
        return asked.stdout.strip().removeprefix("v")
    module = FOLDER / "node_modules" / package / "package.json"
    if module.is_file():
        return str(json.loads(module.read_text("utf-8"))["version"])
    return metadata.version(package)


def machine() -> str:
    """The class of machine, no more."""
    cores = os.cpu_count()
    name = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{name}, {platform.system()} {platform.machine()} ({processor()}), {cores} cores"


def processor() -> str:
    """The processor's own name where Linux tells it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
