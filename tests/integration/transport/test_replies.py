"""A response: its head, its bytes as they came, its codings, its caps, and how it may break."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from functools import partial
from typing import TYPE_CHECKING

import brotli  # type: ignore[import-untyped]
import pytest
from backports import zstd
from loopback import serve

from tailrace import errors
from tailrace.transport import Limits, Timeouts, read_all, read_within

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopback import Exchange

    from tailrace.transport import Response, Transport

TEXT = "".join(f"line {number} with something to say\n" for number in range(4000)).encode()
PACKED = {
    "gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "br": brotli.compress(TEXT),
    "zstd": zstd.compress(TEXT),
}


async def _rest(response: Response) -> tuple[bytes, errors.TailraceError | None]:
    """Everything that can be read, and the error it ends with."""
    parts = []
    try:
        while data := await response.read():
            parts.append(data)
    except errors.TailraceError as error:
        return b"".join(parts), error
    return b"".join(parts), None


async def test_the_head_is_told(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(
            b"hello", "Content-Type: text/plain", "X-One: 1", "x-one: 2", status="203 Just So"
        )

    async with serve(answer) as server, transport.session() as session:
        response = await session.get(f"{server.url}/a b?c=ü#fragment")
        assert (response.status, response.reason, response.content_type) == (
            203,
            "Just So",
            "text/plain",
        )
        assert response.url == f"{server.url}/a%20b?c=%C3%BC"
        assert (response.headers["X-ONE"], response.headers.get("nothing")) == ("1", None)
        assert await read_all(response, max_bytes=5) == b"hello"
        assert await response.read() == b""
        assert server.requests[0].target == "/a%20b?c=%C3%BC"


async def test_bytes_come_as_they_are_sent(transport: Transport) -> None:
    go_on = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two", b"three"):
            await exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            await go_on.wait()
            go_on.clear()
        await exchange.send(b"0\r\n\r\n")

    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)
        for piece in (b"one", b"two", b"three"):
            assert await response.read() == piece
            go_on.set()
        assert await response.read() == b""


@pytest.mark.parametrize("coding", PACKED)
async def test_codings_are_decoded_as_they_come(transport: Transport, coding: str) -> None:
    async def answer(exchange: Exchange) -> None:
        assert coding in exchange.headers["accept-encoding"]
        await exchange.send(
            b"HTTP/1.1 200 OK\r\n"
            b"Content-Encoding: %s\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" % coding.encode()
        )
        for byte in PACKED[coding]:
            exchange.writer.write(b"1\r\n%c\r\n" % byte)
        await exchange.send(b"0\r\n\r\n")

    async with serve(answer) as server, transport.session() as session:
        assert await read_all(await session.get(server.url), max_bytes=len(TEXT)) == TEXT


def _gzip_flushed(data: bytes, wbits: int = 31) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)


def _brotli_flushed(data: bytes) -> bytes:
    packer = brotli.Compressor()
    return bytes(packer.process(data) + packer.flush())


def _zstd_flushed(data: bytes) -> bytes:
    return zstd.ZstdCompressor().compress(data, zstd.ZstdCompressor.FLUSH_BLOCK)


_FLUSHED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": _gzip_flushed,
    "deflate": partial(_gzip_flushed, wbits=15),
    "br": _brotli_flushed,
    "zstd": _zstd_flushed,
}


@pytest.mark.parametrize("coding", _FLUSHED)
async def test_a_coding_cut_short_breaks_after_what_came(transport: Transport, coding: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(_FLUSHED[coding](b"what came"), f"Content-Encoding: {coding}")

    async with serve(answer) as server, transport.session() as session:
        data, error = await _rest(await session.get(server.url))
    assert data == b"what came"
    assert isinstance(error, errors.ReplyBrokenError)


@pytest.mark.parametrize("coding", _FLUSHED)
async def test_a_coding_breaks_after_what_came_with_its_fault(
    transport: Transport, coding: str
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(
            _FLUSHED[coding](b"what came") + b"\xff" * 20, f"Content-Encoding: {coding}"
        )

    async with serve(answer) as server, transport.session() as session:
        data, error = await _rest(await session.get(server.url))
    assert data == b"what came"
    assert isinstance(error, errors.ReplyBrokenError)


@pytest.mark.parametrize("coding", PACKED)
async def test_a_coding_of_no_sense_breaks(transport: Transport, coding: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(
            b"<html>this is not compressed at all</html>", f"Content-Encoding: {coding}"
        )

    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)
        for _ in range(2):
            with pytest.raises(errors.ReplyBrokenError):
                await response.read()


@pytest.mark.parametrize(
    ("field", "body", "is_whole"),
    [
        ("Content-Length: 5", b"helloand more", True),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\nand more", True),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\nno size\r\n", False),
        ("Transfer-Encoding: chunked", b"5\r\nhelloand more", False),
    ],
)
@pytest.mark.parametrize("end_of_head", [b"\r\n\r\n", b"\r\n\n"])
async def test_a_body_is_read_up_to_what_is_no_http(
    transport: Transport, field: str, body: bytes, is_whole: bool, end_of_head: bytes
) -> None:
    """In one read with the head, too."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n" + field.encode() + end_of_head + body)
        exchange.writer.close()

    async with serve(answer) as server, transport.session() as session:
        data, error = await _rest(await session.get(server.url))
    assert data == b"hello"
    assert (error is None) is is_whole


