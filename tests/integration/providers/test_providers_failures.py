"""Bad input: each ends in one clear error of ours, the text that had arrived is delivered, and no
secret is told.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import socket
import ssl
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from calls_site import (
    AJAX,
    DONE,
    HTML,
    JSON,
    NONCE,
    SSE,
    SUBMIT,
    TEXT,
    Asked,
    Line,
    Site,
    bot,
    delta,
    end_of,
    engine,
    live,
    open_sockets,
    page,
    sockets_to,
)

from tailrace import (
    ChatGptEs,
    ChatgptFree,
    ChatGptt,
    GPROChat,
    IterListProvider,
    WordPressChatProvider,
    errors,
    sites,
)
from tailrace._calls.token_cache import TokenCache
from tailrace._environment import Environment
from tailrace.providers import ChatProvider
from tailrace.providers._base import CallRequest
from tailrace.transport import make_transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from calls_site import Answer

    from tailrace import ChatStream

WORDPRESS: list[type[WordPressChatProvider]] = [ChatGptt, ChatgptFree, ChatGptEs]


class Engine(ChatProvider):
    """A user's own class for sites with AI Engine."""

    software = "ai-engine"


ALL: list[type[ChatProvider]] = [*WORDPRESS, Engine, GPROChat]
BOTH: list[type[ChatProvider]] = [ChatGptt, ChatGptEs]  # one over each transport

PROMPT = "PROMPT-of-the-caller"
COOKIE = "COOKIE-of-the-caller"
KEY = "KEY-of-the-deployment"
PASSWORD = "PASSWORD-of-the-site"
PROXY_PASSWORD = "PASSWORD-of-the-proxy"
SECRETS = (PROMPT, COOKIE, KEY, PASSWORD, PROXY_PASSWORD, NONCE)


class Watch(logging.Handler):
    """Everything that is logged, by anybody, at any level."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture(autouse=True)
def nothing_is_told() -> Iterator[None]:
    """No secret in any log record of any logger, asyncio's own included."""
    watch, root = Watch(), logging.getLogger()
    level = root.level
    root.addHandler(watch)
    root.setLevel(logging.DEBUG)
    yield
    root.setLevel(level)
    root.removeHandler(watch)
    assert not [line for line in watch.lines if any(secret in line for secret in SECRETS)]


def call(provider: type[ChatProvider], url: str | None, **more: Any) -> ChatStream:
    """A call with every secret there is."""
    given: dict[str, Any] = {"url": url, "cookies": {"session": COOKIE}}
    if provider is GPROChat:
        given |= {"secret_key": KEY, "password": PASSWORD}
    else:
        given["token_cache"] = TokenCache()
    return provider.create_async_generator(
        "", [{"role": "user", "content": PROMPT}], **given | more
    )


async def failing(stream: ChatStream) -> tuple[str, errors.TailraceError]:
    """The text, and the error that ended it; it is raised once, chains nothing foreign and tells no
    secret.
    """
    parts: list[str] = []
    failure: errors.TailraceError | None = None
    async with stream:
        try:
            async for each in stream:
                parts.append(each)  # noqa: PERF401 - a comprehension would lose what came before an error
        except errors.TailraceError as error:
            failure = error
        assert await stream.read() == []
    assert failure is not None
    assert stream.error is failure
    assert stream.end in ("failed", "truncated")
    check_discreet(failure)
    check_discreet_text(repr(stream))
    return "".join(parts), failure


def both() -> bytes:
    """A page with bots of both plugins."""
    return page(rest=engine())


def check_discreet(error: BaseException) -> None:
    for shown in (str(error), repr(error), *traceback.format_exception(error)):
        check_discreet_text(shown)
    link: BaseException | None = error
    while link is not None:
        assert isinstance(link, errors.TailraceError)
        check_discreet_text(f"{link}{link!r}{link.args!r}{vars(link)!r}")
        link = link.__cause__ or link.__context__


def check_discreet_text(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text]


# -- the page --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What an error is: its class, words of its message, attributes."""

    error: type[errors.TailraceError]
    says: tuple[str, ...] = ()
    has: dict[str, Any] = field(default_factory=dict)

    def check(self, error: BaseException) -> None:
        assert type(error) is self.error
        assert [word for word in self.says if word not in str(error)] == []
        assert {name: getattr(error, name) for name in self.has} == self.has


CHALLENGE = (
    b"<!doctype html><html><head><title>Just a moment...</title></head><body>"
    b'<form id="challenge-form" action="/?__cf_chl_f_tk=x" method="POST"></form></body></html>'
)


@dataclass(frozen=True)
class Page:
    body: bytes
    told: Told
    status: str = "200 OK"
    headers: str = ""


