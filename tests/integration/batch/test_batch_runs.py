"""Whole runs: rates, refusals, outages, ends before the end, and going on.

Times that are held are lower bounds of what a server saw: a busy machine makes them longer alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from rows import answers, chat, completion, failures, repeat, served, write_rows

from tailrace import RetryPolicy, Site, batch
from tailrace.batch import Plan
from tailrace.batch._beginning import begin
from tailrace.batch._gate import Gate
from tailrace.errors import BatchFolderError, BatchWriteError, InvalidRequestError
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tailrace.batch._rows import Row

QUICK = RetryPolicy(attempts=3, first_wait=0.0)


def some_rows(tmp_path: Path, count: int, name: str = "in.jsonl") -> Path:
    return write_rows(tmp_path / name, (chat(f"{number}") for number in range(count)))


def error(status: int, **headers: str) -> web.Response:
    body = {"error": {"message": "no", "type": "x", "code": None}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response(body, status=status, headers=named)


# -- each row once ---------------------------------------------------------------------------------


async def test_every_row_has_one_answer_its_own(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 500), tmp_path / "out"
    async with served() as server:
        report = await batch.run(rows, out, server.site(), Plan(concurrency=32))
        assert sorted(server.prompts, key=int) == [str(number) for number in range(500)]
        assert server.most <= 32
    assert (report.rows, report.done, report.failed, report.left) == (500, 500, 0, 0)
    assert (report.requests, report.retries, report.refused, report.errors) == (500, 0, 0, {})
    assert report.usage == batch.Tokens(prompt=1500, completion=1000, total=2500)
    done = answers(out)
    assert len(done) == 500
    for name, line in done.items():
        message = line["response"]["body"]["choices"][0]["message"]
        assert f"row {message['content']}" == name


async def test_a_run_that_is_over_asks_nothing(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    async with served() as server:
        await batch.run(rows, out, server.site())
        report = await batch.run(rows, out, server.site())
        assert len(server.bodies) == 20
    assert (report.skipped, report.done, report.left, report.requests) == (20, 0, 0, 0)


async def test_shards_have_all_rows_together(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 50), tmp_path / "out"
    async with served() as server:
        runs = (batch.run(rows, out, server.site(), shard=(index, 3)) for index in range(3))
        reports = await asyncio.gather(*runs)
        assert len(server.bodies) == len(set(server.prompts)) == 50
    assert [report.done for report in reports] == [17, 17, 16]
    done = [answers(out, f"{index:05}-of-00003") for index in range(3)]
    assert len(done[0] | done[1] | done[2]) == 50


async def test_rows_are_read_as_they_are_needed(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 300), tmp_path / "out"
    go_on = asyncio.Event()
    read: list[Row] = []

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        await go_on.wait()
        return await repeat(path, body)

    def counted(source: Iterator[Row]) -> Iterator[Row]:
        for row in source:
            read.append(row)
            yield row

    async with served(answer) as server:
        work = begin(rows, out, server.site(), Plan(concurrency=10))
        work._rows = counted(work._rows)
        running = asyncio.create_task(work.until_end())
        await server.until(lambda: server.under_way == 10)
        assert len(read) == 10
        go_on.set()
        await running
    assert len(read) == len(answers(out)) == 300


async def test_two_runs_at_once_are_one_too_many(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 5), tmp_path / "out"
    go_on = asyncio.Event()

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        await go_on.wait()
        return await repeat(path, body)

    async with served(answer) as server:
        first = asyncio.create_task(batch.run(rows, out, server.site()))
        await server.until(lambda: bool(server.bodies))
        with pytest.raises(BatchFolderError):
            await batch.run(rows, out, server.site())
        go_on.set()
        assert (await first).done == 5
        assert len(server.bodies) == 5


async def test_another_model_or_input_is_another_run(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 5), tmp_path / "out"
    async with served() as server:
        await batch.run(rows, out, server.site())
        with pytest.raises(BatchFolderError, match=r'model was "m" and is "other"'):
            await batch.run(rows, out, server.site(), model="other")
        with pytest.raises(BatchFolderError, match=r"temperature was not given and is 0\.5"):
            await batch.run(rows, out, server.site(temperature=0.5))
        some_rows(tmp_path, 6)
        with pytest.raises(BatchFolderError, match="input has changed"):
            await batch.run(rows, out, server.site())
        moved = server.site().replace(url=server.url.replace("127.0.0.1", "localhost"))
        some_rows(tmp_path, 5)
        assert (await batch.run(rows, out, moved)).skipped == 5


async def test_bad_rows_end_the_run_before_it_begins_or_are_failures(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 5), tmp_path / "out"
    with rows.open("a") as file:
        file.write('{"custom_id": "row 1", "url": "/v1/chat/completions", "body": {}}\nno JSON\n')
    async with served() as server:
        with pytest.raises(InvalidRequestError, match="line 7"):
            await batch.run(rows, out, server.site())
        assert server.bodies == []
        report = await batch.run(rows, out, server.site(), skip_bad=True)
    assert (report.rows, report.done, report.failed, report.failed_before) == (7, 5, 2, 2)


async def test_failed_rows_are_asked_again_when_it_is_wanted(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    well = False

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        number = int(body["messages"][0]["content"])
        return error(400) if number % 5 == 0 and not well else await repeat(path, body)

    async with served(answer) as server:
        report = await batch.run(rows, out, server.site())
        assert (report.done, report.failed, report.errors) == (16, 4, {"upstream": 4})
        well = True
        report = await batch.run(rows, out, server.site())
        assert (report.requests, report.failed, report.failed_before) == (0, 4, 4)
        report = await batch.run(rows, out, server.site(), retry_failed=True)
    assert (report.done, report.failed, report.left) == (4, 0, 0)
    assert (len(answers(out)), failures(out)) == (20, {})


async def test_failures_can_be_an_input_again(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 3), tmp_path / "out"

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        return error(400) if len(server.bodies) <= 3 else await repeat(path, body)

    async with served(answer) as server:
        await batch.run(rows, out, server.site())
        again = await batch.run(out / "errors-00000-of-00001.jsonl", tmp_path / "2", server.site())
    assert (again.done, set(answers(tmp_path / "2"))) == (3, {"row 0", "row 1", "row 2"})


# -- rates and refusals ----------------------------------------------------------------------------


async def test_requests_a_minute(tmp_path: Path) -> None:
    times: list[float] = []

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        times.append(time.monotonic())
        return await repeat(path, body)

    rows = some_rows(tmp_path, 11)
    async with served(answer) as server:
        begun = time.monotonic()
        await batch.run(rows, tmp_path / "out", server.site(), Plan(rpm=1200))
    assert times[-1] - begun >= 10 * 0.05 - 0.1  # s that may be made up for


async def test_tokens_a_minute(tmp_path: Path) -> None:
    """Each answer tells 5 tokens: a rate of 6000 has them 0.05 s apart, whatever was estimated."""
    times: list[float] = []

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        times.append(time.monotonic())
        return await repeat(path, body)

    rows = some_rows(tmp_path, 11)
    async with served(answer) as server:
        plan = Plan(tpm=6000, concurrency=1)
        begun = time.monotonic()
        await batch.run(rows, tmp_path / "out", server.site(), plan)
    assert times[-1] - begun >= 10 * 0.05 - 0.1


async def test_a_retry_after_is_obeyed_by_all_rows_and_fewer_are_asked_at_once(
    tmp_path: Path,
) -> None:
    refused_at = 0.0
    early: list[float] = []
    later = most_later = 0

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        nonlocal refused_at, later, most_later
        now = time.monotonic()
        if len(server.bodies) <= 8:
            await server.until(lambda: server.under_way == 8 or bool(refused_at))
            refused_at = time.monotonic()
            return error(429, retry_after_ms="300")
        early.extend([now] if now < refused_at + 0.3 else [])
        later += 1
        most_later = max(most_later, server.under_way)
        await asyncio.sleep(0.02)
        return await repeat(path, body)

    rows, out = some_rows(tmp_path, 24), tmp_path / "out"
    async with served(answer) as server:
        plan = Plan(concurrency=8, retry=QUICK)
        report = await batch.run(rows, out, server.site(), plan)
    assert early == []
    assert (report.done, report.refused, report.retries, report.failed) == (24, 8, 8, 0)
    assert later == 24
    assert most_later <= 7  # four, and one more for each round of answers


async def test_a_retry_after_is_waited_for_as_long_as_the_run_is_patient(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path, body
        return error(429, retry_after="200")

    rows = some_rows(tmp_path, 3)
    async with served(answer) as server:
        work = begin(rows, tmp_path / "out", server.site(), Plan(concurrency=1))
        running = asyncio.create_task(work.until_end())
        await server.until(lambda: len(server.bodies) == 1 and not server.under_way)
        while not work.report().paused:  # noqa: ASYNC110 - the run tells nobody
            await asyncio.sleep(0)
        assert 190 < work.report().paused <= 200
        work.stop()
        await running
    report = work.report()
    assert (report.failed, report.left, report.paused, report.refused) == (0, 3, 0, 1)


async def test_a_retry_after_beyond_the_patience_ends_the_run_saying_so(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path, body
        return error(429, retry_after="86400")

    rows = some_rows(tmp_path, 30)
    async with served(answer) as server:
        report = await batch.run(rows, tmp_path / "out", server.site())
    assert (report.failed, report.left) == (0, 30)
    assert report.stopped.startswith("the site wants no request for 86,400 s: ")


async def test_refusals_are_no_attempts(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        return error(429) if len(server.bodies) <= 8 else await repeat(path, body)

    rows = some_rows(tmp_path, 1)
    async with served(answer) as server:
        plan = Plan(retry=RetryPolicy(attempts=2, first_wait=0.0), stop_after=None)
        report = await batch.run(rows, tmp_path / "out", server.site(), plan)
    assert (report.done, report.refused, report.requests) == (1, 8, 9)


async def test_a_budget_ends_the_retries_of_a_whole_run(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path, body
        return error(500)

    rows = some_rows(tmp_path, 100)
    async with served(answer) as server:
        plan = Plan(retry=QUICK, retry_budget=0.1, stop_after=None)
        report = await batch.run(rows, tmp_path / "out", server.site(), plan)
    assert report.failed == 100
    assert report.retries == report.requests - 100
    assert 20 <= report.retries <= 35


async def test_a_row_that_takes_too_long_fails_alone(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if body["messages"][0]["content"] == "3":
            await asyncio.Event().wait()
        return await repeat(path, body)

    rows, out = some_rows(tmp_path, 10), tmp_path / "out"
    async with served(answer) as server:
        plan = Plan(row_timeout=0.3, concurrency=2)
        report = await batch.run(rows, out, server.site(), plan)
    assert (report.done, report.failed) == (9, 1)
    assert failures(out)["row 3"]["error"]["code"] == "timeout"


# -- outages ---------------------------------------------------------------------------------------


async def test_a_site_that_is_down_ends_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 50), tmp_path / "out"
    async with served() as server:
        port = int(server.url.split(":")[2].split("/")[0])
        site = server.site()
    report = await batch.run(rows, out, site, Plan(concurrency=4, stop_after=5, patience=0))
    assert (report.done, report.failed, report.left) == (0, 0, 50)
    assert report.stopped.startswith("the site does not answer: ")
    assert "could not be reached" in report.stopped
    assert "goes on with the rows that are left" in report.stopped
    async with served(port=port):
        report = await batch.run(rows, out, site)
    assert (report.done, report.failed, report.stopped) == (50, 0, "")


@pytest.mark.parametrize(
    ("status", "key", "words"),
    [
        (401, "k", "the site refuses the key: "),
        (403, "k", "the site refuses the key: "),
        (401, None, "the site refuses requests without a key: "),
        (402, "k", "the site's quota is used up: "),
    ],
)
async def test_a_key_that_is_refused_ends_the_run_at_once(
    tmp_path: Path, status: int, key: str | None, words: str
) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path, body
        return error(status)

    rows, out = some_rows(tmp_path, 100), tmp_path / "out"
    async with served(answer) as server:
        site, plan = server.site(api_key=key), Plan(concurrency=4, stop_after=5)
        report = await batch.run(rows, out, site, plan)
        assert len(server.bodies) <= 9
    assert (report.failed, report.left, report.waiting) == (0, 100, "")
    assert report.stopped.startswith(words)
    assert str(status) in report.stopped


async def test_runs_that_share_a_gate_say_the_same(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path, body
        return error(401)

    rows, out, plan = some_rows(tmp_path, 40), tmp_path / "out", Plan(stop_after=5)
    gate = Gate(plan, time.monotonic, 60.0)
    async with served(answer) as server:
        site = server.site(api_key="k")
        both = [begin(rows, out, site, plan, shard=(each, 2), gate=gate) for each in range(2)]
        for work in both:
            await work.until_end()
    assert both[1].report().requests == 0
    for work in both:
        assert work.report().stopped.startswith("the site refuses the key: ")


async def test_an_outage_fails_no_row(tmp_path: Path) -> None:
    """Far more requests fail than any row has attempts."""

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        number = len(server.bodies)
        return error(500) if 10 < number <= 40 else await repeat(path, body)

    rows, out = some_rows(tmp_path, 60), tmp_path / "out"
    async with served(answer) as server:
        plan = Plan(concurrency=8, stop_after=30, retry=QUICK)
        report = await batch.run(rows, out, server.site(), plan)
    assert (report.done, report.failed, report.left) == (60, 0, 0)


async def test_an_outage_is_probed_until_it_is_over(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        return error(500) if len(server.bodies) <= 4 else await repeat(path, body)

    rows, out = some_rows(tmp_path, 10), tmp_path / "out"
    begun = time.monotonic()
    async with served(answer) as server:
        plan = Plan(concurrency=1, stop_after=3, retry=QUICK)
        report = await batch.run(rows, out, server.site(), plan)
        assert (report.done, report.failed) == (10, 0)
    assert time.monotonic() - begun >= 0.9  # the first probe is a second after the last failure


async def test_a_row_that_breaks_the_server_fails_and_the_others_do_not(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        return error(500) if body["messages"][0]["content"] == "3" else await repeat(path, body)

    rows, out = some_rows(tmp_path, 10), tmp_path / "out"
    async with served(answer) as server:
        plan = Plan(concurrency=1, retry=QUICK)
        report = await batch.run(rows, out, server.site(), plan)
    assert (report.done, report.failed) == (9, 1)
    assert failures(out)["row 3"]["error"]["attempts"] == 3


async def test_the_last_rows_of_a_run_fail_where_no_answer_follows(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path, body
        return error(500)

    rows, out = some_rows(tmp_path, 2), tmp_path / "out"
    async with served(answer) as server:
        report = await batch.run(rows, out, server.site(), Plan(retry=QUICK))
    assert (report.failed, report.left, report.stopped) == (2, 0, "")


async def test_the_last_rows_are_left_where_the_site_is_down(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path, body
        return error(500)

    rows, out = some_rows(tmp_path, 4), tmp_path / "out"
    async with served(answer) as server:
        once = RetryPolicy(attempts=2, first_wait=0.0)
        plan = Plan(retry=once, stop_after=8, patience=0)
        report = await batch.run(rows, out, server.site(), plan)
    assert (report.failed, report.left) == (0, 4)
    assert "HTTP 500" in report.stopped


async def test_the_last_rows_are_waited_with_where_the_site_is_down(tmp_path: Path) -> None:
    """No other row is left to probe it with: they are probes themselves."""

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        return error(500) if len(server.bodies) <= 4 else await repeat(path, body)

    rows, out = some_rows(tmp_path, 4), tmp_path / "out"
    async with served(answer) as server:
        plan = Plan(retry=RetryPolicy(attempts=1), stop_after=3)
        report = await batch.run(rows, out, server.site(), plan)
    assert (report.done, report.failed, report.left) == (4, 0, 0)


async def test_a_site_that_hangs_costs_no_row(tmp_path: Path) -> None:
    """It takes requests and answers none: `row_timeout` is the clock that runs out."""

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if len(server.bodies) > 2:
            await asyncio.Event().wait()
        return await repeat(path, body)

    rows, out = some_rows(tmp_path, 12), tmp_path / "out"
    async with served(answer) as server:
        plan = Plan(concurrency=2, row_timeout=0.2, stop_after=4, patience=0)
        report = await batch.run(rows, out, server.site(), plan)
        assert (report.done, report.failed, report.left) == (2, 0, 10)
        assert report.stopped.startswith("the site does not answer: total timeout")
        server.answer = repeat
        report = await batch.run(rows, out, server.site())
    assert (report.done, report.failed, report.left) == (10, 0, 0)


async def test_a_reply_that_comes_in_bytes_without_an_end_has_a_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other clock runs out: none begins to wait for longer than a byte takes."""

    async def answer(path: str, body: dict[str, Any]) -> web.StreamResponse:
        if body["messages"][-1]["content"] != "3":
            return await repeat(path, body)
        reply = web.StreamResponse(headers={"Content-Type": "application/json"})
        await reply.prepare(server.requests[-1])
        while True:
            await reply.write(b" ")
            await asyncio.sleep(0.05)

    monkeypatch.setattr("tailrace.batch._plan._LONGEST_REQUEST", 0.3)
    rows, out = some_rows(tmp_path, 6), tmp_path / "out"
    async with served(answer) as server:
        plan = Plan(concurrency=1, retry=RetryPolicy(attempts=1))
        report = await batch.run(rows, out, server.site(), plan)
        assert (report.done, report.failed, report.left) == (5, 1, 0)
        assert failures(out)["row 3"]["error"]["code"] == "timeout"
        assert "0.3 s" in failures(out)["row 3"]["error"]["message"]
        monkeypatch.setattr("tailrace.batch._plan._LONGEST_REQUEST", 1e6)
        site = server.site(total_timeout=0.2)  # the site's own goes before
        report = await batch.run(rows, out, site, plan, retry_failed=True)
    assert "0.2 s" in failures(out)["row 3"]["error"]["message"]


