"""``tailrace replica``: the sites, answered on this machine."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import click

from tailrace.cli.loop import run
from tailrace.replica import Replica

if TYPE_CHECKING:
    from tailrace.replica import SiteInfo

__all__ = ["replica"]

UPSTREAM_KEY = "TAILRACE_UPSTREAM_KEY"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8800,
    show_default=True,
    help="The first of the sites' ports; 0 takes free ones.",
)
@click.option(
    "--pace",
    type=click.FloatRange(min=0),
    default=0.03,
    show_default=True,
    help="Seconds between two frames of an answer.",
)
@click.option(
    "--upstream",
    metavar="URL",
    help=f"Take the answers from this OpenAI-compatible server; its key is read from {UPSTREAM_KEY}.",
)
@click.option("--upstream-model", metavar="NAME", help="The upstream's model; the first that it lists if left out.")
def replica(host: str, port: int, pace: float, upstream: str | None, upstream_model: str | None) -> None:
    """Serve replicas of the sites until Ctrl-C; "tailrace chat --url" and "url=" point a provider at them."""
    sites = Replica(
        host=host,
        port=port,
        pace=pace,
        upstream=upstream,
        upstream_key=os.environ.get(UPSTREAM_KEY),
        upstream_model=upstream_model,
    )
    # Ctrl-C is how it is meant to end: no failure.
    with suppress(KeyboardInterrupt):
        run(_serve(sites, host, port))


async def _serve(replica_: Replica, host: str, port: int) -> None:
    async with AsyncExitStack() as stack:
        try:
            sites = await stack.enter_async_context(replica_)
        except OSError as error:
            raise click.UsageError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
        for site in sites.sites:
            _print(site)
        click.echo("Ctrl-C ends it.")
        await asyncio.Event().wait()


def _print(site: SiteInfo) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    console.print(Text(f"{site.name}  {site.url}", style="bold"))
    console.print(Text(site.shows))
    table = Table("page or word in a message", "what it shows", show_edge=False, pad_edge=False)
    for page in site.pages:
        table.add_row(Text(page.url), Text(page.shows))
    for marker in site.markers:
        table.add_row(Text(marker.text), Text(marker.shows))
    console.print(table)
    console.print()
