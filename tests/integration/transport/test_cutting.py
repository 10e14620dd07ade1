"""A call may be cut in any turn of the loop, that in which it fails included: no future, task or
socket is left, and nobody complains of an exception that was never retrieved.

The fixture `_nothing_left` asserts so after each test.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from loopback import HOST, hang, serve

from tailrace import errors
from tailrace.transport import Timeouts, make_transport, read_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopback import Authority, Exchange

    from conftest import Make
    from tailrace.transport import Response, Session, Transport

TURNS = 16  # of the loop: more than any of the requests below takes to fail


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _reset(exchange: Exchange) -> None:
    exchange.reset()


async def _reset_within_the_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-")
    exchange.reset()


async def _reset_within_the_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwhat")
    exchange.reset()


async def _end_within_the_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwhat")
    exchange.writer.transport.abort()


async def _nonsense_within_the_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwhat\r\nx\r\n")
    await hang(exchange)


async def _answer(exchange: Exchange) -> None:
    await exchange.send_reply(b"all of it")


ANSWERS: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    "reset": _reset,
    "reset within the head": _reset_within_the_head,
    "reset within the body": _reset_within_the_body,
    "end within the body": _end_within_the_body,
    "nonsense within the body": _nonsense_within_the_body,
    "whole": _answer,
    "silent": hang,
}


async def _get_and_read(session: Session, url: str) -> bytes:
    async with await session.get(url) as response:
        return await read_all(response, max_bytes=9)


async def _cut_after(turns: int, transport: Transport, url: str, cut: str) -> None:
    """Ask for `url`, and cut the call `turns` turns of the loop later."""
    session = transport.session(timeouts=Timeouts(connect=5, first_byte=5))
    task = asyncio.create_task(_get_and_read(session, url))
    await _turns(turns)
    if cut == "abort session":
        session.abort()
    task.cancel()
    with suppress(asyncio.CancelledError, errors.TailraceError):
        assert await task == b"all of it"
    await session.aclose()


@pytest.mark.parametrize("cut", ["cancel", "abort session"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_call_cut_in_any_turn_leaves_nothing(
    transport: Transport, answer: str, cut: str
) -> None:
    async with serve(ANSWERS[answer]) as server:
        for turns in range(TURNS):
            await _cut_after(turns, transport, server.url, cut)


async def test_a_call_that_finds_nobody_cut_in_any_turn_leaves_nothing(
    transport: Transport,
) -> None:
    listener = await asyncio.start_server(lambda _reader, writer: writer.close(), HOST, 0)
    url = f"http://{HOST}:{listener.sockets[0].getsockname()[1]}"
    listener.close()
    await listener.wait_closed()
    for turns in range(TURNS):
        await _cut_after(turns, transport, url, "cancel")


async def test_a_handshake_cut_in_any_turn_leaves_nothing(make: Make, authority: Authority) -> None:
    async with serve(_answer, authority.server) as server, make(trusting=False) as transport:
        for turns in range(TURNS):
            await _cut_after(turns, transport, server.url, "cancel")


@pytest.mark.parametrize("closing", ["aclose", "abort"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_transport_closed_in_any_turn_of_a_call_leaves_nothing(
    make: Make, answer: str, closing: str
) -> None:
    async with serve(ANSWERS[answer]) as server:
        for turns in range(TURNS):
            transport = make()
            session = transport.session(timeouts=Timeouts(connect=5, first_byte=5))
            task = asyncio.create_task(_get_and_read(session, server.url))
            await _turns(turns)
            if closing == "aclose":
                await transport.aclose()
            else:
                transport.abort()
            task.cancel()
            with suppress(asyncio.CancelledError, errors.TailraceError):
                assert await task == b"all of it"  # and never a part of it as if it were all
            await _turns(5)


class _Failing:
    """Calls `leave` in the turn in which a transfer of libcurl's fails, before anybody has been
    told.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from curl_cffi import AsyncCurl  # noqa: PLC0415

        self.leave: Callable[[], object] = lambda: None
        self.count = 0
        fail = AsyncCurl.set_exception

        def failing(multi: AsyncCurl, curl: Any, exception: Any) -> None:
            fail(multi, curl, exception)
            self.count += 1
            self.leave()

        monkeypatch.setattr(AsyncCurl, "set_exception", failing)


def _at_once(closing: Awaitable[None]) -> None:
    """Close without giving the loop a turn, which libcurl's transfers do not need."""
    with pytest.raises(StopIteration):
        closing.__await__().__next__()


@pytest.mark.parametrize("leaving", ["response", "session", "transport", "abort"])
async def test_a_response_left_in_the_turn_in_which_it_fails(
    monkeypatch: pytest.MonkeyPatch, leaving: str
) -> None:
    failing = _Failing(monkeypatch)
    go_on = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwhat")
        await go_on.wait()
        exchange.reset()

    async with serve(answer) as server, make_transport("impersonate") as transport:
        session = transport.session()
        response = await session.get(server.url)
        assert await response.read() == b"what"
        left = asyncio.Event()

        def leave() -> None:
            if leaving == "abort":
                response.abort()
            elif leaving == "transport":
                transport.abort()
            else:
                _at_once(response.aclose() if leaving == "response" else session.aclose())
            left.set()

        failing.leave = leave
        go_on.set()
        await left.wait()
        assert failing.count == 1
        with pytest.raises(errors.ReplyBrokenError):
            await response.read()


@pytest.mark.parametrize("answer", ["reset", "reset within the head"])
async def test_a_request_cancelled_in_the_turn_in_which_it_fails(
    monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    failing = _Failing(monkeypatch)
    async with (
        serve(ANSWERS[answer]) as server,
        make_transport("impersonate") as transport,
        transport.session() as session,
    ):
        task: asyncio.Task[Response] = asyncio.create_task(session.get(server.url))
        failing.leave = task.cancel
        with pytest.raises(asyncio.CancelledError):
            await task
        assert failing.count == 1
