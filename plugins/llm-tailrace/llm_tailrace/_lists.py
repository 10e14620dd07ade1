"""The names of models that servers told, kept in the folder of `llm`: no start asks a server."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import llm

import tailrace
from llm_tailrace._apis import api_of
from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tailrace.sites import Profile

__all__ = ["listed_models", "refresh_lists"]


def listed_models(profiles: Iterable[Profile]) -> dict[str, list[str]]:
    """Return the models of each site by its name: the profile's or, without, those last told."""
    kept = _read()
    return {
        each.name: list(each.settings.models) or _told(kept.get(each.name), each)
        for each in profiles
    }


def _told(record: Any, profile: Profile) -> list[str]:
    """Return the kept list of a site; none where it was another server's."""
    if not isinstance(record, dict) or record.get("url") != profile.settings.url:
        return []
    models = record.get("models")
    return [each for each in models if isinstance(each, str)] if isinstance(models, list) else []


def refresh_lists(profiles: Sequence[Profile], names: Sequence[str]) -> None:
    """Ask servers for their models and keep the lists; `names`: of the sites, all unless given.

    Prints a line for each; those that fail keep the list they had, and end the program with 1.
    """
    chosen = _chosen(profiles, names)
    kept = dict(_read())
    failed = False
    for profile in chosen:
        try:
            models = asyncio.run(tailrace.site(profile.name).models())
        except TailraceError as error:
            click.echo(f"{profile.name}: {error}", err=True)
            failed = True
            continue
        kept[profile.name] = {"url": profile.settings.url, "models": models}
        click.echo(f"{profile.name}: {len(models)} models")
    _write(kept)
    if failed:
        sys.exit(1)


def _chosen(profiles: Sequence[Profile], names: Sequence[str]) -> list[Profile]:
    if not names:
        return [
            each
            for each in profiles
            if api_of(each.settings) != "page" and not each.settings.models
        ]
    by_name = {each.name.lower(): each for each in profiles}
    for name in names:
        if name.lower() not in by_name:
            raise click.ClickException(f"no tailrace.toml that is read here has a site {name!r}")
    return [by_name[name.lower()] for name in names]


def _file() -> Path:
    return Path(llm.user_dir()) / "tailrace-models.json"


def _read() -> Mapping[str, Any]:
    """Return the kept lists; none, and a line on stderr, where the file is not ours."""
    file = _file()
    try:
        kept = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        click.echo(f"llm-tailrace: {file} is not read: {error}", err=True)
        return {}
    return kept if isinstance(kept, dict) else {}


def _write(kept: Mapping[str, Any]) -> None:
    """Write the lists, whole or not at all."""
    file = _file()
    part = file.with_suffix(".part")
    part.write_text(json.dumps(kept, indent=2), "utf-8")
    part.replace(file)
