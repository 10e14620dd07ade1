"""Options that several commands have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from tailrace.sites import SOFTWARE
from tailrace.sites._software import FORMER_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "SECONDS",
    "Duration",
    "listen_options",
    "proxy_option",
    "setting",
    "software_option",
    "timeout_option",
    "trust_option",
]

SECONDS = click.FloatRange(min=0, min_open=True)
"""The type of an option that is a time, in seconds above 0."""

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s{0,2}(ms|s|m|h|d|)")
_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Duration(click.ParamType[float]):
    """A time such as ``500ms``, ``30s``, ``5m`` or ``1h``, in seconds; a number alone is seconds.

    `above_zero`: whether a time of 0 is refused.
    """

    name = "duration"

    def __init__(self, *, above_zero: bool = False) -> None:
        self._above_zero = above_zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds, or fail with a usage error."""
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no time such as 30s, 2m or 500ms", param, ctx)
        seconds = float(found[1]) * _UNITS[found[2]]
        if self._above_zero and not seconds:
            self.fail(f"{value!r} is no time above 0", param, ctx)
        return seconds


def _no_empty_proxy(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Refuse an empty URL: a variable that is not set would send everything past the proxy."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty; for a direct way leave it out", context, parameter)
    return value


proxy_option = click.option(
    "--proxy",
    callback=_no_empty_proxy,
    help="URL of an http, https or socks5 proxy, used for every request.",
)
"""The option of the commands that ask a site."""

timeout_option = click.option(
    "--timeout",
    type=float,
    help="Seconds: first byte, and each silence; 120 or the site's own unless given.",
)
"""The option of the commands that wait for an answer."""

trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Read the environment variables that the tailrace.toml of this folder names, this time.",
)
"""The option that takes the place of ``tailrace trust`` for one command."""


def setting(name: str, kind: Any, default: object, text: str) -> Callable[[Any], Any]:
    """Return a decorator that adds the option `name` of that type to a command.

    `text` is its help, which ends with the `default`.
    """
    return click.option(name, type=kind, default=default, show_default=True, help=text)


def listen_options(host: str, port: int, port_text: str) -> Callable[[Any], Any]:
    """Return a decorator that adds ``--host`` and ``--port`` to a command that serves.

    `host`: the help of ``--host``; `port`: the default of ``--port``, and `port_text` its help.
    """

    def add(command: Any) -> Any:
        with_port = setting("--port", click.IntRange(0, 65_535), port, port_text)(command)
        return setting("--host", str, "127.0.0.1", host)(with_port)

    return add


def cannot_listen(host: str, port: int, error: OSError) -> click.UsageError:
    """Return the usage error for an address of `listen_options` that cannot be listened on."""
    # asyncio's text names the port of several that is taken.
    reason = error.strerror or error
    return click.UsageError(
        f"cannot listen on {host} port {port}: {reason}; --port takes another, 0 a free one"
    )


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
