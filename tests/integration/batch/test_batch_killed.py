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
KILLS = int(os.environ.get("BATCH_KILLS", "6"))
ROWS = 400
BAD = range(7, ROWS, 40)


def test_a_run_killed_at_any_moment_has_each_row_once(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_text("".join(line(number) for number in range(ROWS)), "utf-8")
    chance = random.Random()
    kills = torn = starts = 0
    while kills < KILLS:
        out = tmp_path / f"out-{starts}"
        count = chance.choice([1, 3])
        left, longest = list(range(count)), 0.0
        while left:
            shard = chance.choice(left)
            starts += 1
            longest += 0.02  # so that it comes to an end on the slowest machine, too
            seconds = chance.uniform(0, longest) if kills < KILLS else None
            if lives(given, out, shard, count, seed=starts, seconds=seconds):
                left.remove(shard)
            else:
                kills += 1
                torn += any(is_torn(each) for each in out.glob("*.jsonl"))
        check(out)
    sys.stdout.write(f"{kills} kills, {torn} of them with a torn line, {starts} starts\n")


def lives(
    given: Path, out: Path, shard: int, count: int, *, seed: int, seconds: float | None
) -> bool:
    """Start a run, and kill it so many seconds later if at all; return whether it was over."""
    command = [sys.executable, *map(str, (WRITER, given, out, shard, count, seed))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        assert process.stdout.readline() == "opening\n"
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        code = process.wait()
        assert code in {0, -9}, "it failed by itself"
        return code == 0


def line(number: int) -> str:
    body = {"messages": [{"role": "user", "content": f"Say {number}"}]}
    row = {"custom_id": f"r{number}", "url": "/v1/chat/completions", "body": body}
    return json.dumps(row)[: 9 if number in BAD else None] + "\n"


def is_torn(file: Path) -> bool:
    data = file.read_bytes()
    return bool(data) and not data.endswith(b"\n")


def check(out: Path) -> None:
    done, failed = (lines(out.glob(f"{name}-*.jsonl")) for name in ("part", "errors"))
    bad = [each for each in failed if each["error"]["code"] == "invalid_row"]
    failed = [each for each in failed if each not in bad]
    assert sorted(each["error"]["line"] - 1 for each in bad) == list(BAD)
    ids: list[Any] = [each["custom_id"] for each in (*done, *failed)]
    assert sorted(ids) == sorted(f"r{number}" for number in range(ROWS) if number not in BAD)
    assert all(each["response"]["body"]["text"] for each in done)
    assert all(each["error"]["partial_text"] for each in failed)


def lines(files: Any) -> list[Any]:
    return [json.loads(each) for file in files for each in file.read_bytes().splitlines()]
