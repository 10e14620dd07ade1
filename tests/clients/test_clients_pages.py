"""Pages of the documents that need other people's packages, done here as a reader would: whatever
the page's other tests leave out is run, too.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blocks import ROOT, blocks_of
from reader import Reader
from test_documents_run import ELSEWHERE, own_sites, ports

from tailrace._streams.loop_thread import LoopThread
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def replica() -> Iterator[Replica]:
    with LoopThread() as loop:
        sites = Replica()
        loop.run(sites.__aenter__())
        yield sites
        loop.run(sites.__aexit__(None, None, None))


@pytest.mark.parametrize("page", ["docs/http-apis.md", "plugins/llm-tailrace/README.md"])
def test_a_page_does_what_it_says(
    page: str, replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    programs = Path(sys.executable).parent  # among them the command llm
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    blocks = [
        replace(block, reason=None) if ELSEWHERE in (block.reason or "") else block
        for block in blocks_of(ROOT / page)
    ]
    with Reader(tmp_path, own_sites(replica), ports(replica)) as reader:
        reader.follow(blocks)
