"""What one read may cost: how many bytes it brings before the event loop has its turn, and what it
asks of the system.

Nothing here looks at a clock: bytes are counted between two turns of the loop, and page faults.
"""

from __future__ import annotations

import asyncio
import gzip
import platform
import subprocess
import sys
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import brotli  # type: ignore[import-untyped]
import pytest
from backports import zstd
from loopback import serve

from tailrace import Site, stream_deltas
from tailrace.errors import LimitExceeded, NetworkError, StreamError
from tailrace.transport import Timeouts, read_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopback import Exchange

    from tailrace.transport import Transport

LARGEST_READ = 256 * 2**10
HELD = 128 * 2**10  # what the transport holds for a busy reader before it stops reading
EVENT = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
BODY = EVENT * (8 * 2**20 // len(EVENT)) + b"data: [DONE]\n\n"
SENT = {
    "identity": BODY,
    "gzip": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    "br": brotli.compress(BODY, quality=3),
    "zstd": zstd.compress(BODY),
}


async def most_in_a_turn(read: Callable[[], Awaitable[int]]) -> tuple[int, int]:
    """Call `read` until it gives 0: the sum of what it gave, and the most of it between two turns
    of the loop.
    """
    total = here = most = 0

    async def watch() -> None:
        nonlocal here
        while True:
            here = 0
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    try:
        while amount := await read():
            total += amount
            here += amount
            most = max(most, here)
    finally:
        watching.cancel()
    return total, most


@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("coding", SENT)
async def test_a_turn_of_the_loop_brings_a_bounded_number_of_bytes(
    transport: Transport,
    coding: str,
    *,
    is_busy: bool,
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(SENT[coding], f"Content-Encoding: {coding}")

    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)

        async def read() -> int:
            for _ in range(8 if is_busy else 0):
                await asyncio.sleep(0)
            return len(await response.read())

        total, most = await most_in_a_turn(read)
    assert total == len(BODY)
    assert most <= LARGEST_READ + HELD


async def test_a_turn_of_the_loop_brings_a_bounded_number_of_http_chunks(
    transport: Transport,
) -> None:
    """As many as one read of a socket may hold, of a byte each: a byte here is a chunk's work."""
    chunks = b"1\r\nx\r\n" * 43_000 + b"0\r\n\r\n"

    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)

    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)

        async def read() -> int:
            return len(await response.read())

        total, most = await most_in_a_turn(read)
    assert total == 43_000
    assert most < 8_000  # libcurl gives what it has read in one piece


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_interim_heads_without_end_are_counted(transport: Transport, method: str) -> None:
    async def answer(exchange: Exchange) -> None:
        with suppress(ConnectionError):
            while not exchange.writer.transport.is_closing():
                await exchange.send(b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" * 1000)

    never = Timeouts(None, None, None, None)
    async with serve(answer) as server, transport.session(timeouts=never) as session:
        asked = session.get(server.url) if method == "GET" else session.post(server.url, body=b"")
        with pytest.raises(LimitExceeded, match=r"more than 64 interim heads \(1xx\)"):
            await asked


async def test_interim_heads_up_to_the_limit_are_passed_over(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 64)
        await exchange.send_reply(b"here")

    async with serve(answer) as server, transport.session() as session:
        for _ in range(2):  # each request on a connection counts anew
            assert await read_all(await session.get(server.url), max_bytes=4) == b"here"
        assert server.accepted == 1


@pytest.mark.parametrize("heads", [b"102 Processing", b"103 Early"])
async def test_one_interim_head_more_than_the_limit(transport: Transport, heads: bytes) -> None:
    async def answer(exchange: Exchange) -> None:
        with suppress(ConnectionError):
            await exchange.send(b"HTTP/1.1 %b\r\n\r\n" % heads * 65)
            await exchange.send_reply(b"here")

    async with serve(answer) as server, transport.session() as session:
        with pytest.raises(LimitExceeded, match="more than 64 interim heads"):
            await session.post(server.url, body=b"x")


async def test_a_switch_of_protocols_is_no_interim_head(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")

    async with serve(answer) as server, transport.session() as session:
        with pytest.raises(NetworkError, match="no HTTP: status 101"):
            await session.get(server.url)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_a_body_that_is_not_in_its_coding(transport: Transport, coding: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(b"\xff" + EVENT, f"Content-Encoding: {coding}")

    async with serve(answer) as server:
        site = Site(server.url, software="openai", model="m", transport=transport)
        stream = site.stream("hello")
        with pytest.raises(StreamError, match=f"body is not {coding}, the coding that") as failed:
            await anext(stream)
        assert failed.value.kind == stream.end == "truncated"


async def test_responses_that_nobody_asked_for_end_the_connection(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" * 3000)

    async with serve(answer) as server, transport.session() as session:
        for _ in range(2):
            assert await read_all(await session.get(server.url), max_bytes=2) == b"hi"
        assert server.accepted == 2


@pytest.mark.parametrize(
    ("coding", "sent"),
    [
        ("zstd", zstd.compress(b"") * 100_000),
        ("gzip", gzip.compress(b"") * 50_000),
        ("gzip, gzip", gzip.compress(gzip.compress(b"") * 100_000)),
    ],
    ids=["zstd", "gzip", "twice"],
)
async def test_what_unpacks_to_nothing_leaves_the_loop_its_turns(
    transport: Transport, coding: str, sent: bytes
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(sent, f"Content-Encoding: {coding}")

    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)
        counting = asyncio.create_task(count())
        assert await read_all(response, max_bytes=0) == b""
        counting.cancel()
    assert turns > 500  # of at most 64 members each


@pytest.mark.parametrize(
    "chunks", [[BODY], [bytearray(BODY)], [memoryview(BODY)], [BODY[:1], BODY[1:]]]
)
async def test_a_chunk_however_large_is_decoded_over_many_turns(chunks: list[bytes]) -> None:
    async with stream_deltas(chunks) as stream:

        async def read() -> int:
            return len(await stream.read())

        total, most = await most_in_a_turn(read)
    assert total == BODY.count(EVENT)
    assert most <= LARGEST_READ // len(EVENT) + 1


_READS_A_THOUSAND_TIMES = """
import asyncio, resource
from tailrace.transport import make_transport

async def main():
    more = asyncio.Event()

    async def answer(reader, writer):
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
        while True:
            writer.write(b"5\\r\\nhello\\r\\n")
            await more.wait()
            more.clear()

    async with await asyncio.start_server(answer, "127.0.0.1") as server, \\
            make_transport("aiohttp") as transport:
        url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        response = await transport.session().get(url)
        for turn in range(1100):
            if turn == 100:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            assert await response.read() == b"hello"
            more.set()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

asyncio.run(main())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the C library has other ways to keep memory"
)
def test_a_read_asks_the_system_for_no_memory() -> None:
    command = [sys.executable, "-c", _READS_A_THOUSAND_TIMES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603
    assert int(done.stdout) < 100  # page faults of a thousand reads