PAGES = {
    "empty": Page(
        b"", Told(errors.TokenNotFoundError, ("nonce", "post id"), {"reason": "missing_both"})
    ),
    "no chat": Page(
        b"<html><body>Hello</body></html>",
        Told(errors.TokenNotFoundError, has={"reason": "missing_both"}),
    ),
    "no nonce": Page(
        page(""), Told(errors.TokenNotFoundError, ("nonce",), {"reason": "missing_nonce"})
    ),
    "no post id": Page(
        page(post_id=""),
        Told(errors.TokenNotFoundError, ("post id",), {"reason": "missing_post_id"}),
    ),
    "bad nonce": Page(
        page("a b c"), Told(errors.TokenNotFoundError, ("nonce",), {"reason": "invalid_nonce"})
    ),
    "bad post id": Page(
        page(post_id="x"),
        Told(errors.TokenNotFoundError, ("post id",), {"reason": "invalid_post_id"}),
    ),
    "challenge": Page(CHALLENGE, Told(errors.ChallengeError, ("browser",), {"kind": "challenge"})),
    "challenge 403": Page(
        CHALLENGE,
        Told(errors.ChallengeError, ("browser",), {"status": 403, "kind": "challenge"}),
        "403 Forbidden",
    ),
    "challenge 503": Page(
        CHALLENGE, Told(errors.ChallengeError, ("browser",)), "503 Service Unavailable"
    ),
    "challenge by header": Page(
        b"<html></html>",
        Told(errors.ChallengeError, has={"status": 403}),
        "403 Forbidden",
        "cf-mitigated: challenge\r\n",
    ),
    "404": Page(
        b"<h1>Not here</h1>",
        Told(errors.ResponseStatusError, ("404",), {"status": 404}),
        "404 Not Found",
    ),
    "500": Page(
        b"",
        Told(errors.ResponseStatusError, ("500",), {"status": 500}),
        "500 Internal Server Error",
    ),
    "429": Page(
        b"", Told(errors.RateLimitError, ("429",), {"status": 429}), "429 Too Many Requests"
    ),
    "401": Page(b"", Told(errors.MissingAuthError, ("401",), {"status": 401}), "401 Unauthorized"),
    "too large": Page(
        b"<p>" + b"x" * (5 * 2**20), Told(errors.LimitExceeded, ("4194304",), {"kind": "limit"})
    ),
    "redirected": Page(
        b"",
        Told(errors.RedirectError, ("other.invalid",), {"target": "http://other.invalid/chat"}),
        "302 Found",
        "Location: http://other.invalid/chat?token=x\r\n",
    ),
}


@pytest.mark.parametrize("provider", WORDPRESS)
@pytest.mark.parametrize("name", PAGES)
async def test_a_page_that_is_of_no_use(name: str, provider: type[ChatProvider]) -> None:
    case = PAGES[name]

    async def answer(asked: Asked, line: Line) -> None:
        assert asked.method == "GET"
        await line.reply(case.body, status=case.status, headers=case.headers)

    async with Site(answer) as site:
        text, error = await failing(call(provider, site.url))
        assert sockets_to(site.port) == 0
    case.told.check(error)
    assert text == ""


def test_no_tokens_is_a_runtime_error() -> None:
    assert issubclass(errors.TokenNotFoundError, RuntimeError)


@pytest.mark.parametrize("provider", BOTH)
async def test_a_page_without_end_is_left(provider: type[ChatProvider]) -> None:
    """Not read to the transport's cap: the scanner has had enough."""
    sent = 0

    async def answer(_asked: Asked, line: Line) -> None:
        nonlocal sent
        await line.begin(HTML)
        while True:
            await line.chunks([b"x" * 65536])
            sent += 65536

    async with Site(answer) as site:
        _, error = await failing(call(provider, site.url))
    assert type(error) is errors.LimitExceeded
    assert sent < 32 * 2**20


async def test_a_page_without_the_bot_asked_for_names_those_it_has() -> None:
    async with Site(bot()) as site:
        _, error = await failing(call(ChatGptt, site.url, bot_id="5"))
    assert type(error) is errors.WidgetNotFoundError
    assert "5" in str(error)


@pytest.mark.parametrize("provider", BOTH)
async def test_a_page_is_read_no_further_than_the_tokens(provider: type[ChatProvider]) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.begin(HTML)
            await line.chunks([page()])
            await line.stall()
        await line.reply(delta("hi") + DONE, SSE)

    async with Site(answer) as site, call(provider, site.url) as stream:
        assert [each async for each in stream] == ["hi"]


# -- the endpoint ----------------------------------------------------------------------------------


class AnyBot(WordPressChatProvider):
    """A user's own: the endpoint comes from the page."""


def params(ajax_url: str) -> str:
    settings = json.dumps({"ajax_url": ajax_url, "search_nonce": NONCE})
    return f"<script>var wpaicgParams = {settings};</script>"


@pytest.mark.parametrize(
    ("ajax_url", "posted_to"),
    [
        ("{origin}/wp-admin/admin-ajax.php", AJAX),
        ("{origin}/sub/wp-admin/admin-ajax.php", "/sub/wp-admin/admin-ajax.php"),
        ("/sub/wp-admin/admin-ajax.php", "/sub/wp-admin/admin-ajax.php"),
        (None, AJAX),
    ],
)
async def test_the_page_names_the_endpoint(ajax_url: str | None, posted_to: str) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            rest = (
                params(ajax_url.format(origin=f"http://{asked.headers['host']}"))
                if ajax_url
                else ""
            )
            await line.reply(page(rest=rest))
        else:
            await line.reply(delta("hi") + DONE, SSE)

    async with Site(answer) as site:
        async with call(AnyBot, site.url) as stream:
            assert [each async for each in stream] == ["hi"]
        assert site.asked[1].path == posted_to


