"""What the doctor advises, one row a case: the captured replies of the real software first.

Each site here answers a page, a message's first step and what follows with one reply each.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import tailrace
from tailrace.errors import NonceRefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tailrace.sites._software import SoftwareName

CAPTURES = Path(__file__).parents[2] / "vectors" / "captures"
HTML = "text/html; charset=UTF-8"
JSON = "application/json; charset=UTF-8"
SSE = "text/event-stream; charset=utf-8"
CAPTURED_AT = re.compile(rb"127\.0\.0\.1:\d{4,5}")


@dataclass(frozen=True)
class Reply:
    body: bytes
    type: str = HTML
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def captured(name: str, folder: str = "wordpress") -> Reply:
    """A captured reply, with the headers that tell its form."""
    first, *lines = (CAPTURES / folder / f"{name}.headers.txt").read_text().splitlines()
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    kept = {name: value for name, value in headers.items() if name in ("location", "x-robots-tag")}
    return Reply(
        (CAPTURES / folder / f"{name}.body").read_bytes(),
        headers["content-type"],
        int(first.split()[1]),
        kept,
    )


def page(folder: str, name: str) -> Reply:
    return Reply((CAPTURES / "ai-power" / folder / f"{name}.body").read_bytes())


AI_POWER_PAGE = page("1.9.18", "page_stream")
AIPKIT_PAGE = page("2.4.71", "page_inline")
KEY = captured("ok.1cache", "ai-power/2.4.71")
ANSWER = captured("ok.2stream", "ai-power/2.4.71")


@dataclass(frozen=True)
class Case:
    """A site, the step that fails there, and pieces of what the doctor finds and advises.

    `never`: a piece that stands in neither.
    """

    step: str | None
    says: str
    advises: str = ""
    page: Reply = AIPKIT_PAGE
    post: Reply = KEY
    get: Reply = ANSWER
    software: SoftwareName = "wordpress"
    never: str = "nonce"


def refused_by_plugin(name: str, says: str, advises: str) -> Case:
    second = captured(f"{name}.2stream", "ai-power/2.4.71")
    return Case("first delta", says, advises, get=second, never="model behind")


def answered(name: str, says: str) -> Case:
    return Case(None, says, get=captured(f"{name}.2stream", "ai-power/2.4.71"))


FORBIDS = "something in front of the site forbids admin-ajax.php to this client"
HIDES = "hides wp-admin from visitors: its owner must let admin-ajax.php through"
TEXT = "text/plain; charset=utf-8"
APP = Reply(b"<title>Chat</title>")
BASIC = Reply(
    b"<title>401 Authorization Required</title>",
    status=401,
    headers={"WWW-Authenticate": 'Basic realm="Staging"'},
)
CLOSED = Reply(
    b"<title>Maintenance</title><p>Briefly unavailable for scheduled maintenance.",
    status=503,
    headers={"Retry-After": "600"},
)

CASES = {
    # The captures of a live site.
    "a length, all of it in a warning": answered("resp_lenbulk", "finish reason length"),
    "a refusal in warnings": answered("resp_refuse", "finish reason warning"),
    "a filter's warning": answered("resp_filter", "finish reason content_filter"),
    "Claude's limit": answered("claude_len", "finish reason max_tokens"),
    "a banned address": refused_by_plugin(
        "bannedip", "Access from your IP address has been blocked.", "this visitor (banned"
    ),
    "a quota of 0": refused_by_plugin(
        "quota0", "Access disabled for guests.", "over a limit), the message, or the bot's settings"
    ),
    "no key": refused_by_plugin(
        "nokey", "API key missing for OpenAI.", "the site's own key or settings"
    ),
    "a guard before AIPKit's first step": Case(
        "post", FORBIDS, "(a firewall, a security plugin", post=captured("waf_403")
    ),
    "a guard before AIPKit's second step": Case(
        "post", FORBIDS, "(a firewall, a security plugin", get=captured("waf_403_second_step")
    ),
    "a guard before AI Power": Case(
        "post", FORBIDS, "its owner must let it through", AI_POWER_PAGE, captured("waf_403")
    ),
    "a guard that says its status alone": Case(
        "post", FORBIDS, "(a firewall", AI_POWER_PAGE, Reply(b"Forbidden\n", TEXT, 403)
    ),
    "a cookie that is missed": Case(
        "post", FORBIDS, "its owner must let it through", post=captured("cookie_missing_403")
    ),
    "wp-admin that is hidden": Case(
        "post", "wp-login.php: ", HIDES, post=captured("wpadmin_redirect"),
        never="use the",
    ),
    "wp-admin that is hidden behind a page": Case(
        "post", "/404/: ", HIDES, AI_POWER_PAGE,
        Reply(b"", status=302, headers={"Location": "/404/"}), never="use the",
    ),
    "ActivityPub's page": Case(
        "widget", "the page is application/activity+json, not HTML", "is answered with data",
        Reply(
            (CAPTURES / "wordpress" / "activitypub_page.body").read_bytes(),
            "application/activity+json",
        ),
    ),
    # Others of these kinds.
    "JSON in the page's place": Case(
        "widget", "the page is application/json, not HTML", "is answered with data",
        Reply(b'{"content":"<p>Ask us.</p>"}', JSON),
    ),
    "maintenance": Case("page", "HTTP 503", "wait and try again", CLOSED),
    "maintenance since the page was read": Case(
        "post", "HTTP 503", "wait and try again", AI_POWER_PAGE, CLOSED
    ),
    "a program that fails": Case(
        "post", "HTTP 500", "error log", AI_POWER_PAGE, Reply(b"<p>critical error", status=500)
    ),
    "a server without its program": Case(
        "page", "HTTP 502", "gets no answer from it", Reply(b"<title>Bad Gateway", status=502)
    ),
    "an empty first step": Case(
        "post", "the message was not taken", "did not take the message", post=Reply(b"", JSON),
        never="model behind",
    ),
    "a first step without a key": Case(
        "post", "the message was not taken", "did not take the message",
        post=Reply(b'{"success":true,"data":{}}', JSON), never="model behind",
    ),
    "a page in the first step's place": Case(
        "post", "the message was not taken", "caches and security plugins",
        post=Reply(b"<title>Welcome</title>"),
    ),
    "Basic auth on the page": Case("page", "HTTP 401", "https://user:password@", BASIC),
    "Basic auth on admin-ajax alone": Case(
        "post", "HTTP 401", "a user and a password (Basic auth)", AI_POWER_PAGE, BASIC,
        never="secret_key_env",
    ),
    "Basic auth in front of an app": Case(
        "post", "HTTP 401", "Basic auth", APP, BASIC, software="geminiprochat"
    ),
    "the app's own password": Case(
        "post", "Invalid password.", "password_env", APP,
        Reply(b'{"error":{"message":"Invalid password."}}', JSON, 401), software="geminiprochat",
        never="Basic",
    ),
    "a page for those who are logged in": Case(
        "page", "wp-login.php", "must be logged in",
        Reply(b"", status=302, headers={"Location": "https://other.example/wp-login.php"}),
    ),
    "a page that leads to a login": Case(
        "widget", "the page leads to a login, http://127.0.0.1", "must be logged in",
        Reply(b"<title>Log in</title>", headers={"Location": "/wp-login.php"}, status=302),
    ),
    "a shortcode that is shown": Case(
        "widget", '[aipkit_chatbot id="5"]', "its owner must activate it",
        Reply(b'<title>Help</title><p>[aipkit_chatbot id="5"]</p>'),
    ),
    "a shortcode of another version": Case(
        "widget", "[wpaicg_chatgpt]", "another version of it",
        Reply(b"<p>[wpaicg_chatgpt]</p><link href=/plugins/gpt3-ai-content-generator/x>"),
    ),
    "an app whose answer ends with its failure mark": Case(
        "end", "", "the model behind the site failed within its answer", APP,
        Reply(b"Once upon a time, there was aInternal server error", TEXT),
        software="geminiprochat", never="proxy",
    ),
    "a login page in an app's answer": Case(
        "first delta", 'the title "Log in"', "give the cookies of a login", APP,
        Reply(b"<!DOCTYPE html><title>Log in</title><form>"), software="geminiprochat",
        never="model behind",
    ),
    "an app that fails with its first word": Case(
        "first delta", "", "look at the model behind it", APP,
        Reply(b"Internal server error", TEXT), software="geminiprochat", never="proxy",
    ),
    "an app whose model refuses": Case(
        "post", "not supported", "the model behind the site refuses", APP,
        Reply(b'{"error":{"code":"Error","message":"Location not supported."}}', JSON, 500),
        software="geminiprochat",
    ),
    "AI Power without a key": Case(
        "first delta", "Missing API key", "the site's own key", AI_POWER_PAGE,
        Reply(b'{"status":"error","msg":"Missing API key."}', JSON), never="model behind",
    ),
    "AI Power's banned word": Case(
        "first delta", "Not here.", "this visitor (banned", AI_POWER_PAGE,
        Reply(b'data: {"msg":"Not here.","messageFlagged":true}\n\n', SSE), never="model behind",
    ),
    "AI Power's model": Case(
        "first delta", "was not accepted", "look at the model behind it", AI_POWER_PAGE,
        Reply(
            b'event: message\ndata: {"choices":[{"delta":{"content":"It was not accepted."}}]}\n\n',
            SSE,
        ),
    ),
    "a model's status that AIPKit hands on": Case(
        "post", "HTTP 401", "the model behind the site refuses", page("2.4.0", "page_json"),
        Reply(b'{"success":false,"data":{"message":"Incorrect key (invalid_api_key)"}}', JSON, 401),
        never="Basic",
    ),
    "an endpoint that is another server's": Case(
        "widget", "names an endpoint at http://127.0.0.1:1: not followed", "addresses disagree",
        Reply(AI_POWER_PAGE.body.replace(b":8088\\/wp-admin", b":1\\/wp-admin")),
    ),
}  # fmt: skip


@asynccontextmanager
async def serving(case: Case) -> AsyncIterator[str]:
    """The case's site; its page is at /chat, on the server's own address."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        asked = request.path.endswith(("/admin-ajax.php", "/api/generate"))
        if request.path == "/wp-login.php":
            return web.Response(text="<title>Log in</title>", content_type="text/html")
        reply = case.page if not asked else case.post if request.method == "POST" else case.get
        home = request.host.encode()
        body = CAPTURED_AT.sub(home, reply.body) if reply is case.page else reply.body
        headers = {"Content-Type": reply.type, **reply.headers}
        return web.Response(body=body, status=reply.status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/chat"))


@pytest.mark.parametrize("name", CASES)
async def test_the_step_and_what_to_do(name: str) -> None:
    case = CASES[name]
    async with serving(case) as url:
        found = await tailrace.doctor(url, software=case.software, keep=False)
    failed = found.failed
    if case.step is None:
        assert failed is None
        assert case.says in found.steps[-1].detail
        return
    assert failed is not None
    assert failed.advice
    assert (failed.name, found.answered) == (case.step, False)
    assert case.says in failed.detail
    assert case.advises in failed.advice
    assert case.never not in f"{failed.detail} {failed.advice}"
    assert not isinstance(found.error, NonceRefusedError)
