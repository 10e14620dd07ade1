"""Runs that are killed at any moment, and started again."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

WRITER = Path(__file__).with_name("writer.py")
KILLS = int(os.environ.get("BATCH_KILLS", "12"))
ROWS = 400


def test_a_run_killed_at_any_moment_has_each_row_once(tmp_path: Path) -> None:
    given, out = tmp_path / "in.jsonl", tmp_path / "out"
    chance = random.Random()
    kills = torn = starts = 0
    while kills < KILLS:
        out = tmp_path / f"out-{starts}"
        given.write_text("".join(line(number) for number in range(ROWS)), "utf-8")
        is_over = False
        while not is_over:
            starts += 1
            is_over = lives(given, out, starts, chance.uniform(0, 0.05))
            kills += not is_over
            torn += any(is_torn(each) for each in out.glob("*.jsonl"))
        check(out)
    sys.stdout.write(f"{kills} kills, {torn} of them with a torn line, {starts} starts\n")


def lives(given: Path, out: Path, seed: int, seconds: float) -> bool:
    """Start a run and kill it so many seconds later; return whether it was over before."""
    command = [sys.executable, str(WRITER), str(given), str(out), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        assert process.stdout.readline() == "opening\n"
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        return process.stdout.read() == "closed\n"


def line(number: int) -> str:
    body = {"messages": [{"role": "user", "content": f"Say {number}"}]}
    row = {"custom_id": f"r{number}", "url": "/v1/chat/completions", "body": body}
    return json.dumps(row) + "\n"


def is_torn(file: Path) -> bool:
    data = file.read_bytes()
    return bool(data) and not data.endswith(b"\n")


def check(out: Path) -> None:
    done, failed = (
        [*map(json.loads, (out / f"{name}-00000-of-00001.jsonl").read_bytes().splitlines())]
        for name in ("part", "errors")
    )
    ids: list[Any] = [each["custom_id"] for each in (*done, *failed)]
    assert sorted(ids) == sorted(f"r{number}" for number in range(ROWS))
    assert all(each["response"]["body"]["text"] for each in done)
    assert all(each["error"]["partial_text"] for each in failed)
