"""Sites that run a chat plugin of WordPress: AI Power up to 2.2, AIPKit since 2.3, or AI Engine.

The page holds the tokens and shows which plugin it is, and which line of it. A message is posted
with the tokens, and once more with new ones when a nonce from the cache was refused. Source: the
protocol notes on AI Power and AI Engine, and the captured replies.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from tailrace._calls.token_cache import CacheKey, TokenCache, cache_key
from tailrace._messages import SYSTEM_ROLES, browser_text, turns_prompt
from tailrace.errors import (
    InvalidRequestError,
    NonceRefusedError,
    RedirectError,
    StreamError,
    TailraceError,
)
from tailrace.providers import _ai_engine as ai_engine
from tailrace.providers import _ai_power as ai_power
from tailrace.providers import _aipkit as aipkit
from tailrace.providers._ai_engine import told
from tailrace.providers._base import (
    Call,
    CallRequest,
    at_origin,
    check_sendable,
    with_credentials,
)
from tailrace.providers._page import (
    MovedEndpoint,
    SiteTokens,
    endpoint_of,
    fetch_tokens,
    with_cookies,
)
from tailrace.providers._visitor import Outgoing, Visitor, check_visitor_id
from tailrace.transport._rules import checked_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tailrace._calls.exchange import Opening
    from tailrace._messages import Turn
    from tailrace._secrecy import SentSecrets
    from tailrace.providers._page import Line
    from tailrace.transport import Session

__all__ = [
    "SHARED_TOKENS",
    "AIEngineCall",
    "AIEngineOptions",
    "SiteTokens",
    "WordPressCall",
    "WordPressOptions",
]

SHARED_TOKENS: TokenCache[SiteTokens] = TokenCache()
"""Tokens of all sites of this process, unless a site brings a cache of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AIEngineOptions:
    """Options of sites with any of the plugins.

    `bot`: id of the bot that answers, `bot_name` the name its chat shows; None: the page's first.
    `make_prompt`: makes the message of a conversation; None: `format_prompt` does, and AI Engine is
    sent the earlier turns beside it. `token_cache`: where tokens are kept between calls.
    `client_id`: to go on with an earlier dialogue. InvalidRequestError names an option of a wrong
    type.
    """

    bot: str | None = None
    bot_name: str | None = None
    make_prompt: Callable[[list[Turn]], str] | None = None
    token_cache: TokenCache[Any] = SHARED_TOKENS
    client_id: str | None = None

    def __post_init__(self) -> None:
        for name in ("bot", "bot_name"):
            check_sendable(name, getattr(self, name))
        if self.make_prompt is not None and not callable(self.make_prompt):
            raise InvalidRequestError("make_prompt must be a function of the conversation's turns")
        if not isinstance(self.token_cache, TokenCache):
            kind = type(self.token_cache).__name__
            raise InvalidRequestError(f"token_cache must be a TokenCache, not {kind}")
        for name, value in self.visitor_ids.items():
            check_visitor_id(name, value)

    @property
    def visitor_ids(self) -> dict[str, str | None]:
        """The ids of `Visitor` by name, None where not given."""
        return {name: getattr(self, name, None) for name in Visitor.__slots__}

    def message(self, turns: list[Turn]) -> str:
        """Return the text sent as the message: the whole conversation, system message included.

        Raises InvalidRequestError where `make_prompt` makes no text.
        """
        if self.make_prompt is None:
            return turns_prompt(turns)
        prompt = self.make_prompt(turns)
        if not isinstance(prompt, str):
            kind = type(prompt).__name__
            raise InvalidRequestError(f"make_prompt must return the prompt's text, not {kind}")
        if not prompt.strip():
            raise InvalidRequestError("make_prompt returned no text: there is nothing to answer")
        return browser_text(prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordPressOptions(AIEngineOptions):
    """Options of sites of which the page tells the plugin.

    `native_history`: on AI Power 1.x, send earlier turns in the plugin's own form, which the site
    filters and cuts, instead of in one prompt. `nonce` and `post_id`: both together stand in for
    the page fetch, of AI Power. The others are ids of `Visitor`, to go on with an earlier dialogue.
    InvalidRequestError names an option of a wrong type.
    """

    native_history: bool = False
    nonce: str | None = field(default=None, repr=False)
    post_id: str | None = None
    session_id: str | None = None
    conversation_uuid: str | None = None
    thread_id: str | None = None
    previous_openai_response_id: str | None = None

    def __post_init__(self) -> None:
        AIEngineOptions.__post_init__(self)  # super() knows the class without its slots
        for name in ("nonce", "post_id"):
            check_sendable(name, getattr(self, name))
        if not isinstance(self.native_history, bool):
            raise InvalidRequestError("native_history must be true or false")


class WordPressCall(Call[AIEngineOptions]):
    """One call to a site with one of the plugins: page, tokens, message, reply.

    The message is posted once more, with new tokens, when a nonce from the cache was refused.
    """

    kind: ClassVar[Line | None] = None
    """The plugin, and its line, whose bots are meant; None: the page tells."""

    def __init__(self, request: CallRequest, options: AIEngineOptions) -> None:
        super().__init__(request, options)
        self._tokens: SiteTokens | None = None
        self._sent_tokens: list[SiteTokens] = []
        self._outgoing: Outgoing | None = None
        self._opening: Opening | None = None
        self._fresh = False
        self._renewed = False
        self._renewal: asyncio.Task[SiteTokens] | None = None

    @staticmethod
    def moved_endpoint(endpoint: str, url: str) -> str:
        """Return the endpoint's path on the other URL's origin, for a page that tells none."""
        return MovedEndpoint(at_origin(url, urlsplit(endpoint).path))

    async def aclose(self) -> None:
        """Close as `Call.aclose` does.

        A renewal of tokens in the background ends with the call.
        """
        self._learn_nonce_of_end()
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
        await super().aclose()

    def abort(self) -> None:
        """Close as `Call.abort` does."""
        if self._renewal is not None:
            self._renewal.cancel()
        super().abort()

    async def send(self, model: str, turns: list[Turn]) -> Opening:
        """Post the conversation with tokens from the cache or the page.

        The site chooses its model itself.
        """
        del model
        environment = self.request.environment
        visitor = Visitor.of(self.options.visitor_ids, environment.random)
        message, history = self._split(turns)
        self._outgoing = Outgoing(
            message,
            history,
            visitor,
            environment.random,
            environment.now_ms(),
        )
        self._tokens, self._fresh = await self._first_tokens()
        refusal: StreamError
        try:
            return await self._post(self._tokens, self._outgoing)
        except StreamError as error:  # of AIPKit's first step: there is no reply to decode yet
            refusal = error
        certain = self._is_refusal(refusal)
        if not certain or not await self._renew(refusal, certain=True):
            raise refusal if certain else self._explained(refusal)
        return await self._post_again(refusal)

    async def remedied(self, opening: Opening, error: TailraceError) -> Opening | None:
        """Renew a cached nonce that was refused, and repeat the message, once, if it changed.

        A site that cannot stream is asked for one body.
        """
        if not isinstance(error, StreamError):
            return None
        if self._learn_that_it_cannot_stream(error):
            return await self._post_again(error)
        certain = self._is_refusal(error, opening.source)
        if (certain or self._may_be_refusal(opening, error)) and await self._renew(
            error, certain=certain
        ):
            return await self._post_again(error)
        if certain:
            return None
        explained = self._explained(error)
        if explained is error:
            return None
        raise explained

    def add_secrets(self, secrets: SentSecrets) -> None:
        """Add the nonces, the cookies that came with them, and the ids of the visitor."""
        for tokens in self._sent_tokens:
            session_id = tokens.engine and tokens.engine.session_id
            secrets.add(tokens.nonce, session_id, is_random=True)
            secrets.add_cookies(tokens.cookies)
        if self._outgoing is not None:
            visitor = self._outgoing.visitor
            ids = [getattr(visitor, name) for name in Visitor.__slots__]
            dialogue = visitor.client_id.lower()  # as AI Engine names it
            secrets.add(*ids, dialogue, is_random=True)

    def _split(self, turns: list[Turn]) -> tuple[str, list[Turn]]:
        """Return the message, and the earlier turns that go beside it."""
        native = getattr(self.options, "native_history", False)
        if not native or turns[-1].role in SYSTEM_ROLES or turns[-1].role == "assistant":
            return self.options.message(turns), []
        system = [turn for turn in turns[:-1] if turn.role in SYSTEM_ROLES]
        earlier = [turn for turn in turns[:-1] if turn.role not in SYSTEM_ROLES]
        return "\n\n".join(turn.text for turn in (*system, turns[-1]) if turn.text), earlier

    async def _post(self, tokens: SiteTokens, outgoing: Outgoing) -> Opening:
        session = await self.begin_session(self._cookies_with(tokens))
        self._sent_tokens.append(tokens)
        signed = self._signed(tokens)
        if tokens.line == "ai-engine":
            self._opening = await ai_engine.post(session, signed, self._engine_message(outgoing))
            self._learn_nonce(getattr(self._opening.source, "headers", {}).get("x-wp-nonce"))
            return self._opening
        tokens = signed
        try:
            if tokens.line == "ai-power":
                return await ai_power.post(session, tokens, outgoing)
            if outgoing.history:  # the server remembers only the turns it has seen
                outgoing = replace(outgoing, message=self.options.message(self.turns), history=[])
            return await aipkit.post(session, tokens, outgoing, self.request.timeouts.idle)
        except RedirectError as error:
            if not tokens.guessed:
                raise
            raise RedirectError(f"{error}; {_guess(tokens)}", error.target) from None

    def _engine_message(self, outgoing: Outgoing) -> ai_engine.Message:
        """Return the message to AI Engine, which is sent the earlier turns beside it."""
        chat_id = outgoing.visitor.client_id.lower()
        has_own_prompt = self.options.make_prompt is not None
        message = None if has_own_prompt else ai_engine.split_turns(self.turns, chat_id)
        whole = ai_engine.Message(self.options.message(self.turns), chat_id=chat_id)
        return message or whole

    def _cookies_with(self, tokens: SiteTokens | None) -> Mapping[str, str]:
        """Return the cookies that the site set with `tokens`, and the caller's, which win."""
        return {**(tokens.cookies if tokens else {}), **(self.request.cookies or {})}

    def _signed(self, tokens: SiteTokens) -> SiteTokens:
        """Return tokens whose endpoint has the user and password that the site's URL has."""
        owners = (self.request.endpoint, self.request.url)
        return replace(tokens, endpoint=with_credentials(tokens.endpoint, *owners))

    async def _post_again(self, error: StreamError) -> Opening:
        if self._tokens is None or self._outgoing is None:
            raise error
        try:
            return await self._post(self._tokens, self._outgoing)
        except StreamError as second:
            certain = self._is_refusal(second)
            self._refuse_page(second, certain=certain)
            raise self._explained(second) from None

    # -- a refused nonce ---------------------------------------------------------------------------

    def _is_refusal(self, error: StreamError, reply: object = None) -> bool:
        """Tell whether the plugin refuses the nonce outright, as each of its lines says it.

        `reply`: what was answered, None for AIPKit's first step, whose reply has been read.
        """
        if self._tokens is None or error.kind != "upstream":
            return False
        if self._tokens.line == "ai-engine":
            return ai_engine.refuses_nonce(error, self._tokens)
        if self._tokens.line == "ai-power":
            return ai_power.refuses_nonce(error, getattr(reply, "headers", {}))
        return aipkit.refuses_nonce(error, whole=self._tokens.streams is False)

    def _explained(self, error: StreamError) -> StreamError:
        """Return the error with what is known of the way to the plugin; else the error itself."""
        tokens = self._tokens
        if tokens is None or error.kind == "challenge":
            return error
        if tokens.line == "ai-engine":
            return ai_engine.explained(error, tokens)
        if error.status == _FORBIDDEN and not aipkit.is_the_plugins(error):
            return told(
                error,
                "something in front of the site forbids admin-ajax.php to this client: "
                f"{error.message}",
            )
        if tokens.guessed and (error.kind == "not_a_stream" or error.status in _NOBODY_THERE):
            return told(error, f"{error.message}; {_guess(tokens)}")
        return error

    def _may_be_refusal(self, opening: Opening, error: StreamError) -> bool:
        """Tell whether an error without a code may mean a refused nonce.

        The plugin up to 1.8.90, and AIPKit in its second step, report a refused nonce by a text
        alone, which may be translated: as a JSON body (1.x), or as an error event before
        ``message_start`` (AIPKit). Later 1.x answers 403, as guards do. Only a nonce from the cache
        can be stale.
        """
        tokens, decoder = self._tokens, opening.decoder
        if (
            self._fresh
            or tokens is None
            or tokens.line == "ai-engine"
            or error.kind != "upstream"
            or error.code is not None
        ):
            return False
        if error.status != _OK:
            headers = getattr(opening.source, "headers", {})
            return tokens.line == "ai-power" and ai_power.may_refuse_nonce(error, headers)
        return decoder.framing == "json" or (
            tokens.line == "aipkit" and decoder.framing == "sse" and "message_id" not in decoder.ids
        )

    async def _renew(self, error: StreamError, *, certain: bool) -> bool:
        """Fetch tokens anew, and return whether they differ: the message is then repeated.

        `certain`: whether the error refuses the nonce, or only may. Raises NonceRefusedError where
        the page still shows the refused nonce. After a nonce fetched within this call the page of
        AI Power 1.x is not fetched again: the others have a way past caches.
        """
        stale = self._tokens
        if stale is None or self._fixed_tokens() is not None:
            return False
        if self._renewed or (self._fresh and stale.line == "ai-power"):
            return self._refuse_page(error, certain=certain)
        self._renewed = True
        try:
            self._tokens = await self.options.token_cache.refresh(
                self._key, stale, self._shared_fetch(self._newer)
            )
        except TailraceError:
            if not certain:
                # An error without a code most likely means its text, which a failing page must not
                # hide.
                return False
            raise
        if self._tokens.nonce == stale.nonce:
            return self._refuse_page(error, certain=certain)
        return True

    def _refuse_page(self, error: StreamError, *, certain: bool) -> bool:
        """Raise NonceRefusedError where a nonce just fetched was refused, since the page is stale.

        Where there was none, raise the error itself. Return False for an error that only may be
        about the nonce.
        """
        if not certain:
            return False
        if self._tokens is not None and not self._tokens.nonce:
            raise self._explained(error)
        engine = None if self._tokens is None else self._tokens.engine
        raise NonceRefusedError(
            "upstream",
            "the site refused the nonce it had just given: something in front of it binds nonces "
            "to visitors, or refuses this client"
            if engine is not None and engine.asked
            else "the site refused the nonce its page had just shown: a page cache serves an "
            "expired page, or the site "
            "refuses this client; ask its owner to exclude the chat page from caching",
            status=error.status,
            code=error.code,
            raw=error.raw,
        )

    # -- what replies of AI Engine tell ------------------------------------------------------------

    def _learn_nonce(self, nonce: object) -> None:
        """Keep the nonce that a reply gives for later calls."""
        tokens = self._tokens
        if tokens is None or not ai_engine.is_a_nonce(nonce) or nonce == tokens.nonce:
            return
        if tokens.nonce:  # a site that wants none answers with none
            self._keep(replace(tokens, nonce=str(nonce)))

    def _learn_nonce_of_end(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            self._learn_nonce(opening.decoder.new_token)

    def _learn_that_it_cannot_stream(self, error: StreamError) -> bool:
        """Write down that a site cannot stream, and tell whether that is news."""
        tokens = self._tokens
        if tokens is None or tokens.line != "ai-engine" or tokens.streams is False:
            return False
        is_so = ai_engine.cannot_stream(error)
        if is_so:
            self._keep(replace(tokens, streams=False))
        return is_so

    def _keep(self, tokens: SiteTokens) -> None:
        """Go on with other tokens, in later calls, too."""
        if self._tokens is not None:
            self.options.token_cache.put(self._key, self._tokens, tokens)
        self._tokens = tokens

    # -- tokens ------------------------------------------------------------------------------------

    async def _first_tokens(self) -> tuple[SiteTokens, bool]:
        fixed = self._fixed_tokens()
        if fixed is not None:
            return fixed, True
        cache, key = self.options.token_cache, self._key
        cached = await cache.get(key, self._shared_fetch(self._from_page))
        until = cached.value.good_until
        if not cached.fresh and until is not None and until <= self._now:
            fetch = self._shared_fetch(self._from_page)
            return await cache.refresh(key, cached.value, fetch), True
        if not cached.fresh:
            self._tokens = cached.value
            self._renewal = cache.renew_early(key, self._shared_fetch(self._newer))
        return cached.value, cached.fresh

    def _fixed_tokens(self) -> SiteTokens | None:
        options = self.options
        if not isinstance(options, WordPressOptions):
            return None
        nonce, post_id = options.nonce, options.post_id
        if nonce is None or post_id is None:
            return None
        url = checked_url(self.request.url).url  # without a password
        return SiteTokens(nonce, post_id, url, *endpoint_of(url, self.request.endpoint, None))

    @property
    def _now(self) -> float:
        return self.request.environment.now_ms() / 1000

    @property
    def _key(self) -> CacheKey:
        # The cached tokens hold the endpoint, and two sites may share a page and state different
        # endpoints.
        urls = [checked_url(url) for url in (self.request.url, self.request.endpoint) if url]
        is_moved = isinstance(self.request.endpoint, MovedEndpoint)
        return cache_key(
            " ".join(each.url for each in urls),
            repr((self.options.bot, self.options.bot_name, self.kind, is_moved)),
            self.request.cookies,
            self.request.proxy,
            *[each.authorization for each in urls],
        )

    def _shared_fetch(
        self, fetch: Callable[[Session], Awaitable[SiteTokens]]
    ) -> Callable[[], Awaitable[SiteTokens]]:
        """Return `fetch` in a form that other waiting callers can share.

        The fetch counts as a user of the connections, since this call may be cancelled meanwhile.
        Cookies that the site sets are kept with the tokens: a guard may want them with any message.
        """

        async def shared_fetch() -> SiteTokens:
            connections = self.connections
            if connections is None:
                raise StreamError("truncated", "the call has been closed")
            connections.enter()
            try:
                async with self.new_session(self._cookies_with(self._tokens)) as session:
                    tokens = await fetch(session)
                    return with_cookies(tokens, session, self.request.cookies or {}, self._now)
            finally:
                await connections.leave()

        return shared_fetch

    async def _from_page(
        self, session: Session, headers: Mapping[str, str] | None = None
    ) -> SiteTokens:
        tokens = await fetch_tokens(
            session,
            self.request.url,
            bot_id=self.options.bot,
            bot_name=self.options.bot_name,
            kind=self.kind,
            endpoint=self.request.endpoint,
            idle=self.request.timeouts.idle,
            headers=headers,
        )
        if tokens.line != "ai-engine" or tokens.nonce:
            return tokens
        return await self._with_session(session, tokens) or tokens

    async def _with_session(self, session: Session, tokens: SiteTokens) -> SiteTokens | None:
        """Return AI Engine's tokens with the nonce that the site gives; None without one."""
        idle = self.request.timeouts.idle
        given = await ai_engine.with_session(session, self._signed(tokens), idle)
        return given and replace(given, endpoint=tokens.endpoint)

    async def _newer(self, session: Session) -> SiteTokens:
        """Fetch a new nonce from the site itself, which no page cache can answer for.

        Where the site gives none, fetch the page again.
        """
        stale = self._tokens
        if stale is not None and stale.line == "aipkit":
            idle = self.request.timeouts.idle
            nonce = await aipkit.fresh_nonce(session, self._signed(stale), idle)
            if nonce is not None:
                return replace(stale, nonce=nonce)
        if stale is not None and stale.line == "ai-engine":
            return await self._newer_of_engine(session, stale)
        return await self._from_page(session)

    async def _newer_of_engine(self, session: Session, stale: SiteTokens) -> SiteTokens:
        """Fetch a new nonce from where the old one came from: the site, or its page past caches.

        A page that shows the old one all the same may be of an earlier version than the site.
        """
        was_asked = stale.engine is not None and stale.engine.asked
        shown: SiteTokens | None = None
        if stale.nonce and not was_asked:
            shown = await self._from_page(session, _PAST_CACHES)
            if shown.nonce != stale.nonce:
                return shown
        given: SiteTokens | None = None
        try:
            given = await self._with_session(session, stale)
        except StreamError:
            if shown is None:
                raise
        return given or shown or await self._from_page(session, _PAST_CACHES)


class AIEngineCall(WordPressCall):
    """One call to a site with AI Engine, whatever other bots its page shows."""

    kind = "ai-engine"


_PAST_CACHES = {"Cache-Control": "no-cache", "Pragma": "no-cache"}
_OK = 200
_FORBIDDEN = 403
_NOBODY_THERE = frozenset({400, 404, 405, 410})
"""Statuses by which a server says that nothing it knows is at this address."""


def _guess(tokens: SiteTokens) -> str:
    return f"{checked_url(tokens.endpoint).url} is a guess, since the page names no endpoint"
