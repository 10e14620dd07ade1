"""``tailrace doctor``: a site tested step by step."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tailrace._cli import exits
from tailrace._cli.besides import failure_fields
from tailrace._cli.loop import run
from tailrace._cli.options import SECONDS, proxy_option, setting, software_option, trust_option
from tailrace._printable import visible_line
from tailrace.sites import doctor as examine
from tailrace.sites import site

if TYPE_CHECKING:
    from tailrace.sites import Diagnosis, Step
    from tailrace.sites._software import SoftwareName

__all__ = ["doctor"]


@click.command()
@click.argument("name", metavar="SITE")
@software_option("Software of a URL; WordPress unless given.")
@click.option(
    "--no-post", is_flag=True, help="Stop before the message: nothing is asked of the site's model."
)
@click.option("--model", default="", help="Model name; the site's default unless given.")
@proxy_option
@setting("--timeout", SECONDS, 30, "Seconds.")
@trust_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object instead of lines.")
def doctor(
    name: str,
    software: SoftwareName | None,
    no_post: bool,
    model: str,
    proxy: str | None,
    timeout: float,
    trust: bool,
    as_json: bool,
) -> int:
    """Test SITE step by step, and say what to do where it fails.

    SITE is a provider, a site of tailrace.toml, or a URL.

    One short real message is sent, and counts against the site's quota; --no-post leaves it out.
    """
    chosen = site(name, software, trust=trust)
    if not no_post and not as_json:
        click.echo(
            f"If all goes well, {chosen.name} is sent one short message; --no-post leaves it out.",
            err=True,
        )
    work = examine(
        chosen,
        post=not no_post,
        model=model,
        proxy=proxy,
        timeout=timeout,
        on_step=None if as_json else _print,
    )
    diagnosis = run(work)
    if as_json:
        click.echo(json.dumps(_row(diagnosis), indent=2))
    return exits.OK if diagnosis.error is None else exits.code_of(diagnosis.error)


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
