"""A call as a site's guards see it: a browser's way of asking for the page, the cookies that the
page set, and the user and password of the URL, with every request.
"""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from calls_site import (
    DONE,
    HTML,
    JSON,
    SESSION,
    SSE,
    START,
    Site,
    bot,
    delta,
    end_of,
    engine,
    head,
    live,
    page,
)

import tailrace
from tailrace import errors, sites
from tailrace._calls.token_cache import TokenCache
from tailrace._environment import Environment

if TYPE_CHECKING:
    from calls_site import Answer, Asked, Line

CAPTURES = Path(__file__).parents[2] / "vectors" / "captures"
GUARDS = CAPTURES / "guards"
SET_BY_THE_PAGE = next(
    f"{line}\r\n"
    for line in (GUARDS / "cookie-page-head.http").read_text().splitlines()
    if line.startswith("Set-Cookie:")
)
WITHOUT_COOKIE = (GUARDS / "cookie-missing-403.http").read_bytes().replace(b"\r\n", b"\n")
AS_JSON = (GUARDS / "activitypub-page.json").read_bytes()
AIPKIT_PAGE = (CAPTURES / "ai-power" / "2.4.71" / "page_inline.body").read_bytes()
AIPKIT_REPLY = (CAPTURES / "ai-power" / "2.4.71" / "ok.2stream.body").read_bytes()
PASSWORD, COOKIE = "s3cret", "crumb-of-the-page"
SIGNED = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()


