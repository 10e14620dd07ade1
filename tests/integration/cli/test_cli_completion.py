"""``tailrace completion``: what shells are given, and what they are told for a line."""

from __future__ import annotations

import os
import shutil
import sys
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


BASH = """
tailrace() { "$PYTHON" -m tailrace "$@"; }
complete() { :; }
source /dev/stdin <<< "$SCRIPT"
COMP_LINE="$LINE" COMP_POINT=${#LINE}
_tailrace_completion tailrace
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tailrace chat -p http://127.0.0.1:9/ --software o", ["openai", "ollama"]),
        ("tailrace chat -p kept -m l", ["llama3:8b", "llama3:70b", "large"]),
        ("tailrace chat -p kept -m llama3:", ["8b", "70b"]),
        ("tailrace chat -p kept -m llama3:7", ["70b"]),
        ("tailrace chat -p kept -m 'llama3:7", ["llama3:70b"]),  # within quotes it parts nothing
        ("tailrace chat -p kept -m llama3:70b -", None),
    ],
)
async def test_bash_gets_what_stands_behind_a_colon(
    line: str, found: list[str] | None, tmp_path: Path
) -> None:
    """Bash parts words at colons, and replaces only the last part."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    file = tmp_path / "tailrace.toml"
    models = 'models = ["llama3:8b", "llama3:70b", "large"]'
    file.write_text(f'[sites.kept]\nurl = "http://127.0.0.1:9/"\nsoftware = "ollama"\n{models}\n')
    variables = {
        "SCRIPT": (await run("completion", "bash")).stdout,
        "LINE": line,
        "PYTHON": sys.executable,
        "TAILRACE_CONFIG": str(file),
    }
    done = run_program(  # noqa: ASYNC221, S603 - a moment
        [bash, "--norc", "-c", BASH],
        capture_output=True,
        check=False,
        env={**os.environ, **variables},
    )
    shown = done.stdout.decode().split()
    assert done.stderr == b""
    assert shown == found if found is not None else "--system" in shown


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
