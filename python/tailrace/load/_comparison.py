"""Two reports side by side: what became faster or slower, and what may be chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from tailrace.load._distribution import Distribution
    from tailrace.load._report import Report

__all__ = ["Change", "Comparison", "compare"]

Verdict = Literal["faster", "slower", "no difference shown"]

_COMPARED = (0.5, 0.9, 0.95, 0.99)
_TIMES = ("ttft", "gap", "whole")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The change of one figure from one run to another.

    `time`: ``ttft``, ``gap`` or ``whole``; `part`: the quantile, 0.5 for the median; `before` and
    `after` in seconds, and their 95 % confidence intervals. `verdict`: ``faster`` or ``slower``
    where the intervals have nothing in common, and the difference is more than a client was late
    (the p99 of its lag).
    """

    time: str
    part: float
    before: float
    after: float
    before_within: tuple[float, float]
    after_within: tuple[float, float]
    verdict: Verdict

    @property
    def ratio(self) -> float | None:
        """`after` divided by `before`; None where that was 0."""
        return self.after / self.before if self.before else None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs compared.

    `changes`: the figures that both have; `warnings`: why the two should not be compared, or not
    without care, in words.
    """

    before: Report
    after: Report
    changes: list[Change]
    warnings: tuple[str, ...] = ()


def compare(before: Report, after: Report) -> Comparison:
    """Compare two reports, quantile by quantile."""
    lag = max(before.client.lag.p99 or 0.0, after.client.lag.p99 or 0.0)
    found = (
        _change(name, getattr(before, name), getattr(after, name), part, lag)
        for name in _TIMES
        for part in _COMPARED
    )
    changes = [change for change in found if change is not None]
    return Comparison(
        before=before, after=after, changes=changes, warnings=tuple(_warnings(before, after))
    )


def _change(
    name: str, before: Distribution, after: Distribution, part: float, lag: float
) -> Change | None:
    was, is_now = before.quantile(part), after.quantile(part)
    was_within, is_within = before.interval(part), after.interval(part)
    if was is None or is_now is None or was_within is None or is_within is None:
        return None
    verdict: Verdict = "no difference shown"
    if is_within[1] < was_within[0] and was - is_now > lag:
        verdict = "faster"
    elif is_within[0] > was_within[1] and is_now - was > lag:
        verdict = "slower"
    return Change(
        time=name,
        part=part,
        before=was,
        after=is_now,
        before_within=was_within,
        after_within=is_within,
        verdict=verdict,
    )


def _warnings(before: Report, after: Report) -> list[str]:
    """Say what else differs between the two runs, and what is wrong with either."""
    found = [
        f"the runs differ in their {what}: {one or 'none'} and {other or 'none'}"
        for what, one, other in (
            ("plan", str(before.plan), str(after.plan)),
            ("software", before.software, after.software),
            ("engine", before.engine, after.engine),
            ("model", before.model, after.model),
            ("source of tokens", before.tokens.source, after.tokens.source),
        )
        if one != other
    ]
    for name, report in (("run before", before), ("run after", after)):
        client = report.client
        found += [f"the client may have limited the {name}: {why}" for why in client.limited_by]
        lost = report.requests - report.whole_answers
        if lost:
            found.append(f"{lost} of {report.requests} requests of the {name} got no whole answer")
        if report.interrupted:
            found.append(f"the {name} was interrupted")
    return found
