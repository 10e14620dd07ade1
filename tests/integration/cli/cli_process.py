"""The command line as its users have it: what comes in, what goes out, its exit code.

`run` calls it in this process, with streams like those of a process of its own. What is about
processes (signals, pipes, when something is written, how the interpreter leaves) starts one:
`start`, `finish` and `run_process`.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO
from unittest.mock import patch

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tailrace._cli import main

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


async def run_process(
    *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] = _NOTHING
) -> Ended:
    """Run the command line to its end in a process of its own."""
    return await finish(await start(*arguments, environment=environment), stdin)


async def run(*arguments: str, stdin: bytes = b"", **environment: str) -> Ended:
    """Run the command line to its end in this process, with these variables of the environment."""
    return await run_in(environment, *arguments, stdin=stdin)


async def run_in(environment: Mapping[str, str], *arguments: str, stdin: bytes = b"") -> Ended:
    """Run it in that environment: in a thread, for it has a loop of its own.

    What the interpreter reads from the environment as it starts (``PYTHON…``) takes a process.
    """
    assert not any(name.startswith("PYTHON") for name in environment)
    return await asyncio.to_thread(_run_here, arguments, stdin, environment)


async def run_on_terminal(*arguments: str, **environment: str) -> str:
    """Run it in this process with stdout and stderr on a terminal.

    Returns what the terminal got, lines ending in LF.
    """
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        got = asyncio.create_task(asyncio.to_thread(_all_of, terminal))
        with os.fdopen(theirs, "wb", buffering=0) as output:
            await asyncio.to_thread(_run_writing, arguments, b"", environment, output, output)
        return (await got).decode().replace("\r\n", "\n")


def _all_of(terminal: BinaryIO) -> bytes:
    got = b""
    try:
        while data := terminal.read(65_536):
            got += data
    except OSError:  # how Linux tells that the other end is closed
        pass
    return got


def _run_here(arguments: tuple[str, ...], stdin: bytes, environment: Mapping[str, str]) -> Ended:
    with TemporaryFile() as output, TemporaryFile() as errors:
        code = _run_writing(arguments, stdin, environment, output, errors)
        return ended(code, _content(output), _content(errors))


def _run_writing(
    arguments: tuple[str, ...],
    stdin: bytes,
    environment: Mapping[str, str],
    output: BinaryIO,
    errors: BinaryIO,
) -> int:
    with ExitStack() as stack:
        given = stack.enter_context(io.TextIOWrapper(_pipe_of(stdin), encoding="utf-8"))
        stdout = stack.enter_context(_writer(output, "strict"))
        stderr = stack.enter_context(_writer(errors, "backslashreplace", line_buffering=True))
        for name, stream in (("stdin", given), ("stdout", stdout), ("stderr", stderr)):
            stack.enter_context(patch.object(sys, name, stream))
        stack.enter_context(patch.dict(os.environ, {**_ENVIRONMENT, **environment}, clear=True))
        return _exit_code(list(arguments))


def _exit_code(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    assert isinstance(leaving.value.code, int)
    return leaving.value.code


def _pipe_of(data: bytes) -> BinaryIO:
    """The reading end of a pipe with all of it in it, and closed behind it."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb", buffering=0) as pipe:
        os.set_blocking(writer, False)
        assert pipe.write(data) == len(data), "a pipe does not hold that much"
    return os.fdopen(reader, "rb")


def _writer(file: BinaryIO, errors: str, *, line_buffering: bool = False) -> io.TextIOWrapper:
    """A stream to the file, by a descriptor of its own: the command line may turn it elsewhere."""
    return io.TextIOWrapper(
        os.fdopen(os.dup(file.fileno()), "wb"),
        encoding="utf-8",
        errors=errors,
        line_buffering=line_buffering,
    )


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


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
