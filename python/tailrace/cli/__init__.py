"""The command line: one file a command, parsing and printing only."""

from __future__ import annotations

import sys

import click

from tailrace import __version__
from tailrace.cli import exits
from tailrace.cli.chat import chat
from tailrace.cli.decode import decode
from tailrace.cli.providers import providers
from tailrace.cli.replica import replica
from tailrace.errors import TailraceError

__all__ = ["cli", "main"]


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=exits.HELP,
)
@click.version_option(__version__, prog_name="tailrace")
def cli() -> None:
    """Text out of chat streams, and clients for the chat sites nobody else keeps working."""


cli.add_command(chat)
cli.add_command(decode)
cli.add_command(providers)
cli.add_command(replica)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with one of the documented codes."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code. Failures are one line on stderr."""
    try:
        code = cli.main(arguments, prog_name="tailrace", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return exits.INTERRUPTED
    except TailraceError as error:
        click.echo(f"tailrace: {error}", err=True)
        return exits.code_of(error)
    except BrokenPipeError:
        exits.silence_stdout()
        return exits.BROKEN_PIPE
    return code if isinstance(code, int) else exits.OK
