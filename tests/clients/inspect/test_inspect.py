"""The page about evaluations, done as a reader would: Inspect's own command over the gateway, in an
environment without ours, with loopback alone to reach.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from blocks import ROOT, blocks_of
from reader import Reader
from test_documents_run import own_sites, ports

from tailrace._streams.loop_thread import LoopThread
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)

ENVIRONMENT = ROOT / ".venv-inspect" / "bin"
ONLY_LOOPBACK = ROOT / "tests" / "clients" / "programs" / "only_loopback.py"


@pytest.fixture
def replica() -> Iterator[Replica]:
    with LoopThread() as loop:
        sites = Replica(shutdown_timeout=0.1)
        loop.run(sites.__aenter__())
        yield sites
        loop.run(sites.__aexit__(None, None, None))


def test_the_page_does_what_it_says(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, programs = tmp_path / "folder", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    command = programs / "inspect"
    command.write_text(f'#!/bin/sh\nexec {ENVIRONMENT}/python {ONLY_LOOPBACK} inspect "$@"\n')
    command.chmod(0o700)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    page = [replace(block, reason=None) for block in blocks_of(ROOT / "docs/how-to/evaluate.md")]
    with Reader(folder, own_sites(replica), ports(replica)) as reader:
        reader.follow(page)
    (log,) = [json.loads(file.read_text("utf-8")) for file in (folder / "logs").glob("*.json")]
    assert log["status"] == "success"
    assert log["eval"]["model"] == "openai-api/bot/bot/default"
    scores = {each["input"]: each["scores"]["includes"]["value"] for each in log["samples"]}
    assert scores == {
        "Are you open on Sunday?": "C",
        "Where do I park?": "C",
        "What does a ticket cost?": "I",
    }
