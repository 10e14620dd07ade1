"""A report, or two compared, as one HTML page that fetches nothing and runs no script."""

from __future__ import annotations

from html import escape
from math import inf
from typing import TYPE_CHECKING

from tailrace.load._plots import Line, Plot, plot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tailrace.load._comparison import Comparison
    from tailrace.load._distribution import Distribution
    from tailrace.load._report import Report
    from tailrace.load._series import Slot

__all__ = ["comparison_page", "report_page", "shown_time"]

_MEASURED = {
    "ttft": "time to the first delta",
    "gap": "from one delta to the next",
    "whole": "whole answer",
    "late": "begun after it was due",
}
"""The times of a report, by the name of their field, as a page calls them."""


def report_page(report: Report) -> str:
    """Return a report as one HTML page with plots, which fetches nothing and runs no script."""
    return _page(
        f"Load on {report.site}",
        [
            _facts(report),
            _warnings("The client may have been the limit", report.client.limited_by),
            _times(report),
            _counts(report),
            *_over_time([("", report)]),
            *_distributions([("", report)]),
        ],
    )


def comparison_page(comparison: Comparison) -> str:
    """Return two reports side by side as one HTML page, which fetches nothing, without script."""
    before, after = comparison.before, comparison.after
    runs = [("before", before), ("after", after)]
    return _page(
        f"Load on {before.site}, compared with {after.site}",
        [
            _warnings("Compare with care", comparison.warnings),
            _changes(comparison),
            *_distributions(runs),
            *_over_time(runs),
            *(_one(name, run) for name, run in runs),
        ],
    )


def _one(name: str, run: Report) -> str:
    return f"<h2>The run {name}</h2>{_facts(run)}{_times(run)}{_counts(run)}"


def shown_time(seconds: float | None) -> str:
    """Return a time as people read it, in milliseconds or microseconds; a dash for none."""
    if seconds is None:
        return "-"
    ms = seconds * 1e3
    if ms >= 100:  # noqa: PLR2004 - three digits
        return f"{ms:,.0f} ms"
    return f"{ms:.1f} ms" if ms >= 1 else f"{seconds * 1e6:.0f} µs"


def _page(title: str, parts: Iterable[str]) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1>{''.join(parts)}</html>\n"
    )


def _facts(report: Report) -> str:
    rates, client = report.rates, report.client
    facts = {
        "site": f"{report.url} ({report.software})",
        "model": report.model or "the site's default",
        "begun": report.at,
        "plan": str(report.plan),
        "measured": f"{report.seconds:.1f} s{', interrupted' if report.interrupted else ''}",
        "requests": f"{report.requests}, {report.whole_answers} whole answers",
        "answers": f"{rates.answers:.2f} a second",
        "tokens": f"{rates.tokens:,.1f} a second, counted from {report.tokens.source}",
        "client": f"{_clock(report)}; {client.processor:.0%} of a core",
    }
    rows = "".join(f"<dt>{name}<dd>{escape(text)}" for name, text in facts.items())
    return f"<dl>{rows}</dl>"


def _clock(report: Report) -> str:
    lag = report.client.lag
    if report.engine == "fleet":
        return "times were taken by a fleet, which waits for no loop"
    p50, p99, most = map(shown_time, (lag.p50, lag.p99, lag.most))
    return f"its loop was late by {p50} (p50), {p99} (p99), {most} (max)"


