"""What a fleet sends, what it refuses by name, and what it never tells."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import ssl
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from loopback import HOST, hang, http_proxy, serve
from two_ways import Asked, Way, over_fleet

from tailrace import errors
from tailrace.errors import InvalidProxyError, InvalidRequestError
from tailrace.fleet import Fleet, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loopback import Authority, Exchange

WHOLE = b'data: {"choices":[{"delta":{"content":"yes"}}]}\n\ndata: [DONE]\n\n'
SECRET = "s3cret"


async def yes(exchange: Exchange) -> None:
    await exchange.send_reply(WHOLE, "Content-Type: text/event-stream", "Set-Cookie: seen=1")


async def ended_of(fleet: Fleet) -> list[Any]:
    return [ended async for batch in fleet.batches() for ended in batch.ended]


async def test_what_is_sent(way: Way) -> None:
    """The same request over both, but for the codings that are offered."""
    async with serve(yes) as server:
        url = server.url.replace("://", "://me:word@")
        headers = {"X-one": "1", "accept": "text/event-stream", "Content-Type": "text/plain"}
        read = await way(f"{url}/a b?c=ü#fragment", Asked(body=b"hush", headers=headers))
        assert read.end == "done"
        sent = server.requests[0]
    assert (sent.method, sent.target, sent.body) == ("POST", "/a%20b?c=%C3%BC", b"hush")
    assert sent.headers["host"] == server.url.removeprefix("http://")
    assert sent.headers["authorization"] == "Basic bWU6d29yZA=="
    assert sent.headers["user-agent"] == "Mozilla/5.0 (compatible; Tailrace)"
    assert sent.headers["accept-language"] == "en-US,en;q=0.9"
    assert (sent.headers["x-one"], sent.headers["accept"]) == ("1", "text/event-stream")
    assert sent.headers["content-type"] == "text/plain"
    assert sent.headers["content-length"] == "4"
    assert "cookie" not in sent.headers


async def test_json_and_what_is_offered() -> None:
    body = {"messages": [{"role": "user", "content": "hallo, wörld \U0001f600"}], "n": None}
    async with serve(yes) as server, Fleet() as fleet:
        fleet.submit(server.url, json=body)
        fleet.submit(server.url, data=b"[7]", headers={"Accept-Encoding": "gzip"})
        fleet.submit(server.url, data="{}")
        assert [each.end for each in await ended_of(fleet)] == ["done"] * 3
        first, second, third = sorted(server.requests, key=lambda each: -len(each.body))
    assert json.loads(first.body) == body
    assert first.headers["content-type"] == "application/json"
    assert first.headers["accept-encoding"] == "identity"
    assert (second.body, second.headers["accept-encoding"]) == (b"[7]", "gzip")
    assert (third.body, third.headers["accept-encoding"]) == (b"{}", "identity")
    assert "content-type" not in second.headers
    assert not any("cookie" in each.headers for each in server.requests)


async def test_requests_that_are_alike_in_part_are_each_sent_as_they_are() -> None:
    """What is the same is checked once; a caller may change the headers that it gave."""
    headers = {"X-One": "1"}
    async with serve(yes) as server, Fleet(keep="text") as fleet:
        fleet.submit(server.url, data=b"[0]", headers=headers)
        headers["X-One"] = "2"
        fleet.submit(server.url, data=b"[1]", headers=headers)
        fleet.submit(server.url, json=[2], headers=headers)
        fleet.submit(f"{server.url}/else", json=[3], headers=headers)
        fleet.submit(server.url, json=[4], headers=MappingProxyType(headers))
        fleet.submit(server.url, json=[5], headers=headers, dialect="text", tag=5)
        for _ in range(2):
            with pytest.raises(InvalidRequestError, match="Cookie"):
                fleet.submit(server.url, json=[6], headers={"Cookie": "a=b"})
        ends = {each.tag: each for each in await ended_of(fleet)}
    sent = {each.body: each for each in server.requests}
    assert sorted(sent) == [b"[%d]" % number for number in range(6)]
    typed = {body: "content-type" in each.headers for body, each in sent.items()}
    assert typed == {body: body not in (b"[0]", b"[1]") for body in sent}
    ones = [sent[body].headers["x-one"] for body in sorted(sent)]
    assert ones == ["1", "2", "2", "2", "2", "2"]
    assert sent[b"[3]"].target.endswith("/else")
    assert (ends[0].text, ends[5].text == WHOLE.decode()) == ("yes", True)


async def test_authorities_are_read_for_the_first_https_url(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read them takes as long as hundreds of requests."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with serve(yes) as server, serve(yes, tls=authority.server) as safe, Fleet() as fleet:
        fleet.submit(server.url, json={})
        assert [each.end for each in await ended_of(fleet)] == ["done"]
        assert not fleet._engine.has_trust
        fleet.submit_many(Request(safe.url, json={}) for _ in range(2))
        assert fleet._engine.has_trust
        assert [each.end for each in await ended_of(fleet)] == ["done"] * 2


def test_a_system_without_files_is_told_from_one_without_stamps() -> None:
    code = """
