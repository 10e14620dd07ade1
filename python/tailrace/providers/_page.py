"""A site's page in, the tokens for a message out: nonce, post id, bot, endpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from tailrace._native import DeltaDecoder, PageScanner, scan_page
from tailrace.errors import (
    FIRST_ERROR_STATUS,
    EndpointError,
    ResponseStatusError,
    StreamError,
    TokenNotFoundError,
    WidgetNotFoundError,
    reply_error,
)
from tailrace.providers._base import at_origin
from tailrace.transport import read_all, read_within
from tailrace.transport._rules import checked_url, origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tailrace._native import ChatWidget, Page, PageTokens
    from tailrace.transport import Response, Session

__all__ = [
    "Endpoint",
    "Line",
    "MovedEndpoint",
    "SiteTokens",
    "announced_roots",
    "endpoint_of",
    "fetch_tokens",
    "other_than_html",
    "upgrades_insecure",
    "with_cookies",
]

Line = Literal["ai-power", "aipkit", "ai-engine"]
"""The two lines of AI Power, and AI Engine, as `ChatWidget.kind` names them."""

AJAX_PATH = "/wp-admin/admin-ajax.php"
"""Where WordPress takes messages, below the folder it lies in."""

MAX_PAGE_BYTES = 4 * 2**20
MAX_ERROR_PAGE_BYTES = 64 * 2**10


NO_SESSION = "N/A"
"""What AI Engine calls a session that is none."""


@dataclass(frozen=True, slots=True)
class EngineBot:
    """A bot of AI Engine, and the session with it: all of it that `SiteTokens` has no place for.

    `custom_id`: as the page has it, which may be empty; `session_id`: that of the session, or
    ``N/A``; `start_sentence`: the words the chat begins with; `max_length`: the most characters of
    a message, None where the page does not say; `asked`: whether ``start_session`` gave the nonce,
    None where it was not asked or the site has none.
    """

    custom_id: str | None = None
    session_id: str = field(default=NO_SESSION, repr=False)
    start_sentence: str | None = None
    max_length: int | None = None
    asked: bool | None = None


@dataclass(frozen=True, slots=True)
class SiteTokens:
    """Tokens of a site's page, and the endpoint they are for. The repr does not show the nonce.

    `guessed`: whether nobody names the endpoint, neither the site's owner nor the page. AI Engine's
    endpoint is the URL that paths of its REST API are added to, and `nonce` and `post_id` may be
    empty; `engine`: its bot.
    """

    nonce: str = field(repr=False)
    post_id: str
    url: str
    endpoint: str
    guessed: bool = False
    bot_id: str = "0"
    popup: bool = False
    line: Line = "ai-power"
    streams: bool | None = None
    memory_limit: int | None = None
    engine: EngineBot | None = None
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Cookies that the site set with the tokens, for every message sent with them."""
    good_until: float | None = None
    """When the first of the cookies runs out, in seconds since 1970; None: none of them does."""


async def fetch_tokens(
    session: Session,
    url: str,
    *,
    bot_id: str | None,
    bot_name: str | None,
    kind: Line | None,
    endpoint: str | None,
    idle: float | None,
    headers: Mapping[str, str] | None = None,
) -> SiteTokens:
    """Fetch the page and read it as it arrives, no further than the tokens.

    `bot_id`, `bot_name`, `kind`: which bot, None for the first one; for a name the whole page is
    read, since the bot's id may stand anywhere on it. `endpoint`: the endpoint that the site
    states, None for the one that the page names, which also counts before a `MovedEndpoint`.
    `idle`: seconds for each silence; `headers`: sent with the request. AI Engine's page may tell no
    nonce. Raises TokenNotFoundError, WidgetNotFoundError, EndpointError, ChallengeError,
    LimitExceeded, ResponseStatusError for an error page, and all that the session raises.
    """
    async with await session.get(url, headers=headers) as reply:
        if reply.status >= FIRST_ERROR_STATUS:
            raise await _page_error(reply, idle)
        try:
            return await _read_page(reply, _Wanted(url, bot_id, bot_name, kind, endpoint), idle)
        except (TokenNotFoundError, WidgetNotFoundError) as error:
            other = other_than_html(reply.content_type)
            if other is None:
                raise
            reason = error.reason if isinstance(error, TokenNotFoundError) else "missing_both"
        raise TokenNotFoundError(reason, content_type=other)


