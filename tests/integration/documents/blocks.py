"""What the documents show in fences: code, commands, their outputs, files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PAGES = [
    *(path for path in sorted(ROOT.glob("*.md")) if path.name != "CHANGELOG.md"),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts),
]
PYTHON = frozenset({"python", "py"})
SHELL = frozenset({"sh", "bash", "console", "given"})

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n\n?)?"
    r"```(?P<language>[^\s`]*)[^\n]*\n(?P<text>.*?)^```$"
    r"|^<!-- given:\n(?P<given>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)
_FILE_NAME = re.compile(r"(?:#|//) ((?:[\w-]+/)*[\w-]+\.[a-z]+)\n")


@dataclass(frozen=True)
class Block:
    """One fence. `reason`: why it is not run, where the page says so in a comment before it.

    What a page takes for granted is commands in a comment, and a block of the language ``given``.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file it is to be saved as: a comment with nothing but a name, as its first line."""
        named = _FILE_NAME.match(self.text)
        return named[1] if named and self.language not in SHELL else None

    @property
    def runs(self) -> bool:
        return self.language in PYTHON | SHELL


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> Iterator[Block]:
    """The page's fences from top to bottom."""
    text = page.read_text("utf-8")
    for found in FENCE.finditer(text):
        given = found["given"] is not None
        line = text.count("\n", 0, found.start("given" if given else "language")) + 1
        language, shown = ("given", found["given"]) if given else (found["language"], found["text"])
        yield Block(name_of(page), line, language, shown, found["reason"])
