"""Batches on a Ray cluster of this machine, whose workers are processes of their own."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import ray
from aiohttp import web
from aiohttp.test_utils import TestServer

import tailrace.ray
from tailrace import RetryPolicy, Site
from tailrace.batch import Plan
from tailrace.errors import (
    BatchFolderError,
    BatchInputError,
    BatchLockedError,
    BatchWorkersError,
    InvalidRequestError,
)
from tailrace.ray._run import make_driver
from tailrace.ray._worker import Worker
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tailrace.batch import Report
    from tailrace.ray._driver import Driver

pytestmark = pytest.mark.timeout(60)

QUICK = RetryPolicy(attempts=2, first_wait=0.0)


def rows(path: Path, prompts: list[str]) -> Path:
    lines = (
        json.dumps({"id": f"r{number}", "prompt": each}) for number, each in enumerate(prompts)
    )
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def read(folder: Path, kind: str) -> dict[str, Any]:
    """The lines of a kind in a run's output, each row once."""
    files = sorted(folder.glob(f"{kind}-*.jsonl"))
    lines = [json.loads(line) for each in files for line in each.read_bytes().splitlines()]
    counts = Counter(line["custom_id"] for line in lines)
    assert max(counts.values(), default=1) == 1, counts.most_common(3)
    return {line["custom_id"]: line for line in lines}


