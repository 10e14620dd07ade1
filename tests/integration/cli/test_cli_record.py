"""``tailrace record`` and ``tailrace replica --replay``, as their users start them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cli_process import interrupt, read_until, run, start

from tailrace.recording import read_recording
from tailrace.replica import Replica

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_call_is_recorded_and_played_back(tmp_path: Path) -> None:
    file = str(tmp_path / "call.jsonl")
    async with Replica() as replica:
        first = await run(
            "record", "ChatGptt", "hello", file, "--url", replica.page("ai-power", "stream")
        )
    assert (first.code, first.stderr) == (
        0,
        f"{file}: 2 exchanges; look through it before you share it\n",
    )
    assert first.stdout.startswith("You asked: “hello”")
    process = await start("replica", "--replay", file, "--port", "0", "--replay-pace", "0")
    shown = await read_until(process, "Ctrl-C ends it.\n")
    found = re.match(
        r"ChatGptt  (http://127\.0\.0\.1:\d+/\S+)\nanswers GET /\S+\nanswers POST /wp-admin", shown
    )
    assert found is not None
    again = await run("chat", "--provider", "ChatGptt", "--url", found[1], "something else")
    assert (again.code, again.stdout) == (0, first.stdout)
    end = await interrupt(process)
    assert (end.code, end.stdout, end.stderr) == (0, "", "")


async def test_a_call_that_fails_is_recorded_as_well(tmp_path: Path) -> None:
    file = tmp_path / "call.jsonl"
    async with Replica() as replica:
        url = replica.url("geminiprochat")
        first = await run(
            "record", "GPROChat", "[[err429]]", str(file), "--url", url, "--keep-messages"
        )
    assert first.code == 3
    assert first.stderr.startswith(f"{file}: 1 exchanges")
    assert "err429" in (read_recording(file).exchanges[0].request.body or "")


async def test_wrong_usage_is_2(tmp_path: Path) -> None:
    file = tmp_path / "call.jsonl"
    file.write_text("mine")
    for arguments, says in (
        (["record", "ChatGptt", "hello", str(file)], f"cannot write {file}: File exists"),
        (["record", "ChatGptt", " ", str(tmp_path / "b")], "there is no prompt"),
        (["record", "Nobody", "hello", str(tmp_path / "b")], "Nobody"),
        (["replica", "--replay", str(file)], "line 1 of the recording: it is no JSON object"),
        (["replica", "--replay", str(tmp_path / "none")], "does not exist"),
        (["replica", "--replay", str(file), "--fault", "gzip"], "leave out --fault and --upstream"),
    ):
        end = await run(*arguments)
        assert (end.code, end.stdout) == (2, "")
        assert says in end.stderr
    assert file.read_text() == "mine"
    assert not (tmp_path / "b").exists()
