"""The conversation that docs/terminal.md shows, typed again: the terminal shows the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("termios")

from reader import matches
from seen_terminal import ENTER, on_terminal

from tailrace.replica import Replica

PAGE = Path(__file__).parents[3] / "docs" / "terminal.md"


async def test_the_page_shows_what_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text("utf-8")
    shown = re.search(r"by a test of its own -->\n```text\n(.*?)```", text, re.DOTALL)
    config = re.search(r"```toml\n(# tailrace.toml\n.*?)```", text, re.DOTALL)
    assert shown is not None
    assert config is not None
    file = tmp_path / "tailrace.toml"
    monkeypatch.chdir(tmp_path)
    async with Replica(pace=0) as replica:
        port = replica.url("ai-power").rpartition(":")[2]
        file.write_text(config[1].replace("8800", port))
        variables: dict[str, Any] = {
            "TAILRACE_CONFIG": str(file),
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        async with on_terminal("chat", **variables) as terminal:
            lines = shown[1].splitlines()
            prompts = 1
            for number, line in enumerate(lines):
                if not line.startswith("shop> ") or lines[number - 1] == "shop> /retry":
                    continue
                await terminal.prompted(prompts)
                typed = line.removeprefix("shop> ")
                prompts += 2 if typed == "/retry" else 1
                terminal.type(typed + ENTER)
            assert await terminal.end() == 0
            seen = terminal.text.replace(port, "8800") + "\n"
    assert matches(shown[1], seen), seen
    assert (tmp_path / "mill.md").exists()
