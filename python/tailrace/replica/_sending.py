"""The sending of a response: by aiohttp's server, or by hand where the server cannot send it.

Responses that break off, stall or are HTTP/1.0 are written by hand. A response that is still being
sent when the replica stops or the client leaves ends at once.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import sys
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from tailrace.replica._codings import make_encoder
from tailrace.replica._site import EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tailrace.replica._exchanges import ServedExchange
    from tailrace.replica._response import SiteResponse

NO_CONTENT_TYPE = "x-replica/none"
"""A Content-Type that `hide_framework` removes again; without it aiohttp would add its own."""

_LINGER = struct.Struct("HH" if sys.platform == "win32" else "ii")
_MAX_UNSENT_BYTES = 64 * 2**10  # written by hand, and not yet read by the client
_POLL_SECONDS = 0.005  # between two checks of their number


async def send(
    request: web.Request, response: SiteResponse, stopping: asyncio.Event
) -> web.StreamResponse:
    """Send `response` to `request`; `stopping` is set when the replica shuts down."""
    if response.coding not in request.headers.get("Accept-Encoding", ""):
        response = replace(response, coding="")
    try:
        if response.ending == "no-response":
            await _hold(request, stopping)
        if response.http_1_0 or response.interruption is not None:
            return await _send_by_hand(request, response, stopping)
        return await _send_through_server(request, response, stopping)
    except asyncio.CancelledError:
        # Unread bytes would keep the connection open.
        if request.transport is not None:
            request.transport.abort()
        raise


async def hide_framework(_request: web.Request, sent: web.StreamResponse) -> None:
    """Remove the headers that aiohttp adds and no site sends."""
    if sent.headers.get("Content-Type") == NO_CONTENT_TYPE:
        del sent.headers["Content-Type"]
    if sent.headers.get("Server", "").startswith("Python/"):
        del sent.headers["Server"]


async def _send_through_server(
    request: web.Request, response: SiteResponse, stopping: asyncio.Event
) -> web.StreamResponse:
    sent = web.StreamResponse(status=response.status, reason=response.reason)
    sent.headers.extend(
        [("Content-Type", response.content_type or NO_CONTENT_TYPE), *_headers(response)]
    )
    exchange = request[EXCHANGE]
    exchange.status = response.status
    await sent.prepare(request)
    for delay, data in () if request.method == "HEAD" else _writes(response):
        if delay is not None:
            await asyncio.sleep(delay)
        await sent.write(data)
        exchange.bytes_sent += len(data)
    if response.ending == "stall":
        await _hold(request, stopping)
    await sent.write_eof()
    return sent


def _writes(response: SiteResponse) -> Iterator[tuple[float | None, bytes]]:
    """Yield each write of the body: seconds to wait before it, and its bytes.

    None for the seconds: without a turn of the loop in between.
    """
    encoder = make_encoder(response.coding)
    for number, chunk in enumerate(response.chunks):
        yield response.pace if number else None, encoder.encode(chunk)
    while response.repeat is not None:
        yield response.repeat.gap, encoder.encode(response.repeat.data)
    if response.ending == "complete" and (last := encoder.finish()):
        yield None, last


async def _hold(request: web.Request, stopping: asyncio.Event) -> None:
    """Wait for the client to leave, which cancels this handler, or break a stopping connection."""
    await stopping.wait()
    if request.transport is not None:
        request.transport.abort()
    await asyncio.Event().wait()


# -- by hand ---------------------------------------------------------------------------------------


async def _send_by_hand(
    request: web.Request, response: SiteResponse, stopping: asyncio.Event
) -> web.StreamResponse:
    exchange = request[EXCHANGE]
    broken = response.interruption
    if broken is None or broken.position not in ("before-head", "head"):
        exchange.status = response.status
    for delay, data in _raw_writes(response, without_body=request.method == "HEAD"):
        if delay is not None:
            await asyncio.sleep(delay)
        await _write(request, data, exchange)
    if response.ending == "stall" or (broken is not None and broken.how == "stall"):
        await _hold(request, stopping)
    _disconnect(request, reset=broken is not None and broken.how == "reset")
    # To the server this looks like a response whose client has left.
    return web.StreamResponse()


async def _write(request: web.Request, data: bytes, exchange: ServedExchange) -> None:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    transport.write(data)
    exchange.bytes_sent += len(data)
    while transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:  # noqa: ASYNC110 - only the server is told when
        await asyncio.sleep(_POLL_SECONDS)


def _disconnect(request: web.Request, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    if not reset:
        transport.close()
        return
    # With SO_LINGER of 0 seconds a close becomes a reset. The option belongs to the connection, so
    # any descriptor of it will do.
    with socket.fromfd(
        transport.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM
    ) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(1, 0))
    transport.abort()


def _raw_writes(
    response: SiteResponse, *, without_body: bool
) -> Iterator[tuple[float | None, bytes]]:
    position = None if response.interruption is None else response.interruption.position
    head = _head(response)
    if position == "before-head":
        return
    if position == "head":
        yield None, head[: len(head) // 2]
        return
    yield None, head
    if position == "body" or without_body:
        return
    if position is None or position == "end":
        for delay, data in _writes(response):
            yield delay, data if response.http_1_0 else _chunk(data)
        if position is None:
            yield None, b"" if response.http_1_0 else b"0\r\n\r\n"
        return
    yield from _broken_body(response, position)


def _broken_body(
    response: SiteResponse, position: str | int
) -> Iterator[tuple[float | None, bytes]]:
    whole, rest = _split_chunks(response.chunks, _body_offset(response.chunks, position))
    encoder = make_encoder(response.coding)
    for number, chunk in enumerate(whole):
        data = encoder.encode(chunk)
        yield response.pace if number else None, data if response.http_1_0 else _chunk(data)
    if response.http_1_0 or position not in ("chunk-size", "chunk"):
        return
    # The next chunk is begun as it would have been sent.
    data = _chunk(encoder.encode(rest))
    end = data.index(b"\r\n") if position == "chunk-size" else (len(data) + 1) // 2
    yield response.pace, data[:end]


def _split_chunks(chunks: Sequence[bytes], offset: int) -> tuple[list[bytes], bytes]:
    """Return the chunks before `offset`, the last of them cut there, and the rest of that one."""
    whole: list[bytes] = []
    for chunk in chunks:
        if len(chunk) > offset:
            return [*whole, chunk[:offset]] if offset else whole, chunk[offset:]
        whole.append(chunk)
        offset -= len(chunk)
    return whole, b""


def _body_offset(chunks: Sequence[bytes], position: str | int) -> int:
    """Return the number of the body's bytes before `position`."""
    if isinstance(position, int):
        return position
    body = b"".join(chunks)
    middle = len(chunks) // 2
    before = sum(map(len, chunks[:middle]))
    match position:
        case "tag":
            match_ = _SHOWN_NONCE.search(body)
        case "character":
            match_ = _LONG_CHARACTER.search(body, before) or _LONG_CHARACTER.search(body)
        case "chunk" | "chunk-size":
            return before
        case _:
            match_ = None
    if match_ is not None:
        return match_.end()
    return before + (len(chunks[middle]) // 2 if chunks else 0)


_SHOWN_NONCE = re.compile(rb"""data-(?:nonce|config)=["'].{0,3}""")
_LONG_CHARACTER = re.compile(rb"[\xc2-\xf4](?=[\x80-\xbf])")


def _head(response: SiteResponse) -> bytes:
    version, framing = (
        ("1.0", []) if response.http_1_0 else ("1.1", [("Transfer-Encoding", "chunked")])
    )
    content_type = [("Content-Type", response.content_type)] if response.content_type else []
    fields = [*content_type, *_headers(response), *framing, ("Connection", "close")]
    lines = [
        f"HTTP/{version} {response.status} {_reason(response)}",
        *(f"{name}: {value}" for name, value in fields),
    ]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def _reason(response: SiteResponse) -> str:
    """Return the reason of a status line: the status's own (RFC 9110, 15) unless a site says more.

    Empty for a status that has none.
    """
    if response.reason is not None:
        return response.reason
    known = {each.value: each.phrase for each in HTTPStatus}
    return known.get(response.status, "")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _headers(response: SiteResponse) -> list[tuple[str, str]]:
    coding = [("Content-Encoding", response.coding)] if response.coding else []
    return [*response.headers, *coding]
