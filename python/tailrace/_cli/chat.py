"""``tailrace chat``: one question and its answer as it arrives, or a conversation."""

from __future__ import annotations

import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tailrace._cli import exits
from tailrace._cli.besides import failure_fields, tell_besides, told
from tailrace._cli.chat_options import with_options
from tailrace._cli.completion import model_names, site_names
from tailrace._cli.loop import run
from tailrace._cli.options import proxy_option, software_option, timeout_option, trust_option
from tailrace._cli.terminal.kept import ConversationStore, Keeping, state_folder
from tailrace.errors import ProfileError, TailraceError
from tailrace.providers import site_providers
from tailrace.sites import DEFAULT_SOFTWARE, Site, site
from tailrace.sites._profiles import Described, find_described
from tailrace.sites._secrets import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace import Delta
    from tailrace._cli.terminal.kept import KeptConversation
    from tailrace._messages import Messages
    from tailrace._streams.stream import ChatStream
    from tailrace.sites._software import SoftwareName

__all__ = ["chat"]


@click.command()
@click.argument("prompt", required=False)
@click.option(
    "-p",
    "--provider",
    shell_complete=site_names,
    help="Who answers: a site of tailrace.toml, the URL of a page, or a provider; the site that "
    "the table [chat] names unless given.",
)
@software_option("Software of a URL; WordPress unless given.")
@click.option(
    "-m",
    "--model",
    default="",
    shell_complete=model_names,
    help="Model name; the provider's default unless given.",
)
@click.option("-s", "--system", help="A system message in front of the prompt.")
@click.option(
    "-c",
    "--continue",
    "go_on",
    is_flag=True,
    help="Go on with the last conversation that was kept.",
)
@click.option("--bot", metavar="ID", help="The bot, where the page shows several.")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the call, such as temperature=0.2 or max_tokens=100; may be repeated.",
)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="NAME:VALUE",
    help="A header of every request; may be repeated.",
)
@click.option(
    "--retry",
    type=click.IntRange(0, 999),
    metavar="COUNT",
    help="How often a request is sent again where a failure may pass; the site's own unless given.",
)
@click.option(
    "--url",
    help="Another deployment of the provider's software: the page that shows the bot. Without a "
    "provider, as --provider.",
)
@proxy_option
@timeout_option
@click.option(
    "--replica",
    is_flag=True,
    help="Ask a replica of the site, started on this machine for this call.",
)
@trust_option
@click.option(
    "--plain", is_flag=True, help="Show answers as they are on a terminal, and not as Markdown."
)
@click.option("-n", "--no-keep", is_flag=True, help="Keep nothing of this conversation.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line: deltas, then how it ended."
)
def chat(**given: Any) -> int:
    """Send PROMPT and print the answer as it arrives; without PROMPT, hold a conversation.

    The conversation takes a terminal: it has a history, several lines (Alt-Enter), and commands
    (/help). Ctrl-C stops an answer, Ctrl-D leaves. Elsewhere, and with "-", the prompt is read from
    stdin.

    What is asked on a terminal is kept in your state folder, for --continue.
    """
    return run(_Chat(**given).run())


