"""``tailrace chat``: what it prints, when, and with which code it leaves."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cli_process import (
    finish,
    held_site,
    interrupt,
    read_until,
    run,
    run_process,
    run_without_reader,
    start,
)
from written_site import written_site

from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli_process import Ended

PROVIDERS = ["ChatGptt", "ChatgptFree", "ChatGptEs", "GPROChat"]
LAST_WORDS = "so is `event: error`. 👋"


@pytest.fixture
def refused() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_every_provider_answers_from_a_replica(provider: str) -> None:
    end = await run("chat", "--provider", provider, "--replica", "hello")
    assert (end.code, end.stderr) == (0, "")
    assert end.stdout.startswith("You asked: “")
    assert end.stdout.endswith(f"{LAST_WORDS}\n")


def objects(end: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in end.stdout.splitlines()]


async def test_json_is_one_object_a_line_and_the_last_says_how_it_ended() -> None:
    plain = await run("chat", "--replica", "hello")
    end = await run("chat", "--replica", "--json", "hello")
    assert (end.code, end.stderr) == (0, "")
    *deltas, last = objects(end)
    assert len(deltas) > 50
    assert "".join(each["delta"] for each in deltas) + "\n" == plain.stdout
    told = ["end", "finish_reason", "usage", "ids", "error", "tool_calls", "reasoning", "refusal"]
    told.append("passed_over")
    assert list(last) == told
    assert (last["end"], last["finish_reason"], last["error"]) == ("done", "stop", None)
    assert last["ids"]["id"]


@pytest.mark.parametrize("arguments", [[], ["-"]])
async def test_the_prompt_can_be_piped_in(arguments: list[str]) -> None:
    end = await run(
        "chat",
        "--provider",
        "gprochat",
        "--replica",
        *arguments,
        stdin="wie spät ist es?\n".encode(),
    )
    assert end.code == 0
    assert end.stdout.startswith("You asked: “wie spät ist es?” (0 earlier")


async def test_a_system_message_stands_in_front() -> None:
    end = await run("chat", "--replica", "--system", "Be brief.", "hello")
    assert end.stdout.startswith("You asked: “System: Be brief.\nUser: hello\nAssistant:”")


async def test_text_appears_while_the_site_still_holds_the_rest_back() -> None:
    async with held_site() as site:
        process = await start("chat", "--provider", "GPROChat", "--url", site.url, "hello")
        assert await read_until(process, "words") == "first words"
        site.let_go.set()
        end = await finish(process)
    assert (end.code, end.stdout, end.stderr) == (0, " and the rest\n", "")


async def test_json_appears_while_the_site_still_holds_the_rest_back() -> None:
    async with held_site() as site:
        process = await start(
            "chat", "--provider", "GPROChat", "--json", "--url", site.url, "hello"
        )
        assert await read_until(process, "\n") == '{"delta": "first words"}\n'
        site.let_go.set()
        end = await finish(process)
    assert [each.get("end") for each in objects(end)] == [None, "done"]


async def answer_with_more(request: web.Request) -> web.Response:
    call = {"index": 0, "id": "a", "function": {"name": "tide", "arguments": "{}"}}
    deltas = [{"reasoning_content": "Hm."}, {"content": "Hi"}, {"tool_calls": [call]}]
    await request.read()
    events = [json.dumps({"choices": [{"delta": delta}]}) for delta in deltas]
    body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
    return web.Response(text=body, content_type="text/event-stream")


async def test_what_is_no_text_is_named_and_part_of_json() -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer_with_more)
    async with TestServer(app) as server:
        url = str(server.make_url("/v1"))
        asked = ("chat", "--url", url, "--software", "openai", "--model", "m", "hello")
        end = await run(*asked)
        assert (end.code, end.stdout) == (0, "Hi\n")
        more = "1 tool call (tide), reasoning (3 characters)"
        assert end.stderr == f"tailrace: besides its text the reply holds {more}; --json shows it\n"
        *deltas, last = objects(await run(*asked, "--json"))
    assert deltas == [
        {"kind": "reasoning", "delta": "Hm."},
        {"delta": "Hi"},
        {"kind": "tool_call", "delta": "{}", "index": 0, "id": "a", "name": "tide"},
    ]
    assert last["tool_calls"] == [{"id": "a", "name": "tide", "arguments": "{}", "index": 0}]
    assert last["reasoning"] == "Hm."


async def test_ctrl_c_in_the_middle_keeps_the_text_and_closes_the_connection() -> None:
    async with Replica() as replica:
        process = await start("chat", "--url", replica.url("ai-power"), "hello [[stall]]")
        seen = await read_until(process, "You")
        end = await interrupt(process)
        await replica.exchanges.settled()
        assert replica.exchanges[-1].ended == "aborted"
    assert end.code == 130
    assert (seen + end.stdout).endswith("\n")
    assert end.stderr.strip() == "interrupted"


async def test_ctrl_c_before_the_first_byte() -> None:
    async with Replica() as replica:
        process = await start(
            "chat", "--provider", "GPROChat", "--url", replica.url("geminiprochat"), "[[silent]]"
        )
        await replica.exchanges.changed()
        end = await interrupt(process)
    assert (end.code, end.stdout, end.stderr.strip()) == (130, "", "interrupted")


async def test_ctrl_c_with_a_replica_of_its_own() -> None:
    process = await start("chat", "--replica", "hi [[stall]]")
    await read_until(process, " ")
    end = await interrupt(process)
    assert (end.code, end.stderr.strip()) == (130, "interrupted")


async def test_a_failure_in_the_middle_is_3_and_keeps_the_text() -> None:
    end = await run("chat", "--replica", "hi [[midfail]]")
    assert end.code == 3
    assert end.stdout == "You a\n"
    assert end.stderr.startswith("tailrace: the site reported an error: ")
    assert end.stderr.count("\n") == 1


async def test_a_failure_in_json_is_on_the_last_line_too() -> None:
    end = await run("chat", "--replica", "--json", "hi [[midfail]]")
    *deltas, last = objects(end)
    assert end.code == 3
    assert deltas
    assert last["end"] == "failed"
    assert last["error"] == {
        "type": "StreamError",
        "message": end.stderr.removeprefix("tailrace: ").strip(),
        "kind": "upstream",
        "status": 200,
        "code": None,
        "retry_after": None,
    }


async def test_a_failures_status_and_its_wait_are_part_of_json() -> None:
    async with Replica(faults=["429:1"]) as replica:
        url = replica.url("openai") + "/v1"
        end = await run(
            "chat", "--url", url, "--software", "openai", "--model", "gpt-4o", "--json", "hi"
        )
    (last,) = objects(end)
    assert end.code == 3
    assert (last["error"]["type"], last["error"]["status"]) == ("RateLimitError", 429)
    assert last["error"]["retry_after"] == 1.0


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ("[[upstream-401]]", "the site reported an error"),
        ("[[cut]]", "the reply broke off"),
        ("[[unreachable]]", "the reply holds no answer"),
        ("[[html502]]", "the reply is not an answer"),
        ("[[fatal]]", "the site reported an error (HTTP 500)"),
    ],
)
async def test_an_answer_that_is_none_is_3(marker: str, says: str) -> None:
    end = await run("chat", "--replica", f"hi {marker}")
    assert end.code == 3
    assert end.stderr.startswith(f"tailrace: {says}")


async def test_a_page_without_a_bot_is_3() -> None:
    async with Replica() as replica:
        end = await run("chat", "--url", replica.page("ai-power", "no-chat"), "hello")
    assert (end.code, end.stdout) == (3, "")
    assert (
        "holds neither a chat nonce nor a post id" in end.stderr
        or "holds no chat nonce" in end.stderr
    )


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_refused_connection_is_4(provider: str, refused: str) -> None:
    end = await run("chat", "--provider", provider, "--url", f"http://{refused}/", "hello")
    assert (end.code, end.stdout) == (4, "")
    assert refused in end.stderr


async def test_a_proxy_that_is_not_there_is_4_and_its_password_is_not_shown(refused: str) -> None:
    proxy = f"http://user:pass-word@{refused}"
    end = await run("chat", "--url", "http://127.0.0.1:9/", "--proxy", proxy, "a private question")
    assert (end.code, end.stdout) == (4, "")
    assert refused in end.stderr
    assert "pass-word" not in end.stderr
    assert "private" not in end.stderr


async def test_silence_is_4() -> None:
    end = await run("chat", "--replica", "--timeout", "0.3", "hi [[silent]]")
    assert (end.code, end.stdout) == (4, "")
    assert end.stderr.startswith("tailrace: first byte timeout after 0.3 s")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--provider", "Nobody", "hi"], "there is no provider 'Nobody'; there are ChatGptt,"),
        (["--replica", ""], "there is no prompt"),
        (["--replica", " \n"], "there is no prompt"),
        (["--replica"], "there is no prompt"),
        (["--replica", "--url", "http://127.0.0.1/", "hi"], "--replica has a URL of its own"),
        (["--replica", "--model", "none", "hi"], "does not know the model 'none'; it knows gpt-4,"),
        (["--replica", "--timeout", "0", "hi"], "timeout must be a number of seconds above 0"),
        (["--replica", "--timeout", "nan", "hi"], "timeout must be a number of seconds above 0"),
        (["--replica", "--timeout", "soon", "hi"], "'soon' is not a valid float"),
        (["--url", "gopher://example", "hi"], "it must be http or https"),
        (
            ["--url", "my.example/help", "hi"],
            "the URL has no scheme: write https://my.example/help",
        ),
        (["--provider", "localhost:8000/v1", "hi"], "no scheme: write http://localhost:8000/v1"),
        (["--provider", "[::1]:80", "hi"], "no scheme: write http://[::1]:80"),
        (["--provider", "me:hunter2@my.example", "hi"], "begin it with https:// or http://"),
        (["--replica", "--proxy", "localhost:3128", "hi"], "the proxy's URL is malformed"),
        (["--replica", "--proxy", "ftp://localhost", "hi"], "a proxy of kind 'ftp' is unknown"),
        (["--replica", "--proxy", "", "hi"], "'--proxy': it is empty"),
        (["--url", "http://[::1", "hi"], "the URL is malformed"),
        (["--url", "http://127.0.0.1:99999/", "hi"], "the URL is malformed"),
        (["--provider", "GPROChat", "--url", "http://[::1", "hi"], "the URL is malformed"),
        (["--nothing", "hi"], "No such option"),
        (["hi"], "Error: say who answers, with --provider: a site of tailrace.toml, the URL"),
        (["hi"], "or a provider (ChatGptt, ChatgptFree, ChatGptEs, GPROChat)"),
    ],
)
async def test_wrong_usage_is_2_and_says_what_is_wrong(arguments: list[str], says: str) -> None:
    end = await run("chat", *arguments)
    assert (end.code, end.stdout) == (2, "")
    assert says in end.stderr


async def test_without_a_site_those_of_the_file_are_named_and_nothing_is_read(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        "[sites.shop]\nurl = 'http://shop.example'\n[sites.B]\nurl = 'http://b.example'"
    )
    end = await run("chat", TAILRACE_CONFIG=str(file))
    assert (end.code, end.stdout) == (2, "")
    assert "a site of tailrace.toml (shop, B), the URL of a page" in end.stderr
    file.write_text("[")
    end = await run("chat", "hi", TAILRACE_CONFIG=str(file))
    assert "a site of tailrace.toml, the URL of a page" in end.stderr
    assert f"Error: {file}: it is not TOML" in " ".join(end.stderr.split())  # that comes first
    assert "while it is not read, say who answers" in " ".join(end.stderr.split())


DEFAULT = """
[chat]
site = "shop"
[sites.shop]
url = "{url}"
"""


async def test_a_default_site_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a file that came with the folder must be trusted: it would get the prompt."""
    home = tmp_path / "home"
    home.mkdir()
    variables: dict[str, Any] = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(home))
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    async with Replica(pace=0) as replica:
        text = DEFAULT.format(url=replica.page("ai-power", "stream"))
        (folder / "tailrace.toml").write_text(text)
        end = await run("chat", "hello", **variables)
        assert (end.code, end.stdout) == (2, "")
        assert "chat.site: the file came with this folder and is not trusted" in end.stderr
        end = await run("chat", "--trust", "hello", **variables)
        assert (end.code, end.stderr) == (0, "")
        assert (await run("trust", **variables)).code == 0
        end = await run("chat", "hello", **variables)
        assert (end.code, end.stderr) == (0, "")
        (folder / "tailrace.toml").unlink()
        (home / "tailrace").mkdir(exist_ok=True)
        (home / "tailrace" / "tailrace.toml").write_text(text)
        end = await run("chat", "hello", **variables)
        assert (end.code, end.stderr) == (0, "")


