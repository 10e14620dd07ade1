"""``tailrace load``: load on a site of one's own, and two such runs compared."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from tailrace._cli import exits
from tailrace._cli.completion import model_names, site_names
from tailrace._cli.descriptors import make_room
from tailrace._cli.loop import run
from tailrace._cli.options import (
    Duration,
    proxy_option,
    software_option,
    timeout_option,
    trust_option,
)
from tailrace._cli.ownership import make_sure, owned_option
from tailrace._cli.screen import console
from tailrace._environment import Environment
from tailrace.load import Plan, compare, comparison_page, read_report, report_page
from tailrace.load._prompts import read_prompts
from tailrace.load._running import DEFAULT_PROMPT, Load
from tailrace.sites import site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace._messages import Messages
    from tailrace._over_fleet import Engine
    from tailrace.load import Arrivals, Report
    from tailrace.sites import Site
    from tailrace.sites._software import SoftwareName

__all__ = ["load"]

_WHOSE = (
    "Put load on a site or server of your own, or on one whose operator has agreed: it gets as "
    "many requests as you say, whoever pays for its model pays for them, and a gateway hands them "
    "on to its sites."
)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(epilog=_WHOSE)
@click.argument("name", metavar="[SITE]", required=False, shell_complete=site_names)
@software_option("Software of a URL; WordPress unless given.")
@click.option(
    "--users",
    type=click.IntRange(min=1),
    help="Closed model: so many ask at once, each again when it is answered. 1 unless given.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Open model: so many requests a second are due, whatever became of the earlier ones.",
)
@click.option(
    "--arrivals",
    type=click.Choice(["poisson", "constant"]),
    default="poisson",
    show_default=True,
    help="Of the open model: at random, or at one distance.",
)
@click.option("--ramp", is_flag=True, help="Let users come, or the rate grow, over the warm-up.")
@click.option("--for", "seconds", type=Duration(), help="How long requests begin: 30s, 2m, 1h.")
@click.option("--requests", type=click.IntRange(min=1), help="How many begin, at most.")
@click.option(
    "--warm-up",
    type=Duration(),
    help="Left out of the figures, before the rest. A tenth of --for, 10s at most, unless given.",
)
@click.option(
    "--grace",
    type=Duration(),
    default="120s",
    show_default=True,
    help="What requests under way get at the end.",
)
@click.option(
    "--most-open",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Of the open model: so many are under way at most, the others wait and count.",
)
@click.option(
    "--prompts",
    "prompts_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='What to ask, in turn: a prompt a line; of a .jsonl file a string, {"prompt": …} or '
    '{"messages": […]}.',
)
@click.option("--prompt", help="What to ask, instead.")
@click.option(
    "--model",
    default="",
    shell_complete=model_names,
    help="Model name; the site's default unless given.",
)
@click.option("--max-tokens", type=click.IntRange(min=1), help="Of each answer, where a site can.")
@click.option("--seed", type=int, help="Of the random arrivals: the same ones again.")
@click.option(
    "--engine",
    type=click.Choice(["process", "fleet"]),
    default="process",
    show_default=True,
    help="Read the replies in this process's event loop, or in a thread beside Python, with the "
    "extra fleet: truer times of many streams and less processor time over TLS; over plain HTTP it "
    "saves little beside uvloop. For software openai, anthropic, gemini, ollama.",
)
@proxy_option
@timeout_option
@trust_option
@owned_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object instead of a table.")
@click.option("--report", "page", type=_FILE, help="Write a page with plots, as HTML.")
@click.option(
    "--compare",
    "compared",
    type=(_FILE, _FILE),
    metavar="BEFORE AFTER",
    help="Compare two runs, from what --json printed; SITE is not asked.",
)
def load(  # one parameter an option
    name: str | None,
    software: SoftwareName | None,
    users: int | None,
    rate: float | None,
    arrivals: Arrivals,
    ramp: bool,
    seconds: float | None,
    requests: int | None,
    warm_up: float | None,
    grace: float,
    most_open: int,
    prompts_file: Path | None,
    prompt: str | None,
    model: str,
    max_tokens: int | None,
    seed: int | None,
    engine: Engine,
    proxy: str | None,
    timeout: float | None,
    trust: bool,
    i_own_it: bool,
    as_json: bool,
    page: Path | None,
    compared: tuple[Path, Path] | None,
) -> int:
    """Put load on SITE, and say how soon and how evenly it answers many at once.

    SITE is a URL, a site of tailrace.toml, or a provider. Requests begin for 30 s unless --for or
    --requests says otherwise; Ctrl-C ends it early, and what was measured is reported.
    """
    if compared is not None:
        return _compare(name, *compared, as_json=as_json, page=page)
    if name is None:
        raise click.UsageError("say which site, or compare two runs with --compare")
    plan = Plan(
        users=users,
        rate=rate,
        arrivals=arrivals,
        ramp=ramp,
        seconds=seconds,
        requests=requests,
        warm_up=warm_up,
        most_open=most_open,
        grace=grace,
    )
    chosen = _with_clocks(site(name, software, trust=trust), proxy, timeout)
    work = Load(
        chosen,
        plan,
        prompts=_prompts(prompts_file, prompt),
        engine=engine,
        environment=Environment() if seed is None else Environment(random=random.Random(seed)),  # noqa: S311 - no secret
        options=_given(model=model or None, max_tokens=max_tokens),
    )
    make_sure(chosen, _WHOSE, "to put load on", is_owned=i_own_it)
    _make_ready(chosen, plan, engine)
    report = run(_run(work))
    _show(report, as_json=as_json, page=page)
    return _code(report)


def _with_clocks(chosen: Site, proxy: str | None, timeout: float | None) -> Site:
    if proxy is not None:
        chosen = chosen.replace(proxy=proxy)
    return chosen if timeout is None else chosen.replace(timeout=timeout)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that have a value."""
    return {name: value for name, value in options.items() if value is not None}


