"""What the transport's tests share: both transports, an authority they trust, and a check that
nothing is left.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from loopback import Authority, open_sockets

from tailrace.transport import Transport, make_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


_OF_SERVERS = {
    "Error on transport creation for incoming connection"
}  # a client that did not like its certificate


class Make(Protocol):
    def __call__(self, *, trusting: bool = True, trust_env: bool = False) -> Transport: ...


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=["aiohttp", "impersonate"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(kind: str, authority: Authority) -> Make:
    """Make transports, of each kind in turn."""

    def made(*, trusting: bool = True, trust_env: bool = False) -> Transport:
        if kind == "aiohttp":
            return make_transport(
                "aiohttp", tls=authority.client if trusting else None, trust_env=trust_env
            )
        return make_transport(
            "impersonate", ca_file=authority.file if trusting else None, trust_env=trust_env
        )

    return made


@pytest.fixture
async def transport(make: Make) -> AsyncIterator[Transport]:
    async with make() as made:
        yield made


@pytest.fixture(autouse=True)
async def _nothing_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """No test leaves a socket or a task, or a complaint of one."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_debug(True)  # aiohttp complains of replies left open only then
    # Each future then notes who made it, and of 25 callers that takes most of a test's time.
    monkeypatch.setattr(sys, "tracebacklimit", 1, raising=False)
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    sockets = open_sockets()
    yield
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    assert [complaint for complaint in complaints if complaint["message"] not in _OF_SERVERS] == []
    assert open_sockets() <= sockets
