"""``tailrace providers``: the table and its JSON say the same."""

from __future__ import annotations

import json
import sys

import pytest
from cli_process import run, run_on_terminal, run_without_reader

from tailrace.providers import site_providers


async def test_json_says_what_the_classes_say() -> None:
    end = await run("providers", "--json")
    assert (end.code, end.stderr) == (0, "")
    rows = json.loads(end.stdout)
    assert [row["name"] for row in rows] == ["ChatGptt", "ChatgptFree", "ChatGptEs", "GPROChat"]
    for row, provider in zip(rows, site_providers(), strict=True):
        assert row["url"] == provider.url
        assert row["software"] == provider.software
        assert row["models"] == provider.get_models()
        assert row["transport"] == provider.transport_kind
        flags = (row["streams"], row["system_message"], row["message_history"], row["working"])
        supports = (
            provider.supports_stream,
            provider.supports_system_message,
            provider.supports_message_history,
        )
        assert flags == (*supports, provider.working)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
async def test_the_table_shows_every_name_and_model_at_80_columns() -> None:
    got = await run_on_terminal("providers", COLUMNS="80", NO_COLOR="1", TERM="dumb")
    assert max(map(len, got.splitlines())) <= 80
    assert "…" not in got
    # A cell too narrow for a word folds it: joined again, column by column, nothing is missing.
    rows = [line.strip("│").split("│") for line in got.splitlines() if line.startswith("│")]
    shown = "".join("".join(cell.strip() for cell in column) for column in zip(*rows, strict=True))
    for provider in site_providers():
        site = provider.url.removeprefix("https://")
        for word in (
            f"{provider.__name__}{site}",
            provider.software,
            "".join(provider.get_models()),
        ):
            assert word in shown


async def test_in_a_pipe_a_provider_is_a_line_with_tabs() -> None:
    end = await run("providers", COLUMNS="20")
    names, *rows = [line.split("\t") for line in end.stdout.splitlines()]
    assert names[:3] == ["provider", "url", "software"]
    assert [(row[0], row[1], row[4]) for row in rows] == [
        (each.__name__, each.url, ", ".join(each.get_models())) for each in site_providers()
    ]


async def test_a_reader_that_is_not_there_is_141() -> None:
    for arguments in ([], ["--json"]):
        end = await run_without_reader("providers", *arguments)
        assert (end.code, end.stderr) == (141, "")
