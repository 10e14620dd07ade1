"""One table of replies and of ways to break them, over aiohttp's transport and over a fleet: the
same text, end, error and fields.
"""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import socket
import ssl
import struct
import termios
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from loopback import HOST, Exchange, hang, serve
from two_ways import Asked, Read, Way, over_aiohttp, over_fleet, told

from tailrace import errors
from tailrace.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from loopback import Authority

DONE = b"data: [DONE]\n\n"
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = (
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
)
SSE = b"Content-Type: text/event-stream\r\n"
MANY = 6000  # fields of a head


def delta(text: str) -> bytes:
    event = {"id": "c1", "model": "m1", "choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: %b\n\n" % json.dumps(event).encode()


WHOLE = delta("What") + delta(" runs") + STOP + USAGE + DONE


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def head(*fields: bytes, status: bytes = b"200 OK", version: bytes = b"1.1") -> bytes:
    return b"HTTP/%b %b\r\n" % (version, status) + b"".join(fields) + b"\r\n"


CHUNKS = b"Transfer-Encoding: chunked\r\n"


def length(body: bytes | int) -> bytes:
    return b"Content-Length: %d\r\n" % (body if isinstance(body, int) else len(body))


async def send(data: bytes, exchange: Exchange) -> None:
    """Send, and go on with the connection."""
    await exchange.send(data)


async def send_and_close(data: bytes, exchange: Exchange) -> None:
    await exchange.send(data)
    exchange.writer.close()


async def send_and_half_close(data: bytes, exchange: Exchange) -> None:
    await exchange.send(data)
    exchange.writer.write_eof()
    await exchange.wait_for_leaving()


async def send_and_reset(data: bytes, exchange: Exchange) -> None:
    """Reset when the client has read what was sent: a reset may overtake it."""
    await exchange.send(data)
    exchange.writer.transport.set_write_buffer_limits(0)
    await exchange.writer.drain()
    link = exchange.writer.get_extra_info("socket")
    while _unread_by_peer(link):  # noqa: ASYNC110 - the system tells no event of it
        await asyncio.sleep(0.001)
    exchange.reset()


def _unread_by_peer(link: Any) -> int:
    unsent = struct.unpack("i", fcntl.ioctl(link.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    return int(unsent[0])


async def send_for_ever(first: bytes, piece: bytes, exchange: Exchange) -> None:
    await exchange.send(first)
    with suppress(ConnectionError):
        while not exchange.reader.at_eof():
            await exchange.send(piece * 64)


@dataclass(frozen=True)
class Case:
    """A reply, and what must come of it; `error`: its class, and `fields` of it.

    `words`: whether both ways use the same ones.
    """

    answer: Callable[[Exchange], Awaitable[None]]
    text: str = ""
    end: str = "failed"
    error: type[errors.TailraceError] | None = None
    fields: dict[str, Any] | None = None
    asked: Asked = field(default_factory=Asked)
    words: bool = True


def reply(data: bytes, how: Any = send, **fields: Any) -> Case:
    return Case(partial(how, data), **fields)


def refused(status: bytes, body: Any, error: type[errors.TailraceError], *more: bytes) -> Case:
    data = json.dumps(body).encode() if not isinstance(body, bytes) else body
    kind = b"text/html" if isinstance(body, bytes) else b"application/json"
    first = head(length(data), b"Content-Type: %b\r\n" % kind, *more, status=status)
    code = int(status[:3])
    return reply(first + data, error=error, fields={"status": code})


def packed(data: bytes, coding: bytes = b"gzip") -> bytes:
    return head(SSE, length(data), b"Content-Encoding: %b\r\n" % coding) + data


MODEL = {"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}
SLOW = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
BOMB = gzip.compress(delta("x" * 10**6) * 64)
TRUNCATED: dict[str, Any] = {
    "text": "What",
    "end": "truncated",
    "error": errors.StreamError,
    "fields": {"kind": "truncated", "status": 200},
}
CASES: dict[str, Case] = {
    "whole": reply(head(SSE, length(WHOLE)) + WHOLE, text="What runs", end="done"),
    "chunks": reply(
        head(SSE, CHUNKS) + chunked(WHOLE[:50], WHOLE[50:]) + b"0\r\n\r\n",
        text="What runs",
        end="done",
    ),
    "chunks with extensions and trailers": reply(
        head(SSE, CHUNKS) + b"%x;a=b\r\n%b\r\n0\r\nX-Trailer: x\r\n\r\n" % (len(WHOLE), WHOLE),
        text="What runs",
        end="done",
    ),
    "no sentinel": reply(
        head(SSE, length(delta("What") + STOP)) + delta("What") + STOP, text="What", end="stopped"
    ),
    "done, then a connection that stays": reply(
        head(SSE, CHUNKS) + chunked(WHOLE), text="What runs", end="done"
    ),
    "http 1.0": reply(
        head(SSE, version=b"1.0") + WHOLE, send_and_close, text="What runs", end="done"
    ),
    "http 1.0 cut": reply(head(SSE, version=b"1.0") + delta("What"), send_and_close, **TRUNCATED),
    "interim heads": reply(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        + head(SSE, length(WHOLE))
        + WHOLE,
        text="What runs",
        end="done",
    ),
    "reset mid-chunk": reply(
        head(SSE, CHUNKS) + chunked(delta("What")) + b"30\r\nda", send_and_reset, **TRUNCATED
    ),
    "half close mid-chunk": reply(
        head(SSE, CHUNKS) + chunked(delta("What")) + b"30\r\nda", send_and_half_close, **TRUNCATED
    ),
    "half close between chunks": reply(
        head(SSE, CHUNKS) + chunked(delta("What")), send_and_half_close, **TRUNCATED
    ),
    "a chunk's size is no number": reply(
        head(SSE, CHUNKS) + chunked(delta("What")) + b"zz\r\n", send_and_close, **TRUNCATED
    ),
    "a chunk's size is too large": reply(
        head(SSE, CHUNKS) + chunked(delta("What")) + b"f" * 17 + b"\r\n",
        send_and_close,
        **TRUNCATED,
    ),
    "a chunk without its line end": reply(
        head(SSE, CHUNKS) + chunked(delta("What"))[:-2] + b"xx", send_and_close, **TRUNCATED
    ),
    "length too long": reply(head(SSE, length(10**6)) + delta("What"), send_and_close, **TRUNCATED),
    "length too short": reply(
        head(SSE, length(delta("What"))) + delta("What") + delta("more"),
        send_and_close,
        **TRUNCATED,
    ),
    "whole, then cut": reply(
        head(SSE, length(10**6)) + WHOLE, send_and_reset, text="What runs", end="done"
    ),
    "finish reason, then cut": reply(
        head(SSE, length(10**6)) + delta("What") + STOP, send_and_reset, text="What", end="stopped"
    ),
    "401": refused(b"401 Unauthorized", {"error": "no key"}, errors.MissingAuthError),
    "402": refused(b"402 Payment Required", {"error": "pay"}, errors.PaymentRequiredError),
    "404, no model": refused(b"404 Not Found", MODEL, errors.ModelNotServedError),
    "429 with Retry-After": refused(
        b"429 Too Many", SLOW, errors.RateLimitError, b"Retry-After: 7\r\n"
    ),
    "429 with milliseconds": refused(
        b"429 Too Many", SLOW, errors.RateLimitError, b"retry-after-ms: 1500\r\n"
    ),
    "500, a page": refused(
        b"500 Oh", b"<html><title>Oh</title></html>", errors.ResponseStatusError
    ),
    "503, nothing": refused(b"503 Later", b"", errors.ResponseStatusError),
    "529 with a date": refused(
        b"529 Overloaded",
        SLOW,
        errors.ResponseStatusError,
        b"Date: Wed, 21 Oct 2015 07:28:00 GMT\r\nRetry-After: Wed, 21 Oct 2015 07:28:09 GMT\r\n",
    ),
    "challenge": refused(
        b"403 No", b"<html>", errors.ChallengeError, b"cf-mitigated: challenge\r\n"
    ),
    "a challenge's page": refused(
        b"403 No",
        b"<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>",
        errors.ChallengeError,
    ),
    "an error in a stream": reply(
        head(SSE, CHUNKS)
        + chunked(delta("What"), b'data: {"error":{"message":"overloaded","code":"busy"}}\n\n')
        + b"0\r\n\r\n",
        text="What",
        error=errors.StreamError,
        fields={"kind": "upstream", "code": "busy"},
    ),
    "a page": reply(
        head(length(b"<html>"), b"Content-Type: text/html\r\n") + b"<html>",
        error=errors.StreamError,
        fields={"kind": "not_a_stream"},
    ),
    "nothing": reply(
        head(SSE, length(0)), error=errors.StreamError, end="failed", fields={"kind": "empty"}
    ),
    "204": reply(head(status=b"204 No Content"), error=errors.StreamError),
    "an answer that is one body": reply(
        head(
            b"Content-Type: application/json\r\n",
            length(b'{"choices":[{"message":{"content":"all"}}]}'),
        )
        + b'{"choices":[{"message":{"content":"all"}}]}',
        text="all",
        end="done",
    ),
    "redirect": reply(
        head(
            length(0), b"Location: https://me:s3cret@else.test/b?key=private\r\n", status=b"302 F"
        ),
        error=errors.RedirectError,
        fields={"target": "https://else.test"},
    ),
    "redirect to nowhere": reply(
        head(length(0), status=b"307 T"), error=errors.RedirectError, fields={"target": ""}
    ),
    "redirect to its own": reply(
        head(length(0), b"Location: /v2\r\n", status=b"308 P"), error=errors.RedirectError
    ),
    "gzip": reply(packed(gzip.compress(WHOLE)), text="What runs", end="done"),
    "gzip in two members": reply(
        packed(gzip.compress(WHOLE[:90]) + gzip.compress(WHOLE[90:])), text="What runs", end="done"
    ),
    "gzip, then padding": reply(
        packed(gzip.compress(WHOLE) + bytes(20)), text="What runs", end="done"
    ),
    "gzip cut short": reply(packed(gzip.compress(delta("What"))[:-9]), **TRUNCATED),
    "gzip of no sense": reply(
        packed(b"\xff" * 40), error=errors.StreamError, end="truncated", text=""
    ),
    "gzip bomb": reply(
        packed(BOMB),
        text="x" * 10**6,
        error=errors.LimitExceeded,
        fields={"kind": "limit"},
        asked=Asked(max_reply_bytes=1_500_000),
        end="truncated",
    ),
    "a coding's unknown name": reply(packed(WHOLE, b"utf-8"), text="What runs", end="done"),
    "more than the cap": reply(
        head(SSE, length(WHOLE)) + WHOLE,
        text="What",
        end="truncated",
        error=errors.LimitExceeded,
        asked=Asked(max_reply_bytes=len(delta("What")) + 1),
    ),
    "as much as the cap": reply(
        head(SSE, length(WHOLE)) + WHOLE,
        text="What runs",
        end="done",
        asked=Asked(max_reply_bytes=len(WHOLE)),
    ),
    "interim heads without end": Case(
        partial(send_for_ever, b"", b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n"),
        error=errors.LimitExceeded,
        fields={"kind": "limit"},
    ),
    "a header without end": Case(
        partial(send_for_ever, b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000),
        error=errors.LimitExceeded,
        words=False,
    ),
    "no http": reply(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", send_and_close, error=errors.NetworkError),
    "no head": reply(b"", send_and_close, error=errors.NetworkError),
    "half a head": reply(
        b"HTTP/1.1 200 OK\r\nContent-Le", send_and_close, error=errors.NetworkError
    ),
    "reset before a head": reply(b"", send_and_reset, error=errors.NetworkError),
}


def check(case: Case, read: Read) -> None:
    assert (read.text, read.end) == (case.text, case.end), read.error
    shown = told(read.error) or {"class": None}
    assert shown["class"] is case.error, read.error
    assert shown | (case.fields or {}) == shown
    assert "s3cret" not in f"{read.error!s}{read.error!r}"
    assert "private" not in f"{read.error!s}{read.error!r}"


@pytest.mark.parametrize("name", CASES)
async def test_a_reply_over_both(name: str) -> None:
    case = CASES[name]
    reads = []
    async with serve(case.answer) as server:
        for way in (over_aiohttp, over_fleet):
            reads.append(await way(f"{server.url}/v1/chat?key=private", case.asked))
            check(case, reads[-1])
    over, ours = reads
    words = case.words
    assert told(ours.error, words=words) == told(over.error, words=words)
    both = ((each.usage, each.finish_reason, each.id, each.model) for each in reads)
    assert len(set(map(repr, both))) == 1
    if over.status is not None:  # of a redirect the transport tells none
        assert ours.status == over.status


@pytest.mark.parametrize("framing", ["chunks", "gzip", "length"])
async def test_a_reply_written_byte_by_byte(way: Way, framing: str) -> None:
    body = gzip.compress(WHOLE) if framing == "gzip" else WHOLE
    first = head(
        SSE,
        *([b"Content-Encoding: gzip\r\n"] if framing == "gzip" else []),
        CHUNKS if framing == "chunks" else length(body),
    )
    data = first + (chunked(body) + b"0\r\n\r\n" if framing == "chunks" else body)

    async def answer(exchange: Exchange) -> None:
        exchange.writer.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        for byte in data:
            await exchange.send(bytes([byte]))

    async with serve(answer) as server:
        read = await way(server.url)
    assert (read.text, read.end, read.error) == ("What runs", "done", None)
    assert (read.id, read.model, read.finish_reason) == ("c1", "m1", "stop")


async def test_many_fields_of_a_head(way: Way) -> None:
    fields = (b"X-%d: x\r\n" % number for number in range(MANY))

    async with serve(partial(send_and_close, head(*fields))) as server:
        read = await way(server.url)
    assert isinstance(read.error, errors.NetworkError | errors.LimitExceeded)
    assert read.end == "failed"


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "gzip, br"])
async def test_a_coding_that_was_not_offered_is_named(coding: str) -> None:
    async with serve(partial(send, packed(zlib.compress(WHOLE), coding.encode()))) as server:
        read = await over_fleet(server.url)
    assert (read.text, read.end) == ("", "failed")
    assert isinstance(read.error, errors.ReplyBrokenError)
    assert coding.rpartition(" ")[2] in str(read.error)


async def test_nobody_listens(way: Way) -> None:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    read = await way(f"http://me:s3cret@{HOST}:{port}/x?q=private")
    assert (read.end, read.status) == ("failed", None)
    assert type(read.error) is errors.ConnectError
    assert str(read.error) == f"http://{HOST}:{port} could not be reached: connection refused"


async def test_a_connection_that_the_peer_closed_is_not_used_again() -> None:
    """Whenever it is seen that it was closed."""
    async with serve(partial(send_and_close, head(SSE, length(WHOLE)) + WHOLE)) as server:
        async with Fleet(keep="text") as fleet:
            for _ in range(50):
                fleet.submit(server.url, data=b"{}")
                ends = [each async for batch in fleet.batches() for each in batch.ended]
                assert [(each.end, each.error) for each in ends] == [("done", None)]
        assert server.accepted == 50


async def test_a_connection_is_used_again() -> None:
    async with serve(partial(send, head(SSE, length(WHOLE)) + WHOLE)) as server:
        async with Fleet(keep="text") as fleet:
            for _ in range(5):
                fleet.submit(server.url, data=b"{}")
                ends = [each async for batch in fleet.batches() for each in batch.ended]
                assert [each.text for each in ends] == ["What runs"]
        assert server.accepted == 1


# -- TLS -------------------------------------------------------------------------------------------


async def test_over_tls(way: Way, authority: Authority) -> None:
    answer = partial(send, head(SSE, CHUNKS) + chunked(WHOLE) + b"0\r\n\r\n")
    async with serve(answer, authority.server) as server:
        read = await way(server.url, Asked(tls=authority.client))
    assert (read.text, read.end, read.error) == ("What runs", "done", None)


async def test_tls_that_is_cut_without_its_own_end(way: Way, authority: Authority) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(head(SSE, CHUNKS) + chunked(delta("What")))
        exchange.writer.transport.abort()

    async with serve(answer, authority.server) as server:
        read = await way(server.url, Asked(tls=authority.client))
    assert (read.text, read.end) == ("What", "truncated")


async def test_an_untrusted_certificate(way: Way, authority: Authority) -> None:
    async with serve(hang, authority.server) as server:
        read = await way(f"{server.url}/x?q=private")
    assert (read.end, type(read.error)) == ("failed", errors.TLSError)
    assert "SSL_CERT_FILE" in str(read.error)
    assert "private" not in str(read.error)


async def test_a_certificate_of_another_host(way: Way) -> None:
    other = trustme.CA()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    other.issue_cert("else.test").configure_cert(theirs)
    mine = ssl.create_default_context()
    other.configure_trust(mine)
    async with serve(hang, theirs) as server:
        read = await way(server.url, Asked(tls=mine))
    assert (read.end, type(read.error)) == ("failed", errors.TLSError)


def own_certificate(folder: Path, *, host: str, days: int = 1) -> tuple[ssl.SSLContext, str]:
    """A certificate that has signed itself, as `openssl req -x509` makes one: a server that shows
    it, and the file that holds it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "own")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ip_address(host)) if host == HOST else x509.DNSName(host)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{host}{days}.pem"
    shown = certificate.public_bytes(Encoding.PEM)
    kept = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(shown + kept)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return server, str(file)


async def test_a_certificate_that_signed_itself(way: Way, tmp_path: Path) -> None:
    server_tls, file = own_certificate(tmp_path, host=HOST)
    answer = partial(send, head(SSE, length(WHOLE)) + WHOLE)
    async with serve(answer, server_tls) as server:
        read = await way(server.url, Asked(tls=ssl.create_default_context(cafile=file)))
        assert (read.text, read.end, read.error) == ("What runs", "done", None)
        _, other = own_certificate(tmp_path, host="else.test")
        read = await way(server.url, Asked(tls=ssl.create_default_context(cafile=other)))
        assert type(read.error) is errors.TLSError
        assert "SSL_CERT_FILE" in str(read.error)


@pytest.mark.parametrize(("host", "days"), [("else.test", 1), (HOST, -1)], ids=["name", "dates"])
async def test_a_certificate_that_signed_itself_is_not_for_everything(
    way: Way, tmp_path: Path, host: str, days: int
) -> None:
    server_tls, file = own_certificate(tmp_path, host=host, days=days)
    async with serve(hang, server_tls) as server:
        read = await way(server.url, Asked(tls=ssl.create_default_context(cafile=file)))
    assert type(read.error) is errors.TLSError
    assert "SSL_CERT_FILE" not in str(read.error)


async def test_a_server_without_tls(way: Way) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with suppress(ConnectionError):
            await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(plain, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        read = await way(f"https://{HOST}:{port}/")
    assert (read.end, type(read.error)) == ("failed", errors.TLSError)


async def test_an_alert_of_tls(way: Way) -> None:
    """A server that wants a certificate of its client: after the handshake, as TLS 1.3 has it."""
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = trustme.CA()
    own.issue_cert(HOST).configure_cert(strict)
    own.configure_trust(strict)
    strict.verify_mode = ssl.CERT_REQUIRED
    mine = ssl.create_default_context()
    own.configure_trust(mine)
    async with serve(hang, strict) as server:
        read = await way(server.url, Asked(tls=mine))
    assert read.end == "failed"
    assert isinstance(read.error, errors.NetworkError)
