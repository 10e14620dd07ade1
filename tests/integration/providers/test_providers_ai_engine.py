"""Sites with AI Engine, in five versions: nonces and sessions, what is sent, what is refused."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tailrace import RetryPolicy, Site, WordPressChatProvider, doctor, errors
from tailrace._calls.token_cache import TokenCache
from tailrace.providers import RetryProvider
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tailrace.replica import ServedExchange

    Handler = Callable[[web.Request], Awaitable[web.Response]]

NEW = ("ai-engine", "ai-engine-3.0.1", "ai-engine-2.8.0")
"""The versions that give a nonce when they are asked."""

LIMIT = errors.LimitExceeded
ERAS = (*NEW, "ai-engine-2.0.9", "ai-engine-1.9.99")
SESSION = "/wp-json/mwai/v1/start_session"
SUBMIT = "/wp-json/mwai-ui/v1/chats/submit"


class Clock:
    """A clock that stands still unless it is moved."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def replica(clock: Clock) -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1, clock=clock) as running:
        yield running


def site_of(replica: Replica, era: str, page: str = "inline", *faults: str, **options: Any) -> Site:
    options = {"software": "ai-engine", "token_cache": TokenCache(), **options}
    return Site(replica.page(era, page, *faults), **options)


def asked(replica: Replica) -> list[str]:
    """The requests so far, in short."""
    names = {SESSION: "session", SUBMIT: "submit"}
    return [
        f"{names.get(each.path, 'page')} {each.status}"
        for each in replica.exchanges
        if each.status is not None
    ]


def submits(replica: Replica) -> list[ServedExchange]:
    return [each for each in replica.exchanges if each.path.endswith("/chats/submit")]


def sent(exchange: ServedExchange) -> dict[str, Any]:
    assert isinstance(exchange.json, dict)
    return exchange.json


def nonce_of(exchange: ServedExchange) -> str | None:
    return {name.lower(): value for name, value in exchange.headers.items()}.get("x-wp-nonce")


# -- nonces and sessions ---------------------------------------------------------------------------

WAYS = {
    **{era: ["page 200", "session 200", "submit 200"] for era in NEW},
    "ai-engine-2.0.9": ["page 200", "submit 200"],
    "ai-engine-1.9.99": ["page 200", "session 404", "submit 200"],
}


@pytest.mark.parametrize("kind", ["aiohttp", "impersonate"])
@pytest.mark.parametrize("software", ["ai-engine", "wordpress"])
@pytest.mark.parametrize("era", ERAS)
async def test_one_rule_for_all_versions(
    era: str, software: Any, kind: Any, replica: Replica
) -> None:
    site = site_of(replica, era, software=software, transport=kind)
    assert await site.ask("hello")
    assert asked(replica) == WAYS[era]
    assert await site.ask("hello")
    assert asked(replica) == [*WAYS[era], "submit 200"]
    for message in submits(replica):
        assert (nonce_of(message) is None) == (era == "ai-engine-1.9.99")
        cookie = message.headers.get("Cookie", "")
        session = sent(message)["session"]
        has_session = era in ("ai-engine", "ai-engine-3.0.1")
        assert (session != "N/A") == has_session
        assert (f"mwai_session_id={session}" in cookie) == has_session
        assert ("PHPSESSID=" in cookie) == has_session
    start = [each for each in replica.exchanges if each.path == SESSION]
    for each in start:
        assert nonce_of(each) is None
        assert each.headers["Content-Length"] == "0"
        assert each.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("page", ["popup", "two", "custom", "stream-off", "plain"])
async def test_every_page(era: str, page: str, replica: Replica) -> None:
    assert await site_of(replica, era, page).ask("hello")
    (message,) = submits(replica) or [replica.exchanges[-1]]
    body = sent(message)
    assert (body["botId"] is None) == (page == "custom")
    no_settings = "" if era == "ai-engine-3.0.1" else None
    assert body["customId"] == ("harbour1" if page == "custom" else no_settings)
    assert isinstance(body["contextId"], int)
    if page == "plain":
        assert message.path.startswith("/index.php")


AFTER_EXPIRY = {
    **{era: ["submit 403", "session 200", "submit 200"] for era in NEW},
    "ai-engine-2.0.9": ["submit 403", "page 200", "submit 200"],
    "ai-engine-1.9.99": ["submit 200"],
}


