"""A reader who does what a page says, from top to bottom, in an empty folder.

Python is typed into one prompt a page; a block that begins with a comment of a file's name alone is
saved as that file; commands go to bash. ``tailrace replica`` and ``tailrace serve`` stay until the
page ends. Three things are other than on the page, and translated in both directions: ports (each
server takes a free one), the pace of the replica, and the origins that stand for a reader's own
site.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, chdir, redirect_stdout
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

from blocks import PYTHON, SHELL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from blocks import Block

REPLICA_PORT = 8800
GATEWAY_PORT = 8780

_READY = "Ctrl-C ends it.\n"
_SERVER = re.compile(r"(?:\w+=\S* )*tailrace (?P<command>replica|serve)\b")
_LOOPBACK = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=port )\d+")
_ANY_URL = re.compile(r"https?://[^\s\"'`)]+")
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
_LONGEST_COMMAND = 30.0  # seconds


class Reader:
    """`origins`: the page's URLs of sites, and where they are here; `ports`: its ports on loopback,
    likewise.
    """

    def __init__(self, folder: Path, origins: Mapping[str, str], ports: Mapping[str, str]) -> None:
        self._folder = folder
        self._origins = origins
        self._ports = dict(ports)
        self._answering = set(ports.values())
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._environment = _environment(folder)
        self._stack = ExitStack()
        self._prompt = asyncio.Runner()

    def __enter__(self) -> Self:
        self._stack.enter_context(chdir(self._folder))
        self._stack.enter_context(patch.object(sys, "path", [str(self._folder), *sys.path]))
        self._stack.callback(self._forget_modules)
        self._stack.enter_context(patch.dict(os.environ, self._environment, clear=True))
        self._stack.enter_context(self._prompt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._names.clear()
        self._stack.close()

    def _forget_modules(self) -> None:
        """Leave no file of the page's imported: the next page may have another of that name."""
        of_the_page = [
            name
            for name, module in sys.modules.items()
            if (getattr(module, "__file__", None) or "").startswith(str(self._folder))
        ]
        for name in of_the_page:
            del sys.modules[name]

    def follow(self, blocks: Iterable[Block]) -> None:
        """Do what each block says, and compare what it shows with what is seen."""
        printed: str | None = None
        left_out = False  # whether the last block was, whose output is shown next
        for block in blocks:
            was_left_out, left_out = left_out, block.reason is not None
            if left_out or (was_left_out and block.language == "text"):
                printed = None
            elif block.file is not None:
                self._save(block, block.file)
            elif block.language in PYTHON:
                printed = self._python(block)
            elif block.language in SHELL:
                self._shell(block)
            elif block.language == "text":
                assert printed is not None, f"{block.place}: no Python stands before this output"
                self._compare(block.place, block.text, printed)
                printed = None

    def _save(self, block: Block, name: str) -> None:
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        ours = block.language in PYTHON or block.language == "toml"
        file.write_text(self._here(block.place, block.text) if ours else block.text, "utf-8")

    # -- Python ------------------------------------------------------------------------------------

    def _python(self, block: Block) -> str:
        source = "\n" * block.line + self._here(block.place, block.text)
        code = compile(
            source, block.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        printed = io.StringIO()
        with redirect_stdout(printed):
            if code.co_flags & inspect.CO_COROUTINE:
                self._prompt.run(eval(code, self._names))  # noqa: S307 - the documents' own code
            else:
                exec(code, self._names)  # noqa: S102
        return printed.getvalue()

    # -- commands ----------------------------------------------------------------------------------

    def _shell(self, block: Block) -> None:
        for command, shown in _commands(block):
            here = self._here(block.place, command)
            if (server := _SERVER.match(here)) is not None:
                seen = self._start(here, server)
            else:
                code, seen = self._run(here)
                assert shown or code == 0, f"{block.place}: {command!r} ended with {code}:\n{seen}"
            if shown:
                self._compare(f"{block.place}: {command}", shown, seen)

    def _run(self, command: str) -> tuple[int, str]:
        ended = subprocess.run(  # noqa: S603 - the documents' own commands
            ["bash", "-o", "pipefail", "-c", command],  # noqa: S607
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_LONGEST_COMMAND,
            check=False,
        )
        return ended.returncode, ended.stdout.decode()

    def _start(self, command: str, server: re.Match[str]) -> str:
        end = server.end()
        options = " --port 0 --pace 0" if server["command"] == "replica" else " --port 0"
        process = subprocess.Popen(  # noqa: S603
            ["bash", "-c", f"exec env {command[:end]}{options}{command[end:]}"],  # noqa: S607
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._stack.callback(_interrupt, process, command)
        assert process.stdout is not None
        seen = ""
        while not seen.endswith(_READY):
            line = process.stdout.readline().decode()
            assert line, f"{command!r} ended:\n{seen}"
            seen += line
        first = REPLICA_PORT if server["command"] == "replica" else GATEWAY_PORT
        for offset, port in enumerate(dict.fromkeys(_LOOPBACK.findall(seen))):
            self._ports[str(first + offset)] = port
            self._answering.add(port)
        return seen

    # -- here and on the page ----------------------------------------------------------------------

    def _here(self, place: str, text: str) -> str:
        """The text with addresses of this run; one that nobody here answers for is a mistake of the
        page.
        """
        for origin in sorted(self._origins, key=len, reverse=True):
            text = text.replace(origin, self._origins[origin])
        here = _LOOPBACK.sub(lambda found: self._ports.get(found[0], found[0]), text)
        for url in _ANY_URL.findall(here):
            address = re.match(r"https?://127\.0\.0\.1:(\d+)", url)
            assert address is not None, f"{place}: {url} is not of this machine"
            assert address[1] in self._answering, f"{place}: nothing answers at {url}"
        return here

    def _compare(self, place: str, shown: str, seen: str) -> None:
        pages = {here: there for there, here in self._ports.items()}
        told = _LOOPBACK.sub(lambda found: pages.get(found[0], found[0]), seen)
        assert matches(shown, told), f"{place}\n--- shown ---\n{shown}\n--- seen ---\n{told}"


def matches(shown: str, seen: str) -> bool:
    """Whether that is what is shown:

    ``…`` is any text within a line, on a line of its own any lines.
    """
    lines = [_line(line) for line in _trimmed(shown)]
    return (
        re.fullmatch("".join(lines), "".join(f"{_settled(line)}\n" for line in _trimmed(seen)))
        is not None
    )


def _line(line: str) -> str:
    if line == "…":
        return r"(?:[^\n]*\n)*?"
    return r"[^\n]*".join(re.escape(part) for part in _settled(line).split("…")) + r"\n"


def _trimmed(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").split("\n")]


def _settled(line: str) -> str:
    """The line without what differs from run to run: how long a step took, how wide a column is."""
    return re.sub(r" +", " ", re.sub(r" +\d+ ms\b", " 0 ms", line))


def _commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command with the output shown after it; in a block that shows no prompt every line is a
    command.
    """
    if block.language != "console":
        for line in re.split(r"(?<!\\)\n", block.text):
            if line.strip() and not line.startswith("#"):
                yield line, ""
        return
    _, *parts = _COMMAND.split(block.text)
    assert parts, f"{block.place}: a console shows its prompt, $"
    yield from zip(parts[::2], parts[1::2], strict=True)


def _environment(folder: Path) -> dict[str, str]:
    """A new user's: nothing of ours is set; ``tailrace`` and ``python`` are those of this run."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("LANG", "LC_ALL", "PYTHONPATH", "TMPDIR")
    }
    programs = folder / ".bin"
    programs.mkdir()
    for name, arguments in (("python", ""), ("tailrace", " -m tailrace"), ("pytest", " -m pytest")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        program.chmod(0o700)
    path = f"{programs}:{os.environ['PATH']}"
    return {**kept, "PATH": path, "HOME": str(folder), "COLUMNS": "80", "PYTHONUNBUFFERED": "1"}


def _interrupt(process: subprocess.Popen[bytes], command: str) -> None:
    """Press Ctrl-C, which is how it is meant to end."""
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=_LONGEST_COMMAND)
    assert process.returncode == 0, f"{command!r} ended with {process.returncode}:\n{rest.decode()}"
