"""Leaves in, lines for a terminal out: styled, folded to its width, with nothing left out.

A link's address stands behind its words, since not every terminal shows it otherwise, and fences
stand around code, so that it is told apart without colours.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from wcwidth import wcwidth

from tailrace._cli.terminal.leaves import inline_tokens
from tailrace._printable import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from markdown_it.token import Token
    from rich.console import Console

    from tailrace._cli.terminal.leaves import Leaf

__all__ = ["Painter", "widest"]

_DIM = Style(dim=True)
_CODE = Style(color="cyan")
_STYLES = {
    "strong": Style(bold=True),
    "em": Style(italic=True),
    "s": Style(strike=True),
}
_HEADINGS = (Style(bold=True, underline=True), Style(bold=True))
_LEAD_IN = 60
"""Lines of code in front of one that is coloured: a string or a comment may have begun there."""
_LONGEST_COLOURED = 2000
"""The characters of a line of code beyond which it has one colour: it is drawn with each piece."""
_NARROWEST = 8
"""The fewest columns that text is folded to, however narrow the terminal or deep its list."""


class Painter:
    """Turns leaves into lines for one console, none of them wider than `width` columns.

    `width`: the columns that a line may have; code has its own lines, however long.
    """

    def __init__(self, console: Console, width: int) -> None:
        self._console = console
        self._columns = max(width, 1)
        self.width = max(width, _NARROWEST)

    def text_lines(self, leaf: Leaf, text: str, *, first: bool = True) -> list[str]:
        """Return the lines of a paragraph's or heading's `text`.

        `first`: whether its first line is the leaf's first, with its bullet.
        """
        shown = self._inline(text)
        if leaf.kind == "heading":
            shown.stylize(_HEADINGS[leaf.level > 1])
        return self._ansi(self._behind(leaf, self._folded(shown, leaf), first=first))

    def plain_length(self, text: str) -> int:
        """Return how many characters of inline Markdown are seen."""
        return len(self._inline(text).plain)

    def code_lines(self, leaf: Leaf, begin: int, skip: int = 0) -> list[str]:
        """Return the lines of code from the one numbered `begin`; the opening fence is the first.

        `skip`: the characters of that line which are left out.
        """
        numbered = [*([leaf.opening] if leaf.opening else []), *leaf.code]
        offset = len(numbered) - len(leaf.code)
        numbered += [leaf.closing] if leaf.closing else []
        lead = max(begin - offset - _LEAD_IN, 0)
        coloured = self._coloured(leaf.code[lead:], leaf.language)
        lines = []
        for number in range(begin, len(numbered)):
            at = number - offset
            is_code = 0 <= at < len(leaf.code)
            shown = coloured[at - lead] if is_code else Text(visible(numbered[number]), _DIM)
            if skip and number == begin:
                lines.append(Text(visible(numbered[number][skip:]), _CODE))
            else:
                lines.append(_after(leaf.rest if number else leaf.first, shown))
        return self._ansi(lines)

    def rule_lines(self, leaf: Leaf) -> list[str]:
        """Return the line of a rule."""
        line = Text("─" * max(self.width - cell_len(leaf.first), 1), _DIM)
        return self._ansi([_after(leaf.first, line)])

    def table_lines(self, leaf: Leaf, begin: int, end: int) -> list[str]:
        """Return the lines of a table's rows from `begin` to `end`, the head being the first.

        They are as wide as its cells, or as the terminal.
        """
        cells = [[self._inline(cell) for cell in row] for row in leaf.rows]
        widths = self._widths(cells, self.width - cell_len(leaf.rest))
        lines: list[Text] = []
        for number, row in list(enumerate(cells))[begin:end]:
            for cell in row if number == 0 else ():
                cell.stylize(_STYLES["strong"])
            lines += self._row(row, widths)
            if number == 0:
                lines.append(Text("─┼─".join("─" * width for width in widths), _DIM))
        return self._ansi(self._behind(leaf, lines, first=begin == 0))

    def folded(self, line: str) -> list[str]:
        """Return a line, sequences and all, as lines that the terminal has room for."""
        shown = Text.from_ansi(line)
        if widest(shown.plain) <= self._columns:
            return [line]
        return self._ansi(self._fold(shown, self._columns))

    def _row(self, row: list[Text], widths: list[int]) -> list[Text]:
        folded = [
            self._fold(cell, width)
            for cell, width in zip_longest(row, widths[: max(len(row), len(widths))])
            if cell is not None
        ]
        lines = []
        for parts in zip_longest(*folded):
            line = Text()
            for number, width in enumerate(widths):
                part = parts[number] if number < len(parts) else None
                line.append_text(part or Text())
                if number < len(widths) - 1:
                    line.append(" " * (width - cell_len(part.plain if part else "")))
                    line.append(" │ ", _DIM)
            lines.append(line)
        return lines

    def _widths(self, rows: list[list[Text]], width: int) -> list[int]:
        """Return the columns' widths: those of their cells, shrunk to `width` together."""
        columns = max(map(len, rows))
        widths = [
            max([1, *(widest(line) for row in rows for line in _cell_lines(row, number))])
            for number in range(columns)
        ]
        room = max(width - 3 * (columns - 1), columns)
        while sum(widths) > room and max(widths) > 1:
            widest_column = widths.index(max(widths))
            widths[widest_column] -= 1
        return widths

    def _coloured(self, lines: list[str], language: str) -> list[Text]:
        """Return lines of code in the colours of their language, one for one."""
        code = [visible(line.expandtabs(4)) for line in lines]
        if not language or not code or max(map(len, code)) > _LONGEST_COLOURED:
            return [Text(line, _CODE) for line in code]
        from rich.syntax import Syntax  # noqa: PLC0415 - slow to import, needed for code only

        syntax = Syntax("", language, theme="ansi_dark", background_color="default")
        # A lexer may drop lines at the beginning and the end.
        shown = syntax.highlight("\n".join(code)).split("\n", allow_blank=True)
        painted = [line for line in shown if line is not None]
        if [line.plain for line in painted[: len(code)]] != code:
            return [Text(line, _CODE) for line in code]
        return painted[: len(code)]

    def _behind(self, leaf: Leaf, lines: Iterable[Text], *, first: bool) -> list[Text]:
        return [
            _after(leaf.first if first and number == 0 else leaf.rest, line)
            for number, line in enumerate(lines)
        ]

    def _folded(self, text: Text, leaf: Leaf) -> list[Text]:
        return self._fold(text, max(self.width - cell_len(leaf.rest), _NARROWEST))

    def _fold(self, text: Text, width: int) -> list[Text]:
        """Fold a text; no line is wider than `width`, by the widest measure of a terminal."""
        narrowed = width = max(width, 1)
        while True:
            lines = list(text.wrap(self._console, narrowed, overflow="fold"))
            over = max((widest(line.plain) for line in lines), default=0) - width
            if over <= 0 or narrowed == 1:
                for line in lines:
                    line.rstrip()
                return lines or [Text()]
            narrowed = max(narrowed - over, 1)

    def _inline(self, text: str) -> Text:
        """Return inline Markdown as a styled text."""
        shown = Text()
        styles: list[Style] = []
        links: list[tuple[int, Token]] = []
        for token in inline_tokens(text):
            name = token.type.removesuffix("_open").removesuffix("_close")
            if token.type.endswith("_open") and name in _STYLES:
                styles.append(_STYLES[name])
            elif token.type.endswith("_close") and name in _STYLES:
                styles.pop()
            elif token.type == "link_open":
                links.append((len(shown), token))
            elif token.type == "link_close":
                _add_address(shown, *links.pop())
            else:
                style = Style.combine([Style.null(), *styles, *_own_style(token)])
                shown.append(visible(_words(token)), style)
        shown.expand_tabs(4)
        return shown

    def _ansi(self, lines: Iterable[Text]) -> list[str]:
        """Return lines with the sequences of their styles, each complete in itself."""
        console = self._console
        with console.capture() as captured:
            for line in lines:
                console.print(line, soft_wrap=True)
        return captured.get().split("\n")[:-1]


