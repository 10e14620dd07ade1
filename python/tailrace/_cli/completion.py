"""``tailrace completion``: what a shell needs to complete this command line.

And what it completes: sites, models and software, as far as files tell them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from tailrace.sites import Site

__all__ = ["completion", "model_names", "site_names"]

_SHELLS = ("bash", "fish", "zsh")
_VARIABLE = "_TAILRACE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    r"""Print the completion for SHELL, to be read by it as it starts.

    \b
    bash: tailrace completion bash > ~/.local/share/bash-completion/completions/tailrace
    zsh:  tailrace completion zsh > a folder of $fpath/_tailrace
    fish: tailrace completion fish > ~/.config/fish/completions/tailrace.fish

    It completes commands, options, software, the sites of tailrace.toml and of this package, and
    the models that are written down for them. Nothing is asked of a site.
    """
    from tailrace._cli import cli  # noqa: PLC0415 - which imports this

    kind = get_completion_class(shell)
    assert kind is not None, shell  # noqa: S101 - click has all three
    click.echo(kind(cli, {}, "tailrace", _VARIABLE).source())


def site_names(
    context: click.Context, parameter: click.Parameter, begin: str
) -> list[CompletionItem]:
    """Return the sites whose names begin like `begin`, with their URLs."""
    del context, parameter
    from tailrace.providers import site_providers  # noqa: PLC0415 - while nobody completes: slow
    from tailrace.sites._profiles import find_profiles  # noqa: PLC0415

    found = {each.__name__: each.url for each in site_providers()}
    with suppress(TailraceError):  # a file that is wrong is told when it is used
        found |= {each.name: each.settings.url for each in find_profiles().values()}
    return [
        CompletionItem(name, help=url)
        for name, url in found.items()
        if name.lower().startswith(begin.lower())
    ]


def model_names(
    context: click.Context, parameter: click.Parameter, begin: str
) -> list[CompletionItem]:
    """Return the models of the site that the line names, which begin like `begin`."""
    del parameter
    chosen = _site_of(context)
    if chosen is None:
        return []
    names = dict.fromkeys([*chosen.listed_models, *chosen.aliases, chosen.default_model])
    return [CompletionItem(name) for name in names if name and name.startswith(begin)]


def _site_of(context: click.Context) -> Site | None:
    from tailrace.sites import site  # noqa: PLC0415 - as above
    from tailrace.sites._profiles import find_described  # noqa: PLC0415

    with suppress(TailraceError):
        name = context.params.get("provider") or context.params.get("name")
        if name is None:
            chat = find_described().chat
            name = next((each.settings.site for each in chat if each.settings.site), None)
        # Trust is for variables, of which none is read here.
        return None if name is None else site(name, trust=True)
    return None
