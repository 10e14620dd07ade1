"""``tailrace serve`` in a process of its own: what it refuses to start with, what it says, and how
it ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from cli_process import finish, interrupt, read_until, run, run_process, run_without_reader, start

from tailrace.replica import Replica

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

SECRET = "sk-tailrace-0123456789abcdef"


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(pace=0.005) as running:
        yield running


def profile(folder: Path, replica: Replica, more: str = "") -> dict[str, str]:
    """An environment in which the site ``shop`` is the replica's; `more`: of its table."""
    file = folder / "tailrace.toml"
    file.write_text(f'[sites.shop]\nurl = "{replica.page("ai-power", "stream")}"\n{more}')
    return {"TAILRACE_CONFIG": str(file)}


async def serve(
    *arguments: str, environment: dict[str, str] | None = None
) -> tuple[Process, str, str]:
    """Start it; returns where it is, and what it said."""
    process = await start("serve", "--port", "0", *arguments, environment=environment or {})
    said = await read_until(process, "Ctrl-C ends it.\n")
    found = re.search(r"^base URL  (http://\S+)/v1$", said, re.MULTILINE)
    assert found is not None
    return process, found[1], said


async def fetch(url: str, **options: Any) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, **options) as reply:
        return reply.status, await reply.text()


def asking(model: str, text: str = "hello") -> dict[str, Any]:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": text}]}


async def test_a_demo_on_loopback() -> None:
    process, url, said = await serve("--replica")
    assert "keys      none: this machine alone may ask" in said
    status, text = await fetch(f"{url}/v1/models")
    assert status == 200
    models = [model["id"] for model in json.loads(text)["data"]]
    assert models[0] == "ai-power/default"
    assert f"models    {len(models)} at 9 sites" in said
    assert models[0] in said
    async with aiohttp.ClientSession() as session:
        for model in models:
            async with session.post(f"{url}/v1/chat/completions", json=asking(model)) as reply:
                assert reply.status == 200
                assert b'"content"' in await reply.content.readuntil(b'"content":"You')
        async with session.get(f"{url}/") as page:
            assert (page.status, page.content_type) == (200, "text/html")
    end = await interrupt(process)
    assert end.code == 0
    assert "Traceback" not in end.stderr


@pytest.mark.parametrize(
    ("more", "example"),
    [
        ("", "shop/default"),
        ('[models.mix]\nsites = ["ChatGptt/gpt-4", "shop"]\n', "mix"),
    ],
)
async def test_the_example_is_of_the_users_own(
    replica: Replica, tmp_path: Path, more: str, example: str
) -> None:
    process, url, said = await serve(environment=profile(tmp_path, replica, more))
    assert f'{{"model": "{example}", ' in said
    models = [each["id"] for each in json.loads((await fetch(f"{url}/v1/models"))[1])["data"]]
    assert next(each for each in models if "/" in each) == "shop/default"
    assert (await interrupt(process)).code == 0


async def test_the_example_of_a_server_whose_models_are_not_known(
    replica: Replica, tmp_path: Path
) -> None:
    file = tmp_path / "tailrace.toml"
    file.write_text(f'[sites.own]\nurl = "{replica.url("openai")}/v1"\nsoftware = "openai"\n')
    process, _, said = await serve(environment={"TAILRACE_CONFIG": str(file)})
    assert '{"model": "own/MODEL", ' in said
    assert (await interrupt(process)).code == 0


@pytest.mark.parametrize("host", ["::", "0.0.0.0"])  # noqa: S104
async def test_any_other_bind_without_a_key_does_not_start(host: str) -> None:
    end = await run("serve", "--host", host, "--port", "0")
    assert (end.code, end.stdout) == (2, "")
    assert "can be reached from other machines: without a key it is not served" in end.stderr


async def test_with_a_key_it_does(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"ops:{SECRET}\n")
    keys.chmod(0o644)
    process, url, said = await serve("--host", "0.0.0.0", "--keys", str(keys))  # noqa: S104
    assert "keys      ops\n" in said
    assert SECRET not in said
    assert url.startswith("http://127.0.0.1:")
    assert (await fetch(f"{url}/v1/models"))[0] == 401
    authorized = {"Authorization": f"Bearer {SECRET}"}
    assert (await fetch(f"{url}/v1/models", headers=authorized))[0] == 200
    assert (await fetch(f"{url}/v1/models", headers={**authorized, "Host": "rebound.example"}))[
        0
    ] == 421
    end = await interrupt(process)
    assert end.code == 0
    assert f"chmod 600 {keys}" in end.stderr
    assert SECRET not in end.stderr


