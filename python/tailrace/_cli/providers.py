"""``tailrace providers``: the providers, and the features each supports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from tailrace._cli.screen import console
from tailrace.providers import site_providers
from tailrace.sites import last_verdict

if TYPE_CHECKING:
    from tailrace.providers import ChatProvider

__all__ = ["providers"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
def providers(as_json: bool) -> None:
    """List the providers.

    "works" speaks of the client, and of the site as the doctor last found it, if it did.
    """
    rows = [_row(provider) for provider in site_providers()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.table import Column, Table  # noqa: PLC0415 - slow to import, needed for the table only

    table = Table(
        "provider",
        "software",
        Column("models", overflow="fold"),
        "supports",
        "works",
        show_lines=True,
    )
    for row in rows:
        table.add_row(*_cells(row))
    console().print(table)


def _row(provider: type[ChatProvider]) -> dict[str, Any]:
    verdict = last_verdict(provider.__name__, provider.url)
    return {
        "name": provider.__name__,
        "url": provider.url,
        "software": provider.software,
        "models": provider.get_models(),
        "streams": provider.supports_stream,
        "system_message": provider.supports_system_message,
        "message_history": provider.supports_message_history,
        "transport": provider.transport_kind,
        "working": provider.working,
        "doctor": verdict and {"failed": verdict.failed, "at": verdict.when},
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the table's five cells, narrow enough together for a terminal of 80 columns."""
    supported = {
        "streaming": "streams",
        "system message": "system_message",
        "history": "message_history",
    }
    return (
        f"{row['name']}\n{row['url'].removeprefix('https://')}",
        f"{row['software']}\nover {_LIBRARIES[row['transport']]}",
        "\n".join(row["models"]),
        "\n".join(name for name, key in supported.items() if row[key]),
        ("yes" if row["working"] else "no") + _last_visit(row["doctor"]),
    )


def _last_visit(verdict: dict[str, str | None] | None) -> str:
    """Return two lines below the static flag: the doctor's verdict and its day, if there is one."""
    if verdict is None:
        return ""
    result = "answered" if verdict["failed"] is None else f"{verdict['failed']} failed"
    return f"\n{result}\n{(verdict['at'] or '')[:10]}"


_LIBRARIES = {"aiohttp": "aiohttp", "impersonate": "curl_cffi"}
