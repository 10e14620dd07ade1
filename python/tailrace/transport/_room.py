"""Memory for the reads of sockets, kept from one read to the next."""

from __future__ import annotations

from functools import cache

__all__ = ["keep_room_for_reads"]

_LARGEST_READ = 256 * 2**10  # bytes that asyncio makes room for whenever it reads from a socket


@cache
def keep_room_for_reads() -> None:
    """Make the C library keep the memory that asyncio reads into, from one read to the next.

    asyncio makes room for 256 KiB at each read of a socket or of TLS, however little comes. glibc
    maps a block of that size and unmaps it again, which can cost as much as all else that a small
    read costs. This sees to it that glibc does so no more, once for the whole process, whichever
    library reads; other C libraries and uvloop are not changed by it. `AiohttpTransport`, and
    `tailrace.stream_deltas` and `tailrace.stream_events` over a response of aiohttp, do it by
    themselves: it is for who feeds a `tailrace.DeltaDecoder` from a session of their own.
    """
    # Once a larger block has been freed, glibc takes such blocks from its heap (mallopt(3),
    # M_MMAP_THRESHOLD). https://github.com/python/cpython/issues/85451 is where asyncio may come to
    # read into a buffer that it keeps: then this has no use any more.
    bytes(2 * _LARGEST_READ)
