"""``tailrace batch``: what it prints, its exit codes, Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from cli_process import finish, interrupt, run, run_on_terminal, start
from rows import answers, chat, failures, repeat, served, write_rows

from tailrace.replica import Replica

if TYPE_CHECKING:
    from pathlib import Path

    from rows import Server


def arguments(rows: Path, out: Path, server: Server, *more: str) -> list[str]:
    where = ["--site", server.url, "--software", "openai", "--model", "m"]
    return ["batch", str(rows), str(out), *where, *more]


def some_rows(tmp_path: Path, count: int) -> Path:
    return write_rows(tmp_path / "in.jsonl", (chat(f"{number}") for number in range(count)))


async def test_a_batch_says_what_became_of_it(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    async with served() as server:
        ended = await run(*arguments(rows, out, server, "--concurrency", "8", "--rpm", "60000"))
        assert ended.code == 0, ended.stderr
        assert ended.stderr.endswith("20 of 20 rows to ask; 8 at once, 60000 requests a minute\n")
        lines = ended.stdout.splitlines()
        assert lines[0].startswith("rows      20 done in ")
        assert lines[0].endswith(" s, 0 failed, 0 done before, 0 left")
        assert lines[2:] == [
            "requests  20, of them 0 again, 0 refused",
            "tokens    60 in, 40 out",
            f"answers   {out / 'part-00000-of-00001.jsonl'}",
        ]
        again = await run(*arguments(rows, out, server))
        assert again.code == 0
        assert "0 of 20 rows to ask, 20 of them done" in again.stderr
    assert len(answers(out)) == 20


async def test_some_failed_rows_are_exit_code_3(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "in.jsonl", [chat("hi"), chat("x", stream=True)]), "out"
    async with served() as server:
        ended = await run(*arguments(rows, tmp_path / out, server))
        assert ended.code == 3
        assert "1 done in" in ended.stdout
        assert "errors    1 invalid_request, such as: stream: a batch" in ended.stdout
        assert "errors-00000-of-00001.jsonl; --retry-failed asks them again" in ended.stdout


async def test_a_site_that_is_down_is_exit_code_4(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    async with served() as server:
        pass
    more = ("--stop-after", "3", "--patience", "0", "--retry", "1")
    ended = await run(*arguments(rows, out, server, *more))
    assert ended.code == 4
    assert "20 left" in ended.stdout
    assert "tailrace: the site does not answer: http://127.0.0.1" in ended.stderr
    assert (answers(out), failures(out)) == ({}, {})


@pytest.mark.parametrize("more", [(), ("--json",)])
async def test_a_site_that_is_waited_for_is_told_once_and_once_again(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    async with served() as down:
        pass
    port = int(down.url.split(":")[2].split("/")[0])
    process = await start(*arguments(rows, out, down, "--stop-after", "3", *more))
    assert process.stderr is not None
    seen = b""
    while b"--patience" not in seen:
        line = await process.stderr.readline()
        assert line, seen
        seen += line
    assert line.startswith(b"the site does not answer: http://127.0.0.1")
    assert line.endswith(b"; one request at a time probes it, for 300 s at most (--patience)\n")
    async with served(port=port):
        ended = await finish(process)
    assert (ended.code, ended.stderr) == (0, "the site answers again\n")
    if more:
        reports = [json.loads(line) for line in ended.stdout.splitlines()]
        waits = [bool(each["waiting"]) for each in reports]
        assert (waits[0], waits[-1], sorted(waits, reverse=True)) == (True, False, waits)
    assert len(answers(out)) == 20


@pytest.mark.parametrize("more", [(), ("--json",)])
async def test_a_long_retry_after_is_told_once(tmp_path: Path, more: tuple[str, ...]) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del path, body
        return web.json_response({}, status=429, headers={"Retry-After": "250"})

    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    async with served(answer) as server:
        process = await start(*arguments(rows, out, server, "--concurrency", "2", *more))
        assert process.stderr is not None
        seen = [await process.stderr.readline() for _ in range(2)]
        assert re.fullmatch(
            rb"the site wants no request for 2[45]\d s: all rows wait\n", seen[1]
        ), seen
        process.send_signal(signal.SIGINT)
        ended = await finish(process)
    assert ended.code == 130
    assert "site" not in ended.stderr
    for line in ended.stdout.splitlines() if more else ():
        report = json.loads(line)
        assert (report["waiting"], report["left"]) == ("", 20)
    assert (answers(out), failures(out)) == ({}, {})


async def test_a_path_that_is_wrong_ends_the_run_naming_the_reason(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 50), tmp_path / "out"
    async with served() as server:
        server.url = server.url.replace("/v1", "/v2")
        ended = await run(*arguments(rows, out, server))
    assert ended.code == 4
    assert "50 left" in ended.stdout
    assert "404" in ended.stderr
    assert (answers(out), failures(out)) == ({}, {})


async def test_a_run_without_any_model_is_refused_naming_the_option(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 2), tmp_path / "out"
    async with served() as server:
        where = ["--site", server.url, "--software", "anthropic"]
        ended = await run("batch", str(rows), str(out), *where)
        assert (ended.code, ended.stdout, server.bodies) == (2, "", [])
    assert "names a model" in ended.stderr
    assert "--model" in ended.stderr
    assert not out.exists()


async def test_machines_get_lines(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    async with served() as server:
        ended = await run(*arguments(rows, out, server, "--json", "--shard", "1/2"))
    (line,) = ended.stdout.splitlines()
    report = json.loads(line)
    assert (report["shard"], report["rows"], report["done"], report["left"]) == ([1, 2], 10, 10, 0)
    assert len(answers(out, "00001-of-00002")) == 10


async def test_machines_see_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        await asyncio.sleep(0.02)  # the server's pace
        return await repeat(path, body)

    monkeypatch.setattr("tailrace._cli.batch._JSON_EVERY", 0.01)
    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    async with served(answer) as server:
        ended = await run(*arguments(rows, out, server, "--json", "--concurrency", "1"))
    left = [json.loads(line)["left"] for line in ended.stdout.splitlines()]
    assert len(left) > 1
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


async def test_a_table_of_the_answers(tmp_path: Path) -> None:
    rows, out, table = some_rows(tmp_path, 3), tmp_path / "out", tmp_path / "table.csv"
    async with served() as server:
        more = ("--text", str(table), "--columns", "id,text")
        ended = await run(*arguments(rows, out, server, *more))
        assert ended.code == 0, ended.stderr
        assert f"table     {table}" in ended.stdout
    assert table.read_text() == "id,text\nrow 0,0\nrow 1,1\nrow 2,2\n"


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        ("table.doc", "id", "table.doc ends in none of .csv"),
        ("none/table.csv", "id", "cannot be written: there is no folder"),
        ("table.csv", "id,nope", "there is no column nope"),
    ],
)
async def test_a_table_that_cannot_be_is_refused_before_anything_is_asked(
    tmp_path: Path, table: str, columns: str, words: str
) -> None:
    rows, out = tmp_path / "in.csv", tmp_path / "out"
    rows.write_text("id,prompt\n1,one\n", "utf-8")
    async with served() as server:
        more = ("--text", str(tmp_path / table), "--columns", columns)
        ended = await run(*arguments(rows, out, server, *more))
        assert (ended.code, ended.stdout) == (2, "")
        assert words in ended.stderr
        assert server.prompts == []
        assert not out.exists()
        ended = await run(*arguments(rows, out, server, "--text", str(out / "table.csv")))
        assert ended.code == 0, ended.stderr
    assert (out / "table.csv").read_text() == "id,text,error\n1,one,\n"


async def test_a_table_that_fails_hides_no_figures(tmp_path: Path) -> None:
    rows, out, table = some_rows(tmp_path, 3), tmp_path / "out", tmp_path / "table.csv"
    async with served() as server:
        more = ("--text", str(table), "--columns", "id,nope")
        ended = await run(*arguments(rows, out, server, *more))
    assert ended.code == 2
    assert ended.stdout.startswith("rows      3 done in ")
    assert "there is no column nope" in ended.stderr
    assert not table.exists()


async def test_a_terminal_has_a_bar(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    async with served() as server:
        shown = await run_on_terminal(*arguments(rows, out, server))
    assert "20/20" in shown
    assert "tokens in" in shown
    assert "20 done in" in shown


async def test_a_site_that_is_waited_for_is_told_above_the_bar(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if len(server.bodies) <= 3:
            return web.Response(status=500)
        return await repeat(path, body)

    rows, out = some_rows(tmp_path, 10), tmp_path / "out"
    more = ("--concurrency", "1", "--stop-after", "3")
    async with served(answer) as server:
        shown = await run_on_terminal(*arguments(rows, out, server, *more))
    assert shown.count("the site does not answer: ") == 1
    assert shown.count("the site answers again\n") == 1
    assert "10 done in" in shown


async def test_a_table_that_cannot_be_is_refused_before_ray_is_begun(tmp_path: Path) -> None:
    rows = some_rows(tmp_path, 2)
    async with served() as server:
        for table, words in (("table.xml", "ends in none of"), (rows, "is the input")):
            more = ("--engine", "ray", "--text", str(tmp_path / table))
            ended = await run(*arguments(rows, tmp_path / "out", server, *more))
            assert (ended.code, ended.stdout) == (2, "")
            assert words in ended.stderr
        from_stdin = (*arguments(rows, tmp_path / "out", server)[2:], "--engine", "ray")
        ended = await run("batch", "-", *from_stdin)
        assert ended.code == 2
        assert "not from stdin" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes there alone")
async def test_names_of_files_that_are_no_text(tmp_path: Path) -> None:
    rows, out = tmp_path / os.fsdecode(b"in\xff.jsonl"), tmp_path / os.fsdecode(b"out\xff")
    some_rows(tmp_path, 3).rename(rows)
    async with served() as server:
        ended = await run(*arguments(rows, out, server))
        assert (ended.code, "3 done in" in ended.stdout) == (0, True), ended.stderr
        ended = await run(*arguments(rows, out, server, "--json"))
    report = json.loads(ended.stdout)
    assert (report["input"], report["skipped"]) == (f"{tmp_path}/in\ufffd.jsonl", 3)


async def test_stdin_is_an_input(tmp_path: Path) -> None:
    prompts = b'{"prompt": "one"}\n{"prompt": "two"}\n'
    async with served() as server:
        ended = await run(
            *arguments(tmp_path / "-", tmp_path / "out", server)[:1],
            "-",
            *arguments(tmp_path, tmp_path / "out", server)[2:],
            stdin=prompts,
        )
        assert ended.code == 0, ended.stderr
        assert sorted(server.prompts) == ["one", "two"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--shard", "2/2"), "no shard: of 64 they are 0/64 to 63/64"),
        (("--shard", "half"), "is no shard"),
        (("--concurrency", "0"), "--concurrency"),
        (("--format", "xml"), "--format"),
        (("--id-field", "x"), "options that name fields are for other formats"),
    ],
)
async def test_wrong_usage(tmp_path: Path, more: tuple[str, ...], words: str) -> None:
    rows = some_rows(tmp_path, 2)
    async with served() as server:
        ended = await run(*arguments(rows, tmp_path / "out", server, *more))
        assert ended.code == 2
        assert words in ended.stderr
        assert server.bodies == []


async def test_a_chat_page_of_others_is_asked_about_first(tmp_path: Path) -> None:
    rows = some_rows(tmp_path, 1)
    ended = await run(
        "batch", str(rows), str(tmp_path / "out"), "--site", "https://page.example/help"
    )
    assert ended.code == 2
    assert "a chat page whose operator has agreed" in ended.stderr
    assert "--i-own-it says that the site is yours" in ended.stderr
    assert not (tmp_path / "out").exists()


async def test_a_page_on_this_machine(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", (chat(f"row {number}") for number in range(3)))
    out = tmp_path / "out"
    async with Replica() as replica:
        page = replica.page("ai-power", "stream")
        ended = await run("batch", str(rows), str(out), "--site", page)
    assert ended.code == 0, ended.stderr
    assert "estimated" in ended.stdout
    assert len(answers(out)) == 3


# -- Ctrl-C ----------------------------------------------------------------------------------------


def held(go_on: asyncio.Event) -> Any:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        if int(body["messages"][0]["content"]) >= 4:
            await go_on.wait()
        return await repeat(path, body)

    return answer


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_waits_for_what_is_under_way(tmp_path: Path, sent: signal.Signals) -> None:
    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    go_on = asyncio.Event()
    async with served(held(go_on)) as server:
        process = await start(*arguments(rows, out, server, "--concurrency", "3"))
        await server.until(lambda: server.under_way == 3)
        process.send_signal(sent)
        assert process.stderr is not None
        seen = b""
        while b"again to cut them" not in seen:
            seen += await process.stderr.readline()
        assert b"waiting for 3 rows under way" in seen
        go_on.set()
        ended = await finish(process)
        assert ended.code == 130
        assert "7 done in" in ended.stdout
        assert "13 left" in ended.stdout
        ended = await run(*arguments(rows, out, server))
        assert ended.code == 0, ended.stderr
        assert len(server.bodies) == 20
    assert len(answers(out)) == 20


async def test_a_second_ctrl_c_cuts_it(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    async with served(held(asyncio.Event())) as server:
        process = await start(*arguments(rows, out, server, "--concurrency", "3"))
        await server.until(lambda: server.under_way == 3)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while b"again to cut them" not in await process.stderr.readline():
            pass
        ended = await interrupt(process)
        assert ended.code == 130
        assert "4 done in" in ended.stdout
        assert "16 left" in ended.stdout
    assert len(answers(out)) == 4


# -- trouble with the output -----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's limits are a Unix thing")
async def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    rows, out = some_rows(tmp_path, 200), tmp_path / "out"
    async with served() as server:
        command = [sys.executable, "-m", "tailrace", *arguments(rows, out, server)]
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            'ulimit -f 20; exec "$@"',
            "bash",
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        shown, errors = await process.communicate()
        assert process.returncode == 2, errors.decode()
        assert b"Traceback" not in errors
        assert re.search(
            rb"^rows      \d+ done in .*, 0 failed, 0 done before, \d+ left$", shown, re.MULTILINE
        )
        assert b"part-00000-of-00001.jsonl cannot be written" in errors
        kept = answers(out)
        assert 10 < len(kept) < 100
        before = len(server.bodies)
        ended = await run(*arguments(rows, out, server))
        assert ended.code == 0, ended.stderr
        asked_again = {f"row {prompt}" for prompt in server.prompts[before:]}
        assert asked_again.isdisjoint(kept)
    assert len(answers(out)) == 200


async def test_a_second_run_on_the_folder_is_refused(tmp_path: Path) -> None:
    rows, out = some_rows(tmp_path, 20), tmp_path / "out"
    go_on = asyncio.Event()
    async with served(held(go_on)) as server:
        process = await start(*arguments(rows, out, server, "--concurrency", "3"))
        await server.until(lambda: server.under_way == 3)
        ended = await run(*arguments(rows, out, server))
        assert ended.code == 2
        assert "tailrace: " in ended.stderr
        go_on.set()
        assert (await finish(process)).code == 0
        assert len(server.bodies) == 20


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--engine", "ray", "--shard", "1/2"], "--engine ray has all the shards"),
        (["--workers", "2"], "--workers and --shards are for --engine ray"),
        (["--engine", "ray", "--workers", "0"], "neither a number nor node or cpu"),
        (["--text", "t.csv"], "a URL is none"),
        (["--engine", "ray"], 'pip install "tailrace[ray]"'),
    ],
)
async def test_what_is_for_ray_is_refused_elsewhere(
    tmp_path: Path, options: list[str], problem: str
) -> None:
    where = ["--site", "http://127.0.0.1:9/v1", "--software", "openai", "--model", "m"]
    out = f"file://{tmp_path}/out"
    ended = await run("batch", str(some_rows(tmp_path, 1)), out, *where, *options)
    assert ended.code == 2
    assert problem in ended.stderr