_BOMB = bytes(64 * 2**20)


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", partial(gzip.compress, compresslevel=6)),
        ("deflate", zlib.compress),
        ("br", partial(brotli.compress, quality=3)),
        ("zstd", zstd.compress),
    ],
)
async def test_a_bomb_is_refused_before_it_is_unpacked(
    transport: Transport, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    bomb = pack(_BOMB)

    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(bomb, f"Content-Encoding: {coding}")

    async with (
        serve(answer) as server,
        transport.session(limits=Limits(max_reply_bytes=10**6)) as session,
    ):
        tracemalloc.start()
        try:
            data, error = await _rest(await session.get(server.url))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert len(data) == 10**6
    assert isinstance(error, errors.LimitExceeded)
    assert peak < 8 * 2**20


@pytest.mark.parametrize(
    ("size", "is_refused"), [(999, False), (1000, False), (1001, True), (5000, True)]
)
async def test_the_cap_is_exact(transport: Transport, size: int, is_refused: bool) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(b"x" * size)

    async with (
        serve(answer) as server,
        transport.session(limits=Limits(max_reply_bytes=1000)) as session,
    ):
        data, error = await _rest(await session.get(server.url))
        assert len(data) == min(size, 1000)
        assert isinstance(error, errors.LimitExceeded) is is_refused
        with pytest.raises(errors.LimitExceeded):
            await read_all(await session.get(server.url), max_bytes=size - 1)


async def test_a_slow_reader_stops_the_server(transport: Transport) -> None:
    sent = 0

    async def answer(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * 2**20))
        for _ in range(1024):
            await exchange.send(b"y" * 2**16)
            sent += 2**16
        all_sent.set()

    all_sent = asyncio.Event()
    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)
        first = await response.read()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(all_sent.wait(), 0.5)
        assert len(first) + len((await _rest(response))[0]) == 64 * 2**20


_BROKEN = {
    "length not reached": (b"Content-Length: 100", b"what came"),
    "chunks without end": (b"Transfer-Encoding: chunked", b"9\r\nwhat came\r\n"),
    "chunk cut": (b"Transfer-Encoding: chunked", b"30\r\nwhat came"),
    "chunk of no sense": (b"Transfer-Encoding: chunked", b"9\r\nwhat came\r\nzzz\r\n"),
}


@pytest.mark.parametrize("is_reader_busy", [False, True])
@pytest.mark.parametrize("case", _BROKEN)
async def test_a_reply_that_breaks_off_gives_what_came(
    transport: Transport, case: str, *, is_reader_busy: bool
) -> None:
    head, body = _BROKEN[case]
    go_on = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        await go_on.wait()
        await exchange.send(body)
        exchange.writer.close()

    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)
        go_on.set()
        if is_reader_busy:  # until the client's side has seen the end
            await server.left.wait()
            for _ in range(20):
                await asyncio.sleep(0)
        data, error = await _rest(response)
    assert data == b"what came"
    assert isinstance(error, errors.ReplyBrokenError)


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 100\r\n", b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n"],
)
async def test_a_reset_is_no_end(transport: Transport, head: bytes) -> None:
    go_on = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n", b"4\r\nwhat\r\n")
        await go_on.wait()
        exchange.reset()

    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)
        assert b"what" in await response.read()
        go_on.set()
        with pytest.raises(errors.ReplyBrokenError):
            await response.read()


async def test_http_1_0_ends_with_its_connection(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        exchange.writer.close()

    async with serve(answer) as server, transport.session() as session:
        assert await _rest(await session.get(server.url)) == (b"all of it", None)


async def test_what_follows_an_interim_head_counts(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await exchange.send_reply(b"real", "X-Real: yes")

    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)
        assert (response.status, response.headers["x-real"]) == (200, "yes")
        assert "link" not in response.headers
        assert await response.read() == b"real"


@pytest.mark.parametrize("status", ["204 No Content", "404 Not Found", "500 Oops"])
async def test_any_status_is_a_reply(transport: Transport, status: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)
        assert f"{response.status} {response.reason}" == status
        assert await response.read() == b""


async def test_a_head_without_end_is_refused(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
        for _ in range(64):
            await exchange.send(b"a" * 2**14)

    async with serve(answer) as server, transport.session() as session:
        with pytest.raises(errors.LimitExceeded):
            await session.get(server.url)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("status", ["200 OK", "302 Found", "403 Forbidden", "503 Wait"])
async def test_a_challenge_is_told_at_once(transport: Transport, method: str, status: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(
            f"HTTP/1.1 {status}\r\nCF-Mitigated: Challenge\r\nContent-Length: 999\r\n\r\n".encode()
        )
        await exchange.wait_for_leaving()

    async with serve(answer) as server, transport.session() as session:
        with pytest.raises(errors.ChallengeError) as caught:
            await (
                session.get(server.url) if method == "get" else session.post(server.url, body=b"")
            )
        assert caught.value.status == int(status[:3])
        await server.left.wait()


async def test_two_readers_of_a_reply_are_an_error(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        await exchange.wait_for_leaving()

    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)
        first = asyncio.create_task(response.read())
        await asyncio.sleep(0)
        with pytest.raises(errors.InvalidRequestError):
            await response.read()
        await response.aclose()
        with pytest.raises(errors.ReplyBrokenError):
            await first


async def test_the_idle_clock(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwhat")
        await exchange.wait_for_leaving()

    async with (
        serve(answer) as server,
        transport.session(timeouts=Timeouts(first_byte=5)) as session,
    ):
        response = await session.get(server.url)
        assert await read_within(response, 5) == b"what"
        with pytest.raises(errors.TimeoutError) as caught:
            await read_within(response, 0.1)
        assert (caught.value.phase, caught.value.seconds) == ("idle", 0.1)
        assert caught.value.__context__ is None
