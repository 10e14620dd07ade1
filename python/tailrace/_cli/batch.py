"""``tailrace batch``: a file of requests, each answered once."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from contextlib import contextmanager
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import click
from msgspec import structs

from tailrace._calls.retry_policy import RetryPolicy
from tailrace._cli import exits
from tailrace._cli.batch_on_ray import OnRay
from tailrace._cli.completion import model_names, site_names
from tailrace._cli.descriptors import make_room
from tailrace._cli.loop import run
from tailrace._cli.options import (
    SECONDS,
    proxy_option,
    software_option,
    timeout_option,
    trust_option,
)
from tailrace._cli.ownership import make_sure, owned_option
from tailrace._cli.screen import console
from tailrace._printable import visible_line
from tailrace.batch import Plan
from tailrace.batch._beginning import begin, open_input
from tailrace.batch._columns import COLUMNS
from tailrace.batch._inputs import FORMATS
from tailrace.batch._rows import ENDPOINTS
from tailrace.batch._store import is_url
from tailrace.batch._tables import DEFAULT_COLUMNS, check_table, write_table
from tailrace.errors import TailraceError
from tailrace.sites import SOFTWARE, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tailrace.batch import Report
    from tailrace.batch._running import Run
    from tailrace.sites import Site
    from tailrace.sites._software import SoftwareName

__all__ = ["batch"]

_WHOSE = (
    "Ask a server that you pay for or that is yours, or a chat page whose operator has agreed: it "
    "gets as many requests as the input has rows, and whoever pays for its model pays for them."
)
_SHARD = re.compile(r"(\d{1,5})/(\d{1,5})")
_PLAN = ("concurrency", "rpm", "tpm", "row_timeout", "retry_budget", "stop_after", "patience")
_JSON_EVERY = 5.0  # seconds
_LOOK_EVERY = 0.5  # seconds, whether the site is waited for
_TOLD_PAUSE = 5.0  # seconds, from which a Retry-After is told
_COUNT = click.IntRange(min=1)
_RATE = click.FloatRange(min=0, min_open=True)


class _Shard(click.ParamType[tuple[int, int]]):
    """A part of the rows, such as ``3/64``."""

    name = "shard"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return its index and the number of parts, or fail with a usage error."""
        if isinstance(value, tuple):
            return value
        found = _SHARD.fullmatch(str(value))
        if found is None or not int(found[1]) < int(found[2]):
            self.fail(f"{value!r} is no shard: of 64 they are 0/64 to 63/64", param, ctx)
        return int(found[1]), int(found[2])


class _Workers(click.ParamType["int | Literal['node', 'cpu']"]):
    """A number of workers, or one for each of something."""

    name = "workers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["node", "cpu"]:
        """Return the number or the word, or fail with a usage error."""
        if value in ("node", "cpu"):
            return cast("Literal['node', 'cpu']", value)
        if re.fullmatch(r"[1-9]\d{0,5}", str(value)) is None:
            self.fail(f"{value!r} is neither a number nor node or cpu", param, ctx)
        return int(value)


