"""``tailrace batch`` killed at random moments, over the replica: no row is lost, and none is twice.

``BATCH_KILLS=200 pytest -m heavy tests/integration/batch/test_batch_run_killed.py`` kills as often.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from typing import TYPE_CHECKING

import pytest
from rows import answers, chat, failures, write_rows

from tailrace.replica import Replica

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

    from tailrace.replica import Question

MOST_AT_ONCE = 8
ROWS_A_KILL = 12


class Model:
    """A model that answers with its prompt, a little later, and notes what it was asked."""

    def __init__(self, chance: random.Random) -> None:
        self.asked: list[str] = []
        self._chance = chance
        self._news = asyncio.Event()

    async def answer(self, question: Question) -> str:
        self.asked.append(question.message)
        self._news.set()
        await asyncio.sleep(self._chance.random() * 0.02)
        return f"You said {question.message}"

    async def until_asked(self, count: int) -> None:
        while len(self.asked) < count:
            self._news.clear()
            await self._news.wait()


async def start(rows: Path, out: Path, site: str) -> Process:
    options = ["--software", "openai", "--model", "gpt-4o-mini", "--concurrency", str(MOST_AT_ONCE)]
    command = ["-m", "tailrace", "batch", str(rows), str(out), "--site", site, *options]
    quiet = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=quiet, stdout=quiet, stderr=asyncio.subprocess.PIPE
    )


def whole_lines(out: Path) -> set[str]:
    """The prompts whose answers a killed run has left, torn lines aside."""
    part = out / "part-00000-of-00001.jsonl"
    lines = part.read_bytes().split(b"\n")[:-1] if part.exists() else []
    return {json.loads(line)["custom_id"].replace("row", "prompt") for line in lines}


async def killed(tmp_path: Path, kills: int, seed: int) -> int:
    """Begin a run again and again, and kill it; return how many rows were asked more than once."""
    chance = random.Random(seed)
    count = kills * ROWS_A_KILL
    rows = write_rows(tmp_path / "in.jsonl", (chat(f"prompt {each}") for each in range(count)))
    out, model = tmp_path / "out", Model(chance)
    async with Replica(answers=model.answer) as replica:
        site = f"{replica.url('openai')}/v1"
        for _ in range(kills):
            done, before = whole_lines(out), len(model.asked)
            process = await start(rows, out, site)
            target = before + chance.randrange(2 * ROWS_A_KILL)
            waiting = [
                asyncio.create_task(each) for each in (model.until_asked(target), process.wait())
            ]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(chance.random() * 0.02)
            if process.returncode is None:
                process.kill()
            waiting[0].cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert done.isdisjoint(model.asked[before:]), "what was done was asked again"
            assert done <= whole_lines(out), "what was done is not there any more"
        process = await start(rows, out, site)
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
    lines = answers(out)
    assert failures(out) == {}
    assert len(lines) == count
    for name, line in lines.items():
        message = line["response"]["body"]["choices"][0]["message"]["content"]
        assert message == f"You said {name.replace('row', 'prompt')}"
    again = len(model.asked) - count
    assert 0 <= again <= kills * MOST_AT_ONCE  # what was under way when it died
    return again


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a Unix thing")
async def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    await killed(tmp_path, 4, 1)


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a Unix thing")
async def test_a_run_killed_many_times_goes_on(tmp_path: Path) -> None:
    await killed(tmp_path, int(os.environ.get("BATCH_KILLS", "12")), 2)
