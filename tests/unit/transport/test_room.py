"""Memory that is kept for the reads of sockets."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HELD = """
import ctypes, json

class Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keep".split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Memory

def mapped():
    before = mallinfo().hblks
    room = bytearray(256 * 2**10)
    return mallinfo().hblks - before

{use}
print(json.dumps(mapped()))
"""
CALLED = "from tailrace.transport import keep_room_for_reads; keep_room_for_reads()"
READ = """
import asyncio
import aiohttp
from tailrace import {function}

class Response:
    "What of a response of aiohttp tells that it is one."
    content = aiohttp.StreamReader(None, 2**16, loop=asyncio.new_event_loop())

{function}(Response())
"""


def has_mallinfo() -> bool:
    import ctypes  # noqa: PLC0415 - not every platform has what is looked for in it

    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallinfo2")


@pytest.mark.skipif(not has_mallinfo(), reason="the C library is not a glibc that tells")
@pytest.mark.parametrize(
    "use", [CALLED, *(READ.format(function=each) for each in ("stream_deltas", "stream_events"))]
)
def test_room_for_a_read_is_not_mapped_anew(use: str) -> None:
    command = [sys.executable, "-c", HELD.format(use=use)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - ours
    assert json.loads(done.stdout) == 0
