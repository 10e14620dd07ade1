"""``tailrace completion``: what shells are given, and what they are told for a line."""

from __future__ import annotations

import shutil
from subprocess import run as run_program
from typing import TYPE_CHECKING

import pytest
from cli_process import run, run_in

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[chat]
site = "shop"
[sites.shop]
url = "http://127.0.0.1:9/"
models = ["large", "small"]
aliases = { big = "large" }
api_key_env = "KEY"
software = "openai"
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_a_shell_can_read_it(shell: str) -> None:
    end = await run("completion", shell)
    assert end.code == 0
    assert f"_TAILRACE_COMPLETE={shell}_complete" in end.stdout
    program = shutil.which(shell)
    if program is not None:
        done = run_program(  # noqa: ASYNC221, S603 - a moment
            [program, "-n"], input=end.stdout.encode(), capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tailrace com", ["completion"]),
        ("tailrace chat -p s", ["shop"]),
        ("tailrace chat -p gp", ["GPROChat"]),
        ("tailrace chat -p shop -m ", ["large", "small", "big"]),
        ("tailrace chat --model s", ["small"]),
        ("tailrace chat -p GPROChat -m gem", ["gemini-1.5-pro"]),
        ("tailrace chat --software o", ["openai", "ollama"]),
        ("tailrace chat -p http://a.example -m ", []),
        ("tailrace chat -p nobody -m ", []),
        ("tailrace doctor sh", ["shop"]),
        ("tailrace models SH", ["shop"]),
        ("tailrace record sh", ["shop"]),
        ("tailrace serve --site sh", ["shop"]),
        ("tailrace load sh", ["shop"]),
        ("tailrace batch --site sh", ["shop"]),
        ("tailrace completion z", ["zsh"]),
    ],
)
async def test_a_line_is_completed(line: str, found: list[str], tmp_path: Path) -> None:
    file = tmp_path / "tailrace.toml"
    file.write_text(FILE)
    words = line.split(" ")
    asked = {
        "TAILRACE_CONFIG": str(file),
        "_TAILRACE_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    end = await run_in(asked)
    assert (end.code, end.stderr) == (0, "")
    assert [each.removeprefix("plain,") for each in end.stdout.split()] == found


async def test_a_wrong_file_completes_nothing_and_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "tailrace.toml"
    file.write_text("[")
    asked = {
        "TAILRACE_CONFIG": str(file),
        "_TAILRACE_COMPLETE": "bash_complete",
        "COMP_WORDS": "tailrace chat -p C",
        "COMP_CWORD": "3",
    }
    end = await run_in(asked)
    assert (end.code, end.stderr) == (0, "")
    assert "ChatGptt" in end.stdout
