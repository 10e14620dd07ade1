"""Batches of servers that say again what they were sent: no file and no report tells it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from echoes import ECHOES, UNQUOTED, Echo, Echoing, left_out, secrets_of
from loopback import serve
from rows import answers, chat, completion, failures, write_rows
from secret_sites import KEY, SERVERS, site_at

from tailrace import RetryPolicy, batch
from tailrace.batch import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from loopback import Exchange

PLAN = Plan(concurrency=1, retry=RetryPolicy(attempts=1))


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("name", ["openai", "openai, a key in extra", "anthropic", "ai-power"])
async def test_no_file_tells_what_was_sent(name: str, echo: str, tmp_path: Path) -> None:
    row = SERVERS[name]
    echoing = Echoing(ECHOES[echo], row.get("page", b""))
    rows = write_rows(tmp_path / "in.jsonl", [chat("hi")])
    async with serve(echoing.answer) as server:
        report = await batch.run(rows, tmp_path / "out", site_at(server, row), PLAN)
    assert echoing.secrets
    assert failures(tmp_path / "out").keys() == {"row 0"}
    files = [each.read_text("utf-8") for each in (tmp_path / "out").iterdir() if each.is_file()]
    left = left_out(echoing.secrets, [*files, repr(report)])
    # What came of half an event is not filed.
    assert left or echo in UNQUOTED or echo == "half an event"


async def test_a_secret_that_is_a_number_leaves_lines_that_can_be_read(tmp_path: Path) -> None:
    async def answer(exchange: Exchange) -> None:
        body = b'{"error": {"message": "no", "pin": 480123480123}}'
        await Echo("400 Bad Request", body).send(exchange)

    rows = write_rows(tmp_path / "in.jsonl", [chat("hi")])
    async with serve(answer) as server:
        site = site_at(server, {"software": "openai", "api_key": "480123480123"})
        await batch.run(rows, tmp_path / "out", site, PLAN)
    (failed,) = failures(tmp_path / "out").values()
    assert "480123480123" not in json.dumps(failed)
    assert "no" in json.dumps(failed["error"])


async def test_an_answer_is_filed_as_it_is(tmp_path: Path) -> None:
    async def answer(exchange: Exchange) -> None:
        body = json.dumps(completion(", ".join(secrets_of(exchange))))
        await Echo("200 OK", body.encode()).send(exchange)

    rows = write_rows(tmp_path / "in.jsonl", [chat("hi")])
    async with serve(answer) as server:
        await batch.run(rows, tmp_path / "out", site_at(server, SERVERS["openai"]), PLAN)
    assert KEY in json.dumps(answers(tmp_path / "out"))
