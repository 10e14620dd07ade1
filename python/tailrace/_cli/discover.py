"""``tailrace discover``: the contents of a page, and a profile made of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tailrace._cli import exits
from tailrace._cli.loop import run
from tailrace._cli.options import SECONDS, proxy_option, setting, software_option
from tailrace._printable import visible_line
from tailrace.sites import discover as discover_page
from tailrace.sites._profiles import user_file
from tailrace.sites._saving import file_for_saving, save_found

if TYPE_CHECKING:
    from tailrace.sites import Bot, Discovery
    from tailrace.sites._software import SoftwareName

__all__ = ["discover"]


@click.command()
@click.argument("url")
@click.option(
    "--save",
    metavar="NAME",
    help="Write a profile of this name into the tailrace.toml of this folder; where there is none, "
    "into your own.",
)
@click.option("--force", is_flag=True, help="Let --save replace a profile of the same name.")
@click.option(
    "--bot", metavar="ID", help="The bot that --save writes down; the page's first unless given."
)
@software_option("The site's software, where its page does not tell.")
@proxy_option
@setting("--timeout", SECONDS, 30, "Seconds.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object instead of text.")
def discover(
    url: str,
    save: str | None,
    force: bool,
    bot: str | None,
    software: SoftwareName | None,
    proxy: str | None,
    timeout: float,
    as_json: bool,
) -> int:
    """Fetch the page at URL once and say which chats it shows.

    Their software is named, and what a message to them lacks.
    """
    if save is None and (force or bot is not None):
        raise click.UsageError("--force and --bot say what --save writes: give it, too")
    discovery = run(discover_page(url, proxy=proxy, timeout=timeout))
    click.echo(json.dumps(asdict(discovery), indent=2) if as_json else _text(discovery))
    if save is not None:
        _save(save, discovery, software, bot, force=force)
    return (
        exits.OK if discovery.usable or (save is not None and software is not None) else exits.SITE
    )


def _save(
    name: str,
    discovery: Discovery,
    software: SoftwareName | None,
    bot: str | None,
    *,
    force: bool,
) -> None:
    """Write the profile; of several bots, it names the one that is written down, and says so."""
    others = discovery.bots[1:] if bot is None else ()
    chosen = discovery.bots[0].bot_id if others else bot
    file = file_for_saving()
    save_found(name, discovery.settings(software=software, bot=chosen), file, force=force)
    whose = ", your own file" if file == user_file() else ""
    click.echo(f"{name} is written to {file}{whose}.", err=True)
    if others:
        shown = discovery.bots[0].name
        named = f' ("{shown}")' if shown else ""
        rest = ", ".join(each.bot_id for each in others)
        line = (
            f"It asks the first of the page's bots, {chosen}{named}; --bot names another: {rest}."
        )
        click.echo(visible_line(line), err=True)


def _text(discovery: Discovery) -> str:
    guess = " (a guess: the page names none)" if discovery.endpoint_is_guess else ""
    facts = {
        "page": f"{discovery.url} ({discovery.status})",
        "title": discovery.title,
        "software": discovery.software,
        "dialect": discovery.dialect,
        "version": discovery.version,
        "release": discovery.release,
        "endpoint": discovery.endpoint and f"{discovery.endpoint}{guess}",
    }
    lines = [f"{name:<9} {value}" for name, value in facts.items() if value]
    lines += [f"{'bot':<9} {_bot(bot)}" for bot in discovery.bots]
    lines += [f"{'problem':<9} {problem}" for problem in discovery.problems]
    return "\n".join(map(visible_line, lines))


def _bot(bot: Bot) -> str:
    streams = {True: "streams", False: "answers whole", None: "does not say whether it streams"}[
        bot.streams
    ]
    words = [bot.bot_id, f'"{bot.name}"' if bot.name else "", bot.kind, bot.placement, streams]
    words += ["Assistants"] if bot.assistant else []
    words += [f"without {name}" for name in bot.missing]
    return ", ".join(word for word in words if word)
