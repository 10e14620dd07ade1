"""The command line before servers that say again what they were sent: it writes none of that."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cli_process import run
from echoes import ECHOES, Echoing, left_out
from loopback import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEY = "sk-proj-Ab3/xyz+0123456789_QwErTy="
GATE = "gate-0123456789-abc"
PROFILE = """
[sites.told]
url = "http://127.0.0.1:{port}/v1"
software = "openai"
default_model = "m"
api_key_env = "TOLD_KEY"

[sites.told.headers_env]
X-Gate-Token = "TOLD_GATE"
"""
COMMANDS = {
    "chat": ("chat", "--provider", "told", "hi"),
    "chat as JSON": ("chat", "--provider", "told", "--json", "hi"),
    "models": ("models", "told"),
    "doctor": ("doctor", "told"),
    "doctor as JSON": ("doctor", "told", "--json"),
    "guard": ("doctor", "told", "--every", "1", "--count", "1", "--json"),
    "load": ("load", "told", "--requests", "2", "--report", "{folder}/report.html"),
    "load as JSON": ("load", "told", "--requests", "2", "--json"),
    "record": ("record", "told", "hi", "{folder}/call.jsonl", "--model", "m"),
    "batch": ("batch", "{folder}/in.jsonl", "{folder}/out", "--site", "told", "--retry", "1"),
}


@pytest.mark.parametrize("echo", ["message", "json in json", "a page of headers"])
@pytest.mark.parametrize("command", COMMANDS)
async def test_nothing_written_tells_what_was_sent(command: str, echo: str, tmp_path: Path) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (tmp_path / "in.jsonl").write_text(json.dumps(line), "utf-8")
    echoing = Echoing(ECHOES[echo])
    async with serve(echoing.answer) as server:
        profile = tmp_path / "tailrace.toml"
        profile.write_text(PROFILE.format(port=server.port))
        arguments = [each.format(folder=tmp_path) for each in COMMANDS[command]]
        ended = await run(*arguments, TAILRACE_CONFIG=str(profile), TOLD_KEY=KEY, TOLD_GATE=GATE)
    assert ended.code != 0 or command in ("load", "load as JSON", "batch")
    assert {KEY, GATE} <= echoing.secrets, ended
    assert left_out(echoing.secrets, [ended.stdout, ended.stderr, *kept_in(tmp_path)])


def kept_in(folder: Path) -> list[str]:
    """The texts of all files in a folder."""
    return [each.read_text("utf-8") for each in folder.rglob("*") if each.is_file()]


@asynccontextmanager
async def hook(got: list[str]) -> AsyncIterator[str]:
    async def take(request: web.Request) -> web.Response:
        got.append(await request.text())
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


async def test_no_webhook_is_told_what_was_sent(tmp_path: Path) -> None:
    echoing, got = Echoing(ECHOES["message"]), list[str]()
    async with serve(echoing.answer) as server, hook(got) as url:
        profile = tmp_path / "tailrace.toml"
        profile.write_text(PROFILE.format(port=server.port))
        await run(
            *("doctor", "told", "--every", "1", "--count", "1", "--webhook", url),
            TAILRACE_CONFIG=str(profile),
            TOLD_KEY=KEY,
            TOLD_GATE=GATE,
        )
    assert got
    assert left_out(echoing.secrets, got)