def _after(front: str, line: Text) -> Text:
    return Text().append(front, _DIM).append_text(line)


def widest(text: str) -> int:
    """Return the most columns that a terminal may take for a text.

    One that does not know emoji of several characters shows each of them.
    """
    alone = sum(max(wcwidth(character), 0) for character in text)
    return max(alone + text.count("\ufe0f"), cell_len(text))


def _cell_lines(row: list[Text], number: int) -> list[str]:
    return row[number].plain.split("\n") if number < len(row) else []


def _own_style(token: Token) -> list[Style]:
    return [_CODE] if token.type == "code_inline" else []


def _words(token: Token) -> str:
    if token.type in ("softbreak", "hardbreak"):
        return "\n"
    if token.type == "image":
        return f"{token.content} ({_address(token, 'src')})".lstrip()
    return token.content


def _add_address(shown: Text, begin: int, token: Token) -> None:
    """Add a link's address behind its words, unless the words are the address."""
    shown.stylize(Style(underline=True), begin)
    words, address = shown.plain[begin:], visible(_address(token, "href"))
    if token.info != "auto" and words != address:
        shown.append(f" ({address})", _DIM)


def _address(token: Token, name: str) -> str:
    title = token.attrs.get("title")
    return f"{token.attrs.get(name, '')}" + (f' "{title}"' if title else "")
