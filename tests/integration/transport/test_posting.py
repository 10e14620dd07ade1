"""Many posts to one URL, each answered whole: over aiohttp's connections, and over sessions."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from loopback import hang, serve

from tailrace import errors
from tailrace.transport import Limits, Timeouts
from tailrace.transport._over_aiohttp.posting import AiohttpPoster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loopback import Authority, Exchange

    from tailrace.transport import Poster, Transport

JSON = {"Content-Type": "application/json"}
TEXT = b'{"an": "answer"}' * 100


@asynccontextmanager
async def posting(transport: Transport, url: str, **options: Any) -> AsyncIterator[Poster]:
    poster = transport.poster(url, headers=JSON, **options)
    try:
        yield poster
    finally:
        await poster.aclose()


async def echo(exchange: Exchange) -> None:
    await exchange.send_reply(exchange.body, "x-request-id: 7", "Retry-After: 9")


async def test_each_body_has_its_reply_over_connections_that_are_kept(
    transport: Transport, kind: str
) -> None:
    async with serve(echo) as server, posting(transport, f"{server.url}/a b?c=d") as poster:
        assert isinstance(poster, AiohttpPoster) == (kind == "aiohttp")
        bodies = [b"%d" % number * size for number in range(5) for size in (1, 100_000)]
        for body in bodies:
            reply = await poster.post(body)
            assert (reply.status, reply.body, reply.failure) == (200, body, None)
            assert (reply.headers["X-Request-ID"], reply.retry_after) == ("7", 9.0)
        assert server.accepted == 1
        first = server.requests[0]
        assert (first.method, first.target) == ("POST", "/a%20b?c=d")
        assert first.headers["content-type"] == "application/json"
        assert "gzip" in first.headers["accept-encoding"]
        if kind == "aiohttp":
            assert first.headers["user-agent"] == "Mozilla/5.0 (compatible; Tailrace)"


async def test_user_cookies_and_headers_are_sent_with_each_and_none_is_kept(
    transport: Transport,
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(b"", "Set-Cookie: seen=1")

    async with serve(answer) as server:
        url = server.url.replace("://", "://me:word@")
        async with posting(transport, url, cookies={"a": "b"}) as poster:
            for _ in range(2):
                await poster.post(b"")
        for each in server.requests:
            assert each.headers["cookie"] == "a=b"
            assert each.headers["authorization"] == "Basic bWU6d29yZA=="


async def test_over_tls(transport: Transport, authority: Authority) -> None:
    async with serve(echo, authority.server) as server, posting(transport, server.url) as poster:
        assert (await poster.post(b"safe")).body == b"safe"


@pytest.mark.parametrize("split", [1, 7, 10**6])
async def test_packed_replies_in_pieces(transport: Transport, split: int) -> None:
    packed = gzip.compress(TEXT)

    async def answer(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for start in range(0, len(packed), split):
            piece = packed[start : start + split]
            await exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await exchange.send(b"0\r\n\r\n")

    async with serve(answer) as server, posting(transport, server.url) as poster:
        for _ in range(2):
            assert (await poster.post(b"")).body == TEXT
        assert server.accepted == 1


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "body", "kind"),
    [
        (HEAD + b"half", b"half", errors.ReplyBrokenError),
        (HEAD, b"", errors.ReplyBrokenError),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            b"half",
            errors.ReplyBrokenError,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n",
            b"half",
            errors.ReplyBrokenError,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
            + gzip.compress(b"half", mtime=0)[:-6],
            b"half",
            errors.ReplyBrokenError,
        ),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole", b"whole", None),
    ],
    ids=["length", "nothing", "chunks", "no chunk", "gzip", "whole"],
)
async def test_a_reply_that_broke_off_is_kept_as_far_as_it_came(
    transport: Transport, sent: bytes, body: bytes, kind: type[Exception] | None
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(sent)
        exchange.writer.close()

    async with serve(answer) as server, posting(transport, server.url) as poster:
        for _ in range(2):
            reply = await poster.post(b"")
            assert (reply.status, reply.body) == (200, body)
            assert type(reply.failure) is (kind or type(None))


async def test_a_reset_reply_is_broken(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        exchange.reset()

    async with serve(answer) as server, posting(transport, server.url) as poster:
        reply = await poster.post(b"")
        assert isinstance(reply.failure, errors.ReplyBrokenError)


async def test_no_more_is_kept_than_the_cap(transport: Transport) -> None:
    limits = Limits(max_reply_bytes=1000)
    async with serve(echo) as server, posting(transport, server.url, limits=limits) as poster:
        for size in (1000, 1001, 200_000):
            reply = await poster.post(b"x" * size)
            assert len(reply.body) == 1000
            assert isinstance(reply.failure, errors.LimitExceeded) == (size > 1000)


async def test_what_is_no_reply(transport: Transport) -> None:
    answers = {
        b"1": b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
        b"2": b"HTTP/1.1 403 No\r\ncf-mitigated: challenge\r\nContent-Length: 0\r\n\r\n",
        b"3": b"SSH-2.0-OpenSSH\r\n\r\n",
        b"4": b"",
    }

    async def answer(exchange: Exchange) -> None:
        await exchange.send(answers[exchange.body])
        exchange.writer.close()

    kinds = (
        errors.RedirectError,
        errors.ChallengeError,
        errors.NetworkError,
        errors.NetworkError,
    )
    async with serve(answer) as server, posting(transport, server.url) as poster:
        for kind, number in zip(kinds, answers, strict=True):
            with pytest.raises(kind):
                await poster.post(number)


async def test_nobody_listens(transport: Transport) -> None:
    async with serve(echo) as server:
        pass
    async with posting(transport, server.url) as poster:
        with pytest.raises(errors.ConnectError):
            await poster.post(b"")


@pytest.mark.parametrize(
    ("timeouts", "phase"),
    [
        (Timeouts(first_byte=0.05), "first byte"),
        (Timeouts(total=0.05), "total"),
        (Timeouts(first_byte=0.05, total=60.0), "first byte"),
    ],
)
async def test_a_clock_that_runs_out(transport: Transport, timeouts: Timeouts, phase: str) -> None:
    async with serve(hang) as server, posting(transport, server.url, timeouts=timeouts) as poster:
        ends = await asyncio.gather(*(poster.post(b"") for _ in range(5)), return_exceptions=True)
        assert {end.phase for end in ends if isinstance(end, errors.TimeoutError)} == {phase}
        assert len(ends) == 5
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_a_clock_that_runs_out_as_the_connection_fails(transport: Transport) -> None:
    """Whatever comes first, the caller's task is not cancelled."""

    async def answer(exchange: Exchange) -> None:
        await asyncio.sleep(0.02 + 0.02 * (len(server.requests) % 100) / 100)
        exchange.reset()

    timeouts = Timeouts(first_byte=0.03)
    async with serve(answer) as server, posting(transport, server.url, timeouts=timeouts) as poster:
        for _ in range(5):
            posts = (poster.post(b"") for _ in range(100))
            ends = await asyncio.gather(*posts, return_exceptions=True)
            kinds = (errors.TimeoutError, errors.NetworkError)
            assert [end for end in ends if not isinstance(end, kinds)] == []