@pytest.mark.parametrize("era", ERAS)
async def test_an_expired_nonce_is_renewed_once(era: str, replica: Replica, clock: Clock) -> None:
    site = site_of(replica, era)
    await site.ask("one")
    before = asked(replica)
    clock.now += 3 * 12 * 3600
    assert await site.ask("two")
    assert asked(replica)[len(before) :] == AFTER_EXPIRY[era]
    if era == "ai-engine-2.0.9":
        (page,) = [each for each in replica.exchanges if each.method == "GET"][1:]
        assert page.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("era", [*NEW, "ai-engine-2.0.9"])
async def test_an_old_nonce_is_replaced_by_the_one_that_a_reply_gives(
    era: str, replica: Replica, clock: Clock
) -> None:
    site = site_of(replica, era)
    await site.ask("one")
    clock.now += 12 * 3600
    await site.ask("two")  # the nonce of the former half day
    await site.ask("three")
    clock.now += 12 * 3600
    await site.ask("four")  # which the third one's has become
    one, two, three, four = map(nonce_of, submits(replica))
    assert one == two != three == four
    assert [each.status for each in submits(replica)] == [200] * 4


async def test_a_cached_page_of_an_older_version_is_told_of(replica: Replica) -> None:
    replica.fault("ai-engine-2.0.9", "cached-page")
    with pytest.raises(errors.NonceRefusedError, match="a page cache serves an expired page"):
        await site_of(replica, "ai-engine-2.0.9").ask("hello")
    assert asked(replica) == ["page 200", "submit 403", "page 200", "session 404"]


async def test_a_cached_page_that_gives_way_is_asked_for_once_more(replica: Replica) -> None:
    replica.fault("ai-engine-2.0.9", "stale-nonce")
    assert await site_of(replica, "ai-engine-2.0.9").ask("hello")
    assert asked(replica) == ["page 200", "submit 403", "page 200", "submit 200"]


@pytest.mark.parametrize("era", NEW)
async def test_a_nonce_that_is_refused_at_once_is_told_of(era: str, replica: Replica) -> None:
    replica.fault(era, "expiring-nonce")  # after the session that gave it
    with pytest.raises(errors.NonceRefusedError, match="refused the nonce it had just given"):
        await site_of(replica, era).ask("hello")
    assert asked(replica).count("submit 403") <= 2


FORBIDDEN = {"code": "rest_forbidden", "message": "no", "data": {"status": 401}}
NO_ROUTE = {"code": "rest_no_route", "message": "no", "data": {"status": 404}}


# -- a site of our own -----------------------------------------------------------------------------

PAGE = (
    "<!doctype html><title>Help</title>"
    "<div class='mwai-chatbot-container' data-params='{params}' data-system='{system}'></div>"
)
AI_POWER = (
    '<div class="wpaicg-chat-shortcode" data-nonce="c0ffee1234" data-post-id="7" data-bot-id="4" '
    'data-openai_stream_nav="1"></div>'
)


def quoted(value: object) -> str:
    return json.dumps(value).replace("&", "&amp;").replace('"', "&quot;").replace("'", "&#039;")


def frames(*frames: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in frames)


def whole(**more: Any) -> bytes:
    end = json.dumps({"success": True, "reply": "Hi", **more})
    return frames({"type": "live", "data": "Hi"}, {"type": "end", "data": end})


@asynccontextmanager
async def served(
    submit: Handler,
    session: Handler | None = None,
    *,
    before: str = "",
    behind: str = "",
    system: dict[str, Any] | None = None,
    index: Handler | None = None,
    nonces: Iterator[str] | None = None,
) -> AsyncIterator[str]:
    async def page(request: web.Request) -> web.Response:
        given = {
            "botId": "default",
            "customId": None,
            "sessionId": None,
            "restNonce": None if nonces is None else next(nonces),
            "contextId": 5,
            "restUrl": f"http://{request.host}/wp-json",
            "stream": True,
            **(system or {}),
        }
        params = {"aiName": "AI: ", "textInputMaxLength": 512, "window": False}
        element = PAGE.replace("{params}", quoted(params)).replace("{system}", quoted(given))
        return web.Response(text=f"{before}{element}{behind}", content_type="text/html")

    async def start(_request: web.Request) -> web.Response:
        return web.json_response({"success": True, "sessionId": "5e5510", "restNonce": "nonce1"})

    app = web.Application()
    app.router.add_get("/help/", page)
    app.router.add_post(SESSION, session or start)
    app.router.add_post(SUBMIT, submit)
    app.router.add_post("/wp-admin/admin-ajax.php", submit)
    app.router.add_post("/index.php", index or submit)
    async with TestServer(app) as server:
        yield str(server.make_url("/help/"))