import os, resource
from tailrace.errors import TailraceError
from tailrace.fleet import Fleet
with Fleet(stamps="kernel"):
    pass
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), most))
for stamps in (None, "kernel", "read"):
    try:
        Fleet(stamps=stamps)
    except TailraceError as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    said = done.stdout.splitlines()
    assert len(said) == 3
    assert all(each.startswith("TailraceError the fleet cannot start: ") for each in said)


async def test_it_is_sent_when_it_is_due() -> None:
    async with serve(yes) as server, Fleet() as fleet:
        now = time.monotonic_ns()
        dues = {1: now + 300_000_000, 2: now + 100_000_000, 3: now - 10**9, 4: None}
        fleet.submit_many(
            Request(server.url, data=b"{}", tag=tag, at=at) for tag, at in dues.items()
        )
        ends = {each.tag: each for each in await ended_of(fleet)}
    for tag, due in dues.items():
        assert ends[tag].end == "done"
        assert ends[tag].sent_ns >= (now if due is None else max(now, due))
        order = ("sent_ns", "first_byte_ns", "first_text_ns", "last_ns", "ended_ns")
        moments = [getattr(ends[tag], name) for name in order]
        assert moments == sorted(moments)
    assert ends[2].sent_ns < ends[1].sent_ns


async def test_a_ticket_knows_its_tag_and_is_cancelled_once() -> None:
    async with serve(hang) as server, Fleet() as fleet:
        tickets = [
            fleet.submit(server.url, data=b"{}", tag=-(2**63)),
            fleet.submit(server.url, data=b"{}", tag=2**63 - 1, at=time.monotonic_ns() + 10**15),
        ]
        await server.got_request.wait()
        for ticket in tickets:
            for _ in range(2):
                ticket.cancel()
        ends = {each.tag: each for each in await ended_of(fleet)}
        assert [each.tag for each in tickets] == [-(2**63), 2**63 - 1]
        for ticket in tickets:
            ticket.cancel()
        assert await ended_of(fleet) == []
    assert {each.end for each in ends.values()} == {"cancelled"}
    assert {each.error for each in ends.values()} == {None}
    assert ends[2**63 - 1].sent_ns is None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"url": "ftp://site.test/"}, "scheme"),
        ({"url": "site.test/x"}, "https://"),
        ({"url": "http://"}, "host"),
        ({"url": "http://a b/"}, "malformed"),
        ({"url": 7}, "malformed"),
        ({"headers": {"X": "a\r\nB: c"}}, "X"),
        ({"headers": {"X\r\n": "a"}}, "name"),
        ({"headers": {"Cookie": "a=b"}}, "Cookie"),
        ({"headers": {"Content-Length": "3"}}, "Content-Length"),
        ({"headers": {"Host": "else.test"}}, "Host"),
        ({"headers": {"X": 7}}, "X"),
        ({"headers": [("X", "7")]}, "not list"),
        ({"headers": {f"X-{number}": "" for number in range(40_000)}}, "header"),
        ({"url": f"http://127.0.0.1/{'x' * 65_536}"}, "longer"),
        ({"json": {}, "data": b"{}"}, "json"),
        ({"data": b""}, "data"),
        ({"data": None}, "json"),
        ({"json": {1, 2}}, "JSON"),
        ({"json": float("nan")}, "JSON"),
        ({"data": 7}, "data"),
        ({"tag": 2**63}, "tag"),
        ({"tag": "7"}, "tag"),
        ({"at": "soon"}, "at"),
        ({"at": time.time_ns()}, "monotonic_ns"),
        ({"dialect": "klingon"}, "dialect"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_it_is(
    options: dict[str, Any], named: str
) -> None:
    async with serve(yes) as server, Fleet() as fleet:
        given = {"url": server.url, "data": b"{}", **options}
        if "json" in options and "data" not in options:
            del given["data"]
        with pytest.raises(InvalidRequestError, match=named):
            fleet.submit(given.pop("url"), **given)
        good = Request(server.url, data=b"{}")
        given = {"url": server.url, "data": b"{}", **options}
        if "json" in options and "data" not in options:
            del given["data"]
        with pytest.raises(InvalidRequestError, match=named):
            fleet.submit_many([good, Request(given.pop("url"), **given)])
        assert await ended_of(fleet) == []
        assert server.requests == []


@pytest.mark.parametrize(
    ("requests", "named"),
    [
        ([{"url": "http://site.test"}], "not dict"),
        (["http://site.test"], "not str"),
        (Request("http://site.test"), "one Request"),
        (None, "one NoneType"),
    ],
)
def test_many_requests_are_objects_of_that_class(requests: Any, named: str) -> None:
    with Fleet() as fleet, pytest.raises(InvalidRequestError, match=named):
        fleet.submit_many(requests)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"threads": 0}, "threads"),
        ({"threads": 1.5}, "threads"),
        ({"keep": "some"}, "keep"),
        ({"stamps": "exact"}, "stamps"),
        ({"coalesce": -0.001}, "coalesce"),
        ({"coalesce": 0.2}, "coalesce"),
        ({"coalesce": float("nan")}, "coalesce"),
        ({"coalesce": True}, "coalesce"),
        ({"max_rows": 0}, "max_rows"),
        ({"dialect": "klingon"}, "dialect"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"first_byte_timeout": -1}, "first_byte_timeout"),
        ({"idle_timeout": float("nan")}, "idle_timeout"),
        ({"total_timeout": "5"}, "total_timeout"),
        ({"total_timeout": 1e12}, "total_timeout"),
        ({"max_reply_bytes": -1}, "max_reply_bytes"),
        ({"max_reply_bytes": 1.5}, "max_reply_bytes"),
        ({"tls": "yes"}, "tls"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequestError, match=named):
        Fleet(**options)


