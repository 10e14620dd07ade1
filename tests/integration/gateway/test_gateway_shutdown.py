"""A gateway that stops: it listens no more, lets streams finish, cuts the rest, leaves nothing."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gateway_sockets import (
    Served,
    ask,
    gateway_of,
    get,
    held_site,
    post,
    read_answer,
    read_chunk,
    read_head,
    until,
)

from tailrace.gateway import (
    Gateway,
    ModelRegistry,
    Settings,
    base_urls,
    open_sockets,
    serve_until_signal,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway_sockets import HeldSite


@pytest.fixture
async def site() -> AsyncIterator[HeldSite]:
    async with held_site() as held:
        yield held


async def begin_stream(
    served: Served, site: HeldSite
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(post())
    status, _ = await read_head(reader)
    assert status == 200
    assert b"first" in await read_chunk(reader)
    await site.until_open(1)
    return reader, writer


async def rest(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while chunk := await read_chunk(reader):
        body += chunk
    return body


async def test_streams_finish_within_the_grace_time(site: HeldSite) -> None:
    async with gateway_of([site.provider()], grace=30.0) as served:
        reader, writer = await begin_stream(served, site)
        other, other_writer = await asyncio.open_connection("127.0.0.1", served.port)
        other_writer.write(get("/ready"))
        assert (await read_answer(other)).status == 200
        stopping = asyncio.create_task(served.gateway.stop())
        await served.gateway.context.shutdown.stopping.wait()
        # A connection that is there is told; a new one is not taken.
        other_writer.write(get("/ready"))
        answer = await read_answer(other)
        assert (answer.status, json.loads(answer.body)) == (503, {"status": "stopping"})
        other_writer.write(post())
        answer = await read_answer(other)
        assert (answer.status, answer.error["code"]) == (503, "stopping")
        assert (answer.headers["connection"], answer.headers["retry-after"]) == ("close", "1")
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", served.port)
        assert not stopping.done()
        site.let_go.set()
        assert (await rest(reader)).endswith(b"data: [DONE]\n\n")
        assert await stopping == 0
        assert await reader.read() == b""
        for each in (writer, other_writer):
            each.close()


@pytest.mark.parametrize("grace", [0.0, 0.3])
async def test_what_does_not_finish_is_cut_with_a_word(site: HeldSite, grace: float) -> None:
    async with gateway_of([site.provider()], grace=grace) as served:
        reader, writer = await begin_stream(served, site)
        begun = asyncio.get_running_loop().time()
        assert await served.gateway.stop() == 1
        assert asyncio.get_running_loop().time() - begun < grace + 5
        last = await rest(reader)
        error = json.loads(last.removeprefix(b"data: ").strip())["error"]
        assert (error["code"], error["type"]) == ("stopping", "server_error")
        assert b"[DONE]" not in last
        assert await reader.read() == b""
        await site.until_open(0)
        writer.close()


async def test_an_answer_that_has_not_begun_is_refused(site: HeldSite) -> None:
    async with gateway_of([site.provider()]) as served:
        body = {"model": "held/gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
        asking = asyncio.create_task(ask(served.port, post(body)))
        await site.until_open(1)
        assert await served.gateway.stop() == 1
        answer = await asking
        assert (answer.status, answer.error["code"]) == (503, "stopping")


async def test_a_client_that_does_not_read_holds_up_no_end(site: HeldSite) -> None:
    async with gateway_of([site.provider()]) as served:
        reader, writer = await begin_stream(served, site)
        assert isinstance(writer.transport, asyncio.Transport)
        writer.transport.pause_reading()
        async with asyncio.timeout(10):
            assert await served.gateway.stop() == 1
        writer.transport.abort()
        del reader


async def test_live_figures_end_by_themselves(site: HeldSite) -> None:
    async with gateway_of([site.provider()], grace=30.0) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(get("/live"))
        assert (await read_head(reader))[0] == 200
        assert b"open_streams" in await read_chunk(reader)
        async with asyncio.timeout(5):
            assert await served.gateway.stop() == 0
        assert await rest(reader) == b""
        writer.close()


@pytest.mark.parametrize("loops_hear", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_stop_it_and_a_second_one_hurries(
    site: HeldSite,
    number: signal.Signals,
    loops_hear: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where an event loop cannot listen to them, as none can on Windows."""
    loop, before = asyncio.get_running_loop(), signal.getsignal(number)
    if not loops_hear:
        monkeypatch.setattr(loop, "add_signal_handler", _cannot)
    sockets = open_sockets("127.0.0.1", 0)
    gateway = Gateway(Settings(grace=60.0), ModelRegistry([site.provider()], created=1))
    started = asyncio.Event()
    serving = asyncio.create_task(serve_until_signal(gateway, sockets, started=started.set))
    await started.wait()
    served = Served(gateway, int(base_urls(sockets)[0].rpartition(":")[2]))
    reader, writer = await begin_stream(served, site)
    signal.raise_signal(number)
    await gateway.context.shutdown.stopping.wait()
    assert not serving.done()
    signal.raise_signal(number)
    async with asyncio.timeout(10):
        await serving
    assert b'"stopping"' in await rest(reader)
    writer.close()
    if loops_hear:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
    else:
        assert signal.getsignal(number) == before


def _cannot(*_: object) -> None:
    raise NotImplementedError


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_clients_that_leave_early_leave_nothing_behind(site: HeldSite) -> None:
    """They leave before the request's head, within it, before the answer, and within the answer."""
    async with gateway_of([site.provider()]) as served:
        assert (await ask(served.port, get("/health"))).status == 200
        await until(lambda: served.gateway.context.request_figures.connections == 0)
        tasks, before = len(asyncio.all_tasks()), descriptors()
        request = post()
        for number in range(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(
                request[: (0, 20, len(request) - 5, len(request), len(request))[number % 5]]
            )
            if number % 5 == 4:
                assert (await read_head(reader))[0] == 200
            (writer.transport.abort if number % 2 else writer.close)()
        await until(lambda: served.gateway.context.request_figures.connections == 0)
        await site.until_open(0)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        await until(lambda: descriptors() <= before + 1)  # one kept to the site
        assert served.gateway.context.stream_figures.snapshot().open_streams == 0
        assert served.gateway.context.shutdown.under_way == 0
        assert served.gateway.context.request_figures.snapshot().requests == 0