def stream(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="text/event-stream")


async def test_a_new_token_in_the_end_renews_the_nonce_without_the_header() -> None:
    nonces: list[str | None] = []

    async def submit(request: web.Request) -> web.Response:
        nonces.append(request.headers.get("X-WP-Nonce"))
        return stream(whole(new_token="nonce2") if len(nonces) == 1 else whole())

    async with served(submit) as url:
        site = Site(url, software="ai-engine", token_cache=TokenCache())
        assert [await site.ask("a"), await site.ask("b")] == ["Hi", "Hi"]
    assert nonces == ["nonce1", "nonce2"]


async def test_a_nonce_is_no_nonce_that_is_none() -> None:
    nonces: list[str | None] = []

    async def submit(request: web.Request) -> web.Response:
        nonces.append(request.headers.get("X-WP-Nonce"))
        reply = stream(whole(new_token="a b"))
        reply.headers["X-WP-Nonce"] = "no nonce\x01"[:8]
        return reply

    async with served(submit) as url:
        site = Site(url, software="ai-engine", token_cache=TokenCache())
        assert [await site.ask("a"), await site.ask("b")] == ["Hi", "Hi"]
    assert nonces == ["nonce1", "nonce1"]


async def test_a_cached_page_of_a_site_that_was_brought_up_to_date() -> None:
    """The page's nonce is of an older version: the site itself gives one."""
    nonces: list[str | None] = []

    async def submit(request: web.Request) -> web.Response:
        nonces.append(request.headers.get("X-WP-Nonce"))
        if nonces[-1] == "nonce1":
            return stream(whole())
        body = {"code": "rest_cookie_invalid_nonce", "message": "no", "data": {"status": 403}}
        return web.json_response(body, status=403)

    async with served(submit, system={"restNonce": "ofthepage1"}) as url:
        assert await Site(url, software="ai-engine", token_cache=TokenCache()).ask("a") == "Hi"
    assert nonces == ["ofthepage1", "nonce1"]


async def test_a_session_that_is_refused_does_not_hide_a_stale_page() -> None:
    async def submit(_request: web.Request) -> web.Response:
        body = {"code": "rest_cookie_invalid_nonce", "message": "no", "data": {"status": 403}}
        return web.json_response(body, status=403)

    async def start(_request: web.Request) -> web.Response:
        return web.Response(text="<h1>Not Found</h1>", status=404, content_type="text/html")

    async with served(submit, start, system={"restNonce": "ofthepage1"}) as url:
        with pytest.raises(errors.NonceRefusedError, match="a page cache serves an expired page"):
            await Site(url, software="ai-engine", token_cache=TokenCache()).ask("a")


async def test_a_nonce_of_a_login_is_read_from_its_page_again() -> None:
    """Of a visitor who is logged in it stands in the page; ``start_session`` gives a guest's."""
    pages = iter(["login1", "login2"])
    nonces: list[str | None] = []

    async def submit(request: web.Request) -> web.Response:
        nonces.append(request.headers.get("X-WP-Nonce"))
        if nonces[-1] == "login2":
            return stream(whole())
        body = {"code": "rest_cookie_invalid_nonce", "message": "no", "data": {"status": 403}}
        return web.json_response(body, status=403)

    async with served(submit, nonces=pages) as url:
        site = Site(url, software="ai-engine", cookies={"l": "1"}, token_cache=TokenCache())
        assert await site.ask("a") == "Hi"
    assert nonces == ["login1", "login2"]


async def test_many_callers_ask_for_one_session(replica: Replica) -> None:
    site = site_of(replica, "ai-engine")
    assert len(set(await asyncio.gather(*(site.ask("hi") for _ in range(20))))) == 1
    assert asked(replica) == ["page 200", "session 200", *["submit 200"] * 20]
    replica.expire_nonces("ai-engine")
    assert len(set(await asyncio.gather(*(site.ask("hi") for _ in range(20))))) == 1
    counts = Counter(asked(replica))
    assert (counts["page 200"], counts["session 200"], counts["submit 200"]) == (1, 2, 40)


