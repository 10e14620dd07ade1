"""``tailrace doctor``: a site tested step by step, once or on guard."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tailrace._cli import exits
from tailrace._cli.besides import failure_fields
from tailrace._cli.completion import model_names, site_names
from tailrace._cli.guard import Guard, webhook
from tailrace._cli.loop import run
from tailrace._cli.options import (
    SECONDS,
    Duration,
    proxy_option,
    setting,
    software_option,
    trust_option,
)
from tailrace._printable import visible_line
from tailrace.errors import MissingRequirementsError
from tailrace.sites import doctor as examine
from tailrace.sites import site

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace.sites import Diagnosis, Step
    from tailrace.sites._software import SoftwareName

__all__ = ["doctor"]


@click.command()
@click.argument("name", metavar="SITE", shell_complete=site_names)
@software_option("Software of a URL; WordPress unless given.")
@click.option(
    "--no-post", is_flag=True, help="Stop before the message: nothing is asked of the site's model."
)
@click.option(
    "--model",
    default="",
    shell_complete=model_names,
    help="Model name; the site's default unless given.",
)
@proxy_option
@setting("--timeout", SECONDS, 30, "Seconds.")
@trust_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object instead of lines.")
@click.option(
    "--every",
    type=Duration(above_zero=True),
    help="Stay on guard: look again after this time, such as 5m, and report changes only.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    help="With --every: how many looks; without end unless given.",
)
@click.option(
    "--webhook", "hook", metavar="URL", help="With --every: where a change is posted, as JSON."
)
@click.option(
    "--metrics",
    "port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="With --every: serve figures for Prometheus at this port of this machine.",
)
def doctor(
    name: str,
    software: SoftwareName | None,
    no_post: bool,
    model: str,
    proxy: str | None,
    timeout: float,
    trust: bool,
    as_json: bool,
    every: float | None,
    count: int | None,
    hook: str | None,
    port: int | None,
) -> int:
    """Test SITE step by step, and say what to do where it fails.

    SITE is a provider, a site of tailrace.toml, or a URL.

    One short real message is sent, and counts against the site's quota; --no-post leaves it out.

    With --every the site is looked at again and again: a line says how it is at first, and one each
    time that this changes. With --count, the exit code is that of the last look that failed, or 0.
    """
    if every is None and (count is not None or hook is not None or port is not None):
        raise click.UsageError(
            "--count, --webhook and --metrics are for a guard: give --every, too"
        )
    chosen = site(name, software, trust=trust)
    if not no_post and not as_json:
        often = "" if every is None else " each time"
        click.echo(
            f"If all goes well, {chosen.name} is sent one short message{often}; --no-post leaves "
            "it out.",
            err=True,
        )

    async def look(on_step: Callable[[Step], None] | None = None) -> Diagnosis:
        return await examine(
            chosen, post=not no_post, model=model, proxy=proxy, timeout=timeout, on_step=on_step
        )

    if every is not None:
        guard = Guard(look, every, count, _tell_json if as_json else _tell)
        # Ctrl-C is the way to end a guard that has no other end.
        with suppress(*([KeyboardInterrupt] if count is None else [])):
            return run(_watch(guard, hook, port, proxy))
        return exits.OK
    diagnosis = run(look(None if as_json else _print))
    if as_json:
        click.echo(json.dumps(_row(diagnosis), indent=2))
    return exits.OK if diagnosis.error is None else exits.code_of(diagnosis.error)


async def _watch(guard: Guard, hook: str | None, port: int | None, proxy: str | None) -> int:
    async with AsyncExitStack() as stack:
        if port is not None:
            try:
                from tailrace._cli.guard_metrics import (  # noqa: PLC0415 - an extra
                    GuardFigures,
                    served,
                )
            except ModuleNotFoundError as error:
                missing = error.name
            else:
                missing = None
            if missing is not None:
                raise MissingRequirementsError(
                    f"--metrics needs {missing}, which is not installed: "
                    'pip install "tailrace[gateway]"'
                )
            guard.figures = figures = GuardFigures()
            url = await stack.enter_async_context(served(figures, port))
            click.echo(f"Figures: {url}", err=True)
        if hook is not None:
            guard.send = await stack.enter_async_context(webhook(hook, proxy))
        return await guard.run()


def _tell(change: dict[str, Any]) -> None:
    click.echo(f"{change['at']}  {change['text']}")
    if change["advice"]:
        click.echo(f"{'':<22}what to do: {change['advice']}")


def _tell_json(change: dict[str, Any]) -> None:
    click.echo(json.dumps(change))


def _print(step: Step) -> None:
    seconds = "" if step.seconds is None else f"{step.seconds * 1000:.0f} ms"
    click.echo(f"{step.name:<12}{step.verdict:<8}{seconds:>10}  {visible_line(step.detail)}")
    if step.advice is not None:
        click.echo(f"{'':<12}what to do: {step.advice}")


def _row(diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "site": diagnosis.site,
        "url": diagnosis.url,
        "software": diagnosis.software,
        "at": diagnosis.at,
        "answered": diagnosis.answered,
        "failed": diagnosis.failed and diagnosis.failed.name,
        "error": diagnosis.error and failure_fields(diagnosis.error),
        "steps": [asdict(step) for step in diagnosis.steps],
    }
