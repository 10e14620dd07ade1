"""``tailrace models``: the models that a site has, by its server's own list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tailrace._cli.completion import site_names
from tailrace._cli.loop import run
from tailrace._cli.options import proxy_option, software_option, timeout_option, trust_option
from tailrace.sites import site

if TYPE_CHECKING:
    from tailrace.sites import Site
    from tailrace.sites._software import SoftwareName

__all__ = ["models"]


@click.command()
@click.argument("name", metavar="SITE", shell_complete=site_names)
@software_option("Software of a URL; WordPress unless given.")
@proxy_option
@timeout_option
@trust_option
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of lines.")
def models(
    name: str,
    software: SoftwareName | None,
    proxy: str | None,
    timeout: float | None,
    trust: bool,
    as_json: bool,
) -> None:
    """List the models of SITE, one a line.

    SITE is a site of tailrace.toml, a provider, or the URL of a server with --software. A server
    with an API is asked; of a site that shows a page, the models of its profile are listed.
    """
    chosen = site(name, software, trust=trust)
    if proxy is not None:
        chosen = chosen.replace(proxy=proxy)
    if timeout is not None:
        chosen = chosen.replace(timeout=timeout)
    run(_models(chosen, as_json=as_json))


async def _models(chosen: Site, *, as_json: bool) -> None:
    names = await chosen.models()
    if as_json:
        click.echo(json.dumps(names, indent=2))
        return
    for name in names:
        click.echo(name)