async def test_keys_of_the_environment() -> None:
    process, url, said = await serve(
        environment={"TAILRACE_KEYS": f"one:{SECRET},two:{SECRET[::-1]}"}
    )
    assert "keys      one, two\n" in said
    assert (await fetch(f"{url}/v1/models"))[0] == 401
    assert (await fetch(f"{url}/v1/models", headers={"Authorization": f"Bearer {SECRET[::-1]}"}))[
        0
    ] == 200
    assert (await interrupt(process)).code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "65536"], "65536 is not in the range"),
        (["--keys", "/none/keys"], "the keys cannot be read from /none/keys"),
        (["--site", "nobody"], "there is no provider 'nobody'"),
        (["--site", "https://shop.example/help"], "a site is served by its name"),
        (["--host", "no.such.host.invalid"], "without a key"),
        (["--cors-origin", "*"], "an origin is written as a browser does"),
        (["--allowed-host", "http://x"], "an allowed host is a name"),
        (["--replica", "--workers", "2"], "leave out --site and --workers"),
        (["--grace", "-1"], "-1.0 is not in the range"),
        (["--rate", "0"], "0.0 is not in the range"),
        (["--header-timeout", "nan"], "header_timeout must be a number of seconds"),
    ],
)
async def test_wrong_usage_is_2(arguments: list[str], says: str) -> None:
    end = await run("serve", *arguments)
    assert (end.code, end.stdout) == (2, "")
    assert says in end.stderr


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        end = await run_process("serve", "--port", str(taken.getsockname()[1]))
    assert end.code == 2
    assert "cannot listen on 127.0.0.1 port" in end.stderr
    assert end.stderr.endswith("; --port takes another, 0 a free one\n")


async def test_a_missing_extra_is_named() -> None:
    begin = (
        "import sys; sys.modules['prometheus_client'] = None; "
        "from tailrace._cli import main; main(['serve'])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", begin, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert process.returncode == 2
    assert stderr.decode() == (
        "tailrace: serving needs prometheus_client, which is not installed: "
        'pip install "tailrace[gateway]"\n'
    )


@pytest.mark.parametrize("arguments", [["--replica"], ["--workers", "2"]])
async def test_a_reader_that_is_not_there_is_141(arguments: list[str]) -> None:
    end = await run_without_reader("serve", "--port", "0", *arguments)
    assert (end.code, end.stderr) == (141, "")


async def test_only_the_sites_named_are_served(replica: Replica, tmp_path: Path) -> None:
    process, url, _ = await serve("--site", "shop", environment=profile(tmp_path, replica))
    _, text = await fetch(f"{url}/v1/models")
    assert [model["id"] for model in json.loads(text)["data"]] == ["shop/default"]
    assert (await interrupt(process)).code == 0


async def test_json_logs_hold_a_line_for_each_request(replica: Replica, tmp_path: Path) -> None:
    process, url, _ = await serve(
        "--log-format", "json", "--site", "shop", environment=profile(tmp_path, replica)
    )
    assert (await fetch(f"{url}/v1/models?key={SECRET}"))[0] == 400
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json=asking("shop/default")) as reply,
    ):
        await reply.read()
    end = await interrupt(process)
    lines = [json.loads(line) for line in end.stderr.splitlines()]
    assert [line["status"] for line in lines if line["event"] == "request"] == [400, 200]
    assert SECRET not in end.stderr
    assert "hello" not in end.stderr


async def test_sigterm_lets_a_stream_finish(replica: Replica, tmp_path: Path) -> None:
    process, url, _ = await serve("--site", "shop", environment=profile(tmp_path, replica))
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json=asking("shop/default")) as reply,
    ):
        await reply.content.readuntil(b"\n\n")
        process.send_signal(signal.SIGTERM)
        assert (await reply.read()).endswith(b"data: [DONE]\n\n")
    assert (await finish(process)).code == 0


# -- workers ---------------------------------------------------------------------------------------


