"""``python -m tailrace.conformance``: ask a decoder about the rules, and say which it breaks."""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import click

from tailrace import __version__
from tailrace._printable import visible
from tailrace.conformance._child import NoDecoderError, callable_named
from tailrace.conformance._judging import judge
from tailrace.conformance._printing import as_json, listed, printed
from tailrace.conformance._program import Program, ProgramError
from tailrace.conformance._rulebook import CLAIMS, LEVELS, rules

if TYPE_CHECKING:
    from tailrace.conformance._judging import Report
    from tailrace.conformance._rulebook import Kind, Rule

__all__ = ["main"]

KEPT, BROKEN, USAGE = 0, 1, 2


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 every rule asked about is kept, but for those allowed to be broken; 1 "
    "another is broken, or the decoder could not be asked any more; 2 wrong usage, or a decoder "
    "that does not start.",
)
@click.argument("kind", type=click.Choice(list(CLAIMS)), required=False)
@click.argument("decoder", nargs=-1)
@click.option(
    "--program", is_flag=True, help="DECODER is a program and its arguments, not module:attribute."
)
@click.option(
    "--claim",
    "claims",
    multiple=True,
    help="What the decoder can do, in place of what it says; or none.",
)
@click.option(
    "--rule",
    "patterns",
    multiple=True,
    help="Only rules of this id, as 'sse/id*'; may be repeated.",
)
@click.option(
    "--level",
    "levels",
    multiple=True,
    type=click.Choice(list(LEVELS)),
    help="Only rules of this level.",
)
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    help="Rules of this id may be broken, as 'robust/*'; may be repeated.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds for one answer.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random splits.")
@click.option("--json", "machine", is_flag=True, help="Print everything as JSON.")
@click.option("--list", "only_list", is_flag=True, help="Print the rules and ask nothing.")
@click.version_option(__version__, prog_name="tailrace.conformance")
def command(
    kind: Kind | None,
    decoder: tuple[str, ...],
    program: bool,
    claims: tuple[str, ...],
    patterns: tuple[str, ...],
    levels: tuple[str, ...],
    allowed: tuple[str, ...],
    timeout: float,
    seed: int,
    machine: bool,
    only_list: bool,
) -> int:
    """Say which rules a decoder breaks, however its input is cut.

    KIND is sse (bytes to events) or deltas (bytes of a chat reply to text). DECODER is a Python
    callable as module:attribute, or with --program a program that answers on standard output.
    """

    def wanted(rule: Rule) -> bool:
        by_id = not patterns or _is_one_of(rule.id, patterns)
        return by_id and (not levels or rule.level in levels) and kind in (None, rule.kind)

    if not any(map(wanted, rules())):
        raise click.UsageError("no such rule; --list shows all")
    for pattern in allowed:
        if not any(_is_one_of(rule.id, (pattern,)) for rule in rules()):
            raise click.UsageError(f"--allow {pattern}: no such rule; --list shows all")
    if only_list:
        click.echo(listed(filter(wanted, rules()), machine=machine), nl=False)
        return KEPT
    if kind is None or not decoder:
        raise click.UsageError("which KIND of decoder, and which DECODER?")
    if unknown := set(claims) - {*CLAIMS[kind], "none"}:
        known = ", ".join(CLAIMS[kind])
        raise click.UsageError(f"--claim {min(unknown)}: what can be claimed is {known}, or none")
    with Program(_command(decoder, program=program), kind, timeout=timeout) as running:
        claimed = frozenset(claims) - {"none"} if claims else running.claims
        report = judge(running.ask, kind, claims=claimed, only=wanted, seed=seed)
    may_be_broken = {rule.id for rule in rules() if _is_one_of(rule.id, allowed)}
    _print(report, running.name, may_be_broken, machine=machine)
    return KEPT if report.kept_but_for(may_be_broken) else BROKEN


def _is_one_of(rule_id: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(rule_id, pattern) for pattern in patterns)


def _command(decoder: tuple[str, ...], *, program: bool) -> tuple[str, ...]:
    if program:
        return decoder
    if len(decoder) > 1:
        raise click.UsageError("one module:attribute, or --program and a program's arguments")
    callable_named(decoder[0])  # its error is plainer here than in the other process
    return (sys.executable, "-m", "tailrace.conformance._child", decoder[0])


def _print(report: Report, name: str, allowed: set[str], *, machine: bool) -> None:
    if machine:
        click.echo(json.dumps(as_json(report, name, allowed), indent=1))
    else:
        printed(report, name, allowed)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        code: int = command.main(
            arguments, prog_name="python -m tailrace.conformance", standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        return USAGE
    except (ProgramError, NoDecoderError) as error:
        click.echo(f"Error: {visible(str(error))}", err=True)
        return USAGE
    except click.Abort:
        click.echo("interrupted", err=True)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