@pytest.mark.parametrize(
    "proxy",
    [
        f"socks5://me:{SECRET}@127.0.0.1:1080",
        f"ftp://me:{SECRET}@127.0.0.1:1",
        "127.0.0.1:8080",
        "http://",
        f"http://me:{SECRET}\n@127.0.0.1:1",
    ],
)
def test_proxies_that_are_refused(proxy: str) -> None:
    with pytest.raises(InvalidProxyError) as caught:
        Fleet(proxy=proxy)
    assert SECRET not in f"{caught.value!s}{caught.value!r}"


def test_a_context_that_verifies_nothing_is_not_honoured_in_silence() -> None:
    lax = ssl.create_default_context()
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    with pytest.raises(InvalidRequestError, match="verif"):
        Fleet(tls=lax)


def test_a_context_that_cannot_be_followed_is_refused_by_name(
    tmp_path: Path, authority: Authority
) -> None:
    listed = ssl.create_default_context(cafile=authority.file)
    listed.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    with pytest.raises(InvalidRequestError, match="revoked"):
        Fleet(tls=listed)
    of_a_folder = ssl.create_default_context(capath=str(tmp_path))
    with pytest.raises(InvalidRequestError, match="folder"):
        Fleet(tls=of_a_folder)


TOO_LARGE = b'{"error":{"message":"too large","code":"large"}}'
REFUSED = (
    b"HTTP/1.1 413 Too Large\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(TOO_LARGE), TOO_LARGE)
)


