"""What is sent: headers, cookies, bodies, redirects; and what each failure before a response is
called.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from curl_cffi._asyncio_selector import AddThreadSelectorEventLoop
from loopback import HOST, hang, http_proxy, open_sockets, serve, socks_proxy

from tailrace import errors
from tailrace.transport import Limits, Timeouts, make_transport, read_all

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from loopback import Authority, Exchange

    from conftest import Make
    from tailrace.transport import Transport

SECRETS = ("s3cret", "hush", "q=private", "crumb")


def assert_tells_nothing(error: BaseException) -> None:
    """No secret in any form in which an error is shown, and nothing foreign behind it."""
    shown = "".join([str(error), repr(error), *traceback.format_exception(error, limit=100)])
    assert not [secret for secret in SECRETS if secret in shown]
    assert error.__cause__ is None
    assert error.__context__ is None


async def _echo(exchange: Exchange) -> None:
    await exchange.send_reply(exchange.body)


async def test_headers_of_request_session_and_default(kind: str, transport: Transport) -> None:
    async with (
        serve(_echo) as server,
        transport.session(
            headers={"X-A": "session", "x-b": "session", "user-agent": "mine"}
        ) as session,
    ):
        await session.get(server.url, headers={"X-B": "request", "X-Empty": "", "X-Umlaut": "ü"})
        sent = server.requests[0].headers
    assert (sent["x-a"], sent["x-b"], sent["x-empty"]) == ("session", "request", "")
    assert sent["x-umlaut"].encode("latin-1").decode() == "ü"
    assert sent["user-agent"] == "mine"
    assert sent["accept-encoding"] == "gzip, deflate, br, zstd"
    assert sent["accept-language"].startswith("en-US")
    assert "upgrade" not in sent
    assert kind in {"aiohttp", "impersonate"}


async def test_who_the_default_headers_say_it_is(kind: str, transport: Transport) -> None:
    async with serve(_echo) as server, transport.session() as session:
        await session.get(server.url)
        agent = server.requests[0].headers["user-agent"]
    assert ("Tailrace" in agent) is (kind == "aiohttp")
    assert ("Chrome/" in agent) is (kind == "impersonate")


@pytest.mark.parametrize(
    "body",
    [b"", b"plain", bytes(range(256)), b"x" * 3_000_000],
    ids=["none", "text", "any", "long"],
)
async def test_a_post_is_sent_as_it_is(transport: Transport, body: bytes) -> None:
    async with serve(_echo) as server, transport.session() as session:
        for headers in ({}, {"Content-Type": "application/json"}):
            response = await session.post(server.url, body=body, headers=headers)
            assert await read_all(response, max_bytes=2**22) == body
            sent = server.requests[-1]
            assert (sent.method, sent.headers["content-length"]) == ("POST", str(len(body)))
            assert sent.headers.get("content-type") == headers.get("Content-Type")


async def test_posts_with_many_headers_share_a_connection_and_are_kept_apart(
    transport: Transport,
) -> None:
    async with serve(_echo) as server, transport.session() as session:
        for number in [*range(70), 0, 69]:  # more than are kept prepared
            headers = {"X-Number": f"{number}", "Content-Type": "application/octet-stream"}
            async with await session.post(server.url, body=b"x", headers=headers) as response:
                assert await read_all(response, max_bytes=10) == b"x"
            assert server.requests[-1].headers["x-number"] == f"{number}"
            assert server.requests[-1].headers["content-type"] == "application/octet-stream"
        assert server.accepted == 1


@pytest.mark.parametrize("first", ["post", "get"])
async def test_cookies_of_a_response_go_with_the_next_post(
    transport: Transport, first: str
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(b"", "Set-Cookie: seen=1")

    async with serve(answer) as server, transport.session() as session:
        opened = session.get(server.url) if first == "get" else session.post(server.url, body=b"")
        await read_all(await opened, max_bytes=10)
        await read_all(await session.post(server.url, body=b""), max_bytes=10)
        async with transport.session() as other:
            await read_all(await other.post(server.url, body=b""), max_bytes=10)
        sent = [each.headers.get("cookie") for each in server.requests]
        assert sent == [None, "seen=1", None]


@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_post_that_is_cancelled_closes_its_connection(
    transport: Transport, size: int
) -> None:
    async with serve(hang) as server, transport.session() as session:
        task = asyncio.create_task(session.post(server.url, body=b"x" * size))
        await server.got_request.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.left.wait()
        assert server.connections == 0


async def test_credentials_of_a_url_are_sent_and_not_shown(transport: Transport) -> None:
    async with serve(_echo) as server, transport.session() as session:
        response = await session.get(server.url.replace("//", "//me:s3cret@") + "/x")
        assert response.url == f"{server.url}/x"
        assert server.requests[0].headers["authorization"] == "Basic bWU6czNjcmV0"


@pytest.mark.parametrize("mine", [{"mine": "a%7Cb"}, {}], ids=["some", "none"])
async def test_a_session_keeps_its_own_cookies(transport: Transport, mine: dict[str, str]) -> None:
    async def page(_request: web.Request) -> web.Response:
        response = web.Response(text="page")
        response.set_cookie("visit", "one|two%20three")
        response.set_cookie("given", "by the site", path="/")
        return response

    async def start(_request: web.Request) -> web.Response:
        found = web.HTTPFound("/page")
        found.set_cookie("way", "taken")
        raise found

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(dict(request.cookies))

    app = web.Application()
    app.add_routes([web.get("/start", start), web.get("/page", page), web.post("/say", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    base = f"http://{HOST}:{runner.addresses[0][1]}"
    try:
        async with (
            transport.session(cookies=mine) as session,
            transport.session() as other,
        ):
            page_reply = await session.get(f"{base}/start")
            assert page_reply.url == f"{base}/page"
            await read_all(page_reply, max_bytes=100)
            said = await read_all(await session.post(f"{base}/say", body=b"{}"), max_bytes=1000)
            assert (
                await read_all(await other.post(f"{base}/say", body=b"{}"), max_bytes=1000) == b"{}"
            )
    finally:
        await runner.cleanup()
    assert b'"visit": "one|two%20three"' in said
    assert b'"way": "taken"' in said
    assert (b'"mine": "a%7Cb"' in said) is bool(mine)


REDIRECTS: list[tuple[str, str, str | None]] = [
    # what Location says, and where a GET of http://site.test/a then ends; None: a RedirectError
    ("/b?c=d", "http://site.test/b?c=d", "plain"),
    ("b", "http://site.test/b", "plain"),
    ("//site.test/b", "http://site.test/b", "plain"),
    ("http://SITE.test:80/b#there", "http://site.test/b", "plain"),
    ("http://www.site.test/b", "http://www.site.test/b", "plain"),
    ("https://site.test/b", "https://site.test/b", "tls"),
    ("https://www.site.test/b", "https://www.site.test/b", "tls"),
    ("http://other.test/b", "http://other.test/b", None),
    ("http://sub.site.test/b", "http://sub.site.test/b", None),
    ("http://site.test:81/b", "http://site.test:81/b", None),
    ("https://site.test:81/b", "https://site.test:81/b", None),
    ("http://me:s3cret@other.test/b?q=private", "http://other.test/b", None),
    ("ftp://site.test/b", "", None),
    ("http://[bad/b", "", None),
]


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
@pytest.mark.parametrize(("location", "target", "server"), REDIRECTS[:1])
async def test_each_status_is_followed(
    transport: Transport, status: str, location: str, target: str, server: str
) -> None:
    await _follow(transport, status, location, target, server, None)


@pytest.mark.parametrize(("location", "target", "server"), REDIRECTS)
async def test_where_a_redirect_leads(
    transport: Transport, authority: Authority, location: str, target: str, server: str | None
) -> None:
    await _follow(transport, "302 Found", location, target, server, authority.server)


async def _follow(  # noqa: PLR0917
    transport: Transport,
    status: str,
    location: str,
    target: str,
    arrives: str | None,
    tls: ssl.SSLContext | None,
) -> None:
    async def plain(exchange: Exchange) -> None:
        if exchange.target == "/a":
            await exchange.send_reply(b"go", f"Location: {location}", status=status)
        else:
            await exchange.send_reply(b"plain")

    async def secure(exchange: Exchange) -> None:
        await exchange.send_reply(b"tls")

    async with serve(plain) as here, serve(secure, tls) as there, http_proxy() as proxy:
        proxy.routes = {f"{host}:80": here.port for host in ("site.test", "www.site.test")}
        proxy.routes |= {f"{host}:443": there.port for host in ("site.test", "www.site.test")}
        async with transport.session(proxy=proxy.url()) as session:
            if arrives is None:
                with pytest.raises(errors.RedirectError) as caught:
                    await session.get("http://site.test/a")
                assert caught.value.target == target
                assert_tells_nothing(caught.value)
                return
            response = await session.get("http://site.test/a")
            assert response.url == target
            assert await response.read() == arrives.encode()


async def test_https_is_never_left(transport: Transport, authority: Authority) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(b"go", "Location: http://site.test/b")

    async def redirect(exchange: Exchange) -> None:
        await exchange.send_reply(b"go", "Location: http://site.test/b", status="302 Found")

    async with (
        serve(redirect, authority.server) as server,
        serve(answer) as plain,
        http_proxy() as proxy,
    ):
        proxy.routes = {"site.test:443": server.port, "site.test:80": plain.port}
        async with transport.session(proxy=proxy.url()) as session:
            with pytest.raises(errors.RedirectError):
                await session.get("https://site.test/a")
        assert plain.requests == []


@pytest.mark.parametrize(
    ("count", "most", "is_followed"), [(5, 5, True), (6, 5, False), (1, 0, False), (0, 0, True)]
)
async def test_how_many_redirects(
    transport: Transport, count: int, most: int, *, is_followed: bool
) -> None:
    async def answer(exchange: Exchange) -> None:
        step = int(exchange.target.strip("/"))
        if step == count:
            await exchange.send_reply(b"here")
        else:
            await exchange.send_reply(b"", f"Location: /{step + 1}", status="302 Found")

    async with (
        serve(answer) as server,
        transport.session(limits=Limits(max_redirects=most)) as session,
    ):
        if is_followed:
            assert (await session.get(f"{server.url}/0")).url == f"{server.url}/{count}"
            return
        with pytest.raises(errors.RedirectError) as caught:
            await session.get(f"{server.url}/0")
        assert caught.value.target == f"{server.url}/{most + 1}"


@pytest.mark.parametrize("status", ["300 A", "301 B", "304 C", "307 D", "308 E"])
async def test_a_post_is_never_sent_on(transport: Transport, status: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(b"", "Location: /next?q=private", status=status)

    async with serve(answer) as server, transport.session() as session:
        error = await _fails(session.post(f"{server.url}/say", body=b"hush"), errors.RedirectError)
        assert isinstance(error, errors.RedirectError)
        assert error.target == f"{server.url}/next"
        assert len(server.requests) == 1


@pytest.mark.parametrize("headers", [[], ["Location:"]])
async def test_a_redirect_to_nowhere(transport: Transport, headers: list[str]) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(b"", *headers, status="300 Choose")

    async with serve(answer) as server, transport.session() as session:
        for request in (session.get(server.url), session.post(server.url, body=b"")):
            with pytest.raises(errors.RedirectError):
                await request


async def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def _fails(
    request: Awaitable[object], kind: type[errors.TailraceError]
) -> errors.TailraceError:
    with pytest.raises(kind) as caught:
        await request
    assert type(caught.value) is kind
    assert_tells_nothing(caught.value)
    return caught.value


async def test_a_refused_connection(transport: Transport) -> None:
    url = f"http://me:s3cret@{HOST}:{await _unused_port()}/x?q=private"
    async with transport.session(cookies={"c": "crumb"}) as session:
        error = await _fails(session.get(url), errors.ConnectError)
        assert f"http://{HOST}:" in str(error)


async def test_an_unknown_host(transport: Transport) -> None:
    async with transport.session(cookies={"c": "crumb"}) as session:
        await _fails(session.get("http://no.such.host.invalid/x?q=private"), errors.ConnectError)


async def test_an_untrusted_certificate(make: Make, authority: Authority) -> None:
    async with (
        serve(_echo, authority.server) as server,
        make(trusting=False) as transport,
        transport.session() as session,
    ):
        error = await _fails(session.get(f"{server.url}/x?q=private"), errors.TLSError)
    assert "SSL_CERT_FILE" in str(error)


async def test_a_certificate_of_another_host(transport: Transport, authority: Authority) -> None:
    async with serve(_echo, authority.server) as server, http_proxy() as proxy:
        proxy.routes = {"elsewhere.invalid:443": server.port}
        async with transport.session(proxy=proxy.url()) as session:
            await _fails(session.get("https://elsewhere.invalid/"), errors.TLSError)


async def test_no_tls_where_it_was_asked_for(transport: Transport) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with suppress(ConnectionError):
            await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(plain, HOST, 0)
    url = f"https://{HOST}:{server.sockets[0].getsockname()[1]}/"
    async with server, transport.session() as session:
        await _fails(session.get(url), errors.TLSError)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"\x00\x01\x02\r\n\r\n",
    ],
)
async def test_what_is_no_reply(transport: Transport, answer: bytes) -> None:
    async def talk(exchange: Exchange) -> None:
        await exchange.send(answer)
        exchange.writer.close()

    async with serve(talk) as server, transport.session() as session:
        await _fails(session.get(f"{server.url}/x?q=private"), errors.NetworkError)
        await _fails(session.post(f"{server.url}/x?q=private", body=b"hush"), errors.NetworkError)


async def test_a_reset_before_the_reply(transport: Transport) -> None:
    async def talk(exchange: Exchange) -> None:
        exchange.reset()

    async with serve(talk) as server, transport.session() as session:
        await _fails(session.post(f"{server.url}/x?q=private", body=b"hush"), errors.NetworkError)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://site.test/",
        "site.test/x",
        "/x",
        "",
        "http://",
        "http://[bad/",
        "http://a:99999/",
        "http://a\n.test/",
        "http://a b.test/",
        "http://ü" + "x" * 70 + ".test/",
        "http://site.test:0/",
        "http://site.test/\r\nX: y",
    ],
)
async def test_urls_that_are_refused(transport: Transport, url: str) -> None:
    async with transport.session() as session:
        await _fails(session.get(url), errors.InvalidRequestError)
        await _fails(session.post(url, body=b"hush"), errors.InvalidRequestError)


async def test_headers_and_cookies_that_are_refused(transport: Transport) -> None:
    for headers in (
        {"X": "hush\r\nY: 1"},
        {"X\n": "hush"},
        {"": "hush"},
        {"X": "\ud800hush"},
        {"Host": "hush"},
    ):
        with pytest.raises(errors.InvalidRequestError) as caught:
            transport.session(headers=headers)
        assert_tells_nothing(caught.value)
        async with transport.session() as session:
            await _fails(
                session.get("http://site.test/", headers=headers), errors.InvalidRequestError
            )
    for cookies in ({"a": "hush; b=c"}, {"a b": "hush"}, {"a": "hush\n"}, {"": "hush"}):
        with pytest.raises(errors.InvalidRequestError) as caught:
            transport.session(cookies=cookies)
        assert_tells_nothing(caught.value)


async def test_the_connect_clock(make: Make) -> None:
    # A server that accepts no connection: the queue of this one is full, so further ones wait for
    # ever.
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)  # noqa: FBT003
            filler.connect_ex(listener.getsockname())
        sockets = open_sockets()
        async with (
            make() as transport,
            transport.session(timeouts=Timeouts(connect=0.2, first_byte=5)) as session,
        ):
            error = await _fails(
                session.get(f"http://{HOST}:{listener.getsockname()[1]}/?q=private"),
                errors.TimeoutError,
            )
            assert isinstance(error, errors.TimeoutError)
            assert (error.phase, error.seconds) == ("connect", 0.2)
        assert open_sockets() <= sockets
        for filler in fillers:
            filler.close()


async def test_the_connect_clock_covers_tls(transport: Transport) -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _reader.read()
        writer.close()

    server = await asyncio.start_server(silent, HOST, 0)
    url = f"https://{HOST}:{server.sockets[0].getsockname()[1]}/"
    async with server, transport.session(timeouts=Timeouts(connect=0.2, first_byte=5)) as session:
        error = await _fails(session.get(url), errors.TimeoutError)
    assert isinstance(error, errors.TimeoutError)
    assert error.phase == "connect"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_connect_clock_covers_a_proxys_connect(
    transport: Transport, authority: Authority, scheme: str
) -> None:
    tls = authority.server if scheme == "https" else None
    async with (
        http_proxy(is_silent=True, tls=tls) as proxy,
        transport.session(
            proxy=proxy.url(), timeouts=Timeouts(connect=0.3, first_byte=5)
        ) as session,
    ):
        error = await _fails(session.get("https://site.test/"), errors.TimeoutError)
    assert isinstance(error, errors.TimeoutError)
    assert error.phase == "connect"


@pytest.mark.parametrize("is_tls", [False, True])
async def test_the_first_byte_clock(
    transport: Transport, authority: Authority, *, is_tls: bool
) -> None:
    async with (
        serve(hang, authority.server if is_tls else None) as server,
        transport.session(timeouts=Timeouts(connect=5, first_byte=0.2)) as session,
    ):
        for request in (session.get(server.url), session.post(server.url, body=b"hush")):
            server.left.clear()
            error = await _fails(request, errors.TimeoutError)
            assert isinstance(error, errors.TimeoutError)
            assert (error.phase, error.seconds) == ("first byte", 0.2)
            await server.left.wait()


async def test_the_first_byte_clock_ends_at_the_head(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        await asyncio.sleep(0.4)
        await exchange.send(b"late")

    async with (
        serve(answer) as server,
        transport.session(timeouts=Timeouts(connect=0.2, first_byte=0.2)) as session,
    ):
        assert await (await session.get(server.url)).read() == b"late"


async def test_a_server_that_takes_no_body_runs_into_the_first_byte_clock(
    transport: Transport,
) -> None:
    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await done.wait()
        writer.transport.abort()

    done = asyncio.Event()
    server = await asyncio.start_server(deaf, HOST, 0)
    url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}/"
    async with server, transport.session(timeouts=Timeouts(connect=5, first_byte=0.3)) as session:
        error = await _fails(session.post(url, body=b"x" * 2**25), errors.TimeoutError)
        done.set()
        await asyncio.sleep(0)
    assert isinstance(error, errors.TimeoutError)
    assert error.phase == "first byte"


async def test_a_reply_may_come_before_the_body_is_sent(transport: Transport) -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
        with suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.transport.abort()
        left.set()

    left = asyncio.Event()
    server = await asyncio.start_server(early, HOST, 0)
    url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}/"
    async with server, transport.session(timeouts=Timeouts(connect=5, first_byte=5)) as session:
        response = await session.post(url, body=b"x" * 2**24)
        assert await read_all(response, max_bytes=5) == b"early"
        await transport.aclose()
        await left.wait()


async def test_clocks_that_are_off(transport: Transport) -> None:
    async with (
        serve(_echo) as server,
        transport.session(timeouts=Timeouts(None, None, None, None)) as session,
    ):
        assert await (await session.post(server.url, body=b"hi")).read() == b"hi"


@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
@pytest.mark.parametrize("target_scheme", ["http", "https"])
@pytest.mark.parametrize("credentials", ["", "me:s3cret%40%2F"])
async def test_a_proxy_serves_every_request(
    transport: Transport,
    authority: Authority,
    proxy_scheme: str,
    target_scheme: str,
    credentials: str,
) -> None:
    tls = authority.server if target_scheme == "https" else None
    async with (
        serve(_echo, tls) as server,
        http_proxy(
            "me:s3cret@/" if credentials else None,
            authority.server if proxy_scheme == "https" else None,
        ) as proxy,
    ):
        port = 443 if tls else 80
        proxy.routes = {f"site.test:{port}": server.port}
        async with transport.session(
            proxy=proxy.url(f"{credentials}@" if credentials else "")
        ) as session:
            page = await session.get(f"{target_scheme}://site.test/page")
            assert await page.read() == b""
            await page.aclose()
            response = await session.post(f"{target_scheme}://site.test/say", body=b"hi")
            assert await response.read() == b"hi"
        assert [request.target for request in server.requests] == ["/page", "/say"]
        assert set(proxy.seen) == {f"site.test:{port}"}
        assert not any("proxy" in name for request in server.requests for name in request.headers)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_another_password(transport: Transport, scheme: str) -> None:
    async with (
        http_proxy("me:right") as proxy,
        transport.session(proxy=proxy.url("me:s3cret@")) as session,
    ):
        if scheme == "https":
            error = await _fails(session.get("https://site.test/?q=private"), errors.ProxyError)
            assert f"http://{HOST}:{proxy.port}" in str(error)
        else:
            error = await _fails(session.get("http://site.test/?q=private"), errors.ProxyError)
        assert proxy.refused >= 1
        assert proxy.seen == []


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h", "socks4", "socks4a"])
async def test_a_proxy_that_is_not_there(transport: Transport, scheme: str) -> None:
    proxy = f"{scheme}://me:s3cret@{HOST}:{await _unused_port()}"
    async with transport.session(proxy=proxy) as session:
        for target in (f"http://{HOST}:1/?q=private", f"https://{HOST}:1/"):
            error = await _fails(session.get(target), errors.ProxyError)
            assert f"{scheme}://{HOST}" in str(error)


async def test_a_proxy_whose_name_is_unknown(transport: Transport) -> None:
    async with transport.session(proxy="http://me:s3cret@no.such.host.invalid:1") as session:
        await _fails(session.get("http://site.test/"), errors.ProxyError)


@pytest.mark.parametrize(
    "proxy",
    [
        "ftp://me:s3cret@host:1",
        "host:1",
        "http://",
        "http://me:s3cret@host:99999",
        "http://[s3cret",
    ],
)
async def test_proxies_that_are_refused(transport: Transport, proxy: str) -> None:
    with pytest.raises(errors.ProxyError) as caught:
        transport.session(proxy=proxy)
    assert_tells_nothing(caught.value)


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("credentials", [None, ("me", "s3cret")])
async def test_a_socks_proxy(
    transport: Transport,
    authority: Authority,
    credentials: tuple[str, str] | None,
    is_tls: bool,
) -> None:
    async with (
        serve(_echo, authority.server if is_tls else None) as server,
        socks_proxy(credentials) as proxy,
    ):
        proxy.routes = {"site.test:443" if is_tls else "site.test:80": server.port}
        base = "https://site.test" if is_tls else "http://site.test"
        async with transport.session(
            proxy=proxy.url("me:s3cret@" if credentials else "")
        ) as session:
            assert (await session.get(f"{base}/page")).status == 200
            assert await (await session.post(f"{base}/say", body=b"hi")).read() == b"hi"
        assert set(proxy.seen) == set(proxy.routes)


async def test_a_socks_proxy_that_wants_another_password(transport: Transport) -> None:
    async with (
        socks_proxy(("me", "right")) as proxy,
        transport.session(proxy=proxy.url("me:s3cret@")) as session,
    ):
        await _fails(session.get("http://site.test/?q=private"), errors.ProxyError)
        assert proxy.refused == 1


async def test_an_untrusted_certificate_behind_socks(make: Make, authority: Authority) -> None:
    async with (
        serve(_echo, authority.server) as server,
        socks_proxy() as proxy,
        make(trusting=False) as transport,
    ):
        proxy.routes = {"site.test:443": server.port}
        async with transport.session(proxy=proxy.url()) as session:
            await _fails(session.get("https://site.test/?q=private"), errors.TLSError)


@pytest.mark.parametrize("trust_env", [False, True])
async def test_the_environments_proxy(
    make: Make, monkeypatch: pytest.MonkeyPatch, *, trust_env: bool
) -> None:
    async with (
        serve(_echo) as server,
        http_proxy() as proxy,
        make(trust_env=trust_env) as transport,
    ):
        for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with transport.session() as session:
            await session.get(server.url)
        assert bool(proxy.seen) is trust_env


async def test_a_proxy_is_used_whatever_the_environment_exempts(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    async with serve(_echo) as server, http_proxy() as proxy, make() as transport:
        async with transport.session(proxy=proxy.url()) as session:
            await session.get(server.url)
        assert len(proxy.seen) == 1


@pytest.mark.parametrize(
    ("package", "use", "extra"),
    [
        ("curl_cffi", lambda: make_transport("impersonate"), "tailrace[impersonate]"),
        (
            "aiohttp_socks",
            lambda: make_transport("aiohttp").session(proxy="socks5://host:1"),
            "tailrace[socks]",
        ),
    ],
)
async def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str, use: Callable[[], object], extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(errors.MissingRequirementsError) as caught:
        use()
    assert f'pip install "{extra}"' in str(caught.value)
    assert_tells_nothing(caught.value)


def test_wrong_names_are_refused() -> None:
    with pytest.raises(errors.InvalidRequestError):
        make_transport("carrier pigeon")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidRequestError):
        make_transport("impersonate", impersonate="lynx")


async def test_curl_works_on_a_loop_that_watches_no_sockets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As those of Windows: curl_cffi wraps such a loop, and what it runs on is then not what it
    says it runs on.
    """
    wrapped: list[AddThreadSelectorEventLoop] = []

    def wrap(loop: asyncio.AbstractEventLoop) -> AddThreadSelectorEventLoop:
        wrapped.append(AddThreadSelectorEventLoop(loop))  # type: ignore[abstract]
        return wrapped[-1]

    monkeypatch.setattr("curl_cffi.aio.get_selector", wrap)
    async with (
        serve(_echo) as server,
        make_transport("impersonate") as transport,
        transport.session() as session,
    ):
        for body in (b"once", b"and again"):
            assert await read_all(await session.post(server.url, body=body), max_bytes=100) == body
    (loop,) = wrapped
    loop._selector.close()