async def test_options_go_where_they_belong() -> None:
    async with Replica(pace=0) as replica, written_site() as site:
        asked = ("chat", "-p", site.url, "--software", "openai", "-m", "gpt-4o", "-s", "Be brief.")
        site.write("ok", None)
        given = ("-H", "X-Mine: a: b", "-o", "temperature=0.5", "-o", "stop=5", "-o", "seed=7")
        end = await run(*asked, *given, "-o", 'extra={"k": [1]}', "--retry", "2", "hello")
        assert (end.code, end.stderr) == (0, "")
        (sent,), (headers,) = site.asked, site.headers
        assert headers["X-Mine"] == "a: b"
        assert (sent["temperature"], sent["stop"], sent["seed"], sent["k"]) == (0.5, "5", 7, [1])
        assert [each["role"] for each in sent["messages"]] == ["system", "user"]
        end = await run("chat", "-p", replica.page("ai-power", "two"), "--bot", "5", "hello")
        assert end.code == 0
        form = replica.exchanges[-1].form
        assert form is not None
        assert form["bot_id"] == "5"


async def test_a_request_is_sent_again_as_often_as_retry_says() -> None:
    async with Replica(pace=0, faults=["503"]) as replica:
        url = f"{replica.url('openai')}/v1"
        asked = ("chat", "-p", url, "--software", "openai", "-m", "gpt-4o", "--retry", "1", "hi")
        assert (await run(*asked)).code == 3
        assert len(replica.exchanges) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "temprature=1"], "there is no option 'temprature': did you mean 'temperature'?"),
        (["-o", "temperature"], "an option is written as name=value"),
        (["-o", "retry=3"], "--option cannot give retry: use --retry"),
        (["-o", "environment=x"], "--option cannot give environment: use Python"),
        (["-o", "seed=7"], "the software wordpress has no option 'seed'"),
        (["-o", "timeout=soon"], "timeout must be a number"),
        (["-o", "temperature=1", "-o", "temperature=2"], "the option temperature is given twice"),
        (["-H", "X-Mine"], 'a header is written as "Name: value"'),
        (["-H", "X-Mine: 1", "-H", "x-mine: 2"], "the header x-mine is given twice"),
        (["--retry", "-1"], "-1 is not in the range"),
    ],
)
async def test_a_wrong_option_is_2(arguments: list[str], says: str) -> None:
    end = await run("chat", "--replica", *arguments, "hi")
    assert (end.code, end.stdout) == (2, "")
    assert says in " ".join(end.stderr.split())


