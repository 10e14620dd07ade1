"""``tailrace completion``: what a shell needs to complete this command line.

And what it completes: sites, models and software, as far as files tell them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from tailrace.sites import Site

__all__ = ["completion", "model_names", "site_names"]

_SHELLS = ("bash", "fish", "zsh")
_VARIABLE = "_TAILRACE_COMPLETE"


@add_completion_class
class _Bash(BashComplete):
    """Completion of whole words, such as the model ``llama3:8b``.

    Bash itself parts words at colons, too, and replaces only what stands behind the last one.
    """

    source_template = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:COMP_POINT}" type value
    local word="${line##*[[:space:]]}"
    local before="${word%%"${word##*:}"}"
    [[ $COMP_WORDBREAKS == *:* ]] || before=
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("${value#"$before"}") ;;
        esac
    done < <(COMP_WORDS="$line" %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words of the line up to the cursor, and the one that is being typed."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        is_begun = bool(words) and not line[-1:].isspace()
        return (words[:-1], words[-1]) if is_begun else (words, "")


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
