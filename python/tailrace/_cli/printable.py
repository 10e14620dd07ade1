"""Text from a peer, made safe for a terminal."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str) -> str:
    """Return `text` as one line, with U+FFFD for each control character."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
