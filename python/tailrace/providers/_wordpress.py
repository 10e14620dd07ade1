"""Sites that run the WordPress chat plugin: AI Power up to 2.2 (``ai-power``), AIPKit since 2.3
(``aipkit``).

The page holds the tokens and tells which line it is. A message is posted with them, and repeated
once with new ones when a nonce from the cache was refused. Source: the protocol notes on AI Power
and the captured replies.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from tailrace._calls.token_cache import CacheKey, TokenCache, cache_key
from tailrace._messages import SYSTEM_ROLES, turns_prompt
from tailrace.errors import NonceRefusedError, StreamError, TailraceError
from tailrace.providers import _ai_power as ai_power
from tailrace.providers import _aipkit as aipkit
from tailrace.providers._base import Call, CallOptions, ChatProvider
from tailrace.providers._page import SiteTokens, endpoint_of, fetch_tokens
from tailrace.providers._visitor import Outgoing, Visitor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tailrace._calls.exchange import Opening
    from tailrace._messages import Turn
    from tailrace._native import DeltaDecoder
    from tailrace.transport import Session

__all__ = ["SiteTokens", "WordPressCall", "WordPressChatProvider"]


class WordPressChatProvider(ChatProvider):
    """Any site with the plugin: set `url` to the page that shows the bot.

    Beside the common parameters a call takes `bot_id`, `bot_name`, `native_history`, `token_cache`,
    and the ids of `Visitor` to go on with an earlier dialogue.
    """

    dialect = "ai-power"
    supports_system_message = True
    supports_message_history = True

    bot_id: ClassVar[str | None] = None
    """Which bot of the page answers; None: the first one."""

    bot_name: ClassVar[str | None] = None
    """The same by the name its chat shows, where the page says it (AIPKit, early 1.x)."""

    native_history: ClassVar[bool] = False
    """1.x: send earlier turns in the plugin's own form instead of one prompt.

    The site filters and cuts that form.
    """

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

    def __init__(self, provider: type[WordPressChatProvider], options: CallOptions) -> None:
        super().__init__(provider, options)
        self._page_cookies: Mapping[str, str] = {}
        self._tokens: SiteTokens | None = None
        self._outgoing: Outgoing | None = None
        self._fresh = False
        self._renewed = False
        self._renewal: asyncio.Task[SiteTokens] | None = None

    async def aclose(self) -> None:
        """See `Call.aclose`.

        A renewal that still runs ends with the call it runs in the background of.
        """
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
        await super().aclose()

    def abort(self) -> None:
        """See `Call.abort`."""
        if self._renewal is not None:
            self._renewal.cancel()
        super().abort()

    async def send(self, model: str, turns: list[Turn]) -> Opening:
        """Post the conversation with tokens from the cache or the page.

        The site chooses its model itself.
        """
        del model
        visitor = Visitor.of(self.options.extra, self.options.environment.random)
        message, history = self._split(turns)
        self._outgoing = Outgoing(
            message,
            history,
            visitor,
            self.options.environment.random,
            self.options.environment.now_ms(),
        )
        self._tokens, self._fresh = await self._first_tokens()
        refusal: StreamError
        try:
            return await self._post(self._tokens, self._outgoing)
        except StreamError as error:  # of AIPKit's first step: there is no reply to decode yet
            refusal = error
        if not _is_refusal(refusal) or not await self._renew(refusal):
            raise refusal
        return await self._post_again(refusal)

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:
        """A cached nonce that was refused is renewed, and the message repeated if it changed; once,
        never twice.
        """
        if not isinstance(error, StreamError):
            return None
        if not _is_refusal(error) and not self._may_be_refusal(opening.decoder, error):
            return None
        return await self._post_again(error) if await self._renew(error) else None

    def _split(self, turns: list[Turn]) -> tuple[str, list[Turn]]:
        """The message, and the earlier turns that go beside it."""
        native = self.options.extra.get("native_history", self.provider.native_history)
        if not native or turns[-1].role in SYSTEM_ROLES or turns[-1].role == "assistant":
            return self.provider.prompt(turns), []
        system = [turn for turn in turns[:-1] if turn.role in SYSTEM_ROLES]
        earlier = [turn for turn in turns[:-1] if turn.role not in SYSTEM_ROLES]
        return "\n\n".join(turn.text for turn in (*system, turns[-1]) if turn.text), earlier

    async def _post(self, tokens: SiteTokens, outgoing: Outgoing) -> Opening:
        session = await self.begin_session({**self._page_cookies, **(self.options.cookies or {})})
        if tokens.line == "ai-power":
            return await ai_power.post(session, tokens, outgoing)
        if outgoing.history:  # the server's own memory knows nothing of turns it has not seen
            outgoing = replace(outgoing, message=self.provider.prompt(self.turns), history=[])
        return await aipkit.post(session, tokens, outgoing, self.options.timeouts.idle)

    async def _post_again(self, error: StreamError) -> Opening:
        if self._tokens is None or self._outgoing is None:
            raise error
        try:
            return await self._post(self._tokens, self._outgoing)
        except StreamError as second:
            if _is_refusal(second):
                self._refuse_page(second)
            raise

    # -- a refused nonce ---------------------------------------------------------------------------

    def _may_be_refusal(self, decoder: DeltaDecoder, error: StreamError) -> bool:
        """Up to 1.8.90, and in AIPKit's second step, only a translatable text says it: so any bare
        error may.

        Bare is a JSON body for 1.x, an error event before ``message_start`` for AIPKit. Only a
        nonce from the cache can be stale.
        """
        if self._fresh or error.kind != "upstream" or error.code is not None or error.status != _OK:
            return False
        return decoder.framing == "json" or (
            self._tokens is not None
            and self._tokens.line == "aipkit"
            and decoder.framing == "sse"
            and "message_id" not in decoder.ids
        )

    async def _renew(self, error: StreamError) -> bool:
        """Get other tokens; True: they differ, and the message is worth repeating.
        NonceRefusedError: the page is old.

        A nonce fetched within this call is not fetched again from the page that showed it; only
        AIPKit's own endpoint can know a newer one.
        """
        stale = self._tokens
        if stale is None or self._fixed_tokens() is not None:
            return False
        if self._renewed or (self._fresh and stale.line != "aipkit"):
            return self._refuse_page(error)
        self._renewed = True
        try:
            self._tokens = await self._cache.refresh(self._key, stale, self._led(self._newer))
        except TailraceError:
            if not _is_refusal(error):
                # a bare error is most likely what it says: a page that fails now must not hide it
                return False
            raise
        if self._tokens.nonce == stale.nonce:
            return self._refuse_page(error)
        return True

    def _refuse_page(self, error: StreamError) -> bool:
        """A nonce just fetched cannot be stale: where it was refused all the same, the page was.

        Else: False.
        """
        if not _is_refusal(error):
            return False
        raise NonceRefusedError(
            "upstream",
            "the site refused the nonce its page had just shown: a page cache serves an expired page, or the site "
            "refuses this client; ask its owner to exclude the chat page from caching",
            status=error.status,
            code=error.code,
            raw=error.raw,
        )

    # -- tokens ------------------------------------------------------------------------------------

    async def _first_tokens(self) -> tuple[SiteTokens, bool]:
        fixed = self._fixed_tokens()
        if fixed is not None:
            return fixed, True
        cached = await self._cache.get(self._key, self._led(self._from_page))
        if not cached.fresh:
            self._renewal = self._cache.renew_early(self._key, self._led(self._newer))
        return cached.value, cached.fresh

    def _fixed_tokens(self) -> SiteTokens | None:
        nonce, post_id = self.provider._nonce, self.provider._post_id  # noqa: SLF001 - the seed's names, ours
        if nonce is None or post_id is None:
            return None
        return SiteTokens(
            nonce,
            post_id,
            self.options.url,
            endpoint_of(self.options.url, self.options.endpoint, None),
        )

    @property
    def _bot_id(self) -> str | None:
        given = self.options.extra.get("bot_id")
        return self.provider.bot_id if given is None else str(given)

    @property
    def _bot_name(self) -> str | None:
        given = self.options.extra.get("bot_name")
        return self.provider.bot_name if given is None else str(given)

    @property
    def _cache(self) -> TokenCache[SiteTokens]:
        given = self.options.extra.get("token_cache")
        return given if isinstance(given, TokenCache) else self.provider.token_cache

    @property
    def _key(self) -> CacheKey:
        # The endpoint is kept with the tokens, and classes that say different ones may share a
        # page.
        site = f"{self.options.url} {self.options.endpoint or ''}"
        bot = repr((self._bot_id, self._bot_name))
        return cache_key(site, bot, self.options.cookies, self.options.proxy)

    def _led(
        self, fetch: Callable[[Session], Awaitable[SiteTokens]]
    ) -> Callable[[], Awaitable[SiteTokens]]:
        """A fetch for every caller that waits. This call may be cancelled meanwhile, so it is a
        user of its own.

        Cookies the site sets go to this call alone: a visitor's cookies are nobody else's.
        """

        async def led() -> SiteTokens:
            connections = self.connections
            if connections is None:
                raise StreamError("truncated", "the call has been closed")
            connections.enter()
            try:
                async with self.new_session(self.options.cookies) as session:
                    tokens = await fetch(session)
                    self._page_cookies = session.cookies
                    return tokens
            finally:
                await connections.leave()

        return led

    async def _from_page(self, session: Session) -> SiteTokens:
        return await fetch_tokens(
            session,
            self.options.url,
            bot_id=self._bot_id,
            bot_name=self._bot_name,
            endpoint=self.options.endpoint,
            idle=self.options.timeouts.idle,
        )

    async def _newer(self, session: Session) -> SiteTokens:
        """AIPKit has an endpoint for a new nonce, which no page cache stands before; else the page
        is fetched again.
        """
        stale = self._tokens
        if stale is not None and stale.line == "aipkit":
            nonce = await aipkit.fresh_nonce(session, stale, self.options.timeouts.idle)
            if nonce is not None:
                return replace(stale, nonce=nonce)
        return await self._from_page(session)


_OK = 200
_FORBIDDEN = 403


def _is_refusal(error: StreamError) -> bool:
    """Since 1.8.91 a refused nonce is a 403.

    A challenge, whatever its status, is a guard's that has seen no nonce.
    """
    return error.status == _FORBIDDEN and error.kind != "challenge"
