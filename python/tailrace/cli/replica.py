"""``tailrace replica``: the sites, answered on this machine."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import click

from tailrace.cli.loop import run
from tailrace.recording import read_recording
from tailrace.replica import Replay, Replica

if TYPE_CHECKING:
    from tailrace.replica import SiteInfo

__all__ = ["replica"]


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
    "--replay",
    type=click.Path(exists=True, dir_okay=False),
    help='Answer with a recording of "tailrace record" instead.',
)
@click.option(
    "--replay-pace",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="With --replay: how its waits are stretched; 1 as recorded, 0 none.",
)
def replica(host: str, port: int, pace: float, replay: str | None, replay_pace: float) -> None:
    """Serve replicas of the sites until Ctrl-C; "tailrace chat --url" and "url=" point a provider at them."""
    # Ctrl-C is how it is meant to end: no failure.
    with suppress(KeyboardInterrupt):
        run(_serve(host, port, pace) if replay is None else _replay(replay, host, port, replay_pace))


async def _replay(file: str, host: str, port: int, pace: float) -> None:
    recording = read_recording(file)
    async with AsyncExitStack() as stack:
        replay = Replay(recording, host=host, port=port, pace=pace)
        try:
            await stack.enter_async_context(replay)
        except OSError as error:
            raise click.UsageError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
        click.echo(f"{recording.provider or 'a call'}  {replay.url}")
        for each in replay.paths:
            click.echo(f"answers {each}")
        click.echo("Ctrl-C ends it.")
        await asyncio.Event().wait()


async def _serve(host: str, port: int, pace: float) -> None:
    async with AsyncExitStack() as stack:
        try:
            sites = await stack.enter_async_context(Replica(host=host, port=port, pace=pace))
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
