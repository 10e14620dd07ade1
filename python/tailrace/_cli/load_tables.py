"""The tables of ``tailrace load``, with rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tailrace._printable import visible_line
from tailrace.load._page import shown_time

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tailrace.load import Comparison, Report

__all__ = ["comparison_table", "report_table"]

_NAMES = {"ttft": "TTFT", "gap": "gap", "whole": "whole answer", "late": "begun late"}


def report_table(report: Report) -> RenderableType:
    """Return a report as a table of its times and lines of its counts, 80 columns wide."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for name in ("p50", "p90", "p95", "p99", "max", "lag p99"):
        table.add_column(name, justify="right", no_wrap=True, min_width=9)
    lag = shown_time(report.client.lag.p99)
    for name, shown in _NAMES.items():
        each = getattr(report, name)
        if each.count:
            cells = (each.p50, each.p90, each.p95, each.p99, each.most)
            table.add_row(shown, *map(shown_time, cells), lag)
    return Group(table, *map(Text, _lines(report)))


def _lines(report: Report) -> list[str]:
    rates, client = report.rates, report.client
    lag = "times by a fleet"
    if report.engine == "process":
        p50, p99, most = map(shown_time, (client.lag.p50, client.lag.p99, client.lag.most))
        lag = f"lag p50 {p50}, p99 {p99}, max {most}"
    ends = ", ".join(f"{count} {end}" for end, count in sorted(report.ends.items())) or "-"
    if report.under_way:
        ends += f", {report.under_way} under way"
    if report.warm_up_unfinished:
        ends += f"; of the warm-up {report.warm_up_unfinished} unfinished"
    statuses = [f"{status}: {count}" for status, count in sorted(report.statuses.items())]
    tokens = f"{rates.tokens:,.0f} tokens a second (from {report.tokens.source})"
    return [
        "",
        f"requests  {report.requests} in {report.seconds:.1f} s: {ends}",
        *(
            f"errors    {count} {kind}, such as: {visible_line(report.examples.get(kind, ''))}"
            for kind, count in sorted(report.errors.items())
        ),
        f"HTTP      {', '.join(statuses) or '-'}",
        f"rates     {rates.answers:.2f} answers a second, {tokens}",
        f"client    {lag}; {client.processor:.0%} of a core",
        *(f"          maybe the limit: {reason}" for reason in client.limited_by),
    ]


def comparison_table(comparison: Comparison) -> RenderableType:
    """Return what changed from one run to another, with what was found wrong below it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("", "before", "after", "after / before", ""):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for each in comparison.changes:
        table.add_row(
            f"{_NAMES[each.time]} p{each.part * 100:.0f}",
            shown_time(each.before),
            shown_time(each.after),
            "-" if each.ratio is None else f"{each.ratio:.2f}",
            each.verdict,
        )
    before, after = comparison.before.rates, comparison.after.rates
    return Group(
        table,
        Text(""),
        Text(f"answers a second: {before.answers:.2f}, {after.answers:.2f}"),
        Text(f"tokens a second: {before.tokens:,.0f}, {after.tokens:,.0f}"),
        *(Text(visible_line(f"note: {warning}")) for warning in comparison.warnings),
    )
