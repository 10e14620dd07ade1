"""A peer's words for a terminal."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str) -> str:
    """One line of it: what would move the cursor, colour or ring is shown as U+FFFD."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
