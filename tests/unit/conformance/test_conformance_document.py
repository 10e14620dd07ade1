"""docs/conformance.md: its program in another language runs, and its tables are those of the
results beside it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from blocks import blocks_of

from conformance import PAGE, PEERS, RAW, page
from tailrace.conformance import rules

if TYPE_CHECKING:
    from pathlib import Path

TEXT = PAGE.read_text("utf-8")
RESULTS: dict[str, Any] = json.loads(RAW.read_text("utf-8"))


@pytest.mark.heavy
@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_the_decoder_in_another_language_is_asked(tmp_path: Path) -> None:
    [program] = [block.text for block in blocks_of(PAGE) if block.language == "js"]
    (tmp_path / "my_decoder.mjs").write_text(program, "utf-8")
    words = [
        sys.executable,
        "-m",
        "tailrace.conformance",
        "sse",
        "--json",
        "--program",
        "node",
        "my_decoder.mjs",
    ]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603 - the document's
    told = json.loads(run.stdout)
    assert (run.returncode, told["decoder"], told["claims"]) == (1, "mine", [])
    states = {rule["id"]: rule["state"] for rule in told["rules"]}
    assert (states["sse/utf-8"], states["sse/cr"], states["sse/id"]) == (
        "kept",
        "broken",
        "not claimed",
    )
    assert not [broken for rule in told["rules"] for broken in rule["breaks"] if broken["lost"]]


def test_the_tables_are_those_of_the_results() -> None:
    assert page(TEXT, RESULTS) == TEXT


def test_every_decoder_was_asked_about_the_rules_of_today() -> None:
    assert [(peer["name"], peer["kind"]) for peer in RESULTS["peers"]] == [
        (peer.name, peer.kind) for peer in PEERS
    ]
    for peer, asked in zip(PEERS, RESULTS["peers"], strict=True):
        wanted = [
            rule.id
            for rule in rules()
            if rule.kind == peer.kind and not (peer.loop and rule.level == "robustness")
        ]
        assert [rule["id"] for rule in asked["rules"]] == wanted
        if peer.name == "tailrace":
            assert {rule["state"] for rule in asked["rules"]} == {"kept"}
