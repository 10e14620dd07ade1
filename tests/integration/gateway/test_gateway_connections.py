"""Connections as slow, idle or many as they can be: each is ended in time, with a reply if due."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from gateway_sockets import (
    Served,
    ask,
    gateway_of,
    get,
    head,
    held_site,
    post,
    read_answer,
    read_chunk,
    read_head,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway_sockets import HeldSite

SHORT = 0.3
LONG = 30.0


@pytest.fixture
async def site() -> AsyncIterator[HeldSite]:
    async with held_site() as held:
        yield held


def seconds() -> float:
    return asyncio.get_running_loop().time()


async def connect(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", served.port)


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"GET /health HTTP/1.1\r\nX: "],
)
async def test_a_head_that_stands_still_is_ended(site: HeldSite, sent: bytes) -> None:
    async with gateway_of([site.provider()], header_timeout=SHORT, idle_timeout=LONG) as served:
        reader, writer = await connect(served)
        begun = seconds()
        writer.write(sent)
        answer = await read_answer(reader)
        assert (answer.status, answer.error["code"], answer.headers["connection"]) == (
            408,
            "header_timeout",
            "close",
        )
        assert await reader.read() == b""
        assert SHORT * 0.9 <= seconds() - begun < SHORT + 5
        writer.close()


async def test_a_head_that_drips_is_ended_in_the_same_time(site: HeldSite) -> None:
    async with gateway_of([site.provider()], header_timeout=SHORT, idle_timeout=LONG) as served:
        reader, writer = await connect(served)
        begun = seconds()

        async def drip() -> None:
            writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            while True:
                writer.write(b"X: y\r\n")
                await asyncio.sleep(SHORT / 10)

        dripping = asyncio.create_task(drip())
        assert (await read_answer(reader)).status == 408
        assert seconds() - begun < SHORT + 5
        dripping.cancel()
        writer.close()


async def test_the_clock_of_heads_runs_for_every_request_of_a_connection(site: HeldSite) -> None:
    async with gateway_of([site.provider()], header_timeout=SHORT, idle_timeout=LONG) as served:
        reader, writer = await connect(served)
        writer.write(get("/health"))
        assert (await read_answer(reader)).status == 200
        await asyncio.sleep(SHORT * 2)  # idle, which is not slow
        writer.write(get("/health"))
        assert (await read_answer(reader)).status == 200
        writer.write(get("/health")[:-2])
        assert (await read_answer(reader)).status == 408
        assert await reader.read() == b""
        writer.close()


async def test_many_slow_heads_hold_up_nobody(site: HeldSite) -> None:
    async with gateway_of([site.provider()], header_timeout=1.0, idle_timeout=LONG) as served:
        slow = []
        for _ in range(200):
            slow.append(await connect(served))
            slow[-1][1].write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        assert (await ask(served.port, get("/health"))).status == 200
        for reader, writer in slow:
            assert (await read_answer(reader)).status == 408
            writer.close()
        await until(lambda: served.gateway.context.request_figures.connections == 0)


async def test_an_idle_connection_is_closed(site: HeldSite) -> None:
    async with gateway_of([site.provider()], header_timeout=LONG, idle_timeout=SHORT) as served:
        reader, writer = await connect(served)
        writer.write(get("/health"))
        assert (await read_answer(reader)).status == 200
        begun = seconds()
        assert await reader.read() == b""
        assert SHORT * 0.9 <= seconds() - begun < SHORT + 5
        writer.close()


async def test_a_stream_is_neither_slow_nor_idle(site: HeldSite) -> None:
    async with gateway_of(
        [site.provider()], header_timeout=SHORT, idle_timeout=SHORT, body_timeout=SHORT
    ) as served:
        reader, writer = await connect(served)
        writer.write(post())
        status, _ = await read_head(reader)
        assert status == 200
        await asyncio.sleep(SHORT * 3)
        site.let_go.set()
        body = b""
        while chunk := await read_chunk(reader):
            body += chunk
        assert body.endswith(b"data: [DONE]\n\n")
        writer.close()


@pytest.mark.parametrize(
    ("length", "begin"),
    [("Transfer-Encoding: chunked", b"1\r\n{\r\n"), ("Content-Length: 1000", b"{")],
)
async def test_a_body_that_drips_is_ended(site: HeldSite, length: str, begin: bytes) -> None:
    async with gateway_of([site.provider()], body_timeout=SHORT) as served:
        reader, writer = await connect(served)
        begun = seconds()
        writer.write(head("POST", "/v1/chat/completions", "Content-Type: application/json", length))
        writer.write(begin)
        answer = await read_answer(reader)
        assert (answer.status, answer.error["code"]) == (408, "body_timeout")
        assert seconds() - begun < SHORT + 5
        assert await reader.read() == b""
        assert site.asked == []
        writer.close()


async def test_connections_beyond_the_cap_are_told_so(site: HeldSite) -> None:
    async with gateway_of([site.provider()], max_connections=3) as served:
        held = [await connect(served) for _ in range(3)]
        for reader, writer in held:
            writer.write(get("/health"))
            assert (await read_answer(reader)).status == 200
        for _ in range(5):
            answer = await ask(served.port, get("/health"))
            assert (answer.status, answer.error["code"]) == (503, "too_many_connections")
            assert (answer.headers["connection"], answer.headers["retry-after"]) == ("close", "1")
        reader, writer = held.pop()
        writer.close()
        await writer.wait_closed()
        await until(lambda: served.gateway.context.request_figures.connections == 2)
        assert (await ask(served.port, get("/health"))).status == 200
        for _, writer in held:
            writer.close()


async def test_a_refused_connection_that_says_nothing_is_closed(site: HeldSite) -> None:
    async with gateway_of([site.provider()], max_connections=1) as served:
        reader, writer = await connect(served)
        writer.write(get("/health"))
        await read_answer(reader)
        begun = seconds()
        silent, silent_writer = await connect(served)
        assert await silent.read() == b""
        assert seconds() - begun < 6
        silent_writer.close()
        writer.close()


async def test_a_client_that_does_not_read_is_ended(site: HeldSite) -> None:
    """Its kernel takes no more, and the gateway's own buffer stays full: so long, and no longer."""
    async with gateway_of([site.provider()], send_timeout=SHORT) as served:
        reader, writer = await connect(served)
        assert isinstance(writer.transport, asyncio.Transport)
        writer.transport.pause_reading()
        for _ in range(400):  # of 100 KB each: ten times what the kernel holds
            writer.write(get("/static/page.js"))
        await until(lambda: served.gateway.context.request_figures.connections == 0)
        writer.transport.abort()
        del reader


