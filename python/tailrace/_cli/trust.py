"""``tailrace trust``: let a project's file of sites name environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tailrace._printable import visible_line
from tailrace.sites import _trust
from tailrace.sites._profiles import FILE_NAME, parse_profiles, project_file, read_bytes

if TYPE_CHECKING:
    from tailrace.sites import Profile

__all__ = ["trust"]


@click.command()
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--revoke", is_flag=True, help="Trust the file no more.")
def trust(file: Path | None, revoke: bool) -> None:
    """Let the tailrace.toml of this folder read the environment variables it names.

    A file that comes with a folder, such as a repository's, may be somebody else's, and a site in
    it is sent what its variables hold. So they are read only after this command, until the file
    changes. Look through what it prints: each site, its URL, and its variables.

    FILE is the nearest tailrace.toml in the working folder, or above it within a repository, unless
    given.
    """
    chosen = project_file() if file is None else file
    if chosen is None:
        raise click.UsageError(f"there is no {FILE_NAME} in this folder, nor above it")
    if revoke:
        was = _trust.revoke_trust(chosen)
        click.echo(f"{chosen} {'is trusted no more' if was else 'was not trusted'}.")
        return
    data = read_bytes(chosen)
    profiles = parse_profiles(data.decode("utf-8", "replace"), chosen)
    _trust.trust(chosen, data)
    for profile in profiles:
        click.echo(visible_line(_line(profile)))
    click.echo(f"{chosen} is trusted until it changes.")


def _line(profile: Profile) -> str:
    variables = ", ".join(profile.settings.variables()) or "no variable"
    return f"{profile.name}  {profile.settings.url}  reads {variables}"