async def test_a_site_that_gives_no_nonce_is_asked_without_one() -> None:
    async def session(_request: web.Request) -> web.Response:
        return web.json_response({"success": True, "sessionId": "N/A", "restNonce": None})

    async def submit(request: web.Request) -> web.Response:
        assert "X-WP-Nonce" not in request.headers
        return stream(whole())

    async with served(submit, session) as url:
        assert await Site(url, software="ai-engine", token_cache=TokenCache()).ask("a") == "Hi"


@pytest.mark.parametrize("software", ["ai-engine", "wordpress"])
@pytest.mark.parametrize(
    ("session", "status"),
    [(NO_ROUTE, 404), ({"success": True, "sessionId": "N/A", "restNonce": None}, 200)],
)
async def test_a_site_that_wants_a_nonce_and_gives_none_refuses_none(
    session: dict[str, Any], status: int, software: Any
) -> None:
    """2.0.0 answers no visitor: neither a page cache is to blame, nor a nonce."""
    posts = 0

    async def submit(_request: web.Request) -> web.Response:
        nonlocal posts
        posts += 1
        return web.json_response(FORBIDDEN, status=401)

    async def start(_request: web.Request) -> web.Response:
        return web.json_response(session, status=status)

    async with served(submit, start) as url:
        with pytest.raises(errors.MissingAuthError) as raised:
            await Site(url, software=software, token_cache=TokenCache()).ask("a")
        assert posts == 1
        found = await doctor(url, software=software, keep=False)
    assert "wants a nonce of its visitors, and gives them none" in str(raised.value)
    assert raised.value.code == "rest_forbidden"
    assert found.failed is not None
    assert found.failed.name == "post"
    assert "a version that answers no visitor (2.0.0)" in (found.failed.advice or "")


async def test_a_rest_api_that_is_not_there() -> None:
    """The server in front of WordPress knows no such address, and says so as a page."""

    async def missing(_request: web.Request) -> web.Response:
        page = "<html><title>404 Not Found</title><h1>Not Found</h1></html>"
        return web.Response(text=page, status=404, content_type="text/html")

    async def submit(_request: web.Request) -> web.Response:
        return stream(whole())

    for handlers, step in (((submit, missing), "nonce"), ((missing,), "post")):
        async with served(*handlers) as url:
            with pytest.raises(errors.ResponseStatusError) as raised:
                await Site(url, software="ai-engine", token_cache=TokenCache()).ask("a")
            found = await doctor(url, software="ai-engine", keep=False)
        assert "/wp-json is no REST API of WordPress: " in str(raised.value)
        assert raised.value.status == 404
        assert found.failed is not None
        assert found.failed.name == step
        assert "must look at the permalinks" in (found.failed.advice or "")