watched = pytest.mark.skipif(
    sys.platform != "linux", reason="which workers there are is read from /proc"
)


def children(process: Process) -> set[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return {int(number) for number in text.split()}


def runs(number: int) -> bool:
    return Path(f"/proc/{number}").exists()


async def until_children(process: Process, count: int, without: int = 0) -> set[int]:
    """Wait until it has so many workers, and not that one any more."""
    async with asyncio.timeout(20):
        while len(found := children(process)) != count or without in found:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)
    return found


def figure(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


LABELS = 'gen_ai_operation_name="chat",gen_ai_provider_name="shop",gen_ai_request_model="default"'
BEGUN = f"tailrace_streams_begun_total{{{LABELS}}}"


async def until_figure(url: str, name: str, value: float) -> None:
    """Wait until all workers together have counted so much; each says so every second."""
    async with asyncio.timeout(20):
        while figure((await fetch(f"{url}/metrics"))[1], name) != value:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@watched
async def test_workers_share_a_port_and_their_figures(replica: Replica, tmp_path: Path) -> None:
    environment = profile(tmp_path, replica)
    process, url, _ = await serve("--workers", "3", "--site", "shop", environment=environment)
    first = await until_children(process, 3)

    async def stream() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/v1/chat/completions", json=asking("shop/default")) as reply,
        ):
            assert (await reply.read()).endswith(b"data: [DONE]\n\n")

    await asyncio.gather(*(stream() for _ in range(12)))
    await until_figure(url, BEGUN, 12)
    await until_figure(url, "tailrace_workers", 3)

    dead = min(first)
    os.kill(dead, signal.SIGKILL)
    begun = asyncio.get_running_loop().time()
    await until_children(process, 3, without=dead)
    assert asyncio.get_running_loop().time() - begun < 10
    await stream()
    await until_figure(url, BEGUN, 13)  # what the dead one counted is not lost

    process.send_signal(signal.SIGTERM)
    end = await finish(process)
    assert end.code == 0
    assert "died (signal 9): another takes its place" in end.stderr
    assert not any(map(runs, first))


@watched
@pytest.mark.skipif(sys.platform != "linux", reason="other systems let who is first have it")
async def test_connections_are_spread_over_the_workers(replica: Replica, tmp_path: Path) -> None:
    process, url, _ = await serve(
        *("--workers", "4", "--site", "shop", "--log-format", "json"),
        environment=profile(tmp_path, replica),
    )
    for _ in range(4):
        await asyncio.gather(*(fetch(f"{url}/health") for _ in range(50)))
    process.send_signal(signal.SIGTERM)
    lines = [json.loads(line) for line in (await finish(process)).stderr.splitlines()]
    taken = Counter(line["worker"] for line in lines if line.get("route") == "/health")
    assert taken.total() == 200
    # The kernel draws lots: 50 each, give or take 6.
    assert [number for number in range(4) if taken[number] < 15] == []


async def test_a_port_that_workers_share_is_taken_for_others(
    replica: Replica, tmp_path: Path
) -> None:
    environment = profile(tmp_path, replica)
    process, url, _ = await serve("--workers", "2", "--site", "shop", environment=environment)
    port = url.rpartition(":")[2]
    end = await run_process(
        *("serve", "--port", port, "--workers", "2", "--site", "shop"), environment=environment
    )
    assert end.code == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in end.stderr
    process.send_signal(signal.SIGTERM)
    assert (await finish(process)).code == 0


@watched
async def test_a_limit_holds_over_all_workers_and_a_killed_ones_streams_end(
    replica: Replica, tmp_path: Path
) -> None:
    process, url, _ = await serve(
        *("--workers", "2", "--site", "shop", "--concurrency", "1"),
        environment=profile(tmp_path, replica),
    )
    workers = await until_children(process, 2)
    body = asking("shop/default", "[[stall]]")
    async with aiohttp.ClientSession() as session:
        reply = await session.post(f"{url}/v1/chat/completions", json=body)
        await reply.content.readuntil(b"\n\n")
        for _ in range(10):
            assert (await fetch(f"{url}/v1/models"))[0] == 429
        await until_all_tell(url, OPEN, 1)
        for number in workers:
            os.kill(number, signal.SIGKILL)
        with pytest.raises(aiohttp.ClientError):
            await reply.read()
    await until_children(process, 2)
    for _ in range(10):
        assert (await fetch(f"{url}/v1/models"))[0] == 200
    text = (await fetch(f"{url}/metrics"))[1]
    assert (figure(text, BEGUN), figure(text, OPEN), figure(text, DIED)) == (1, 0, 1)
    process.send_signal(signal.SIGTERM)
    assert (await finish(process)).code == 0


