"""How true the times of ``tailrace load`` are: against a server that notes when it sent what.

Both take the machine's monotonic clock. The error of a time to the first delta is the time from
the server's first write to the moment that the report takes for it; that of a gap is the
difference between the reported one and that of the server's writes. What the two processes have to
wait for a core is a part of both.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import aiohttp

from report import Section, Table, arguments, publish, version
from tailrace import Site
from tailrace.load import Plan, _fleet_calls, _running, run
from tailrace.load._calls import measure
from tailrace.load._distribution import Times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace._over_fleet import Engine
    from tailrace.load import Distribution, Report
    from tailrace.load._calls import MeasuredCall

FOLDER = Path(__file__).resolve().parent
ROUNDS = 3  # requests of each user
EVENTS = 10  # as the server sends them
RUNS = ((10, 0.2), (100, 0.2), (1000, 1.0), (1000, 0.2))
"""Users, and seconds between two events of a reply; the last is more than a core can read."""
QUANTILES = (0.5, 0.9, 0.99)
NOTES = """\
Replies of {events} events, {rounds} of each user, who come over a warm-up of 2 s.
Errors are the way from the server's write to the client's read: the client's lag and the server's
own turns are in them, as both share the machine's cores. "Over a fleet" is `--engine fleet`, whose
times do not wait for Python. "Reported" are percentiles of the report,
"true" those of the server's own times. The gaps' errors go both ways: one that is read late makes
the next one short."""


class Truth:
    """The measured calls of one run, and when the server sent the events of each."""

    def __init__(
        self, calls: dict[str, MeasuredCall], sent: dict[str, list[int]], measured: int
    ) -> None:
        self.ttft, self.gap = Times(), Times()
        self.ttft_errors: list[int] = []
        self.gap_errors: list[int] = []
        by_due = sorted(calls.items(), key=lambda each: each[1].due)
        for name, call in by_due[-measured:]:  # those of the warm-up were due before
            self._add(call, sent[name])

    def _add(self, call: MeasuredCall, sent: list[int]) -> None:
        if call.first is None or len(call.gaps) != len(sent) - 1:
            raise SystemExit("a reply did not come whole: nothing can be said of it")
        self.ttft.add(sent[0] - call.due)
        self.ttft_errors.append(call.first - sent[0])
        true = [after - before for before, after in pairwise(sent)]
        for gap, each in zip(call.gaps, true, strict=True):
            self.gap.add(each)
            self.gap_errors.append(gap - each)


def main() -> None:
    """Measure, publish."""
    options = arguments(__doc__)
    plans = ((2, 0.02),) if options.quick else RUNS
    with serving() as origin:
        runs = {
            f"{users} users, {pace * 1e3:.0f} ms{shown}": asyncio.run(
                measured(origin, users, pace, engine)
            )
            for users, pace in plans
            for engine, shown in engines()
        }
    section = Section(
        name="load",
        title="Times of a load",
        tables=(errors_table(runs), percentiles_table(runs)),
        notes=NOTES.format(events=EVENTS, rounds=ROUNDS),
        versions={package: version(package) for package in ("aiohttp", "python", "tailrace")},
    )
    publish(section, options)


# -- measuring -------------------------------------------------------------------------------------


@contextmanager
def serving() -> Iterator[str]:
    """The server's origin; the server ends with the block."""
    command = [sys.executable, str(FOLDER / "load_server.py")]
    with subprocess.Popen(  # noqa: S603 - our own command line
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            port = server.stdout.readline() if server.stdout else ""
            yield f"http://127.0.0.1:{int(port)}"
        finally:
            server.terminate()


def engines() -> Iterator[tuple[Engine, str]]:
    """The engines that are installed, and how their rows are told apart."""
    yield "process", ""
    if find_spec("tailrace_fleet") is not None:
        yield "fleet", ", over a fleet"


async def measured(origin: str, users: int, pace: float, engine: Engine) -> tuple[Report, Truth]:
    """One run, and the truth about it."""
    calls: dict[str, MeasuredCall] = {}
    over_fleet = _fleet_calls.FleetCalls.measure

    async def kept(call: MeasuredCall, site: Site, prompt: str, *rest: Any) -> None:
        await measure(call, site, prompt, *rest)
        calls[prompt] = call

    async def kept_over_fleet(self: Any, call: MeasuredCall, prompt: str) -> None:
        await over_fleet(self, call, prompt)
        calls[prompt] = call

    site = Site(f"{origin}/v1", software="openai", model="any")
    requests = users * ROUNDS
    # Those of the warm-up are asked, too, and more than once where they are quick.
    prompts = [f"{pace} {number}" for number in range(4 * requests + 100)]
    plan = Plan(users=users, requests=requests, ramp=True, warm_up=0.1 if users < 10 else 2.0)  # noqa: PLR2004
    with (
        patch.object(_running, "measure", kept),
        patch.object(_fleet_calls.FleetCalls, "measure", kept_over_fleet),
    ):
        report = await run(site, plan, prompts=prompts, engine=engine)
    async with aiohttp.ClientSession() as session, session.get(f"{origin}/sent") as reply:
        sent = json.loads(await reply.read())
    return report, Truth(calls, sent, report.requests)


# -- telling ---------------------------------------------------------------------------------------


def errors_table(runs: dict[str, tuple[Report, Truth]]) -> Table:
    """The errors, in milliseconds; a row for each number of users and each kind of time."""
    cells = []
    for shown, (report, truth) in runs.items():
        lag = report.client.lag
        for name, errors in (("TTFT", truth.ttft_errors), ("gap", truth.gap_errors)):
            low, high = quantile(errors, 0.01), quantile(errors, 0.99)
            cells.append(
                (
                    f"{shown}, {name}",
                    *(f"{each / 1e6:.2f}" for each in (low, quantile(errors, 0.5), high)),
                    f"{max(map(abs, errors)) / 1e6:.2f}",
                    *(f"{(each or 0) * 1e3:.2f}" for each in (lag.p50, lag.p99, lag.most)),
                )
            )
    return Table(
        "Errors, ms",
        ("", "p1", "p50", "p99", "largest", "client's lag, p50", "p99", "max"),
        tuple(cells),
    )


def quantile(errors: list[int], part: float) -> int:
    """The quantile of errors, which may be negative."""
    return sorted(errors)[min(int(part * len(errors)), len(errors) - 1)]


def percentiles_table(runs: dict[str, tuple[Report, Truth]]) -> Table:
    """The reported percentiles beside the true ones, in milliseconds."""
    cells = []
    for shown, (report, truth) in runs.items():
        for name, reported, true in (
            ("TTFT", report.ttft, truth.ttft.distribution()),
            ("gap", report.gap, truth.gap.distribution()),
        ):
            cells.append((f"{shown}, {name}", *pairs(reported, true)))
    head = [f"{kind} p{part * 100:.0f}" for part in QUANTILES for kind in ("reported", "true")]
    return Table("Percentiles, ms", ("", *head), tuple(cells))


def pairs(reported: Distribution, true: Distribution) -> Iterator[str]:
    """The reported and the true quantiles, in turns."""
    for part in QUANTILES:
        for times in (reported, true):
            yield f"{(times.quantile(part) or 0.0) * 1e3:.1f}"


if __name__ == "__main__":
    main()
