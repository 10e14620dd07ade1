"""``tailrace providers``: the providers, and the features each supports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from tailrace._cli.screen import print_table
from tailrace.providers import site_providers
from tailrace.sites import last_verdict

if TYPE_CHECKING:
    from tailrace.providers import ChatProvider

__all__ = ["providers"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
def providers(as_json: bool) -> None:
    """List the providers, and what "tailrace doctor" last found of their sites.

    Nothing is asked now: a site that the doctor was never sent to is "never asked".
    """
    rows = [_row(provider) for provider in site_providers()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    print_table(
        ("provider", "url", "software", "transport", "models", "supports", "last verdict"),
        [_plain(row) for row in rows],
        drawn=[("provider", "software", "models", "supports", "last verdict"), *map(_cells, rows)],
        narrow=("provider", "software", "supports"),
    )


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
        "working": provider.working,  # of the class: whether the client is kept up
        "doctor": verdict and {"failed": verdict.failed, "at": verdict.when},
    }


def _plain(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        row["url"],
        row["software"],
        row["transport"],
        ", ".join(row["models"]),
        ", ".join(_supported(row)),
        _last_verdict(row["doctor"]).replace("\n", " "),
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the drawn table's five cells, narrow enough together for 80 columns."""
    return (
        f"{row['name']}\n{row['url'].removeprefix('https://')}",
        f"{row['software']}\nover {_LIBRARIES[row['transport']]}",
        "\n".join(row["models"]),
        "\n".join(_supported(row)),
        _last_verdict(row["doctor"]),
    )


def _supported(row: dict[str, Any]) -> list[str]:
    supported = {
        "streaming": "streams",
        "system message": "system_message",
        "history": "message_history",
    }
    return [name for name, key in supported.items() if row[key]]


def _last_verdict(verdict: dict[str, str | None] | None) -> str:
    """Return the doctor's verdict and its day, on two lines."""
    if verdict is None:
        return "never asked"
    result = "answered" if verdict["failed"] is None else f"{verdict['failed']} failed"
    return f"{result}\n{(verdict['at'] or '')[:10]}"


_LIBRARIES = {"aiohttp": "aiohttp", "impersonate": "curl_cffi"}