@pytest.mark.parametrize("route", ["", "/", "/mwai-ui/v1/chats/submit", "/mwai/v1/start_session"])
@pytest.mark.parametrize("root", ["/wp-json", "/index.php?rest_route="])
async def test_a_stated_endpoint_may_be_one_of_the_routes(root: str, route: str) -> None:
    asked: list[str] = []

    async def submit(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return stream(whole())

    async def any_route(request: web.Request) -> web.Response:
        if request.query["rest_route"].endswith("/start_session"):
            return web.json_response({"success": True, "sessionId": "s", "restNonce": "n1"})
        return await submit(request)

    elsewhere = {"restUrl": "http://other.example/wp-json"}  # the owner's word counts
    async with served(submit, system=elsewhere, index=any_route) as url:
        stated = url.removesuffix("/help/") + root + route
        site = Site(url, software="ai-engine", endpoint=stated, token_cache=TokenCache())
        assert await site.ask("a") == "Hi"
    assert asked == [f"{root}/mwai-ui/v1/chats/submit"]


async def test_a_message_without_a_nonce_that_needs_one_is_repeated_once() -> None:
    """A site that was brought up to date: its page in the cache is of a version without nonces."""
    state = {"is_new": False}
    codes: list[int] = []

    async def session(_request: web.Request) -> web.Response:
        if not state["is_new"]:
            return web.json_response({"code": "rest_no_route", "message": "no"}, status=404)
        return web.json_response({"success": True, "sessionId": "s1", "restNonce": "nonce9"})

    async def submit(request: web.Request) -> web.Response:
        ok = not state["is_new"] or request.headers.get("X-WP-Nonce") == "nonce9"
        codes.append(200 if ok else 401)
        if ok:
            return stream(whole())
        body = {"code": "rest_forbidden", "message": "no", "data": {"status": 401}}
        return web.json_response(body, status=401)

    async with served(submit, session) as url:
        site = Site(url, software="ai-engine", token_cache=TokenCache())
        assert await site.ask("a") == "Hi"
        state["is_new"] = True
        assert await site.ask("b") == "Hi"
    assert codes == [200, 401, 200]


async def test_junk_around_the_session_is_skipped() -> None:
    async def session(_request: web.Request) -> web.Response:
        body = (
            b'\xef\xbb\xbf<b>Notice</b> {x}{"success":true,"sessionId":"s","restNonce":"nonce7"}0'
        )
        return web.Response(body=body, content_type="text/html")

    async def submit(request: web.Request) -> web.Response:
        assert request.headers["X-WP-Nonce"] == "nonce7"
        return stream(whole())

    async with served(submit, session) as url:
        assert await Site(url, software="ai-engine", token_cache=TokenCache()).ask("a") == "Hi"


async def test_a_page_with_bots_of_both_plugins() -> None:
    """Calls name a bot or a software, or take the first one."""
    posted: list[str] = []

    async def submit(request: web.Request) -> web.Response:
        posted.append(request.path.rpartition("/")[2])
        if request.path == SUBMIT:
            return stream(whole())
        chunk = {"id": "c", "choices": [{"delta": {"content": "Ho"}, "finish_reason": "stop"}]}
        return stream(frames(chunk) + b"data: [DONE]\n\n")

    for before, behind, first in ((AI_POWER, "", "Ho"), ("", AI_POWER, "Hi")):
        async with served(submit, before=before, behind=behind) as url:
            expected: list[tuple[dict[str, Any], str]] = [
                ({}, first),
                ({"bot": "4"}, "Ho"),
                ({"bot": "default"}, "Hi"),
                ({"bot_name": "AI"}, "Hi"),
                ({"software": "ai-engine"}, "Hi"),
            ]
            for options, answer in expected:
                site = Site(url, token_cache=TokenCache(), **options)
                assert await site.ask("a") == answer, (options, before)
    assert set(posted) == {"submit", "admin-ajax.php"}


@pytest.mark.parametrize(
    ("system", "says"),
    [
        ({"botId": None}, "does not say which bot"),
        ({"restUrl": None}, "where messages go"),
        ({"restUrl": "http://other.example/wp-json"}, "an endpoint at other.example"),
    ],
)
async def test_an_element_that_does_not_tell_enough(system: dict[str, Any], says: str) -> None:
    async def submit(_request: web.Request) -> web.Response:
        raise AssertionError

    async with served(submit, system=system) as url:
        with pytest.raises(errors.ResponseError, match=says):
            await Site(url, software="ai-engine", token_cache=TokenCache()).ask("a")


@pytest.mark.parametrize("options", [{}, {"bot": "default"}, {"bot_name": "AI"}])
@pytest.mark.parametrize("software", ["ai-engine", "wordpress"])
async def test_a_page_that_can_show_no_bot_says_why(software: Any, options: dict[str, Any]) -> None:
    challenge = "<title>Just a moment...</title><script>window._cf_chl_opt={}</script>"
    for html, kind in ((challenge, errors.ChallengeError), ("<p>" * 1_500_000, LIMIT)):

        async def page(_request: web.Request, html: str = html) -> web.Response:
            return web.Response(text=html, content_type="text/html")

        app = web.Application()
        app.router.add_get("/help/", page)
        async with TestServer(app) as server:
            site = Site(
                str(server.make_url("/help/")),
                software=software,
                token_cache=TokenCache(),
                **options,
            )
            with pytest.raises(kind):
                await site.ask("a")


async def test_a_number_of_a_page_that_is_none_is_not_sent() -> None:
    async def submit(request: web.Request) -> web.Response:
        assert (await request.json())["contextId"] is None
        return stream(whole())

    async with served(submit, system={"contextId": "9" * 5000}) as url:
        assert await Site(url, software="ai-engine", token_cache=TokenCache()).ask("a") == "Hi"


async def test_a_page_without_such_a_bot_names_those_it_has(replica: Replica) -> None:
    site = Site(replica.page("ai-power", "stream"), software="ai-engine", token_cache=TokenCache())
    with pytest.raises(
        errors.WidgetNotFoundError, match="of the kind ai-engine; it holds ai-power"
    ):
        await site.ask("a")
    with pytest.raises(errors.WidgetNotFoundError, match="of bot nobody; it holds ai-engine bot"):
        await site_of(replica, "ai-engine", bot="nobody").ask("a")


# -- what is sent ----------------------------------------------------------------------------------


async def test_a_message_has_the_fields_of_a_browser(replica: Replica) -> None:
    site = site_of(replica, "ai-engine", client_id="Twb8sNweyv")
    await site.ask(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "  Two? \n"},
        ]
    )
    (message,) = submits(replica)
    body = sent(message)
    assert list(body) == [
        *["botId", "customId", "session", "chatId", "contextId", "messages"],
        *["newMessage", "newFileId", "newFileIds", "stream"],
    ]
    assert body | {"session": ""} == {
        "botId": "default",
        "customId": None,
        "session": "",
        "chatId": "twb8snweyv",
        "contextId": 5,
        "messages": [
            {"role": "assistant", "content": "Ahoy! What is it?"},
            {"role": "user", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "Yes."},
        ],
        "newMessage": "Two?",
        "newFileId": None,
        "newFileIds": None,
        "stream": True,
    }
    assert message.headers["Accept"] == "text/event-stream"
    assert message.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("software", ["ai-engine", "wordpress"])