@asynccontextmanager
async def refusing(*, is_closing: bool) -> AsyncIterator[int]:
    """Refuse each request by its head alone, and close, or read nothing for as long as this is.

    The port.
    """
    over = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(REFUSED)
            await writer.drain()
            if not is_closing:
                await over.wait()
        writer.transport.abort() if not is_closing else writer.close()

    server = await asyncio.start_server(refuse, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        over.set()


async def test_a_refusal_that_comes_while_the_request_is_sent(way: Way) -> None:
    """What is refused so is large, and its connection reset, for nobody reads the rest of it."""
    async with refusing(is_closing=True) as port:
        for size in (2**10, 2**20, *[2**24] * 30):
            read = await way(f"http://{HOST}:{port}/", Asked(body=b"x" * size))
            assert (read.end, read.status) == ("failed", 413)
            assert isinstance(read.error, errors.ResponseStatusError)
            assert read.error.code == "large"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux is asked for its connections")
async def test_what_was_refused_is_not_sent_for_ever() -> None:
    """Who reads nothing any more would hold the connection and the body."""
    async with refusing(is_closing=False) as port, Fleet() as fleet:
        fleet.submit(f"http://{HOST}:{port}/", data=b"x" * 2**24)
        assert [each.status for each in await ended_of(fleet)] == [413]
        while connections_to(port):  # noqa: ASYNC110 - the system tells no event of it
            await asyncio.sleep(0.001)


def connections_to(port: int) -> int:
    """How many connections to a port are whole, by the side that has made them."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text("utf-8").splitlines()[1:])
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_serves_every_request(way: Way, authority: Authority, scheme: str) -> None:
    tls = authority.server if scheme == "https" else None
    credentials = f"me:{SECRET}"
    for site_tls in (None, authority.server):
        async with serve(yes, site_tls) as server, http_proxy(credentials, tls) as proxy:
            asked = Asked(proxy=proxy.url(f"{credentials}@"), tls=authority.client)
            read = await way(f"{server.url}/x", asked)
            assert (read.text, read.end, read.error) == ("yes", "done", None)
            assert proxy.seen == [f"{HOST}:{server.port}"]
            assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize("target", ["http", "https"])
async def test_a_proxy_that_wants_another_password(
    way: Way, authority: Authority, target: str
) -> None:
    tls = authority.server if target == "https" else None
    async with serve(yes, tls) as server, http_proxy("me:right") as proxy:
        asked = Asked(proxy=proxy.url(f"me:{SECRET}@"), tls=authority.client)
        read = await way(server.url, asked)
        assert proxy.refused == 1
        assert server.requests == []
    assert read.error is not None
    assert SECRET not in f"{read.error!s}{read.error!r}"
    if target == "https":
        assert type(read.error) is errors.ProxyError
        assert "407" in str(read.error)


async def test_a_proxy_that_is_not_there(way: Way, authority: Authority) -> None:
    async with http_proxy() as proxy:
        gone = proxy.url(f"me:{SECRET}@")
    for target in ("http://site.test/", "https://site.test/"):
        read = await way(target, Asked(proxy=gone, tls=authority.client))
        assert (read.end, type(read.error)) == ("failed", errors.ProxyError)
        assert SECRET not in f"{read.error!s}{read.error!r}"


@asynccontextmanager
async def proxy_that_says(answer: bytes, for_ever: bytes = b"") -> AsyncIterator[str]:
    """A proxy that says these bytes, whatever it is asked, and some for ever, or breaks off."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            while for_ever and not reader.at_eof():
                writer.write(for_ever * 100)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(say, HOST, 0)
    async with server:
        yield f"{HOST}:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "broke off when it was asked to connect to https://site.test"),
        (b"HTTP/1.1 20", "broke off when it was asked to connect to https://site.test"),
        (b"SSH-2.0-x\r\n\r\n", "answered with what is no HTTP"),
        (b"HTTP/1.1 403 No\r\n\r\n", "refused to connect to https://site.test: status 403"),
    ],
)
async def test_a_proxy_that_makes_no_tunnel(answer: bytes, words: str) -> None:
    async with proxy_that_says(answer) as proxy:
        read = await over_fleet("https://site.test/", Asked(proxy=f"http://me:{SECRET}@{proxy}"))
    assert (read.end, type(read.error)) == ("failed", errors.ProxyError)
    assert f"http://{proxy} {words}" in str(read.error)


@pytest.mark.parametrize(
    ("first", "piece"),
    [(b"", b"HTTP/1.1 103 Hints\r\n\r\n"), (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000)],
    ids=["heads", "head"],
)
async def test_a_proxy_that_says_too_much(way: Way, first: bytes, piece: bytes) -> None:
    async with proxy_that_says(first, for_ever=piece) as proxy:
        read = await way("https://site.test/", Asked(proxy=f"http://me:{SECRET}@{proxy}"))
    assert (read.end, type(read.error)) == ("failed", errors.LimitExceeded)


