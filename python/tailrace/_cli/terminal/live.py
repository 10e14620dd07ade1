"""The last lines of a terminal, drawn anew as they change; what is above them is never touched.

What is written moves the cursor up over live lines only, and begins at the first that differs: what
stands above is never written twice, and what has scrolled away was settled.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

__all__ = ["LiveLines", "size_of"]

_TO_END = "\x1b[J"
_BEGIN_UPDATE = "\x1b[?2026h"
_END_UPDATE = "\x1b[?2026l"
_FEWEST_COLUMNS = 2


def size_of(terminal: TextIO) -> tuple[int, int]:
    """Return a terminal's columns and lines; 80 and 24 where it tells none."""
    try:
        columns, lines = os.get_terminal_size(terminal.fileno())
    except (OSError, ValueError):
        columns, lines = 0, 0
    return max(columns, _FEWEST_COLUMNS) if columns else 80, lines or 24


class LiveLines:
    """Lines at the end of a terminal's output; the cursor stands behind the last of them."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._drawn = [""]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn: the cursor stands at the beginning of a line."""
        return self._drawn == [""]

    def draw(self, settled: list[str], live: list[str]) -> None:
        """Write lines that stay, and behind them the live ones, in place of those drawn last."""
        old, new = self._drawn, [*settled, *(live or [""])]
        self._drawn = live or [""]
        same = 0
        while same < min(len(old), len(new)) and old[same] == new[same]:
            same += 1
        if same == len(old):
            if same < len(new):
                self._write("\r\n" + "\r\n".join(new[same:]))
            return
        if same == len(old) - 1 < len(new) and new[same].startswith(old[same]):
            self._write("\r\n".join([new[same].removeprefix(old[same]), *new[same + 1 :]]))
            return
        at = min(same, len(new) - 1)
        up = len(old) - 1 - at
        lines = "\r\n".join(new[at:])
        to_line = f"\x1b[{up}A\r" if up else "\r"
        self._write(f"{_BEGIN_UPDATE}{to_line}{_TO_END}{lines}{_END_UPDATE}")

    def abandon(self, *, erase_last: bool = False) -> None:
        """Leave the live lines where they are, and go on below them.

        `erase_last`: but for the last, whose place is gone on from.
        """
        if erase_last:
            self._write("\r\x1b[K")
        elif not self.is_empty:
            self._write("\r\n")
        self._drawn = [""]
