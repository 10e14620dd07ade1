"""Sites that run the WordPress chat plugin AI Power, 1.x line (site dialect ``ai-power``).

The page holds a nonce and a post id; a message is posted with them to ``admin-ajax.php``; the reply is a stream, or one
JSON body. Source: the protocol notes on AI Power and the captured replies of 1.8.79 to 1.9.18.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

from tailrace._native import DeltaDecoder, PageScanner
from tailrace.errors import (
    EndpointError,
    NonceRefusedError,
    ProviderNotWorkingError,
    StreamError,
    TailraceError,
    reply_error,
)
from tailrace.messages import turns_prompt
from tailrace.providers.base import Call, CallOptions, ChatProvider, at_origin
from tailrace.stream import Opening
from tailrace.tokens import CacheKey, TokenCache, cache_key
from tailrace.transport import read_within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace._native import ChatWidget, Page, PageTokens
    from tailrace.messages import Turn
    from tailrace.transport import Reply, Session

__all__ = ["SiteTokens", "WordPressCall", "WordPressChatProvider"]

AJAX_PATH = "/wp-admin/admin-ajax.php"
MAX_PAGE_BYTES = 4 * 2**20
MAX_ERROR_PAGE_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class SiteTokens:
    """What a site's page gave: enough to post a message. Its repr does not show the nonce."""

    nonce: str = field(repr=False)
    post_id: str
    url: str
    endpoint: str
    bot_id: str = "0"
    popup: bool = False


class WordPressChatProvider(ChatProvider):
    """Any site with the plugin: set `url` to the page that shows the bot."""

    dialect = "ai-power"
    supports_system_message = True
    supports_message_history = True

    bot_id: ClassVar[str | None] = None
    """Which bot of the page answers; None: the first one."""

    _nonce: ClassVar[str | None] = None
    _post_id: ClassVar[str | None] = None
    """Set by a subclass, both stand in for the page fetch. They are never written here."""

    token_cache: ClassVar[TokenCache[SiteTokens]] = TokenCache()
    """Shared by all sites of a process; a call may bring its own as `token_cache=`."""

    @classmethod
    def call(cls, options: CallOptions) -> Call:
        """Make one call to the site."""
        return WordPressCall(cls, options)

    @classmethod
    def prompt(cls, turns: list[Turn]) -> str:
        """The text sent as the message: the whole conversation, the system message included."""
        return turns_prompt(turns)


