"""A stranger's text, made safe to look at: what a terminal would obey is shown as an escape.

Shown are the control characters of ASCII and of ISO 6429 (U+0080 to U+009F: a lone U+009B begins a
command, too); the characters that order a terminal to write in another direction until the end of
the line (UAX #9: embeddings, overrides, isolates), since they turn round our own words behind them
as well; and lone surrogates, which no stream can be written. Marks and joiners pass: Arabic,
Hebrew, Persian and emoji are written with them, and they reach no further than their neighbours.

The escapes are those of JSON, so that JSON stays JSON.
"""

from __future__ import annotations

import re

__all__ = ["visible", "visible_line"]

_OBEYED = "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u202a-\u202e\u2066-\u2069\\ud800-\\udfff"
_IN_TEXT = re.compile(f"[{_OBEYED}]")
_IN_LINE = re.compile(f"[{_OBEYED}\\t\\n\u2028\u2029]")


def visible(text: str) -> str:
    r"""Return `text` with an escape such as ``\u001b`` for each character that a terminal obeys.

    Newlines and tabs stand as they are.
    """
    return _IN_TEXT.sub(_escape, text)


def visible_line(text: str) -> str:
    r"""Return `text` as one line, with escapes for newlines and tabs, too."""
    return _IN_LINE.sub(_escape, text)


def _escape(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"
