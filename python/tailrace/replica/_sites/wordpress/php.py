"""Functions of PHP and WordPress that the plugin's replies depend on, under their own names.

Each behaves as the captured responses show. This module depends on no site.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aiohttp.http import HttpProcessingError

from tailrace._json import read_json

if TYPE_CHECKING:
    from aiohttp import web

_UNFINISHED_TAG = re.compile(r"<[^>]*?(?:(?=<)|>|$)")
_RAW_TEXT_START = re.compile(r"<(script|style)", re.IGNORECASE | re.ASCII)
_RAW_TEXT_END = {
    name: re.compile(f"</{name}>", re.IGNORECASE | re.ASCII) for name in ("script", "style")
}
_TAG = re.compile(r"<(?!\s)[^>]*>")
_ESCAPED = re.compile(r"\\.|[&<>']")
_HEX_ESCAPES = {'\\"': "\\u0022", "&": "\\u0026", "<": "\\u003C", ">": "\\u003E", "'": "\\u0027"}
_WHITE_SPACE = re.compile(r"[\r\n\t ]+")
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


def json_encode(value: object, *, raw_unicode: bool = False) -> str:
    r"""Write JSON without spaces, with ``\/`` and ``\uXXXX`` (capture ``json_ok``).

    `raw_unicode` is JSON_UNESCAPED_UNICODE (capture ``2.4.71/ok.2stream``): characters beyond ASCII
    stand as they are, but for U+2028 and U+2029.
    """
    text = json.dumps(value, ensure_ascii=not raw_unicode, separators=(",", ":")).replace(
        "/", "\\/"
    )
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def json_attribute(value: object) -> str:
    r"""Write JSON for an attribute: ``esc_attr(wp_json_encode(…))`` (capture ``page_inline``).

    Characters with a meaning in HTML become ``\u0022`` and the like within strings, and entities
    elsewhere.
    """
    escaped = _ESCAPED.sub(
        lambda escape: _HEX_ESCAPES.get(escape[0], escape[0]), json_encode(value, raw_unicode=True)
    )
    return esc_html(escaped)


def esc_html(text: str) -> str:
    """Escape characters with a meaning in HTML; ``'`` becomes ``&#039;`` (``page_stream``)."""
    return html.escape(text, quote=True).replace("&#x27;", "&#039;")


def sanitize_text_field(text: str, *, keep_newlines: bool = True) -> str:
    """Remove tags, %xx and outer white space from a form's text.

    Without `keep_newlines` a run of white space becomes one space (capture ``1.8.79/json_ok``);
    with it, this is ``sanitize_textarea_field``.
    """
    if "<" in text:
        text = _UNFINISHED_TAG.sub(
            lambda tag: tag[0] if tag[0].endswith(">") else esc_html(tag[0]), text
        )
        text = _without_raw_text(text)
        # Behind the last ">" no tag ends, and to look for its end from each "<" would take long.
        end = text.rfind(">") + 1
        text = _TAG.sub("", text[:end]) + text[end:]
    if not keep_newlines:
        text = _WHITE_SPACE.sub(" ", text)
    return (_without_octets(text) if "%" in text else text).strip()


def _without_raw_text(text: str) -> str:
    """Remove the elements ``script`` and ``style`` that are closed, in one pass over `text`."""
    kept: list[str] = []
    done = 0
    unclosed: set[str] = set()
    for start in _RAW_TEXT_START.finditer(text):
        name = start[1].lower()
        if start.start() < done or name in unclosed:
            continue
        tag_end = text.find(">", start.end())
        end = _RAW_TEXT_END[name].search(text, tag_end) if tag_end >= 0 else None
        if end is None:
            unclosed.add(name)
        else:
            kept.append(text[done : start.start()])
            done = end.end()
    return "".join([*kept, text[done:]])


def _without_octets(text: str) -> str:
    """Remove each %xx, and each that is made by that, in one pass over `text`."""
    kept: list[str] = []
    for letter in text:
        kept.append(letter)
        if letter in _HEX_DIGITS and kept[-3:-2] == ["%"] and kept[-2] in _HEX_DIGITS:
            del kept[-3:]
    return "".join(kept)


def intval(text: str) -> int:
    """Return the whole number that `text` begins with, or 0."""
    digits = re.match(r"\s*\d{1,18}", text, re.ASCII)
    return int(digits[0]) if digits else 0


def json_decode(text: str) -> Any:
    """Read JSON; return None for invalid JSON, such as NaN and Infinity."""
    try:
        return read_json(text, parse_constant=_refuse_constant)
    except ValueError:
        return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


async def post_fields(request: web.Request) -> dict[str, str]:
    """Return ``$_POST``: the text fields of a urlencoded or multipart body, the last of a name.

    Other bodies, and those that cannot be parsed, have no fields.
    """
    match request.content_type:
        case "application/x-www-form-urlencoded":
            body = (await request.read()).decode("utf-8", "replace")
            return dict(parse_qsl(body, keep_blank_values=True, errors="replace"))
        case "multipart/form-data":
            return await _multipart_fields(request)
        case _:
            return {}


async def _multipart_fields(request: web.Request) -> dict[str, str]:
    try:
        fields = await request.post()
    # A broken boundary or head, or a field that is not UTF-8.
    except (ValueError, HttpProcessingError):
        return {}
    return {name: value for name, value in fields.items() if isinstance(value, str)}
