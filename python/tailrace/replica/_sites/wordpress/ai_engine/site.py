"""WordPress sites with AI Engine, in five versions (captures ``ai-engine/*``).

Checks stand in WordPress's order: a nonce that is wrong, a route, broken JSON, a nonce that is
missing; then the plugin's: message and bot, length, its own refusals, and only then the upstream.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica._answers import AnswerError, HistoryTurn
from tailrace.replica._response import SiteResponse
from tailrace.replica._site import EXCHANGE, Marker, SitePage, SiteSettings, find_behavior
from tailrace.replica._sites.outcomes import ModelAnswer, UpstreamFailure
from tailrace.replica._sites.wordpress.ai_engine.framing import (
    FATAL_ERROR,
    REJECTED,
    AIEngineOutcome,
    BrokenAnswer,
    DyingAnswer,
    PluginRefusal,
    ReplyFacts,
    SpecialAnswer,
    as_json,
    as_stream,
    failure,
    php_trim,
    rest_error,
    success,
)
from tailrace.replica._sites.wordpress.ai_engine.markers import MARKERS
from tailrace.replica._sites.wordpress.ai_engine.versions import Version
from tailrace.replica._sites.wordpress.ai_engine.widgets import AIEngineWidget, plugin_parts
from tailrace.replica._sites.wordpress.php import json_decode
from tailrace.replica._sites.wordpress.site import (
    HTML,
    NO_SUCH_ACTION,
    Post,
    WordPressSite,
)

if TYPE_CHECKING:
    from aiohttp import web

    from tailrace.replica._sites.wordpress.theme import PluginParts

SESSION = "/mwai/v1/start_session"
SUBMIT = "/mwai-ui/v1/chats/submit"
REST = "/wp-json"
INDEX = "/index.php"

_BOM = b"\xef\xbb\xbf\n"


@dataclass(frozen=True, slots=True)
class AIEngineBot:
    """A bot; `id` None: a page shows `custom_id` alone."""

    id: str | None
    name: str
    max_length: int = 512
    start_sentence: str = "Ahoy! What is it?"
    custom_id: str | None = None
    popup: bool = False
    streams: bool = True
    mode: str = "chat"


@dataclass(frozen=True, slots=True)
class AIEnginePage(Post):
    """A page of the site and its bots; `plain`: with permalinks that are query fields."""

    bots: tuple[AIEngineBot, ...] = ()
    plain: bool = False


class AIEngineSite(WordPressSite):
    """The newest version: `start_session` gives the nonce and the session."""

    name: ClassVar[str] = "ai-engine"
    software: ClassVar[str] = "ai-engine"
    version: ClassVar[Version] = Version(3, 6, 2)
    shows: ClassVar[str] = "WordPress with the chat plugin AI Engine 3.6.2: nonces when asked"
    pages: ClassVar[tuple[SitePage, ...]]
    markers: ClassVar[tuple[Marker[AIEngineOutcome], ...]] = MARKERS
    shortcode: ClassVar[str] = "[mwai_chatbot]"
    own_faults: ClassVar[frozenset[str]] = frozenset(
        {"rest-closed", "owner-refuses", "chat-off", "printed", "maintenance"}
    )

    def __init__(self, settings: SiteSettings) -> None:
        super().__init__(settings)
        pages = [page for page in self.pages if isinstance(page, AIEnginePage)]
        self._bots = {bot.id: bot for page in pages for bot in page.bots if bot.id}
        self._custom = {bot.custom_id: bot for page in pages for bot in page.bots if bot.custom_id}
        self._requests = 0

    # -- pages -------------------------------------------------------------------------------------

    def plugin_parts(self, origin: str, page: SitePage | None) -> PluginParts:
        """Return the page's bots; a page without one has no parts of the plugin."""
        if not isinstance(page, AIEnginePage):
            return plugin_parts("", [])
        plugin_url = f"{origin}/wp-content/plugins/ai-engine/"
        rest_url = f"{origin}{INDEX}?rest_route=" if page.plain else f"{origin}{REST}"
        widgets = [self._widget(bot, page, rest_url, plugin_url) for bot in page.bots]
        return plugin_parts(plugin_url, widgets)

    def _widget(
        self, bot: AIEngineBot, page: AIEnginePage, rest_url: str, plugin_url: str
    ) -> AIEngineWidget:
        version = self.version
        no_session = None if version >= (3, 5, 2) else "N/A"
        no_settings = "" if version.shows_the_session else None
        return AIEngineWidget(
            version=version,
            bot_id=bot.id,
            custom_id=no_settings if bot.custom_id is None else bot.custom_id,
            name=bot.name,
            nonce=self.nonces.current() if version.shows_the_nonce else None,
            session_id=self._new_session() if version.shows_the_session else no_session,
            context_id=page.post_id,
            rest_url=rest_url,
            plugin_url=plugin_url if version < (2, 1, 0) else plugin_url.rstrip("/"),
            streams=bot.streams,
            popup=bot.popup,
            max_length=bot.max_length,
            start_sentence=bot.start_sentence,
            mode=bot.mode,
        )

    async def ajax(self, request: web.Request) -> SiteResponse:  # noqa: ARG002 - none is known
        """Answer as WordPress does where no plugin knows an action."""
        return NO_SUCH_ACTION

    # -- the REST API ------------------------------------------------------------------------------

    async def answer(self, request: web.Request) -> SiteResponse:
        """Answer a request to the REST API, or a page."""
        route = _route(request)
        if route is None:
            return await super().answer(request)
        return await self._rest(request, route)

    async def _rest(
        self, request: web.Request, route: str, *, printed: bytes = b""
    ) -> SiteResponse:
        nonce = request.headers.get("X-WP-Nonce", "")
        if nonce and not self.nonces.accepts(nonce):
            return rest_error(403, "rest_cookie_invalid_nonce", "The cookie was not accepted")
        if request.method == "GET" and route == "/":
            return _NAMESPACES
        if request.method != "POST":
            return _NO_ROUTE
        if route == SESSION and self.version.has_sessions:
            return self._start_session(nonce, printed)
        if route != SUBMIT:
            return _NO_ROUTE
        return await self._submit(request, nonce, printed)

    def _start_session(self, nonce: str, printed: bytes) -> SiteResponse:
        has_ids = self.version.has_session_ids and not printed
        session_id = self._new_session() if has_ids else "N/A"
        body: dict[str, object] = {
            "success": True,
            "sessionId": session_id,
            "restNonce": self.nonces.current(),
        }
        facts = self._facts(nonce, printed)
        if facts.new_token is not None:
            body["new_token"] = facts.new_token
        response = success(body, facts)
        if not has_ids:
            return response
        cookies = [
            ("Set-Cookie", f"PHPSESSID={session_id[::-1]}; path=/"),
            ("Cache-Control", "no-store, no-cache, must-revalidate"),
            ("Set-Cookie", f"mwai_session_id={session_id}; path=/; HttpOnly"),
        ]
        return replace(response, headers=[*response.headers, *cookies])

    def _new_session(self) -> str:
        self._requests += 1
        seed = f"{self.settings.clock()}|{self._requests}".encode()
        return sha256(seed).hexdigest()[:13]

    def _facts(self, nonce: str, printed: bytes) -> ReplyFacts:
        self._requests += 1
        current = self.nonces.current()
        is_old = bool(nonce) and nonce != current
        return ReplyFacts(
            self.version,
            fresh_nonce=current if nonce else "",
            new_token=current if is_old and self.version.has_session_ids else None,
            printed=printed,
            pace=self.settings.pace,
            number=self._requests,
        )

    # -- messages ----------------------------------------------------------------------------------

    async def _submit(self, request: web.Request, nonce: str, printed: bytes) -> SiteResponse:
        text = (await request.read()).decode("utf-8", "surrogateescape")
        fields = json_decode(text) if request.content_type == "application/json" else {}
        if fields is None and text:
            return rest_error(400, "rest_invalid_json", "The body is no JSON")
        request[EXCHANGE].json = fields
        if self.version.wants_a_nonce and not nonce:
            return OWNER_REFUSES
        refusal = _refused(fields)
        if refusal is not None:
            return refusal
        facts = self._facts(nonce, printed)
        outcome, said = await self._outcome(request, fields)
        make = as_stream if fields.get("stream") else as_json
        return make(facts, outcome, said)

    async def _outcome(
        self, request: web.Request, fields: dict[str, Any]
    ) -> tuple[AIEngineOutcome, str]:
        """Return what becomes of a message, and what the model says."""
        bot = self._bot(fields)
        message = php_trim(fields["newMessage"])
        if bot is None or (self.version.counts_characters and len(message) > bot.max_length):
            return PluginRefusal(REJECTED, labelled_as_json=True), ""
        outcome = find_behavior(self.markers, message, request[EXCHANGE]) or ModelAnswer()
        if not isinstance(outcome, ModelAnswer | SpecialAnswer | BrokenAnswer | DyingAnswer):
            return outcome, ""
        text = outcome.text if isinstance(outcome, ModelAnswer | SpecialAnswer) else None
        if text is None:
            try:
                text = await self.ask_model(message, _history(fields.get("messages")))
            except AnswerError as failed:
                return UpstreamFailure(failed.message, failed.status), ""
        if isinstance(outcome, SpecialAnswer):
            return replace(outcome, text=text), text
        return outcome, text

    def _bot(self, fields: dict[str, Any]) -> AIEngineBot | None:
        custom = self._custom.get(str(fields.get("customId")))
        bot = custom or self._bots.get(str(fields.get("botId")))
        if bot is None and self.version.falls_back:
            return next(iter(self._bots.values()))
        return bot

    # -- faults ------------------------------------------------------------------------------------

    def without_plugin(self, request: web.Request) -> SiteResponse | None:
        """Return the response while the plugin is off: shortcodes as text, and no such route."""
        if _route(request) is None:
            return super().without_plugin(request)
        return self._without_routes(request)

    def _without_routes(self, request: web.Request) -> SiteResponse:
        is_index = request.method == "GET" and _route(request) == "/"
        return _OTHER_NAMESPACES if is_index else _NO_ROUTE

    async def own_fault(
        self, name: str, argument: str, request: web.Request
    ) -> SiteResponse | None:
        """Return the response with a fault that only such sites have; None where it has none."""
        route = _route(request)
        if name == "maintenance":
            return MAINTENANCE_PAGE if route is None else MAINTENANCE
        if name == "chat-off":
            return None if route == SESSION else self.without_plugin(request)
        if name == "printed" and route is not None:
            return await self._rest(request, route, printed=_BOM)
        if route is None or (name == "owner-refuses" and route != SUBMIT):
            return None
        return REST_CLOSED if argument == "plugin" else OWNER_REFUSES


