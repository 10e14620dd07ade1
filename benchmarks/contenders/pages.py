"""From a page's bytes to the nonce and the post id of its bot: ours, and what needs no package."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tailrace import PageScanner, scan_page
from workloads import cut

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FLOOR", "OURS", "READERS", "TWICE_RE"]

OURS = "tailrace PageScanner, up to the bot"
TWICE_RE = "re, two searches in bytes"
FLOOR = "floor: bytes.find, twice"

NONCE = re.compile(rb'data-nonce="([^"]+)"')
POST_ID = re.compile(rb'data-post-id="([^"]+)"')
NONCE_TEXT = re.compile(NONCE.pattern.decode())
POST_ID_TEXT = re.compile(POST_ID.pattern.decode())


def scanner(html: bytes) -> tuple[str, str]:
    """Stops at the bot, as a provider does."""
    scan = PageScanner()
    scan.feed(html)
    widget = scan.close().widgets[0]
    return widget.nonce, widget.post_id


def scanner_in_reads(html: bytes) -> tuple[str, str]:
    """The same in reads of 16 KB, not one more than is needed."""
    scan = PageScanner()
    for read in cut(html, 16 * 1024):
        if scan.feed(read):
            break
    widget = scan.close().widgets[0]
    return widget.nonce, widget.post_id


def whole(html: bytes) -> tuple[str, str]:
    """Everything on the page, to its end."""
    widget = scan_page(html).widgets[0]
    return widget.nonce, widget.post_id


def searches(html: bytes) -> tuple[str, str]:
    """What a quick client does, on bytes."""
    nonce, post_id = NONCE.search(html), POST_ID.search(html)
    if nonce is None or post_id is None:
        raise ValueError("no bot")
    return nonce[1].decode(), post_id[1].decode()


def searches_in_text(html: bytes) -> tuple[str, str]:
    """What it does on a response's text."""
    text = html.decode()
    nonce, post_id = NONCE_TEXT.search(text), POST_ID_TEXT.search(text)
    if nonce is None or post_id is None:
        raise ValueError("no bot")
    return nonce[1], post_id[1]


def finds(html: bytes) -> tuple[str, str]:
    """Knows no HTML, no quotes, no other order of attributes: what looking at the bytes costs."""
    nonce = html.find(b'data-nonce="') + 12
    post_id = html.find(b'data-post-id="') + 14
    return html[nonce : html.find(b'"', nonce)].decode(), html[
        post_id : html.find(b'"', post_id)
    ].decode()


READERS: dict[str, Callable[[bytes], tuple[str, str]]] = {
    OURS: scanner,
    "tailrace PageScanner, in reads of 16 KB": scanner_in_reads,
    "tailrace scan_page, the whole page": whole,
    TWICE_RE: searches,
    "decode, then re, two searches": searches_in_text,
    FLOOR: finds,
}