@pytest.mark.parametrize(
    ("ajax_url", "named"),
    [
        ("https://evil.invalid/ajax", "127.0.0.1 names an endpoint at evil.invalid:"),
        ("//evil.invalid/ajax", "127.0.0.1 names an endpoint at evil.invalid:"),
        ("http://127.0.0.1.evil.invalid/", "names an endpoint at 127.0.0.1.evil.invalid:"),
        ("http://127.0.0.1:1/ajax", "{here} names an endpoint at http://127.0.0.1:1:"),
        ("https://127.0.0.1:1/ajax", "{here} names an endpoint at https://127.0.0.1:1:"),
        ("http://me:pw@{host}/ajax", "{here} names an endpoint with a user name, at {here}:"),
        ("http://@{host}/ajax", "{here} names an endpoint with a user name, at {here}:"),
        ("ftp://{host}/ajax", "{here} names an endpoint that is no http or https URL:"),
        ("http://{host}:99999/ajax", "{here} names an endpoint that is no http or https URL:"),
        ("http://[::1/ajax", "{here} names an endpoint that is no http or https URL:"),
        ("\\ud800://x\u0000", "{here} names an endpoint that is no http or https URL:"),
    ],
)
async def test_an_endpoint_elsewhere_is_not_followed(ajax_url: str, named: str) -> None:
    """It is the site's fault and not the caller's, so that a list of sites goes on to the next."""

    async def answer(asked: Asked, line: Line) -> None:
        shown = params(ajax_url.replace("{host}", asked.headers["host"]))
        await line.reply(page(rest=shown))

    async with Site(answer) as site, Site(bot(delta("hi"), DONE)) as other:
        _, error = await failing(call(AnyBot, site.url))
        assert site.methods == {"GET": 1}
        Told(errors.EndpointError, (named.replace("{here}", site.url), "not followed")).check(error)
        assert "pw" not in str(error)
        both = IterListProvider(
            [sites.Site(url, token_cache=TokenCache()) for url in (site.url, other.url)],
            shuffle=False,
        )
        assert await both.create_async("", [{"role": "user", "content": PROMPT}]) == "hi"


def names_http(policy: str = "", meta: bytes = b"") -> Answer:
    """A site over TLS whose page names its endpoint with http, and has a policy of that kind."""

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            html = meta + page(rest=params(f"http://{asked.headers['host']}{AJAX}"))
            await line.reply(html, headers=policy)
        else:
            await line.reply(delta("hi") + DONE, SSE)

    return answer


UPGRADES = "Content-Security-Policy: default-src 'self'; Upgrade-Insecure-Requests\r\n"
META = b'<meta http-equiv="Content-Security-Policy" content="upgrade-insecure-requests">'


@pytest.mark.parametrize("kind", ["aiohttp", "impersonate"])
async def test_https_is_tried_where_the_page_upgrades_insecure_requests(
    kind: str, tmp_path: Path
) -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    file = str(tmp_path / "authority.pem")
    authority.cert_pem.write_to_path(file)
    trusting: dict[str, Any] = (
        {"tls": ssl.create_default_context(cafile=file)} if kind == "aiohttp" else {"ca_file": file}
    )
    for policy, meta, follows in (
        (UPGRADES, b"", True),
        ("", META, True),
        ("Strict-Transport-Security: max-age=600\r\n", b"", True),
        ("Content-Security-Policy: default-src 'self'\r\n", b"", False),
    ):
        async with (
            Site(names_http(policy, meta), tls=tls) as site,
            make_transport(kind, **trusting) as transport,  # type: ignore[arg-type]
        ):
            stream = call(AnyBot, site.url, transport=transport)
            if follows:
                assert "".join([each async for each in stream]) == "hi"
                await stream.aclose()
            else:
                _, error = await failing(stream)
                named = (site.url, site.url.replace("https", "http"))
                Told(errors.EndpointError, named).check(error)


async def test_providers_with_endpoints_of_their_own_do_not_share_them() -> None:
    """Two classes over one page and one cache: each posts where it says itself."""

    class Moved(AnyBot):
        api_endpoint = "https://site.example/moved.php"

    cache: TokenCache[Any] = TokenCache()
    async with Site(bot(delta("hi"), DONE)) as site:
        for provider in (Moved, AnyBot, Moved):
            async with call(provider, site.url, token_cache=cache) as stream:
                assert [each async for each in stream] == ["hi"]
        assert [each.path for each in site.asked if each.method == "POST"] == [
            "/moved.php",
            AJAX,
            "/moved.php",
        ]


async def test_the_bot_asked_for_is_asked_where_the_page_shows_no_widget() -> None:
    def bare() -> bytes:
        return (
            b"<input type=hidden name=_wpnonce value=%b><input type=hidden name=post_id value=3>"
            % NONCE.encode()
        )

    async with Site(bot(delta("hi"), DONE, pages=bare)) as site:
        async with call(ChatGptt, site.url, bot_id="5") as stream:
            assert [each async for each in stream] == ["hi"]
        assert site.asked[1].form["bot_id"] == "5"


# -- the nonce -------------------------------------------------------------------------------------


def refusing(accepted: str, pages: Iterator[str], *, old: bool = False) -> Answer:
    """A site that takes one nonce, and whose pages show those of `pages`.

    Before 1.8.91 it refused with status 200.
    """

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(page(next(pages)))
        elif asked.form["_wpnonce"] == accepted:
            await line.reply(delta("hi") + DONE, SSE)
        elif old:
            await line.reply(b'{"status":"error","msg":"Nonce verification failed"}', JSON)
        else:
            await line.reply(b"The link you followed has expired.", HTML, "403 Forbidden")

    return answer


