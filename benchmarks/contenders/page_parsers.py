"""From a page's bytes to the bot's nonce and post id, over a tree of the whole page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import html5lib
from lxml import etree
from selectolax.lexbor import LexborHTMLParser

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PACKAGES", "READERS"]

PACKAGES = ("html5lib", "lxml", "selectolax")


def with_lexbor(html: bytes) -> tuple[str, str]:
    """Lexbor's tree, a CSS selector."""
    attributes = LexborHTMLParser(html).css_first("div[data-nonce]").attributes
    return attributes["data-nonce"], attributes["data-post-id"]


def with_lxml(html: bytes) -> tuple[str, str]:
    """libxml2's tree, an XPath."""
    bot = etree.HTML(html).xpath("//div[@data-nonce]")[0]
    return bot.get("data-nonce"), bot.get("data-post-id")


def with_html5lib(html: bytes) -> tuple[str, str]:
    """The reference's tree, in Python."""
    bot = html5lib.parse(html, namespaceHTMLElements=False).find(".//div[@data-nonce]")
    return bot.get("data-nonce"), bot.get("data-post-id")


READERS: dict[str, Callable[[bytes], tuple[str, str]]] = {
    "selectolax, lexbor": with_lexbor,
    "lxml": with_lxml,
    "html5lib": with_html5lib,
}
