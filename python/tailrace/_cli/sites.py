"""``tailrace sites``: the sites that profiles describe."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from tailrace._cli.screen import print_table
from tailrace._printable import visible
from tailrace.sites import last_verdict
from tailrace.sites._profiles import find_described, profile_files, user_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace.sites import Profile

__all__ = ["sites"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
def sites(as_json: bool) -> None:
    """List the sites of tailrace.toml.

    The file is the project's, the user's, or the one that TAILRACE_CONFIG names.

    Below them are the groups of models that the gateway serves, each with the sites it asks.

    A site's name stands wherever a provider's name does, and so does a bare URL.
    """
    files = profile_files()
    described = find_described()
    rows = [_row(profile) for profile in described.profiles.values()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo(f"No site is described in {files[0] if files else user_file()}.", err=True)
        return
    print_table(
        ("site", "url", "software", "bot", "models", "needs"),
        [_plain(row) for row in rows],
        drawn=[("site", "software", "models", "needs"), *map(_cells, rows)],
    )
    for group in described.groups.values():
        click.echo(visible(f"{group.name}: {', '.join(group.sites)}"))
    for file in files:
        click.echo(str(file))


def _row(profile: Profile) -> dict[str, Any]:
    settings = profile.settings
    verdict = last_verdict(profile.name, settings.url)
    return {
        "name": profile.name,
        "url": settings.url,
        "software": settings.software,
        "endpoint": settings.endpoint,
        "bot": settings.bot,
        "models": settings.models,
        "default_model": settings.default_model,
        "aliases": settings.aliases,
        "variables": {variable: variable in os.environ for variable in settings.variables()},
        "doctor": verdict and {"failed": verdict.failed, "at": verdict.when},
        "file": str(profile.file),
        "trusted": profile.trusted,
        "hides": profile.hides and str(profile.hides),
    }


def _plain(row: dict[str, Any]) -> tuple[str, ...]:
    models = ", ".join(row["models"]) or row["default_model"] or ""
    return (
        row["name"],
        row["url"],
        row["software"],
        row["bot"] or "",
        models,
        ", ".join(_needs(row)),
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['name']}\n{row['url'].removeprefix('https://')}",
        row["software"] + (f"\nbot {row['bot']}" if row["bot"] else ""),
        "\n".join(row["models"]) or row["default_model"] or "",
        "\n".join(_needs(row)),
    )


def _needs(row: dict[str, Any]) -> Iterator[str]:
    for name, is_set in row["variables"].items():
        yield f"{name} ({'set' if is_set else 'not set'})"
    if row["variables"] and not row["trusted"]:
        yield "trust: run tailrace trust"
    if row["hides"]:
        yield "another name: your own file has this one"