@pytest.mark.parametrize("provider", BOTH)
@pytest.mark.parametrize("old", [False, True])
async def test_a_stale_nonce_is_refreshed_once(provider: type[ChatProvider], *, old: bool) -> None:
    cache: TokenCache[Any] = TokenCache()
    accepted = ["first"]

    async def answer(asked: Asked, line: Line) -> None:
        await refusing(accepted[0], iter([accepted[0]]), old=old)(asked, line)

    async with Site(answer) as site:
        for accepted[0], methods in (
            ("first", {"GET": 1, "POST": 1}),
            ("second", {"GET": 2, "POST": 3}),
        ):
            async with call(provider, site.url, token_cache=cache) as stream:
                assert [each async for each in stream] == ["hi"]
            assert site.methods == methods


@pytest.mark.parametrize("provider", BOTH)
@pytest.mark.parametrize(
    ("old", "told"),
    [
        (False, Told(errors.NonceRefusedError, ("page cache",), {"status": 403})),
        (True, Told(errors.StreamError, ("Nonce verification failed",))),
    ],
)
async def test_a_page_cache_that_serves_an_expired_nonce(
    provider: type[ChatProvider], told: Told, *, old: bool
) -> None:
    cache: TokenCache[Any] = TokenCache()
    async with Site(refusing("fresh", iter([NONCE] * 9), old=old)) as site:
        for methods in ({"GET": 1, "POST": 1}, {"GET": 2, "POST": 2}):
            _, error = await failing(call(provider, site.url, token_cache=cache))
            told.check(error)
            assert site.methods == methods


async def test_a_refreshed_nonce_that_is_refused_too() -> None:
    accepted = ["one"]

    async def answer(asked: Asked, line: Line) -> None:
        await refusing(accepted[0], iter(["one" if accepted[0] == "one" else "two"]))(asked, line)

    cache: TokenCache[Any] = TokenCache()
    async with Site(answer) as site:
        async with call(ChatGptt, site.url, token_cache=cache) as stream:
            assert [each async for each in stream] == ["hi"]
        accepted[0] = "three"
        _, error = await failing(call(ChatGptt, site.url, token_cache=cache))
        assert site.methods == {"GET": 2, "POST": 3}
    Told(errors.NonceRefusedError, ("page cache",), {"status": 403}).check(error)


FORBIDS = "something in front of the site forbids admin-ajax.php to this client"
NGINX = b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>no</body></html>"


@pytest.mark.parametrize("provider", BOTH)
@pytest.mark.parametrize(
    ("body", "content_type", "headers"),
    [
        (NGINX, HTML, ""),
        (NGINX, HTML, "X-Robots-Tag: noindex\r\n"),
        (b"<!DOCTYPE html><p>Blocked by the wall</p>", HTML, ""),
        (b"<h1>Access Denied</h1>", HTML, ""),
        (b"Forbidden", HTML, ""),
        (b"403 Forbidden\n", HTML, ""),
        (b"Access denied.", HTML, ""),
        (b"error code: 1020", HTML, ""),
        (b"Your request was blocked by Wordfence.", HTML, ""),
        (b"Access denied by security policy. Your IP has been logged.", HTML, ""),
        (b"You may not do this.", TEXT, ""),
        (b'{"error":"forbidden"}', JSON, ""),
        (b"", HTML, ""),
    ],
)
async def test_a_guards_403_refuses_no_nonce(
    provider: type[ChatProvider], body: bytes, content_type: str, headers: str
) -> None:
    """Neither one of the page's nonces nor one of the cache's: the page is not asked again."""
    guarded = False

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(page())
        elif guarded:
            await line.reply(body, content_type, "403 Forbidden", headers)
        else:
            await line.reply(delta("hi") + DONE, SSE)

    cache: TokenCache[Any] = TokenCache()
    async with Site(answer) as site:
        async with call(provider, site.url, token_cache=cache) as stream:
            assert [each async for each in stream] == ["hi"]
        guarded = True
        for tokens in (cache, TokenCache[Any]()):
            _, error = await failing(call(provider, site.url, token_cache=tokens))
            Told(errors.ResponseStatusError, (FORBIDS,), {"status": 403}).check(error)
        assert site.methods == {"GET": 2, "POST": 3}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("Le lien que vous avez suivi est expir\xe9.".encode(), "X-Robots-Tag: noindex\r\n"),
        (b"The link you followed has expired.</p><p><a href=/help>Try again</a>", ""),
        (b"-1", ""),
        (b"", "X-Robots-Tag: noindex\r\n"),
        (b"This link is blocked: it has expired.", "X-Robots-Tag: noindex\r\n"),
    ],
)
async def test_a_sentence_is_the_plugins_refusal(body: bytes, headers: str) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(page())
        else:
            await line.reply(body, HTML, "403 Forbidden", headers)

    async with Site(answer) as site:
        _, error = await failing(call(ChatGptt, site.url))
    Told(errors.NonceRefusedError, ("page cache",), {"status": 403}).check(error)


