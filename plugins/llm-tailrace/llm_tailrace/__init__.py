"""A plugin of `llm`: the sites of tailrace.toml are models, ``tailrace/SITE``.

Each site is a model by its name, and each model that its profile names, or that its server told at
the last ``llm tailrace refresh``, is ``tailrace/SITE/MODEL``. All are there for asyncio, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import click
import llm

from llm_tailrace._lists import listed_models, refresh_lists
from llm_tailrace._models import AsyncSiteModel, SiteModel
from tailrace.errors import TailraceError
from tailrace.sites import load_profiles, profile_files

if TYPE_CHECKING:
    from tailrace.sites import Profile

__all__ = ["AsyncSiteModel", "SiteModel", "register_commands", "register_models"]


class Register(Protocol):
    """The function by which `llm` takes a model, with its asyncio twin."""

    def __call__(self, model: llm.KeyModel, async_model: llm.AsyncKeyModel) -> None:
        """Take the model."""


@llm.hookimpl
def register_models(register: Register) -> None:
    """Register the models of every site."""
    profiles = own_profiles()
    lists = listed_models(profiles)
    for profile in profiles:
        for name in ("", *lists[profile.name]):
            register(SiteModel(profile, name), AsyncSiteModel(profile, name))


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add ``llm tailrace``, with the command ``refresh``."""

    @cli.group(name="tailrace")
    def group() -> None:
        """Commands for the sites of tailrace.toml."""

    @group.command()
    @click.argument("sites", nargs=-1, metavar="[SITE]...")
    def refresh(sites: tuple[str, ...]) -> None:
        """Ask servers with an API for the names of their models.

        Each becomes a model, tailrace/SITE/MODEL. Asked is each SITE, or else every site that has
        an API and whose profile names no models.
        """
        refresh_lists(own_profiles(), sites)


def own_profiles() -> list[Profile]:
    """Return the profiles of the files that are read here; of one name the first file's.

    A file with an error is told on stderr, and has none: `llm` has other models, too.
    """
    found: dict[str, Profile] = {}
    for file in profile_files():
        try:
            profiles = load_profiles([file])
        except TailraceError as error:
            click.echo(f"llm-tailrace: no site of this file is a model: {error}", err=True)
        else:
            found = {
                **found,
                **{name: each for name, each in profiles.items() if name not in found},
            }
    return list(found.values())
