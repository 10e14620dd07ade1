"""Locust with our user, in an environment of its own: it replaces Python's threads and sockets."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tailrace.replica import Replica

pytestmark = pytest.mark.timeout(120)

LOCUST = Path(__file__).parents[3] / ".venv-locust" / "bin" / "locust"
FILE = """\
import os
import sys
from gevent import sleep
from locust import constant, task
from tailrace import Site
from tailrace.locust import TailraceUser


class Visitor(TailraceUser):
    site = Site(os.environ["SITE"], software="openai", model="gpt-4o")
    wait_time = constant(0)
    prompts = os.environ["PROMPTS"].split(",")
    left = len(prompts)

    @task
    def chat(self):
        if not self.prompts:
            sleep(0.05)
            return
        prompt = self.prompts.pop()
        text = self.ask(prompt, name="chat")
        assert (text is None) == ("[[" in prompt)
        Visitor.left -= 1
        if not Visitor.left:
            print("all answered", file=sys.stderr, flush=True)
"""


async def run(folder: Path, site: str, prompts: list[str], until: str) -> tuple[Any, str, int]:
    """Run Locust until its log says `until`; returns its statistics by row, log and exit code."""
    file = folder / "locustfile.py"
    file.write_text(FILE, "utf-8")
    given = {**os.environ, "SITE": site, "PROMPTS": ",".join(prompts)}
    process = await asyncio.create_subprocess_exec(
        *(LOCUST, "-f", file, "--headless", "--json", "-u", "3", "-r", "10"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=given,
    )
    assert process.stderr is not None
    log = b""
    while until.encode() not in log and (line := await process.stderr.readline()):
        log += line
    process.terminate()
    stdout, stderr = await process.communicate()
    rows = {row["method"]: row for row in json.loads(stdout)}
    return rows, (log + stderr).decode(), process.returncode or 0


async def test_ttft_and_whole_answers_are_rows_of_its_statistics(tmp_path: Path) -> None:
    async with Replica(shutdown_timeout=0.1) as replica:
        site = f"{replica.url('openai')}/v1"
        rows, log, _ = await run(tmp_path, site, ["Say hello"] * 6 + ["[[cut]]"], "all answered")
    assert (rows["ANSWER"]["num_requests"], rows["ANSWER"]["num_failures"]) == (7, 1), log
    assert rows["TTFT"]["num_requests"] >= 6
    assert rows["TTFT"]["num_failures"] == 0
    assert {row["name"] for row in rows.values()} == {"chat"}
    assert 0 < rows["TTFT"]["min_response_time"] <= rows["ANSWER"]["max_response_time"]
    assert "Traceback" not in log


async def test_users_that_are_killed_end_with_it(tmp_path: Path) -> None:
    async with Replica(pace=60, shutdown_timeout=0.1) as replica:
        site = f"{replica.url('openai')}/v1"
        _, log, code = await run(tmp_path, site, ["Say hello"] * 3, "All users spawned")
    assert "Traceback" not in log
    assert code in (0, 1)