@pytest.mark.parametrize("expired", [True, False])
async def test_a_sentence_that_nobody_vouches_for_costs_a_look_at_the_page(
    *, expired: bool
) -> None:
    """A nonce that has run out is renewed; where the page shows the same, a guard has spoken."""
    nonces = ["first"]

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(page(nonces[-1]))
        elif not expired and len(site.asked) > 2:
            words = b"A potentially unsafe operation has been detected in your request."
            await line.reply(words, HTML, "403 Forbidden")
        elif asked.form["_wpnonce"] == nonces[-1]:
            await line.reply(delta("hi") + DONE, SSE)
        else:
            words = "Le lien que vous avez suivi est expir\xe9.".encode()
            await line.reply(words, HTML, "403 Forbidden")

    cache: TokenCache[Any] = TokenCache()
    async with Site(answer) as site:
        async with call(ChatGptt, site.url, token_cache=cache) as stream:
            assert [each async for each in stream] == ["hi"]
        if expired:
            nonces.append("second")
            async with call(ChatGptt, site.url, token_cache=cache) as stream:
                assert [each async for each in stream] == ["hi"]
            assert site.methods == {"GET": 2, "POST": 3}
        else:
            for tokens, methods in (
                (cache, {"GET": 2, "POST": 2}),
                (TokenCache[Any](), {"GET": 3, "POST": 3}),
            ):
                _, error = await failing(call(ChatGptt, site.url, token_cache=tokens))
                assert type(error) is errors.ResponseStatusError
                Told(errors.ResponseStatusError, (FORBIDS, "unsafe operation")).check(error)
                assert site.methods == methods


@pytest.mark.parametrize(
    ("status", "reply", "told"),
    [
        ("404 Not Found", b"<title>Nothing</title>", errors.ResponseStatusError),
        ("405 Not Allowed", b"", errors.ResponseStatusError),
        ("400 Bad Request", b"0", errors.ResponseStatusError),
        ("200 OK", b"<title>Another program</title>", errors.StreamError),
        ("302 Found", b"", errors.RedirectError),
    ],
)
async def test_a_guessed_endpoint_is_called_a_guess(
    status: str, reply: bytes, told: type[errors.TailraceError]
) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(page(rest=params(AJAX) if named else ""))
        else:
            await line.reply(reply, HTML, status, "Location: /elsewhere\r\n")

    for named in (False, True):
        async with Site(answer) as site:
            _, error = await failing(call(AnyBot, site.url))
        assert type(error) is told
        guess = f"{site.url}{AJAX} is a guess, since the page names no endpoint"
        assert (guess in str(error)) != named


@pytest.mark.parametrize("content_type", ["application/activity+json", "Application/JSON; x=y"])
@pytest.mark.parametrize("bot_name", [None, "Pilot"])
async def test_a_page_that_is_no_html_is_named_with_its_type(
    content_type: str, bot_name: str | None
) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        del asked
        await line.reply(b'{"content":"<p>Ask us.</p>"}', content_type)

    async with Site(answer) as site:
        _, error = await failing(call(ChatGptt, site.url, bot_name=bot_name))
    assert type(error) is errors.TokenNotFoundError
    assert f"the page is {content_type.partition(';')[0].lower()}, not HTML" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (
            "200 OK",
            b'{"status":"error","msg":"A banned word"}',
            Told(errors.StreamError, ("A banned word",)),
        ),
        ("403 Forbidden", b"-1", Told(errors.ResponseStatusError, ("500",), {"status": 500})),
    ],
)
async def test_a_refresh_that_fails(status: str, body: bytes, told: Told) -> None:
    """A bare error was hardly about the nonce and stands; a refusal was, and what keeps it from
    mending is told.
    """
    pages = iter([("200 OK", page()), ("500 Internal Server Error", b"")])
    replies = iter([("200 OK", delta("hi") + DONE, SSE), (status, body, JSON)])

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            now, shown = next(pages)
            await line.reply(shown, status=now)
        else:
            now, said, content_type = next(replies)
            await line.reply(said, content_type, now)

    cache: TokenCache[Any] = TokenCache()
    async with Site(answer) as site:
        async with call(ChatGptt, site.url, token_cache=cache) as stream:
            assert [each async for each in stream] == ["hi"]
        _, error = await failing(call(ChatGptt, site.url, token_cache=cache))
        assert site.methods == {"GET": 2, "POST": 2}
    told.check(error)


async def test_nothing_is_repeated_after_the_first_delta() -> None:
    cache: TokenCache[Any] = TokenCache()
    async with Site(bot(delta("Hel"), b'data: {"error":{"message":"no"}}\n\n')) as site:
        for posts in (1, 2):
            text, error = await failing(call(ChatGptt, site.url, token_cache=cache))
            assert (text, site.methods) == ("Hel", {"GET": 1, "POST": posts})
            Told(errors.StreamError, ("no",), {"kind": "upstream"}).check(error)


# -- the answer ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bad:
    frames: tuple[bytes, ...]
    told: Told
    content_type: str = SSE
    status: str = "200 OK"
    text: str = ""


