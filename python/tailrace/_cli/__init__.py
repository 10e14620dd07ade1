"""The command line: one file a command, parsing and printing only."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from pathlib import Path

import click

from tailrace import __version__
from tailrace._cli import exits
from tailrace._cli.screen import guard_terminals
from tailrace.errors import TailraceError, one_line

__all__ = ["cli", "main"]


class _OnDemand(MutableMapping[str, click.Command]):
    """Commands that are imported when they are run.

    A run needs one of them, and some bring a server along.
    """

    def __init__(self, *names: str) -> None:
        self._commands: dict[str, click.Command | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        command = self._commands[name]
        if command is None:
            command = self[name] = getattr(import_module(f"tailrace._cli.{name}"), name)
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


@click.group(
    commands=_OnDemand(
        "batch",
        "chat",
        "completion",
        "decode",
        "discover",
        "doctor",
        "load",
        "models",
        "providers",
        "record",
        "replica",
        "serve",
        "sites",
        "trust",
    ),
    # With `color`, click leaves a text's own sequences in it, wherever it goes: what a terminal
    # must not get, `guard_terminals` shows.
    context_settings={
        "color": True,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
    epilog=exits.HELP,
)
@click.version_option(__version__, prog_name="tailrace")
def cli() -> None:
    """Text out of chat streams, and clients for the chat sites nobody else keeps working."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with one of the documented codes."""
    _prepare_streams()
    sys.exit(run(arguments))


def _prepare_streams() -> None:
    """Let stdin accept any bytes and stdout any text, whatever the locale.

    A closed stdin becomes an empty one, what is written to a closed stdout or stderr goes nowhere,
    and a terminal gets visible text.
    """
    _fill_closed_descriptors()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
            setattr(sys, name, stream)
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    guard_terminals()


def _fill_closed_descriptors() -> None:
    """Have the first three descriptors lead somewhere, lest a file or connection becomes one."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the system gives the lowest that is free


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code. Failures are one line on stderr."""
    if "_TAILRACE_COMPLETE" in os.environ:  # a shell asks, and bash has a class of its own
        import_module("tailrace._cli.completion")
    try:
        code = cli.main(arguments, prog_name="tailrace", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return exits.INTERRUPTED
    except TailraceError as error:
        click.echo(f"tailrace: {error}", err=True, color=True)
        return exits.code_of(error)
    except SystemExit as leaving:
        # Where the reader of stdout has gone, click and rich exit by themselves, with code 1 and
        # without a message.
        if leaving.code != 1:
            raise
        exits.silence_stdout()
        return exits.BROKEN_PIPE
    except OSError as error:
        exits.silence_stdout()
        click.echo(f"tailrace: {one_line(error.strerror or str(error))}", err=True, color=True)
        return exits.USAGE
    return code if isinstance(code, int) else exits.OK
