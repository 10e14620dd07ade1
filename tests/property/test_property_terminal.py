"""Markdown on a terminal: whatever the pieces it comes in and the size of the screen, its words are
seen once and in their order, and those that have scrolled away are right.
"""

from __future__ import annotations

import re

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tailrace._cli.terminal.flow import MarkdownFlow
from tailrace._cli.terminal.live import LiveLines
from tailrace._cli.terminal.paint import Painter

# No number of a list, which counts by itself, and no joiner of emoji, at which the emulator stops.
PIECES = [
    *("word ", "longer-word ", "text text text text text text text text ", "a" * 30),
    *("**bold** ", "**", "*it*", "`code`", "`", "~~s~~", "\\*", "<b>", "#", "+"),
    *("\n", "\n\n", "\r\n", "  \n", "    ", "\t", "---\n", "===\n", "# head\n", "\n## lower\n"),
    *("- item ", "\n- item ", "\n  - sub ", "\n> quote ", "\n```py\n", "\n```\n", "x = y\n"),
    *("| a | b |\n|---|---|\n", "| c | d |\n", "| e | f | surplus |\n"),
    *("[link](http://x.y) ", "<http://z.w> ", "![i](u)", "[r]: v\n", "漢字漢字", "👩👧 "),
]
SIZES = [(80, 24), (40, 10), (30, 8), (20, 5), (12, 4)]
LETTERS = re.compile(r"[^A-Za-z漢字]+")


def seen(pieces: list[str], columns: int, lines: int) -> list[str]:
    """The lines of a terminal on which a text was shown as it came, with all that scrolled away."""
    screen = pyte.HistoryScreen(columns, lines, history=100_000)
    terminal = pyte.Stream(screen)
    console = Console(force_terminal=True, color_system="256", width=columns)
    flow, live = MarkdownFlow(Painter(console, columns - 1), lines - 2), LiveLines(terminal.feed)
    for piece in pieces:
        flow.feed(piece)
        live.draw(*flow.take())
    live.draw(*flow.take(whole=True))
    live.abandon()
    above = ["".join(row[at].data for at in range(columns)) for row in screen.history.top]
    return [*above, *screen.display]


def words(lines: list[str]) -> str:
    return LETTERS.sub("", "".join(lines))


@st.composite
def pieces_of_markdown(draw: st.DrawFn) -> list[str]:
    text = "".join(draw(st.lists(st.sampled_from(PIECES), max_size=40)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=60)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@settings(max_examples=100)
@given(pieces_of_markdown(), st.sampled_from(SIZES))
def test_every_word_is_seen_once_and_in_order(pieces: list[str], size: tuple[int, int]) -> None:
    # What stands behind a rule's or a heading's marks is the only text that they change.
    assert words(seen(pieces, *size)) == LETTERS.sub("", "".join(pieces))


@pytest.mark.parametrize(
    "text",
    [
        "\n```py\n" + "x = 'y'\n" * 300 + "```\nend",
        "> quote\n" * 300,
        "word " * 500,
    ],
)
def test_a_block_beyond_all_bounds_is_broken_and_loses_nothing(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace._cli.terminal.flow.MAX_OPEN_CHARACTERS", 1000)
    pieces = [text[at : at + 700] for at in range(0, len(text), 700)]
    assert words(seen(pieces, 80, 24)) == LETTERS.sub("", text)


@pytest.mark.parametrize("size", [*SIZES, (5, 4)])
@pytest.mark.parametrize(
    "text",
    [
        "".join("  " * depth + f"- level {'abcdefghijklmn'[depth]}\n" for depth in range(14)),
        "".join("  " * depth + f"- deep {'abcdefghij'[depth % 10]}\n" for depth in range(60))
        + "\nand what stands behind\n",
        ">" * 30 + " quoted\n\nand behind\n",
        ">" * 130 + " quoted\n\nand behind\n",
        "| " + " | ".join("abcdefghijklmno") + " |\n" + "|-" * 15 + "|\n" + "| c " * 15 + "|\n",
        "- - - - - | x | y | z |\n" + " " * 10 + "|--|--|--|\n" + " " * 10 + "| a | b | c |",
    ],
)
def test_what_is_deep_or_wide_is_seen_whole(text: str, size: tuple[int, int]) -> None:
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    assert words(seen(pieces, *size)) == LETTERS.sub("", text)


def test_a_long_line_of_code_has_one_colour_and_is_whole() -> None:
    line = ";".join(["const a = 'b'"] * 300)
    console = Console(force_terminal=True, color_system="256", width=80)
    for code, colours in ((line[:400], True), (line, False)):
        flow = MarkdownFlow(Painter(console, 79), 22)
        flow.feed(f"```js\n{code}\n```\n")
        _, shown, _ = flow.take(whole=True)[0]
        assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == code
        assert (len(set(re.findall(r"\x1b\[[0-9;]*m", shown))) > 2) == colours


def test_a_list_counts_on_where_its_first_items_are_forgotten() -> None:
    lines = seen(["1. item\n"] * 30 + ["2. last\n   - sub\n\n   more\n", "1. x"], 40, 8)
    shown = [line.rstrip() for line in lines if line.strip()]
    assert shown[:30] == [f"{number}. item" for number in range(1, 31)]
    assert shown[30:] == ["31. last", "    • sub", "    more", "32. x"]


def test_what_is_settled_is_never_written_again() -> None:
    written: list[str] = []
    console = Console(force_terminal=True, color_system=None, width=40)
    flow, live = MarkdownFlow(Painter(console, 39), 8), LiveLines(written.append)
    for number in range(50):
        flow.feed(f"Paragraph number{number} ends.\n\n")
        live.draw(*flow.take())
    text = "".join(written)
    for number in range(50):
        assert text.count(f"number{number} ") == 1


@settings(max_examples=50)
@given(pieces_of_markdown(), st.data())
def test_a_size_that_changes_loses_and_doubles_no_whole_line(
    pieces: list[str], data: st.DataObject
) -> None:
    """Of lines that came whole before it: what stands in an unfinished one may be seen again."""
    console = Console(force_terminal=True, color_system=None, width=80)
    flow, shown = MarkdownFlow(Painter(console, 79), 20), list[str]()
    live: list[str] = []
    for line in "".join(pieces).splitlines(keepends=True):
        flow.feed(line)
        settled, live = flow.take()
        shown += settled
        if line.endswith("\n") and data.draw(st.booleans()):
            shown += live
            live = []
            width = data.draw(st.sampled_from([79, 29, 19]))
            flow.abandon(Painter(console, width), 20)
    shown += flow.take(whole=True)[0]
    assert words(shown) == LETTERS.sub("", "".join(pieces))