@dataclass(frozen=True, kw_only=True)
class _Chat:
    """One run of the command: its options as they were given."""

    prompt: str | None
    provider: str | None
    software: SoftwareName | None
    model: str
    system: str | None
    go_on: bool
    bot: str | None
    options: tuple[str, ...]
    headers: tuple[str, ...]
    retry: int | None
    url: str | None
    proxy: str | None
    timeout: float | None
    replica: bool
    trust: bool
    plain: bool
    no_keep: bool
    as_json: bool

    async def run(self) -> int:
        """Ask, or hold the conversation, and return the exit code."""
        if self.replica and self.url is not None:
            raise click.UsageError("--replica has a URL of its own: leave out --url")
        described, wrong = _described(self.trust)
        keeping = self._keeping(described, wrong)
        kept = self._continued(keeping)
        chosen, name = self._chosen(described, wrong, kept)
        messages: list[Any] = [] if kept is None else [_message(each) for each in kept.messages]
        if self.system is not None:
            own = messages[:1] if messages and messages[0]["role"] == "system" else []
            messages = [{"role": "system", "content": self.system}, *messages[len(own) :]]
        goes_on = kept is not None and self.provider is None and self.url is None
        model = self.model or (kept.model if kept is not None and goes_on else "")
        async with AsyncExitStack() as stack:
            if self.replica:
                chosen = await _on_replica(chosen, stack)
            if self._is_conversation:
                return await self._converse(chosen, name, model, messages, keeping, described)
            asked = [*messages, {"role": "user", "content": _text(self.prompt)}]
            stream = await stack.enter_async_context(chosen.stream(asked, model=model or None))
            answer = await self._answer(stream, described)
        if self.go_on or sys.stdout.isatty():
            answered = [*asked, {"role": "assistant", "content": answer}]
            if problem := keeping.keep(chosen, name, model, answered):
                click.echo(f"tailrace: {problem}", err=True)
        return exits.OK

    @property
    def _is_conversation(self) -> bool:
        """Whether somebody is there who can be asked for the prompts."""
        return (
            self.prompt is None and not self.as_json and sys.stdin.isatty() and sys.stdout.isatty()
        )

    # -- who answers -------------------------------------------------------------------------------

    def _chosen(
        self, described: Described, wrong: ProfileError | None, kept: KeptConversation | None
    ) -> tuple[Site, str]:
        """Return the site that answers, and the name it was asked by, empty for a URL.

        A usage error without one says what can be given.
        """
        name = self.provider
        if name is None and self.url is None and kept is not None:
            if self.software is not None and self.software != kept.software:
                raise click.UsageError(
                    f"the conversation is one with {kept.software}: give the URL, too, with "
                    "--provider, to go on with another software"
                )
            return self._with_options(_readable(self._again, kept)), kept.site
        if name is None and self.url is None and not self.replica:
            name = _default_site(described)
        if name is not None:
            chosen = site(name, self.software, trust=self.trust)
            if self.url is not None:
                chosen = chosen.replace(url=self.url)
            is_named = self.url is None and chosen.url != name
            return self._with_options(chosen), chosen.name if is_named else ""
        if self.url is not None:
            chosen = Site(self.url, software=self.software or DEFAULT_SOFTWARE)
            return self._with_options(chosen), ""
        if self.replica:
            if self.software is None:
                return self._with_options(site("ChatGptt")), "ChatGptt"
            return self._with_options(Site("http://a.invalid", software=self.software)), ""
        raise _nobody(described, wrong)

    def _again(self, kept: KeptConversation) -> Site:
        """Return the site of an earlier conversation."""
        if kept.site:
            chosen = site(kept.site, trust=self.trust)
            if origin_of(chosen.url) != origin_of(kept.url) and not self.replica:
                raise click.UsageError(
                    f"{kept.site} is another site here, {origin_of(chosen.url)}, than the one of "
                    f"the conversation, {origin_of(kept.url)}: name who goes on, with --provider"
                )
        elif not kept.whole:
            raise click.UsageError(
                f"the URL of the conversation, {kept.url}, held a secret, which is not kept: give "
                "the URL again, with --provider"
            )
        else:
            chosen = Site(kept.url, software=kept.software)  # type: ignore[arg-type] # it was one
        return chosen if kept.bot is None else chosen.replace(bot=kept.bot)

    def _with_options(self, chosen: Site) -> Site:
        return with_options(
            chosen,
            bot=self.bot,
            retry=self.retry,
            headers=self.headers,
            options=self.options,
            proxy=self.proxy,
            timeout=self.timeout,
        )

    # -- what is kept ------------------------------------------------------------------------------

    def _keeping(self, described: Described, wrong: ProfileError | None) -> Keeping:
        off = next((each for each in described.chat if each.settings.keep is False), None)
        if off is not None and self.go_on:
            raise click.UsageError(f"nothing is kept: {off.file} says keep = false")
        # A file that cannot be read may say so, too.
        if off is not None or wrong is not None or self.no_keep:
            if wrong is not None and self.go_on:
                raise wrong
            return Keeping()
        folder = state_folder()
        return Keeping(ConversationStore(folder / "conversations"), folder / "questions.jsonl")

    def _continued(self, keeping: Keeping) -> KeptConversation | None:
        """Return the conversation to go on with; None for a new one."""
        if not self.go_on:
            return None
        if keeping.store is None:
            raise click.UsageError("--continue goes on with what is kept: leave out --no-keep")
        kept = keeping.store.last()
        if kept is None:
            raise click.UsageError(
                f"there is no conversation to go on with in {keeping.store.folder}"
            )
        keeping.kept = kept
        return kept

    # -- what is shown -----------------------------------------------------------------------------

    def _is_plain(self, described: Described) -> bool:
        set_plain = next(
            (each.settings.plain for each in described.chat if each.settings.plain is not None),
            False,
        )
        return self.plain or set_plain

    async def _answer(self, stream: ChatStream, described: Described) -> str:
        """Show an answer, and return its text."""
        if self.as_json:
            return await _print_json(stream)
        if not sys.stdout.isatty():
            return await _print_text(stream)
        # Slow to import, and needed on a terminal only.
        from tailrace._cli.terminal.answer import (  # noqa: PLC0415
            show_answer,
            view_of,
            without_echo,
        )

        heard: list[str] = []
        try:
            with without_echo():
                view = view_of(plain=self._is_plain(described))
                await show_answer(stream, view, heard.append)
        finally:
            tell_besides(stream)
        return "".join(heard)

    async def _converse(
        self,
        chosen: Site,
        name: str,
        model: str,
        messages: Messages,
        keeping: Keeping,
        described: Described,
    ) -> int:
        from tailrace._cli.terminal.dialogue import Dialogue  # noqa: PLC0415 - as above

        def find(words: str) -> tuple[Site, str]:
            named, _, software = words.partition(" ")
            found = site(named, software.strip() or None, trust=self.trust)  # type: ignore[arg-type]
            if (found.url, found.software) == (chosen.url, chosen.software):
                return chosen, name  # the one that the options were given for
            found = with_options(
                found,
                bot=None,
                retry=self.retry,
                headers=(),  # they may hold a key of the other site's
                options=(),
                proxy=self.proxy,
                timeout=self.timeout,
            )
            return found, "" if found.url == named else found.name

        names = [each.name for each in described.profiles.values()]
        dialogue = Dialogue(
            chosen,
            name,
            model,
            messages,
            keeping=keeping,
            find=find,
            sites=[*names, *(each.__name__ for each in site_providers())],
            plain=self._is_plain(described),
        )
        return await dialogue.run()