async def test_a_reader_that_is_not_there_is_141() -> None:
    end = await run_without_reader("chat", "--replica", "hello")
    assert (end.code, end.stderr) == (141, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_a_stream_that_is_closed_is_an_empty_one(closed: str) -> None:
    sh = shutil.which("sh")
    if sh is None:
        pytest.skip("there is no sh")
    command = ("-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "tailrace")
    async with Replica(pace=0) as replica:
        asked = ("chat", "--url", replica.url("ai-power"), "hello")
        process = await asyncio.create_subprocess_exec(
            sh, *command, *asked, stdout=PIPE, stderr=PIPE
        )
        stdout, stderr = await process.communicate()
        assert (process.returncode, stderr) == (0, b"")
        assert (stdout == b"") == (">&-" in closed.replace("2>&-", ""))
        assert len(replica.exchanges) == 2


async def test_a_reader_that_leaves_in_the_middle_is_141() -> None:
    reader, writer = os.pipe()
    async with held_site() as site:
        process = await start(
            "chat", "--provider", "GPROChat", "--url", site.url, "hello", stdout=writer
        )
        os.close(writer)
        assert await asyncio.to_thread(os.read, reader, 1) == b"f"
        os.close(reader)
        site.let_go.set()
        end = await finish(process)
    assert (end.code, end.stderr) == (141, "")


async def test_a_prompt_in_any_bytes_and_an_answer_beyond_the_locale() -> None:
    strict, koi8 = ({"PYTHONIOENCODING": value} for value in ("utf-8:strict", "koi8-r"))
    end = await run_process("chat", "--replica", stdin=b"caf\xff\xc3\xa9", environment=strict)
    assert (end.code, end.stderr) == (0, "")
    assert end.stdout.startswith("You asked: “caf\ufffdé” (0 earlier")
    end = await run_process("chat", "--replica", "hello", environment=koi8)
    assert (end.code, end.stderr) == (0, "")
    assert end.stdout.startswith(r"You asked: \u201chello\u201d")
