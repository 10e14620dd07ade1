"""Pieces of a Markdown text in; its lines out, each once and for all, and those that may change.

A line is *settled* when nothing that may come changes it: it is printed, and scrolls away like any
other output. *Live* are the lines of the block that the text has got to; they are few, so that all
of them stand on the screen, where they can be drawn anew.

However the text is cut into pieces, the settled lines together are those of the whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tailrace._cli.terminal.leaves import leaves_of
from tailrace._cli.terminal.line_ends import LineEnds
from tailrace._printable import visible

if TYPE_CHECKING:
    from tailrace._cli.terminal.leaves import Leaf
    from tailrace._cli.terminal.paint import Painter

__all__ = ["MAX_OPEN_CHARACTERS", "MarkdownFlow"]

MAX_OPEN_CHARACTERS = 64 * 2**10
"""The most text that is read again with each piece; a longer block is broken in two."""

_SPACE = re.compile(r"\s+")
_MOST_TRIES = 200
_CLOSERS = ("`", "**", "~~", "*", "_")


class MarkdownFlow:
    """A Markdown text that arrives in pieces, on its way to a terminal.

    `painter`: draws its leaves; `room`: the most lines that may be live.
    """

    def __init__(self, painter: Painter, room: int) -> None:
        self._painter = painter
        self._room = max(room, 1)
        self._line_ends = LineEnds()
        self._source = ""
        self._number: int | None = None  # of the item with which the source begins
        self._goes_on = False  # whether the source begins within a list
        self._whole: tuple[str, int | None, list[Leaf]] = ("", None, [])  # of the last whole lines
        self._seen = 0  # the characters of the source that were taken
        self._done = 0  # leaves of the source that are settled
        self._at = 0  # of the leaf behind them: the characters, lines or rows that are settled
        self._skip = 0  # of the line of code there: the characters that are settled
        self._begun = False  # whether anything of that leaf is settled
        self._shown = False  # whether a leaf was settled before the source
        self._tried = 0  # how many lines the leaf had when it was last looked at for a cut

    def feed(self, text: str) -> None:
        """Take the next piece."""
        self._source += visible(self._line_ends.feed(text))

    def take(self, *, whole: bool = False) -> tuple[list[str], list[str]]:
        """Return the lines that are settled since the last time, and all that are live now.

        `whole`: whether the text ends here; then every line is settled.
        """
        if whole:
            self._source += visible(self._line_ends.close())
        if len(self._source) > MAX_OPEN_CHARACTERS and not whole:
            return self._broken(), []
        lines_over = self._leaves() if whole else self._leaves_over()
        settled = self._settle(lines_over, len(lines_over) if whole else len(lines_over) - 1)
        if whole:
            return settled, []
        settled += self._settle_code(lines_over)
        self._forget(lines_over)
        live = self._live(settled)
        self._seen = len(self._source)
        return settled, live[-self._room :]

    def abandon(self, painter: Painter, room: int) -> None:
        """Count what is live as settled, since it stands where it can be drawn no more.

        `painter` and `room`: those of the terminal as it is now.
        """
        seen = self._source[: self._seen]
        leaves = leaves_of(seen, self._number)
        if self._done == len(leaves) - 1:
            self._abandon(leaves[self._done], is_over=seen.endswith("\n"))
        self._painter, self._room = painter, max(room, 1)

    def _abandon(self, leaf: Leaf, *, is_over: bool) -> None:
        """Count a leaf as settled as far as it goes; `is_over`: whether its last line is whole."""
        self._begun = True
        if leaf.kind == "table":
            self._at = max(self._at, len(leaf.rows) - (not is_over and len(leaf.rows) > 1))
        elif leaf.kind != "code":
            self._at = max(self._at, len(leaf.text))
        elif lines := bool(leaf.opening) + len(leaf.code) + bool(leaf.closing):
            is_over = is_over or bool(leaf.closing) or not leaf.code
            self._skip = 0 if is_over else len(leaf.code[-1])
            self._at = max(self._at, lines - (not is_over))

    def _leaves(self) -> list[Leaf]:
        return leaves_of(self._source, self._number)

    def _leaves_over(self) -> list[Leaf]:
        """Return the leaves of the whole lines; a list must not be read again for each word."""
        over = self._source[: self._source.rfind("\n") + 1]
        if self._whole[:2] != (over, self._number):
            self._whole = (over, self._number, leaves_of(over, self._number))
        return self._whole[2]

    # -- settling ----------------------------------------------------------------------------------

    def _settle(self, leaves: list[Leaf], until: int) -> list[str]:
        """Return what is left of the leaves up to the one numbered `until`, which are over."""
        settled: list[str] = []
        while self._done < until:
            leaf = leaves[self._done]
            settled += self._gap(leaf) + self._lines(leaf, is_over=True)
            self._next_leaf()
        return settled

    def _settle_code(self, leaves: list[Leaf]) -> list[str]:
        """Return the lines of code that are whole: they change no more, though their block may."""
        if self._done >= len(leaves) or leaves[self._done].kind != "code":
            return []
        leaf = leaves[self._done]
        lines = self._gap(leaf) + self._lines(leaf, is_over=True)
        self._at += len(lines) - len(self._gap(leaf))
        self._skip = 0 if lines else self._skip
        self._begun = self._begun or bool(lines)
        return lines

    def _forget(self, leaves: list[Leaf]) -> None:
        """Drop the outermost blocks that are settled whole."""
        if not 0 < self._done < len(leaves):
            return
        top = leaves[self._done].top
        if top > leaves[self._done - 1].top:
            self._source = "\n".join(self._source.split("\n")[top:])
            self._number, self._goes_on = leaves[self._done].number, leaves[self._done].goes_on
            self._done, self._shown = 0, True

    def _broken(self) -> list[str]:
        """Settle a block that has grown too long, and go on as if another one began."""
        end = self._source.rfind("\n") + 1 or len(self._source)
        leaves = leaves_of(self._source[:end], self._number)
        settled = self._settle(leaves, len(leaves))
        last = leaves[-1] if leaves else None
        reopened = last is not None and last.opening and not last.closing
        self._number, self._goes_on = None, False
        self._source = (f"{last.opening}\n" if last and reopened else "") + self._source[end:]
        self._done, self._shown = 0, True
        self._at, self._begun = (1, True) if reopened else (0, False)
        self._skip = self._seen = 0
        return settled

    def _next_leaf(self) -> None:
        self._done += 1
        self._at = self._skip = self._tried = 0
        self._begun = False

    # -- what may change ---------------------------------------------------------------------------

    def _live(self, settled: list[str]) -> list[str]:
        """Return the live lines; those of them that can be settled are added to `settled`."""
        leaves = self._leaves()
        lines: list[str] = []
        for number in range(self._done, len(leaves)):
            leaf = leaves[number]
            is_first = number == self._done
            if is_first and leaf.kind == "text":
                settled += self._cut(leaf)
            shown = self._lines(leaf, is_over=number < len(leaves) - 1, is_first=is_first)
            lines += self._gap(leaf, is_first=is_first) + shown if shown else []
        # No line that is drawn anew may be wider than the terminal, as code and tables may be.
        return [part for line in lines[-self._room :] for part in self._painter.folded(line)]

    def _cut(self, leaf: Leaf) -> list[str]:
        """Return the first lines of a paragraph that has too many, if it can be parted."""
        text, first = leaf.text[self._at :], not self._begun
        lines = self._painter.text_lines(leaf, text, first=first)
        if len(lines) <= max(self._room - 1, 1) or len(lines) <= self._tried:
            return []
        self._tried = len(lines)
        for space in list(_SPACE.finditer(text, 0, _maybe_table(text)))[: -_MOST_TRIES - 1 : -1]:
            head = self._painter.text_lines(leaf, text[: space.start()], first=first)
            if len(head) >= len(lines) or lines[: len(head)] != head:
                continue
            tail = self._painter.text_lines(leaf, text[space.end() :], first=False)
            if lines[len(head) :] == tail:
                gap = self._gap(leaf)
                self._at += space.end()
                self._begun, self._tried = True, 0
                return gap + head
        return []

    def _gap(self, leaf: Leaf, *, is_first: bool = True) -> list[str]:
        begun = is_first and self._begun
        is_next = leaf.gap or (is_first and self._done == 0 and self._shown and not self._goes_on)
        return [""] if is_next and not begun else []

    def _lines(self, leaf: Leaf, *, is_over: bool, is_first: bool = True) -> list[str]:
        """Return the lines of a leaf that are not settled."""
        at, begun = (self._at, self._begun) if is_first else (0, False)
        if leaf.kind == "code":
            return self._painter.code_lines(leaf, at, self._skip if is_first else 0)
        if leaf.kind == "table":
            rows = len(leaf.rows) if is_over else self._rows(leaf)
            return self._painter.table_lines(leaf, at, rows)
        if leaf.kind == "rule":
            return [] if begun else self._painter.rule_lines(leaf)
        text = leaf.text[at:]
        if begun and not text:
            return []
        return self._painter.text_lines(
            leaf, text if is_over else self._closed(text), first=not begun
        )

    def _rows(self, leaf: Leaf) -> int:
        """Return how many rows of a table at the text's end are whole."""
        return len(leaf.rows) if self._source.endswith("\n") else max(len(leaf.rows) - 1, 1)

    def _closed(self, text: str) -> str:
        """Return inline Markdown with what is open closed, as it will be once the text goes on."""
        for closer in _CLOSERS:
            if closer[0] in text:
                longer = text.rstrip() + closer
                if self._painter.plain_length(longer) < self._painter.plain_length(text.rstrip()):
                    text = longer
        return text


def _maybe_table(text: str) -> int:
    """Return where the lines begin that the next line may make a table's; else the text's end."""
    begin = text.rfind("\n", 0, max(text.rfind("\n"), 0)) + 1
    return begin if "|" in text[begin:] else len(text)
