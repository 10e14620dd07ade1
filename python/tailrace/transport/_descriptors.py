"""How many files a process may have open: each connection takes one."""

from __future__ import annotations

import sys
from contextlib import suppress

__all__ = ["raise_limit"]


def raise_limit(wanted: int) -> int:
    """Let the process open `wanted` files; return how many it may, fewer where the system says."""
    if sys.platform == "win32":  # has no such limit
        return wanted
    import resource  # noqa: PLC0415 - not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return soft
