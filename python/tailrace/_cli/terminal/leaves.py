"""Markdown in, its leaves out: the blocks that hold no other blocks, in their order.

A leaf before the last one never changes, whatever text comes behind whole lines: CommonMark closes
blocks line by line and never opens them again. What could reach back, a reference's definition, is
not read as one, and stays visible text. HTML is text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from markdown_it import MarkdownIt
from markdown_it.rules_block.table import escapedSplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

__all__ = ["Leaf", "inline_tokens", "leaves_of"]

_MOST_NESTED = 100
"""How deep lists and quotes are read; beyond that, what they hold is shown as it was written."""

_MOST_BRACKETS = 1000
"""How many opening brackets a text may have of which each may begin a link; to look for the end of
each takes the longer, the more there are.
"""


def _reader(*without: str) -> MarkdownIt:
    options = {"html": False, "maxNesting": _MOST_NESTED}
    reader = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    return reader.disable(["reference", *without])


_BLOCKS = _reader("inline")  # a leaf's text is read when it is painted, and by itself
_INLINE, _INLINE_WITHOUT_LINKS = _reader(), _reader("link", "image")
_QUOTE = "▌ "
_BULLET = "• "


@dataclass(slots=True)
class Leaf:
    """A block that holds text and no block.

    `kind`: what it is; `text`: its inline Markdown; `level`: of a heading, 1 to 6. `first`: what
    stands in front of its first line, such as a bullet, and `rest` in front of the others. `gap`:
    whether an empty line parts it from the leaf before. `top`: the line of the text at which its
    outermost block begins, or its item of an outermost list; `number`: that item's number, None
    without one; `goes_on`: whether its list began before. `code`: the lines of code, `language`
    their language; `opening` and `closing`: its fences, empty where it has none, or none yet.
    `rows`: the cells of a table, the head's first, each as inline Markdown.
    """

    kind: Literal["text", "heading", "code", "table", "rule"]
    text: str = ""
    level: int = 0
    first: str = ""
    rest: str = ""
    gap: bool = False
    top: int = 0
    number: int | None = None
    goes_on: bool = False
    code: list[str] = field(default_factory=list)
    language: str = ""
    opening: str = ""
    closing: str = ""
    rows: list[list[str]] = field(default_factory=list)


@dataclass(slots=True)
class _Container:
    """A quote or an item: what stands in front of its first line once, and of its others."""

    rest: str
    first: str | None = None

    def take(self) -> str:
        first, self.first = self.first, None
        return self.rest if first is None else first


def leaves_of(text: str, number: int | None = None) -> list[Leaf]:
    """Return the leaves of a Markdown text.

    `number`: that of the item with which the text begins, where its list began before.
    """
    return list(_Reading(text, number).leaves())


def inline_tokens(text: str) -> list[Token]:
    """Return the tokens of inline Markdown: words, emphasis, code, links."""
    reader = _INLINE if text.count("[") <= _MOST_BRACKETS else _INLINE_WITHOUT_LINKS
    (inline,) = reader.parseInline(text)
    return inline.children or []


class _Reading:
    """One walk over the tokens of a text."""

    def __init__(self, text: str, number: int | None) -> None:
        self._lines = text.split("\n")
        self._tokens = iter(_BLOCKS.parse(text))
        self._within: list[_Container] = []
        self._numbers: list[int] = []
        self._tight = False
        self._top, self._goes_on = 0, False
        self._number = number
        self._top_number: int | None = None
        self._shown = False

    def leaves(self) -> Iterator[Leaf]:
        """Yield the leaves, in order."""
        for token in self._tokens:
            if token.level == 0 and token.map is not None:
                self._top, self._goes_on = token.map[0], False
                self._tight = False
            leaf = self._leaf(token)
            if leaf is not None:
                yield self._placed(leaf, token)
            elif token.type == "list_item_close":
                if self._within[-1].first is not None:  # an item without a word
                    yield self._placed(Leaf("text"), token)
                self._within.pop()
            else:
                self._walk(token)
                if _is_too_deep(token):
                    yield self._placed(self._unread(token), token)

    def _unread(self, token: Token) -> Leaf:
        """Return the lines of a quote or an item whose content the reader has left out."""
        begin, end = token.map or (0, 0)
        lines = [line.strip() for line in self._lines[begin:end]]
        return Leaf("code", code=lines)

    def _leaf(self, token: Token) -> Leaf | None:
        """Return the leaf that a token begins, None for another token."""
        if token.type in ("paragraph_open", "heading_open"):
            return self._paragraph(token)
        if token.type in ("fence", "code_block"):
            return _code(token)
        if token.type == "table_open":
            return self._table()
        return Leaf("rule") if token.type == "hr" else None

    def _walk(self, token: Token) -> None:
        if token.type == "blockquote_open":
            self._within.append(_Container(_QUOTE))
        elif token.type == "blockquote_close":
            self._within.pop()
        elif token.type == "bullet_list_open":
            self._numbers.append(-1)
        elif token.type == "ordered_list_open":
            first, self._number = self._number, None
            self._numbers.append(int(token.attrs.get("start", 1)) if first is None else first)
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            self._numbers.pop()
        elif token.type == "list_item_open":
            if token.level == 1 and token.map is not None:
                self._goes_on = token.map[0] > self._top or self._goes_on
                self._top = token.map[0]
            self._open_item(token.markup)

    def _open_item(self, mark: str) -> None:
        number = self._numbers[-1]
        if len(self._within) == 0:
            self._top_number = None if number < 0 else number
        first = _BULLET if number < 0 else f"{number}{mark} "
        self._numbers[-1] += number >= 0
        self._within.append(_Container(" " * len(first), first))

    def _placed(self, leaf: Leaf, token: Token) -> Leaf:
        """Return the leaf with its place: what stands in front, and the gap above."""
        is_item = any(each.first is not None for each in self._within)
        leaf.rest = "".join(each.rest for each in self._within)
        leaf.first = "".join(each.take() for each in self._within)
        leaf.top, leaf.goes_on = self._top, self._goes_on
        leaf.number = self._top_number if self._within else None
        tight = leaf.kind == "text" and (token.hidden or token.map is None)
        # Items of a tight list stand close; so does what follows within one, but not the list.
        leaf.gap = self._shown and not (self._tight and (tight or is_item))
        self._tight = bool(self._within) and (tight or self._tight or is_item)
        self._shown = True
        return leaf

    def _paragraph(self, token: Token) -> Leaf:
        inline = next(self._tokens)
        next(self._tokens)  # the closing token
        if token.type == "heading_open":
            return Leaf("heading", inline.content, int(token.tag[1]))
        return Leaf("text", inline.content)

    def _table(self) -> Leaf:
        rows: list[list[str]] = []
        for each in self._tokens:
            if each.type == "table_close":
                break
            if each.type == "tr_open":
                rows.append([])
                line = self._lines[each.map[0]] if each.map is not None else ""
            elif each.type == "inline":
                rows[-1].append(each.content)
            elif each.type == "tr_close" and len(rows) > 1:  # the head makes the columns
                rows[-1] += _surplus(line, len(rows[0]))
        return Leaf("table", rows=rows)


def _is_too_deep(token: Token) -> bool:
    is_container = token.type in ("blockquote_open", "list_item_open")
    return is_container and token.level + 1 >= _MOST_NESTED


def _code(token: Token) -> Leaf:
    if token.type == "code_block" or token.map is None:
        return Leaf("code", code=token.content.rstrip("\n").split("\n"))
    lines = token.content.removesuffix("\n").split("\n") if token.content else []
    begin, end = token.map
    is_closed = end - begin > len(lines) + 1
    return Leaf(
        "code",
        code=lines,
        language=token.info.split(maxsplit=1)[0] if token.info.strip() else "",
        opening=f"{token.markup}{token.info}",
        closing=token.markup if is_closed else "",
    )


def _surplus(line: str, columns: int) -> list[str]:
    """Return the cells of a row for which the table's head has no column; they are text, too."""
    cells = [cell.strip() for cell in escapedSplit(line.lstrip(" >").rstrip())]
    cells = cells[1:] if cells and not cells[0] else cells
    cells = cells[:-1] if cells and not cells[-1] else cells
    return cells[columns:]
