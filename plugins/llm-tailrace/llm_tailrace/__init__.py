"""A plugin of `llm`: the sites of tailrace.toml are models, ``tailrace/SITE``.

Each site is a model by its name, and each model that its profile names, or that its server told at
the last ``llm tailrace refresh``, is ``tailrace/SITE/MODEL``. All are there for asyncio, too.

All else is imported when it is first used: `llm` loads its plugins for whatever command.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Protocol

import click
import llm

if TYPE_CHECKING:
    from llm_tailrace._models import AsyncSiteModel, SiteModel

__all__ = ["AsyncSiteModel", "SiteModel", "register_commands", "register_models"]


class Register(Protocol):
    """The function by which `llm` takes a model, with its asyncio twin."""

    def __call__(self, model: llm.KeyModel, async_model: llm.AsyncKeyModel) -> None:
        """Take the model."""


@llm.hookimpl
def register_models(register: Register) -> None:
    """Register the models of every site."""
    from llm_tailrace._lists import listed_models
    from llm_tailrace._models import AsyncSiteModel, SiteModel
    from llm_tailrace._profiles import own_profiles

    profiles = own_profiles()
    lists = listed_models(profiles)
    for profile in profiles:
        for name in ("", *lists[profile.name]):
            register(SiteModel(profile, name), AsyncSiteModel(profile, name))


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add ``llm tailrace``, with the command ``refresh``, and have warnings printed."""
    for name in ("llm_tailrace", "tailrace"):
        logging.getLogger(name).addHandler(PrintedWarnings())

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
        from llm_tailrace._lists import refresh_lists
        from llm_tailrace._profiles import own_profiles

        refresh_lists(own_profiles(), sites)


class PrintedWarnings(logging.Handler):
    """Warnings as lines on stderr; on a terminal below the answer, whose line is still open."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a warning; it may quote what a server said."""
        from tailrace._printable import visible_line

        below = "\n" if sys.stderr.isatty() else ""
        click.echo(f"{below}llm-tailrace: {visible_line(record.getMessage())}", err=True)


# No __dir__ beside it: pluggy looks at every name there, which would import all.
def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from llm_tailrace import _models

    return getattr(_models, name)