def with_cookies(
    tokens: SiteTokens, session: Session, own: Mapping[str, str], now: float
) -> SiteTokens:
    """Return `tokens` with the cookies that the site has set in `session`.

    `own`: the caller's cookies, which are not the site's; `now`: seconds since 1970.
    """
    there = session.cookies_for(tokens.endpoint)
    cookies = {name: value for name, value in there.values.items() if own.get(name) != value}
    ends = [] if there.lifetime is None else [now + there.lifetime]
    if tokens.good_until is not None:
        ends.append(tokens.good_until)
    return replace(tokens, cookies=cookies, good_until=min(ends, default=None))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A page's URL before redirects, and what is looked for on it, as `fetch_tokens` says."""

    url: str
    bot_id: str | None
    bot_name: str | None
    kind: Line | None
    endpoint: str | None


async def _read_page(reply: Response, wanted: _Wanted, idle: float | None) -> SiteTokens:
    html = bytearray()
    bot_id = wanted.bot_id
    if wanted.bot_name is not None:
        html += await read_all(reply, max_bytes=MAX_PAGE_BYTES, idle=idle)
        named = _widget_of(scan_page(html), bot_id, wanted.bot_name, wanted.kind)
        bot_id = named.bot_id or named.custom_id
    scanner = PageScanner(
        bot_id=bot_id,
        kind=wanted.kind,
        endpoint=_is_page_to_tell(reply.url, wanted.endpoint),
        max_page_bytes=MAX_PAGE_BYTES,
    )
    complete = scanner.feed(html)
    while not complete and (data := await read_within(reply, idle)):
        html += data
        complete = scanner.feed(data)
    upgrades = upgrades_insecure(wanted.url, reply, html)
    page = scanner.close()
    engine = _engine_widget(page, bot_id, wanted.kind)
    if engine is not None:
        return _engine_tokens(engine, reply.url, wanted.endpoint, upgrades=upgrades)
    roots = (*page.roots, *announced_roots(reply.headers))
    return _read(page, reply.url, bot_id, wanted.endpoint, roots, upgrades=upgrades)


def _engine_widget(page: Page, bot_id: str | None, kind: Line | None) -> ChatWidget | None:
    """Return the bot that is wanted where it is AI Engine's; None where it is of another plugin.

    Raises WidgetNotFoundError where the page has no such bot, or does not say what a message needs,
    and what `_widget_of` raises.
    """
    if not page.widgets and kind is None:
        return None
    widget = _widget_of(page, bot_id, None, kind)
    if widget.kind != "ai-engine":
        return None
    is_complete = widget.rest_url and (widget.bot_id or widget.custom_id)
    if is_complete:
        return widget
    if bot_id is None and kind is None and page.problem is None:
        return None  # tokens of the other plugin stand outside of widgets
    raise WidgetNotFoundError(
        "the page's chat widget of AI Engine does not say which bot it is, or where messages go"
    )


def _widget_of(
    page: Page, bot_id: str | None, bot_name: str | None = None, kind: Line | None = None
) -> ChatWidget:
    """Return the bot of that id, name and kind, whichever are given.

    Raises WidgetNotFoundError where the page has none; ChallengeError and LimitExceeded where it is
    none that could show one, or was not read to its end.
    """
    is_whole = page.problem not in _HIDES_BOTS
    try:
        return page.widget(bot_id, bot_name, kind)
    except WidgetNotFoundError:
        if is_whole:
            raise
    _ = page.tokens  # which says why
    raise WidgetNotFoundError("the page shows no chat widget")


_HIDES_BOTS = ("challenge", "limit", "too_many_widgets")
"""Problems of a page that say nothing of the bots which it has."""


def _engine_tokens(
    widget: ChatWidget, page_url: str, stated: str | None, *, upgrades: bool
) -> SiteTokens:
    return SiteTokens(
        nonce=widget.nonce,
        post_id=widget.post_id,
        url=page_url,
        endpoint=rest_endpoint(page_url, stated, widget.rest_url or "", upgrades=upgrades),
        bot_id=widget.bot_id,
        popup=widget.placement == "popup",
        line="ai-engine",
        engine=EngineBot(
            widget.custom_id,
            widget.session_id or NO_SESSION,
            widget.start_sentence,
            widget.max_length,
        ),
    )


def rest_endpoint(page_url: str, stated: str | None, named: str, *, upgrades: bool = False) -> str:
    """Return the URL that paths of a site's REST API are added to, without its last slash.

    `stated`: the endpoint that the site's owner states; one moved to the page's origin, and the
    address of admin-ajax.php, which is another plugin's, give way to the page's. Of one of the
    plugin's own routes what stands in front of it counts. `named`: that of the page; other
    arguments and errors are those of `endpoint_of`.
    """
    parts = urlsplit(stated or "")
    if stated is None or isinstance(stated, MovedEndpoint) or parts.path.endswith(AJAX_PATH):
        return _named_endpoint(page_url, named, upgrades=upgrades).rstrip("/")
    query = f"?{parts.query}" if parts.query else ""
    url = f"{at_origin(page_url, parts.path)}{query}"
    return _OWN_ROUTE.sub("", url).rstrip("/")


