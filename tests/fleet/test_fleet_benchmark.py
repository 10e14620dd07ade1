"""The fleet's benchmark runs, with the contenders that are installed. No speed is judged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.heavy
def test_a_quick_run_measures_and_files_nothing(tmp_path: Path) -> None:
    program = str(ROOT / "benchmarks" / "fleet.py")
    command = [sys.executable, program, "--quick", "--folder", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("## A fleet of streams")
    assert list(tmp_path.iterdir()) == []
