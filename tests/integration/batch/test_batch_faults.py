"""A run over the replica while every fault happens to some of its answers.

Its two files are counted against its input: each row is in one of them, once, and no answer is of
another row, or cut. With ``BATCH_ROWS=100000`` in the environment the heavy test has so many, and
``BATCH_TIMEOUT=10`` gives a busy machine its time.
"""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from rows import answers, chat, failures, write_rows

from tailrace import RetryPolicy, Site, batch
from tailrace.batch import Plan
from tailrace.replica import FAULTS, Replica
from tailrace.transport import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from tailrace.replica import Question

TIMEOUT = float(os.environ.get("BATCH_TIMEOUT", "1"))  # seconds of a stalled reply
LIMITS = Limits(max_reply_bytes=2**19)  # of a line that does not end
ARGUMENTS = {"429": "429:1", "503": "503:1", "bomb": "bomb:1"}
"""Faults as they take less of a test's time."""


def faults_of(share: float) -> list[str]:
    """Every fault that a site of an API can have, of that share of answers each, in percent."""
    kinds = (each for each in FAULTS if not each.needs_nonces and not each.is_own)
    names = [each.name for each in kinds if "answer" in each.targets]
    return [f"{ARGUMENTS.get(name, name)}@answer%{share:g}" for name in names]


async def echo(question: Question) -> str:
    return f"You said {question.message}. " * 8


async def counted(tmp_path: Path, site_name: str, count: int, share: float) -> dict[str, int]:
    """Run over the faults, and count; return how many rows failed, by code."""
    rows = write_rows(tmp_path / "in.jsonl", (chat(f"prompt {each} ") for each in range(count)))
    out = tmp_path / "out"
    async with Replica(answers=echo, random=random.Random(11)) as replica:
        site = await site_at(replica, site_name)
        replica.fault(site_name, *faults_of(share))
        plan = Plan(
            concurrency=min(400, count),
            adaptive=False,  # one in ten is a refusal, at random: fewer at once would not help
            retry=RetryPolicy(attempts=2, first_wait=0.01),
            retry_budget=10,
            row_timeout=3 * TIMEOUT,
        )
        report = await batch.run(rows, out, site, plan)
    done, failed = answers(out), failures(out)
    assert (report.done, report.failed, report.left) == (len(done), len(failed), 0)
    assert done.keys() | failed.keys() == {f"row {each}" for each in range(count)}
    assert done.keys() & failed.keys() == set()
    assert report.done > 0
    for name, line in done.items():
        check_answer(name, line["response"]["body"])
    return report.errors


async def site_at(replica: Replica, name: str) -> Site:
    if name == "openai":
        url = f"{replica.url(name)}/v1"
        return Site(url, software="openai", model="gpt-4o-mini", timeout=TIMEOUT, limits=LIMITS)
    site = Site(replica.url(name), software="ollama", timeout=TIMEOUT, limits=LIMITS)
    return site.replace(model=(await site.models())[0])


def check_answer(name: str, body: dict[str, Any]) -> None:
    choice = body["choices"][0]
    assert choice["finish_reason"] == "stop"
    text = f"You said {name.replace('row', 'prompt')} . " * 8
    assert choice["message"]["content"].split() == text.split(), json.dumps(body)[:500]


@pytest.mark.parametrize("name", ["openai", "ollama"])
async def test_each_row_is_in_one_of_the_files(tmp_path: Path, name: str) -> None:
    errors = await counted(tmp_path, name, 200, 1.0)
    assert errors


@pytest.mark.heavy
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["openai", "ollama"])
async def test_each_row_of_many_is_in_one_of_the_files(tmp_path: Path, name: str) -> None:
    errors = await counted(tmp_path, name, int(os.environ.get("BATCH_ROWS", "500")), 5.0)
    assert len(errors) > 3