def _described(trust: bool) -> tuple[Described, ProfileError | None]:
    """Return what the files describe; or nothing, and what is wrong with one of them.

    That is told when the file is needed.
    """
    try:
        return find_described(trust=trust), None
    except ProfileError as error:
        return Described({}, {}), error


def _default_site(described: Described) -> str | None:
    """Return the site that the table [chat] of a file names.

    A file that came with the folder must be trusted: it would choose who gets the prompt.
    """
    named = [each for each in described.chat if each.settings.site is not None]
    trusted = next((each for each in named if each.trusted), None)
    if trusted is not None:
        return trusted.settings.site
    if named:
        raise ProfileError(
            str(named[0].file),
            "chat.site",
            "the file came with this folder and is not trusted to choose who gets the prompt; look "
            "through it, then run `tailrace trust`, or name the site with --provider",
        )
    return None


def _nobody(described: Described, wrong: ProfileError | None) -> click.UsageError:
    names = [profile.name for profile in described.profiles.values()]
    sites = f" ({', '.join(names)})" if names else ""
    providers = ", ".join(each.__name__ for each in site_providers())
    unread = "" if wrong is None else f"{wrong}; while it is not read, "
    return click.UsageError(
        f"{unread}say who answers, with --provider: a site of tailrace.toml{sites}, the URL of a "
        f"page that shows a chat, or a provider ({providers}), whose public site then gets the "
        "prompt; --replica asks a replica on this machine; the table [chat] of tailrace.toml can "
        "name one for good"
    )


