"""``tailrace record``: one call, kept in a file as it went over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from tailrace._cli.loop import run
from tailrace.recording import RecordingWriter
from tailrace.sites import DIALECTS, site
from tailrace.transport import RecordingTransport, make_transport

if TYPE_CHECKING:
    from tailrace.providers import ChatProvider

__all__ = ["record"]


@click.command()
@click.argument("provider")
@click.argument("prompt")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--dialect",
    type=click.Choice(list(DIALECTS)),
    help="What a URL speaks; WordPress unless given.",
)
@click.option("--model", default="", help="Model name; the provider's default unless given.")
@click.option(
    "--url", help="Another deployment of the provider's software: the page that shows the bot."
)
@click.option("--proxy", help="URL of an http, https or socks5 proxy, used for every request.")
@click.option(
    "--timeout",
    type=float,
    help="Seconds: first byte, and each silence; 120 or the site's own unless given.",
)
@click.option("--keep-messages", is_flag=True, help="Leave the prompt in the recorded requests.")
def record(  # one parameter an option
    provider: str,
    prompt: str,
    file: str,
    dialect: str | None,
    model: str,
    url: str | None,
    proxy: str | None,
    timeout: float | None,
    keep_messages: bool,
) -> None:
    """Ask PROVIDER the PROMPT, print the answer, and keep the whole call in FILE, which must not
    exist.

    PROVIDER is a provider, a site of tailrace.toml, or the URL of a page. Nonces, cookies, keys and
    passwords are taken out; the answer stays, and so does what it repeats of the prompt. "tailrace
    replica --replay FILE" plays it back. A call that fails is kept as well.
    """
    if not prompt.strip():
        raise click.UsageError("there is no prompt")
    asked = site(provider, dialect=dialect)
    given = {"url": url, "proxy": proxy, "timeout": timeout}
    options = {name: value for name, value in given.items() if value is not None}
    path = urlsplit(asked.locate(url)[0]).path or "/"
    try:
        writer = RecordingWriter(
            file, provider=asked.__name__, site_path=path, keep_messages=keep_messages
        )
    except OSError as error:
        raise click.UsageError(f"cannot write {file}: {error.strerror or error}") from None
    with writer:
        try:
            run(_recorded(asked, model, prompt, options, writer))
        finally:
            exchanges = len(writer.recording().exchanges)
            click.echo(
                f"{file}: {exchanges} exchanges; look through it before you share it", err=True
            )


async def _recorded(
    provider: type[ChatProvider],
    model: str,
    prompt: str,
    options: dict[str, Any],
    writer: RecordingWriter,
) -> None:
    messages = [{"role": "user", "content": prompt}]
    last = "\n"
    async with RecordingTransport(make_transport(provider.transport_kind), writer) as transport:
        try:
            async with provider.create_async_generator(
                model, messages, transport=transport, **options
            ) as stream:
                async for text in stream:
                    click.echo(text, nl=False)
                    last = text
        finally:
            if not last.endswith("\n"):
                click.echo()
