"""A stranger's text: to a file or pipe it goes as it is, on a terminal it is shown, not obeyed."""

from __future__ import annotations

import json
import re
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cli_process import run, run_on_terminal

from tailrace._printable import visible, visible_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")

# Colours, the window's title, an answerback, C1's CSI, a backspace, bidi override and isolate.
HOSTILE = (
    "a\x1b[31mred\x1b]0;title\x07\x1b[6n\x9b2Jb\x08\x7f\rc\u202egnp\u202c\u2067x\u2069\ttab\nend"
)
SHOWN = (
    r"a\u001b[31mred\u001b]0;title\u0007\u001b[6n\u009b2Jb\u0008\u007f\u000dc\u202egnp\u202c"
    r"\u2067x\u2069" + "\ttab\nend"
)
KEPT = "नमस्ते می‌خواهم 👩‍👧 שלום\u200f"


@asynccontextmanager
async def hostile_site(text: str, status: int = 200) -> AsyncIterator[str]:
    """A GeminiProChat that answers with `text`, in two reads that part its first sequence."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(
            status=status, headers={"Content-Type": "text/plain; charset=utf-8"}
        )
        await response.prepare(request)
        data = text.encode()
        await response.write(data[:3])
        await response.write(data[3:])
        await response.write_eof()
        return response

    async def page(_request: web.Request) -> web.Response:
        title = f"<title>{text}</title>" if status == 200 else ""
        return web.Response(text=f"<html>{title}", content_type="text/html")

    app = web.Application()
    app.router.add_post("/api/generate", answer)
    app.router.add_get("/", page)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


async def on_a_terminal(*arguments: str, **environment: str) -> str:
    # NO_COLOR and a dumb terminal keep rich from sequences of its own.
    quiet = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    return await run_on_terminal(*arguments, **quiet, **environment)


def assert_obeys_nothing(got: str) -> None:
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", got) == []


async def test_an_answer_goes_into_a_pipe_as_it_is() -> None:
    async with hostile_site(HOSTILE + KEPT) as url:
        end = await run("chat", "--provider", "GPROChat", "--url", url, "hello")
    assert (end.code, end.stdout, end.stderr) == (0, f"{HOSTILE}{KEPT}\n", "")


async def test_an_answer_is_shown_on_a_terminal() -> None:
    async with hostile_site(HOSTILE + KEPT) as url:
        asked = ("chat", "--no-keep", "--provider", "GPROChat", "--url", url, "hello")
        got = await on_a_terminal(*asked)
    assert got == f"{SHOWN}{KEPT}\n"


async def test_an_errors_last_line_is_one_line_of_bounded_length() -> None:
    long = f"{HOSTILE}\n{'x' * 5000}"
    async with hostile_site(long, status=500) as url:
        arguments = ("chat", "--provider", "GPROChat", "--url", url, "hello")
        end = await run(*arguments)
        got = await on_a_terminal(*arguments)
    assert end.code == 3
    assert "\x1b[31mred" in end.stderr
    assert (end.stderr.count("\n"), len(end.stderr) <= len("tailrace: \n") + 300) == (1, True)
    assert got == visible(end.stderr)
    assert_obeys_nothing(got)


async def test_what_other_commands_show_is_not_obeyed(tmp_path: Path) -> None:
    reply, hostile_name = tmp_path / "reply", tmp_path / "na\x1b[31mme"
    reply.write_text(f"data: {json.dumps({'choices': [{'delta': {'content': HOSTILE}}]})}\n\n")
    hostile_name.write_text("data: {}\n\n")
    profile = tmp_path / "tailrace.toml"
    profile.write_text(
        f'[sites.shop]\nurl = "https://a.example/"\nmodels = {json.dumps([HOSTILE])}'
    )
    async with hostile_site(HOSTILE) as url:
        runs = {
            "decode": ["decode", str(reply)],
            "decode-json": ["decode", "--json", str(reply), str(hostile_name)],
            "decode-missing": ["decode", f"{tmp_path}/no\x1b[31m"],
            "discover": ["discover", url],
            "record": ["record", "GPROChat", "hello", str(tmp_path / "a"), "--url", url],
            "doctor": ["doctor", url],
            "sites": ["sites"],
            "usage": ["chat", "--\x1b[31m"],
        }
        for arguments in runs.values():
            got = await on_a_terminal(*arguments, TAILRACE_CONFIG=str(profile))
            assert got.strip()
            assert_obeys_nothing(got)


async def test_json_on_a_terminal_stays_json(tmp_path: Path) -> None:
    reply = tmp_path / "reply"
    reply.write_text(f"data: {json.dumps({'choices': [{'delta': {'content': HOSTILE}}]})}\n\n")
    got = await on_a_terminal("decode", "--json", str(reply))
    assert json.loads(got.splitlines()[0])["text"] == HOSTILE


def test_what_is_shown_for_what() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible_line("a\n\tb\u2028c") == r"a\u000a\u0009b\u2028c"
    assert visible(KEPT) == visible_line(KEPT) == KEPT
