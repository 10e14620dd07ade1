"""nginx in front of the gateway, configured as ``docs/how-to/nginx.md`` says: text passes as it
comes, over TLS.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
from blocks import ROOT, blocks_of
from gateway_app import (
    RunningGateway,
    asking,
    content,
    events,
    outcomes,
    replicas_sites,
    serving,
    until,
)

from tailrace.gateway import Key
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp.abc import ResolveResult

PAGE = ROOT / "docs" / "how-to" / "nginx.md"
NAME = "chat.example"
KEY = "a-key-for-nginx-0123456789"
NONE_HERE = "there is no nginx here: the how-to's configuration is not tried"


@pytest.fixture
def nginx() -> str:
    """The program's path; without one these tests are skipped, but in CI they fail."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None and os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(f"{NONE_HERE}, which CI must not leave out")
    if found is None:
        pytest.skip(NONE_HERE)
    return found


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[RunningGateway]:
    async with serving(
        replicas_sites(replica), keys=(Key.of("ops", KEY),), allowed_hosts=(NAME,)
    ) as running:
        yield running


@pytest.fixture
async def client(
    nginx: str, gateway: RunningGateway, tmp_path: Path
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that finds nginx under the public name, and trusts its certificate."""
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME)
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "fullchain.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "privkey.pem")
    plain, tls = free_ports(2)
    (tmp_path / "nginx.conf").write_text(configuration(tmp_path, gateway, plain, tls))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    connector = aiohttp.TCPConnector(ssl=trust, resolver=Here(tls))
    async with (
        running(nginx, tmp_path, tls),
        aiohttp.ClientSession(f"https://{NAME}", connector=connector) as session,
    ):
        yield session


class Here(aiohttp.abc.AbstractResolver):
    """Every name is this machine, and every port nginx's."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del port, family
        here = {"hostname": host, "host": "127.0.0.1", "port": self._port}
        return [{**here, "family": socket.AF_INET, "proto": 0, "flags": 0}]  # type: ignore[typeddict-item]

    async def close(self) -> None:
        """Nothing is open."""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def configuration(folder: Path, gateway: RunningGateway, plain: int, tls: int) -> str:
    """The page's, at ports and files of this run, in the least that nginx wants around it."""
    (shown,) = (block.text for block in blocks_of(PAGE) if block.language == "nginx")
    moved = {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl": f"listen 127.0.0.1:{tls} ssl",
        "127.0.0.1:8780": gateway.url.removeprefix("http://"),
        "/etc/letsencrypt/live/chat.example": str(folder),
    }
    for there, here in moved.items():
        assert shown.count(there) >= 1, there
        shown = shown.replace(there, here)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    user = "user root;\n" if os.getuid() == 0 else ""  # who may read this run's folder
    return (
        f"{user}daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{shown}}}\n"
    )


@asynccontextmanager
async def running(nginx: str, folder: Path, port: int) -> AsyncIterator[None]:
    """Nginx, from when it can be reached until it has ended."""
    arguments = (
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        str(folder / "error.log"),
    )
    process = await asyncio.create_subprocess_exec(nginx, *arguments)
    try:
        async with asyncio.timeout(10):
            await reached(process, port, folder)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def reached(process: asyncio.subprocess.Process, port: int, folder: Path) -> None:
    while True:
        assert process.returncode is None, (folder / "error.log").read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)  # it says nowhere else that it listens
        else:
            writer.close()
            return


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}"}


def completion(client: aiohttp.ClientSession, text: str, **more: Any) -> Any:
    return client.post("/v1/chat/completions", json=asking(text, **more), headers=bearer())


async def test_a_stream_passes_as_it_comes(
    client: aiohttp.ClientSession, gateway: RunningGateway, replica: Replica
) -> None:
    async with asyncio.timeout(10), completion(client, "[[stall]]", stream=True) as reply:
        assert reply.status == 200
        read = await reply.content.readuntil(b'"delta":{"content":"')
        assert replica.exchanges.open == 1, (
            "the site has not ended its answer, and its first words are here"
        )
        assert b'"role":"assistant"' in read
        assert reply.connection is not None
        assert reply.connection.transport is not None
        # A mere `close` says goodbye within TLS and keeps the socket until nginx answers, which it
        # does at the end.
        reply.connection.transport.abort()
        await replica.exchanges.settled()
    await until(lambda: outcomes(gateway) == {"left": 1})


async def test_a_whole_answer_and_its_end(client: aiohttp.ClientSession) -> None:
    async with completion(client, "Say hello", stream=True) as reply:
        chunks = await events(reply)
    assert chunks[-1] == "[DONE]"
    assert content(chunks[:-1]).startswith("You asked: “Say hello”")


async def test_a_page_of_ours_may_ask_and_anothers_may_not(client: aiohttp.ClientSession) -> None:
    for origin, status in ((f"https://{NAME}", 200), ("https://elsewhere.example", 403)):
        async with client.get("/v1/models", headers={**bearer(), "Origin": origin}) as reply:
            assert reply.status == status


async def test_a_forwarded_address_lets_nobody_in(client: aiohttp.ClientSession) -> None:
    async with client.get("/v1/models", headers={"X-Forwarded-For": "127.0.0.1"}) as reply:
        assert reply.status == 401
    async with client.get("/metrics", headers=bearer()) as reply:
        assert reply.status == 404
        assert "nginx" in reply.headers["Server"]