ANSWERS = {
    "empty": Bad((), Told(errors.StreamError, ("empty",), {"kind": "empty"})),
    "html": Bad(
        (b"<html><body>Hi</body></html>",),
        Told(errors.StreamError, has={"kind": "not_a_stream"}),
        HTML,
    ),
    "html as a stream": Bad(
        (b"<html>502</html>",), Told(errors.StreamError, has={"kind": "not_a_stream"})
    ),
    "challenge": Bad(
        (CHALLENGE,), Told(errors.ChallengeError, ("browser",), {"kind": "challenge"}), HTML
    ),
    "challenge 403": Bad(
        (CHALLENGE,),
        Told(errors.ChallengeError, ("browser",), {"status": 403}),
        HTML,
        "403 Forbidden",
    ),
    "zero": Bad((b"0",), Told(errors.StreamError, has={"kind": "upstream"}), HTML),
    "not even JSON": Bad((b"{oops",), Told(errors.StreamError, has={"kind": "not_a_stream"}), JSON),
    "401": Bad((b"no",), Told(errors.MissingAuthError, ("401",)), TEXT, "401 Unauthorized"),
    "402": Bad(
        (b"pay",), Told(errors.PaymentRequiredError, ("402",)), TEXT, "402 Payment Required"
    ),
    "429": Bad(
        (b"slow",), Told(errors.RateLimitError, ("429", "slow")), TEXT, "429 Too Many Requests"
    ),
    "500": Bad(
        (b"oh",), Told(errors.ResponseStatusError, ("500",)), TEXT, "500 Internal Server Error"
    ),
    "mid-stream error": Bad(
        (delta("Hel"), b'data: {"error":{"message":"gone","code":"c1"}}\n\n', delta("lo")),
        Told(errors.StreamError, ("gone",), {"kind": "upstream", "code": "c1"}),
        text="Hel",
    ),
    "cut mid-character": Bad(
        (delta("Hel"), 'data: {"choices":[{"delta":{"content":"é'.encode()[:-1]),
        Told(errors.StreamError, ("broke off",), {"kind": "truncated"}),
        text="Hel",
    ),
    "no end marker": Bad(
        (delta("Hel"),), Told(errors.StreamError, has={"kind": "truncated"}), text="Hel"
    ),
    "a line without end": Bad(
        (delta("Hel"), b"data: ", *[b"x" * 2**20] * 9),
        Told(errors.LimitExceeded, has={"kind": "limit"}),
        text="Hel",
    ),
    "JSON without end": Bad(
        (b'{"data":"', *[b"x" * 2**20] * 9), Told(errors.LimitExceeded, has={"kind": "limit"}), JSON
    ),
    "only bad events": Bad(
        (b"data: {\n\n" * 3,), Told(errors.StreamError, has={"kind": "not_a_stream"})
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_that_is_none(name: str) -> None:
    case = ANSWERS[name]
    for provider in WORDPRESS:
        async with Site(
            bot(*case.frames, content_type=case.content_type, status=case.status)
        ) as site:
            text, error = await failing(call(provider, site.url))
            assert sockets_to(site.port) == 0
        case.told.check(error)
        assert text == case.text


@pytest.mark.parametrize("provider", ALL)
async def test_a_challenge_by_header(provider: type[ChatProvider]) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(both())
        else:
            await line.reply(b"", status="403 Forbidden", headers="cf-mitigated: challenge\r\n")

    async with Site(answer) as site:
        _, error = await failing(call(provider, site.url))
    Told(errors.ChallengeError, ("browser",), {"status": 403}).check(error)


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
)
async def test_a_message_that_is_redirected_is_not_sent_on(
    provider: type[ChatProvider], status: str
) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(both())
        else:
            await line.reply(
                b"", status=status, headers="Location: http://other.invalid/api?secret=1\r\n"
            )

    async with Site(answer) as site:
        _, error = await failing(call(provider, site.url))
        assert site.methods["POST"] == 1
    Told(
        errors.RedirectError, ("http://other.invalid/api",), {"target": "http://other.invalid/api"}
    ).check(error)


# -- the network -----------------------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize("provider", ALL)
async def test_a_host_that_does_not_exist(provider: type[ChatProvider]) -> None:
    _, error = await failing(call(provider, "http://site.invalid"))
    Told(errors.ConnectError, ("http://site.invalid", "name was not found")).check(error)


@pytest.mark.parametrize("provider", ALL)
async def test_a_port_nobody_listens_at(provider: type[ChatProvider]) -> None:
    port = closed_port()
    _, error = await failing(call(provider, f"http://127.0.0.1:{port}"))
    Told(errors.ConnectError, (f"http://127.0.0.1:{port}", "refused")).check(error)


@pytest.mark.parametrize("provider", ALL)
async def test_a_certificate_nobody_knows(provider: type[ChatProvider]) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    async with Site(bot(), tls=tls) as site:
        _, error = await failing(call(provider, site.url))
        assert site.asked == []
    Told(errors.TLSError, (f"https://127.0.0.1:{site.port}",)).check(error)


PROXY_USER = f"user:{PROXY_PASSWORD}@"


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("scheme", ["ftp", "nonsense"])
async def test_a_proxy_of_an_unknown_kind(provider: type[ChatProvider], scheme: str) -> None:
    _, error = await failing(
        call(provider, "http://site.invalid", proxy=f"{scheme}://{PROXY_USER}127.0.0.1:1")
    )
    Told(errors.InvalidProxyError, (scheme, "socks5")).check(error)


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_is_not_there(provider: type[ChatProvider], scheme: str) -> None:
    port = closed_port()
    _, error = await failing(
        call(provider, "http://site.invalid", proxy=f"{scheme}://{PROXY_USER}127.0.0.1:{port}")
    )
    Told(errors.ProxyError, (f"{scheme}://127.0.0.1:{port}",)).check(error)


@pytest.mark.parametrize("provider", ALL)
async def test_a_proxy_that_refuses_to_connect(provider: type[ChatProvider]) -> None:
    async def answer(_asked: Asked, line: Line) -> None:
        await line.reply(b"", status="407 Proxy Authentication Required")

    async with Site(answer) as proxy:
        url = f"http://{PROXY_USER}127.0.0.1:{proxy.port}"
        _, error = await failing(call(provider, "https://site.invalid", proxy=url))
        assert proxy.methods == {"CONNECT": 1}
    Told(errors.ProxyError, (f"http://127.0.0.1:{proxy.port}", "https://site.invalid")).check(error)


@pytest.mark.parametrize("provider", WORDPRESS)
async def test_every_request_goes_through_the_proxy(provider: type[ChatProvider]) -> None:
    async with Site(bot(delta("hi"), DONE)) as proxy:
        url = f"http://{PROXY_USER}127.0.0.1:{proxy.port}"
        async with call(provider, "http://site.invalid/chat", proxy=url) as stream:
            assert [each async for each in stream] == ["hi"]
        assert [each.path for each in proxy.asked] == [
            "http://site.invalid/chat",
            f"http://site.invalid{AJAX}",
        ]


# -- clocks ----------------------------------------------------------------------------------------


async def stalling(_asked: Asked, line: Line) -> None:
    await line.stall()


async def stalling_page(_asked: Asked, line: Line) -> None:
    await line.begin(HTML)
    await line.chunks([b"<html>"])
    await line.stall()


async def stalling_post(asked: Asked, line: Line) -> None:
    if asked.method == "GET":
        await line.reply(both())
    else:
        await line.stall()


async def stalling_stream(asked: Asked, line: Line) -> None:
    if asked.method == "GET":
        await line.reply(both())
    else:
        frames = {AJAX: delta("Hel"), SUBMIT: live("Hel")}
        await line.begin(SSE if asked.path in frames else TEXT)
        await line.chunks([frames.get(asked.path, b"Hel")])
        await line.stall()


@pytest.mark.parametrize("provider", [ChatGptt, ChatGptEs, Engine, GPROChat])
@pytest.mark.parametrize(
    ("answer", "clock", "phase", "text", "posted"),
    [
        (stalling, "timeout", "first byte", "", 0),
        (stalling_page, "timeout", "idle", "", 0),
        (stalling_post, "timeout", "first byte", "", 1),
        (stalling_stream, "timeout", "idle", "Hel", 1),
        (stalling, "total_timeout", "total", "", 0),
        (stalling_page, "total_timeout", "total", "", 0),
        (stalling_post, "total_timeout", "total", "", 1),
        (stalling_stream, "total_timeout", "total", "Hel", 1),
    ],
)
async def test_a_clock_runs_out(  # noqa: PLR0917 - a table's columns
    provider: type[ChatProvider], answer: Answer, clock: str, phase: str, text: str, posted: int
) -> None:
    if provider is GPROChat and not posted:
        answer, posted = (stalling_post, 1)
    async with Site(answer) as site:
        said, error = await failing(call(provider, site.url, **{clock: 0.15}))
        assert sockets_to(site.port) == 0
        assert site.methods["POST"] == posted
    assert isinstance(error, errors.TimeoutError)
    assert isinstance(error, TimeoutError)
    if provider is GPROChat and phase == "idle" and not text:
        phase = "first byte"
    assert (error.phase, error.seconds, said) == (phase, 0.15, text)


@pytest.mark.parametrize("provider", ALL)
async def test_a_handshake_that_never_ends(provider: type[ChatProvider]) -> None:
    """TCP is there, TLS is not: that is still connecting."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, error = await failing(call(provider, f"https://127.0.0.1:{port}", connect_timeout=0.15))
    Told(errors.TimeoutError, ("connect",), {"phase": "connect", "seconds": 0.15}).check(error)


# -- the caller's own input ------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "empty"),
        ("Hello", "list of messages, not str"),
        (b"Hello", "not bytes"),
        ({"role": "user", "content": "x"}, "not dict"),
        (None, "not NoneType"),
        (5, "not int"),
        (iter([]), "list of messages"),
        (["Hello"], "message 0 must be a mapping, not str"),
        ([{"role": "user", "content": "x"}, None], "message 1 must be a mapping"),
        ([{"content": "x"}], "message 0 has no role"),
        ([{"role": "", "content": "x"}], "message 0 has no role"),
        ([{"role": 5, "content": "x"}], "message 0 has no role"),
        ([{"role": "user"}], "message 0 has no content"),
        ([{"role": "user", "content": 5}], "content of message 0"),
        ([{"role": "user", "content": b"x"}], "content of message 0"),
        ([{"role": "user", "content": [{"text": "a"}, 5]}], "content of message 0"),
        ([{"role": "user", "content": ""}], "no text"),
        ([{"role": "user", "content": " \n"}, {"role": "assistant", "content": ""}], "no text"),
        ([{"role": "user", "content": None}], "no text"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
            "a part of the type 'image_url', which cannot be sent",
        ),
    ],
)
async def test_messages_that_cannot_be_sent(
    provider: type[ChatProvider], messages: Any, says: str
) -> None:
    async with Site(bot()) as site:
        stream = provider.create_async_generator("", messages, url=site.url)
        _, error = await failing(stream)
        assert site.asked == []
    assert type(error) is errors.InvalidRequestError
    assert isinstance(error, ValueError)
    assert says in str(error)


@pytest.mark.parametrize("provider", WORDPRESS)
@pytest.mark.parametrize("model", ["gpt-5-imaginary", "GPT-4O", 5, ["gpt-4o"]])
async def test_an_unknown_model(provider: type[ChatProvider], model: Any) -> None:
    stream = provider.create_async_generator(
        model, [{"role": "user", "content": PROMPT}], url="http://site.invalid"
    )
    _, error = await failing(stream)
    assert isinstance(error, errors.ModelNotFoundError)
    assert provider.__name__ in str(error)
    assert not isinstance(model, str) or provider.default_model in str(error)


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(
    "url",
    [
        "",
        "site.example",
        "ftp://site.example",
        "http://",
        "//site.example",
        "http://[::1",
        "http://a b/",
        "http://h:x/",
        5,
    ],
)
async def test_a_wrong_url_is_told_at_once(provider: type[ChatProvider], url: Any) -> None:
    with pytest.raises(errors.InvalidRequestError, match="URL"):
        call(provider, url)


@pytest.mark.parametrize("provider", [ChatGptt, GPROChat])
@pytest.mark.parametrize("name", ["timeout", "connect_timeout", "total_timeout"])
@pytest.mark.parametrize(
    "value",
    [0, -1, float("nan"), float("inf"), "5", True, [1], 10**400],
    ids=lambda each: str(each)[:9],
)
async def test_a_wrong_clock_is_told_at_once(
    provider: type[ChatProvider], name: str, value: Any
) -> None:
    with pytest.raises(errors.InvalidRequestError, match=name):
        call(provider, "http://site.invalid", **{name: value})


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize(
    "option",
    [
        {"cookies": "a=b"},
        {"cookies": ["a"]},
        {"cookies": {"a": 1}},
        {"cookies": {1: "a"}},
        {"cookies": {"a": f"{COOKIE}; b"}},
        {"headers": "a: b"},
        {"headers": {"Host": "x"}},
        {"headers": {"X": f"{KEY}\r\nY: 1"}},
        {"headers": {"X": 5}},
        {"proxy": 5},
    ],
    ids=str,
)
async def test_a_wrong_option(provider: type[ChatProvider], option: dict[str, Any]) -> None:
    async def run() -> errors.TailraceError:
        try:
            stream = call(provider, "http://site.invalid", **option)
        except errors.TailraceError as error:
            return error
        return (await failing(stream))[1]

    error = await run()
    check_discreet(error)
    assert isinstance(error, errors.InvalidRequestError | errors.ProxyError)


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d\ude00"])
async def test_what_cannot_be_encoded_is_sent_as_a_browser_would(
    provider: type[ChatProvider], text: str
) -> None:
    messages = [
        {"role": "user", "content": text},
        {"role": text, "content": "x"},
        {"role": "user", "content": text},
    ]
    frames = {GPROChat: [b"hi"], Engine: [live("hi"), end_of("hi")]}.get(
        provider, [delta("hi"), DONE]
    )
    content_type = TEXT if provider is GPROChat else SSE
    async with Site(bot(*frames, content_type=content_type, pages=both)) as site:
        options: dict[str, Any] = {} if provider is GPROChat else {"token_cache": TokenCache()}
        assert await provider.create_async("", messages, url=site.url, **options) == "hi"


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequestError("no"),
        errors.TimeoutError("idle", 3.0, "http://site.invalid"),
        errors.TokenNotFoundError("missing_both"),
        errors.RedirectError("no", "http://other.invalid/"),
        errors.StreamError("upstream", "no", status=500, code="c", raw="r"),
        errors.RateLimitError("upstream", "no", status=429),
        errors.ChallengeError(status=403),
        errors.LimitExceeded("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_to_another_process(error: errors.TailraceError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - made here
        assert type(again) is type(error)
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


# -- secrets ---------------------------------------------------------------------------------------


def test_nothing_shows_what_a_call_was_given() -> None:
    environment = Environment(environ={"GPROCHAT_SECRET_KEY": KEY})
    url = f"https://user:{PASSWORD}@site.example"
    request = CallRequest(
        model="gpt-4o",
        messages=[{"role": "user", "content": PROMPT}],
        url=url,
        proxy=f"http://{PROXY_USER}proxy.example",
        cookies={"session": COOKIE},
        headers={"Authorization": KEY},
        environment=environment,
    )
    signed = sites.Site(
        url,
        software="geminiprochat",
        secret_key=KEY,
        password=PASSWORD,
        proxy=f"http://{PROXY_USER}proxy.example",
        cookies={"session": COOKIE},
        headers={"Authorization": KEY},
    )
    protocol = sites.SOFTWARE["geminiprochat"]
    options = {"secret_key": KEY, "password": PASSWORD}
    for shown in (
        repr(request),
        repr(environment),
        repr(signed),
        repr(protocol.read_options(options)),
        repr(protocol.call(request, protocol.read_options(options))),
        repr(sites.SOFTWARE["openai"].read_options({"api_key": KEY})),
    ):
        check_discreet_text(shown)


async def test_nothing_is_left_open() -> None:
    """Every test above closed what it opened: only the loop's own sockets are left."""
    assert open_sockets() <= 2
