"""``tailrace serve``: the gateway, until a signal stops it."""

from __future__ import annotations

import itertools
import os
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tailrace import gateway
from tailrace._cli import exits
from tailrace._cli.completion import site_names
from tailrace._cli.loop import run
from tailrace._cli.options import SECONDS, cannot_listen, listen_options, setting, trust_option
from tailrace.errors import InvalidRequestError
from tailrace.sites import Site, profile_files

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from tailrace.gateway import Key, ModelRegistry, Settings
    from tailrace.gateway._reloading import Source
    from tailrace.replica import Replica
    from tailrace.sites._software import SoftwareName

__all__ = ["serve"]

# For each site of the replica: its software, its page or the path behind its origin, its models.
_DEMO: dict[str, tuple[SoftwareName, str | None, str, list[str]]] = {
    "ai-power": ("wordpress", "stream", "", []),
    "aipkit": ("wordpress", "inline", "", []),
    "ai-engine": ("ai-engine", "inline", "", []),
    "geminiprochat": ("geminiprochat", None, "", []),
    "chatgpt-demo": ("chatgpt-demo", None, "", []),
    "openai": ("openai", None, "/v1", ["gpt-4o-mini", "gpt-4o"]),
    "anthropic": ("anthropic", None, "", ["claude-sonnet-4-6"]),
    "gemini": ("gemini", None, "", ["gemini-2.5-flash"]),
    "ollama": ("ollama", None, "", ["qwen3-vl:8b"]),
}


@click.command()
@listen_options("Where to listen; elsewhere than here takes a key.", 8780, "0 takes a free one.")
@click.option(
    "--keys",
    "keys_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help='Who may ask: a file, "name:key" lines or tables [keys.NAME]. TAILRACE_KEYS adds more.',
)
@click.option(
    "--site",
    "sites",
    shell_complete=site_names,
    multiple=True,
    metavar="NAME",
    help="Serve this provider or site of tailrace.toml; may be repeated. All of them unless given.",
)
@click.option(
    "--replica",
    "with_replica",
    is_flag=True,
    help="Serve sites on loopback, started for it: a demo.",
)
@trust_option
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes on the port.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=30,
    show_default=True,
    help="Seconds streams get to end.",
)
@click.option(
    "--allowed-host",
    multiple=True,
    metavar="NAME",
    help="A name it is reached by, beside its address.",
)
@click.option(
    "--cors-origin",
    multiple=True,
    metavar="ORIGIN",
    help="Let pages of this origin ask from a browser.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a minute, of each key.",
)
@click.option("--concurrency", type=click.IntRange(min=1), help="Requests under way, of each key.")
@setting("--max-connections", click.IntRange(min=1), 4096, "Of each worker.")
@setting("--max-body", click.IntRange(min=1), 4 * 2**20, "Bytes, decompressed.")
@setting("--header-timeout", SECONDS, 10, "Seconds for a request's head.")
@setting("--body-timeout", SECONDS, 30, "Seconds for its body.")
@setting("--idle-timeout", SECONDS, 75, "Seconds between two requests.")
@setting("--send-timeout", SECONDS, 60, "Seconds a client may take nothing.")
@setting(
    "--keep-alive-interval", SECONDS, 15, "Seconds of a stream's silence until a comment is sent."
)
@setting(
    "--unsupported",
    click.Choice(["refuse", "drop"]),
    "refuse",
    "What becomes of fields that a site has no place for, unless its profile says it.",
)
@setting(
    "--log-format",
    click.Choice(["text", "json"]),
    "text",
    "On stderr: text for what goes wrong, json for a line of each request, too.",
)
def serve(
    sites: tuple[str, ...],
    *,
    keys_file: Path | None,
    with_replica: bool,
    trust: bool,
    allowed_host: tuple[str, ...],
    cors_origin: tuple[str, ...],
    max_body: int,
    **others: Any,
) -> int:
    """Serve the providers and the sites of tailrace.toml to any OpenAI client.

    It goes on until Ctrl-C or SIGTERM.

    Streams then get the grace time to finish; a second Ctrl-C ends it.
    """
    if with_replica and (sites or others["workers"] > 1):
        raise click.UsageError(
            "--replica is a demo of its own sites, in one process: leave out --site and --workers"
        )
    from tailrace.gateway._logs import configure_logging  # noqa: PLC0415 - for this command
    from tailrace.gateway._sockets import (  # noqa: PLC0415
        open_worker_sockets,
        raise_descriptor_limit,
    )

    _check_extra()
    from tailrace.gateway._server import collect_rarely  # noqa: PLC0415 - of the extra

    configure_logging(others["log_format"])
    source = None if with_replica else _source(keys_file, sites, trust=trust)
    keys, registry = (_keys(keys_file), None) if source is None else source.read()
    settings = gateway.Settings(
        keys=keys,
        allowed_hosts=allowed_host,
        cors_origins=cors_origin,
        max_body_bytes=max_body,
        **others,
    )
    _warn(keys_file, settings, registry)
    warning = raise_descriptor_limit(settings)
    if warning is not None:
        click.echo(f"tailrace: {warning}", err=True)
    try:
        sockets = open_worker_sockets(settings.host, settings.port, settings.workers)
    except OSError as error:
        raise cannot_listen(settings.host, settings.port, error) from None
    collect_rarely()
    if registry is None or source is None:
        run(_serve_replica(settings, sockets[0]))
    elif settings.workers == 1:
        run(_serve(settings, registry, source, sockets[0]))
    else:
        return _serve_with_workers(settings, registry, source, sockets)
    return exits.OK


