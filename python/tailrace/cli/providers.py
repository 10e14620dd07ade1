"""``tailrace providers``: what each provider is and supports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tailrace.providers import site_providers

if TYPE_CHECKING:
    from tailrace.providers import ChatProvider

__all__ = ["providers"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
def providers(as_json: bool) -> None:
    """List the providers. "works" speaks of the client; whether the site does, a call tells."""
    rows = [_row(provider) for provider in site_providers()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, needed for the table only
    from rich.table import Table  # noqa: PLC0415

    # A column a provider: eighty characters hold that, and a piped table is no wider.
    table = Table(box=None, pad_edge=False)
    for heading in ("", *(row["name"] for row in rows)):
        table.add_column(str(heading), overflow="fold")
    for label, key in _LINES.items():
        table.add_row(label, *(_cell(row[key]) for row in rows))
    Console().print(table)


_LINES = {
    "site": "url",
    "dialect": "dialect",
    "models": "models",
    "streams": "streams",
    "system": "system_message",
    "history": "message_history",
    "transport": "transport",
    "works": "working",
}


def _row(provider: type[ChatProvider]) -> dict[str, str | bool | list[str]]:
    return {
        "name": provider.__name__,
        "url": provider.url,
        "dialect": provider.dialect,
        "models": provider.get_models(),
        "streams": provider.supports_stream,
        "system_message": provider.supports_system_message,
        "message_history": provider.supports_message_history,
        "transport": provider.transport_kind,
        "working": provider.working,
    }


def _cell(value: str | bool | list[str]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.removeprefix("https://") if isinstance(value, str) else "\n".join(value)
