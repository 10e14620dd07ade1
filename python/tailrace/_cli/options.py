"""Options that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tailrace.sites import SOFTWARE
from tailrace.sites._software import FORMER_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["software_option", "trust_option"]


trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Read the environment variables that the tailrace.toml of this folder names, this time.",
)
"""The option that takes the place of ``tailrace trust`` for one command."""


class _SoftwareName(click.Choice[str]):
    """The name of a software; for a former name the usage error says the present one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name, or fail with a usage error that lists the names."""
        if value in FORMER_NAMES:
            self.fail(f"{value!r} is now called {FORMER_NAMES[value]!r}.", param, ctx)
        return super().convert(value, param, ctx)


def software_option(text: str) -> Callable[[Any], Any]:
    """Return a decorator that adds ``--software``, with this help text, to a command.

    The option's former name, ``--dialect``, is a usage error that names it.
    """

    def add(command: Any) -> Any:
        former = click.option(
            "--dialect",
            hidden=True,
            expose_value=False,
            callback=_refuse_former,
        )
        named = click.option("--software", type=_SoftwareName(list(SOFTWARE)), help=text)
        return former(named(command))

    return add


def _refuse_former(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    del parameter
    if value is not None:
        software = FORMER_NAMES.get(value, value if value in SOFTWARE else "|".join(SOFTWARE))
        raise click.UsageError(f"--dialect is now --software: write --software {software}", context)
