"""What the commands write to: a file or pipe gets text as it is, a terminal gets no orders.

`guard_terminals` stands in front of everything that a run writes, warnings, logs and tracebacks
included: no command needs to know which of its texts are a stranger's.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

import click

from tailrace._printable import visible, visible_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

__all__ = ["console", "guard_terminals", "is_terminal", "print_table", "terminal_of"]


def guard_terminals() -> None:
    """Make what is written to stdout and stderr visible text, where they are terminals."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream.isatty():
            setattr(sys, name, _Screen(stream))


def console(*, stderr: bool = False) -> Console:
    """Return rich's console, for tables and bars, whose own sequences reach a terminal.

    A stranger's text in them is to go through `tailrace._printable` first.
    """
    from rich.console import Console  # noqa: PLC0415 - slow to import, needed for tables only

    return Console(
        file=terminal_of(stderr=stderr),
        markup=False,
        highlight=False,
    )


def terminal_of(*, stderr: bool = False) -> TextIO:
    """Return the stream whose sequences reach the terminal, or stdout's own where there is none."""
    stream = sys.stderr if stderr else sys.stdout
    return stream.terminal if isinstance(stream, _Screen) else stream


def is_terminal() -> bool:
    """Tell whether stdout is a terminal."""
    return sys.stdout.isatty()


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    drawn: Sequence[Sequence[str]] | None = None,
    narrow: Sequence[str] = (),
) -> None:
    """Print a table: drawn on a terminal; in a file or pipe a line a row, with tabs between cells.

    `columns`: the names of the columns; `rows`: their cells, of which a stranger's text is shown,
    not obeyed. `drawn`: columns and rows for a terminal instead, whose cells may have several
    lines. `narrow`: the columns that a terminal too narrow for the table does not fold.
    """
    if not is_terminal():
        click.echo("\n".join("\t".join(map(visible_line, row)) for row in (columns, *rows)))
        return
    from rich.table import Column, Table  # noqa: PLC0415 - slow to import, needed for tables only
    from rich.text import Text  # noqa: PLC0415

    names, *cells = (columns, *rows) if drawn is None else drawn
    table = Table(
        *(Column(name, overflow="fold", no_wrap=name in narrow) for name in names),
        show_lines=drawn is not None,
    )
    for row in cells:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console().print(table)


class _Screen(io.TextIOBase):
    """A terminal's stream that shows control characters instead of sending them."""

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal

    @property
    def encoding(self) -> str:  # type: ignore[override] # typeshed has a plain attribute
        return self.terminal.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.terminal.errors

    def write(self, text: str, /) -> int:
        return self.terminal.write(visible(text))

    def flush(self) -> None:
        self.terminal.flush()

    def fileno(self) -> int:
        return self.terminal.fileno()

    def isatty(self) -> bool:
        return True

    def writable(self) -> bool:
        return True
