"""docs/conformance.md: its program in another language runs, its tables are those of the results
beside it, and those are of the kit of today.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from blocks import blocks_of

from conformance import BEGIN, CHOSEN, END, EXAMPLES, PAGE, PEERS, RAW, asked_about, page
from tailrace.conformance import CLAIMS, rules
from tailrace.conformance._rulebook import LEVELS

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


def test_the_kit_is_the_one_that_was_asked_with() -> None:
    """A rule or case more, or another level, is a reason to ask all of them again."""
    assert RESULTS["rules"] == asked_about(), "`make conformance` asks them anew"


def test_every_decoder_was_asked_about_the_rules_of_today() -> None:
    assert [(peer["name"], peer["kind"]) for peer in RESULTS["peers"]] == [
        (peer.name, peer.kind) for peer in PEERS
    ]
    for peer, asked in zip(PEERS, RESULTS["peers"], strict=True):
        wanted = [
            rule.id
            for rule in rules()
            if rule.kind == peer.kind and not (peer.loop and rule.level in CHOSEN)
        ]
        assert [rule["id"] for rule in asked["rules"]] == wanted


@pytest.mark.parametrize(
    "peer", RESULTS["peers"], ids=lambda peer: f"{peer['kind']}-{peer['name']}"
)
def test_the_counts_are_those_of_the_rules(peer: dict[str, Any]) -> None:
    by_id = {rule.id: rule for rule in rules()}
    states: dict[str, Counter[str]] = {}
    for told in peer["rules"]:
        rule = by_id[told["id"]]
        states.setdefault(rule.level, Counter())[told["state"]] += 1
        claimed = rule.needs <= set(peer["claims"])
        assert (told["state"] == "not claimed") == (not claimed), rule.id
        assert (told["asked"] > 0) == claimed, rule.id
        assert (told["state"] == "broken") == bool(told["cases_broken"]), rule.id
        assert told["cases_broken"] <= len(rule.cases), rule.id
        assert len(told["breaks"]) == min(told["cases_broken"], EXAMPLES), rule.id
    assert peer["counts"] == {level: dict(counts) for level, counts in states.items()}
    assert "not asked" not in {state for counts in states.values() for state in counts}


def test_what_broke_is_a_case_of_its_rule_cut_into_reads() -> None:
    cases = {rule.id: {case.name: case.data for case in rule.cases} for rule in rules()}
    for peer in RESULTS["peers"]:
        for told in peer["rules"]:
            for broken in told["breaks"]:
                reads = b"".join(map(bytes.fromhex, broken["split"]))
                assert cases[told["id"]][broken["case"]] == reads, (peer["name"], broken["case"])


def test_ours_claims_everything_and_keeps_it() -> None:
    ours = [peer for peer in RESULTS["peers"] if peer["name"] == "tailrace"]
    assert [set(peer["claims"]) for peer in ours] == [set(CLAIMS["sse"]), set(CLAIMS["deltas"])]
    for peer in ours:
        assert {state for counts in peer["counts"].values() for state in counts} == {"kept"}


def test_failures_name_no_folder_of_the_machine_that_asked() -> None:
    text = RAW.read_text("utf-8")
    assert not re.findall(r"Traceback|site-packages|/(?:home|root|tmp|work)/", text)


def test_no_level_is_summed_with_another() -> None:
    """Neither in the results nor on the page: each level has its own table and its own counts."""
    for peer in RESULTS["peers"]:
        assert set(peer["counts"]) <= set(LEVELS)
    written = TEXT[TEXT.index(BEGIN) : TEXT.index(END)]
    tables = re.findall(r"^\*\*(\w+)\*\*$", written, re.MULTILINE)
    asked = {(rule.kind, rule.level) for rule in rules()}
    assert Counter(tables) == Counter(level for _, level in asked)
