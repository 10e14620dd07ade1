"""However a reply, session or transport is left, its sockets are closed: at once where one can
wait, soon otherwise.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from curl_cffi import CurlOpt
from loopback import HOST, Exchange, hang, http_proxy, open_sockets, serve, socks_proxy

from tailrace import errors
from tailrace.transport import ImpersonateTransport, Timeouts, make_transport, read_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from curl_cffi import Curl
    from loopback import Authority

    from conftest import Make
    from tailrace.transport import Response, Session, Transport

REPLIES = 200


async def _stream(exchange: Exchange) -> None:
    await exchange.send_forever()


async def _turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _until(condition: Callable[[], bool]) -> None:
    """Wait until the other side of loopback has noticed."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is the operating system's
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("is_tls", [False, True])
async def test_closing_a_reply_closes_its_socket_before_it_returns(
    transport: Transport,
    authority: Authority,
    *,
    is_tls: bool,
) -> None:
    async with (
        serve(_stream, authority.server if is_tls else None) as server,
        transport.session() as session,
    ):
        for closes_session in (False, True):
            response = await session.get(server.url)
            assert await response.read()
            with_it = open_sockets()
            await (session if closes_session else response).aclose()
            assert open_sockets() < with_it
            await response.aclose()
            await _until(lambda: server.connections == 0)


async def test_two_hundred_replies_left_early_leave_nothing(make: Make) -> None:
    async with serve(_stream) as server:
        before = open_sockets()
        async with make() as transport:
            for number in range(REPLIES):
                async with transport.session() as session:
                    response = await session.post(server.url, body=b"{}")
                    await response.read()
                    if number % 2:
                        await response.aclose()
        await _until(lambda: server.connections == 0)
        assert server.accepted == REPLIES
        assert open_sockets() == before


async def test_replies_side_by_side(transport: Transport) -> None:
    async with serve(_stream) as server, transport.session() as session:
        before = open_sockets()
        responses = await asyncio.gather(*(session.get(server.url) for _ in range(REPLIES)))
        assert all(await asyncio.gather(*(response.read() for response in responses)))
        await asyncio.gather(*(response.aclose() for response in responses))
        await _until(lambda: open_sockets() - before <= 2)  # what the transport keeps for itself


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_dropped_reply_closes_its_socket(
    transport: Transport, authority: Authority, *, is_tls: bool
) -> None:
    async with (
        serve(_stream, authority.server if is_tls else None) as server,
        transport.session() as session,
    ):
        for is_in_cycle in (False, True):
            response = await session.get(server.url)
            await response.read()
            with_it = open_sockets()
            if is_in_cycle:
                cycle: list[object] = [response]
                cycle.append(cycle)
                del cycle
            del response
            gc.collect()
            await _turns()
            assert open_sockets() < with_it
            await _until(lambda: server.connections == 0)


async def test_everything_dropped_at_once(make: Make) -> None:
    async with serve(_stream) as server:
        before = open_sockets()
        transport = make()
        session = transport.session()
        response = await session.get(server.url)
        await response.read()
        del session, transport
        assert await response.read()
        del response
        gc.collect()
        await _until(lambda: server.connections == 0)
        await _turns()
        assert open_sockets() == before


async def test_a_reply_dropped_in_another_thread(transport: Transport) -> None:
    async with serve(_stream) as server, transport.session() as session:
        holder = [await session.get(server.url)]
        thread = threading.Thread(target=holder.clear)
        thread.start()
        await asyncio.to_thread(thread.join)
        await _until(lambda: server.connections == 0)


@pytest.mark.parametrize("what", ["response", "session", "transport"])
async def test_abort_does_not_wait(make: Make, what: str) -> None:
    async with serve(_stream) as server:
        before = open_sockets()
        transport = make()
        session = transport.session()
        response = await session.get(server.url)
        await response.read()
        leaves: dict[str, Response | Session | Transport] = {
            "response": response,
            "session": session,
            "transport": transport,
        }
        leaves[what].abort()
        await _turns()
        with pytest.raises(errors.ReplyBrokenError):
            await read_all(response, max_bytes=2**20)
        await _until(lambda: server.connections == 0)
        await transport.aclose()
        await transport.aclose()
        transport.abort()
        await _turns()
        assert open_sockets() == before


