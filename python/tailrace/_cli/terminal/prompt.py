"""The question, as it is typed: with history, several lines, and completion of commands.

And the keyboard while no question is typed: Ctrl-C stops what is under way, everything else waits
for the next question.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.history import History
from prompt_toolkit.input import create_input
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import create_output
from prompt_toolkit.output.plain_text import PlainTextOutput
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.utils import is_dumb_terminal
from rich.cells import cell_len

from tailrace._cli.screen import terminal_of
from tailrace._cli.terminal.live import size_of
from tailrace._printable import visible_line

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from typing import Any

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding import KeyPressEvent

    from tailrace._cli.terminal.kept import QuestionFile

__all__ = ["Keyboard", "Stopped"]

T = TypeVar("T")

_LONGEST_NAME = 24  # columns


class Stopped(Exception):  # noqa: N818 - a wish, and no error
    """Ctrl-C was pressed while something was under way."""


class Keyboard:
    """A terminal's keyboard, and the questions that are typed on it.

    `questions`: the file that keeps them, None to keep them while this lives; `complete`: returns
    for a line's beginning what it may go on with.
    """

    def __init__(
        self, questions: QuestionFile | None, complete: Callable[[str], Iterable[str]]
    ) -> None:
        self._input = create_input()
        self._history = _Questions(questions)
        is_dumb = is_dumb_terminal()
        terminal = terminal_of()
        output = PlainTextOutput(terminal) if is_dumb else create_output(stdout=terminal)
        with create_app_session(output=output):
            self._session: PromptSession[str] = PromptSession(
                input=self._input,
                # A dumb terminal is found out by PromptSession, and only where it is given none.
                output=None if is_dumb else output,
                history=self._history,
                completer=_Completer(complete),
                complete_while_typing=False,
                complete_style=CompleteStyle.READLINE_LIKE,
                enable_suspend=True,
                key_bindings=_bindings(),
                multiline=True,
                prompt_continuation=lambda width, _number, wrapped: ("" if wrapped else "… ").rjust(
                    width
                ),
            )
        self._work: asyncio.Future[Any] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the terminal from echoing, and from turning Ctrl-C into a signal, all the while.

        So there is no moment at which Ctrl-C ends the program. A signal sent by others stops what
        is under way, too.
        """
        loop, here = asyncio.get_running_loop(), asyncio.current_task()
        with suppress(NotImplementedError):  # on Windows, where the keyboard is enough
            loop.add_signal_handler(signal.SIGINT, self._interrupt)
            # So that the terminal is left as it was found.
            loop.add_signal_handler(signal.SIGTERM, here.cancel if here else self._interrupt)
        try:
            with self._input.raw_mode():
                yield
        finally:
            for each in (signal.SIGINT, signal.SIGTERM):
                with suppress(NotImplementedError):
                    loop.remove_signal_handler(each)

    async def ask(self, name: str) -> str:
        """Return the next question; `name` stands in front of it.

        Raises EOFError for Ctrl-D, KeyboardInterrupt for Ctrl-C.
        """
        shown = _within(visible_line(name), min(_LONGEST_NAME, size_of(terminal_of())[0] // 2))
        try:
            return await self._session.prompt_async(f"{shown}> ", handle_sigint=False)
        finally:
            problem, self._history.problem = self._history.problem, ""
            if problem:
                click.echo(problem, err=True)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, and return its result; Ctrl-C cancels it.

        Raises Stopped once it is over then. Other keys are kept for the next question.
        """
        self._work = task = asyncio.ensure_future(work)
        try:
            with self._pasting(), self._input.attach(self._read_keys):
                await asyncio.wait([task])
        finally:
            self._work = None
            store_typeahead(self._input, self._input.flush_keys())  # an Escape nothing came behind
            if not task.done():  # this call is cancelled itself
                task.cancel()
                await asyncio.wait([task])
        if task.cancelled():
            raise Stopped
        return task.result()

    @contextmanager
    def _pasting(self) -> Iterator[None]:
        """Have the terminal say what is pasted, as it does at the prompt.

        Each line of it would be a question of its own otherwise.
        """
        if is_dumb_terminal():
            yield
            return
        output = self._session.output
        output.enable_bracketed_paste()
        output.flush()
        try:
            yield
        finally:
            output.disable_bracketed_paste()
            output.flush()

    def _read_keys(self) -> None:
        keys = self._input.read_keys()
        is_gone = self._input.closed
        if is_gone or any(each.key in (Keys.ControlC, Keys.SIGINT) for each in keys):
            self._interrupt()
            keys = []  # what was typed before it goes, as a line does
        store_typeahead(self._input, keys)

    def _interrupt(self) -> None:
        if self._work is not None:
            self._work.cancel()
        elif self._session.app.is_running:
            self._session.app.exit(exception=KeyboardInterrupt)


def _within(name: str, width: int) -> str:
    """Return a name, or as much of it as leaves room for a question."""
    while name and cell_len(name) > width:
        name = f"{name.removesuffix('…')[:-1]}…" if len(name) > 1 else ""
    return name


def _bindings() -> KeyBindings:
    """Return the keys that differ from readline's: Enter sends, Alt-Enter and Ctrl-J begin a line.

    Enter behind a backslash begins a line as well.
    """
    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.char_before_cursor == "\\" and buffer.document.is_cursor_at_the_end:
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


class _Completer(Completer):
    """Completes a line by the texts that it may go on with."""

    def __init__(self, complete: Callable[[str], Iterable[str]]) -> None:
        self._complete = complete

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Yield what the text in front of the cursor may be completed to."""
        del complete_event
        text = document.text_before_cursor
        begin = text.find(" ") + 1  # a file's name may hold spaces
        for whole in self._complete(text):
            yield Completion(whole, begin - len(text))


class _Questions(History):
    """The questions of earlier, from a file, and those of now.

    `problem`: why the file is not used any more, until somebody has said so.
    """

    def __init__(self, file: QuestionFile | None) -> None:
        super().__init__()
        self._file = file
        self.problem = ""

    def load_history_strings(self) -> Iterable[str]:
        """Return those of the file, the newest first; none where it cannot be read."""
        if self._file is None:
            return []
        try:
            return self._file.read()
        except OSError as error:
            self._give_up(error)
            return []

    def store_string(self, string: str) -> None:
        """Keep a question, if the file can be written; a command may hold a URL with a secret."""
        if self._file is not None and not string.startswith("/"):
            try:
                self._file.add(string)
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._file = None
        self.problem = f"questions are not kept: {error.strerror or error}"