async def test_silence_within_a_reply(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"half")
        await exchange.wait_for_leaving()

    timeouts = Timeouts(idle=0.05)
    async with serve(answer) as server, posting(transport, server.url, timeouts=timeouts) as poster:
        reply = await poster.post(b"")
        assert reply.body == b"half"
        assert isinstance(reply.failure, errors.TimeoutError)
        assert reply.failure.phase == "idle"


async def test_cancelled_it_closes_its_connection(transport: Transport) -> None:
    async with serve(hang) as server, posting(transport, server.url) as poster:
        task = asyncio.create_task(poster.post(b""))
        await server.got_request.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.left.wait()
        assert server.connections == 0


async def test_an_early_reply_to_a_large_body(transport: Transport) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        with suppress(ConnectionError):
            while await reader.read(2**20):
                pass
        writer.transport.abort()
        left.set()

    left = asyncio.Event()
    listener = await asyncio.start_server(talk, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with posting(transport, url) as poster:
        reply = await poster.post(b"x" * 2**22)
        assert (reply.status, reply.body) == (413, b"no")
        await left.wait()
    listener.close()
    await listener.wait_closed()


async def test_wrong_options_fail_before_anything_is_sent(transport: Transport) -> None:
    for options in (
        {"url": "ftp://x.test"},
        {"url": "http://x.test", "headers": {"a": "b\r\nc"}},
        {"url": "http://x.test", "cookies": {"a": "b;c"}},
    ):
        with pytest.raises(errors.InvalidRequestError):
            await transport.poster(**options).post(b"")