async def _cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("is_tls", [False, True])
async def test_cancelling_before_the_first_byte(
    transport: Transport, authority: Authority, *, is_tls: bool
) -> None:
    async with (
        serve(hang, authority.server if is_tls else None) as server,
        transport.session() as session,
    ):
        for body in (None, b"x"):
            server.got_request.clear()
            request = (
                session.get(server.url) if body is None else session.post(server.url, body=body)
            )
            task: asyncio.Task[object] = asyncio.create_task(request)
            await server.got_request.wait()
            with_it = open_sockets()
            await _cancelled(task)
            assert open_sockets() < with_it
            await _until(lambda: server.connections == 0)


async def test_cancelling_a_read(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwhat")
        await go_on.wait()
        await exchange.send(b" came")

    go_on = asyncio.Event()
    async with serve(answer) as server, transport.session() as session:
        response = await session.get(server.url)
        assert await response.read() == b"what"
        task: asyncio.Task[object] = asyncio.create_task(response.read())
        await _turns()
        await _cancelled(task)
        go_on.set()  # a cancelled read loses nothing
        assert await read_all(response, max_bytes=9) == b" came"


@pytest.mark.parametrize("stage", ["tls", "http proxy", "https proxy", "socks"])
async def test_cancelling_while_connecting(
    transport: Transport, authority: Authority, stage: str
) -> None:
    accepted = asyncio.Event()
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        while await reader.read(65536):
            pass
        writer.transport.abort()
        left.set()

    server = await asyncio.start_server(
        silent, HOST, 0, ssl=authority.server if stage == "https proxy" else None
    )
    where = f"{HOST}:{server.sockets[0].getsockname()[1]}"
    proxy = {"tls": None, "http proxy": f"http://{where}", "https proxy": f"https://{where}"}.get(
        stage, f"socks5://{where}"
    )
    async with server, transport.session(proxy=proxy) as session:
        before = open_sockets()
        task: asyncio.Task[object] = asyncio.create_task(session.get(f"https://{where}/"))
        await accepted.wait()
        await _turns(20)
        await _cancelled(task)
        async with asyncio.timeout(5):
            await left.wait()
        await _turns()
        assert open_sockets() <= before + 1  # curl keeps a pair of its own


class _SilentNameServer(AbstractResolver):
    """Asks a name server of the test's own over UDP, which never answers."""

    def __init__(self, where: tuple[str, int]) -> None:
        self.asked = asyncio.Event()
        self._where = where

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.setblocking(False)  # noqa: FBT003 - takes no keyword
            await loop.sock_sendto(asking, host.encode(), self._where)
            self.asked.set()
            answer = await loop.sock_recv(asking, 512)
        raise OSError(f"{host}:{port} ({family}) was answered: {answer!r}")

    async def close(self) -> None: ...


async def test_cancelling_a_look_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
        name_server.bind((HOST, 0))
        resolver = _SilentNameServer(name_server.getsockname())
        before = open_sockets()
        async with (
            make_transport("aiohttp", resolver=resolver) as transport,
            transport.session() as session,
        ):
            task: asyncio.Task[object] = asyncio.create_task(session.get("http://site.test/"))
            await resolver.asked.wait()
            assert open_sockets() > before
            await _cancelled(task)
        assert open_sockets() == before


async def test_cancelling_a_look_up_over_curl(authority: Authority) -> None:
    class AsksOverHttps(ImpersonateTransport):
        """Looks names up at a server of the test's own (RFC 8484), which never answers."""

        def handle(self) -> Curl:
            handle = super().handle()
            handle.setopt(CurlOpt.DOH_URL, f"{server.url}/dns-query")
            return handle

    async with serve(hang, authority.server) as server:
        before = open_sockets()
        async with (
            AsksOverHttps(ca_file=authority.file) as transport,
            transport.session() as session,
        ):
            task: asyncio.Task[object] = asyncio.create_task(session.get("http://site.test/"))
            await server.got_request.wait()
            with_it = open_sockets()
            await _cancelled(task)
            assert open_sockets() < with_it
        await _until(lambda: server.connections == 0)
        assert server.requests[0].target.startswith("/dns-query")
        assert open_sockets() == before


async def test_cancelling_in_any_turn_of_a_look_up_in_a_thread(transport: Transport) -> None:
    """Of ``localhost``, which needs no name server."""
    before = open_sockets()
    async with serve(hang) as server, transport.session() as session:
        for turns in range(16):
            task: asyncio.Task[object] = asyncio.create_task(
                session.get(f"http://localhost:{server.url.rpartition(':')[2]}/")
            )
            await _turns(turns)
            await _cancelled(task)
        await _until(lambda: server.connections == 0)
    await transport.aclose()
    await _until(lambda: open_sockets() <= before)


async def test_a_connection_serves_again_when_its_reply_was_read_to_the_end(
    transport: Transport,
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(b"all of it")

    async with (
        serve(answer) as server,
        transport.session() as session,
        transport.session() as other,
    ):
        for each in (session, other, session):
            async with await each.get(server.url) as response:
                assert await read_all(response, max_bytes=9) == b"all of it"
        assert (server.accepted, len(server.requests)) == (1, 3)


async def test_what_is_closed_says_so(make: Make) -> None:
    async with serve(_stream) as server:
        transport = make()
        session = transport.session()
        await session.aclose()
        with pytest.raises(errors.InvalidRequestError):
            await session.get(server.url)
        late = transport.session()
        await transport.aclose()
        with pytest.raises(errors.InvalidRequestError):
            transport.session()
        with pytest.raises(errors.InvalidRequestError):
            await late.get(server.url)


async def test_a_transport_belongs_to_one_loop(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_reply(b"")

    async with serve(answer) as server:
        async with transport.session() as session:
            await session.get(server.url)

        async def elsewhere() -> None:
            async with transport.session() as session:
                await session.get(server.url)

        with pytest.raises(errors.InvalidRequestError):
            await asyncio.to_thread(lambda: asyncio.run(elsewhere()))


async def test_a_failed_connection_leaves_nothing(make: Make) -> None:
    before = open_sockets()
    async with (
        http_proxy("me:other") as proxy,
        socks_proxy(("me", "other")) as socks,
        make() as transport,
    ):
        for through in (proxy.url("me:wrong@"), socks.url("me:wrong@"), None):
            async with transport.session(proxy=through, timeouts=Timeouts(connect=5)) as session:
                with pytest.raises(errors.NetworkError):
                    await session.get("https://127.0.0.1:1/")
    await _until(lambda: open_sockets() <= before)


_DROPS_ALL = """
import asyncio, sys
from tailrace.transport import make_transport

async def main():
    transport = make_transport(sys.argv[1])
    response = await transport.session().get(sys.argv[2])
    print(await response.read())

asyncio.run(main())
"""


async def test_a_program_that_ends_without_closing_is_quiet(kind: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwhat")
        await exchange.wait_for_leaving()

    async with serve(answer) as server:
        command = [sys.executable, "-W", "always", "-c", _DROPS_ALL, kind, server.url]
        run = partial(
            subprocess.run, command, capture_output=True, text=True, timeout=30, check=True
        )
        done = await asyncio.to_thread(run)
    assert (done.stdout, done.stderr) == ("b'what'\n", "")


async def test_importing_the_package_imports_no_http_library() -> None:
    code = (
        "import sys, tailrace.transport; "
        "print(sorted({'aiohttp', 'curl_cffi', 'brotli'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
