"""``tailrace record``: one call, kept in a file as it went over the wire."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from tailrace._cli.completion import model_names, site_names
from tailrace._cli.loop import run
from tailrace._cli.options import proxy_option, software_option, timeout_option, trust_option
from tailrace.recording import RecordingWriter
from tailrace.sites import site
from tailrace.sites._secrets import Secret
from tailrace.transport import RecordingTransport, make_transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace.sites import Site
    from tailrace.sites._software import SoftwareName

__all__ = ["record"]


@click.command()
@click.argument("provider", shell_complete=site_names)
@click.argument("prompt")
@click.argument("file", type=click.Path(dir_okay=False))
@software_option("Software of a URL; WordPress unless given.")
@click.option(
    "--model",
    default="",
    shell_complete=model_names,
    help="Model name; the provider's default unless given.",
)
@click.option(
    "--url", help="Another deployment of the provider's software: the page that shows the bot."
)
@proxy_option
@timeout_option
@trust_option
@click.option("--keep-messages", is_flag=True, help="Leave the prompt in the recorded requests.")
def record(  # one parameter an option
    provider: str,
    prompt: str,
    file: str,
    software: SoftwareName | None,
    model: str,
    url: str | None,
    proxy: str | None,
    timeout: float | None,
    trust: bool,
    keep_messages: bool,
) -> None:
    """Ask PROVIDER the PROMPT, print the answer, and keep the whole call in FILE.

    FILE must not exist.

    PROVIDER is a provider, a site of tailrace.toml, or the URL of a page. Nonces, cookies, keys and
    passwords are taken out; the answer stays, and so does what it repeats of the prompt. "tailrace
    replica --replay FILE" plays it back. A call that fails is kept as well.
    """
    if not prompt.strip():
        raise click.UsageError("there is no prompt")
    chosen = site(provider, software, trust=trust)
    if url is not None:
        chosen = chosen.replace(url=url)
    if proxy is not None:
        chosen = chosen.replace(proxy=proxy)
    if timeout is not None:
        chosen = chosen.replace(timeout=timeout)
    path = urlsplit(chosen.url).path or "/"
    try:
        writer = RecordingWriter(
            file, provider=chosen.name, site_path=path, keep_messages=keep_messages
        )
    except OSError as error:
        raise click.UsageError(f"cannot write {file}: {error.strerror or error}") from None
    with writer:
        for value in _variables(chosen):
            writer.secret(value)
        try:
            run(_recorded(chosen, model, prompt, writer))
        finally:
            count = f"{writer.exchange_count} exchanges"
            click.echo(f"{file}: {count}; look through it before you share it", err=True)


def _variables(site: Site) -> Iterator[str]:
    """Yield the values of the environment variables that the options of `site` name."""
    options = (site.secret_key, site.password, site.api_key, site.cookies, *site.headers.values())
    for option in options:
        if isinstance(option, Secret) and (value := os.environ.get(option.variable)):
            yield value


async def _recorded(site: Site, model: str, prompt: str, writer: RecordingWriter) -> None:
    last = "\n"
    kind = site.transport if isinstance(site.transport, str) else "aiohttp"
    async with RecordingTransport(make_transport(kind), writer) as transport:
        try:
            async with site.stream(prompt, model=model, transport=transport) as stream:
                async for text in stream:
                    click.echo(text, nl=False)
                    last = text
        finally:
            if not last.endswith("\n"):
                click.echo()
