"""Room for many connections at once."""

from __future__ import annotations

import click

from tailrace.transport._descriptors import SPARE_DESCRIPTORS, raise_limit

__all__ = ["make_room"]


def make_room(connections: int) -> None:
    """Let the process hold so many connections; say on stderr where the system allows fewer."""
    wanted = connections + SPARE_DESCRIPTORS
    allowed = raise_limit(wanted)
    if allowed < wanted:
        click.echo(
            f"tailrace: the system allows {allowed} open files, too few for {connections} "
            "connections at once: raise it (ulimit -n)",
            err=True,
        )
