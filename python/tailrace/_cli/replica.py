"""``tailrace replica``: the sites, answered on this machine."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import click

from tailrace._cli.loop import run
from tailrace._cli.options import cannot_listen, listen_options, setting
from tailrace._cli.screen import console, is_terminal, print_table
from tailrace.recording import read_recording
from tailrace.replica import FAULTS, Replay, Replica

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailrace.replica import SiteInfo

__all__ = ["replica"]

UPSTREAM_KEY = "TAILRACE_UPSTREAM_KEY"


@click.command()
@listen_options("Where to listen.", 8800, "The first of the sites' ports; 0 takes free ones.")
@setting("--pace", click.FloatRange(min=0), 0.03, "Seconds between two chunks of an answer.")
@click.option(
    "--upstream",
    metavar="URL",
    help=f"Take the answers from this OpenAI-compatible server; its key is read from "
    f"{UPSTREAM_KEY}.",
)
@click.option(
    "--upstream-model",
    metavar="NAME",
    help="The upstream's model; the first that it lists if left out.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[:ARG][%SHARE]",
    help="Something that goes wrong from the start, at every site that can have it, or with %5 in "
    "5 of 100 exchanges; may be repeated.",
)
@click.option(
    "--list",
    "everything",
    is_flag=True,
    help="Print every site's pages and words, and all faults, instead of a line a site.",
)
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False),
    help='Answer with a recording of "tailrace record" instead.',
)
@setting(
    "--replay-pace",
    click.FloatRange(min=0),
    1.0,
    "With --replay: how its waits are stretched; 1 as recorded, 0 none.",
)
def replica(
    host: str,
    port: int,
    pace: float,
    upstream: str | None,
    upstream_model: str | None,
    faults: tuple[str, ...],
    everything: bool,
    replay: str | None,
    replay_pace: float,
) -> None:
    """Serve replicas of the sites until Ctrl-C.

    "tailrace chat --url" and "url=" point a provider at them.

    A line a site is printed. --list, and each site's page /~replica, show the sites' pages too, the
    words in a message that make them misbehave, and the faults that URLs and --fault can ask for.
    """
    if replay is not None:
        _check_alone(upstream, upstream_model, faults)
        with suppress(KeyboardInterrupt):
            run(
                _replay(
                    Replay(read_recording(replay), host=host, port=port, pace=replay_pace),
                    host,
                    port,
                )
            )
        return
    sites = Replica(
        host=host,
        port=port,
        pace=pace,
        upstream=upstream,
        upstream_key=os.environ.get(UPSTREAM_KEY),
        upstream_model=upstream_model,
        faults=faults,
    )
    # Ctrl-C is the way to end the command, and no failure.
    with suppress(KeyboardInterrupt):
        run(_serve(sites, host, port, everything=everything))


def _check_alone(*others: object) -> None:
    if any(others):
        raise click.UsageError(
            "--replay answers with what was recorded: leave out --fault and --upstream"
        )


async def _replay(replay: Replay, host: str, port: int) -> None:
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(replay)
        except OSError as error:
            raise cannot_listen(host, port, error) from None
        click.echo(f"{replay.provider or 'a call'}  {replay.url}")
        for each in replay.paths:
            click.echo(f"answers {each}")
        click.echo("Ctrl-C ends it.")
        await asyncio.Event().wait()


async def _serve(replica_: Replica, host: str, port: int, *, everything: bool) -> None:
    async with AsyncExitStack() as stack:
        try:
            sites = await stack.enter_async_context(replica_)
        except OSError as error:
            raise cannot_listen(host, port, error) from None
        if everything:
            for site in sites.sites:
                _print_site(site)
            _print_faults(sites.sites[0].url)
        else:
            _print_lines(sites.sites)
        click.echo("Ctrl-C ends it.")
        await asyncio.Event().wait()


def _print_lines(sites: Sequence[SiteInfo]) -> None:
    """Print a line a site, which a terminal's width cuts, and where there is more."""
    widest = max(len(site.name) for site in sites)
    farthest = max(len(site.url) for site in sites)
    for site in sites:
        line = f"{site.name:<{widest}}  {site.url:<{farthest}}  {site.shows}"
        click.echo(_within(line))
    click.echo(f"Their pages and faults: {sites[0].url}/~replica, or --list at the start")


def _within(line: str) -> str:
    """Return a line as it is; on a terminal that is too narrow for it, its beginning."""
    width = console().width
    return f"{line[: width - 1]}…" if is_terminal() and len(line) > width else line


def _print_site(site: SiteInfo) -> None:
    pages = ((page.url, page.shows) for page in site.pages)
    markers = ((marker.text, marker.shows) for marker in site.markers)
    _print(f"{site.name}  {site.url}", site.shows, "page or word in a message", [*pages, *markers])


def _print_faults(url: str) -> None:
    about = (
        "With --fault for all visitors; with /~fault/NAME in front of a page's path for "
        "those of that URL."
    )
    _print(
        "faults",
        f"{about} More: {url}/~replica",
        "fault",
        [(kind.text, kind.shows) for kind in FAULTS],
    )


def _print(title: str, about: str, first: str, rows: list[tuple[str, str]]) -> None:
    click.echo(f"{title}\n{about}")
    print_table((first, "what it shows"), rows)
    click.echo()
