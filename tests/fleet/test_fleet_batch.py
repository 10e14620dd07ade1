"""``tailrace batch --engine fleet``: the same files as in the process, each row once."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from loopback import serve
from rows import answers, chat, completion, failures, served, write_rows

from tailrace import RetryPolicy, Site, batch
from tailrace.batch import Plan
from tailrace.errors import InvalidRequestError
from tailrace.replica import Replica
from tailrace.transport import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from loopback import Exchange

    from tailrace._over_fleet import Engine
    from tailrace.replica import Question

ENGINES: tuple[Engine, ...] = ("process", "fleet")
ROWS = 60
KILLS = 4
MOST_AT_ONCE = 8
ROWS_A_KILL = 12


def answering(rounds: dict[str, int]) -> Any:
    """A handler by the prompt's last digit, that refuses a row of 7 at first."""

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if path.endswith("/embeddings"):
            return web.json_response({"data": [{"embedding": [1.0]}]})
        prompt = body["messages"][-1]["content"]
        rounds[prompt] = rounds.get(prompt, 0) + 1
        if prompt.endswith("7") and rounds[prompt] == 1:
            return web.json_response(
                {"error": {"message": "slow"}}, status=429, headers={"retry-after-ms": "20"}
            )
        if prompt.endswith("3"):
            return web.json_response({"error": {"message": "no", "code": "bad"}}, status=400)
        if prompt.endswith("4"):
            return web.Response(text="<html>", content_type="text/html")
        headers = {"x-request-id": f"id of {prompt}"}
        return web.json_response(completion(f"{prompt}: jürgen"), headers=headers)

    return answer


async def test_the_same_lines_as_in_the_process(tmp_path: Path) -> None:
    bodies: list[Any] = [chat(f"prompt {number}") for number in range(ROWS)]
    bodies.append(("/v1/embeddings", {"input": "hello"}))
    rows = write_rows(tmp_path / "in.jsonl", bodies)
    plan = Plan(concurrency=16, retry=RetryPolicy(attempts=1))
    folders, reports = [], []
    for engine in ENGINES:
        out = tmp_path / engine
        async with served(answering({})) as server:
            report = await batch.run(rows, out, server.site(), plan, engine=engine)
        folders.append(out)
        reports.append(report)
    over, ours = folders
    assert answers(ours) == answers(over)
    assert failures(ours) == failures(over)
    assert len(answers(ours)) == ROWS + 1 - 2 * ROWS // 10
    for name in ("done", "failed", "errors", "examples", "usage"):
        assert getattr(reports[1], name) == getattr(reports[0], name), name
    assert reports[1].refused == ROWS // 10


async def test_a_run_goes_on_over_the_other_engine(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", (chat(f"{number}") for number in range(20)))
    async with served() as server:
        first = asyncio.create_task(
            batch.run(rows, tmp_path / "out", server.site(), Plan(concurrency=2), engine="fleet")
        )
        await server.until(lambda: len(server.bodies) >= 6)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        asked = set(answers(tmp_path / "out"))
        report = await batch.run(rows, tmp_path / "out", server.site())
    assert report.skipped == len(asked)
    assert (report.left, len(answers(tmp_path / "out"))) == (0, 20)


async def test_a_reply_that_breaks_off_and_one_too_large(tmp_path: Path) -> None:
    async def answer(exchange: Exchange) -> None:
        if b"large" in exchange.body:
            await exchange.send_reply(json.dumps(completion("x" * 10_000)).encode())
        elif b"chunk" in exchange.body:
            first = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n"
            await exchange.send(first + b'f\r\n{"error":"busy"\r\nzz\r\n')
        else:
            await exchange.send(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"choices": [1')
            exchange.writer.close()

    rows = write_rows(tmp_path / "in.jsonl", [chat("large"), chat("cut"), chat("chunk")])
    plan = Plan(retry=RetryPolicy(attempts=1), stop_after=None)
    found = []
    for engine in ENGINES:
        out = tmp_path / engine
        async with serve(answer) as server:
            site = Site(f"{server.url}/v1", software="openai", model="m")
            site = site.replace(limits=Limits(max_reply_bytes=1000))
            await batch.run(rows, out, site, plan, engine=engine)
        found.append({name: line["error"] for name, line in failures(out).items()})
    for lines in found:
        for line in lines.values():
            line["message"] = line["message"].partition("http")[0]  # ports differ
    assert found[0] == found[1]
    assert len(found[0]) == 3


async def test_what_a_fleet_cannot_ask_is_refused_before_there_is_a_folder(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", [chat("hello")])
    url = "http://127.0.0.1:1/v1"
    for site, named in (
        (Site(url, software="wordpress"), "wordpress"),
        (Site(url, software="anthropic", model="m"), "anthropic"),
        (Site(url, software="openai", model="m", api="responses"), "api"),
        (Site(url, software="openai", model="m", cookies={"a": "b"}), "cookies"),
    ):
        with pytest.raises(InvalidRequestError, match=named):
            await batch.run(rows, tmp_path / "out", site, engine="fleet")
    assert not (tmp_path / "out").exists()


async def test_a_server_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", (chat(f"{number}") for number in range(10)))
    site = Site("http://127.0.0.1:1/v1", software="openai", model="m")
    plan = Plan(concurrency=4, stop_after=4, patience=0.0)
    report = await batch.run(rows, tmp_path / "out", site, plan, engine="fleet")
    assert report.stopped
    assert (report.done, report.failed, report.left) == (0, 0, 10)


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


async def start(rows: Path, out: Path, site: str) -> asyncio.subprocess.Process:
    options = ["--software", "openai", "--model", "gpt-4o-mini", "--concurrency", str(MOST_AT_ONCE)]
    command = ["-m", "tailrace", "batch", str(rows), str(out), "--site", site, *options]
    quiet = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *command, "--engine", "fleet"),
        stdin=quiet,
        stdout=quiet,
        stderr=asyncio.subprocess.PIPE,
    )


def whole_lines(out: Path) -> set[str]:
    """The prompts whose answers a killed run has left, torn lines aside."""
    part = out / "part-00000-of-00001.jsonl"
    lines = part.read_bytes().split(b"\n")[:-1] if part.exists() else []
    return {json.loads(line)["custom_id"].replace("row", "prompt") for line in lines}


@pytest.mark.heavy
async def test_a_killed_run_goes_on_and_has_each_row_once(tmp_path: Path) -> None:
    chance = random.Random(1)
    count = KILLS * ROWS_A_KILL
    rows = write_rows(tmp_path / "in.jsonl", (chat(f"prompt {each}") for each in range(count)))
    out, model = tmp_path / "out", Model(chance)
    async with Replica(answers=model.answer, shutdown_timeout=0.1) as replica:
        site = f"{replica.url('openai')}/v1"
        for _ in range(KILLS):
            done, before = whole_lines(out), len(model.asked)
            process = await start(rows, out, site)
            target = before + chance.randrange(2 * ROWS_A_KILL)
            waiting = [
                asyncio.create_task(each) for each in (model.until_asked(target), process.wait())
            ]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if process.returncode is None:
                process.kill()
            waiting[0].cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert done.isdisjoint(model.asked[before:]), "what was done was asked again"
            assert done <= whole_lines(out), "what was done is not there any more"
        process = await start(rows, out, site)
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
    assert failures(out) == {}
    assert len(answers(out)) == count
    again = len(model.asked) - count
    assert 0 <= again <= KILLS * MOST_AT_ONCE  # what was under way when it died
