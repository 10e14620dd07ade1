"""Every page does what it says: its code and commands run, and show what it shows."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from blocks import PAGES, ROOT, Block, blocks_of, name_of
from reader import REPLICA_PORT, Reader, matches

from tailrace._streams.loop_thread import LoopThread
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WITH_THE_FLEET = "needs the fleet's own wheel; tests/fleet runs it"
ELSEWHERE = "a test among those of other people's clients runs it"
# What is not run, each with its reason in the page: a block more is a line more here.
NOT_RUN = [
    ("README.md", "compiles the core and asks a package index"),
    ("README.md", "is what runs this page"),
    ("docs/benchmarks.md", "takes minutes, and judges a quiet machine"),
    ("docs/conformance.md", "asks Node.js, which not every machine has"),
    ("docs/fleet.md", "compiles the core and asks a package index"),
    *[("docs/fleet.md", WITH_THE_FLEET)] * 3,
    ("docs/fleet.md", "needs numpy and the fleet's own wheel; tests/fleet runs it where both are"),
    *[("docs/fleet.md", WITH_THE_FLEET)] * 3,
    ("docs/fleet.md", "needs an authority and a proxy of one's own"),
    ("docs/gateway.md", "opens a port to other machines"),
    (
        "docs/how-to/agents.md",
        "a file of the repository; tests/integration/gateway compares what it prints",
    ),
    *[("docs/how-to/batch.md", "needs Ray, which is not in every environment")] * 3,
    *[("docs/how-to/evaluate.md", f"needs Inspect, which is installed apart; {ELSEWHERE}")] * 2,
    *[
        ("docs/how-to/evaluation-tools.md", f"needs {tool}, which is installed apart")
        for tool in ("promptfoo", "lm-eval", "garak")
    ],
    ("docs/how-to/load-test.md", "needs Locust, which replaces Python's threads and sockets"),
    ("docs/how-to/nginx.md", "needs a machine with a public name"),
    *[("docs/http-apis.md", f"needs the package anthropic; {ELSEWHERE}")] * 2,
    ("docs/http-apis.md", f"needs the package google-genai; {ELSEWHERE}"),
    *[("docs/installing.md", "compiles the core and asks a package index")] * 2,
    ("docs/rust.md", "compiles the core; the crate's own tests build these examples"),
    ("docs/terminal.md", "typed on a terminal by a test of its own"),
    ("docs/terminal.md", "a conversation takes a terminal"),
    ("docs/terminal.md", "writes into the reader's own folders"),
    ("docs/tutorial.md", "compiles the core and asks a package index"),
]
for_a_unix_shell = pytest.mark.skipif(
    sys.platform == "win32", reason="the pages' commands are for a Unix shell"
)
RUN = [page for page in PAGES if any(block.runs for block in blocks_of(page))]


@pytest.fixture(scope="module")
def replica() -> Iterator[Replica]:
    """The sites, for every page that says a replica is running and does not start one itself."""
    with LoopThread() as loop:
        sites = Replica()
        loop.run(sites.__aenter__())
        yield sites
        loop.run(sites.__aexit__(None, None, None))


def own_sites(replica: Replica) -> dict[str, str]:
    """The origins that stand for a reader's own sites, and who is that here."""
    return {
        "https://my.example/help": replica.page("ai-power", "stream"),
        "https://shop.example/help": replica.page("ai-power", "two"),
        "https://gem.example": replica.url("geminiprochat"),
        "https://gemini.my.example": replica.url("geminiprochat"),
        "http://localhost:8000/v1": f"{replica.url('openai')}/v1",
        "https://api.anthropic.com": replica.url("anthropic"),
        "https://generativelanguage.googleapis.com": replica.url("gemini"),
        "http://localhost:11434": replica.url("ollama"),
        "https://llm.example": replica.url("ollama"),
    }


def ports(replica: Replica) -> dict[str, str]:
    urls = [site.url for site in replica.sites]
    return {str(REPLICA_PORT + offset): url.rpartition(":")[2] for offset, url in enumerate(urls)}


@for_a_unix_shell
@pytest.mark.timeout(180)  # some pages start twenty programs, one after the other
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_does_what_it_says(page: Path, replica: Replica, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "vectors").symlink_to(ROOT / "tests" / "vectors")
    with Reader(tmp_path, own_sites(replica), ports(replica)) as reader:
        reader.follow(blocks_of(page))


def test_what_stands_for_a_server_of_ones_own_is_where_the_pages_say(replica: Replica) -> None:
    number = [site.name for site in replica.sites].index("openai")
    named = [re.findall(r"127\.0\.0\.1:(88\d\d)/v1`", page.read_text("utf-8")) for page in PAGES]
    assert {port for ports in named for port in ports} == {str(REPLICA_PORT + number)}


def test_what_is_not_run_is_listed() -> None:
    blocks = [block for page in PAGES for block in blocks_of(page)]
    assert [(block.page, block.reason) for block in blocks if block.reason is not None] == NOT_RUN


def test_the_newest_figures_are_the_ones_shown() -> None:
    newest = max(path.stem for path in (ROOT / "benchmarks" / "results").glob("*.md"))
    for page in ("README.md", "docs/benchmarks.md"):
        assert set(re.findall(r"results/([\d-]+)\.", (ROOT / page).read_text("utf-8"))) == {newest}


def test_what_has_a_prompt_is_a_console() -> None:
    for page in PAGES:
        for block in blocks_of(page):
            assert block.language == "console" or not re.search(
                r"^\$ ", block.text, re.MULTILINE
            ), block.place


def test_what_is_seen_is_compared_with_what_is_shown() -> None:
    assert matches("a\n…\nd\n", "a\nb\nc\nd\n")
    assert matches("a …\n\nb 12 ms\n", "a long word\n\nb    3 ms\n\n")
    assert not matches("a\n…\nd\n", "a\nb\nc\n")
    assert not matches("a\nb\n", "a\n\nb\n")
    assert not matches("a …\nb\n", "a\nb\nb\n")


@for_a_unix_shell
@pytest.mark.parametrize(
    ("language", "text", "says"),
    [
        ("python", 'url = "https://elsewhere.example/"\n', "is not of this machine"),
        ("sh", "curl http://127.0.0.1:9/\n", "nothing answers at"),
        ("sh", "false\n", "ended with 1"),
        ("console", "$ echo one\ntwo\n", "--- seen ---\none"),
        ("text", "one\n", "no Python stands before"),
    ],
)
def test_a_page_that_is_wrong_is_found_out(
    language: str, text: str, says: str, replica: Replica, tmp_path: Path
) -> None:
    wrong = Block("page.md", 1, language, text, None)
    with (
        Reader(tmp_path, own_sites(replica), ports(replica)) as reader,
        pytest.raises(AssertionError, match=re.escape(says)),
    ):
        reader.follow([wrong])