@click.command(epilog=_WHOSE)
@click.argument("input_", metavar="IN")
@click.argument("output", metavar="OUT", type=click.Path(file_okay=False))
@click.option(
    "--site",
    "name",
    required=True,
    shell_complete=site_names,
    help="URL, site of tailrace.toml, or provider.",
)
@software_option("Software of a URL; WordPress unless given.")
@click.option(
    "--model",
    default="",
    shell_complete=model_names,
    help="Of rows that name none; the site's default else.",
)
@click.option(
    "--concurrency",
    type=_COUNT,
    default=64,
    show_default=True,
    help="Requests under way, at most; fewer for a time where the site answers 429 or 503.",
)
@click.option("--fixed", is_flag=True, help="Keep --concurrency whatever the site answers.")
@click.option("--rpm", type=_RATE, help="Requests a minute, evenly.")
@click.option("--tpm", type=_RATE, help="Tokens a minute; estimated before, corrected by usage.")
@click.option(
    "--row-timeout",
    type=SECONDS,
    help="Seconds that one request may take as a whole; the site's, or an hour, unless given.",
)
@click.option(
    "--retry",
    type=_COUNT,
    metavar="N",
    help="Requests of one row, at most, where its failure may pass; 5 or the site's unless given.",
)
@click.option(
    "--retry-budget",
    type=click.FloatRange(min=0),
    default=0.5,
    show_default=True,
    help="Share of all requests that may ask a row again.",
)
@click.option(
    "--stop-after",
    type=_COUNT,
    default=20,
    show_default=True,
    help="Failures of the site in succession, at which one request at a time probes it.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="Seconds without an answer after which the run stops then.",
)
@click.option(
    "--shard",
    type=_Shard(),
    default="0/1",
    metavar="I/N",
    help="The part of the rows that this process asks, of N, from 0; N processes share OUT.",
)
@click.option(
    "--engine",
    type=click.Choice(["process", "fleet", "ray"]),
    default="process",
    show_default=True,
    help="Ask in this process's event loop; over a fleet, with the extra of that name, whose "
    "thread has the connections, at less processor time: for servers of OpenAI's API; or by "
    "workers of a Ray cluster: that of RAY_ADDRESS, or this machine; --concurrency and rates are "
    "of all of them. IN and OUT may be URLs.",
)
@click.option(
    "--workers",
    type=_Workers(),
    metavar="N",
    help="Ray: how many, or node or cpu for one each; node unless given.",
)
@click.option(
    "--shards",
    type=click.IntRange(1, 99_999),
    help="Ray: parts of the rows, that workers take in turns; four a worker unless given.",
)
@click.option("--skip-bad", is_flag=True, help="Rows that cannot be sent are failures, no end.")
@click.option("--retry-failed", is_flag=True, help="Ask rows again that an earlier run failed.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", *FORMATS]),
    default="auto",
    show_default=True,
    help="Format of IN, which is found out.",
)
@click.option("--id-field", help="Field or column of the rows' ids, in inputs that name none.")
@click.option("--prompt-field", help="Field or column of the prompt; prompt unless given.")
@click.option(
    "--endpoint",
    type=click.Choice(ENDPOINTS),
    help="Where the rows are sent, in inputs that do not say; chat completions unless given.",
)
@click.option(
    "--send",
    metavar="NAME",
    multiple=True,
    help="A field or column that is sent, too; those named as parameters are. Repeatable.",
)
@click.option(
    "--carry",
    metavar="NAME",
    multiple=True,
    help="A field or column that is not sent, whatever its name; --columns shows it. Repeatable.",
)
@click.option(
    "--text",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a table in the end, in the order of IN: .csv, .tsv, .jsonl or .parquet.",
)
@click.option(
    "--columns",
    default=",".join(DEFAULT_COLUMNS),
    show_default=True,
    help="Columns of the table: of "
    + ", ".join(COLUMNS)
    + " and the fields of IN (input.NAME where both have one).",
)
@proxy_option
@timeout_option
@trust_option
@owned_option
@click.option(
    "--json", "as_json", is_flag=True, help="A line of JSON every 5 s, and one at the end."
)
def batch(
    input_: str,
    output: str,
    name: str,
    software: SoftwareName | None,
    shard: tuple[int, int],
    engine: str,
    workers: int | Literal["node", "cpu"] | None,
    shards: int | None,
    text: Path | None,
    columns: str,
    proxy: str | None,
    timeout: float | None,
    trust: bool,
    i_own_it: bool,
    as_json: bool,
    **others: Any,
) -> int:
    """Ask a site for every row of IN, and write each answer once to the folder OUT.

    IN is a file of OpenAI's batch lines, of JSON or text lines, or a table; - is stdin. Both may be
    URLs, such as s3://bucket/in.jsonl, with fsspec's package for them installed. The same command
    goes on where an earlier run ended, however it ended. Ctrl-C begins no more rows and
    waits for those under way; a second one cuts them.
    """
    plan = _plan(others)
    chosen = _with_clocks(site(name, software, trust=trust), proxy, timeout)
    if SOFTWARE[chosen.software].has_page:
        make_sure(chosen, _WHOSE, "to ask for all of it", is_owned=i_own_it)
    reading = _reading(others)
    _check(engine, workers, shards, shard, input_, output, text)
    shown = columns.split(",")
    files = [f"{output.rstrip('/')}/{kind}-*.jsonl" for kind in ("part", "errors")]
    if engine == "ray":
        others.update(_given(workers=workers, shards=shards))
        source = None if text is None else open_input(input_, output, **reading)
        if text is not None and source is not None:  # before Ray is begun
            check_table(output, source, text, columns=shown)
        on_ray = OnRay(input_, output, chosen, plan, **others, **reading)
        click.echo(visible_line(f"{chosen.name}: asked by workers of Ray; {plan}"), err=True)
        report = _report_of(on_ray, files, as_json=as_json)
    else:
        others.update(engine=engine, shard=shard, text=text, columns=shown)
        make_room(plan.concurrency)
        work = begin(input_, output, chosen, plan, **others, **reading)
        _announce(work.report(), plan)
        _tell_fields(work)
        if not is_url(output):
            files = [str(work.folder.part), str(work.folder.errors)]
        report, source = _report_of(work, files, as_json=as_json), work.source
    _show(report, files, as_json=as_json)
    if text is not None and source is not None:
        write_table(output, source, text, columns=shown)
        if not as_json:
            click.echo(visible_line(f"table     {text}"))
    return _code(report)


