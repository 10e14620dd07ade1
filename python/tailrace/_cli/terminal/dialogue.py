"""A conversation in the terminal: questions, answers, and commands that begin with a slash."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tailrace._cli import exits
from tailrace._cli.besides import how_cut, named
from tailrace._cli.screen import console
from tailrace._cli.terminal.answer import show_answer, view_of
from tailrace._cli.terminal.kept import QuestionFile, address_of
from tailrace._cli.terminal.prompt import Keyboard, Stopped
from tailrace._printable import visible, visible_line
from tailrace.errors import TailraceError
from tailrace.sites._options import closest_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from tailrace._cli.terminal.kept import Keeping
    from tailrace._messages import Messages
    from tailrace.providers._conversation import Conversation
    from tailrace.sites import Site

__all__ = ["Dialogue"]

_TERMINATED = 143


@dataclass(frozen=True, slots=True)
class _Command:
    """A command: what it takes, what it does in words, and what does it."""

    takes: str
    says: str
    run: Callable[[str], Coroutine[Any, Any, None]]


class Dialogue:
    """One conversation at a terminal.

    `site`: who answers, and `name` the name it was asked by, empty for a URL; `model`: the model,
    empty for the site's default; `messages`: those so far; `keeping`: what is kept of it. `find`:
    returns the site that a name or URL stands for, and its name; `sites`: the names there are.
    `plain`: whether answers are shown as they are.
    """

    def __init__(
        self,
        site: Site,
        name: str,
        model: str,
        messages: Messages,
        *,
        keeping: Keeping,
        find: Callable[[str], tuple[Site, str]],
        sites: list[str],
        plain: bool,
    ) -> None:
        self._site, self._name, self._model = site, name, model
        self._messages: list[Any] = list(messages)
        self._keeping = keeping
        self._find, self._sites = find, sites
        self._plain = plain
        self._conversation: Conversation | None = None
        asked = [at for at, each in enumerate(self._turns) if each["role"] == "user"]
        self._question: str | None = self._turns[asked[-1]]["content"] if asked else None
        self._before = self._turns[: asked[-1]] if asked else []  # the turns before the question
        self._listed: list[str] = []
        self._is_over = False
        self._commands = {
            "help": _Command("", "this list", self._help),
            "model": _Command(
                "[NAME]", "the model that answers; without a name, all", self._set_model
            ),
            "site": _Command(
                "[SITE]", "the site that answers; without one, the names", self._set_site
            ),
            "system": _Command("[TEXT]", "the system message; - takes it away", self._set_system),
            "retry": _Command("", "ask the last question again", self._retry),
            "save": _Command("FILE", "write the conversation as Markdown, or as JSON", self._save),
            "new": _Command("", "begin a new conversation", self._new),
            "quit": _Command("", "leave, as Ctrl-D does", self._quit),
        }
        questions = keeping.questions
        self._keyboard = Keyboard(
            None if questions is None else QuestionFile(questions), self.completions
        )

    async def run(self) -> int:
        """Hold the conversation until Ctrl-D or ``/quit``; returns the exit code."""
        try:
            with self._keyboard.held():
                self._greet()
                while not self._is_over:
                    await self._turn()
        except asyncio.CancelledError:
            return _TERMINATED
        return exits.OK

    # -- turns -------------------------------------------------------------------------------------

    def _greet(self) -> None:
        model = self._model or self._site.default_model
        at = address_of(self._site)[0]
        words = [self._label(), at if at != self._label() else "", model]
        _say(", ".join(filter(None, words)))
        _say("/help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves")
        if turns := self._turns:
            _say(f"going on with {_counted(len(turns))}; the last:")
            view = view_of(plain=self._plain)
            for each in turns[-2:]:
                if each["role"] == "user":
                    click.echo(f"{self._label()}> {each['content']}")
                else:
                    view.add(each["content"])
            view.close()

    async def _turn(self) -> None:
        try:
            text = await self._keyboard.ask(self._label())
        except EOFError:
            self._is_over = True
            return
        except KeyboardInterrupt:
            return  # the line is dropped, as a shell drops it
        text = text.rstrip().lstrip("\n")  # but for the first line's indentation, which may count
        if not text:
            return
        question = text.removeprefix(" ") if text.startswith(" /") else text
        try:
            await (self._command(text) if self._is_command(text) else self._ask(question))
        except Stopped:
            _say("stopped")
        except TailraceError as error:
            click.echo(f"tailrace: {error}", err=True)

    async def _ask(self, question: str) -> None:
        """Ask, and keep the turn once it is answered, or as far as it was seen when stopped."""
        heard: list[str] = []
        conversation = self._going()
        before = list(conversation.messages)
        self._question, self._before = question, before[len(self._system) :]
        try:
            await self._keyboard.run(self._answer(conversation, question, heard))
        except Stopped:
            if heard:  # it was seen, so that one can go on from it
                asked = {"role": "user", "content": question}
                answered = {"role": "assistant", "content": "".join(heard)}
                self._count([*before, asked, answered])
            self._conversation = None
            raise
        except TailraceError as error:
            click.echo(f"tailrace: {error}", err=True)
            _say("the turn does not count; /retry asks again")
            self._conversation = None
            return
        self._count(list(conversation.messages))

    async def _answer(self, conversation: Conversation, question: str, heard: list[str]) -> None:
        async with conversation.send(question) as stream:
            await show_answer(stream, view_of(plain=self._plain), heard.append)
            if more := named(stream):
                _say(f"besides its text the answer holds {more}")
            if cut := how_cut(stream):
                _say(cut)

    def _going(self) -> Conversation:
        """Return the conversation with the site, which knows the messages so far."""
        if self._conversation is None:
            self._conversation = self._begun(self._messages)
        return self._conversation

    def _begun(self, messages: list[Any]) -> Conversation:
        conversation = self._site.conversation(model=self._model or None)
        conversation.messages = list(messages)
        return conversation

    def _count(self, messages: list[Any]) -> None:
        self._messages = messages
        problem = self._keeping.keep(self._site, self._name, self._model, messages)
        if problem:
            _say(problem)

    def _label(self) -> str:
        return self._name or address_of(self._site)[0].partition("://")[2].partition("/")[0]

    @property
    def _system(self) -> list[Any]:
        """The system message, alone or none."""
        first = self._messages[:1]
        return first if first and first[0]["role"] == "system" else []

    @property
    def _turns(self) -> list[Any]:
        """The messages behind the system message."""
        return self._messages[len(self._system) :]

    # -- commands ----------------------------------------------------------------------------------

    def _is_command(self, text: str) -> bool:
        """Tell a command, of which the text may have lines, from pasted lines that look like it."""
        return text.startswith("/") and ("\n" not in text or _parted(text)[0] in self._commands)

    async def _command(self, text: str) -> None:
        name, rest = _parted(text)
        command = self._commands.get(name)
        if command is None:
            close = closest_name(name, frozenset(self._commands))
            hint = f"did you mean /{close}? " if close else ""
            _say(f"there is no /{visible_line(name)}: {hint}/help lists the commands")
            _say("a space in front sends it as it is")
            return
        if rest and not command.takes:
            _say(f"/{name} takes nothing behind it; a space in front sends it as it is")
            return
        await command.run(rest)

    async def _help(self, rest: str) -> None:
        del rest
        for name, command in self._commands.items():
            _say(f"{'/' + name + ' ' + command.takes:<16}{command.says}")
        _say("Alt-Enter, Ctrl-J, or \\ and Enter begin another line; ↑ goes to earlier questions")

    async def _set_model(self, rest: str) -> None:
        if not rest:
            _say(self._model or self._site.default_model or "the site's own model")
            await self._list_models("")
            return
        self._site.resolve_model(rest)
        self._model = rest
        self._conversation = None
        _say(f"{visible_line(rest)} answers from now on")

    async def _list_models(self, rest: str) -> None:
        del rest
        self._listed = await self._keyboard.run(self._site.models())
        for each in self._listed:
            _say(f"  {visible_line(each)}")

    async def _set_site(self, rest: str) -> None:
        if not rest:
            for each in self._sites:
                _say(f"  {each}")
            return
        self._site, self._name = self._find(rest)
        self._model, self._listed, self._conversation = "", [], None
        turns = sum(each["role"] == "user" for each in self._messages)
        _say(f"{self._label()} answers from now on" + (", and is sent all turns" if turns else ""))

    async def _set_system(self, rest: str) -> None:
        if not rest:
            own = self._system
            _say(own[0]["content"] if own else "no system message; /system TEXT sets one")
            return
        own = [] if rest == "-" else [{"role": "system", "content": rest}]
        self._messages = [*own, *self._turns]
        self._conversation = None
        _say("the system message is gone" if rest == "-" else "the system message is set")

    async def _retry(self, rest: str) -> None:
        del rest
        if self._question is None:
            _say("there is nothing to ask again")
            return
        # The turn stays until it is answered anew.
        self._conversation = self._begun([*self._system, *self._before])
        _say(f"{self._label()}> {visible_line(self._question)}")
        await self._ask(self._question)

    async def _new(self, rest: str) -> None:
        del rest
        self._messages = self._system
        self._conversation = self._question = None
        self._keeping.kept = None
        _say("a new conversation")

    async def _save(self, rest: str) -> None:
        _say(_saved(rest, self._messages) if rest else "give a file: /save talk.md, or talk.json")

    async def _quit(self, rest: str) -> None:
        del rest
        self._is_over = True

    # -- completion --------------------------------------------------------------------------------

    def completions(self, text: str) -> Iterable[str]:
        """Return what the last word of a line's beginning may be completed to."""
        if not text.startswith("/"):
            return []
        name, space, rest = text[1:].partition(" ")
        if not space:
            return [f"/{each}" for each in self._commands if each.startswith(name)]
        if name == "save":
            return _files(rest)
        known = {
            "site": self._sites,
            "model": [*self._site.listed_models, *self._site.aliases, *self._listed],
        }.get(name, [])
        return [each for each in dict.fromkeys(known) if each.startswith(rest)]


