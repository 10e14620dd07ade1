"""``tailrace load``: load on a server of one's own, and two runs of it compared."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from cli_process import interrupt, run, run_on_terminal, start

from tailrace.load import read_report
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url() -> AsyncIterator[str]:
    async with Replica(shutdown_timeout=0.1) as replica:
        yield f"{replica.url('openai')}/v1"


def asked(url: str, *options: str) -> tuple[str, ...]:
    return ("load", url, "--software", "openai", "--model", "gpt-4o", *options)


async def test_twenty_requests_of_two_users(url: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    plan = ("--users", "2", "--requests", "20")
    ended = await run(*asked(url, *plan, "--report", str(page)))
    assert ended.code == 0
    assert "2 users (closed model), 20 requests" in ended.stderr
    assert "20 done" in ended.stdout
    assert "HTTP      200: 20" in ended.stdout
    assert "(from usage)" in ended.stdout
    for row in ("TTFT", "gap", "whole answer"):
        cells = next(line for line in ended.stdout.splitlines() if line.startswith(row))
        assert len(cells.removeprefix(row).replace(" ms", "ms").replace(" µs", "µs").split()) == 6
    assert page.read_text("utf-8").startswith("<!doctype html>")


async def test_a_rate_as_json_compared_with_another_run(url: str, tmp_path: Path) -> None:
    files = []
    for name, extra in (("a", ()), ("b", ("--arrivals", "constant"))):
        plan = ("--rate", "50", "--requests", "10", "--seed", "1", *extra)
        ended = await run(*asked(url, *plan, "--json"))
        assert ended.code == 0
        file = tmp_path / f"{name}.json"
        file.write_text(ended.stdout, "utf-8")
        files.append(str(file))
    report = read_report(files[0])
    assert (report.requests, report.ends, report.late.count) == (10, {"done": 10}, 10)
    page = str(tmp_path / "c.html")
    compared = await run("load", "--compare", *files, "--report", page)
    assert compared.code == 0
    assert "the runs differ in their plan" in " ".join(compared.stdout.split())
    as_json = json.loads((await run("load", "--compare", *files, "--json")).stdout)
    assert len(as_json["changes"]) == 12


async def test_an_engine_that_is_not_installed_is_named(url: str) -> None:
    asked_for = [*asked(url, "--requests", "1", "--engine", "fleet")]
    begin = (
        "import sys; sys.modules['tailrace_fleet'] = None; "
        f"from tailrace._cli import main; main({asked_for!r})"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", begin, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert process.returncode == 2
    assert stderr.decode() == (
        'tailrace: the fleet is not installed: pip install "tailrace[fleet]", '
        "or from a checkout: pip install ./rust/fleet\n"
    )


async def test_an_engine_refuses_a_site_with_a_page_by_name(url: str) -> None:
    ended = await run("load", url, "--engine", "fleet", "--requests", "1")
    assert ended.code == 2
    assert "the engine fleet cannot ask" in ended.stderr
    assert "have a page" in ended.stderr


async def test_prompts_of_a_file_are_asked_in_turn(url: str, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("[[cut]]\nSay hello\n", "utf-8")
    ended = await run(*asked(url, "--requests", "4", "--prompts", str(prompts)))
    assert ended.code == 3
    assert "2 done, 2 truncated" in ended.stdout
    assert "errors    2 truncated, such as: " in ended.stdout


async def test_no_reply_at_all_is_the_networks_code() -> None:
    ended = await run(*asked("http://127.0.0.1:9/v1", "--requests", "2"))
    assert ended.code == 4
    assert "errors    2 network, such as: " in ended.stdout
    assert "HTTP      none: 2" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "say which site"),
        (("http://127.0.0.1:9", "--users", "2", "--rate", "1"), "give one"),
        (("http://127.0.0.1:9", "--for", "soon"), "is no time such as"),
        (("http://127.0.0.1:9", "--prompt", "a", "--prompts", __file__), "give one of them"),
        (("http://127.0.0.1:9", "--max-tokens", "5"), "max_tokens"),
        (("http://127.0.0.1:9", "--compare", __file__, __file__), "leave out SITE"),
        (("--compare", __file__, __file__), "is no report"),
        (("--compare", "none.json", "none.json"), "cannot read none.json"),
        (("http://127.0.0.1:9/v1", "--software", "openai", "--requests", "1"), "wants a model"),
    ],
)
async def test_wrong_usage_is_told(arguments: tuple[str, ...], says: str) -> None:
    ended = await run("load", *arguments)
    assert (ended.code, ended.stdout) == (2, "")
    assert says in ended.stderr


@pytest.mark.parametrize("answer", [b"", b"n\n"])
async def test_a_site_elsewhere_is_asked_for(answer: bytes) -> None:
    ended = await run(*asked("https://llm.invalid/v1"), stdin=answer)
    assert (ended.code, ended.stdout) == (2, "")
    assert "Put load on a site or server of your own" in ended.stderr
    assert "yours to put load on?" in ended.stderr
    assert "nothing was sent" in ended.stderr


@pytest.mark.parametrize("says", ["option", "answer"])
async def test_who_owns_it_is_believed(says: str) -> None:
    """The name leads nowhere, so that nothing is sent to anybody."""
    options = ("--requests", "1", *(("--i-own-it",) if says == "option" else ()))
    ended = await run(*asked("https://llm.invalid/v1", *options), stdin=b"y\n")
    assert ended.code == 4
    assert "1 network" in ended.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_a_terminal_shows_the_table_while_it_runs(url: str) -> None:
    shown = await run_on_terminal(*asked(url, "--requests", "3"), TERM="xterm")
    assert "under way" in shown or shown.count("TTFT") > 1
    assert shown.rstrip().count("\x1b[2K") > 0  # what was live is taken away
    assert "3 done" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent to the whole console there")
async def test_ctrl_c_ends_it_with_a_report() -> None:
    asked_for = asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        asked_for.set()
        await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_post("/api/generate", hold)
    async with TestServer(app, handler_cancellation=True) as server:
        url = str(server.make_url("")).rstrip("/")
        plan = ("--software", "geminiprochat", "--for", "1h", "--warm-up", "0", "--json")
        process = await start("load", url, *plan)
        await asked_for.wait()
        ended = await interrupt(process)
    assert ended.code == 130
    assert ended.stderr.splitlines()[-1] == "interrupted"
    report = json.loads(ended.stdout)
    assert (report["interrupted"], report["ends"]) == (True, {"unfinished": 1})
