"""The few things PHP and WordPress do to text, as the captured replies show them. Nothing here knows a site."""

from __future__ import annotations

import html
import json
import re
from typing import Any

_UNFINISHED_TAG = re.compile(r"<[^>]*?(?:(?=<)|>|$)")
_RAW_TEXT_ELEMENT = re.compile(r"<(script|style)[^>]*?>.*?</\1>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(?!\s)[^>]*>")
_OCTET = re.compile(r"%[a-f0-9]{2}", re.IGNORECASE)


def json_encode(value: object) -> str:
    r"""Write JSON as ``json_encode`` does by default: no spaces, ``\/`` and ``\uXXXX`` (capture ``json_ok``)."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/")


def esc_html(text: str) -> str:
    """Escape the five characters that mean something in HTML; ``'`` becomes ``&#039;`` (capture ``page_stream``)."""
    return html.escape(text, quote=True).replace("&#x27;", "&#039;")


def sanitize_textarea(text: str) -> str:
    """Filter a form's text as the plugin does before it uses it: tags and %xx go, newlines stay, ends are trimmed."""
    if "<" in text:
        text = _UNFINISHED_TAG.sub(lambda tag: tag[0] if tag[0].endswith(">") else esc_html(tag[0]), text)
        text = _TAG.sub("", _RAW_TEXT_ELEMENT.sub("", text))
    while _OCTET.search(text):
        text = _OCTET.sub("", text)
    return text.strip()


def json_decode(text: str) -> Any:
    """Read JSON as ``json_decode`` does: ``None`` where it is none, NaN and Infinity included."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
