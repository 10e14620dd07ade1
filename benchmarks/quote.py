"""Puts the results of a day into the tables of speed of the README and docs/benchmarks.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contenders import BUFFERED, OURS
from contenders import pages as page_readers
from report import arguments, rows, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Taken = dict[str, dict[str, float]]

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- quoted by benchmarks/quote.py -->\n", "<!-- end of the quotation -->\n"
W1 = "W1, 1400 B"
SIGNER = "tailrace sign_request"
WORK = {
    "W1i, every id another, an event": ("W1i, 1400 B", OURS),
    "W2, unicode, an event": ("W2, 1400 B", OURS),
    "W3, tiny, an event": ("W3, 1400 B", OURS),
    "W4, 2 KB with escapes, an event": ("W4, 1400 B", OURS),
    "W4p, 2 KB plain, an event": ("W4p, 1400 B", OURS),
    "W5, a JSON body of 8 KB with PHP's escapes": ("W5", BUFFERED),
    "W5p, the same, plain": ("W5p", BUFFERED),
    "a page of 300 KB to its bot": ("page", page_readers.OURS),
    "signing 100 B": ("sign 100 B", SIGNER),
}
BULK = {
    "`decode_many`, in memory": ("bulk, memory", "tailrace.decode_many"),
    "`tailrace decode`, files": ("bulk, plain", "tailrace decode"),
    "`tailrace decode`, gzip": ("bulk, gzip", "tailrace decode"),
    "`tailrace decode`, zstd": ("bulk, zstd", "tailrace decode"),
}
PROCESSES = "hand loop + msgspec, typed, in processes"


def main() -> None:
    """Put the quotations in their places."""
    options = arguments(__doc__)
    results = json.loads((options.folder / f"{options.date}.json").read_text("utf-8"))
    quote(ROOT / "README.md", in_short(results))
    quote(ROOT / "docs" / "benchmarks.md", at_length(results))


def quote(page: Path, quotation: str) -> None:
    """Replace what stands between the page's two marks."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}{quotation}{END}{after}", "utf-8")


def in_short(results: Mapping[str, Any]) -> str:
    """Everyone on the first workload, and where to find the rest."""
    date = results["date"]
    return (
        f"{first_workload(medians(results))}\n\n"
        f"[Everything](benchmarks/results/{date}.md), "
        f"[as a picture](benchmarks/results/{date}.svg).\n"
        f"Measured on {results['machine']}.\n"
    )


def at_length(results: Mapping[str, Any]) -> str:
    """All tables; a day without the bulk has no table of it."""
    taken = medians(results)
    work = ("other work", "ours, ns", "the fastest other in Python, ns", "times ours")
    many = ("many kept replies, all processors", "GB/s", f"{PROCESSES}, GB/s", "times ours")
    return "\n\n".join(
        (
            first_workload(taken),
            rows(work, others(taken)),
            *([rows(many, bulk(taken))] if "bulk" in results["sections"] else []),
            f"Measured on {results['machine']}.\n",
        )
    )


def medians(results: Mapping[str, Any]) -> dict[str, Taken]:
    """By workload what each contender took."""
    return {
        key: value
        for section in results["sections"].values()
        for key, value in section["medians"].items()
    }


def first_workload(taken: Mapping[str, Taken]) -> str:
    """The table of W1."""
    return rows(("W1 in reads of 1400 B", "ns an event", "times ours"), contenders(taken[W1]))


def contenders(taken: Taken) -> Iterator[tuple[str, ...]]:
    """Everyone, the fastest first."""
    for name in sorted(taken, key=lambda name: taken[name]["median"]):
        yield name, told(taken[name]["median"]), told(taken[name]["times_ours"])


def others(taken: Mapping[str, Taken]) -> Iterator[tuple[str, ...]]:
    """Us and the fastest of the others on everything else."""
    for work, (key, ours) in WORK.items():
        field = taken[key]
        names = [
            name
            for name in field
            if not name.startswith(("tailrace", "node", "floor", "hashlib, the digest"))
        ]
        other = min(names, key=lambda name: field[name]["median"])
        against = f"{other.removeprefix('hand loop + ')}: {told(field[other]['median'])}"
        yield work, told(field[ours]["median"]), against, told(field[other]["times_ours"])


def bulk(taken: Mapping[str, Taken]) -> Iterator[tuple[str, ...]]:
    """Us and the loop in processes, by the wall's clock; what is filed is nanoseconds a byte."""
    for work, (key, ours) in BULK.items():
        mine, other = taken[key][ours], taken[key][PROCESSES]
        yield work, told(1 / mine["median"]), told(1 / other["median"]), told(other["times_ours"])


if __name__ == "__main__":
    main()
