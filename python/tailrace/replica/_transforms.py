"""Changes to a response between a site and the network: debris, line ends, chunk boundaries.

Each function takes a response and returns another, so that a marker in a message and a fault can
mean the same change.
"""

from __future__ import annotations

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


def prepend(response: SiteResponse, debris: bytes) -> SiteResponse:
    """Put `debris` in front of the body."""
    return replace(response, chunks=[debris, *response.chunks])


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
