"""Speaks to the replica: a nonce from a page, a signed body, bytes over a bare socket."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Any

from replica_captures import Raw, parse_raw

if TYPE_CHECKING:
    import aiohttp

    from tailrace.replica import Replica

ENDPOINT = "/wp-admin/admin-ajax.php"
SECRET = "test-secret-123"
NOW = 1_795_162_954_681


async def page_nonce(
    session: aiohttp.ClientSession, replica: Replica, site: str = "ai-power"
) -> str:
    async with session.get(replica.page(site, "stream")) as reply:
        found = re.search(r'\n     data-nonce="([0-9a-f]{10})"\n', await reply.text())
    assert found is not None
    return found[1]


def signed(message: str, *, secret: str = SECRET, **body: Any) -> dict[str, Any]:
    sign = hashlib.sha256(f"{NOW}:{message}:{secret}".encode()).hexdigest()
    messages = [{"role": "user", "parts": [{"text": message}]}]
    return {"messages": messages, "time": NOW, "pass": None, "sign": sign} | body


async def exchange_raw(url: str, request: bytes) -> Raw:
    """Send `request` as it stands, read until the server closes, and take the reply apart."""
    return parse_raw(await exchange_bytes(url, request))


async def exchange_bytes(url: str, *requests: bytes) -> bytes:
    """Send `requests` over one connection, without waiting, and read until the server closes."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.writelines(requests)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def http_post(path: str, body: bytes, content_type: str, connection: str = "close") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
