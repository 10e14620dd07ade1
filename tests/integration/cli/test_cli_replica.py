"""``tailrace replica`` in a process of its own: it says where it is, answers there, and ends on
Ctrl-C.
"""

from __future__ import annotations

import re
import socket

import aiohttp
import pytest
from cli_process import interrupt, read_until, run, run_process, run_without_reader, start

from tailrace.replica import FAULTS, Replica
from tailrace.replica._sites import SITES


async def test_it_prints_its_urls_answers_there_and_ends_on_ctrl_c() -> None:
    process = await start("replica", "--port", "0", "--pace", "0", "--list")
    shown = await read_until(process, "Ctrl-C ends it.\n")
    sites = dict(re.findall(r"^(\S+)  (http://127\.0\.0\.1:\d+)$", shown, re.MULTILINE))
    assert list(sites) == [site.name for site in SITES]
    pages = re.findall(r"^(http://\S+/\S*)\t", shown, re.MULTILINE)
    assert len(pages) > 8
    async with aiohttp.ClientSession() as session:
        for page in pages:
            # Anthropic's server wants its version of every request.
            headers = {"anthropic-version": "2023-06-01"}
            async with session.get(page, headers=headers) as reply:
                assert reply.status == 200
    for site, provider in (("ai-power", "ChatgptFree"), ("geminiprochat", "GPROChat")):
        end = await run("chat", "--provider", provider, "--url", sites[site], "hello")
        assert end.code == 0
        assert end.stdout.startswith("You asked: “hello”")
    assert "[[midfail]]" in shown
    end = await interrupt(process)
    assert (end.code, end.stdout, end.stderr) == (0, "", "")


async def test_it_prints_one_screen() -> None:
    process = await start("replica", "--port", "0")
    shown = await read_until(process, "Ctrl-C ends it.\n")
    *lines, more, last = shown.splitlines()
    assert len(lines) + 3 <= 24  # with the line of the command
    assert [line.split()[0] for line in lines] == [site.name for site in SITES]
    assert [line.split(maxsplit=2)[2] for line in lines] == [site.shows for site in SITES]
    assert more == f"Their pages and faults: {lines[0].split()[1]}/~replica, or --list at the start"
    assert last == "Ctrl-C ends it."
    assert (await interrupt(process)).code == 0


async def test_faults_hold_from_the_start_and_by_url() -> None:
    process = await start(
        "replica",
        "--port",
        "0",
        "--pace",
        "0",
        "--fault",
        "gzip",
        "--fault",
        "503:9@page",
        "--list",
    )
    shown = await read_until(process, "Ctrl-C ends it.\n")
    sites = dict(re.findall(r"^(\S+)  (http://127\.0\.0\.1:\d+)$", shown, re.MULTILINE))
    for kind in FAULTS:
        assert re.search(rf"^{re.escape(kind.text)}\t", shown, re.MULTILINE)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{sites['ai-power']}/~replica") as reply,
    ):
        assert "503:9@page gzip" in await reply.text()
    end = await run("chat", "--provider", "ChatgptFree", "--url", sites["ai-power"], "hello")
    assert (end.code, end.stdout) == (3, "")
    assert "503 Service Unavailable" in end.stderr
    for prefix, code in (("", 0), ("/~fault/cut", 3), ("/~fault/reset:before-head", 4)):
        end = await run(
            "chat", "--provider", "GPROChat", "--url", sites["geminiprochat"] + prefix, "hello"
        )
        assert end.code == code
    end = await interrupt(process)
    assert (end.code, end.stdout, end.stderr) == (0, "", "")


async def test_answers_come_from_an_upstream() -> None:
    async with Replica(api_key="sk-up") as above:
        upstream = ["--upstream", f"{above.url('openai')}/v1", "--upstream-model", "gpt-4o"]
        process = await start(
            "replica", "--port", "0", *upstream, environment={"TAILRACE_UPSTREAM_KEY": "sk-up"}
        )
        shown = await read_until(process, "Ctrl-C ends it.\n")
        found = re.search(r"^geminiprochat +(http://\S+) ", shown, re.MULTILINE)
        assert found is not None
        end = await run("chat", "--provider", "GPROChat", "--url", found[1], "hello")
        assert (end.code, end.stdout[:18]) == (0, "You asked: “hello”")
        (asked,) = above.exchanges
        assert asked.headers["Authorization"] == "Bearer sk-up"
        assert (await interrupt(process)).code == 0


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        end = await run_process("replica", "--port", str(port))
    assert (end.code, end.stdout) == (2, "")
    assert f"cannot listen on 127.0.0.1 port {port}: " in end.stderr
    assert end.stderr.endswith("; --port takes another, 0 a free one\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "65536"], "65536 is not in the range"),
        (["--port", "65535"], f"leave room for {len(SITES)} ports"),
        (["--pace", "-1"], "-1.0 is not in the range"),
        (["--upstream", "localhost:8000/v1"], "an upstream is a base URL"),
        (["--pace", "nan"], "pace must be 0 or more seconds"),
        (["--fault", "gzip", "--fault", "nonsense"], "there is no fault 'nonsense'"),
        (["--fault", "redirect:up"], "the fault redirect takes path, www"),
    ],
)
async def test_wrong_usage_is_2(arguments: list[str], says: str) -> None:
    end = await run("replica", *arguments)
    assert (end.code, end.stdout) == (2, "")
    assert says in end.stderr


async def test_a_reader_that_is_not_there_is_141() -> None:
    end = await run_without_reader("replica", "--port", "0")
    assert (end.code, end.stderr) == (141, "")
