"""The ends of lines in a text that arrives in pieces: CR LF is one, wherever it is cut."""

from __future__ import annotations

__all__ = ["LineEnds"]


class LineEnds:
    """Reader of a text's pieces that makes LF of each CR LF; other carriage returns stay."""

    def __init__(self) -> None:
        self._held = ""  # a carriage return whose line feed may follow

    def feed(self, text: str) -> str:
        """Take the next piece, and return what is known of the text."""
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""
        return text.removesuffix("\r").replace("\r\n", "\n")

    def close(self) -> str:
        """Return what was held back; the text ends here."""
        held, self._held = self._held, ""
        return held
