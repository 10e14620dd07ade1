"""The command line as its users start it: a process of its own, its pipes, its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

# What a user's own settings would change.
_LEFT_OUT = (
    "COLUMNS",
    "GPROCHAT_SECRET_KEY",
    "PYTHONIOENCODING",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
    "TAILRACE_CONFIG",
)
_NOTHING: Mapping[str, str] = {}
_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name not in _LEFT_OUT},
    "XDG_STATE_HOME": f"{os.devnull}/none",  # where nothing can be kept
}


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Whatever happened, stderr shows no traceback and no complaint of the interpreter's.
    """

    code: int
    stdout: str
    stderr: str


def ended(code: int | None, stdout: bytes, stderr: bytes) -> Ended:
    assert code is not None
    complaints = stderr.decode()
    for word in ("Traceback", "Exception ignored", "Warning", "Unclosed", "never retrieved"):
        assert word not in complaints
    return Ended(code, stdout.decode("utf-8", "replace"), complaints)


async def start(
    *arguments: str,
    stdout: int = PIPE,
    stderr: int = PIPE,
    environment: Mapping[str, str] = _NOTHING,
) -> Process:
    """Start the command line; all three streams are pipes unless `stdout` or `stderr` is a file's
    descriptor.
    """
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tailrace",
        *arguments,
        stdin=PIPE,
        stdout=stdout,
        stderr=stderr,
        env={**_ENVIRONMENT, **environment},
    )


async def finish(process: Process, stdin: bytes = b"") -> Ended:
    """Give the rest of stdin, and wait for the end."""
    stdout, stderr = await process.communicate(stdin)
    return ended(process.returncode, stdout or b"", stderr or b"")


async def run(*arguments: str, stdin: bytes = b"", **environment: str) -> Ended:
    """Run the command line to its end."""
    return await finish(await start(*arguments, environment=environment), stdin)


async def run_without_reader(*arguments: str) -> Ended:
    """Run it with a stdout that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return await finish(await start(*arguments, stdout=writer))
    finally:
        os.close(writer)


async def read_until(process: Process, text: str) -> str:
    """Read stdout up to `text`; EOFError if it ends before."""
    assert process.stdout is not None
    found = b""
    while text.encode() not in found:
        chunk = await process.stdout.read(4096)
        if not chunk:
            raise EOFError(found)
        found += chunk
    return found.decode()


async def interrupt(process: Process) -> Ended:
    """Press Ctrl-C, and wait for the end."""
    process.send_signal(signal.SIGINT)
    return await finish(process)


class HeldSite:
    """A deployment of GeminiProChat that says its first words at once, and the rest when it is let
    go.
    """

    def __init__(self) -> None:
        self.url = ""
        self.let_go = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        await response.write(b"first words")
        await self.let_go.wait()
        await response.write(b" and the rest")
        await response.write_eof()
        return response


@asynccontextmanager
async def held_site() -> AsyncIterator[HeldSite]:
    site = HeldSite()
    app = web.Application()
    app.router.add_post("/api/generate", site.answer)
    async with TestServer(app) as server:
        site.url = str(server.make_url("")).rstrip("/")
        yield site