def _say(text: str) -> None:
    """Print a line of ours, which is no answer, on stdout, dimmed."""
    from rich.text import Text  # noqa: PLC0415 - slow to import, needed on a terminal only

    console().print(Text(visible(text), style="dim"), soft_wrap=True)


def _parted(text: str) -> tuple[str, str]:
    """Return a command's name, and what stands behind it."""
    if not text[1:2].strip():  # a slash alone
        return "", text[1:].strip()
    name, *rest = text[1:].split(maxsplit=1)
    return name, rest[0].strip() if rest else ""


def _counted(messages: int) -> str:
    return f"{messages} message{'' if messages == 1 else 's'}"


def _saved(name: str, messages: list[Any]) -> str:
    """Write messages into a file that is not there yet, and say how that went."""
    shown = visible_line(name)
    try:
        file = Path(name).expanduser()
        text = _as_json(messages) if file.suffix.lower() == ".json" else _as_markdown(messages)
        with file.open("x", encoding="utf-8", errors="replace") as opened:
            opened.write(text)
    except FileExistsError:
        return f"{shown} is there already: give another name"
    except (OSError, ValueError, RuntimeError) as error:  # the last: there is no such home
        return f"{shown} cannot be written: {getattr(error, 'strerror', None) or error}"
    return f"{_counted(len(messages))} {'is' if len(messages) == 1 else 'are'} in {shown}"


def _as_json(messages: list[Any]) -> str:
    return json.dumps(messages, ensure_ascii=False, indent=2) + "\n"


def _as_markdown(messages: list[Any]) -> str:
    return "\n".join(f"## {each['role']}\n\n{each['content'].strip()}\n" for each in messages)


def _files(begin: str) -> list[str]:
    """Return the paths that a path's beginning may be completed to."""
    folder, _, name = begin.rpartition("/")
    found: list[str] = []
    with suppress(OSError, RuntimeError):
        entries = os.scandir(Path(f"{folder}/" if "/" in begin else ".").expanduser())
        found += [each.name for each in entries if each.name.startswith(name)]
    return sorted(f"{folder}/{each}" if "/" in begin else each for each in found)
