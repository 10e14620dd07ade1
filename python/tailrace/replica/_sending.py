"""How a reply goes out: chunk by chunk through the server, or by hand where the server would never
send it so.

By hand go replies that break off, stall or come as HTTP/1.0. Whatever is still being sent when the
replica stops or the client leaves ends there and then.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from aiohttp import web

from tailrace.replica._outputs import packer
from tailrace.replica._site import EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tailrace.replica._exchanges import Exchange
    from tailrace.replica._site import Reply

PLACES: Mapping[str, str] = {
    "before-head": "before the status line",
    "head": "in the middle of the head",
    "body": "between head and body",
    "tag": "in the tag that shows the nonce; in the middle of any other body",
    "line": "in a line in the middle of the body",
    "character": "within a character of several bytes, where the body has one",
    "chunk-size": "in the size of an HTTP chunk",
    "chunk": "in an HTTP chunk that promised more",
    "end": "after the body, before the HTTP chunk that ends it",
}

_LINGER = struct.Struct("HH" if sys.platform == "win32" else "ii")
_MAX_WAITING = 64 * 2**10  # bytes written by hand that the client has not taken yet
_TICK = 0.005  # seconds between two looks at them


@dataclass(frozen=True, slots=True)
class Break:
    """Where a reply ends too early and how: closed, reset (RST), or never going on.

    `place` is one of `PLACES`, or a number of body bytes, counted before compression.
    """

    how: Literal["cut", "reset", "stall"]
    place: str | int


@dataclass(frozen=True, slots=True)
class Forever:
    """What comes again and again after a reply's chunks; `gap` is in seconds."""

    data: bytes
    gap: float = 0.0


async def send(request: web.Request, reply: Reply, stopping: asyncio.Event) -> web.StreamResponse:
    """Send `reply` as the answer to `request`; `stopping` is set when the replica shuts down."""
    if reply.coding not in request.headers.get("Accept-Encoding", ""):
        reply = replace(reply, coding="")
    try:
        if reply.ends == "silently":
            await _hold(request, stopping)
        if reply.http_1_0 or reply.breaks is not None:
            return await _send_by_hand(request, reply, stopping)
        return await _send_through_server(request, reply, stopping)
    except asyncio.CancelledError:
        # Bytes that nobody takes would keep the connection.
        if request.transport is not None:
            request.transport.abort()
        raise


async def hide_framework(_request: web.Request, response: web.StreamResponse) -> None:
    """Take out the headers that aiohttp adds and no site sends."""
    if response.headers.get("Content-Type") == NO_CONTENT_TYPE:
        del response.headers["Content-Type"]
    if response.headers.get("Server", "").startswith("Python/"):
        del response.headers["Server"]


async def _send_through_server(
    request: web.Request, reply: Reply, stopping: asyncio.Event
) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, reason=reply.reason)
    response.headers.extend(
        [("Content-Type", reply.content_type or NO_CONTENT_TYPE), *_headers(reply)]
    )
    exchange = request[EXCHANGE]
    exchange.status = reply.status
    await response.prepare(request)
    for delay, data in () if request.method == "HEAD" else _pieces(reply):
        if delay is not None:
            await asyncio.sleep(delay)
        await response.write(data)
        exchange.bytes_sent += len(data)
    if reply.ends == "never":
        await _hold(request, stopping)
    await response.write_eof()
    return response


def _pieces(reply: Reply) -> Iterator[tuple[float | None, bytes]]:
    """Yield the body as it is written: seconds to wait first, None for not even a turn of the loop,
    and bytes.
    """
    packed = packer(reply.coding)
    for number, chunk in enumerate(reply.chunks):
        yield reply.pace if number else None, packed.piece(chunk)
    while reply.forever is not None:
        yield reply.forever.gap, packed.piece(reply.forever.data)
    if reply.ends == "cleanly" and (last := packed.end()):
        yield None, last


async def _hold(request: web.Request, stopping: asyncio.Event) -> None:
    """Wait for the client to leave, which cancels this handler; a stopping replica breaks the
    connection.
    """
    await stopping.wait()
    if request.transport is not None:
        request.transport.abort()
    await asyncio.Event().wait()


# -- by hand ---------------------------------------------------------------------------------------


