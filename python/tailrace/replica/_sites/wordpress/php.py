"""The few things PHP and WordPress do to text, as the captured replies show them.

Nothing here knows a site.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

_UNFINISHED_TAG = re.compile(r"<[^>]*?(?:(?=<)|>|$)")
_RAW_TEXT_ELEMENT = re.compile(r"<(script|style)[^>]*?>.*?</\1>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(?!\s)[^>]*>")
_ESCAPE = re.compile(r"\\.|[&<>']")
_HEXED = {'\\"': "\\u0022", "&": "\\u0026", "<": "\\u003C", ">": "\\u003E", "'": "\\u0027"}
_WHITE_SPACE = re.compile(r"[\r\n\t ]+")
_OCTET = re.compile(r"%[a-f0-9]{2}", re.IGNORECASE)


def json_encode(value: object, *, raw_unicode: bool = False) -> str:
    r"""Write JSON as ``json_encode`` does by default: no spaces, ``\/`` and ``\uXXXX`` (capture
    ``json_ok``).

    `raw_unicode` leaves what is not ASCII as it is (capture ``2.4.71/ok.2stream``), but for the two
    line ends that JavaScript once took for its own.
    """
    text = json.dumps(value, ensure_ascii=not raw_unicode, separators=(",", ":")).replace(
        "/", "\\/"
    )
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def json_attribute(value: object) -> str:
    r"""Write JSON for a tag:

    ``\u0022`` for what means something in HTML, and entities (capture ``page_inline``).
    """
    escaped = _ESCAPE.sub(
        lambda escape: _HEXED.get(escape[0], escape[0]), json_encode(value, raw_unicode=True)
    )
    return esc_html(escaped)


def esc_html(text: str) -> str:
    """Escape the five characters that mean something in HTML; ``'`` becomes ``&#039;`` (capture
    ``page_stream``).
    """
    return html.escape(text, quote=True).replace("&#x27;", "&#039;")


def sanitize(text: str, *, keep_lines: bool = True) -> str:
    """Filter a form's text as the plugin does before it uses it: tags and %xx go, and the ends are
    trimmed.

    Without `keep_lines` a run of white space becomes one space (capture ``1.8.79/json_ok``).
    """
    if "<" in text:
        text = _UNFINISHED_TAG.sub(
            lambda tag: tag[0] if tag[0].endswith(">") else esc_html(tag[0]), text
        )
        text = _TAG.sub("", _RAW_TEXT_ELEMENT.sub("", text))
    if not keep_lines:
        text = _WHITE_SPACE.sub(" ", text)
    while _OCTET.search(text):
        text = _OCTET.sub("", text)
    return text.strip()


def integer(text: str) -> int:
    """Read a whole number as ``(int)`` does: the digits that `text` begins with, or 0."""
    digits = re.match(r"\s*\d{1,18}", text, re.ASCII)
    return int(digits[0]) if digits else 0


def json_decode(text: str) -> Any:
    """Read JSON as ``json_decode`` does: ``None`` where it is none, NaN and Infinity included."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
