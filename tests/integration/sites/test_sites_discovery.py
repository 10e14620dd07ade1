"""What a page shows: the replica's pages, the captured ones, and pages that are not what they
should be.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import tailrace
from tailrace.errors import (
    ConnectError,
    InvalidRequestError,
    LimitExceeded,
    ProxyError,
    RedirectError,
    TimeoutError,  # noqa: A004 - ours
    WidgetNotFoundError,
)
from tailrace.replica import Replica
from tailrace.sites import Discovery, discover
from tailrace.sites._discovery import release
from tailrace.transport import make_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

CAPTURES = Path(__file__).parents[2] / "vectors" / "captures" / "ai-power"
CAPTURED_AT = re.compile(rb"127\.0\.0\.1:\d{4,5}")
SCRIPT = re.compile(rb"base64,([A-Za-z0-9+/=]+)")
HTML = "text/html; charset=UTF-8"


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1) as running:
        yield running


@pytest.fixture
def refused() -> Iterator[int]:
    """A port that is taken and refuses every connection."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def at_home(html: bytes, host: bytes) -> bytes:
    """A captured page, with the host that serves it now, in scripts that are base64 too."""

    def script(data: re.Match[bytes]) -> bytes:
        source = CAPTURED_AT.sub(host, base64.b64decode(data[1]))
        return b"base64," + base64.b64encode(source)

    return SCRIPT.sub(script, CAPTURED_AT.sub(host, html))


@asynccontextmanager
async def serving(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    async def page(request: web.Request) -> web.Response:
        return web.Response(
            body=at_home(body, request.host.encode()),
            status=status,
            headers={"Content-Type": HTML, **(headers or {})},
        )

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    async with TestServer(app) as server:
        yield str(server.make_url("/chat"))


async def seen(body: bytes, **options: object) -> Discovery:
    async with serving(body, **options) as url:  # type: ignore[arg-type]
        return await discover(url)


async def test_a_page_with_two_bots(replica: Replica) -> None:
    url = replica.page("ai-power", "two")
    found = await tailrace.discover(url)
    assert (found.url, found.status, found.software, found.dialect, found.usable) == (
        url,
        200,
        "wordpress",
        "ai-power",
        True,
    )
    assert found.endpoint == replica.url("ai-power") + "/wp-admin/admin-ajax.php"
    assert [(bot.bot_id, bot.kind, bot.placement, bot.streams) for bot in found.bots] == [
        ("4", "ai-power", "inline", True),
        ("5", "ai-power", "inline", False),
    ]
    assert found.problems == ()
    assert (
        len([each for each in replica.exchanges if each.method == "GET"])
        == len(replica.exchanges)
        == 1
    )


@pytest.mark.parametrize(
    ("page", "bot", "placement", "assistant"),
    [
        ("default", "0", "inline", False),
        ("widget", "0", "popup", False),
        ("assistant", "9", "inline", True),
    ],
)
async def test_each_kind_of_bot(
    replica: Replica, page: str, bot: str, placement: str, assistant: bool
) -> None:
    (only,) = (await discover(replica.page("ai-power", page))).bots
    assert (only.placement, only.assistant, only.missing) == (placement, assistant, ())
    assert only.bot_id.isdigit()
    assert (only.bot_id == "0") == (bot == "0")


async def test_no_nonce_is_told(replica: Replica) -> None:
    url = replica.page("ai-power", "two")
    async with (
        make_transport() as transport,
        transport.session() as session,
        await session.get(url) as reply,
    ):
        html = b""
        while data := await reply.read():
            html += data
    nonces = {widget.nonce for widget in tailrace.scan_page(html).widgets}
    assert nonces
    found = await discover(url)
    for nonce in nonces:
        assert nonce not in repr(found)
        assert nonce not in json.dumps(asdict(found))


async def test_a_page_without_a_chat(replica: Replica) -> None:
    found = await discover(replica.page("ai-power", "no-chat"))
    assert (found.dialect, found.usable, found.bots, found.endpoint) == (None, False, (), None)
    assert found.problems == (
        "the site has the chat plugin, but this page shows no chat: give the page that does",
    )
    with pytest.raises(InvalidRequestError, match="name one of wordpress, "):
        found.settings()


async def test_geminiprochat_cannot_be_told_from_its_page(replica: Replica) -> None:
    found = await discover(replica.url("geminiprochat"))
    assert (found.dialect, found.usable, found.release) == (None, False, None)
    assert "say --software geminiprochat" in found.problems[0]
    settings = found.settings(software="geminiprochat")
    assert (settings.url, settings.software) == (
        replica.url("geminiprochat") + "/",
        "geminiprochat",
    )


async def test_settings_name_the_bot_asked_for(replica: Replica) -> None:
    found = await discover(replica.page("ai-power", "two"))
    assert found.settings().bot is None
    assert found.settings(bot="5").bot == "5"
    with pytest.raises(WidgetNotFoundError, match="no bot '17'; it shows 4, 5"):
        found.settings(bot="17")
    with pytest.raises(InvalidRequestError, match="there is no software 'gopher'"):
        found.settings(software="gopher")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("capture", "dialect", "version", "bots"),
    [
        ("1.8.79/page_stream", "ai-power", "1.8.79", ["4"]),
        ("1.9.18/page_default", "ai-power", "1.9.18", ["0"]),
        ("1.9.18/page_escaped", "ai-power", "1.9.18", ["4"]),
        ("1.9.18/page_two", "ai-power", "1.9.18", ["4", "5"]),
        ("1.9.18/page_widget", "ai-power", "1.9.18", ["0"]),
        ("1.9.18/page_nochat", None, "1.9.18", []),
        ("2.4.0/page_json", "aipkit", "2.4.0", ["12"]),
        ("2.4.71/page_inline", "aipkit", "2.4.71", ["5"]),
        ("2.4.71/page_two", "aipkit", "2.4.71", ["5", "6"]),
        ("2.4.71/page_nochat", None, None, []),
    ],
)
async def test_captured_pages(
    capture: str, dialect: str | None, version: str | None, bots: list[str]
) -> None:
    found = await seen((CAPTURES / f"{capture}.body").read_bytes())
    assert (found.dialect, found.version, [bot.bot_id for bot in found.bots]) == (
        dialect,
        version,
        bots,
    )
    assert found.usable == bool(bots)
    assert found.software == (None if dialect is None else "wordpress")
    if found.software is not None:
        assert found.settings().software == "wordpress"