@watched
async def test_workers_read_keys_again_and_name_what_is_missing(
    replica: Replica, tmp_path: Path
) -> None:
    environment = profile(tmp_path, replica, 'cookies_env = "NO_SUCH_COOKIES"\n')
    keys = tmp_path / "keys"
    keys.write_text("[keys.one]\nkey = 'sk-tailrace-number-one'\n")
    keys.chmod(0o600)
    process, url, _ = await serve(
        *("--workers", "2", "--site", "shop", "--keys", str(keys)), environment=environment
    )
    first = await until_children(process, 2)
    keys.write_text("two:sk-tailrace-number-two\n")
    process.send_signal(signal.SIGHUP)
    await until_all_take(url, "sk-tailrace-number-two")
    os.kill(min(first), signal.SIGKILL)
    await until_children(process, 2, without=min(first))
    await until_all_take(url, "sk-tailrace-number-two")  # who takes its place reads them, too
    process.send_signal(signal.SIGTERM)
    end = await finish(process)
    assert end.code == 0
    missing = "shop cannot be asked: the environment variable NO_SUCH_COOKIES is not set"
    assert end.stderr.splitlines()[0].startswith(f"tailrace: {missing} ({tmp_path}")
    assert "tailrace: read again: 1 keys, 1 sites" in end.stderr


async def until_all_take(url: str, key: str) -> None:
    """Wait until twenty connections in a row, which are spread over the workers, take it."""
    headers = {"Authorization": f"Bearer {key}"}
    async with asyncio.timeout(20):
        taken = 0
        while taken < 20:
            status, _ = await fetch(f"{url}/v1/models", headers=headers)
            taken = taken + 1 if status == 200 else 0


OPEN = f"tailrace_streams_open{{{LABELS}}}"
DIED = f'tailrace_stream_errors_total{{error_type="worker_died",{LABELS}}}'


async def until_all_tell(url: str, name: str, value: float) -> None:
    """Wait until twenty connections in a row, which are spread over the workers, tell it."""
    async with asyncio.timeout(20):
        told = 0
        while told < 20:
            text = (await fetch(f"{url}/metrics"))[1]
            told = told + 1 if figure(text, name) == value else 0


@watched
async def test_ctrl_c_in_a_terminal_lets_the_workers_streams_finish(
    replica: Replica, tmp_path: Path
) -> None:
    process, url, _ = await serve(
        "--workers", "2", "--site", "shop", environment=profile(tmp_path, replica)
    )
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json=asking("shop/default")) as reply,
    ):
        await reply.content.readuntil(b"\n\n")
        for number in (*children(process), process.pid):  # as a terminal does, to all of them
            os.kill(number or 0, signal.SIGINT)
        assert (await reply.read()).endswith(b"data: [DONE]\n\n")
    end = await finish(process)
    assert (end.code, end.stderr) == (0, "")


@watched
async def test_workers_end_with_their_parent(replica: Replica, tmp_path: Path) -> None:
    process, _, _ = await serve(
        "--workers", "2", "--site", "shop", environment=profile(tmp_path, replica)
    )
    workers = await until_children(process, 2)
    process.kill()
    await process.communicate()
    async with asyncio.timeout(20):
        while any(map(runs, workers)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@watched
async def test_workers_that_always_die_end_it_with_5(replica: Replica, tmp_path: Path) -> None:
    process, _, _ = await serve(
        "--workers", "2", "--site", "shop", environment=profile(tmp_path, replica)
    )

    async def kill_at_once() -> None:
        while True:
            for number in children(process):
                os.kill(number, signal.SIGKILL)
            await asyncio.sleep(0.01)

    killing = asyncio.create_task(kill_at_once())
    async with asyncio.timeout(30):
        end = await finish(process)
    killing.cancel()
    await asyncio.wait([killing])
    assert end.code == 5
    assert "in a row died as soon as they had begun: giving up" in end.stderr
