"""Stop sequences: text in, text out up to the first of them, however it was cut into deltas.

The first sequence is the one whose last character comes first, as for a model that writes character
by character; of several that end together the longest one. The longest tail of the text that may be
the beginning of a stop sequence is held back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["StopScanner"]


class StopScanner:
    """A scanner for `stops`, none of them empty.

    `sequence`: the stop sequence that was seen; all text from its beginning on is dropped. None
    until one was.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._most_held = max(map(len, stops), default=1) - 1
        self._held = ""
        self.sequence: str | None = None

    @property
    def found(self) -> bool:
        """Whether a stop sequence was seen."""
        return self.sequence is not None

    def feed(self, text: str) -> str:
        """Take more text, and return the text that is certainly in front of any stop sequence."""
        if self.found:
            return ""
        text = self._held + text
        matches = [
            (at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0
        ]
        if matches:
            _, at, self.sequence = min(matches)
            self._held = ""
            return text[:at]
        certain = len(text) - self._undecided(text)
        self._held = text[certain:]
        return text[:certain]

    def close(self) -> str:
        """End the text, and return the text held back, which no stop sequence completed."""
        held, self._held = self._held, ""
        return held

    def _undecided(self, text: str) -> int:
        """Count the last characters that may be the beginning of a stop sequence."""
        for length in range(min(self._most_held, len(text)), 0, -1):
            tail = text[-length:]
            if any(len(stop) > length and stop.startswith(tail) for stop in self._stops):
                return length
        return 0
