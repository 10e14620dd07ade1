"""The example of an agent prints what the page about agents shows."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

from test_gateway_apis import MODELS

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[3]


async def test_the_transcript_of_the_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_from_file_location("agent", ROOT / "examples" / "agent.py")
    assert spec is not None
    assert spec.loader is not None
    agent = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "agent", agent)
    spec.loader.exec_module(agent)
    await agent.main()
    printed = capsys.readouterr().out
    page = (ROOT / "docs" / "how-to" / "agents.md").read_text("utf-8")
    assert f"$ python examples/agent.py\n{printed}```\n" in page
    assert len(agent.MODELS) == len(MODELS)