async def _send_by_hand(
    request: web.Request, reply: Reply, stopping: asyncio.Event
) -> web.StreamResponse:
    exchange = request[EXCHANGE]
    if reply.breaks is None or reply.breaks.place not in ("before-head", "head"):
        exchange.status = reply.status
    for delay, data in _by_hand(reply, without_body=request.method == "HEAD"):
        if delay is not None:
            await asyncio.sleep(delay)
        await _write(request, data, exchange)
    if (reply.breaks is not None and reply.breaks.how == "stall") or reply.ends == "never":
        await _hold(request, stopping)
    _leave(request, abruptly=reply.breaks is not None and reply.breaks.how == "reset")
    # The server takes this for a reply that its client did not wait for.
    return web.StreamResponse()


async def _write(request: web.Request, data: bytes, exchange: Exchange) -> None:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    transport.write(data)
    exchange.bytes_sent += len(data)
    while transport.get_write_buffer_size() > _MAX_WAITING:  # noqa: ASYNC110 - only the server is told when
        await asyncio.sleep(_TICK)


def _leave(request: web.Request, *, abruptly: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    if not abruptly:
        transport.close()
        return
    # SO_LINGER of 0 seconds makes of a close a reset. It holds for the connection, whichever
    # descriptor sets it.
    with socket.fromfd(
        transport.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM
    ) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(1, 0))
    transport.abort()


def _by_hand(reply: Reply, *, without_body: bool) -> Iterator[tuple[float | None, bytes]]:
    place = None if reply.breaks is None else reply.breaks.place
    head = _head(reply)
    if place == "before-head":
        return
    if place == "head":
        yield None, head[: len(head) // 2]
        return
    yield None, head
    if place == "body" or without_body:
        return
    if place is None or place == "end":
        for delay, data in _pieces(reply):
            yield delay, data if reply.http_1_0 else _chunk(data)
        if place is None:
            yield None, b"" if reply.http_1_0 else b"0\r\n\r\n"
        return
    yield from _broken_body(reply, place)


def _broken_body(reply: Reply, place: str | int) -> Iterator[tuple[float | None, bytes]]:
    whole, rest = _cut_at(reply.chunks, _position(reply.chunks, place))
    packed = packer(reply.coding)
    for number, chunk in enumerate(whole):
        data = packed.piece(chunk)
        yield reply.pace if number else None, data if reply.http_1_0 else _chunk(data)
    if reply.http_1_0 or place not in ("chunk-size", "chunk"):
        return
    # What was to come next is begun, as the chunk it was to be.
    data = _chunk(packed.piece(rest))
    yield reply.pace, data[: data.index(b"\r\n") if place == "chunk-size" else (len(data) + 1) // 2]


def _cut_at(chunks: Sequence[bytes], position: int) -> tuple[list[bytes], bytes]:
    """Return the chunks before `position`, the last of them cut, and the first chunk's part after
    it.
    """
    whole: list[bytes] = []
    for chunk in chunks:
        if len(chunk) > position:
            return [*whole, chunk[:position]] if position else whole, chunk[position:]
        whole.append(chunk)
        position -= len(chunk)
    return whole, b""


def _position(chunks: Sequence[bytes], place: str | int) -> int:
    """How many bytes of the body come before `place`."""
    if isinstance(place, int):
        return place
    body = b"".join(chunks)
    middle = len(chunks) // 2
    before = sum(map(len, chunks[:middle]))
    match place:
        case "tag":
            found = _SHOWN_NONCE.search(body)
        case "character":
            found = _LONG_CHARACTER.search(body, before) or _LONG_CHARACTER.search(body)
        case "chunk" | "chunk-size":
            return before
        case _:
            found = None
    if found is not None:
        return found.end()
    return before + (len(chunks[middle]) // 2 if chunks else 0)


_SHOWN_NONCE = re.compile(rb"""data-(?:nonce|config)\s*=\s*["'].{0,3}""")
_LONG_CHARACTER = re.compile(rb"[\xc2-\xf4](?=[\x80-\xbf])")


def _head(reply: Reply) -> bytes:
    version, framing = (
        ("1.0", []) if reply.http_1_0 else ("1.1", [("Transfer-Encoding", "chunked")])
    )
    content_type = [("Content-Type", reply.content_type)] if reply.content_type else []
    fields = [*content_type, *_headers(reply), *framing, ("Connection", "close")]
    lines = [
        f"HTTP/{version} {reply.status} {reply.reason or 'OK'}",
        *(f"{name}: {value}" for name, value in fields),
    ]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _headers(reply: Reply) -> list[tuple[str, str]]:
    return [*reply.headers, *([("Content-Encoding", reply.coding)] if reply.coding else [])]


NO_CONTENT_TYPE = "x-replica/none"
"""A Content-Type that `hide_framework` takes out again, since aiohttp would add one of its own."""
