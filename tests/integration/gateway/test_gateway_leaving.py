"""A client that leaves or does not read, and a gateway that stops: what becomes of the site's
connection.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import SSE, Asked, Line, Site, delta, open_sockets
from gateway_app import (
    RunningGateway,
    asking,
    content,
    cut,
    events,
    made,
    outcomes,
    posting,
    replicas_sites,
    serving,
    until,
)

from tailrace.providers import OpenAIProvider
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SOON = 1.0  # seconds within which a site's connection is closed


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[RunningGateway]:
    async with serving(replicas_sites(replica)) as running:
        yield running


@asynccontextmanager
async def client(
    gateway: RunningGateway, body: dict[str, Any]
) -> AsyncIterator[tuple[asyncio.StreamReader, Any]]:
    """A bare socket that has sent a request."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    sent = json.dumps(body).encode()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\n"
    )
    writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(sent), sent))
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "model", ["open/mini", "shop/default", "kit/default", "engine/default", "gem/default"]
)
async def test_a_client_that_leaves_closes_the_sites_connection(
    gateway: RunningGateway, replica: Replica, model: str, how: str, *, stream: bool
) -> None:
    async with client(gateway, asking("[[stall]]", model, stream=stream)) as (reader, writer):
        await until(lambda: gateway.context.stream_figures.snapshot().deltas > 0)
        if stream:
            assert (await reader.readuntil(b"data: ")).startswith(b"HTTP/1.1 200")
        assert replica.exchanges.open == 1
        if how == "abort":
            writer.transport.abort()
        else:
            writer.close()
        async with asyncio.timeout(SOON):
            await replica.exchanges.settled()
    assert cut(replica) == 1
    await until(lambda: outcomes(gateway) == {"left": 1})
    assert gateway.context.shutdown.under_way == 0


async def test_a_client_that_leaves_before_the_first_delta(
    gateway: RunningGateway, replica: Replica
) -> None:
    async with client(gateway, asking("[[silent]]", "open/mini", stream=True)) as (_, writer):
        await until(lambda: replica.exchanges.open == 1)
        writer.close()
        async with asyncio.timeout(SOON):
            await replica.exchanges.settled()
    await until(lambda: outcomes(gateway) == {"left": 1})


async def test_many_that_leave_leave_nothing_behind(
    gateway: RunningGateway, replica: Replica
) -> None:
    def left_behind() -> tuple[int, int, int]:
        return len(asyncio.all_tasks()), open_sockets(), replica.exchanges.open

    async def leave(number: int) -> None:
        async with client(gateway, asking("[[stall]]", "open/mini", stream=bool(number % 3))) as (
            reader,
            writer,
        ):
            if number % 3:
                await reader.readuntil(b"data: ")
            if number % 2:
                writer.transport.abort()

    before = left_behind()
    for _ in range(2):
        await asyncio.gather(*(leave(number) for number in range(24)))
    await until(lambda: outcomes(gateway) == {"left": 48})
    async with asyncio.timeout(SOON):
        await replica.exchanges.settled()
    await until(lambda: left_behind() <= before)


async def test_a_client_that_does_not_read_holds_the_site_back_and_not_its_bytes() -> None:
    frames = delta("x" * 1000) * 64
    sent = 0
    blocked = asyncio.Event()

    async def answer(_: Asked, line: Line) -> None:
        nonlocal sent
        await line.begin(SSE)
        try:
            for _turn in range(2000):
                async with asyncio.timeout(1):
                    await line.chunks([frames])
                sent += len(frames)
        except TimeoutError:
            blocked.set()
            await line.stall()

    async with (
        Site(answer) as site,
        serving([made("site", OpenAIProvider, f"{site.url}/v1")]) as gateway,
        client(gateway, asking("x", "site/m", stream=True)) as (_, writer),
    ):
        await blocked.wait()
        assert sent < 32 * 2**20  # what the kernel's buffers take, and no more
        writer.transport.abort()
        async with asyncio.timeout(SOON):
            await site.settled()
        await until(lambda: outcomes(gateway) == {"left": 1})


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stream_that_the_gateways_end_cuts_is_told_so(
    gateway: RunningGateway, replica: Replica, *, stream: bool
) -> None:
    async def stop() -> None:
        await until(lambda: gateway.context.stream_figures.snapshot().deltas > 0)
        assert await gateway.context.shutdown.finish(0) == 1

    stopping = asyncio.create_task(stop())
    async with posting(gateway, asking("[[stall]]", "open/mini", stream=stream)) as reply:
        if stream:
            *chunks, failure = await events(reply)
            assert (reply.status, bool(content(chunks))) == (200, True)
        else:
            failure = await reply.json()
            assert reply.status == 503
    assert (failure["error"]["code"], failure["error"]["type"]) == ("stopping", "server_error")
    await stopping
    await replica.exchanges.settled()
    assert outcomes(gateway) == {"failed": 1}


async def test_a_cut_stream_whose_client_does_not_read_ends_all_the_same() -> None:
    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        for _turn in range(2000):
            await line.chunks([delta("x" * 1000) * 64])

    async with (
        Site(answer) as site,
        serving([made("site", OpenAIProvider, f"{site.url}/v1")]) as gateway,
        client(gateway, asking("x", "site/m", stream=True)),
    ):
        shutdown = gateway.context.shutdown
        await until(lambda: gateway.context.stream_figures.snapshot().deltas > 1000)
        assert await shutdown.finish(0) == 1
        await until(lambda: shutdown.under_way == 0)
        assert outcomes(gateway) == {"failed": 1}
