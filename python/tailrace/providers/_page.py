"""A site's page in, the tokens for a message out: nonce, post id, bot, endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal
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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace._native import ChatWidget, Page, PageTokens
    from tailrace.transport import Response, Session

__all__ = [
    "Line",
    "SiteTokens",
    "endpoint_of",
    "fetch_tokens",
    "other_than_html",
    "with_cookies",
]

Line = Literal["ai-power", "aipkit"]
"""The plugin's two lines, as `ChatWidget.kind` names them."""

AJAX_PATH = "/wp-admin/admin-ajax.php"
MAX_PAGE_BYTES = 4 * 2**20
MAX_ERROR_PAGE_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class SiteTokens:
    """Tokens of a site's page, and the endpoint they are for. The repr does not show the nonce."""

    nonce: str = field(repr=False)
    post_id: str
    url: str
    endpoint: str
    bot_id: str = "0"
    popup: bool = False
    line: Line = "ai-power"
    streams: bool | None = None
    memory_limit: int | None = None
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
    endpoint: str | None,
    idle: float | None,
) -> SiteTokens:
    """Fetch the page and read it as it arrives, no further than the tokens.

    `bot_id`, `bot_name`: which bot, None for the first one; for a name the whole page is read,
    since the bot's id may stand anywhere on it. `endpoint`: the endpoint that the site states, None
    for the one that the page names. `idle`: seconds for each silence. Raises TokenNotFoundError,
    WidgetNotFoundError, EndpointError, ChallengeError, LimitExceeded, ResponseStatusError for an
    error page, and all that the session raises.
    """
    async with await session.get(url) as reply:
        if reply.status >= FIRST_ERROR_STATUS:
            raise await _page_error(reply, idle)
        html = b""
        try:
            if bot_name is not None:
                html = await read_all(reply, max_bytes=MAX_PAGE_BYTES, idle=idle)
                bot_id = scan_page(html).widget(bot_id=bot_id, name=bot_name).bot_id
            scanner = PageScanner(
                bot_id=bot_id, endpoint=endpoint is None, max_page_bytes=MAX_PAGE_BYTES
            )
            complete = scanner.feed(html)
            while not complete and (data := await read_within(reply, idle)):
                complete = scanner.feed(data)
            return _read(scanner.close(), reply.url, bot_id, endpoint)
        except (TokenNotFoundError, WidgetNotFoundError) as error:
            other = other_than_html(reply.content_type)
            if other is None:
                raise
            reason = error.reason if isinstance(error, TokenNotFoundError) else "missing_both"
        raise TokenNotFoundError(reason, content_type=other)


def other_than_html(content_type: str | None) -> str | None:
    """Return the media type of a page that is not HTML by its `content_type`; None for HTML.

    A page without a Content-Type may be anything, and counts as HTML.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    is_html = media_type in {"", "text/html", "application/xhtml+xml"}
    return None if is_html else media_type[:_LONGEST_TYPE]


_LONGEST_TYPE = 100  # characters shown of a peer's text


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


def _read(page: Page, page_url: str, bot_id: str | None, endpoint: str | None) -> SiteTokens:
    wanted = bot_id is not None and bool(page.widgets)
    widget = page.widget(bot_id=bot_id) if wanted else None
    tokens = page.tokens
    widget = widget or _widget_with(page, tokens)
    if widget is None:
        return SiteTokens(
            tokens.nonce,
            tokens.post_id,
            page_url,
            endpoint_of(page_url, endpoint, None),
            bot_id=bot_id or "0",
        )
    return SiteTokens(
        nonce=tokens.nonce,
        post_id=tokens.post_id,
        url=widget.url or page_url,
        endpoint=endpoint_of(page_url, endpoint, widget.ajax_url),
        bot_id=widget.bot_id or "0",
        popup=widget.placement == "popup",
        line=widget.kind,
        streams=widget.streams,
        memory_limit=widget.memory_limit,
    )


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


def endpoint_of(page_url: str, stated: str | None, named: str | None) -> str:
    """Return the URL that takes messages: `stated`, else `named`, else WordPress's own.

    `page_url`: the page's final URL; `stated`: the endpoint that the site's owner states, moved to
    the page's origin; `named`: the endpoint in the page, absolute or relative. Raises EndpointError
    where the page names one on another host, or one without TLS on a page with it.
    """
    if stated is not None:
        return at_origin(page_url, urlsplit(stated).path)
    if named is None:
        return at_origin(page_url, AJAX_PATH)
    here, there = urlsplit(page_url), _joined(page_url, named)
    if there is None or here.hostname != there.hostname:
        host = "no host" if there is None else there.hostname
        raise EndpointError(
            f"the page at {here.hostname} names an endpoint at {host}: not followed"
        )
    if here.scheme == "https" and there.scheme != "https":
        raise EndpointError(
            f"the page at https://{here.hostname} names an endpoint without TLS: not followed"
        )
    return there.geturl()


def _joined(page_url: str, ajax_url: str) -> SplitResult | None:
    try:
        return urlsplit(urljoin(page_url, ajax_url))
    except ValueError:  # an endless bracket
        return None


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
