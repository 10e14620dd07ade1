"""``tailrace sites``, and a site's name or URL where a provider's name stands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_process import run, run_on_terminal, run_without_reader

from tailrace.replica import Replica
from tailrace.sites import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FILE = """
[sites.shop]
url = "{page}"
bot = "5"
models = ["large", "small"]
cookies_env = "SHOP_COOKIES"

[sites.gem]
url = "{app}"
software = "geminiprochat"
secret_key_env = "GEM_KEY"
"""


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1, secret="pepper") as running:
        yield running


@pytest.fixture
def config(replica: Replica, tmp_path: Path) -> str:
    file = tmp_path / "mine.toml"
    file.write_text(
        FILE.format(page=replica.page("ai-power", "two"), app=replica.url("geminiprochat"))
    )
    return str(file)


def add(file: str, table: str) -> None:
    with Path(file).open("a") as opened:
        opened.write(table)


async def test_groups_of_models_stand_below(config: str) -> None:
    add(config, '[models.any]\nsites = ["shop/large", "gem"]\n')
    end = await run("sites", TAILRACE_CONFIG=config)
    assert (end.code, end.stderr) == (0, "")
    assert end.stdout.splitlines()[-2:] == ["any: shop/large, gem", config]


async def test_json_says_what_the_file_says_and_no_secret(config: str) -> None:
    end = await run("sites", "--json", TAILRACE_CONFIG=config, GEM_KEY="pepper")
    assert (end.code, end.stderr) == (0, "")
    shop, gem = json.loads(end.stdout)
    assert (shop["name"], shop["bot"], shop["models"], shop["file"]) == (
        "shop",
        "5",
        ["large", "small"],
        config,
    )
    assert (shop["variables"], gem["variables"]) == ({"SHOP_COOKIES": False}, {"GEM_KEY": True})
    assert gem["software"] == "geminiprochat"
    assert "pepper" not in end.stdout


WORDS = ("shop", "large", "gem", "geminiprochat", "GEM_KEY (set)", "SHOP_COOKIES (not set)")


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
async def test_the_table_names_sites_and_files(config: str) -> None:
    set_up = {"TAILRACE_CONFIG": config, "GEM_KEY": "pepper", "COLUMNS": "100", "TERM": "dumb"}
    got = await run_on_terminal("sites", **set_up)
    for word in (*WORDS, "bot 5", "│", config):
        assert word in got
    assert "pepper" not in got


async def test_in_a_pipe_a_site_is_a_line_with_tabs(config: str, replica: Replica) -> None:
    end = await run("sites", TAILRACE_CONFIG=config, GEM_KEY="pepper")
    assert (end.code, end.stderr) == (0, "")
    assert [line.split("\t") for line in end.stdout.splitlines()] == [
        ["site", "url", "software", "bot", "models", "needs"],
        [
            "shop",
            replica.page("ai-power", "two"),
            "wordpress",
            "5",
            "large, small",
            "SHOP_COOKIES (not set)",
        ],
        ["gem", replica.url("geminiprochat"), "geminiprochat", "", "", "GEM_KEY (set)"],
        [config],
    ]


async def test_no_site_is_no_failure(tmp_path: Path) -> None:
    file = tmp_path / "empty.toml"
    file.touch()
    end = await run("sites", TAILRACE_CONFIG=str(file))
    assert (end.code, end.stdout, end.stderr) == (0, "", f"No site is described in {file}.\n")
    end = await run("sites", XDG_CONFIG_HOME=str(tmp_path), HOME=str(tmp_path))
    assert (end.code, end.stdout) == (0, "")
    assert "tailrace.toml." in end.stderr


async def test_a_wrong_file_is_2_and_says_where(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[sites.shop]\nurl = 5")
    for command in (["sites"], ["chat", "--provider", "shop", "hi"]):
        end = await run(*command, TAILRACE_CONFIG=str(file))
        assert (end.code, end.stdout) == (2, "")
        assert end.stderr == f"tailrace: {file}: sites.shop.url: expected str, got int\n"


async def test_a_sites_name_answers(replica: Replica, config: str) -> None:
    end = await run(
        "chat", "--provider", "shop", "hello", TAILRACE_CONFIG=config, SHOP_COOKIES="a=1"
    )
    assert (end.code, end.stderr) == (0, "")
    assert "You asked: “hello”" in end.stdout
    form = replica.exchanges[-1].form
    assert form is not None
    assert form["bot_id"] == "5"
    end = await run("chat", "--provider", "GEM", "hello", TAILRACE_CONFIG=config, GEM_KEY="pepper")
    assert (end.code, end.stderr) == (0, "")
    end = await run("chat", "--provider", "gem", "hello", TAILRACE_CONFIG=config)
    assert (end.code, end.stdout) == (2, "")
    assert "sites.gem.secret_key_env: the environment variable GEM_KEY is not set" in end.stderr


async def test_a_url_answers(replica: Replica) -> None:
    for page in (replica.page("ai-power", "json"), replica.page("aipkit", "inline")):
        end = await run("chat", "--provider", page, "hello")
        assert (end.code, end.stderr) == (0, "")
        assert "You asked: “hello”" in end.stdout
    end = await run("chat", "--provider", replica.url("geminiprochat"), "hello")
    assert end.code == 3
    assert "neither a chat nonce nor a post id" in end.stderr
    # With its software it is asked properly, and says what is missing.
    end = await run(
        "chat", "--provider", replica.url("geminiprochat"), "--software", "geminiprochat", "hello"
    )
    assert end.code == 3
    assert "Invalid signature." in end.stderr


@pytest.mark.parametrize("software", SOFTWARE)
async def test_a_url_is_answered_by_a_replica_of_its_software(software: str) -> None:
    models = {
        "openai": "gpt-4o",
        "anthropic": "claude-haiku-4-5",
        "gemini": "gemini-2.5-flash",
        "ollama": "llama3.2:latest",
    }
    model = ["--model", models[software]] if software in models else []
    end = await run(
        "chat",
        "--provider",
        "https://a.example",
        "--software",
        software,
        "--replica",
        *model,
        "hello",
    )
    assert (end.code, end.stderr) == (0, "")


async def test_a_software_is_for_a_url() -> None:
    end = await run("chat", "--provider", "ChatGptt", "--software", "geminiprochat", "hello")
    assert (end.code, end.stdout) == (2, "")
    assert "ChatGptt runs wordpress, not geminiprochat" in end.stderr


@pytest.mark.parametrize(
    "command", [["chat", "hello"], ["doctor", "ChatGptt"], ["record", "a", "b", "c"]]
)
async def test_the_former_name_of_the_option_names_the_new_one(command: list[str]) -> None:
    for value, software in (
        ("ai-power", "wordpress"),
        ("openai", "openai"),
        ("gopher", "wordpress|ai-engine|"),
    ):
        end = await run(*command, "--dialect", value)
        assert (end.code, end.stdout) == (2, "")
        assert f"--dialect is now --software: write --software {software}" in end.stderr


async def test_a_reader_that_is_not_there_is_141(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli_process._ENVIRONMENT", {"TAILRACE_CONFIG": config})
    end = await run_without_reader("sites")
    assert (end.code, end.stderr) == (141, "")