class _Work(Protocol):
    """A run, in this process or on a cluster."""

    def report(self) -> Report: ...
    def stop(self) -> None: ...
    async def until_end(self) -> None: ...


def _plan(options: dict[str, Any]) -> Plan:
    """Take out of the command's `options` what makes a plan, and return it."""
    retry = options.pop("retry")
    plan = Plan(adaptive=not options.pop("fixed"), **{each: options.pop(each) for each in _PLAN})
    if retry is None:
        return plan
    policy = plan.retry_at(RetryPolicy(attempts=retry))  # which waits as long as the plan does
    return structs.replace(plan, retry=policy)


def _reading(options: dict[str, Any]) -> dict[str, Any]:
    """Take out of the command's `options` what says how the input is read, and return it."""
    fields = {each: options.pop(each) for each in ("id_field", "prompt_field", "endpoint")}
    return {
        "format": options.pop("format_"),
        "sent": options.pop("send"),
        "carried": options.pop("carry"),
        **_given(**fields),
    }


def _check(
    engine: str,
    workers: object,
    shards: object,
    shard: tuple[int, int],
    input_: str,
    output: str,
    text: Path | None,
) -> None:
    """Refuse options that do not go together."""
    problem = ""
    if engine == "ray" and shard != (0, 1):
        problem = "--shard is for processes without a cluster: --engine ray has all the shards"
    elif engine != "ray" and (workers is not None or shards is not None):
        problem = "--workers and --shards are for --engine ray"
    elif engine == "ray" and input_ == "-":
        problem = "a run on Ray reads its input from a path or a URL, and not from stdin"
    elif text is not None and is_url(output):
        problem = "--text makes its table of an output folder, and a URL is none"
    if problem:
        raise click.UsageError(problem)


def _with_clocks(chosen: Site, proxy: str | None, timeout: float | None) -> Site:
    if proxy is not None:
        chosen = chosen.replace(proxy=proxy)
    return chosen if timeout is None else chosen.replace(timeout=timeout)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that have a value."""
    return {name: value for name, value in options.items() if value is not None}


# -- running ---------------------------------------------------------------------------------------


def _report_of(work: _Work, files: list[str], *, as_json: bool) -> Report:
    """Run to the end, and return the report; where the run fails, show it before that is told."""
    try:
        return run(_run(work, as_json=as_json))
    except TailraceError:
        _show(work.report(), files, as_json=as_json)
        raise


async def _run(work: _Work, *, as_json: bool) -> Report:
    """Run to the end, or to a second Ctrl-C, and return the report."""
    tasks = [asyncio.create_task(_tell_as_json(work))] if as_json else []
    try:
        with _interruptible(work), _shown_live(work, is_wanted=not as_json) as tell:
            waits = _Waits(work, tell, as_json=as_json)
            tasks.append(asyncio.create_task(waits.watch()))
            await work.until_end()
            waits.look()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
    finally:
        for each in tasks:
            each.cancel()
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(end, Exception):
                raise end
    return work.report()


@contextmanager
def _interruptible(work: _Work) -> Iterator[None]:
    """Have the first Ctrl-C, or SIGTERM, end the run after what is under way, and another cut it.

    Where no handler can be set (Windows, a thread), the first Ctrl-C cuts it.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = []
    count = 0

    def interrupt() -> None:
        nonlocal count
        count += 1
        work.stop()
        if count > 1 and task is not None:
            task.cancel()
        elif under_way := work.report().under_way:
            rows = "1 row" if under_way == 1 else f"{under_way} rows"
            click.echo(f"waiting for {rows} under way; again to cut them", err=True)

    try:
        for each in signals:
            handler = signal.getsignal(each)
            loop.add_signal_handler(each, interrupt)
            before.append((each, handler))
    except (NotImplementedError, RuntimeError, ValueError):
        pass
    try:
        yield
    finally:
        for each, handler in before:
            loop.remove_signal_handler(each)
            signal.signal(each, handler)