async def test_a_conversation_sends_its_turns_under_one_name(
    software: Any, replica: Replica
) -> None:
    conversation = site_of(replica, "ai-engine", software=software).conversation()
    for turn in ("One", "Two", "[[quota]]", "Three"):
        try:
            async with conversation.send(turn) as answer:
                async for _ in answer:
                    pass
        except errors.ConversationLimitError:
            pass
    bodies = [sent(each) for each in submits(replica)]
    assert len({body["chatId"] for body in bodies}) == 1
    assert all("previousResponseId" not in body for body in bodies)
    assert [len(body["messages"]) for body in bodies] == [1, 3, 5, 5]
    assert [each["content"] for each in bodies[3]["messages"][1::2]] == ["One", "Two"]
    assert {message["role"] for message in bodies[3]["messages"]} == {"user", "assistant"}


async def test_cookies_and_headers_go_with_every_request(replica: Replica) -> None:
    site = site_of(replica, "ai-engine")
    for _ in range(2):
        await site.ask("hi", cookies={"own": "abc", "b": "2"}, headers={"X-Own": "yes"})
    assert asked(replica) == [*WAYS["ai-engine"], "submit 200"]
    for each in replica.exchanges:
        cookies = set(each.headers["Cookie"].split("; "))
        assert cookies >= {"own=abc", "b=2"}
        assert each.headers["X-Own"] == "yes"
        assert (len(cookies) == 4) == (each.path == SUBMIT)  # with the session's two


async def test_each_call_has_a_name_of_its_own(replica: Replica) -> None:
    site = site_of(replica, "ai-engine")
    await site.ask("a")
    await site.ask("b")
    first, second = (sent(each)["chatId"] for each in submits(replica))
    assert first != second


async def test_a_dialogue_that_ends_otherwise_is_one_text(replica: Replica) -> None:
    site = site_of(replica, "ai-engine")
    await site.ask([{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}])
    body = sent(submits(replica)[0])
    assert "One" in body["newMessage"]
    assert "Two" in body["newMessage"]
    assert len(body["messages"]) == 1  # the greeting
    await site.ask("hi", make_prompt=lambda turns: f"<{turns[-1].text}>")
    assert sent(submits(replica)[1])["newMessage"] == "<hi>"


async def test_any_text_goes_through(replica: Replica) -> None:
    text = 'a\0b \ud800 "q" \\ é 中文 👩‍👩‍👧 \u2028 </script>'
    await site_of(replica, "ai-engine").ask(text)
    assert sent(submits(replica)[0])["newMessage"] == text.replace("\ud800", "\ufffd")


async def test_a_message_that_is_too_long_is_not_sent(replica: Replica) -> None:
    for era in NEW:
        site = site_of(replica, era, "two", bot="chatbot-qmv3ka")
        with pytest.raises(errors.InvalidRequestError, match=r"has 65 characters.* at most 64"):
            await site.ask("é" * 65)
        assert not submits(replica)
        assert await site.ask(" " + "🎉" * 64 + "\n")
        replica.exchanges._kept.clear()
    for era in ("ai-engine-2.0.9", "ai-engine-1.9.99"):  # which count no characters
        assert await site_of(replica, era, "two", bot="chatbot-qmv3ka").ask("é" * 65)
    with pytest.raises(errors.InvalidRequestError, match=r"has 65537 bytes: .* at most 65536"):
        await site_of(replica, "ai-engine-2.0.9").ask("x" * 65_537)


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image_url", "image_url": {"url": "https://site.example/a.png"}}],
        [{"type": "file", "file": {"file_id": "f"}}],
    ],
)
async def test_images_and_files_are_refused_by_name(content: Any, replica: Replica) -> None:
    with pytest.raises(errors.InvalidRequestError):
        await site_of(replica, "ai-engine").ask([{"role": "user", "content": content}])
    assert not list(replica.exchanges)