def _check_extra() -> None:
    """Raise MissingRequirementsError where the extra ``gateway`` is not installed."""
    _ = gateway.Gateway


def _source(keys_file: Path | None, names: tuple[str, ...], *, trust: bool) -> Source:
    """Return where the keys and the sites come from, which are read again where they change."""
    from tailrace.gateway._reloading import Reading, Source  # noqa: PLC0415 - for this command

    created = int(time.time())
    return Source(
        lambda: Reading(_keys(keys_file), _registry(names, trust=trust, created=created)),
        lambda: [*([keys_file] if keys_file else ()), *profile_files()],
    )


def _keys(keys_file: Path | None) -> tuple[Key, ...]:
    read = () if keys_file is None else gateway.read_keys(keys_file)
    return (*gateway.keys_of_environment(os.environ), *read)


def _warn(keys_file: Path | None, settings: Settings, registry: ModelRegistry | None) -> None:
    """Warn of a file of keys that others may read, expired keys, and variables that are not set."""
    from tailrace.gateway._key_files import check_secrecy  # noqa: PLC0415 - for this command
    from tailrace.gateway._logs import (  # noqa: PLC0415
        log_expired_keys,
        log_missing_variables,
    )

    warning = None if keys_file is None else check_secrecy(keys_file)
    if warning is not None:
        click.echo(f"tailrace: {warning}", err=True)
    log_expired_keys(settings.keys, time.time_ns() // 10**6)
    if registry is not None:
        log_missing_variables(registry, os.environ)


def _registry(names: tuple[str, ...], *, trust: bool, created: int) -> ModelRegistry:
    if any("/" in name for name in names):
        raise InvalidRequestError("a site is served by its name: give the URL one in tailrace.toml")
    return gateway.ModelRegistry.load(created=created, sites=names, trust=trust)


async def _serve(
    settings: Settings,
    registry: ModelRegistry,
    source: Source | None,
    sockets: Sequence[socket.socket],
) -> None:
    server = gateway.Gateway(settings, registry, source=source)
    await gateway.serve_until_signal(
        server, sockets, started=lambda: _introduce(settings, registry, sockets)
    )


def _serve_with_workers(
    settings: Settings,
    registry: ModelRegistry,
    source: Source,
    sockets: Sequence[Sequence[socket.socket]],
) -> int:
    from tailrace.gateway._door.quotas import SharedQuotas  # noqa: PLC0415 - for this command
    from tailrace.gateway._figures.shared import SharedFigures  # noqa: PLC0415
    from tailrace.gateway._logs import configure_logging  # noqa: PLC0415
    from tailrace.gateway._workers import WORKER_SIGNALS, Supervisor  # noqa: PLC0415

    figures, quotas = SharedFigures(settings.workers), SharedQuotas(settings.workers)

    async def work(number: int, parent: int) -> None:
        worker = gateway.Gateway(
            settings, registry, slot=figures.slot(number), quotas=quotas, source=source
        )
        await gateway.serve_until_signal(
            worker, sockets[number], signals=WORKER_SIGNALS, parent=parent
        )

    def begin(number: int, parent: int) -> None:
        for each in every:
            if each not in sockets[number]:
                each.close()  # or what connects once its worker has ended would wait for ever
        configure_logging(settings.log_format, number)
        run(work(number, parent))

    every = list(dict.fromkeys(itertools.chain(*sockets)))

    def end(number: int) -> None:
        figures.end(number)
        quotas.forget(number)

    supervisor = Supervisor(settings.workers, begin, every, settings.grace, died=end)
    alive = supervisor.run(lambda: _introduce(settings, registry, sockets[0]))
    return exits.OK if alive else exits.SERVER


async def _serve_replica(settings: Settings, sockets: Sequence[socket.socket]) -> None:
    from tailrace.replica import Replica  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        replica = await stack.enter_async_context(Replica(pace=0.03))
        registry = gateway.ModelRegistry(_demo_sites(replica), created=int(time.time()))
        await _serve(settings, registry, None, sockets)


def _demo_sites(replica: Replica) -> list[Site]:
    """Return the replica's sites, under short names."""
    sites = []
    for name, (software, page, path, models) in _DEMO.items():
        url = replica.url(name) + path if page is None else replica.page(name, page)
        sites.append(Site(url, software=software, name=name, models=models))
    return sites


def _introduce(
    settings: Settings, registry: ModelRegistry, sockets: Sequence[socket.socket]
) -> None:
    """Print the gateway's URLs, its models and keys, and two examples of a client."""
    urls = gateway.base_urls(sockets)
    example = _example(registry)
    key = "YOUR KEY" if settings.keys else "unused"
    for url in urls:
        click.echo(f"base URL  {url}/v1")
    click.echo(f"page      {urls[0]}/")
    count = len(registry.sites)
    groups = f", and {_counted(len(registry.groups), 'group')}" if registry.groups else ""
    click.echo(f"models    {len(registry.models)} at {_counted(count, 'site')}{groups}")
    click.echo(
        "keys      "
        + (", ".join(each.name for each in settings.keys) or "none: this machine alone may ask")
    )
    click.echo("\nfrom openai import OpenAI")
    click.echo(f'client = OpenAI(base_url="{urls[0]}/v1", api_key="{key}")')
    click.echo(f"curl -N {urls[0]}/v1/chat/completions -H 'Content-Type: application/json' \\")
    if settings.keys:
        click.echo('  -H "Authorization: Bearer $KEY" \\')
    messages = '[{"role": "user", "content": "Say hello"}]'
    body = f'{{"model": "{example}", "stream": true, "messages": {messages}}}'
    click.echo(f"  -d '{body}'")
    click.echo("\nCtrl-C ends it.")


def _example(registry: ModelRegistry) -> str:
    """Return an id to try, of the first group or site: the user's own, if there are any.

    What a server's models are is not known yet.
    """
    site = registry.sites[0]
    own = [*(group.id for group in registry.groups), *site.models]
    return own[0] if own else f"{site.name}/MODEL"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
