"""The names of models that servers told, kept in the folder of `llm`: no start asks a server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
import llm

from llm_tailrace._apis import api_of
from llm_tailrace._profiles import site_of, tell_once
from tailrace._printable import visible_line  # of the same version always
from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tailrace.sites import Profile

__all__ = ["listed_models", "refresh_lists"]

_Lists: TypeAlias = dict[str, tuple[str, list[str]]]
"""What sites told by their names: the URL of each, and its models."""


def listed_models(profiles: Iterable[Profile]) -> dict[str, list[str]]:
    """Return the models of each site by its name: the profile's or, without, those last told."""
    kept = _read()
    return {
        each.name: list(dict.fromkeys(each.settings.models)) or _told(kept.get(each.name), each)
        for each in profiles
    }


def _told(record: Any, profile: Profile) -> list[str]:
    """Return the kept list of a site; none where it was another server's."""
    models = record.get(profile.settings.url) if isinstance(record, dict) else None
    return _that_can_be_shown(models) if isinstance(models, list) else []


def _that_can_be_shown(models: Iterable[object]) -> list[str]:
    """Return the names, each once, that no terminal obeys: a server's may be anything."""
    names = [each for each in models if isinstance(each, str) and 0 < len(each) <= _LONGEST_NAME]
    return list(dict.fromkeys(each for each in names if visible_line(each) == each))


def refresh_lists(profiles: Sequence[Profile], names: Sequence[str]) -> None:
    """Ask servers for their models and keep the lists; `names`: of the sites, all unless given.

    Prints a line for each; those that fail keep the list they had, and end the program with 1.
    """
    chosen = _chosen(profiles, names)
    if not chosen:
        click.echo("llm-tailrace: no site that is read here has an API and no models", err=True)
        return
    lists: _Lists = {}
    try:
        asyncio.run(_ask_all(chosen, lists))
    finally:  # an interrupt is no reason to ask again those that have answered
        if lists:
            _keep(lists)
    if len(lists) < len(chosen):
        sys.exit(1)


async def _ask_all(profiles: Iterable[Profile], lists: _Lists) -> None:
    """Ask the sites at once and add to `lists` what each tells."""
    free = asyncio.Semaphore(_MOST_AT_ONCE)

    async def ask(profile: Profile) -> None:
        async with free:
            try:
                models = await site_of(profile)().models()
            except TailraceError as error:
                _say(profile, visible_line(str(error)), err=True)
                return
        if len(models) > _MOST_MODELS:
            words = f"{len(models):,} models are more than the {_MOST_MODELS:,} that are kept here"
            _say(profile, f"{words}: name in its profile those that you ask", err=True)
            return
        lists[profile.name] = profile.settings.url, _shown(profile, models)

    await asyncio.gather(*map(ask, profiles))


def _shown(profile: Profile, models: Sequence[str]) -> list[str]:
    """Print how many of the names can be those of models here, and return them."""
    shown = _that_can_be_shown(models)
    _say(profile, f"{len(shown)} model{'' if len(shown) == 1 else 's'}")
    if left_out := len(set(models)) - len(shown):
        _say(profile, f"left out as they cannot be shown: {left_out}", err=True)
    if profile.settings.models:
        _say(profile, "those that its profile names count, and no others", err=True)
    return shown


def _say(profile: Profile, words: str, *, err: bool = False) -> None:
    click.echo(f"{profile.name}: {words}", err=err)


_MOST_AT_ONCE = 32
"""The most sites that are asked at the same time."""

_MOST_MODELS = 10_000
"""The most models that a site may have here: every command that asks a model reads them all."""

_LONGEST_NAME = 256
"""The most characters of a model's name here."""


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
    return list({name.lower(): by_name[name.lower()] for name in names}.values())


def _file() -> Path:
    return Path(llm.user_dir()) / "tailrace-models.json"


def _read() -> Mapping[str, Any]:
    """Return the kept lists; none, and a line on stderr, where the file is not ours."""
    file = _file()
    try:
        kept = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        tell_once(f"llm-tailrace: {file} is not read: {error}")
        return {}
    if not isinstance(kept, dict):
        tell_once(f"llm-tailrace: {file} is not read: it is no object")
        return {}
    return kept


def _keep(lists: _Lists) -> None:
    """Add `lists` to those that are kept, and write them, whole or not at all."""
    kept = dict(_read())
    for name, (url, models) in lists.items():
        # Files in other folders may have another site of this name.
        others = kept[name] if isinstance(kept.get(name), dict) else {}
        kept[name] = {**others, url: models}
    file = _file()
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        part.write_text(json.dumps(kept, indent=2), "utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None
