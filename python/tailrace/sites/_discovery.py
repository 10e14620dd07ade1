"""A URL in, the contents of its page out: its software, its bots, and the lack of tokens.

One request is sent, and no nonce is shown.

Source: the protocol notes on AI Power ("Which line am I talking to?", "The page") and on AI Engine
("Page"), and the captured pages. Whether a page without a chat widget is GeminiProChat's cannot be
seen from it, and is not guessed.
"""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tailrace._native import PageScanner
from tailrace.errors import (
    FIRST_ERROR_STATUS,
    ChallengeError,
    EndpointError,
    InvalidRequestError,
    TailraceError,
    WidgetNotFoundError,
)
from tailrace.providers._base import checked_site
from tailrace.providers._page import (
    AJAX_PATH,
    MAX_PAGE_BYTES,
    NO_SESSION,
    Endpoint,
    announced_roots,
    endpoint_of,
    other_than_html,
    rest_endpoint,
    upgrades_insecure,
)
from tailrace.sites._apis import api_behind
from tailrace.sites._profiles import ProfileSettings
from tailrace.sites._software import SOFTWARE, software_named
from tailrace.transport import Timeouts, make_transport, read_all
from tailrace.transport._rules import checked_seconds, checked_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tailrace._native import ChatWidget, Page
    from tailrace.sites._software import SoftwareName
    from tailrace.transport import Session, Transport

__all__ = ["Bot", "Discovery", "FetchedPage", "discover", "fetch_page"]

