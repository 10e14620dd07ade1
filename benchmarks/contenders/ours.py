"""Tailrace, asked in its two ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contenders import BUFFERED, OURS, TEXT, Contender
from tailrace import DeltaDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workloads import Reply

__all__ = ["CONTENDERS"]


def deltas(reply: Reply, feeds: Sequence[bytes]) -> list[str]:
    """Each event's text on its own."""
    decoder = DeltaDecoder(reply.dialect, content_type=reply.content_type)
    texts: list[str] = []
    for feed in feeds:
        texts += decoder.feed(feed)
    texts += decoder.close()
    return texts


def joined(reply: Reply, feeds: Sequence[bytes]) -> list[str]:
    """The text of each feed, joined."""
    decoder = DeltaDecoder(reply.dialect, content_type=reply.content_type)
    texts = [decoder.feed_text(feed) for feed in feeds]
    texts += decoder.close()
    return texts


def bodies(reply: Reply, feeds: Sequence[bytes]) -> list[str]:
    """Each body by a decoder of its own, as each reply has one."""
    texts: list[str] = []
    for body in feeds:
        decoder = DeltaDecoder(reply.dialect, content_type=reply.content_type)
        texts += decoder.feed(body)
        texts += decoder.close()
    return texts


CONTENDERS = (
    Contender(TEXT, joined, ("tailrace",), loop=True),
    Contender(OURS, deltas, ("tailrace",), loop=True),
    Contender(BUFFERED, bodies, ("tailrace",), buffered=True),
)
