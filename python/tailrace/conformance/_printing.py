"""Reports for people and for machines."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tailrace import __version__
from tailrace._printable import visible, visible_line
from tailrace.conformance._rulebook import LEVELS

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from tailrace.conformance._judging import Counterexample, Report, RuleResult, State
    from tailrace.conformance._rulebook import Rule

__all__ = ["as_json", "counted", "listed", "printed"]

STYLES: Mapping[State, str] = {
    "kept": "green",
    "broken": "red",
    "not claimed": "dim",
    "not asked": "yellow",
}
LONG = 300
"""The most characters of bytes, events and text that are shown."""


def listed(rules: Iterable[Rule], *, machine: bool) -> str:
    """Return the list of `rules`, as text or, with `machine`, as JSON."""
    if machine:
        return json.dumps([_rule(rule) for rule in rules], indent=1) + "\n"
    return "".join(
        f"{rule.id}\n    {rule.says}\n    {rule.level}: {_source(rule)}\n" for rule in rules
    )


def printed(report: Report, name: str, allowed: Container[str] = ()) -> None:
    """Print a table of all rules, and below it each broken one with the split that shows it.

    `allowed`: the ids of the rules that may be broken, which are told from the others.
    """
    console = Console(highlight=False)
    console.print(Text(visible_line(f"{name} ({report.kind})"), style="bold"))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(no_wrap=True)
    level = ""
    for result in report.results:
        rule = result.rule
        if rule.level != level:
            level = rule.level
            table.add_row(
                Text(f"\n{level}", style="bold"), Text(f"\n{LEVELS[rule.level]}", style="bold")
            )
        state = _state(result, allowed)
        table.add_row(rule.id, Text(rule.says), Text(state, style=STYLES[result.state]))
    console.print(table)
    for result in report.results:
        if result.counterexamples:
            _print_counterexamples(console, result)
    for level, counts in counted(report).items():
        console.print(
            f"{level}: " + ", ".join(f"{count} {state}" for state, count in counts.items())
        )


def _state(result: RuleResult, allowed: Container[str]) -> str:
    told = result.state == "broken" and result.rule.id in allowed
    return "broken, allowed" if told else result.state


def _print_counterexamples(console: Console, result: RuleResult) -> None:
    console.print(Text(f"\n{result.rule.id}: {result.rule.says}", style="bold"), soft_wrap=True)
    console.print(Text(f"  source    {_source(result.rule)}"), soft_wrap=True)
    for broken in result.counterexamples:
        rows = [
            ("case", broken.case.name),
            ("reads", " ".join(map(repr, broken.split))),
            ("expected", _shown(broken.expected)),
            ("got", broken.lost or _shown(broken.got)),
        ]
        if broken.failure is not None:
            rows.append(("failure", broken.failure))
        rows += [("reported", report) for report in broken.case.reports]
        for what, value in rows:
            console.print(Text(f"  {what:<9} {_short(value)}"), soft_wrap=True)
    console.print(f"  {len(result.counterexamples)} of its {len(result.rule.cases)} cases broken")


def counted(report: Report) -> dict[str, dict[str, int]]:
    """Count the rules of each level by their state."""
    states = [(result.rule.level, result.state) for result in report.results]
    return {
        level: {state: states.count((level, state)) for state in STYLES if (level, state) in states}
        for level in dict.fromkeys(level for level, _ in states)
    }


def as_json(report: Report, name: str, allowed: Container[str] = ()) -> dict[str, Any]:
    """Return the whole report as JSON values; bytes are hexadecimal.

    `name`: the decoder's; `allowed`: the ids of the rules that may be broken.
    """
    return {
        "tailrace": __version__,
        "decoder": name,
        "kind": report.kind,
        "claims": sorted(report.claims),
        "seed": report.seed,
        "counts": counted(report),
        "allowed": [rule for rule in report.broken if rule in allowed],
        "rules": [
            {
                **_rule(result.rule),
                "state": result.state,
                "asked": result.splits_tried,
                "breaks": [_counterexample(broken) for broken in result.counterexamples],
            }
            for result in report.results
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "kind": rule.kind,
        "level": rule.level,
        "says": rule.says,
        "source": rule.source,
        "url": rule.url,
        "needs": sorted(rule.needs),
        "cases": [case.name for case in rule.cases],
    }


def _counterexample(broken: Counterexample) -> dict[str, Any]:
    return {
        **{key: value for key, value in asdict(broken).items() if key not in ("case", "split")},
        "case": broken.case.name,
        "split": [chunk.hex() for chunk in broken.split],
    }


def _source(rule: Rule) -> str:
    return f"{rule.source}, {rule.url}" if rule.url else rule.source


def _shown(decoded: Any) -> str:
    if isinstance(decoded, str | dict):
        return ascii(decoded)
    return " ".join(map(ascii, decoded)) or "nothing"


def _short(text: str) -> str:
    shown = text if len(text) <= LONG else f"{text[:LONG]}... ({len(text)} characters)"
    return visible(shown)  # a failure is told in the words of the program under test