@pytest.mark.parametrize("readable", [True, False])
async def test_a_captured_page_in_a_subfolder_whose_scripts_are_deferred(*, readable: bool) -> None:
    """Its endpoint stands in base64 alone; it also follows from where the page's files are."""
    html = (CAPTURES / "2.2" / "page_subfolder_deferred.body").read_bytes()
    async with serving(html if readable else SCRIPT.sub(b"", html)) as url:
        found = await discover(url)
    endpoint = f"{url.removesuffix('/chat')}/blog/wp-admin/admin-ajax.php"
    assert (found.endpoint, found.endpoint_is_guess, found.problems) == (endpoint, False, ())
    assert (found.version, found.usable) == ("2.2", True)


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("1.7", "up to 1.8.79"),
        ("1.8.79", "up to 1.8.79"),
        ("1.8.80", "1.8.80 to 1.8.85"),
        ("1.8.86", "1.8.86 to 1.8.90"),
        ("1.8.90", "1.8.86 to 1.8.90"),
        ("1.8.91", "1.8.91 to 1.8.95"),
        ("1.9.4", "1.8.96 to 1.9.4"),
        ("1.9.5", "1.9.5 to 2.2"),
        ("2.2", "1.9.5 to 2.2"),
        ("2.3", "2.3 to 2.3.40"),
        ("2.3.41", "2.3.41 to 2.4.0"),
        ("2.4.0", "2.3.41 to 2.4.0"),
        ("2.4.1", "2.4.1 or later"),
        ("3.0", "2.4.1 or later"),
    ],
)
def test_what_a_version_means(version: str, says: str) -> None:
    assert says in str(release("ai-power", version))


def test_without_a_version_the_widget_tells_the_line() -> None:
    assert "up to 2.2" in str(release("ai-power", None))
    assert "2.3 or later" in str(release("aipkit", None))


WIDGET = (
    b'<div class="wpaicg-chat-shortcode" data-nonce="%s" data-post-id="%s" data-bot-id="3"></div>'
)
AIPKIT = (
    b'<div class="aipkit_chat_container" id="aipkit_chat_container_5" data-bot-id="5" '
    b"data-config='"
    b'{"botId":"5","nonce":"abcdef0123","postId":1,"ajaxUrl":"https://elsewhere.example/ajax"}\'></div>'
)