class Server:
    """A server of OpenAI's API that answers after `seconds`, and knows how many ask at once.

    `crowd`: how many have to ask at once before it answers the first.
    """

    def __init__(self, seconds: float) -> None:
        self.crowd = 0
        self.is_crowded = asyncio.Event()
        self.seconds = seconds
        self.asked = self.under_way = self.most = 0
        self.status = 200
        self.headers: dict[str, str] = {}
        self.url = ""

    def site(self, **options: Any) -> Site:
        return Site(self.url, software="openai", model="m", **options)

    async def handle(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way >= self.crowd:
            self.is_crowded.set()
        try:
            await self.is_crowded.wait()
            await asyncio.sleep(self.seconds)
        finally:
            self.under_way -= 1
        if self.status != 200:
            problem = {"error": {"message": "no"}}
            return web.json_response(problem, status=self.status, headers=self.headers)
        message = {"role": "assistant", "content": body["messages"][-1]["content"]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        return web.json_response({"id": "c", "choices": [choice], "usage": usage})


@asynccontextmanager
async def served(seconds: float = 0.01) -> AsyncIterator[Server]:
    server = Server(seconds)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    async with TestServer(app, handler_cancellation=True) as listening:
        server.url = str(listening.make_url("/v1"))
        yield server


async def run(*arguments: Any, **options: Any) -> Report:
    """Run beside this loop, which serves."""
    return await asyncio.to_thread(partial(tailrace.ray.run, *arguments, **options))


@pytest.fixture(params=["folder", "url"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An output folder as a path, where files grow, and as a URL, where objects are written."""
    folder = tmp_path / "out"
    return str(folder) if request.param == "folder" else f"file://{folder}"


async def test_a_run_over_the_replica_has_each_row_once(tmp_path: Path, out: str) -> None:
    prompts = ["Say hello", "[[cut]]", "Say hello"] * 30
    given = rows(tmp_path / "in.jsonl", prompts)
    seen: list[Report] = []
    async with Replica(shutdown_timeout=0.1) as replica:
        site = Site(f"{replica.url('openai')}/v1", software="openai", model="gpt-4o", retry=QUICK)
        begin = partial(run, given, out, site, Plan(concurrency=16), workers=2)
        report = await begin(progress=seen.append)
        again = await begin(workers=1)
    done, failed = read(tmp_path / "out", "part"), read(tmp_path / "out", "errors")
    assert (len(done), len(failed)) == (60, 30)
    assert {f"r{number}" for number in range(90)} == {*done, *failed}
    assert (report.rows, report.done, report.failed, report.left) == (90, 60, 30, 0)
    assert report.requests >= 60 + 30 * 2
    assert sum(report.errors.values()) == 30
    assert report.usage.total > 0
    assert (report.output, report.shard) == (out, (0, 1))
    assert seen
    assert (again.skipped, again.failed_before, again.requests) == (60, 30, 0)
    assert len(list((tmp_path / "out").glob("run-*-of-00008.json"))) == 8  # four a worker, and kept


async def test_the_run_as_a_whole_keeps_to_its_plan(tmp_path: Path) -> None:
    given = rows(tmp_path / "in.jsonl", ["Say hello"] * 60)
    async with served(0.05) as server:
        began = time.monotonic()
        plan = Plan(concurrency=7, rpm=1800)
        report = await run(given, tmp_path / "out", server.site(), plan, workers=3)
        seconds = time.monotonic() - began
    assert report.done == 60
    assert server.asked == 60
    assert server.most <= 7
    assert seconds >= (60 - 3 - 3 * 3) / 30  # each worker begins at once, and makes up for 0.1 s


def workers() -> list[int]:
    """The processes of the workers, which are children of this process's children."""
    found = (each for each in Path("/proc").iterdir() if each.name.isdigit())
    pids = [int(each.name) for each in found if _called(each).startswith("ray::Worker")]
    return [pid for pid in pids if os.getpid() in _ancestors(pid)]


def _called(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:  # it has ended meanwhile
        return ""


def _ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    with suppress(OSError):  # it has ended meanwhile
        while pid > 1:
            pid = int(Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[1])
            found.add(pid)
    return found


def kill_process(driver: Driver) -> bool:
    found = workers() if any(each.shards for each in driver._places) else []
    for pid in found[:1]:
        os.kill(pid, signal.SIGKILL)
    return bool(found)


def kill_actor(driver: Driver) -> bool:
    found = [each.actor for each in driver._places if each.shards]
    for actor in found[:1]:
        ray.kill(actor)
    return bool(found)


@pytest.mark.parametrize("kill", [kill_process, kill_actor])
async def test_the_shards_of_a_worker_that_dies_are_gone_on_with(
    tmp_path: Path, out: str, kill: Callable[[Driver], bool]
) -> None:
    given = rows(tmp_path / "in.jsonl", [f"Say {number}" for number in range(200)])
    killed: list[int] = []

    def look(report: Report) -> None:
        if report.done > 25 * (len(killed) + 1) and len(killed) < 2:
            killed.extend([report.done] if kill(driver) else [])

    async with served(0.05) as server:
        driver = make_driver(
            given,
            out,
            server.site(),
            Plan(concurrency=6),
            workers=2,
            shards=6,
            progress=look,
            chunk_seconds=0.2,
        )
        report = await asyncio.to_thread(driver.until_end)
    assert killed
    done = read(tmp_path / "out", "part")
    assert {name: each["response"]["status_code"] for name, each in done.items()} == {
        f"r{number}": 200 for number in range(200)
    }
    assert (report.rows, report.done, report.failed, report.left) == (200, 200, 0, 0)
    assert server.asked >= 200
    assert server.most <= 6 + 3  # what a dead one had under way, its server may not know yet
    while workers():  # noqa: ASYNC110 - nobody tells when what was killed has ended
        await asyncio.sleep(0.05)


async def test_two_runs_at_one_url_write_no_row_twice(tmp_path: Path) -> None:
    given, out = rows(tmp_path / "in.jsonl", ["Say hello"] * 200), f"file://{tmp_path}/out"
    async with served(0.05) as server:
        server.crowd = 8  # both runs, or the one that is left
        begin = partial(run, given, out, server.site(), Plan(concurrency=4), workers=1, shards=2)
        two = [asyncio.create_task(begin(chunk_seconds=0.2)) for _ in range(2)]
        for each in two:  # the one may end before it has asked
            each.add_done_callback(lambda _: server.is_crowded.set())
        ends = await asyncio.gather(*two, return_exceptions=True)
        # The one that loses a shard finds it done, or gives up, where it is still being written.
        for end in ends:
            assert isinstance(end, BatchLockedError) or end.left == 0, end
        read(tmp_path / "out", "part")
        report = await begin()
    assert report.left == 0
    assert len(read(tmp_path / "out", "part")) == 200


async def test_a_run_that_is_stopped_goes_on_later(tmp_path: Path, out: str) -> None:
    given = rows(tmp_path / "in.jsonl", [f"Say {number}" for number in range(120)])

    def stop(report: Report) -> None:
        if report.done > 10:
            driver.stop()

    async with served(0.1) as server:
        site, plan = server.site(), Plan(concurrency=4)
        driver = make_driver(given, out, site, plan, workers=2, shards=3, progress=stop)
        report = await asyncio.to_thread(driver.until_end)
        assert report.interrupted
        assert 10 < report.done < 120
        assert report.left == 120 - report.done
        server.seconds = 0
        again = await run(given, out, site, plan, workers=1)
    assert (again.skipped, again.done, again.left) == (report.done, report.left, 0)
    assert server.asked == 120
    assert len(read(tmp_path / "out", "part")) == 120


async def test_failures_are_asked_again_once(tmp_path: Path, out: str) -> None:
    given = rows(tmp_path / "in.jsonl", [f"Say {number}" for number in range(20)])
    async with served() as server:
        site, plan = server.site(retry=RetryPolicy(attempts=1)), Plan(stop_after=None)
        server.status = 404
        report = await run(given, out, site, plan, workers=2, shards=2)
        assert (report.failed, report.requests) == (20, 20)
        again = await run(given, out, site, plan, workers=2, retry_failed=True)
        assert (again.failed, again.requests) == (20, 20)
        server.status = 200
        last = await run(given, out, site, plan, workers=2, retry_failed=True)
    assert (last.done, last.failed) == (20, 0)
    assert len(read(tmp_path / "out", "part")) == 20
    assert read(tmp_path / "out", "errors") == {}


async def test_a_site_that_is_down_stops_the_run(tmp_path: Path) -> None:
    given = rows(tmp_path / "in.jsonl", ["Say hello"] * 40)
    async with served() as server:
        server.status = 401
        report = await run(given, tmp_path / "out", server.site(), workers=2, shards=2)
        assert "the site refuses requests without a key" in report.stopped
        assert (report.done, report.left) == (0, 40)
        server.status = 200
        again = await run(given, tmp_path / "out", server.site(), workers=2)
    assert (again.done, again.stopped) == (40, "")


async def test_a_site_that_is_waited_for_is_in_the_report(tmp_path: Path) -> None:
    given = rows(tmp_path / "in.jsonl", ["Say hello"] * 10)
    async with served() as server:
        server.status, told = 500, []

        def look(report: Report) -> None:
            if report.waiting:
                told.append(report.waiting)
                server.status = 200

        report = await run(
            given, tmp_path / "out", server.site(), Plan(stop_after=2), workers=1, progress=look
        )
    assert told[0].startswith("the site does not answer: ")
    assert (report.done, report.failed, report.waiting) == (10, 0, "")


async def test_a_pause_that_the_site_wants_is_in_the_report(tmp_path: Path) -> None:
    given = rows(tmp_path / "in.jsonl", ["Say hello"] * 10)
    async with served() as server:
        server.status, told = 429, []
        server.headers = {"Retry-After": "3"}

        def look(report: Report) -> None:
            if report.paused:
                told.append(report.paused)
                server.status = 200

        report = await run(given, tmp_path / "out", server.site(), workers=1, progress=look)
    assert 0 < max(told) <= 3
    assert (report.done, report.failed, report.paused) == (10, 0, 0)


async def test_a_site_that_fails_every_row_alike_stops_the_run(tmp_path: Path) -> None:
    given = rows(tmp_path / "in.jsonl", ["Say hello"] * 120)
    async with served() as server:
        server.status = 404
        report = await run(given, tmp_path / "out", server.site(), workers=2, shards=2)
        assert "the site has answered no row" in report.stopped
        assert (report.done, report.failed, report.left) == (0, 0, 120)
        server.status = 200
        again = await run(given, tmp_path / "out", server.site(), workers=2)
    assert (again.done, again.stopped) == (120, "")


async def test_what_cannot_be_run_is_refused_by_name(tmp_path: Path) -> None:
    given = rows(tmp_path / "in.jsonl", ["Say hello"] * 4)
    out = tmp_path / "out"
    async with served() as server:
        site = server.site()
        await run(given, out, site, workers=1)
        with pytest.raises(BatchFolderError, match="model was"):
            await run(given, out, site, model="other", workers=1)
        with pytest.raises(InvalidRequestError, match=r"no row of .* names a model"):
            await run(given, tmp_path / "none", site.replace(model=""), workers=1)
        assert not (tmp_path / "none").exists()
        with pytest.raises(BatchFolderError, match="holds a run in 4 shards"):
            await run(given, out, site, workers=1, shards=5)
        held = (out / ".lock-00000-of-00004").open("w")
        fcntl.flock(held, fcntl.LOCK_EX)
        with held, pytest.raises(BatchLockedError, match="another run is writing shard 0/4"):
            await run(given, out, site, workers=1)
        given.write_text("{}\n")
        with pytest.raises(BatchInputError, match=r"1 row of .* cannot be sent"):
            await run(given, tmp_path / "other", site, workers=1)
        with pytest.raises(BatchInputError, match="cannot be read"):
            await run(tmp_path / "none", tmp_path / "other", site, workers=1)
    assert server.asked == 4
    for options, problem in (
        ({"workers": 0}, "workers is 1 or more"),
        ({"shards": 0}, "shards is a number"),
        ({"chunk_seconds": -1}, "chunk_seconds"),
        ({"model": "x"}, "does not know the model"),
    ):
        with pytest.raises(InvalidRequestError, match=problem):
            tailrace.ray.run(given, out, site.replace(models=["m"]), **options)
    with pytest.raises(InvalidRequestError, match="not from stdin"):
        tailrace.ray.run("-", out, site)


class Unknown(Worker):
    """A class that workers cannot import, as if they lacked the package."""


async def test_workers_that_cannot_live_end_the_run(tmp_path: Path) -> None:
    given = rows(tmp_path / "in.jsonl", ["Say hello"])
    site = Site("http://127.0.0.1:9/v1", software="openai", model="m")
    driver = make_driver(given, tmp_path / "out", site, workers=1)
    driver._worker = ray.remote(Unknown)
    with pytest.raises(BatchWorkersError, match="workers die as soon as they are started"):
        await asyncio.to_thread(driver.until_end)


async def test_the_command_runs_on_ray(tmp_path: Path) -> None:
    given, out = rows(tmp_path / "in.jsonl", ["Say hello"] * 20), tmp_path / "out"
    table = tmp_path / "table.csv"
    command = [sys.executable, "-m", "tailrace", "batch", given, out, "--engine", "ray"]
    options = ["--software", "openai", "--model", "m", "--workers", "2", "--shards", "3"]
    address = ray.get_runtime_context().gcs_address
    async with served() as server:
        process = await asyncio.create_subprocess_exec(
            *(*command, "--site", server.url, *options, "--json", "--text", table),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "RAY_ADDRESS": address},
        )
        stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr
    report = json.loads(stdout.splitlines()[-1])
    assert (report["done"], report["failed"], report["left"]) == (20, 0, 0)
    assert len(read(out, "part")) == 20
    assert len(table.read_text("utf-8").splitlines()) == 21
