"""Changes to a response between a site and the network: debris, line ends, chunk boundaries.

Each function takes a response and returns another, so that a marker in a message and a fault can
mean the same change.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace.replica._response import SiteResponse

BOM = b"\xef\xbb\xbf\n"
BLANK_LINES = b"\n\n\r\n"
NOTICES = b"".join(
    b"<br />\n<b>Deprecated</b>:  Function plugin_helper_%d() is deprecated in "
    b"<b>/srv/site/wp-content/plugins/helper/part-%d.php</b> on line <b>%d</b><br />\n"
    % (number, number, 7 * number)
    for number in range(1, 21)
)


HTML_ON_THE_LINE = b'<input type="hidden" name="helper" value="1" />'
CACHE_COMMENT = b"\n<!-- Page cached by a helper on 2026-11-29 20:03:11 -->"

_SCRIPT_END = b"</script>"


def prepend(response: SiteResponse, debris: bytes) -> SiteResponse:
    """Put `debris` in front of the body."""
    return replace(response, chunks=[debris, *response.chunks])


def append(response: SiteResponse, debris: bytes) -> SiteResponse:
    """Put `debris` behind the body."""
    return replace(response, chunks=[*response.chunks, debris])


def defer_scripts(response: SiteResponse) -> SiteResponse:
    """Turn a page's inline scripts into deferred ones whose URLs hold them as base64."""
    *scripts, rest = b"".join(response.chunks).split(_SCRIPT_END)
    page = _SCRIPT_END.join([*map(_deferred, scripts), rest])
    return replace(response, chunks=list(blocks(page)))


def _deferred(part: bytes) -> bytes:
    """Return a part of a page that ends with a script's text, with the script deferred."""
    before, tag, script = part.rpartition(b"<script")
    attributes, opened, source = script.partition(b">\n")
    if not tag or not opened or b"src=" in attributes:
        return part
    url = b"data:text/javascript;base64," + base64.b64encode(source)
    return b'%b<script%b src="%b" defer>' % (before, attributes, url)


def with_crlf(response: SiteResponse) -> SiteResponse:
    """End the body's lines with CRLF."""
    chunks = [chunk.replace(b"\n", b"\r\n") for chunk in response.chunks]
    return replace(response, chunks=chunks)


def rechunk(response: SiteResponse, size: int) -> SiteResponse:
    """Send the body in chunks of `size` bytes, whatever they cut, in the same time altogether."""
    chunks = list(blocks(b"".join(response.chunks), size))
    pace = response.pace * len(response.chunks) / max(1, len(chunks))
    return replace(response, chunks=chunks, pace=pace)


def blocks(data: bytes, size: int = 8192) -> Iterator[bytes]:
    """Yield `data` in blocks of `size` bytes."""
    return (data[start : start + size] for start in range(0, len(data), size))
