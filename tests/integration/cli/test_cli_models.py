"""``tailrace models``: a server's own list."""

from __future__ import annotations

import json

from cli_process import run

from tailrace.replica import Replica


async def test_a_servers_models_are_listed() -> None:
    async with Replica(shutdown_timeout=0.1) as replica:
        asked = ("models", replica.url("ollama"), "--software", "ollama", "--timeout", "30")
        plain, as_json = await run(*asked), await run(*asked, "--json")
    assert (plain.code, plain.stderr, as_json.code) == (0, "", 0)
    assert "llama3.2:latest" in plain.stdout.splitlines()
    assert json.loads(as_json.stdout) == plain.stdout.splitlines()


async def test_a_page_has_the_models_of_its_profile() -> None:
    provider, url = await run("models", "ChatGptt"), await run("models", "https://a.example")
    assert provider.stdout.splitlines() == ["gpt-4", "gpt-4o", "gpt-4o-mini"]
    assert url.code == 2
    assert "tell no list of models" in url.stderr