class WordPressCall(Call):
    """Page, tokens, message, reply; and once more with new tokens when a cached nonce was refused."""

    provider: type[WordPressChatProvider]

    async def send(self, model: str, turns: list[Turn]) -> Opening:
        """Post the conversation with tokens from the cache or the page. The site chooses its model itself."""
        del model
        self._message = self.provider.prompt(turns)
        self._page_cookies: Mapping[str, str] = {}
        self._tokens, self._fresh = await self._first_tokens()
        return await self._post()

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:
        """A cached nonce that was refused is refreshed, and the message repeated if it changed; once, never twice."""
        if not isinstance(error, StreamError) or not _may_be_refusal(opening.decoder, error):
            return None
        if self._fixed_tokens() is not None:
            return None
        if self._fresh:
            self._refuse_page(error)
            return None
        stale, self._fresh = self._tokens, True
        try:
            self._tokens = await self._cache.refresh(self._key, stale, self._fetch_led)
        except TailraceError:
            if error.status != _FORBIDDEN:
                return None  # a bare error is most likely what it says: a page that fails now must not hide it
            raise
        if self._tokens.nonce == stale.nonce:
            self._refuse_page(error)
            return None
        return await self._post()

    def _refuse_page(self, error: StreamError) -> None:
        """A nonce just fetched cannot be stale: where it was refused all the same, the page was."""
        if error.status == _FORBIDDEN:
            raise NonceRefusedError(
                "upstream",
                "the site refused the nonce its page had just shown: a page cache serves an expired page, or the site "
                "refuses this client; ask its owner to exclude the chat page from caching",
                status=error.status,
                code=error.code,
                raw=error.raw,
            )

    # -- tokens --------------------------------------------------------------------------------------------------------

    async def _first_tokens(self) -> tuple[SiteTokens, bool]:
        fixed = self._fixed_tokens()
        if fixed is not None:
            return fixed, True
        cached = await self._cache.get(self._key, self._fetch_led)
        return cached.value, cached.fresh

    def _fixed_tokens(self) -> SiteTokens | None:
        nonce, post_id = self.provider._nonce, self.provider._post_id  # noqa: SLF001 - the seed's names, ours
        if nonce is None or post_id is None:
            return None
        return SiteTokens(nonce, post_id, self.options.url, self._endpoint(self.options.url, None))

    @property
    def _bot_id(self) -> str | None:
        given = self.options.extra.get("bot_id")
        return self.provider.bot_id if given is None else str(given)

    @property
    def _cache(self) -> TokenCache[SiteTokens]:
        given = self.options.extra.get("token_cache")
        return given if isinstance(given, TokenCache) else self.provider.token_cache

    @property
    def _key(self) -> CacheKey:
        # The endpoint is kept with the tokens, and classes that say different ones may share a page.
        site = f"{self.options.url} {self.options.endpoint or ''}"
        return cache_key(site, self._bot_id or "", self.options.cookies, self.options.proxy)

    async def _fetch_led(self) -> SiteTokens:
        """Fetch the page for every caller that waits. This call may be cancelled meanwhile, so it is a user of its own.

        Cookies the page sets go to this call alone: a visitor's cookies are nobody else's.
        """
        connections = self.connections
        if connections is None:
            raise StreamError("truncated", "the call has been closed")
        connections.enter()
        try:
            async with self.new_session(self.options.cookies) as session:
                tokens = await self._fetch(session)
                self._page_cookies = session.cookies
                return tokens
        finally:
            await connections.leave()

    async def _fetch(self, session: Session) -> SiteTokens:
        async with await session.get(self.options.url) as reply:
            if reply.status >= _FIRST_ERROR_STATUS:
                raise await _page_error(reply, self.options.timeouts.idle)
            return self._read_tokens(await self._scan(reply), reply.url)

    async def _scan(self, reply: Reply) -> Page:
        """Read the page as it arrives, no further than the tokens."""
        scanner = PageScanner(
            bot_id=self._bot_id,
            endpoint=self.options.endpoint is None,
            max_page_bytes=MAX_PAGE_BYTES,
        )
        while data := await read_within(reply, self.options.timeouts.idle):
            if scanner.feed(data):
                break
        return scanner.close()

    def _read_tokens(self, page: Page, page_url: str) -> SiteTokens:
        asked_for = self._bot_id is not None and bool(page.widgets)
        widget = page.widget(bot_id=self._bot_id) if asked_for else None
        tokens = page.tokens
        widget = widget or _speaking(page, tokens)
        if widget is not None and widget.kind != self.provider.dialect:
            raise ProviderNotWorkingError(
                f"the bot on this page speaks {widget.kind}, the plugin's protocol since 2.3; "
                f"{self.provider.__name__} speaks {self.provider.dialect}"
            )
        return SiteTokens(
            nonce=tokens.nonce,
            post_id=tokens.post_id,
            url=(widget.url if widget is not None else None) or page_url,
            endpoint=self._endpoint(page_url, widget.ajax_url if widget is not None else None),
            bot_id=(widget.bot_id if widget is not None else self._bot_id) or "0",
            popup=widget is not None and widget.placement == "popup",
        )

    def _endpoint(self, page_url: str, ajax_url: str | None) -> str:
        """The class's endpoint, on the page's final origin; else the one the page names, if on the page's host."""
        if self.options.endpoint is not None:
            return at_origin(page_url, urlsplit(self.options.endpoint).path)
        if ajax_url is None:
            return at_origin(page_url, AJAX_PATH)
        here, there = urlsplit(page_url), _joined(page_url, ajax_url)
        if there is None or here.hostname != there.hostname:
            named = "no host" if there is None else there.hostname
            raise EndpointError(f"the page at {here.hostname} names an endpoint at {named}: not followed")
        if here.scheme == "https" and there.scheme != "https":
            raise EndpointError(f"the page at https://{here.hostname} names an endpoint without TLS: not followed")
        return there.geturl()

    # -- message -------------------------------------------------------------------------------------------------------

    async def _post(self) -> Opening:
        session = await self.begin_session({**self._page_cookies, **(self.options.cookies or {})})
        reply = await session.post(
            self._tokens.endpoint,
            body=urlencode(self._fields()).encode("ascii"),
            headers={"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", "Accept": "*/*"},
        )
        decoder = DeltaDecoder("ai-power", content_type=reply.content_type, status=reply.status)
        return Opening(reply, decoder)

    def _fields(self) -> dict[str, str]:
        """The form a browser posts, in its order. The site's memory is the prompt itself, so the history is empty."""
        tokens, chance = self._tokens, self.options.world.random
        custom = tokens.bot_id not in ("", "0")
        return {
            "_wpnonce": tokens.nonce,
            "post_id": tokens.post_id,
            "url": tokens.url,
            "action": "wpaicg_chatbox_message" if tokens.popup else "wpaicg_chat_shortcode_message",
            "message": self._message,
            "bot_id": tokens.bot_id,
            "chatbot_identity": f"custom_bot_{tokens.bot_id}" if custom else "widget" if tokens.popup else "shortcode",
            "wpaicg_chat_history": "[]",
            "wpaicg_chat_client_id": "".join(chance.choices(string.ascii_letters + string.digits, k=10)),
            "chat_id": str(chance.randint(1, 100_000)),
        }


_FORBIDDEN = 403
_FIRST_ERROR_STATUS = 400


def _may_be_refusal(decoder: DeltaDecoder, error: StreamError) -> bool:
    """Since 1.8.91 a refused nonce is a 403; before, a bare JSON error whose text is translatable, so any of them.

    A challenge, whatever its status, comes from a guard that has seen no nonce.
    """
    if error.kind == "challenge":
        return False
    return error.status == _FORBIDDEN or (
        error.kind == "upstream" and error.code is None and decoder.framing == "json" and error.status == _OK
    )


_OK = 200


def _joined(page_url: str, ajax_url: str) -> SplitResult | None:
    try:
        return urlsplit(urljoin(page_url, ajax_url))
    except ValueError:  # an endless bracket
        return None


def _speaking(page: Page, tokens: PageTokens) -> ChatWidget | None:
    """The widget these tokens are of; None when they come from another place on the page."""
    return next((each for each in page.widgets if (each.nonce, each.post_id) == (tokens.nonce, tokens.post_id)), None)


async def _page_error(reply: Reply, idle: float | None) -> StreamError:
    """What a page's error status means; the decoder reads its body as it reads a reply's."""
    decoder = DeltaDecoder("ai-power", content_type=reply.content_type, status=reply.status)
    received = 0
    while received < MAX_ERROR_PAGE_BYTES and (data := await read_within(reply, idle)):
        decoder.feed(data)
        received += len(data)
    decoder.close()
    return decoder.error or reply_error("upstream", f"the page answered {reply.status}", reply.status)