async def _tell_as_json(work: _Work) -> None:
    while True:
        await asyncio.sleep(_JSON_EVERY)
        click.echo(work.report().to_json())


class _Waits:
    """Tells, once each, that a batch waits for its site, and that it goes on.

    `tell` is given each line; with `as_json` the report is written, too, as it is then.
    """

    def __init__(self, work: _Work, tell: Callable[[str], object], *, as_json: bool) -> None:
        self._work = work
        self._tell = tell
        self._as_json = as_json
        self._for: Literal["", "answer", "time"] = ""

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            self.look()

    def look(self) -> None:
        report = self._work.report()
        before, now = self._for, self._waits_for(report)
        if now == before:
            return
        if not now and (report.stopped or report.interrupted):
            return  # it ended without an answer
        self._for = now
        words = "the site answers again" if before == "answer" else "the site is asked again"
        if now == "answer":
            words = (
                f"{report.waiting}; one request at a time probes it, for "
                f"{report.plan.patience:g} s at most (--patience)"
            )
        elif now == "time":
            words = f"the site wants no request for {ceil(report.paused):,} s: all rows wait"
        self._tell(visible_line(words))
        if self._as_json:
            click.echo(report.to_json())

    def _waits_for(self, report: Report) -> Literal["", "answer", "time"]:
        if report.waiting:
            return "answer"
        is_long = report.paused >= _TOLD_PAUSE or (self._for == "time" and report.paused > 0)
        return "time" if is_long else ""


@contextmanager
def _shown_live(work: _Work, *, is_wanted: bool) -> Iterator[Callable[[str], object]]:
    """Show a bar on stderr, where stderr is a terminal; yield what writes a line to stderr."""
    if not is_wanted or not sys.stderr.isatty():
        yield partial(click.echo, err=True)
        return
    from tailrace._cli.batch_bar import shown_bar  # noqa: PLC0415 - slow to import

    screen = console(stderr=True)
    with shown_bar(work.report, screen):
        yield partial(screen.print, soft_wrap=True)


# -- telling ---------------------------------------------------------------------------------------


def _announce(report: Report, plan: Plan) -> None:
    before = f", {report.skipped:,} of them done" if report.skipped else ""
    words = f"{report.site}: {report.left:,} of {report.rows:,} rows to ask{before}; {plan}"
    click.echo(visible_line(words), err=True)


def _tell_fields(work: Run) -> None:
    """Name the fields of an input that are sent beside the prompts, and those that are not."""
    for words, names in (
        ("sent with the prompts", work.folder.sent),
        ("not sent, but there for --columns", work.folder.carried),
    ):
        if names:
            click.echo(visible_line(f"{words}: {', '.join(names)}"), err=True)


def _show(report: Report, files: list[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(report.to_json())
    else:
        for line in _lines(report, *files):
            click.echo(visible_line(line))
    if report.stopped:
        click.echo(f"tailrace: {visible_line(report.stopped)}", err=True)


def _lines(report: Report, answers: str, failures: str) -> list[str]:
    seconds = max(report.seconds, 1e-9)
    usage = report.usage
    guess = f" ({usage.estimated:,} of them estimated)" if usage.estimated else ""
    dropped = [f"{name} in {number:,} rows" for name, number in sorted(report.dropped.items())]
    return [
        (
            f"rows      {report.done:,} done in {report.seconds:.1f} s, {report.failed:,} failed, "
            f"{report.skipped:,} done before, {report.left:,} left"
        ),
        f"rate      {report.done / seconds:,.1f} rows a second",
        (
            f"requests  {report.requests:,}, of them {report.retries:,} again, "
            f"{report.refused:,} refused"
        ),
        f"tokens    {usage.prompt:,} in, {usage.completion:,} out{guess}",
        *(
            f"errors    {number:,} {code}, such as: {report.examples.get(code, '')}"
            for code, number in sorted(report.errors.items())
        ),
        *([f"no effect {', '.join(dropped)}"] if dropped else []),
        f"answers   {answers}",
        *([f"failures  {failures}; --retry-failed asks them again"] if report.failed else []),
    ]


def _code(report: Report) -> int:
    """Return the exit code: every row is to have its answer."""
    if report.stopped:
        return exits.NETWORK
    if report.interrupted and (report.left or not report.rows):
        click.echo("interrupted; the same command goes on", err=True)
        return exits.INTERRUPTED
    return exits.SITE if report.failed else exits.OK
