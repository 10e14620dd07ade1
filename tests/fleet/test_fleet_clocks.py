"""The four clocks, against servers that drip: each error names its phase, and a clock is as long as
it was asked to be at least. How much longer is the machine's, and not judged.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from loopback import HOST, Exchange, hang, http_proxy, serve
from two_ways import Asked, Way, fleet_for

from tailrace import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopback import Authority
    from two_ways import Read

EVENT = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def ran_out(read: Read, phase: str, seconds: float) -> None:
    assert isinstance(read.error, errors.TimeoutError), read.error
    assert (read.error.phase, read.error.seconds) == (phase, seconds)


async def drip(exchange: Exchange, first: bytes, drop: bytes) -> None:
    """Send `drop` every 5 ms, until the client is gone."""
    await exchange.send(first)
    with suppress(ConnectionError):
        while not exchange.reader.at_eof():
            await exchange.send(drop)
            await asyncio.sleep(0.005)


async def test_the_connect_clock(way: Way) -> None:
    """A server that accepts nothing: its queue is full."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)  # noqa: FBT003
            filler.connect_ex(listener.getsockname())
        url = f"http://{HOST}:{listener.getsockname()[1]}/?q=private"
        read = await way(url, Asked(connect=0.2))
        ran_out(read, "connect", 0.2)
        assert str(read.error) == (
            f"connect timeout after 0.2 s at http://{HOST}:{listener.getsockname()[1]}"
        )
        for filler in fillers:
            filler.close()


async def test_the_connect_clock_covers_tls(way: Way) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, HOST, 0)
    url = f"https://{HOST}:{server.sockets[0].getsockname()[1]}/"
    async with server:
        ran_out(await way(url, Asked(connect=0.2)), "connect", 0.2)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_connect_clock_covers_a_proxy(
    way: Way, authority: Authority, scheme: str
) -> None:
    tls = authority.server if scheme == "https" else None
    async with http_proxy(is_silent=True, tls=tls) as proxy:
        asked = Asked(proxy=proxy.url(), connect=0.3, tls=authority.client)
        ran_out(await way("https://site.test/", asked), "connect", 0.3)


@pytest.mark.parametrize("is_tls", [False, True])
async def test_the_first_byte_clock(way: Way, authority: Authority, *, is_tls: bool) -> None:
    async with serve(hang, authority.server if is_tls else None) as server:
        read = await way(server.url, Asked(first_byte=0.2, tls=authority.client))
        ran_out(read, "first byte", 0.2)
        await server.left.wait()


async def test_interim_heads_and_a_head_that_drips_are_no_first_byte(way: Way) -> None:
    for first, drop in ((b"", b"HTTP/1.1 103 Hints\r\n\r\n"), (b"HTTP/1.1 200 OK\r\nX: ", b"x")):

        async def answer(exchange: Exchange, first: bytes = first, drop: bytes = drop) -> None:
            await drip(exchange, first, drop)

        async with serve(answer) as server:
            ran_out(await way(server.url, Asked(first_byte=0.2)), "first byte", 0.2)


@pytest.mark.parametrize(
    "drop", [b": comment\n\n", b'data: {"choi', b"event: ping\n"], ids=["comment", "part", "field"]
)
async def test_what_is_no_event_is_silence(way: Way, drop: bytes) -> None:
    async def answer(exchange: Exchange) -> None:
        await drip(exchange, HEAD + chunk(EVENT), chunk(drop))

    async with serve(answer) as server:
        read = await way(server.url, Asked(idle=0.2))
    assert read.text == "x"
    ran_out(read, "idle", 0.2)


async def test_an_event_ends_a_silence() -> None:
    """The clock begins with the last event, however long ago the first was."""
    idle = 0.3

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD)
        for _ in range(5):
            await exchange.send(chunk(EVENT))
            await asyncio.sleep(idle / 3)
        await hang(exchange)

    async with serve(answer) as server, fleet_for(Asked(idle=idle)) as fleet:
        fleet.submit(server.url, data=b"{}")
        (ended,) = [each async for batch in fleet.batches() for each in batch.ended]
    assert isinstance(ended.error, errors.TimeoutError)
    assert ended.ended_ns - (ended.last_ns or 0) >= idle * 1e9
    assert ended.last_ns is not None


async def test_the_total_clock(way: Way) -> None:
    async def dripping(exchange: Exchange) -> None:
        await drip(exchange, HEAD, chunk(EVENT))

    answers: list[Callable[[Exchange], Awaitable[None]]] = [hang, dripping]
    for answer in answers:
        async with serve(answer) as server:
            read = await way(server.url, Asked(total=0.3))
        ran_out(read, "total", 0.3)


async def test_no_clock_is_shorter_than_asked() -> None:
    seconds = 0.2

    async def silent(exchange: Exchange) -> None:
        await exchange.send(HEAD)
        await hang(exchange)

    for asked, answer in (
        (Asked(first_byte=seconds), hang),
        (Asked(idle=seconds), silent),
        (Asked(total=seconds), hang),
    ):
        async with serve(answer) as server, fleet_for(asked) as fleet:
            fleet.submit(server.url, data=b"{}")
            (ended,) = [each async for batch in fleet.batches() for each in batch.ended]
        begin = ended.first_byte_ns if answer is silent else ended.sent_ns
        assert begin is not None
        assert ended.ended_ns - begin >= seconds * 1e9


async def test_clocks_that_are_off(way: Way) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD + chunk(EVENT) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    async with serve(answer) as server:
        for most in (None, 2**70):
            asked = Asked(connect=None, first_byte=None, idle=None, max_reply_bytes=most)
            assert (await way(server.url, asked)).end == "done"


async def test_many_clocks_of_one_thread() -> None:
    """Hundreds of streams whose clocks run out in any order."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD + chunk(EVENT))
        await hang(exchange)

    async with serve(answer) as server, fleet_for(Asked(idle=0.3)) as fleet:
        for tag in range(300):
            fleet.submit(server.url, data=b"{}", tag=tag)
        ends = [each async for batch in fleet.batches() for each in batch.ended]
    assert sorted(each.tag for each in ends) == list(range(300))
    phases = {isinstance(each.error, errors.TimeoutError) and each.error.phase for each in ends}
    assert phases == {"idle"}