def _route(request: web.Request) -> str | None:
    """Return the route of a request to the REST API; None for any other request."""
    if request.path == INDEX and "rest_route" in request.query:
        return request.query["rest_route"]
    return request.path.removeprefix(REST) if request.path.startswith(f"{REST}/") else None


def _refused(fields: Any) -> SiteResponse | None:
    """Return the refusal of a request that names no bot or no message, or in a wrong form."""
    if not isinstance(fields, dict) or not (fields.get("botId") or fields.get("customId")):
        return failure(403, REJECTED)
    message = fields.get("newMessage")
    if message and not isinstance(message, str):
        return FATAL_ERROR
    if not message or not php_trim(message):
        return failure(403, REJECTED)
    messages = fields.get("messages")
    return FATAL_ERROR if messages and not isinstance(messages, list) else None


def _history(messages: Any) -> tuple[HistoryTurn, ...]:
    """Return the earlier turns that a browser posts, greetings among them."""
    turns = [each for each in messages or () if isinstance(each, dict)]
    return tuple(
        HistoryTurn("assistant" if turn.get("role") == "assistant" else "user", turn["content"])
        for turn in turns
        if isinstance(turn.get("content"), str)
    )


def _index(*namespaces: str) -> SiteResponse:
    return success({"namespaces": ["oembed/1.0", *namespaces, "wp/v2"]})


