"""The benchmarks run, with the contenders that are installed; every text they compare is right.

No speed is judged.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import workloads
from quote import BULK, PROCESSES, at_length, in_short
from report import RESULTS, Figure, Options, Section, Table, publish
from timing import Measured, SelfTimed, WrongResultError, measure

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[3]
SECTION = Section(
    name="decode",
    title="Replies to text",
    tables=(Table("W1", ("contender", "1400 B"), (("ours", "1"),)),),
    figures=(
        Figure("fast", 0.1, 0.2, 0.15),
        Figure("fair", 0.18, 0.2, 0.15),
        Figure("slow", 0.3, 0.2),
        Figure("told", 7),
    ),
    notes="Nothing is like anything.",
    versions={"python": "3"},
)


@pytest.mark.heavy
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "program", ["decode", "page", "sign", "memory", "bulk", "endtoend", "fast", "load", "batch"]
)
def test_a_quick_run_measures_and_files_nothing(program: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / f"{program}.py"),
        "--quick",
        "--folder",
        str(tmp_path),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(("## ", "memory is measured on Linux"))
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_text_ends_the_run() -> None:
    wrong = Measured("a liar", lambda: "x", "y".__eq__, 1)
    with pytest.raises(WrongResultError, match="a liar"):
        measure([wrong], 1)


def test_who_takes_its_own_time_is_believed() -> None:
    samples = measure([Measured("apart", lambda: SelfTimed(600, "x"), "x".__eq__, 3)], 4)
    assert samples.rounds == {"apart": [200, 200, 200, 200]}


def test_every_round_begins_with_another_contender_and_short_turns_are_taken_twice() -> None:
    order: list[str] = []

    def note(name: str) -> str:
        order.append(name)
        return name

    contenders = [Measured(name, partial(note, name), name.__eq__, 1) for name in "abc"]
    measure(contenders, 3)
    assert "".join(order[3:]) == "aabbccbbccaaccaabb"


@pytest.mark.parametrize(
    "build",
    [
        workloads.w1,
        workloads.w1o,
        workloads.w1i,
        workloads.w2,
        workloads.w3,
        workloads.w4,
        workloads.w4c,
        workloads.w4p,
    ],
)
def test_a_stream_is_the_same_however_it_is_cut_and_whenever_it_is_made(
    build: Callable[[int], workloads.Reply],
) -> None:
    reply = build(50)
    assert reply == build(50)
    assert {b"".join(reply.feeds(size)) for size in workloads.FEEDS.values()} == {reply.body}


def test_the_page_is_as_long_as_it_says_and_its_bot_stands_where_it_should() -> None:
    page = workloads.wordpress_page()
    assert len(page.html) == 300_000
    assert page.html.count(b'class="wpaicg-chat-shortcode"') == 1
    assert page.html.index(b"data-nonce=") == pytest.approx(240_000, rel=0.01)


def test_sections_of_one_day_stand_together(tmp_path: Path) -> None:
    options = Options("2026-11-20", tmp_path / "results", quick=False)
    publish(replace(SECTION, name="sign", title="Signatures", figures=()), options)
    publish(SECTION, options)
    publish(SECTION, options)
    page = (tmp_path / "results" / "2026-11-20.md").read_text("utf-8")
    assert page.index("## Replies to text") < page.index("## Signatures")
    assert page.count("## Replies to text") == 1
    assert [
        line.split(" | ")[-1]
        for line in page.splitlines()
        if line.startswith(("| fast", "| fair", "| slow", "| told"))
    ] == [
        "beyond |",
        "reached |",
        "**not reached** |",
        " |",
    ]
    assert set(
        json.loads((tmp_path / "results" / "2026-11-20.json").read_text("utf-8"))["sections"]
    ) == {
        "decode",
        "sign",
    }


@pytest.mark.parametrize(
    ("page", "quotation"), [("README.md", in_short), ("docs/benchmarks.md", at_length)]
)
def test_the_documents_quote_the_newest_results(
    page: str, quotation: Callable[[dict[str, Any]], str]
) -> None:
    newest = max(RESULTS.glob("*.json"))
    assert quotation(json.loads(newest.read_text("utf-8"))) in (ROOT / page).read_text("utf-8")


def test_many_replies_are_quoted_in_gigabytes_a_second_once_they_are_filed() -> None:
    results = json.loads(max(RESULTS.glob("*.json")).read_text("utf-8"))
    nanoseconds_a_byte = {"median": 0.25, "times_ours": 1.0}, {"median": 2.0, "times_ours": 8.0}
    filed = {
        key: dict(zip((ours, PROCESSES), nanoseconds_a_byte, strict=True))
        for key, ours in BULK.values()
    }
    results["sections"]["bulk"] = {"medians": filed}
    assert "\n| `tailrace decode`, gzip | 4 | 0.5 | 8 |\n" in at_length(results)