@pytest.fixture(params=["aiohttp", "impersonate"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def cookies_of(asked: Asked) -> dict[str, str]:
    pairs = asked.headers.get("cookie", "").split("; ")
    return dict(pair.split("=", 1) for pair in pairs if pair)


async def reply_with_capture(line: Line, capture: bytes) -> None:
    first, _, body = capture.partition(b"\n\n")
    await line.reply(body, HTML, first.splitlines()[0].decode().removeprefix("HTTP/1.1 "))


def guarded(set_cookie: str, name: str, *, is_aipkit: bool = False) -> Answer:
    """A site whose page sets a cookie, without which nothing else of it can be had."""

    async def answer(asked: Asked, line: Line) -> None:
        query = dict(parse_qsl(urlsplit(asked.path).query))
        action = (asked.form if asked.method == "POST" else query).get("action")
        if action is None:
            port = asked.headers["host"].rpartition(":")[2].encode()
            shown = AIPKIT_PAGE.replace(b"18088", port) if is_aipkit else page()
            await line.reply(shown, headers=set_cookie)
        elif name not in cookies_of(asked):
            await reply_with_capture(line, WITHOUT_COOKIE)
        elif action == "aipkit_cache_sse_message":
            await line.reply(b'{"success":true,"data":{"cache_key":"aipkit_sse_key"}}', JSON)
        elif action == "aipkit_get_frontend_chat_nonce":
            await line.reply(b'{"success":true,"data":{"nonce":"8512e107cd"}}', JSON)
        elif is_aipkit:
            await line.reply(AIPKIT_REPLY, SSE)
        else:
            await line.reply(delta("Hello") + DONE, SSE)

    return answer


@pytest.mark.parametrize("is_aipkit", [False, True])
async def test_cookies_of_the_page_go_along_on_every_later_call(
    kind: Any, *, is_aipkit: bool
) -> None:
    cache: TokenCache[Any] = TokenCache()
    async with Site(guarded(SET_BY_THE_PAGE, "visitor_ok", is_aipkit=is_aipkit)) as site:
        chat = tailrace.Site(f"{site.url}/help/", transport=kind, token_cache=cache)
        first = await chat.ask("Hello bot, what is 2+2?")
        assert await chat.ask("Hello bot, what is 2+2?") == first
        assert await chat.ask("Hello bot, what is 2+2?", cookies={"visitor_ok": "mine"}) == first
    pages = [asked for asked in site.asked if asked.path == "/help/"]
    assert len(pages) == 2  # one for the caller with cookies of his own
    later = [cookies_of(asked)["visitor_ok"] for asked in site.asked if asked not in pages]
    posts = 2 if is_aipkit else 1
    assert later == ["1"] * 2 * posts + ["mine"] * posts


async def test_the_doctor_brings_the_cookies_of_the_page(kind: Any) -> None:
    async with Site(guarded(SET_BY_THE_PAGE, "visitor_ok", is_aipkit=True)) as site:
        chat = tailrace.Site(f"{site.url}/help/", transport=kind)
        diagnosis = await sites.doctor(chat, keep=False)
    assert diagnosis.failed is None


async def test_cookies_are_kept_with_the_tokens_and_shown_nowhere() -> None:
    cache: TokenCache[Any] = TokenCache()
    set_cookie = f"Set-Cookie: guard={COOKIE}; Path=/; HttpOnly\r\n"
    async with Site(guarded(set_cookie, "guard")) as site:
        chat = tailrace.Site(site.url, token_cache=cache)
        await chat.ask("Hi")
        await chat.ask("Hi")
    (key, entry) = next(iter(cache._entries.items()))
    assert entry.value.cookies == {"guard": COOKIE}
    assert COOKIE not in repr((cache, key, entry.value, entry))


@pytest.mark.parametrize(
    ("attributes", "is_sent"),
    [
        ("", True),
        ("; Path=/help", True),
        ("; Domain=127.0.0.1", True),
        ("; Domain=other.example", False),
        ("; Secure", False),
        ("; Max-Age=0", False),
        ("; Expires=Thu, 01 Jan 1970 00:00:00 GMT", False),
        ("; Expires=Fri, 31 Dec 99999 23:59:59 GMT", True),
        ("; Max-Age=99999999999999999999", True),
    ],
)
async def test_which_cookies_go_along(kind: Any, attributes: str, *, is_sent: bool) -> None:
    set_cookie = f"Set-Cookie: a=1{attributes}\r\n"

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(page(), headers=set_cookie)
        else:
            await line.reply(delta("Hi") + DONE, SSE)

    async with Site(answer) as site:
        chat = tailrace.Site(site.url, transport=kind, token_cache=TokenCache())
        for _ in range(2):
            assert await chat.ask("Hi") == "Hi"
    assert ["a" in cookies_of(each) for each in site.asked if each.method == "POST"] == [
        is_sent
    ] * 2


@pytest.mark.parametrize(
    "cookie",
    ["version=1", "Path=2", "expires=3", 'a="1"', r'a="1\0542"', 'a={"b":1}', "a=1=2==", "a="],
)
async def test_cookies_go_along_as_they_were_set(kind: Any, cookie: str) -> None:
    name = cookie.partition("=")[0]
    async with Site(guarded(f"Set-Cookie: {cookie}\r\n", name, is_aipkit=True)) as site:
        chat = tailrace.Site(site.url, transport=kind, token_cache=TokenCache())
        first = await chat.ask("Hi")
        assert await chat.ask("Hi", cookies={"secure": "mine", "b": '"2"'}) == first
    anonymous, known = site.asked[:3], site.asked[3:]
    assert [each.headers.get("cookie") for each in anonymous] == [None, cookie, cookie]
    sent = [set(each.headers["cookie"].split("; ")) for each in known]
    assert sent == [{"secure=mine", 'b="2"'}, *[{"secure=mine", 'b="2"', cookie}] * 2]


async def test_tokens_end_with_the_first_of_their_cookies() -> None:
    now = 1_800_000_000_000
    cache: TokenCache[Any] = TokenCache()
    set_cookie = "Set-Cookie: a=1; Path=/; Max-Age=60\r\nSet-Cookie: b=2; Path=/\r\n"
    async with Site(guarded(set_cookie, "a")) as site:
        for later, pages in ((0, 1), (59_000, 1), (61_000, 2), (62_000, 2)):
            environment = Environment(now_ms=partial(int, now + later))
            chat = tailrace.Site(site.url, token_cache=cache, environment=environment)
            assert await chat.ask("Hi") == "Hello"
            assert site.methods["GET"] == pages


async def test_a_cookie_that_cannot_be_sent_is_left_out(kind: Any) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        if asked.path == "/":
            odd = b"Set-Cookie: a=\xff\xfe; Path=/\r\nSet-Cookie: b\x01=x\r\nSet-Cookie: =\r\n"
            await line.send(
                b"HTTP/1.1 302 Found\r\nLocation: /chat\r\nContent-Length: 0\r\n"
                b"Connection: close\r\nSet-Cookie: c=3; Path=/\r\n" + odd + b"\r\n"
            )
        elif asked.method == "GET":
            await line.reply(page())
        else:
            await line.reply(delta("Hi") + DONE, SSE)

    async with Site(answer) as site:
        chat = tailrace.Site(site.url, transport=kind, token_cache=TokenCache())
        assert await chat.ask("Hi") == "Hi"
    assert [cookies_of(each).get("c") for each in site.asked] == [None, "3", "3"]


# -- the user and the password of a URL ------------------------------------------------------------


def behind_basic(answer: Answer) -> Answer:
    async def checked(asked: Asked, line: Line) -> None:
        if asked.headers.get("authorization") != SIGNED:
            await line.reply(b"<h1>401</h1>", status="401 Unauthorized")
        else:
            await answer(asked, line)

    return checked


async def openai_or_signed(asked: Asked, line: Line) -> None:
    if asked.path.endswith("/chat/completions"):
        await line.reply(delta("Hello") + DONE, SSE)
    else:
        await line.reply(b"Hello", "text/plain")


async def engine_bot(asked: Asked, line: Line) -> None:
    if asked.method == "GET":
        await line.reply(engine(None).encode())
    elif asked.path == START:
        await line.reply(SESSION, JSON, headers="Set-Cookie: mwai_session_id=5e5510; path=/\r\n")
    else:
        assert asked.headers["cookie"] == "mwai_session_id=5e5510"
        await line.reply(live("Hello") + end_of("Hello"), SSE)


def site_of(software: str) -> Answer:
    return {
        "wordpress": bot(delta("Hello"), DONE),
        "aipkit": guarded("Set-Cookie: a=1; Path=/\r\n", "a", is_aipkit=True),
        "ai-engine": engine_bot,
    }.get(software, openai_or_signed)


@pytest.mark.parametrize(
    "software", ["wordpress", "aipkit", "ai-engine", "geminiprochat", "openai"]
)
async def test_a_password_in_the_url_opens_every_request(kind: Any, software: str) -> None:
    more: dict[str, Any] = {"software": "wordpress" if software == "aipkit" else software}
    if sites.SOFTWARE[more["software"]].has_tokens:
        more["token_cache"] = cache = TokenCache[Any]()
    if software == "openai":
        more["model"] = "m"
    async with Site(behind_basic(site_of(software))) as site:
        url = site.url.replace("//", f"//me:{PASSWORD}@") + "/help"
        chat = tailrace.Site(url, transport=kind, **more)
        assert PASSWORD not in repr(chat)
        for _ in range(2):
            assert await chat.ask("Hello bot, what is 2+2?")
        diagnosis = await sites.doctor(chat, keep=False)
        assert diagnosis.failed is None
        assert PASSWORD not in repr(diagnosis)
        if sites.SOFTWARE[more["software"]].has_tokens:
            shown = repr([*cache._entries.items()])
            assert PASSWORD not in shown
            assert PASSWORD not in str(await sites.discover(url))


async def test_tokens_of_one_password_are_not_anothers() -> None:
    cache: TokenCache[Any] = TokenCache()
    async with Site(behind_basic(bot(delta("Hello"), DONE))) as site:
        url = site.url.replace("//", f"//me:{PASSWORD}@")
        assert await tailrace.Site(url, token_cache=cache).ask("Hi") == "Hello"
        with pytest.raises(errors.MissingAuthError) as caught:
            await tailrace.Site(site.url, token_cache=cache).ask("Hi")
        wrong = site.url.replace("//", "//me:another@")
        with pytest.raises(errors.MissingAuthError):
            await tailrace.Site(wrong, token_cache=cache).ask("Hi")
    assert PASSWORD not in f"{caught.value!r}{caught.value}{vars(caught.value)}"


async def test_a_password_goes_with_given_tokens_and_not_into_the_form() -> None:
    async with Site(behind_basic(bot(delta("Hello"), DONE))) as site:
        url = site.url.replace("//", f"//me:{PASSWORD}@") + "/help"
        assert await tailrace.Site(url, nonce="0a1b2c3d4e", post_id="12").ask("Hi") == "Hello"
        assert site.asked[0].form["url"] == f"{site.url}/help"


# -- what the page is asked for, and what comes instead --------------------------------------------


async def as_activitypub(asked: Asked, line: Line) -> None:
    """A site that answers JSON to whoever accepts a type of JSON."""
    if asked.method == "POST":
        await line.reply(delta("Hello") + DONE, SSE)
    elif "json" in asked.headers["accept"]:
        await line.reply(AS_JSON, "application/activity+json")
    else:
        await line.reply(page())


async def test_a_page_is_asked_for_as_a_browser_does(kind: Any) -> None:
    async with Site(as_activitypub) as site:
        chat = tailrace.Site(site.url, transport=kind, token_cache=TokenCache())
        assert await chat.ask("Hi") == "Hello"
        assert (await sites.discover(site.url)).usable
        assert (await sites.doctor(chat, keep=False)).failed is None
    accepted = {each.headers["accept"] for each in site.asked if each.method == "GET"}
    assert all(each.startswith("text/html,application/xhtml+xml,") for each in accepted)
    assert not [each for each in accepted if "json" in each]


@pytest.mark.parametrize(
    ("content_type", "named"),
    [
        ("application/activity+json; charset=utf-8", "application/activity+json"),
        ("text/plain", "text/plain"),
        ("text/\xff\x07" + "x" * 300, "text/"),
    ],
)
async def test_a_page_that_is_not_html_is_named(kind: Any, content_type: str, named: str) -> None:
    async def answer(_asked: Asked, line: Line) -> None:
        shown = head("X", headers=f"Content-Length: {len(AS_JSON)}\r\n").decode()
        await line.send(shown.replace("X", content_type).encode("latin-1") + AS_JSON)

    async with Site(answer) as site:
        ways: list[dict[str, Any]] = [{}, {"bot": "4"}, {"bot_name": "Bot"}]
        for more in ways:
            chat = tailrace.Site(site.url, transport=kind, token_cache=TokenCache(), **more)
            with pytest.raises(errors.TokenNotFoundError, match="not HTML") as caught:
                await chat.ask("Hi")
            assert named in str(caught.value)
            assert caught.value.content_type.startswith(named)
            assert len(str(caught.value)) < 300
        found = await sites.discover(site.url)
        assert not found.usable
        assert named in found.problems[0]
        failed = (await sites.doctor(chat, keep=False)).failed
        assert failed is not None
        assert (failed.name, named in failed.detail) == ("widget", True)


async def test_a_page_of_a_wrong_type_is_read_all_the_same(kind: Any) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        await line.reply(*((delta("Hi") + DONE, SSE) if asked.body else (page(), "text/plain")))

    async with Site(answer) as site:
        chat = tailrace.Site(site.url, transport=kind, token_cache=TokenCache())
        assert await chat.ask("Hi") == "Hi"