async def test_a_site_that_hung_for_a_while_costs_no_row(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if 3 <= len(server.bodies) <= 6:
            await asyncio.Event().wait()
        return await repeat(path, body)

    rows, out = some_rows(tmp_path, 12), tmp_path / "out"
    async with served(answer) as server:
        plan = Plan(concurrency=2, row_timeout=0.2, stop_after=4)
        report = await batch.run(rows, out, server.site(), plan)
    assert (report.done, report.failed, report.left) == (12, 0, 0)


# -- rows that all fail alike ----------------------------------------------------------------------


@pytest.mark.parametrize("code", ["model_not_found", "no_such_thing", None])
async def test_a_site_that_fails_every_row_for_one_reason_stops_the_run(
    tmp_path: Path, code: str | None
) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path, body
        told = f"no model (request {len(server.bodies):032x})"
        problem = {"message": told, "code": code, "type": "invalid_request_error"}
        return web.json_response({"error": problem}, status=404)

    rows, out = some_rows(tmp_path, 100), tmp_path / "out"
    async with served(answer) as server:
        report = await batch.run(rows, out, server.site(), Plan(concurrency=8))
        assert len(server.bodies) <= 20 + 8
        assert (report.done, report.failed, report.left) == (0, 0, 100)
        assert report.stopped.startswith("the site has answered no row, and failed each for the ")
        assert "no model" in report.stopped
        assert report.stopped.endswith(
            "rows that are left, and with --stop-after (stop_after) above 1000 each of them may "
            "fail alone"
        )
        report = await batch.run(rows, tmp_path / "each", server.site(), Plan(stop_after=1001))
        assert (report.failed, report.left, report.stopped) == (100, 0, "")
        server.answer = repeat
        report = await batch.run(rows, out, server.site())
    assert (report.done, report.failed, report.left) == (100, 0, 0)


def without(what: str) -> Any:
    """Answer each row but those that ask for a model, an endpoint or a field that is not there."""

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if what in (path, body.get("model")) or what in body:
            problem = {"message": f"there is no {what}", "code": None}
            return web.json_response({"error": problem}, status=404)
        if path == "/v1/completions":
            choice = {"index": 0, "text": "x", "finish_reason": "stop"}
            return web.json_response({"choices": [choice]})
        return await repeat(path, body)

    return answer


@pytest.mark.parametrize(
    ("what", "row"),
    [
        ("gone", chat("x", model="gone")),
        ("/v1/completions", ("/v1/completions", {"prompt": "x"})),
        ("odd", chat("x", odd=1)),
    ],
)
async def test_rows_of_other_kinds_are_asked_before_the_site_is_given_up(
    tmp_path: Path, what: str, row: Any
) -> None:
    """An input may be sorted by its models, its endpoints, or what else its rows ask for."""
    bodies = [*[row] * 300, chat("first"), *[row] * 30, *[chat("y")] * 40]
    rows, out = write_rows(tmp_path / "in.jsonl", bodies), tmp_path / "out"
    async with served(without(what)) as server:
        report = await batch.run(rows, out, server.site(), Plan(concurrency=4))
        assert (report.done, report.failed, report.left, report.stopped) == (41, 330, 0, "")
        assert len(server.bodies) == 371  # each once, the one that was asked early, too
        asked = [json.dumps(each) for each in server.bodies]
        assert next(place for place, each in enumerate(asked) if "first" in each) <= 20 + 4
    assert failures(out).keys() == {f"row {each}" for each in range(331) if each != 300}


async def test_a_row_of_another_kind_may_be_refused_for_a_time(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if body["model"] == "gone":
            return error(404)
        return error(429) if server.prompts.count("first") < 3 else await repeat(path, body)

    bodies = [*[chat("x", model="gone")] * 30, chat("first")]
    rows = write_rows(tmp_path / "in.jsonl", bodies)
    plan = Plan(concurrency=4, retry=RetryPolicy(first_wait=0.01))
    async with served(answer) as server:
        report = await batch.run(rows, tmp_path / "out", server.site(), plan)
    assert (report.done, report.failed, report.left, report.stopped) == (1, 30, 0, "")


async def test_a_site_that_has_none_of_many_models_stops_the_run(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path
        problem = {"message": f"no model {body['model']}", "code": "model_not_found"}
        return web.json_response({"error": problem}, status=404)

    bodies = [chat("x", model=f"m{number // 50}") for number in range(50 * 30)]
    rows = write_rows(tmp_path / "in.jsonl", bodies)
    async with served(answer) as server:
        report = await batch.run(rows, tmp_path / "out", server.site(), Plan(concurrency=4))
        assert {each["model"] for each in server.bodies} == {f"m{each}" for each in range(21)}
        assert len(server.bodies) <= 20 + 4 + 20
    assert (report.done, report.failed, report.left) == (0, 0, 1500)
    assert report.stopped.startswith("the site has answered no row, and failed each for the same")
    assert "no model m0" in report.stopped


async def test_a_slow_answer_is_waited_for_before_the_site_is_given_up(tmp_path: Path) -> None:
    """What is refused comes back sooner than what is answered."""

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if body["messages"][0]["content"] != "0":
            return error(404)
        await server.until(lambda: len(server.bodies) == 21 and server.under_way == 1)
        return await repeat(path, body)

    rows = some_rows(tmp_path, 50)
    async with served(answer) as server:
        plan = Plan(concurrency=21, row_timeout=20)
        report = await batch.run(rows, tmp_path / "out", server.site(), plan)
    assert (report.done, report.failed, report.left, report.stopped) == (1, 49, 0, "")


async def test_stopped_while_other_kinds_are_asked(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if body["model"] == "gone":
            return error(404)
        await go_on.wait()
        return await repeat(path, body)

    go_on = asyncio.Event()
    bodies = [*[chat("x", model="gone")] * 60, *[chat("y")] * 9]
    rows, out = write_rows(tmp_path / "in.jsonl", bodies), tmp_path / "out"
    async with served(answer) as server:
        run = begin(rows, out, server.site(), Plan(concurrency=4))
        running = asyncio.create_task(run.until_end())
        await server.until(lambda: "y" in server.prompts)
        run.stop()
        go_on.set()
        await running
        report = run.report()
        assert (report.done, report.stopped, report.interrupted) == (1, "", True)
        assert report.done + report.failed + report.left == 69
        report = await batch.run(rows, out, server.site())
    assert (report.failed, report.left) == (60, 0)
    assert len(answers(out)) == 9


async def test_other_kinds_are_asked_of_any_site(tmp_path: Path) -> None:
    bodies = [*[chat("x", model="gone")] * 60, *[chat("y")] * 9]
    rows = write_rows(tmp_path / "in.jsonl", bodies)
    async with Replica() as replica:
        site = Site(replica.url("ollama"), software="ollama")
        site = site.replace(model=(await site.models())[0])
        report = await batch.run(rows, tmp_path / "out", site, Plan(concurrency=4))
    assert (report.done, report.failed, report.left, report.stopped) == (9, 60, 0, "")


@pytest.mark.parametrize("reason", ["another", "none, but an answer"])
async def test_rows_that_fail_for_themselves_are_failures(tmp_path: Path, reason: str) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if len(server.bodies) == 15 and reason != "another":
            return await repeat(path, body)
        return error(400 if len(server.bodies) == 15 else 404)

    rows, out = some_rows(tmp_path, 60), tmp_path / "out"
    async with served(answer) as server:
        report = await batch.run(rows, out, server.site(), Plan(concurrency=4))
    assert report.left == 0
    assert report.failed == len(failures(out)) == 60 - report.done
    assert report.stopped == ""


async def test_too_few_rows_that_fail_alike_are_failures(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path, body
        return error(404)

    rows, out = some_rows(tmp_path, 19), tmp_path / "out"
    async with served(answer) as server:
        report = await batch.run(rows, out, server.site())
    assert (report.failed, report.left, report.stopped) == (19, 0, "")


async def test_a_run_with_answers_has_failures_however_many(tmp_path: Path) -> None:
    """Those that failed last time, and only they, fail once more."""

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        number = int(body["messages"][0]["content"])
        return await repeat(path, body) if number < 3 else error(404)

    rows, out = some_rows(tmp_path, 40), tmp_path / "out"
    async with served(answer) as server:
        for _ in range(2):
            report = await batch.run(rows, out, server.site(), retry_failed=True)
            assert (report.failed, report.left, report.stopped) == (37, 0, "")


# -- ends before the end ---------------------------------------------------------------------------


def held(go_on: asyncio.Event, after: int) -> Any:
    """Answer so many, and hold the others until they are let go."""

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if int(body["messages"][0]["content"]) >= after:
            await go_on.wait()
        return await repeat(path, body)

    return answer


async def test_stopped_it_waits_for_what_is_under_way(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 30), tmp_path / "out"
    go_on = asyncio.Event()
    async with served(held(go_on, 10)) as server:
        work = begin(rows, out, server.site(), Plan(concurrency=4))
        running = asyncio.create_task(work.until_end())
        await server.until(lambda: server.under_way == 4)
        work.stop()
        await asyncio.sleep(0)
        assert (work.report().under_way, running.done()) == (4, False)
        go_on.set()
        await running
        report = work.report()
        assert (report.done, report.failed, report.left) == (14, 0, 16)
        assert report.interrupted
        report = await batch.run(rows, out, server.site())
        assert (report.skipped, report.done, report.left) == (14, 16, 0)
        assert len(server.bodies) == 30


async def test_stopped_while_rows_wait_for_another_attempt(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path, body
        return error(500)

    rows, out = some_rows(tmp_path, 8), tmp_path / "out"
    async with served(answer) as server:
        plan = Plan(concurrency=8, retry=RetryPolicy(first_wait=1000.0, longest_wait=1000.0))
        work = begin(rows, out, server.site(), plan)
        running = asyncio.create_task(work.until_end())
        await server.until(lambda: len(server.bodies) == 8 and not server.under_way)
        work.stop()
        await running
    assert (work.report().left, failures(out)) == (8, {})


async def test_cancelled_it_cuts_what_is_under_way(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 30), tmp_path / "out"
    go_on = asyncio.Event()
    async with served(held(go_on, 10)) as server:
        running = asyncio.create_task(batch.run(rows, out, server.site(), Plan(concurrency=4)))
        await server.until(lambda: server.under_way == 4)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await server.until(lambda: not server.under_way)
        assert len(answers(out)) == 10
        go_on.set()
        assert (await batch.run(rows, out, server.site())).done == 20


async def test_an_output_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    """What came after the disk was full is asked again, once it is not."""
    rows, out = some_rows(tmp_path, 30), tmp_path / "out"
    async with served() as server:
        work = begin(rows, out, server.site(), Plan(concurrency=4))
        full = open("/dev/full", "ab", buffering=0)  # noqa: ASYNC230, PTH123, SIM115
        kept, work.folder._answers._file = work.folder._answers._file, full
        with pytest.raises(BatchWriteError):
            await work.until_end()
        kept.close()
        assert answers(out) == {}
        assert (await batch.run(rows, out, server.site())).done == 30


async def test_the_wall_clock_decides_nothing(tmp_path: Path) -> None:
    """It jumps by years, back and forth, with each look."""
    from tailrace._environment import Environment  # noqa: PLC0415 - for this test alone

    jumps = iter(range(10**9))
    environment = Environment(now_ms=lambda: (-1) ** next(jumps) * 10**12)
    rows = some_rows(tmp_path, 30)
    async with served() as server:
        plan = Plan(rpm=60_000, concurrency=4)
        report = await batch.run(
            rows, tmp_path / "out", server.site(), plan, environment=environment
        )
    assert report.done == 30
    assert report.seconds < 60


async def test_a_report_is_a_line_of_json(tmp_path: Path) -> None:
    rows = some_rows(tmp_path, 2)
    async with served() as server:
        plan = Plan(retry=QUICK)
        report = await batch.run(rows, tmp_path / "out", server.site(), plan)
    line = report.to_json()
    assert b"\n" not in line
    assert b'"attempts":3' in line
    assert completion("x")["usage"]["total_tokens"] * 2 == report.usage.total
