"""The fleet's page does what it says: what other tests leave out for want of the wheel."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from blocks import PYTHON, ROOT, blocks_of
from reader import Reader

from tailrace._streams.loop_thread import LoopThread
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocks import Block

PAGE = ROOT / "docs" / "fleet.md"


@pytest.fixture
def replica() -> Iterator[Replica]:
    with LoopThread() as loop:
        sites = Replica()
        loop.run(sites.__aenter__())
        yield sites
        loop.run(sites.__aexit__(None, None, None))


def test_the_page_does_what_it_says(replica: Replica, tmp_path: Path) -> None:
    shown = [
        replace(block, reason=None) if can_run(block) else block
        for block in blocks_of(PAGE)
        if block.language in PYTHON or block.language == "text"
    ]
    origins = {"http://localhost:8000/v1": f"{replica.url('openai')}/v1"}
    port = replica.url("openai").rpartition(":")[2]
    with Reader(tmp_path, origins, {"8000": port}) as reader:
        reader.follow(shown)
    assert len(shown) >= 2


def can_run(block: Block) -> bool:
    """Whether the fleet's wheel, and numpy where it is there, is all that it waits for."""
    reason = block.reason or ""
    is_there = "numpy" not in reason or find_spec("numpy") is not None
    return "tests/fleet runs it" in reason and is_there