def _prompts(file: Path | None, prompt: str | None) -> list[str | Messages]:
    if file is not None and prompt is not None:
        raise click.UsageError("--prompt and --prompts: give one of them")
    return [prompt or DEFAULT_PROMPT] if file is None else read_prompts(file)


def _make_ready(chosen: Site, plan: Plan, engine: Engine) -> None:
    """Make room for as many connections as the plan may open, and say what begins."""
    make_room(plan.users or plan.most_open)
    over = ", over a fleet" if engine == "fleet" else ""
    click.echo(f"{chosen.name}: {plan}{over}", err=True)
    if chosen.throttle is not None:
        click.echo("The site's throttle is left out: the load is what you asked for.", err=True)


async def _run(work: Load) -> Report:
    """Run the load to its end, or to Ctrl-C, and return its report."""
    try:
        with _shown_live(work):
            await work.until_end()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
    return work.report()


@contextmanager
def _shown_live(work: Load) -> Iterator[None]:
    """Show a table on stderr that is renewed once a second, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.live import Live  # noqa: PLC0415 - slow to import, needed on a terminal only

    from tailrace._cli.load_tables import report_table  # noqa: PLC0415 - the same

    with Live(
        get_renderable=lambda: report_table(work.progress()),
        console=console(stderr=True),
        refresh_per_second=1,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:
        live.refresh()  # what drawing needs is imported before anything is measured
        yield


def _show(report: Report, *, as_json: bool, page: Path | None) -> None:
    if as_json:
        click.echo(report.to_json().decode())
    else:
        from tailrace._cli.load_tables import report_table  # noqa: PLC0415 - as above

        console().print(report_table(report))
    if page is not None:
        _write(page, report_page(report))


def _compare(
    name: str | None, before: Path, after: Path, *, as_json: bool, page: Path | None
) -> int:
    if name is not None:
        raise click.UsageError("--compare asks no site: leave out SITE")
    comparison = compare(_report(before), _report(after))
    if as_json:
        shown = {"changes": comparison.changes, "warnings": comparison.warnings}
        click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=1).decode())
    else:
        from tailrace._cli.load_tables import comparison_table  # noqa: PLC0415 - as above

        console().print(comparison_table(comparison))
    if page is not None:
        _write(page, comparison_page(comparison))
    return exits.OK


def _report(file: Path) -> Report:
    try:
        return read_report(file)
    except OSError as error:
        raise click.UsageError(f"cannot read {file}: {error.strerror or error}") from None


def _write(page: Path, text: str) -> None:
    try:
        page.write_text(text, "utf-8")
    except OSError as error:
        raise click.UsageError(f"cannot write {page}: {error.strerror or error}") from None
    click.echo(f"{page}: the report, with plots", err=True)


def _code(report: Report) -> int:
    """Return the exit code: every request is to have a whole answer."""
    if report.interrupted:
        click.echo("interrupted", err=True)
        return exits.INTERRUPTED
    if not report.requests:
        click.echo("tailrace: no request was due in the measured time", err=True)
        # Users who waited for an answer all that time did ask.
        return exits.SITE if report.warm_up_unfinished else exits.USAGE
    if report.whole_answers == report.requests:
        return exits.OK
    return exits.NETWORK if set(report.statuses) == {"none"} else exits.SITE
