"""An answer on a terminal: as it arrives, with a sign of life while its site is silent."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import click

from tailrace._cli.screen import console, terminal_of
from tailrace._cli.terminal.flow import MarkdownFlow
from tailrace._cli.terminal.line_ends import LineEnds
from tailrace._cli.terminal.live import LiveLines, size_of
from tailrace._cli.terminal.paint import Painter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from rich.console import Console

    from tailrace._streams.closing import TextStream

__all__ = ["AnswerView", "can_draw", "show_answer", "view_of", "without_echo"]

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TICK = 0.1  # seconds between two signs of life
_PATIENCE = 0.5  # seconds of silence before the first
_BETWEEN_DRAWINGS = 0.03  # seconds: the eye needs no more, and the machine has other things to do


class AnswerView(Protocol):
    """View of an answer: its text, and a line that says that none comes at the moment."""

    def add(self, text: str) -> None:
        """Show more text."""
        ...

    def status(self, words: str) -> None:
        """Show a sign of life, or with no words none."""
        ...

    def close(self) -> None:
        """Show what was held back, and leave the cursor at the beginning of a line."""
        ...


def view_of(*, plain: bool) -> AnswerView:
    """Return the view for stdout; `plain`: the text as it is, and no Markdown."""
    if not can_draw():
        return _PlainView(None)
    screen, terminal = console(), terminal_of()
    return _PlainView(terminal) if plain else _MarkdownView(terminal, screen)


def can_draw() -> bool:
    """Tell whether stdout is a terminal whose cursor can be moved."""
    screen = console()
    if not screen.is_terminal or screen.is_dumb_terminal or screen.legacy_windows:
        return False
    # Elsewhere an escape stands for what the encoding lacks, wider than what it stands for.
    return screen.encoding.startswith("utf")


@contextmanager
def without_echo() -> Iterator[None]:
    """Keep what is typed in the meantime off the screen; it is there for who reads it afterwards.

    An echo would stand in the middle of what is drawn, and move it. SIGTERM ends the process as
    ever, and leaves the terminal as it was.
    """
    try:
        termios, posix = import_module("termios"), import_module("posix")
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (ImportError, OSError, ValueError, AttributeError):
        yield
        return
    except termios.error:  # no terminal
        yield
        return

    def set_to(attributes: list[Any]) -> None:
        # In the background a process is stopped that changes its terminal.
        if posix.tcgetpgrp(descriptor) == posix.getpgrp():
            termios.tcsetattr(descriptor, termios.TCSANOW, attributes)

    quiet = [*before]
    quiet[3] &= ~termios.ECHO
    with _restored_by_sigterm(lambda: set_to(before)):
        try:
            set_to(quiet)
            yield
        finally:
            set_to(before)


@contextmanager
def _restored_by_sigterm(restore: Callable[[], object]) -> Iterator[None]:
    def leave() -> None:
        restore()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, leave)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def show_answer(stream: TextStream, view: AnswerView, heard: Callable[[str], object]) -> None:
    """Read a stream to its end, show its text, and call `heard` with it, piece by piece.

    Errors are those of the stream; what came before them is shown.
    """
    sign = _SignOfLife(view)
    deltas = stream.deltas()
    try:
        while batch := await deltas.read():
            text = "".join(delta.text for delta in batch if delta.kind == "text")
            sign.heard(thinking=not text and batch[-1].kind == "reasoning")
            if text:
                heard(text)
                view.add(text)
    finally:
        await sign.stop()
        view.close()


class _SignOfLife:
    """A line that turns, and counts the seconds, while nothing comes."""

    def __init__(self, view: AnswerView) -> None:
        self._view = view
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._word = "waiting"
        self._task = self._loop.create_task(self._turn())

    def heard(self, *, thinking: bool) -> None:
        """Begin to count anew: something came."""
        self._since = self._loop.time()
        self._word = "thinking" if thinking else "waiting for more"
        self._view.status("")

    async def stop(self) -> None:
        """End it."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._view.status("")

    async def _turn(self) -> None:
        turns = 0
        while True:
            await asyncio.sleep(_TICK)
            silent = self._loop.time() - self._since
            if silent >= _PATIENCE:
                frame = _FRAMES[turns % len(_FRAMES)]
                self._view.status(f"{frame} {self._word}, {silent:.0f} s")
                turns += 1


class _PlainView:
    """The text as it is; `terminal`: where a sign of life can be shown, None for nowhere."""

    def __init__(self, terminal: TextIO | None) -> None:
        self._terminal = terminal
        self._line_ends = LineEnds()
        self._last = "\n"
        self._signed = False

    def add(self, text: str) -> None:
        self._show(self._line_ends.feed(text))

    def status(self, words: str) -> None:
        # In the middle of a line there is no place for it: nothing is moved that is the answer's.
        if self._terminal is None or not (self._signed or words) or not self._at_line_start:
            return
        words = words[: size_of(self._terminal)[0] - 1]  # a second line would stay
        self._terminal.write(f"\r\x1b[K{words}" + ("" if words else "\r"))
        self._terminal.flush()
        self._signed = bool(words)

    def close(self) -> None:
        self._show(self._line_ends.close())
        if not self._at_line_start:
            click.echo()

    def _show(self, text: str) -> None:
        if text:
            click.echo(text, nl=False)
            self._last = text

    @property
    def _at_line_start(self) -> bool:
        return self._last.endswith("\n")


class _MarkdownView:
    """The text as Markdown, drawn in place as it arrives."""

    def __init__(self, terminal: TextIO, screen: Console) -> None:
        self._terminal = terminal
        self._screen = screen
        self._size = size_of(terminal)
        self._flow = MarkdownFlow(*self._measures())
        self._lines = LiveLines(self._write)
        self._live: list[str] = []
        self._words = ""
        self._loop = asyncio.get_running_loop()
        self._drawn_at = 0.0
        self._due: asyncio.TimerHandle | None = None

    def add(self, text: str) -> None:
        self._flow.feed(text)
        if self._due is None:
            wait = self._drawn_at + _BETWEEN_DRAWINGS - self._loop.time()
            if wait <= 0:
                self._draw()
            else:
                self._due = self._loop.call_later(wait, self._draw)

    def status(self, words: str) -> None:
        if words != self._words:
            self._watch_size()
            self._words = words
            if self._due is None:
                self._redraw([])

    def close(self) -> None:
        self._words = ""
        self._draw(whole=True)

    def _draw(self, *, whole: bool = False) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._watch_size()
        settled, self._live = self._flow.take(whole=whole)
        self._redraw(settled)
        if whole:
            self._lines.abandon()
        self._drawn_at = self._loop.time()

    def _redraw(self, settled: list[str]) -> None:
        words = self._words[: self._size[0] - 1]
        status = [f"\x1b[2m{words}\x1b[0m"] if words else []
        self._lines.draw(settled, [*self._live, *status])

    def _watch_size(self) -> None:
        """Go on below what is drawn where the terminal has another size now.

        Nobody can tell where its lines have gone to.
        """
        size = size_of(self._terminal)
        if size != self._size:
            self._size = size
            self._lines.abandon(erase_last=bool(self._words))
            self._live, self._words = [], ""
            self._flow.abandon(*self._measures())

    def _measures(self) -> tuple[Painter, int]:
        columns, lines = self._size
        # The last column stays free: behind it, terminals differ in where the cursor is. The last
        # line but one is for the sign of life.
        return Painter(self._screen, columns - 1), lines - 2

    def _write(self, text: str) -> None:
        self._terminal.write(text)
        self._terminal.flush()