async def test_a_client_that_reads_slowly_is_no_slow_head(site: HeldSite) -> None:
    """What it asks next waits in line while a reply is being taken, and gets no 408."""
    # of 100 KB each: the kernel holds some 40, and the rest are few enough for one more to be read
    count = 55
    request = get("/static/page.js")
    async with gateway_of([site.provider()], header_timeout=SHORT, send_timeout=LONG) as served:
        reader, writer = await connect(served)
        assert isinstance(writer.transport, asyncio.Transport)
        writer.transport.pause_reading()
        writer.write(request * count)
        await asyncio.sleep(SHORT * 2)
        writer.write(request)
        await asyncio.sleep(SHORT * 3)
        writer.transport.resume_reading()
        assert {(await read_answer(reader)).status for _ in range(count + 1)} == {200}
        writer.close()


async def test_a_client_that_leaves_frees_its_upstream_within_a_second(site: HeldSite) -> None:
    async with gateway_of([site.provider()]) as served:
        for how in ("close", "abort"):
            reader, writer = await connect(served)
            writer.write(post())
            status, _ = await read_head(reader)
            assert status == 200
            await site.until_open(1)
            begun = seconds()
            writer.transport.abort() if how == "abort" else writer.close()
            await site.until_open(0)
            assert seconds() - begun < 5  # milliseconds, on a machine that has nothing else to do
        (figures,) = served.gateway.context.stream_figures.snapshot().figures
        assert (figures.open, figures.outcomes) == (0, {"left": 2})


async def test_one_connection_takes_requests_one_after_another(site: HeldSite) -> None:
    site.let_go.set()
    async with gateway_of([site.provider()]) as served:
        reader, writer = await connect(served)
        writer.write(get("/health") + post() + get("/v1/models"))
        answers = [await read_answer(reader) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert answers[1].body.endswith(b"data: [DONE]\n\n")
        listed: dict[str, Any] = json.loads(answers[2].body)
        assert [model["id"] for model in listed["data"]] == ["held/gpt-4o"]
        assert len({answer.headers["x-request-id"] for answer in answers}) == 3
        writer.close()


@pytest.mark.parametrize("asked", [("Connection: keep-alive",), ()])
async def test_a_stream_of_http_1_0_ends_with_its_connection(
    site: HeldSite, asked: tuple[str, ...]
) -> None:
    site.let_go.set()
    async with gateway_of([site.provider()], idle_timeout=LONG) as served:
        reader, writer = await connect(served)
        writer.write(post(None, *asked).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        status, headers = await read_head(reader)
        assert (status, headers.keys() & {"content-length", "transfer-encoding"}) == (200, set())
        assert headers.get("connection", "close") == "close"
        assert (await reader.read()).endswith(b"data: [DONE]\n\n")
        writer.close()


async def test_a_whole_reply_of_http_1_0_leaves_its_connection_open(site: HeldSite) -> None:
    async with gateway_of([site.provider()], idle_timeout=LONG) as served:
        reader, writer = await connect(served)
        for _ in range(2):
            writer.write(get("/health", "Connection: keep-alive").replace(b"1.1", b"1.0", 1))
            answer = await read_answer(reader)
            assert (answer.status, answer.headers["connection"]) == (200, "keep-alive")
        writer.close()
