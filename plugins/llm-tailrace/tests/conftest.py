"""The replica in a thread of its own, and a tailrace.toml with a site of each API and of pages."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mill import KEY, SITES

from tailrace._streams.loop_thread import LoopThread
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

strangers: list[object] = []
"""Addresses beyond loopback that somebody wanted to reach."""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = arguments[0]
    else:
        return
    host = address[0] if isinstance(address, tuple) else address
    own = ("127.0.0.1", "::1", "localhost")
    if isinstance(host, str) and host not in own and not host.startswith("/"):
        strangers.append(address)
        raise PermissionError(f"a test asks nobody but loopback, not {host}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def only_loopback() -> Iterator[None]:
    strangers.clear()
    yield
    assert strangers == []


@pytest.fixture(scope="session")
def replica() -> Iterator[Replica]:
    with LoopThread() as loop:
        sites = Replica(api_key=KEY, shutdown_timeout=0.1)
        loop.run(sites.__aenter__())
        yield sites
        loop.run(sites.__aexit__(None, None, None))


@pytest.fixture
def home(replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the file of sites, which is `llm`'s own folder, too."""
    urls = {name: replica.url(name) for name in ("openai", "anthropic", "gemini", "ollama")}
    pages = {"shop": ("ai-power", "stream"), "kit": ("aipkit", "inline")}
    urls |= {name: replica.page(*page) for name, page in pages.items()}
    file = tmp_path / "tailrace.toml"
    file.write_text(SITES.format(**urls, gem=replica.url("geminiprochat")), "utf-8")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TAILRACE_CONFIG", str(file))
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    monkeypatch.setenv("MILL_KEY", KEY)
    monkeypatch.delenv("LLM_RAISE_ERRORS", raising=False)
    return tmp_path


@pytest.fixture
def command(home: Path) -> Callable[..., Any]:
    """The command `llm` in a process of its own; returns its code, its output and its errors."""

    async def run(
        *arguments: str, typed: str = "", **variables: str
    ) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llm", *arguments),
            cwd=home,
            stdin=asyncio.subprocess.PIPE if typed else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(home), **variables},
        )
        output, errors = await process.communicate(typed.encode() or None)
        return process.returncode, output.decode(), errors.decode()

    return run
