"""The profiles of the tailrace.toml that are read here, and the sites that they describe."""

from __future__ import annotations

import os
from collections import ChainMap
from functools import cache, partial
from typing import TYPE_CHECKING

import click

import tailrace
from tailrace._printable import visible_line  # of the same version always
from tailrace.errors import TailraceError
from tailrace.sites import load_profiles, profile_files

if TYPE_CHECKING:
    from collections.abc import Callable
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
            found |= {name: each for name, each in profiles.items() if name not in found}
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


def site_of(profile: Profile) -> Callable[[], Site]:
    """Return what makes the site of a profile, whatever happens after the profile was read.

    The program may go to another folder or be told of another file, and what another file says, one
    in the working folder say, is no matter to a site of the user's. The function raises the errors
    of `tailrace.site`.
    """
    named = str(profile.file) if os.environ.get(CONFIG_VARIABLE) else ""
    environ = ChainMap({CONFIG_VARIABLE: named}, os.environ)
    return partial(tailrace.site, profile.name, environ=environ, folder=profile.file.parent)


CONFIG_VARIABLE = "TAILRACE_CONFIG"
"""The variable that names the one file of profiles to read."""