def _readable(again: Callable[[KeptConversation], Site], kept: KeptConversation) -> Site:
    """Return the site of an earlier conversation; a usage error where there is none any more."""
    try:
        return again(kept)
    except TailraceError as error:
        raise click.UsageError(
            f"who answered in the last conversation, {kept.site or kept.url}, cannot be asked: "
            f"{error}; name who goes on, with --provider"
        ) from None


def _message(kept: Any) -> dict[str, str]:
    return {"role": kept.role, "content": kept.content}


def _text(prompt: str | None) -> str:
    text = _stdin_text() if prompt is None or prompt == "-" else prompt
    if not text.strip():
        raise click.UsageError("there is no prompt: give one, or pipe one in")
    return text


def _stdin_text() -> str:
    if sys.stdin.isatty():
        click.echo("Reading the prompt from the terminal; end it with Ctrl-D.", err=True)
    return sys.stdin.read().strip()


async def _on_replica(chosen: Site, stack: AsyncExitStack) -> Site:
    from tailrace.replica import Replica  # noqa: PLC0415 - a server, needed for this option only

    sites = await stack.enter_async_context(Replica())
    name, path = _REPLICAS[chosen.software]
    return chosen.replace(url=sites.url(name) + path)


async def _print_text(stream: ChatStream) -> str:
    last, heard = "\n", []
    try:
        async for text in stream:
            click.echo(text, nl=False)
            heard.append(last := text)
    finally:
        if not last.endswith("\n"):
            click.echo()
        tell_besides(stream)
    return "".join(heard)


async def _print_json(stream: ChatStream) -> str:
    """Print a JSON line for each delta, and a last one that says how the stream ended.

    A failure is part of the last line, and is raised as well.
    """
    failure: TailraceError | None = None
    heard: list[str] = []
    try:
        async for delta in stream.deltas():
            click.echo(json.dumps(_shown(delta)))
            heard += [delta.text] if delta.kind == "text" else []
    except TailraceError as error:
        failure = error
    usage = stream.usage
    click.echo(
        json.dumps(
            {
                "end": stream.end,
                "finish_reason": stream.finish_reason,
                "usage": usage and usage._asdict(),
                "ids": stream.ids,
                "error": failure and failure_fields(failure),
                **told(stream),
            }
        )
    )
    if failure is not None:
        raise failure
    return "".join(heard)


def _shown(delta: Delta) -> dict[str, object]:
    """Return the fields of a delta's line; of one that is no text, its kind and what it has."""
    logprobs = delta.logprobs and json.loads(delta.logprobs)
    fields = {
        "index": delta.index,
        "id": delta.id,
        "name": delta.name,
        "signature": delta.signature,
        "data": delta.data,
        "logprobs": logprobs,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    kind = {} if delta.kind == "text" else {"kind": delta.kind}
    return {**kind, "delta": delta.text, **given}


# For each software: the replica's site that runs it, and the path of its chat.
_REPLICAS = {
    "wordpress": ("ai-power", ""),
    "ai-engine": ("ai-engine", "/help/"),
    "geminiprochat": ("geminiprochat", ""),
    "chatgpt-demo": ("chatgpt-demo", ""),
    "openai": ("openai", "/v1"),
    "anthropic": ("anthropic", ""),
    "gemini": ("gemini", ""),
    "ollama": ("ollama", ""),
}