_OWN_ROUTE = re.compile(r"/mwai(?:-ui)?/v1(?:/[\w/]{0,64})?$")
"""The end of an address that is one of the plugin's routes."""


def _is_page_to_tell(page_url: str, stated: str | None) -> bool:
    """Tell whether a page is read until it names its endpoint, which stands behind the tokens.

    For a moved one it is below the root of its server, where WordPress may lie in a subfolder; for
    a page at the root itself, what stands in front of the tokens tells of a folder.
    """
    is_below = urlsplit(page_url).path not in ("", "/")
    return stated is None or (isinstance(stated, MovedEndpoint) and is_below)


def _read(
    page: Page,
    page_url: str,
    bot_id: str | None,
    endpoint: str | None,
    roots: Iterable[str],
    *,
    upgrades: bool,
) -> SiteTokens:
    wanted = bot_id is not None and bool(page.widgets)
    widget = _widget_of(page, bot_id) if wanted else None
    tokens = page.tokens
    widget = widget or _widget_with(page, tokens)
    named = None if widget is None else widget.ajax_url
    posted_to = endpoint_of(page_url, endpoint, named, roots, upgrades=upgrades)
    if widget is None:
        return SiteTokens(tokens.nonce, tokens.post_id, page_url, *posted_to, bot_id=bot_id or "0")
    return SiteTokens(
        nonce=tokens.nonce,
        post_id=tokens.post_id,
        url=widget.url or page_url,
        endpoint=posted_to.url,
        guessed=posted_to.is_guess,
        bot_id=widget.bot_id or "0",
        popup=widget.placement == "popup",
        line=widget.kind,
        streams=widget.streams,
        memory_limit=widget.memory_limit,
    )


def other_than_html(content_type: str | None) -> str | None:
    """Return the media type of a page that is not HTML by its `content_type`; None for HTML.

    A page without a Content-Type may be anything, and counts as HTML.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    is_html = media_type in {"", "text/html", "application/xhtml+xml"}
    return None if is_html else media_type[:_LONGEST_TYPE]


_LONGEST_TYPE = 100  # characters shown of a peer's text


def _widget_with(page: Page, tokens: PageTokens) -> ChatWidget | None:
    """Return the widget that shows `tokens`; None where they stand elsewhere on the page."""
    return next(
        (
            each
            for each in page.widgets
            if (each.nonce, each.post_id) == (tokens.nonce, tokens.post_id)
        ),
        None,
    )


class MovedEndpoint(str):
    """An endpoint that was stated for another URL than the site's, at the site's origin.

    Where the site's own page tells one on its server, that one counts.
    """

    __slots__ = ()


class Endpoint(NamedTuple):
    """The URL that takes messages, and whether neither the site's owner nor the page names it."""

    url: str
    is_guess: bool


def endpoint_of(
    page_url: str,
    stated: str | None,
    named: str | None,
    roots: Iterable[str] = (),
    *,
    upgrades: bool = False,
) -> Endpoint:
    """Return the endpoint: `stated`, else `named`, else the usual one of the page's WordPress.

    `page_url`: the page's final URL; `stated`: the endpoint that the site's owner states, moved to
    the page's origin (a `MovedEndpoint`, whose path may be that of another deployment, counts only
    where the page tells none on its own server); `named`: the endpoint in the page, absolute or
    relative; `roots`: the folders where its WordPress may lie, the best first. `upgrades`: whether
    the page's policy sends insecure requests over https, as `upgrades_insecure` says. Raises
    EndpointError where the page of a site without a stated endpoint names one with a user name, or
    on another scheme, host or port than its own; https is allowed for the http of a page.
    """
    if stated is None and named is not None:
        return Endpoint(_named_endpoint(page_url, named, upgrades=upgrades), is_guess=False)
    path = AJAX_PATH if stated is None else urlsplit(stated).path
    told = [f"{root}{AJAX_PATH[1:]}" for root in roots] if path == AJAX_PATH else []
    if named is not None:
        told.insert(0, named)
    for each in told if stated is None or isinstance(stated, MovedEndpoint) else ():
        try:
            url = _named_endpoint(page_url, each, upgrades=upgrades)
        except EndpointError:  # of a file from elsewhere
            continue
        return Endpoint(url, is_guess=False)
    return Endpoint(at_origin(page_url, path), is_guess=stated is None)