def constant(text: str) -> Callable[[object], str]:
    return lambda _turns: text


async def test_a_message_without_text_is_not_sent(replica: Replica) -> None:
    site = site_of(replica, "ai-engine")
    for text in (" \n", "\0", " \0\x0b\n"):
        with pytest.raises(errors.InvalidRequestError, match="no text"):
            await site.ask(text)
    for prompt in ("", " \n"):
        with pytest.raises(errors.InvalidRequestError, match="returned no text"):
            await site.ask("hi", make_prompt=constant(prompt))
    with pytest.raises(errors.InvalidRequestError, match="no text"):
        await site.ask("hi", make_prompt=constant("\0"))
    assert not submits(replica)


# -- what comes back -------------------------------------------------------------------------------


async def test_thoughts_and_functions_are_no_text(replica: Replica) -> None:
    async with site_of(replica, "ai-engine").stream("[[thoughts]]") as answer:
        kinds = [(delta.kind, delta.text) async for delta in answer.deltas()]
    assert kinds[:2] == [("reasoning", "The tide "), ("reasoning", "turns at six.")]
    async with site_of(replica, "ai-engine").stream("[[function]]") as answer:
        deltas = [delta async for delta in answer.deltas()]
    assert [(each.kind, each.name, each.text) for each in deltas] == [
        ("tool_call", "openMenu", '{"x":1}')
    ]
    assert (answer.end, answer.finish_reason) == ("done", None)


@pytest.mark.parametrize("era", ERAS)
async def test_a_site_that_cannot_stream_is_asked_for_one_body(era: str, replica: Replica) -> None:
    site = site_of(replica, era)
    replica.fault(era, "printed")
    first, second = await site.ask("hello"), await site.ask("hello")
    assert first == second
    assert "hello" in first
    streams = [sent(each)["stream"] for each in submits(replica)]
    late = era in ("ai-engine", "ai-engine-3.0.1")
    assert streams == ([True, False, False] if late else [True, True])
    assert all(sent(each)["session"] == "N/A" for each in submits(replica)) or not late


# -- refusals --------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[str, type[Exception], str, str | None]] = {
    "rest-closed": (
        "session 401",
        errors.MissingAuthError,
        "REST API is closed to visitors: The REST API is for members alone.",
        "rest_cannot_access",
    ),
    "rest-closed:forbidden": (
        "session 401",
        errors.MissingAuthError,
        "REST API is closed to visitors",
        "rest_forbidden",
    ),
    "owner-refuses": (
        "submit 401",
        errors.MissingAuthError,
        "lets no visitor ask, though it gave a nonce",
        "rest_forbidden",
    ),
    "maintenance@answer": ("session 503", errors.ResponseStatusError, "closed for", "wp_die"),
    "guard@answer": (
        "session 403",
        errors.ResponseStatusError,
        "something in front of the site forbids its REST API to this client",
        None,
    ),
    "503@answer": ("session 503", errors.ResponseStatusError, "503", None),
    "429@answer": ("session 429", errors.RateLimitError, "429", None),
    "challenge@answer": ("session 403", errors.ChallengeError, "challenge page", None),
    "empty@answer": ("session 200", errors.StreamError, "gives no session", None),
}


@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.parametrize("software", ["ai-engine", "wordpress"])
async def test_refusals_are_told_apart(fault: str, software: Any, replica: Replica) -> None:
    last, kind, says, code = REFUSALS[fault]
    replica.fault("ai-engine", fault)
    with pytest.raises(kind) as raised:
        await site_of(replica, "ai-engine", software=software).ask("hello")
    assert type(raised.value) is kind
    assert says in str(raised.value)
    assert getattr(raised.value, "code", None) == code
    assert asked(replica)[-1] == last
    if "maintenance" in fault:
        assert getattr(raised.value, "retry_after", None) == 600


