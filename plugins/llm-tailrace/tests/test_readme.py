"""The README does what it says: a reader in a new folder sees what it shows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tailrace._streams.loop_thread import LoopThread
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(sys.platform == "win32", reason="its commands are for a Unix shell"),
]

ROOT = Path(__file__).parents[3]
README = Path(__file__).parents[1] / "README.md"
NOT_RUN = ["compiles the core and asks a package index"]


@pytest.fixture(autouse=True)
def _documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the reader of the other documents, which is a test's, and no package."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "integration" / "documents"))


@pytest.fixture
def open_replica() -> Iterator[Replica]:
    """Sites that want no key."""
    with LoopThread() as loop:
        sites = Replica(shutdown_timeout=0.1)
        loop.run(sites.__aenter__())
        yield sites
        loop.run(sites.__aexit__(None, None, None))


@pytest.mark.timeout(120)  # it starts ten programs, one after the other
def test_the_readme_does_what_it_says(open_replica: Replica, tmp_path: Path) -> None:
    from blocks import blocks_of  # noqa: PLC0415 - see _documents
    from reader import Reader  # noqa: PLC0415

    origins = {
        "https://my.example/help": open_replica.page("ai-power", "stream"),
        "http://localhost:8000/v1": f"{open_replica.url('openai')}/v1",
    }
    ports = {port: port for port in (each.url.rpartition(":")[2] for each in open_replica.sites)}
    with Reader(tmp_path, origins, ports) as reader:
        program = tmp_path / ".bin" / "llm"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m llm "$@"\n')
        program.chmod(0o700)
        reader.follow(blocks_of(README))


def test_what_is_not_run_has_a_reason() -> None:
    from blocks import blocks_of  # noqa: PLC0415

    assert [each.reason for each in blocks_of(README) if each.reason is not None] == NOT_RUN
