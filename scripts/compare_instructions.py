#!/usr/bin/env python3
"""Gungraun's JSON in, what has changed since the committed counts out.

`compare_instructions.py COUNTS < JSON` shows each row whose instructions changed by more than 2 %,
and `--renew` writes the counts anew. It fails when a row `NAME_x4`, whose input is `NAME`'s four
times over, costs clearly more than four times as much: then a byte costs more the more of them
there are. Counts depend on the compiler and on the processor's instruction sets, so compare what
one machine counted.
"""

import argparse
import json
import sys
from pathlib import Path

SHOWN_CHANGE = 0.02
FOUR_TIMES = 4.2

Counts = dict[str, int]


def main() -> int:
    """Compare, or renew; 1 when a row grows faster than its input, or nothing was counted."""
    parser = argparse.ArgumentParser(
        description="Compare instruction counts with the committed ones."
    )
    parser.add_argument("file", type=Path, help="the committed counts")
    parser.add_argument("--renew", action="store_true", help="write the counts to the file")
    options = parser.parse_args()
    counted = read_summaries(sys.stdin.read())
    if not counted:
        print("Nothing was counted.", file=sys.stderr)
        return 1
    show(read_counts(options.file), counted)
    if options.renew:
        write_counts(options.file, counted)
        print(f"{len(counted)} counts are written to {options.file}.")
    steep = steep_rows(counted)
    for line in steep:
        print(line, file=sys.stderr)
    return 1 if steep else 0


def read_summaries(lines: str) -> Counts:
    """Instructions by row: gungraun writes one JSON object a line for each."""
    summaries = [json.loads(line) for line in lines.splitlines()]
    return {
        summary["id"]: int(
            summary["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"]["new"]
        )
        for summary in summaries
    }


def read_counts(file: Path) -> Counts:
    """Instructions by row as they were written; none when there is no such file yet."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return {name: int(count.replace("_", "")) for name, count in rows}


def write_counts(file: Path, counts: Counts) -> None:
    """Write a line for each row, in the order they ran."""
    head = (
        "# Instructions of each row of instructions.rs. "
        "`make bench-instructions RENEW=1` renews them.\n"
    )
    rows = (f"{name:<28}{count:>14_}\n" for name, count in counts.items())
    file.write_text(head + "".join(rows), encoding="utf-8")


def show(before: Counts, now: Counts) -> None:
    """Print rows that changed, came or went."""
    changed = 0
    for name, count in now.items():
        old = before.get(name)
        if old is None:
            print(f"{name:<28}{'new':>14} -> {count:>13_}")
        elif abs(count - old) > SHOWN_CHANGE * old:
            changed += 1
            print(f"{name:<28}{old:>14_} -> {count:>13_}  {count / old - 1:+8.1%}")
    for name in before.keys() - now.keys():
        print(f"{name:<28}was not counted")
    print(f"{changed} of {len(now)} rows changed by more than {SHOWN_CHANGE:.0%}.")


def steep_rows(counts: Counts) -> list[str]:
    """A sentence for each row whose cost grows faster than its input."""
    return [
        f"{name} costs {count / once:.2f} times what {name.removesuffix('_x4')} does, "
        "for four times the input"
        for name, count in counts.items()
        if name.endswith("_x4")
        and (once := counts.get(name.removesuffix("_x4")))
        and count > FOUR_TIMES * once
    ]


if __name__ == "__main__":
    sys.exit(main())
