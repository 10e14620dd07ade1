"""The server of `batch.py`: each request is answered whole, after a while, at little cost.

``python batch_server.py SECONDS [AUTHORITY]``; its origin is printed, and the process ends when its
standard input is closed. Given a file, it speaks TLS, and writes down there whom to trust for that.
`GET /first` tells when the first request since the last question came, in nanoseconds of the
machine's monotonic clock, and 0 where none came.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time

BODY = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Some forty words of it. " * 8},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 40, "total_tokens": 60},
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_1\r\n"
REPLY = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """One connection: a request at a time, its answer `seconds` later."""

    first = 0

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Answer, once a request is whole."""
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        if head.startswith(b"GET"):
            told = b"%d" % Connection.first
            Connection.first = 0
            self._transport.write(b"%bContent-Length: %d\r\n\r\n%b" % (HEAD, len(told), told))
            self._received = rest
            return
        head = head.lower()
        start = head.index(LENGTH) + len(LENGTH)
        size = int(head[start:].partition(b"\r\n")[0])
        if len(rest) < size:
            return
        self._received = rest[size:]
        Connection.first = Connection.first or time.monotonic_ns()
        self._loop.call_later(self._seconds, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(REPLY)


async def main() -> None:
    """Serve until standard input is closed."""
    seconds, *files = sys.argv[1:]
    loop = asyncio.get_running_loop()
    tls = with_authority(files[0]) if files else None
    server = await loop.create_server(
        lambda: Connection(float(seconds)), "127.0.0.1", 0, ssl=tls, backlog=4096
    )
    scheme = "http" if tls is None else "https"
    print(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


def with_authority(file: str) -> ssl.SSLContext:
    """What the server shows over TLS; the authority is written to a file."""
    import trustme  # noqa: PLC0415 - not in every environment that has batches

    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(file)
    return tls


if __name__ == "__main__":
    asyncio.run(main())
