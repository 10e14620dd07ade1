"""Who is measured. Each is written as its own documentation says, and as fast as that allows."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from timing import SelfTimed
    from workloads import Reply

__all__ = ["BUFFERED", "OURS", "STRONGEST", "TEXT", "Contender", "contenders"]

OURS = "tailrace, a list of str a feed"
TEXT = "tailrace, one str a feed"
BUFFERED = "tailrace"
STRONGEST = "hand loop + msgspec, typed"
MODULES = (
    "ours",
    "hand_loop",
    "json_loops",
    "gpt4free",
    "httpx_events",
    "openai_client",
    "litellm_client",
    "node",
)


@dataclass(frozen=True, slots=True)
class Contender:
    """One way from the feeds of a reply to its texts; `decode` may return a `SelfTimed`."""

    name: str
    decode: Callable[[Reply, Sequence[bytes]], list[str] | SelfTimed]
    packages: tuple[str, ...]  # whose versions are told
    share: float = 1.0  # of the events, where all of them would take too long
    strips: bool = False  # white space before the answer
    loop: bool = False  # a few lines of one's own around a library
    buffered: bool = False  # reads bodies, each feed one of them, instead of a stream


def contenders(*, missing_allowed: bool) -> list[Contender]:
    """All of them; with `missing_allowed`, those whose packages are installed."""
    found: list[Contender] = []
    for name in MODULES:
        try:
            found.extend(importlib.import_module(f"contenders.{name}").CONTENDERS)
        except ImportError:
            if not missing_allowed:
                raise
    return found