def _warnings(title: str, warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    lines = "".join(f"<li>{escape(each)}" for each in warnings)
    return f'<section class="warn"><strong>{title}</strong><ul>{lines}</ul></section>'


def _times(report: Report) -> str:
    measured = {name: getattr(report, name) for name in _MEASURED}
    lag = shown_time(report.client.lag.p99)
    rows = [
        [_MEASURED[name], *map(shown_time, _cells(each)), lag, f"{each.count:,}"]
        for name, each in measured.items()
        if each.count
    ]
    head = ["", "p50", "p90", "p95", "p99", "max", "client's lag, p99", "count"]
    return _table(head, rows)


def _cells(times: Distribution) -> tuple[float | None, ...]:
    return times.p50, times.p90, times.p95, times.p99, times.most


def _counts(report: Report) -> str:
    parts = {"ends": report.ends, "errors": report.errors, "HTTP": report.statuses}
    rows = [
        [part, name, str(count), report.examples.get(name, "") if part == "errors" else ""]
        for part, counts in parts.items()
        for name, count in sorted(counts.items())
    ]
    return _table(["", "", "requests", ""], rows)


def _changes(comparison: Comparison) -> str:
    rows = [
        [
            f"{_MEASURED[each.time]}, p{each.part * 100:.0f}",
            f"{shown_time(each.before)} ({_within(each.before_within)})",
            f"{shown_time(each.after)} ({_within(each.after_within)})",
            "" if each.ratio is None else f"{each.ratio:.2f}",
            each.verdict,
        ]
        for each in comparison.changes
    ]
    return _table(["", "before (95 %)", "after (95 %)", "after / before", ""], rows)


def _within(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{shown_time(low)} {'and more' if high == inf else f'to {shown_time(high)}'}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{escape(cell)}" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}' for cell in row)}" for row in rows)
    return f"<table><thead><tr>{cells}<tbody>{body}</table>"


_Runs = list[tuple[str, "Report"]]


def _distributions(runs: _Runs) -> list[str]:
    """Return how much of each time is below what, a line a run."""
    return [
        plot(
            Plot(
                title=f"{text}: part of all below",
                lines=[
                    Line(name, getattr(report, time).cumulative(), is_step=True)
                    for name, report in runs
                ],
                x_name="time, logarithmic",
                x_text=shown_time,
                y_text=lambda part: f"{part:.0%}",
                is_log=True,
            )
        )
        for time, text in _MEASURED.items()
        if any(getattr(report, time).count for _, report in runs)
    ]


def _over_time(runs: _Runs) -> list[str]:
    """Return what happened when, a line or two a run."""
    shaded = max(report.plan.lead for _, report in runs) if len(runs) == 1 else 0.0
    return [
        plot(
            Plot(
                title=title,
                lines=[
                    Line(f"{name} {what}".strip(), _points(report, value))
                    for name, report in runs
                    for what, value in lines.items()
                ],
                x_name="seconds from the beginning; the warm-up is shaded"
                if shaded
                else "seconds from the beginning",
                x_text=lambda seconds: f"{seconds:g}",
                y_text=text,
                shaded=shaded,
            )
        )
        for title, text, lines in _OVER_TIME
    ]


def _points(
    report: Report, value: Callable[[Slot, float], float | None]
) -> list[tuple[float, float | None]]:
    width = report.series.width
    return [
        ((number + 0.5) * width, value(slot, width))
        for number, slot in enumerate(report.series.slots)
    ]


def _plain(value: float) -> str:
    return f"{value:g}"


_OVER_TIME: tuple[
    tuple[str, Callable[[float], str], dict[str, Callable[[Slot, float], float | None]]], ...
] = (
    (
        "Time to the first delta, and the client's lag",
        shown_time,
        {
            "p50": lambda slot, _: slot.ttft_p50,
            "p99": lambda slot, _: slot.ttft_p99,
            "lag": lambda slot, _: slot.lag,
        },
    ),
    ("Requests under way", _plain, {"most at once": lambda slot, _: slot.open}),
    (
        "Requests a second",
        _plain,
        {
            "begun": lambda slot, width: slot.begun / width,
            "whole": lambda slot, width: slot.whole / width,
            "failed": lambda slot, width: slot.failed / width,
        },
    ),
    ("Tokens a second", _plain, {"tokens": lambda slot, width: slot.tokens / width}),
)

_STYLE = """
:root{color-scheme:light dark;--l0:#0072b2;--l1:#d55e00;--l2:#009e73;--l3:#9b5fc0;--l4:#7a6a00;
--l5:#c2185b;--grid:#8884}
@media(prefers-color-scheme:dark){:root{--l0:#56b4e9;--l1:#ff9f4a;--l2:#3fd6a7;--l3:#cfa3ea;--l4:#d8c64a;
--l5:#ff7fb0}}
body{font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;
display:grid;grid-template-columns:repeat(auto-fit,minmax(min(34rem,100%),1fr));gap:1rem 2rem}
h1,h2,dl,table,section{grid-column:1/-1;margin:0}h1{font-size:1.5rem}h2{font-size:1.2rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1rem}dt{color:#888}dd{margin:0}
table{border-collapse:collapse;justify-self:start;display:block;overflow-x:auto}
th,td{padding:.15rem .8rem;text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th{border-bottom:1px solid #888}th:first-child,td:first-child{text-align:left}
.warn{border-left:4px solid var(--l1);padding-left:1rem}.warn ul{margin:.3rem 0}
figure{margin:0}svg{width:100%;height:auto}svg text{font-size:12px;fill:currentColor}
figcaption span{margin-left:.8em;white-space:nowrap}figcaption span::before{content:"\\25cf  "}
.line{fill:none;stroke-width:1.6;stroke-linecap:round}.grid{stroke:var(--grid);fill:none}
.shade{fill:var(--grid)}
""" + "".join(
    f"span.l{number}::before{{color:var(--l{number})}}.line.l{number}{{stroke:var(--l{number})}}"
    for number in range(6)
)
