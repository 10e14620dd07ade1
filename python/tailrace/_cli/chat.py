"""``tailrace chat``: one question, its answer as it arrives."""

from __future__ import annotations

import json
import sys
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import click

from tailrace._cli.besides import failure_fields, tell_besides, told
from tailrace._cli.loop import run
from tailrace._cli.options import proxy_option, software_option, timeout_option, trust_option
from tailrace.errors import ProfileError, TailraceError
from tailrace.providers import site_providers
from tailrace.sites import DEFAULT_SOFTWARE, Site, site
from tailrace.sites._profiles import find_profiles

if TYPE_CHECKING:
    from tailrace import Delta
    from tailrace._messages import Messages
    from tailrace._streams.stream import ChatStream
    from tailrace.sites._software import SoftwareName

__all__ = ["chat"]


@click.command()
@click.argument("prompt", required=False)
@click.option(
    "--provider",
    help="Who answers: a site of tailrace.toml, the URL of a page, or a provider.",
)
@software_option("Software of a URL; WordPress unless given.")
@click.option("--model", default="", help="Model name; the provider's default unless given.")
@click.option("--system", help="A system message in front of the prompt.")
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
    "--json", "as_json", is_flag=True, help="One JSON object a line: deltas, then how it ended."
)
def chat(  # one parameter an option
    prompt: str | None,
    provider: str | None,
    software: SoftwareName | None,
    model: str,
    system: str | None,
    url: str | None,
    proxy: str | None,
    timeout: float | None,
    replica: bool,
    trust: bool,
    as_json: bool,
) -> None:
    """Send PROMPT and print the answer as it arrives.

    Without PROMPT, or with "-", it is read from stdin.
    """
    if replica and url is not None:
        raise click.UsageError("--replica has a URL of its own: leave out --url")
    chosen = _chosen(provider, software, url, replica=replica, trust=trust)
    messages = [{"role": "user", "content": _text(prompt)}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    if proxy is not None:
        chosen = chosen.replace(proxy=proxy)
    if timeout is not None:
        chosen = chosen.replace(timeout=timeout)
    run(_chat(chosen, model, messages, replica=replica, as_json=as_json))


def _chosen(
    provider: str | None,
    software: SoftwareName | None,
    url: str | None,
    *,
    replica: bool,
    trust: bool,
) -> Site:
    """Return the site that answers; a usage error without one says what can be given."""
    if provider is not None:
        chosen = site(provider, software, trust=trust)
        return chosen if url is None else chosen.replace(url=url)
    if url is not None:
        return Site(url, software=software or DEFAULT_SOFTWARE)
    if replica:
        return site("ChatGptt") if software is None else Site("http://a.invalid", software=software)
    described: list[str] = []
    with suppress(ProfileError):  # a file that is wrong is told when one of its sites is named
        described = [profile.name for profile in find_profiles().values()]
    sites = f" ({', '.join(described)})" if described else ""
    providers = ", ".join(each.__name__ for each in site_providers())
    raise click.UsageError(
        f"say who answers, with --provider: a site of tailrace.toml{sites}, the URL of a page that "
        f"shows a chat, or a provider ({providers}), whose public site then gets the prompt; "
        "--replica asks a replica on this machine"
    )


def _text(prompt: str | None) -> str:
    text = _stdin_text() if prompt is None or prompt == "-" else prompt
    if not text.strip():
        raise click.UsageError("there is no prompt: give one, or pipe one in")
    return text


def _stdin_text() -> str:
    if sys.stdin.isatty():
        click.echo("Reading the prompt from the terminal; end it with Ctrl-D.", err=True)
    return sys.stdin.read().strip()


async def _chat(
    site: Site,
    model: str,
    messages: Messages,
    *,
    replica: bool,
    as_json: bool,
) -> None:
    async with AsyncExitStack() as stack:
        if replica:
            from tailrace.replica import Replica  # noqa: PLC0415 - a server, needed for this option only

            sites = await stack.enter_async_context(Replica())
            name, path = _REPLICAS[site.software]
            site = site.replace(url=sites.url(name) + path)
        stream = await stack.enter_async_context(site.stream(messages, model=model))
        await (_print_json(stream) if as_json else _print_text(stream))


async def _print_text(stream: ChatStream) -> None:
    last = "\n"
    try:
        async for text in stream:
            click.echo(text, nl=False)
            last = text
    finally:
        if not last.endswith("\n"):
            click.echo()
        tell_besides(stream)


async def _print_json(stream: ChatStream) -> None:
    """Print a JSON line for each delta, and a last one that says how the stream ended.

    A failure is part of the last line, and is raised as well.
    """
    failure: TailraceError | None = None
    try:
        async for delta in stream.deltas():
            click.echo(json.dumps(_shown(delta)))
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
    "geminiprochat": ("geminiprochat", ""),
    "chatgpt-demo": ("chatgpt-demo", ""),
    "openai": ("openai", "/v1"),
    "anthropic": ("anthropic", ""),
    "gemini": ("gemini", ""),
    "ollama": ("ollama", ""),
}
