"""docs/conformance.md: its examples run and print what it shows, and its tables are those of the results beside it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance import PEERS, page
from tailrace.conformance import rules

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "conformance.md").read_text("utf-8")
RESULTS: dict[str, Any] = json.loads((DOCS / "conformance.json").read_text("utf-8"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def block(beginning: str) -> str:
    [found] = [text for _, text in FENCE.findall(TEXT) if text.startswith(beginning)]
    return str(found)


def test_the_decoder_in_python_gets_what_is_shown(tmp_path: Path) -> None:
    (tmp_path / "my_decoder.py").write_text(block("# my_decoder.py"), "utf-8")
    command, _, shown = block("$ python -m").partition("\n")
    words = [sys.executable, *shlex.split(command.removeprefix("$ "))[1:]]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603 - the document's
    printed = "\n".join(line.rstrip() for line in run.stdout.splitlines()) + "\n"
    assert (run.returncode, run.stderr, printed) == (1, "", shown)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_the_decoder_in_another_language_is_asked(tmp_path: Path) -> None:
    (tmp_path / "my_decoder.mjs").write_text(block("// my_decoder.mjs"), "utf-8")
    words = [sys.executable, "-m", "tailrace.conformance", "sse", "--json", "--program", "node", "my_decoder.mjs"]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603 - the document's
    told = json.loads(run.stdout)
    assert (run.returncode, told["decoder"], told["claims"]) == (1, "mine", [])
    states = {rule["id"]: rule["state"] for rule in told["rules"]}
    assert (states["sse/utf-8"], states["sse/cr"], states["sse/id"]) == ("kept", "broken", "not claimed")
    assert not [broken for rule in told["rules"] for broken in rule["breaks"] if broken["lost"]]


def test_the_tables_are_those_of_the_results() -> None:
    assert page(TEXT, RESULTS) == TEXT


def test_every_decoder_was_asked_about_the_rules_of_today() -> None:
    assert [(peer["name"], peer["kind"]) for peer in RESULTS["peers"]] == [(peer.name, peer.kind) for peer in PEERS]
    for peer, asked in zip(PEERS, RESULTS["peers"], strict=True):
        wanted = [
            rule.id for rule in rules() if rule.kind == peer.kind and not (peer.loop and rule.level == "robustness")
        ]
        assert [rule["id"] for rule in asked["rules"]] == wanted
        if peer.name == "tailrace":
            assert {rule["state"] for rule in asked["rules"]} == {"kept"}
