"""A response whose bytes are handed on where they arrive: all of them, in their order, and behind
them what a read tells.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
from loopback import serve

from tailrace.errors import LimitExceeded, ReplyBrokenError
from tailrace.transport import Limits, make_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from loopback import Exchange

    from tailrace.transport import Transport

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture
async def aiohttps() -> AsyncIterator[Transport]:
    async with make_transport("aiohttp") as made:
        yield made


class Taker:
    """Takes what is handed on, and tells when it has; `goes_on` is what it answers."""

    def __init__(self, *, goes_on: bool = True) -> None:
        self.taken: list[bytes] = []
        self.has_taken = asyncio.Event()
        self._goes_on = goes_on

    def __call__(self, data: bytes) -> bool:
        self.taken.append(data)
        self.has_taken.set()
        return self._goes_on


async def begun(response: Any, take: Callable[[bytes], bool]) -> asyncio.Future[None]:
    """A relay that waits for bytes; the first ones have been read."""
    assert await response.read() == b"begin"
    relaying: asyncio.Future[None] = asyncio.ensure_future(response.relay(take))
    await asyncio.sleep(0)
    assert not relaying.done()
    return relaying


@pytest.mark.parametrize("size", [1, 1000, 200_000, 1_000_000])
async def test_all_bytes_come_once_and_in_their_order(aiohttps: Transport, size: int) -> None:
    body = b"".join(b"%07d," % number for number in range(min(size * 3, 1000 + size) // 8 + 1))
    first, take = asyncio.Event(), Taker()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunk(b"begin"))
        await first.wait()
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        await exchange.send(b"".join(map(chunk, pieces)) + END)

    async with serve(answer) as server, aiohttps.session() as session:
        response: Any = await session.get(f"{server.url}/")
        relaying = await begun(response, take)
        first.set()
        await relaying
        assert b"".join(take.taken) == body
        assert await response.read() == b""


async def test_who_takes_no_more_reads_on_from_there(aiohttps: Transport) -> None:
    first, take = asyncio.Event(), Taker(goes_on=False)

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunk(b"begin"))
        await first.wait()
        await exchange.send(chunk(b"b"))
        await take.has_taken.wait()
        await exchange.send(chunk(b"c"), END)

    async with serve(answer) as server, aiohttps.session() as session:
        response: Any = await session.get(f"{server.url}/")
        relaying = await begun(response, take)
        first.set()
        await relaying
        assert take.taken == [b"b"]
        assert (await response.read(), await response.read()) == (b"c", b"")


async def test_what_the_taker_raises_is_raised_where_it_is_waited_for(aiohttps: Transport) -> None:
    first = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunk(b"begin"))
        await first.wait()
        await exchange.send(chunk(b"b"), END)

    def take(data: bytes) -> bool:
        raise ConnectionResetError(data.decode())

    async with serve(answer) as server, aiohttps.session() as session:
        response: Any = await session.get(f"{server.url}/")
        relaying = await begun(response, take)
        first.set()
        with pytest.raises(ConnectionResetError, match=r"^b$"):
            await relaying


async def test_a_relay_that_is_cancelled_leaves_the_rest_to_be_read(aiohttps: Transport) -> None:
    first, take = asyncio.Event(), Taker()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunk(b"begin"))
        await first.wait()
        await exchange.send(chunk(b"b"), END)

    async with serve(answer) as server, aiohttps.session() as session:
        response: Any = await session.get(f"{server.url}/")
        relaying = await begun(response, take)
        relaying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await relaying
        first.set()
        assert (await response.read(), await response.read()) == (b"b", b"")
    assert take.taken == []


@pytest.mark.parametrize("how", ["reset", "malformed", "closed"])
async def test_a_response_that_breaks_is_told_by_the_next_read(
    aiohttps: Transport, how: str
) -> None:
    first, take = asyncio.Event(), Taker()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunk(b"begin"))
        await first.wait()
        await exchange.send(chunk(b"b"))
        await take.has_taken.wait()
        if how == "reset":
            exchange.reset()
        elif how == "malformed":
            await exchange.send(b"no size\r\n")
            await exchange.wait_for_leaving()
        else:
            exchange.writer.close()

    async with serve(answer) as server, aiohttps.session() as session:
        response: Any = await session.get(f"{server.url}/")
        relaying = await begun(response, take)
        first.set()
        await relaying
        assert take.taken == [b"b"]
        with pytest.raises(ReplyBrokenError):
            await response.read()


@pytest.mark.parametrize("cap", [5, 10])
async def test_no_more_is_handed_on_than_the_cap(aiohttps: Transport, cap: int) -> None:
    first, take = asyncio.Event(), Taker()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunk(b"begin"))
        await first.wait()
        await exchange.send(chunk(b"67890xyz"), END)

    async with (
        serve(answer) as server,
        aiohttps.session(limits=Limits(max_reply_bytes=cap)) as session,
    ):
        response: Any = await session.get(f"{server.url}/")
        relaying = await begun(response, take)
        first.set()
        outcomes = await asyncio.gather(relaying, return_exceptions=True)
        with pytest.raises(LimitExceeded, match=f"{cap} bytes"):
            await response.read()
        assert isinstance(outcomes[0], LimitExceeded) is (cap == 5)
    assert b"".join(take.taken) == b"67890"[: cap - 5]


async def test_a_reused_connection_hands_on_in_the_context_of_its_own_task(
    aiohttps: Transport,
) -> None:
    name: ContextVar[str] = ContextVar("name", default="")
    named: list[str] = []

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunk(b"begin"))
        await first.wait()
        await exchange.send(chunk(b"b"), END)

    def take(_: bytes) -> bool:
        named.append(name.get())
        return True

    async def ask(url: str, as_: str) -> None:
        name.set(as_)
        async with aiohttps.session() as session:
            response: Any = await session.get(url)
            relaying = await begun(response, take)
            first.set()
            await relaying
            assert await response.read() == b""

    async with serve(answer) as server:
        for as_ in ("first", "second"):
            first = asyncio.Event()
            await asyncio.create_task(ask(f"{server.url}/", as_))
        assert server.accepted == 1
    assert named == ["first", "second"]