_NAMESPACES = _index("mwai-ui/v1", "mwai/v1")
_OTHER_NAMESPACES = _index()
_NO_ROUTE = rest_error(404, "rest_no_route", "There is no route of that address and method.")
OWNER_REFUSES = rest_error(401, "rest_forbidden", "You may not do that.")
REST_CLOSED = rest_error(401, "rest_cannot_access", "The REST API is for members alone.")
MAINTENANCE = rest_error(
    503, "wp_die", "The site is closed for a moment.", ("Retry-After", "600"), additional_errors=[]
)
MAINTENANCE_PAGE = SiteResponse(
    [b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body>Closed.</body></html>"],
    HTML,
    503,
    headers=(("Retry-After", "600"),),
)


class AIEngine301Site(AIEngineSite):
    """A version whose page shows the session."""

    name: ClassVar[str] = "ai-engine-3.0.1"
    version: ClassVar[Version] = Version(3, 0, 1)
    shows: ClassVar[str] = "WordPress with the chat plugin AI Engine 3.0.1: a session in the page"


class AIEngine280Site(AIEngineSite):
    """A version whose sessions have neither ids nor cookies."""

    name: ClassVar[str] = "ai-engine-2.8.0"
    version: ClassVar[Version] = Version(2, 8, 0)
    shows: ClassVar[str] = "WordPress with the chat plugin AI Engine 2.8.0: nonces, no sessions"


class AIEngine209Site(AIEngineSite):
    """A version whose page holds the nonce."""

    name: ClassVar[str] = "ai-engine-2.0.9"
    version: ClassVar[Version] = Version(2, 0, 9)
    shows: ClassVar[str] = "WordPress with the chat plugin AI Engine 2.0.9: a nonce in the page"


class AIEngine1999Site(AIEngineSite):
    """A version that wants no nonce."""

    name: ClassVar[str] = "ai-engine-1.9.99"
    version: ClassVar[Version] = Version(1, 9, 99)
    shows: ClassVar[str] = "WordPress with the chat plugin AI Engine 1.9.99: no nonce at all"


_DEFAULT = AIEngineBot("default", 'Pilot "A" & <b>')
_SHORT = AIEngineBot("chatbot-qmv3ka", "Otto", max_length=64, start_sentence="")
_POPUP = AIEngineBot("default", "Popup pilot", popup=True)
_EVERYWHERE = AIEngineBot("default", "Harbour", popup=True, start_sentence="")

AIEngineSite.pages = (
    AIEnginePage(
        "site-wide", "/", "a bot of the whole site, without a greeting", 2, bots=(_EVERYWHERE,)
    ),
    AIEnginePage("inline", "/help/", "a bot in the page", 5, bots=(_DEFAULT,)),
    AIEnginePage("popup", "/help-popup/", "a bot that pops up", 10, bots=(_POPUP,)),
    AIEnginePage("two", "/help-two/", "two bots", 6, bots=(_DEFAULT, _SHORT)),
    AIEnginePage(
        "custom",
        "/help-custom/",
        "a bot known by its settings alone",
        8,
        bots=(AIEngineBot(None, "Harbour", custom_id="harbour1"),),
    ),
    AIEnginePage(
        "stream-off",
        "/help-whole/",
        "a bot whose owner prefers whole answers",
        11,
        bots=(AIEngineBot("default", "Whole", streams=False),),
    ),
    AIEnginePage(
        "plain",
        "/help-plain/",
        "a bot of a site whose permalinks are plain",
        14,
        bots=(_DEFAULT,),
        plain=True,
    ),
    AIEnginePage(
        "no-chat",
        "/help-nochat/",
        "no bot, and nothing of the plugin's",
        20,
        "Nobody to talk to here.",
    ),
)
