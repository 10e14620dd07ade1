"""The profiles of the tailrace.toml that are read here, and the sites that they describe."""

from __future__ import annotations

import os
from collections import ChainMap
from functools import cache
from typing import TYPE_CHECKING

import click

import tailrace
from tailrace._printable import visible_line  # of the same version always
from tailrace.errors import TailraceError
from tailrace.sites import load_profiles, profile_files

if TYPE_CHECKING:
    from pathlib import Path

    from tailrace import Site
    from tailrace.sites import Profile

__all__ = ["own_profiles", "site_of", "tell_once"]


def own_profiles() -> list[Profile]:
    """Return the profiles of the files that are read here; of one name the first file's.

    A file with an error is told on stderr, and has none: `llm` has other models, too.
    """
    found: dict[str, Profile] = {}
    for file in _files():
        try:
            profiles = load_profiles([file])
        except TailraceError as error:
            tell_once(f"llm-tailrace: no site of this file is a model: {error}")
        else:
            found = {**profiles, **found}
    return list(found.values())


def _files() -> list[Path]:
    """Return the files; none where a folder on the way, or the working folder, cannot be read."""
    try:
        return [file.absolute() for file in profile_files()]
    except OSError as error:
        tell_once(f"llm-tailrace: no site is a model, for no tailrace.toml can be found: {error}")
        return []


@cache
def tell_once(message: str) -> None:
    """Print a line on stderr, once, for `llm` asks for its models several times in one run."""
    click.echo(visible_line(message), err=True)  # it may quote a file that is somebody else's


def site_of(profile: Profile) -> Site:
    """Return the site of a profile, wherever the program has gone since the profile was read.

    What another file says, one in the working folder say, is no matter to a site of the user's.
    Raises the errors of `tailrace.site`.
    """
    environ = os.environ
    if environ.get("TAILRACE_CONFIG"):  # which may name a file of the folder that was left
        return tailrace.site(
            profile.name, environ=ChainMap({"TAILRACE_CONFIG": str(profile.file)}, environ)
        )
    return tailrace.site(profile.name, folder=profile.file.parent)
