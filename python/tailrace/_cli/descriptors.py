"""Room for many connections at once."""

from __future__ import annotations

import click

from tailrace.transport._descriptors import raise_limit

__all__ = ["make_room"]

_SPARE = 64  # what a command opens besides its connections


def make_room(connections: int) -> None:
    """Let the process hold so many connections; say on stderr where the system allows fewer."""
    wanted = connections + _SPARE
    allowed = raise_limit(wanted)
    if allowed < wanted:
        click.echo(
            f"tailrace: the system allows {allowed} open files, too few for {connections} "
            "connections at once: raise it (ulimit -n)",
            err=True,
        )