async def test_tls_that_fails_with_a_proxy_names_the_proxy(way: Way, authority: Authority) -> None:
    async with http_proxy(tls=authority.server) as proxy:
        read = await way("https://site.test/", Asked(proxy=proxy.url()))
    assert type(read.error) is errors.ProxyError
    assert proxy.url() in str(read.error)


async def test_nothing_that_is_secret_is_shown() -> None:
    seen = []
    async with serve(_refuse) as server:
        url = server.url.replace("://", f"://me:{SECRET}@") + f"/x?key={SECRET}"
        headers = {"Authorization": f"Bearer {SECRET}", "X-Key": SECRET}
        request = Request(url, json={"prompt": SECRET}, headers=headers)
        async with Fleet(keep="all") as fleet:
            (ticket,) = fleet.submit_many([request])
            ends = await ended_of(fleet)
            seen = [
                repr(each) for each in (request, fleet, ticket, *ends, *(e.error for e in ends))
            ]
            seen += [str(each.error) for each in ends]
    assert SECRET not in " ".join(seen)
    assert isinstance(ends[0].error, errors.MissingAuthError)


async def _refuse(exchange: Exchange) -> None:
    """As a server that repeats a key in its message."""
    body = json.dumps({"error": {"message": f"http://me:{SECRET}@else.test/ is wrong"}}).encode()
    await exchange.send_reply(body, "Content-Type: application/json", status="401 No")


async def test_what_is_no_value_is_not_copied() -> None:
    async with Fleet() as fleet:
        for copying in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                copying(fleet)


async def test_bodies_as_they_came() -> None:
    """What a batch keeps: the bytes, of whatever status, and the head."""
    parts = {
        "/ok": (b'{"choices":[]}\n', "200 OK", "x-request-id: 7"),
        "/no": (b'{"error":{"message":"slow"}}', "429 Slow", "Retry-After: 9"),
        "/moved": (b"", "302 F", "Location: https://else.test/b?key=private"),
    }

    async def answer(exchange: Exchange) -> None:
        body, status, header = parts[exchange.target]
        await exchange.send_reply(body, header, "Content-Type: application/json", status=status)

    async with serve(answer) as server, Fleet(keep="body") as fleet:
        for tag, path in enumerate(parts):
            fleet.submit(f"{server.url}{path}", data=b"{}", tag=tag)
        rows = 0
        ends = {}
        async for batch in fleet.batches():
            rows += len(batch)
            ends.update({each.tag: each for each in batch.ended})
    assert rows == 0
    assert (ends[0].end, ends[0].status, ends[0].error) == ("done", 200, None)
    assert (ends[0].body, ends[0].headers["x-request-id"]) == (b'{"choices":[]}\n', "7")
    assert (ends[1].end, ends[1].status, ends[1].error) == ("done", 429, None)
    assert (ends[1].body, ends[1].headers["retry-after"]) == (parts["/no"][0], "9")
    assert (ends[2].end, type(ends[2].error)) == ("failed", errors.RedirectError)


async def test_many_posts_of_one_task_group() -> None:
    """Submits by many tasks while one takes, as a batch does."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(exchange.body, "Content-Type: application/json")

    seen: dict[int, bytes | None] = {}
    async with serve(answer) as server, Fleet(keep="body") as fleet:

        async def submit(number: int) -> None:
            await asyncio.sleep(0)
            fleet.submit(server.url, data=b"%d" % number, tag=number)

        async with asyncio.TaskGroup() as group:
            for number in range(500):
                group.create_task(submit(number))
        async for batch in fleet.batches():
            seen.update({each.tag: each.body for each in batch.ended})
    assert seen == {number: b"%d" % number for number in range(500)}


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..invalid", f"{'a' * 64}.invalid"])
async def test_a_url_of_a_site_that_is_not_there(way: Way, host: str) -> None:
    read = await way(f"http://{host}/x?q=private")
    assert type(read.error) is errors.ConnectError
    assert "its name was not found" in str(read.error)
    assert "private" not in str(read.error)