_PLUGIN = re.compile(rb"(?:gpt3-ai-content-generator|plugins/ai-engine)/([^\"'\s<>]{0,200})")
_SHORTCODE = re.compile(
    rb"\[(?:wpaicg_chat|aipkit_chat|mwai_chat)[a-z0-9_]{0,30}(?=[\s\]])[^\]\[<>]{0,4000}\]"
)
_NO_SUCH_BOT = re.compile(
    rb"AI Engine: Chatbot (?:'|&#0?39;|&#8216;|\xe2\x80\x98)([^<>]{0,100}?)"
    rb"(?:'|&#0?39;|&#8217;|\xe2\x80\x99) not found"
)
_VERSION = re.compile(rb"[?&;]ver=(\d{1,4}(?:\.\d{1,4}){1,3})(?![\w.])")


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page that was fetched: its final URL without credentials, its HTTP status, its chats.

    `other_type`: its media type where that is not HTML's, else None. `plugin`: whether the page
    names files of the plugin; `version`: the version number in their URLs, None where there is none
    (newer releases put a time there). `shortcode`: a shortcode of the plugin that the page shows as
    text, None without one. `api`: the software whose API the reply looks like, None for a page.
    `headers`: those of the reply; `upgrades`: whether browsers send the page's http requests over
    https; `missing_bot`: the id of a bot of AI Engine that the page says is not there.
    """

    url: str
    status: int
    other_type: str | None
    page: Page
    plugin: bool
    version: str | None
    shortcode: str | None
    api: SoftwareName | None
    headers: Mapping[str, str] = field(repr=False)
    upgrades: bool
    missing_bot: str | None = None


@dataclass(frozen=True, slots=True)
class Bot:
    """One chat on a page.

    `bot_id`: the id that calls name it by; `name`: the name it shows, None where the page has none;
    `kind`: the dialect of its replies, ``ai-power``, ``aipkit`` or ``ai-engine``; `placement`:
    where it stands, as `ChatWidget.placement` says; `streams`: whether its own page has its replies
    as streams, None where that does not say; `assistant`: whether it is an OpenAI Assistant;
    `endpoint`: the URL that takes messages, of AI Engine that of the REST API, None where the page
    names one on another server; `missing`: which of ``nonce`` and ``post id``, of AI Engine of
    ``bot id`` and ``address``, the page does not show.
    """

    bot_id: str
    name: str | None
    kind: str
    placement: str
    streams: bool | None
    assistant: bool
    endpoint: str | None
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Discovery:
    """Contents of a page.

    `url`: the final one, without credentials; `status`: its HTTP status; `title`: its title, None
    without one; `challenge`: whether the page is a challenge for browsers. `software`: the
    software, None where it is unknown; `dialect`: the dialect of its replies, None where the page
    does not tell; `version`: the plugin's version number, None where the page has none; `release`:
    its particulars, as a sentence. `endpoint`: the URL that takes messages; `endpoint_is_guess`:
    whether the page names none, so that WordPress's usual one is shown. `looks_like`: the software
    whose API answers in the page's place, as far as a reply to a GET shows it; None for a page.
    `bots`: the chats, in the order of the page. `problems`: one sentence for each thing that keeps
    a message from being sent; `usable`: whether a chat is there and nothing does.
    """

    url: str
    status: int
    title: str | None
    challenge: bool
    software: SoftwareName | None
    dialect: str | None
    version: str | None
    release: str | None
    endpoint: str | None
    endpoint_is_guess: bool
    looks_like: SoftwareName | None
    bots: tuple[Bot, ...]
    problems: tuple[str, ...]
    usable: bool

    def settings(
        self, *, software: SoftwareName | None = None, bot: str | None = None
    ) -> ProfileSettings:
        """Return a profile's settings for this page, for the first bot unless `bot` names another.

        `software` is needed where the page does not tell, and wins over what the page tells. Raises
        InvalidRequestError where no software is known, WidgetNotFoundError for a bot that the page
        does not show.
        """
        runs = software or self.software
        if runs is None and self.looks_like is not None:
            raise InvalidRequestError(
                f"this looks like an API: say --software {self.looks_like} if it is one"
            )
        if runs is None:
            raise InvalidRequestError(
                f"the page does not tell its software: name one of {', '.join(SOFTWARE)}"
            )
        name = software_named(runs).name
        if bot is not None and bot not in [each.bot_id for each in self.bots]:
            shown = ", ".join(each.bot_id for each in self.bots) or "none"
            raise WidgetNotFoundError(f"the page shows no bot {bot!r}; it shows {shown}")
        return ProfileSettings(url=self.url, software=name, bot=bot)


async def discover(
    url: str,
    *,
    proxy: str | None = None,
    timeout: float | None = 30.0,  # noqa: ASYNC109 - the clocks are the transport's
    cookies: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    transport: Transport | None = None,
) -> Discovery:
    """Fetch the page at `url` once and describe the chats on it.

    `proxy`: URL of an http, https or socks proxy; `timeout`: seconds for the first byte and for
    each silence, None for no clock; `cookies`, `headers`: sent with the request; `transport`: the
    connections to use, else new ones over aiohttp.

    Raises InvalidRequestError for a malformed URL or a wrong clock, a NetworkError, TimeoutError or
    RedirectError where no page came, LimitExceeded for one beyond 4 MiB. A challenge and an error
    status are no errors but findings.
    """
    checked_site(url)
    checked_seconds("timeout", timeout)
    async with AsyncExitStack() as stack:
        connections = (
            await stack.enter_async_context(make_transport()) if transport is None else transport
        )
        timeouts = Timeouts(first_byte=timeout, idle=timeout)
        begun = connections.session(
            cookies=cookies, headers=headers, proxy=proxy, timeouts=timeouts
        )
        session = await stack.enter_async_context(begun)
        try:
            return described(await fetch_page(session, url, idle=timeout))
        except ChallengeError as challenge:
            return _challenged(url, challenge)


async def fetch_page(session: Session, url: str, *, idle: float | None) -> FetchedPage:
    """Fetch one page and read it whole, whatever its status."""
    async with await session.get(url) as reply:
        html = await read_all(reply, max_bytes=MAX_PAGE_BYTES, idle=idle)
        scanner = PageScanner(everything=True, endpoint=True, max_page_bytes=MAX_PAGE_BYTES)
        scanner.feed(html)
        files = [match[1] for match in _PLUGIN.finditer(html)]
        versions = (_VERSION.search(each) for each in files)
        version = next((match[1].decode("ascii") for match in versions if match), None)
        shortcode = _SHORTCODE.search(html)
        missing_bot = _NO_SUCH_BOT.search(html)
        return FetchedPage(
            url=reply.url,
            status=reply.status,
            other_type=other_than_html(reply.content_type),
            page=scanner.close(),
            plugin=bool(files),
            version=version,
            shortcode=shortcode and _shown(shortcode[0]),
            api=api_behind(reply.url, reply.headers, html),
            headers=reply.headers,
            upgrades=upgrades_insecure(url, reply, html),
            missing_bot=missing_bot and missing_bot[1].decode("utf-8", "replace"),
        )


def _shown(shortcode: bytes) -> str:
    """Return a shortcode as a message shows it: a long one without the end of its attributes."""
    text = shortcode.decode("utf-8", "replace")
    return text if len(text) <= _LONGEST_SHORTCODE else f"{text[: _LONGEST_SHORTCODE - 2]}…]"


_LONGEST_SHORTCODE = 120  # characters


async def has_ai_engine(session: Session, fetched: FetchedPage) -> bool:
    """Tell whether the site of a page has AI Engine: its REST API lists the plugin's routes.

    Raises all that the session raises.
    """
    roots = (*fetched.page.roots, *announced_roots(fetched.headers))
    ajax = endpoint_of(fetched.url, None, None, roots, upgrades=fetched.upgrades).url
    for index in _INDEXES:
        url = f"{ajax.removesuffix(AJAX_PATH)}{index}"
        async with await session.get(url, headers={"Accept": "application/json"}) as reply:
            if b'"mwai-ui' in await read_all(reply, max_bytes=_MOST_OF_NAMESPACES):
                return True
    return False


_INDEXES = (
    "/wp-json/?_fields=namespaces",
    "/index.php?rest_route=/&_fields=namespaces",  # where permalinks are plain
)
_MOST_OF_NAMESPACES = 64 * 2**10


def described(fetched: FetchedPage) -> Discovery:
    """Describe a page that was looked at."""
    page = fetched.page
    problems = list(_problems(fetched))
    names = _bot_ids(page.widgets)
    bots = tuple(map(partial(_bot, fetched), page.widgets, names))
    dialect = _dialect(page)
    first = first_widget(page)
    endpoint = _endpoint(fetched, first)[0] if dialect else None
    return Discovery(
        url=fetched.url,
        status=fetched.status,
        title=page.title,
        challenge=page.challenge,
        software=_software(page, dialect),
        dialect=dialect,
        version=fetched.version,
        release=_release(fetched, dialect, first),
        endpoint=endpoint and endpoint.url,
        endpoint_is_guess=endpoint is not None and endpoint.is_guess,
        looks_like=fetched.api if dialect is None else None,
        bots=bots,
        problems=tuple(problems),
        usable=not problems and dialect is not None,
    )


def _challenged(url: str, challenge: ChallengeError) -> Discovery:
    return Discovery(
        url=checked_url(url).url,
        status=challenge.status or 0,
        title=None,
        challenge=True,
        software=None,
        dialect=None,
        version=None,
        release=None,
        endpoint=None,
        endpoint_is_guess=False,
        looks_like=None,
        bots=(),
        problems=(str(challenge),),
        usable=False,
    )


def first_widget(page: Page) -> ChatWidget | None:
    """Return the bot that answers where a call names none; None for a page without one."""
    return page.widget() if page.widgets else None


def _dialect(page: Page) -> str | None:
    first = first_widget(page)
    if first is not None:
        return first.kind
    return "ai-power" if _token_problem(page) is None else None


def _software(page: Page, dialect: str | None) -> SoftwareName | None:
    """Return the software of a page: AI Engine where all of its bots are, else the first fit."""
    if page.widgets and all(each.kind == "ai-engine" for each in page.widgets):
        return "ai-engine"
    return next((row.name for row in SOFTWARE.values() if dialect in row.dialects), None)


def _release(fetched: FetchedPage, dialect: str | None, first: ChatWidget | None) -> str | None:
    if first is not None and first.kind == "ai-engine":
        return _release_of_ai_engine(first)
    return release(dialect, fetched.version) if dialect or fetched.plugin else None


def _release_of_ai_engine(widget: ChatWidget) -> str:
    """Return, in words, the releases whose page shows a nonce and a session as this one does."""
    if not widget.rest_url:
        return "AI Engine; the page does not say which version"
    if widget.nonce:
        return "AI Engine 2.0.1 to 2.4.3: the nonce is in the page"
    if widget.session_id is None:
        return "AI Engine 3.5.2 or later: nonce and session are given when asked for"
    if widget.session_id != NO_SESSION:
        return "AI Engine 2.8.5 to 3.5.1: the nonce is given when asked for"
    return "AI Engine 2.4.4 to 2.8.4: the nonce is given when asked for; or up to 2.0.0: none"


def _bot_ids(widgets: Iterable[ChatWidget]) -> Iterator[str]:
    """Yield the id by which calls name each bot: that of its settings where another has its own."""
    seen: set[str] = set()
    for widget in widgets:
        settings = widget.custom_id or ""
        own = widget.bot_id or settings
        yield settings if settings and own in seen else own
        seen.add(own)


def _bot(fetched: FetchedPage, widget: ChatWidget, bot_id: str) -> Bot:
    endpoint = _endpoint(fetched, widget)[0]
    needed = {"nonce": widget.nonce, "post id": widget.post_id}
    if widget.kind == "ai-engine":
        needed = {"bot id": bot_id, "address": widget.rest_url or ""}
    return Bot(
        bot_id=bot_id,
        name=widget.name,
        kind=widget.kind,
        placement=widget.placement,
        streams=widget.streams,
        assistant=widget.assistant,
        endpoint=endpoint and endpoint.url,
        missing=tuple(name for name, value in needed.items() if not value),
    )


def is_login(url: str) -> bool:
    """Tell whether a URL is that of a login, as WordPress and others call it."""
    last = urlsplit(url).path.rstrip("/").rpartition("/")[2].lower()
    return last in ("wp-login.php", "login", "signin", "sign-in")


def _endpoint(
    fetched: FetchedPage, widget: ChatWidget | None
) -> tuple[Endpoint | None, str | None]:
    """Return the endpoint and None, or None and the reason why there is none."""
    try:
        return endpoint_on(fetched, widget), None
    except EndpointError as error:
        return None, str(error)


def endpoint_on(
    fetched: FetchedPage, widget: ChatWidget | None, stated: str | None = None
) -> Endpoint:
    """Return the endpoint for messages to `widget`, or to a chat that has none.

    `stated`: the one that the site's owner states. Raises EndpointError as `endpoint_of` does.
    """
    if widget is not None and widget.kind == "ai-engine":
        if not widget.rest_url:
            raise EndpointError(
                "the page's chat widget of AI Engine does not say where messages go"
            )
        url = rest_endpoint(fetched.url, stated, widget.rest_url, upgrades=fetched.upgrades)
        return Endpoint(url, is_guess=False)
    named = None if widget is None else widget.ajax_url
    roots = (*fetched.page.roots, *announced_roots(fetched.headers))
    return endpoint_of(fetched.url, stated, named, roots, upgrades=fetched.upgrades)


def _problems(fetched: FetchedPage) -> Iterator[str]:
    """Yield the reasons why no message can be sent, in the order in which a call meets them."""
    page = fetched.page
    if page.challenge:
        yield str(ChallengeError(status=fetched.status))
        return
    if fetched.status >= FIRST_ERROR_STATUS:
        yield f"the page answered {fetched.status}"
    first = first_widget(page)
    if first is not None:
        yield from _problems_of(first, fetched)
    elif _token_problem(page) is not None:
        yield _why_no_widget(fetched)


def _problems_of(first: ChatWidget, fetched: FetchedPage) -> Iterator[str]:
    _, wrong = _endpoint(fetched, first)
    problem = _token_problem(fetched.page)
    if first.kind == "ai-engine":
        nameless = not (first.bot_id or first.custom_id)
        problem = "the page's chat widget of AI Engine names no bot" if nameless else None
    yield from [each for each in (wrong, problem) if each]


def _why_no_widget(fetched: FetchedPage) -> str:
    """Return why a page without a chat, and without tokens, may be none."""
    said = _said_by_plugin(fetched)
    if said is not None:
        return said
    if is_login(fetched.url):
        where = fetched.url.partition("?")[0]
        return f"the page leads to a login, {where}: visitors must be logged in"
    if fetched.api is not None:
        return f"this looks like an API, not a page with a chat: say --software {fetched.api}"
    if fetched.other_type is not None:
        return (
            f"the page is {fetched.other_type}, not HTML: give the page that a browser shows, with "
            "the chat"
        )
    if fetched.plugin:
        return "the site has the chat plugin, but this page shows no chat: give the page that does"
    return (
        "no chat widget found: give the page that shows the chat; if this is GeminiProChat, say "
        "--software geminiprochat (nothing on its page tells)"
    )


def _said_by_plugin(fetched: FetchedPage) -> str | None:
    """Return what a plugin, or its shortcode, says in the place of a chat; None for nothing."""
    if fetched.missing_bot is not None:
        return (
            f"the page says that AI Engine has no bot {fetched.missing_bot!r}: its owner deleted "
            "it, or wrote another id"
        )
    if fetched.shortcode is not None:
        return (
            f"no chat widget found: the page shows the plugin's shortcode as text, "
            f"{fetched.shortcode}: the plugin is off, or is a version that does not know it"
        )
    return None


def _token_problem(page: Page) -> str | None:
    try:
        _ = page.tokens
    except TailraceError as error:
        return str(error)
    return None


# -- what a version means --------------------------------------------------------------------------

# The protocol notes' table of boundaries: the first version of a line, and its habits in words.
_BOUNDARIES: tuple[tuple[tuple[int, ...], str], ...] = (
    ((0,), "AI Power up to 1.8.79: a refused nonce is HTTP 200; its own page streams with GET"),
    (
        (1, 8, 80),
        (
            "AI Power 1.8.80 to 1.8.85: a refused nonce is HTTP 200; the whole answer follows "
            "[DONE] as JSON"
        ),
    ),
    ((1, 8, 86), "AI Power 1.8.86 to 1.8.90: a refused nonce is HTTP 200"),
    (
        (1, 8, 91),
        "AI Power 1.8.91 to 1.8.95: a refused nonce is 403; the site strips tags and line breaks",
    ),
    ((1, 8, 96), "AI Power 1.8.96 to 1.9.4: a refused nonce is 403"),
    ((1, 9, 5), "AI Power 1.9.5 to 2.2: a refused nonce is 403"),
    ((2, 3), "AIPKit 2.3 to 2.3.40: two steps; an answer may come as one JSON body"),
    (
        (2, 3, 41),
        (
            "AIPKit 2.3.41 to 2.4.0: two steps; an answer may come as one JSON body; nonces can be "
            "refreshed"
        ),
    ),
    ((2, 4, 1), "AIPKit 2.4.1 or later: two steps, streams only; nonces can be refreshed"),
)
_LINES = {
    "ai-power": "AI Power, up to 2.2; the page does not say which version",
    "aipkit": "AIPKit, 2.3 or later; the page does not say which version",
}


def release(dialect: str | None, version: str | None) -> str | None:
    """Return, in words, the releases that `version` belongs to and how a client meets them.

    Without a version, the line of the plugin that `dialect` shows; None where both are unknown.
    """
    if version is None:
        return _LINES.get(dialect or "")
    number = tuple(int(part) for part in version.split("."))
    return [words for first, words in _BOUNDARIES if number >= first][-1]