@pytest.mark.parametrize("target", ["http://site.test/", "https://site.test/"])
async def test_tls_that_fails_with_a_proxy_names_the_proxy(
    make: Make, authority: Authority, target: str
) -> None:
    async with (
        http_proxy(None, authority.server) as proxy,
        make(trusting=False) as transport,
        transport.session(proxy=proxy.url("me:s3cret@")) as session,
    ):
        error = await _fails(session.get(target), errors.ProxyError)
    assert f"TLS with the proxy https://{HOST}:{proxy.port} failed" in str(error)
    assert "SSL_CERT_FILE" in str(error)


async def test_an_example_of_a_proxy_is_not_taken_for_a_secret(transport: Transport) -> None:
    with pytest.raises(errors.ProxyError) as refused:
        transport.session(proxy="proxy.example:3128/x")
    assert "***" not in str(refused.value)
    with pytest.raises(errors.ProxyError, match="http://host:port, with user:password@ in front"):
        transport.session(proxy="http://")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("consent=yes, all of it", "consent=yes, all of it"),
        ("way=gr\u00fcn", "way=gr\u00fcn"),
        ("place=\u65e5\u672c", "place=\u65e5\u672c"),
        ('said="gr\u00fcn"', 'said="gr\u00fcn"'),
        ("shop[basket]=1", "shop[basket]=1"),
        ("me@here=1", "me@here=1"),
        ('cut="a;b"', 'cut="a'),
    ],
)
async def test_a_cookie_goes_back_as_it_came(written: str, sent: str, transport: Transport) -> None:
    """At once, and in a later session that is given what the first one kept."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(b"", f"Set-Cookie: {written}; Path=/")

    async with serve(answer) as server:
        async with transport.session() as session:
            for _ in range(2):
                await (await session.get(server.url)).aclose()
            kept = session.cookies_for(server.url).values
        async with transport.session(cookies=kept) as session:
            await (await session.get(server.url)).aclose()
        assert kept == dict([sent.split("=")])
        for asked in server.requests[1:]:
            assert asked.headers["cookie"].encode("latin-1").decode() == sent


@pytest.mark.parametrize(
    ("written", "named"),
    [
        (b"a=gr\xfcn", "a"),
        ("f\u00fc=1".encode(), "f\u00fc"),
        (b"alone", "without a name"),
        (b"=x", "without a name"),
        (b"tab=a\tb", "tab"),
        (b"long=" + b"x" * 4096, "long"),
    ],
)
async def test_a_cookie_that_cannot_go_back_is_named(
    written: bytes, named: str, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: %b\r\n\r\n" % written
        )

    async with serve(answer) as server:
        async with transport.session() as session:
            for _ in range(2):
                await (await session.get(server.url)).aclose()
            assert session.cookies_for(server.url).values == {}
        assert "cookie" not in server.requests[-1].headers
        lines = [each.getMessage() for each in caplog.records if each.name == "tailrace"]
        origin = server.url.rstrip("/")
        assert lines == [f"{origin} sets a cookie that cannot be sent back: {named}"]