def announced_roots(headers: Mapping[str, str]) -> list[str]:
    """Return the folder of the REST API that a page's header Link names; empty without one.

    WordPress sends the link in the head of each page, even where a theme leaves it out of the HTML.
    """
    all_of = getattr(headers, "getall", None)
    links = [headers.get("link", "")] if all_of is None else all_of("link", [])
    match = _API_LINK.search(", ".join(links)[:_MOST_OF_LINKS])
    if match is None:
        return []
    scanner = PageScanner(endpoint=True)  # which reads the same link in HTML
    scanner.feed(f"<link rel='https://api.w.org/' href='{match[1]}'>".encode("utf-8", "replace"))
    return list(scanner.close().roots)


_MOST_OF_LINKS = 16 * 2**10  # characters
_API_LINK = re.compile(
    r"""<([^<>"'\s]{1,2048})>\s{0,9};\s{0,9}rel\s?=\s?"?https://api\.w\.org/"?""", re.IGNORECASE
)


def _named_endpoint(page_url: str, named: str, *, upgrades: bool) -> str:
    """Return the URL of an endpoint that a page names; EndpointError unless it is its server's."""
    here = origin(checked_url(page_url).url)
    joined = _joined(page_url, named)
    if joined is None:
        raise EndpointError(
            f"the page at {here} names an endpoint that is no http or https URL: not followed"
        )
    there = urlsplit(checked_url(joined.geturl()).url)
    if upgrades and there.scheme == "http":
        there = there._replace(scheme="https")  # its port is not written where it is 80
    at = origin(there.geturl())
    if "@" in joined.netloc:
        raise EndpointError(
            f"the page at {here} names an endpoint with a user name, at {at}: not followed"
        )
    own = urlsplit(here)
    if own.hostname != there.hostname:
        raise EndpointError(
            f"the page at {own.hostname} names an endpoint at {there.hostname}: not followed"
        )
    if not _is_same_server(own, there):
        raise EndpointError(f"the page at {here} names an endpoint at {at}: not followed")
    return there.geturl()


def _joined(page_url: str, ajax_url: str) -> SplitResult | None:
    """Return the endpoint that a page names, None for what is no URL of a request."""
    try:
        joined = urlsplit(urljoin(page_url, ajax_url.strip()))
        checked_url(joined.geturl())
    except ValueError:  # ours is one, and so is that of an endless bracket
        return None
    return joined


def _is_same_server(here: SplitResult, there: SplitResult) -> bool:
    """Tell whether both have one port, and one scheme or https for the http of `here`."""
    if (here.scheme, there.scheme) == ("https", "http"):
        return False
    ports = [parts.port or _DEFAULT_PORTS[parts.scheme] for parts in (here, there)]
    return ports[0] == ports[1] or ports == [80, 443]


_DEFAULT_PORTS = {"http": 80, "https": 443}


# -- insecure requests -----------------------------------------------------------------------------


def upgrades_insecure(asked: str, reply: Response, html: bytes | bytearray) -> bool:
    """Tell whether a browser sends the page's http requests to its own host over https.

    It does so where a policy of the page says ``upgrade-insecure-requests`` (in its
    Content-Security-Policy or a ``meta`` of its `html`), and on an https page whose server asks for
    https (Strict-Transport-Security) or redirected the http URL `asked` to it. Browsers except
    hosts of this machine (W3C Upgrade Insecure Requests, 3.3) from pages without TLS.
    """
    here = urlsplit(reply.url)
    policy = reply.headers.get("content-security-policy", "")
    if _UPGRADES.search(policy) or _META_UPGRADES.search(html):
        return here.scheme == "https" or not _is_this_machine(here.hostname or "")
    if here.scheme != "https":
        return False
    return urlsplit(asked).scheme == "http" or "strict-transport-security" in reply.headers


_UPGRADES = re.compile(r"(?:^|[;,\s])upgrade-insecure-requests(?=$|[;,\s])", re.IGNORECASE)
_META_UPGRADES = re.compile(rb"<meta\s[^<>]{0,2000}upgrade-insecure-requests", re.IGNORECASE)


def _is_this_machine(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".localhost")


async def _page_error(reply: Response, idle: float | None) -> StreamError:
    """Return the error of a page with an error status; its body is decoded as a reply's is."""
    decoder = DeltaDecoder("ai-power", content_type=reply.content_type, status=reply.status)
    received = 0
    while received < MAX_ERROR_PAGE_BYTES and (data := await read_within(reply, idle)):
        decoder.feed(data)
        received += len(data)
    decoder.close()
    error = decoder.error or reply_error(
        "upstream", f"the page answered {reply.status}", reply.status
    )
    if isinstance(error, ResponseStatusError):
        error.retry_after = reply.retry_after
    return error
