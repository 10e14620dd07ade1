"""A run of the command line on a terminal, and what a reader of the terminal's screen sees."""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import re
import signal
import struct
import sys
import termios
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pyte
from cli_process import _ENVIRONMENT

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable

_PROMPT = re.compile(r"^\S+>", re.MULTILINE)
CTRL_C, CTRL_D, ENTER, ALT_ENTER = "\x03", "\x04", "\r", "\x1b\r"


class _Screen(pyte.HistoryScreen):
    """A screen that answers what it is asked, such as where its cursor is."""

    def __init__(self, columns: int, lines: int, answer: Callable[[str], None]) -> None:
        super().__init__(columns, lines, history=100_000)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data)


class SeenTerminal:
    """A terminal with a process on it.

    `got`: every byte that came; `text`: all lines, those that have scrolled away as well.
    """

    def __init__(self, process: Process, descriptor: int, columns: int, lines: int) -> None:
        self.process = process
        self.got = b""
        self._descriptor = descriptor
        self._screen = _Screen(columns, lines, self.type)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._changed = asyncio.Event()
        self._is_over = False
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._descriptor, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Change the terminal's size, as its window does."""
        _set_size(self._descriptor, columns, lines)
        self._screen.resize(lines, columns)

    async def until(self, seen: str | Callable[[str], bool]) -> str:
        """Wait for a text to be seen, or for a test of all text to hold; return all text."""
        while not (seen in self.text if isinstance(seen, str) else seen(self.text)):
            if self._is_over:
                raise EOFError(self.text)
            self._changed.clear()
            await self._changed.wait()
        return self.text

    async def prompted(self, times: int = 0) -> str:
        """Wait for an empty prompt at the end of all text; return that.

        `times`: how many prompts there are then at least, 0 for any number.
        """
        return await self.until(
            lambda text: text.endswith(">") and len(_PROMPT.findall(text)) >= times
        )

    async def end(self) -> int:
        """Wait for the process to end, and return its exit code."""
        code = await self.process.wait()
        while not self._is_over:
            self._changed.clear()
            await self._changed.wait()
        return code

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._descriptor)[3] & termios.ECHO)

    @property
    def lines(self) -> list[str]:
        columns = range(self._screen.columns)
        above = ["".join(row[at].data for at in columns) for row in self._screen.history.top]
        return [line.rstrip() for line in [*above, *self._screen.display]]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip()

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 65_536)
        except OSError:  # how Linux tells that the other end is closed
            data = b""
        self.got += data
        # pyte loses what stands behind a character that takes no column.
        self._stream.feed(re.sub("[\u200d\ufe0f\u2028\u2029]", "", self._decoder.decode(data)))
        if not data:
            self._is_over = True
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._changed.set()


@asynccontextmanager
async def on_terminal(
    *arguments: str,
    columns: int = 80,
    lines: int = 24,
    by: tuple[str, ...] = (),
    **environment: str,
) -> AsyncIterator[SeenTerminal]:
    """Start the command line with all three streams on a terminal that it controls.

    `by`: a program, and its arguments, that starts it.
    """
    ours, theirs = os.openpty()
    _set_size(ours, columns, lines)
    left = {name: each for name, each in _ENVIRONMENT.items() if name not in ("LINES", "NO_COLOR")}
    process = await asyncio.create_subprocess_exec(
        *by,
        sys.executable,
        "-m",
        "tailrace",
        *arguments,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**left, "TERM": "xterm-256color", **environment},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    terminal = SeenTerminal(process, ours, columns, lines)
    try:
        yield terminal
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)


def _set_size(descriptor: int, columns: int, lines: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