@pytest.mark.parametrize(
    ("body", "status", "headers", "problem"),
    [
        (b"", 200, {}, "no chat widget found"),
        (
            b"<title>Just a moment...</title><form id='challenge-form'></form>",
            503,
            {},
            "the site wants a browser",
        ),
        (b"x", 403, {"cf-mitigated": "challenge"}, "the site wants a browser (HTTP 403)"),
        (b"<title>gone</title>", 404, {}, "the page answered 404"),
        (WIDGET % (b"abcdef0123", b"7"), 500, {}, "the page answered 500"),
        (WIDGET % (b"", b"7"), 200, {}, "no chat nonce"),
        (WIDGET % (b"abcdef0123", b""), 200, {}, "no post id"),
        (AIPKIT, 200, {}, "names an endpoint at elsewhere.example: not followed"),
    ],
)
async def test_what_is_missing_is_said(
    body: bytes, status: int, headers: dict[str, str], problem: str
) -> None:
    found = await seen(body, status=status, headers=headers)
    assert (found.usable, found.status) == (False, status)
    assert problem in found.problems[0]
    assert found.challenge == ("browser" in problem)
    assert "abcdef0123" not in repr(found)


@pytest.mark.parametrize("headers", [{}, {"cf-mitigated": "challenge"}])
async def test_a_password_in_the_url_is_not_shown(headers: dict[str, str]) -> None:
    async with serving(b"", headers=headers) as url:
        found = await discover(url.replace("http://", "http://me:hunter2@"))
    assert found.challenge == bool(headers)
    assert "hunter2" not in repr(found)
    assert found.url == url


async def test_an_endpoint_that_nobody_names_is_a_guess() -> None:
    for rest, is_guess in ((b"", True), (b"<script src=/wp-includes/js/x.js></script>", False)):
        async with serving(rest + WIDGET % (b"abcdef0123", b"7")) as url:
            found = await discover(url)
        assert found.endpoint == f"{url.removesuffix('/chat')}/wp-admin/admin-ajax.php"
        assert (found.endpoint_is_guess, found.usable) == (is_guess, True)


async def test_tokens_outside_a_widget_are_an_older_themes() -> None:
    found = await seen(
        b'<input type="hidden" name="_wpnonce" value="abc123">'
        b'<input type="hidden" name="post_id" value=8>'
    )
    assert (found.dialect, found.usable, found.bots) == ("ai-power", True, ())


async def test_the_page_after_a_redirect_is_the_one_described(replica: Replica) -> None:
    url = replica.page("ai-power", "stream")
    assert (await discover(url.rstrip("/"))).url == url


async def test_where_no_page_comes_the_error_is_the_transports(
    replica: Replica, refused: int
) -> None:
    with pytest.raises(InvalidRequestError, match="the URL"):
        await discover("shop.example")
    with pytest.raises(ConnectError):
        await discover(f"http://127.0.0.1:{refused}/")
    with pytest.raises(ProxyError):
        await discover(replica.url("ai-power"), proxy=f"http://127.0.0.1:{refused}")
    with pytest.raises(LimitExceeded, match="larger than"):
        await seen(b"x" * (4 * 2**20 + 1))
    with pytest.raises(RedirectError, match=r"elsewhere\.example"):
        await seen(b"", status=302, headers={"Location": "https://elsewhere.example/"})


async def test_the_callers_transport_cookies_and_headers_are_used(replica: Replica) -> None:
    async with make_transport() as transport:
        await discover(
            replica.url("geminiprochat"),
            transport=transport,
            cookies={"a": "b"},
            headers={"X-Y": "z"},
        )
        await discover(replica.url("geminiprochat"), transport=transport)
    first, second = replica.exchanges
    assert (first.headers["Cookie"], first.headers["X-Y"]) == ("a=b", "z")
    assert not {"Cookie", "X-Y"} & set(second.headers)


async def test_a_page_that_never_comes_runs_out_of_time() -> None:
    leave = asyncio.Event()

    async def silent(_request: web.Request) -> web.Response:
        await leave.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", silent)
    async with TestServer(app) as server:
        with pytest.raises(TimeoutError, match=r"first byte timeout after 0\.05 s"):
            await discover(str(server.make_url("/")), timeout=0.05)
        leave.set()