async def test_a_chat_that_was_switched_off_since(replica: Replica) -> None:
    for fault, code in (("chat-off", "rest_no_route"), ("owner-refuses", "rest_forbidden")):
        site = site_of(replica, "ai-engine")
        await site.ask("hello")
        replica.fault("ai-engine", fault)
        with pytest.raises(errors.ResponseStatusError) as raised:
            await site.ask("hello")
        assert raised.value.code == code
        assert submits(replica)[-1] is replica.exchanges[-1]  # asked once, and no page again
        replica.fault("ai-engine")


@pytest.mark.parametrize("era", ERAS)
async def test_a_bot_that_is_not_there_any_more(era: str, replica: Replica) -> None:
    cache: TokenCache[Any] = TokenCache()
    site = site_of(replica, era, "two", bot="chatbot-qmv3ka", token_cache=cache)
    await site.ask("hello")
    for entry in cache._entries.values():
        object.__setattr__(entry.value, "bot_id", "gone")
    if era == "ai-engine":  # the default bot answers in its place
        assert await site.ask("hello")
        return
    with pytest.raises(errors.StreamError) as raised:
        await site.ask("hello")
    assert (raised.value.code, raised.value.status) == ("query_rejected", 200)


@pytest.mark.parametrize("word", ["banned", "quota", "upstream-429", "owner-words"])
async def test_a_refusal_is_not_asked_again(word: str, replica: Replica) -> None:
    """Whether it comes in a stream or, at a site that cannot stream, as one body."""
    for faults in ((), ("printed",)):
        replica.fault("ai-engine", *faults)
        site = site_of(replica, "ai-engine", retry=RetryPolicy(attempts=3, first_wait=0))
        count = len(submits(replica))
        with pytest.raises(errors.StreamError):
            await site.ask(f"[[{word}]]")
        assert len(submits(replica)) - count == (2 if faults else 1)


# -- other ways in ---------------------------------------------------------------------------------


class AnyBot(WordPressChatProvider):
    """A user's own class, of which the page tells the plugin."""


@pytest.mark.parametrize("era", ERAS)
async def test_a_provider_class_and_a_list(era: str, replica: Replica) -> None:
    class Sick(AnyBot):
        url = replica.page("ai-engine", "inline", "rest-closed")
        token_cache = TokenCache()

    class Well(AnyBot):
        url = replica.page(era, "inline")
        token_cache = TokenCache()

    messages = [{"role": "user", "content": "hello"}]
    assert "hello" in await Well.create_async("", messages)
    blocking = await asyncio.to_thread(lambda: "".join(Well.create_completion("", messages)))
    assert "hello" in blocking
    answers = RetryProvider([Sick, Well], shuffle=False)
    text = [each async for each in answers.create_async_generator("", messages)]
    assert "hello" in "".join(map(str, text))


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    ["hello", "[[banned]]", "[[fatal]]", "[[fatal-early]]", "[[blanks]]", "[[upstream-401]]"],
)
async def test_no_secret_is_shown(
    word: str, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    cache: TokenCache[Any] = TokenCache()
    site = site_of(replica, "ai-engine", token_cache=cache)
    shown: list[object] = [site, cache]
    async with site.stream(word) as answer:
        try:
            async for _ in answer:
                pass
        except errors.TailraceError as error:
            shown += [error, repr(error), error.__cause__, error.__context__]
        shown += [answer, answer.ids]
    tokens = next(iter(cache._entries.values())).value
    shown += [tokens, tokens.engine, caplog.text]
    words = " ".join(f"{each!s} {each!r}" for each in shown)
    assert tokens.nonce
    for secret in (tokens.nonce, tokens.engine.session_id, *tokens.cookies.values()):
        assert secret not in words
    assert "/srv/www" not in words


async def test_no_secret_of_a_session_is_shown_where_it_is_refused() -> None:
    nonces: list[str] = []

    async def submit(request: web.Request) -> web.Response:
        nonces.append(request.headers["X-WP-Nonce"])
        body = {"code": "rest_cookie_invalid_nonce", "message": "no", "data": {"status": 403}}
        return web.json_response(body, status=403)

    async with served(submit) as url:
        with pytest.raises(errors.NonceRefusedError) as raised:
            await Site(url, software="ai-engine", token_cache=TokenCache()).ask("a")
    assert set(nonces) == {"nonce1"}
    assert "nonce1" not in f"{raised.value} {raised.value!r} {raised.value.__context__}"
