"""WordPress sites with AIPKit, the plugin's 2.x line, in 2.4.71 and 2.4.0 (captures ``2.4.*``).

A message takes two steps: one caches it under a key, and the next spends the key on a stream. The
site remembers the conversation. Up to 2.4.0 there is a JSON action beside the two steps.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit

from tailrace.replica._answers import AnswerError, HistoryTurn
from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._site import EXCHANGE, Marker, SitePage, SiteSettings, find_behavior
from tailrace.replica._sites.outcomes import LONG_TEXT, ModelAnswer, UpstreamFailure
from tailrace.replica._sites.wordpress.aipkit.framing import (
    AIPKitOutcome,
    FormShown,
    PluginRefusal,
    RequestStamp,
    WarnedAnswer,
    as_events,
    as_json,
    failure,
    success,
)
from tailrace.replica._sites.wordpress.aipkit.widgets import AIPKitWidget, plugin_parts
from tailrace.replica._sites.wordpress.php import intval, post_fields, sanitize_text_field
from tailrace.replica._sites.wordpress.site import (
    ENDPOINT,
    FATAL_ERROR,
    NO_SUCH_ACTION,
    Post,
    WordPressSite,
    origin_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

    from tailrace.replica._sites.wordpress.theme import PluginParts

    Action = Callable[[web.Request, Mapping[str, str]], Awaitable[SiteResponse]]

CACHE_ACTION = "aipkit_cache_sse_message"
STREAM_ACTION = "aipkit_frontend_chat_stream"
NONCE_ACTION = "aipkit_get_frontend_chat_nonce"
JSON_ACTION = "aipkit_frontend_chat_message"

KEPT_MESSAGES = 1000
KEPT_CONVERSATIONS = 1000
KEPT_TURNS = 100

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class AIPKitBot:
    """A chat bot; `streams`: None in versions that only stream, whose tags do not say so."""

    id: int
    name: str
    popup: bool = False
    streams: bool | None = None


@dataclass(frozen=True, slots=True)
class AIPKitPage(Post):
    """A page of the site and the bots on it."""

    bots: tuple[AIPKitBot, ...] = ()


class BoundedStore(Generic[Key, Value]):
    """A mapping that keeps the `limit` entries written last, and drops older ones."""

    def __init__(self, limit: int) -> None:
        self._entries: OrderedDict[Key, Value] = OrderedDict()
        self._limit = limit

    def put(self, key: Key, value: Value) -> None:
        """Keep `value`, and drop the oldest entry when there are too many."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def get(self, key: Key) -> Value | None:
        """Return the value kept under `key`."""
        return self._entries.get(key)

    def pop(self, key: Key) -> Value | None:
        """Remove the value kept under `key`, and return it."""
        return self._entries.pop(key, None)


class AIPKitSite(WordPressSite):
    """The newest version: a message takes two steps, and there is an action for a new nonce.

    At most `KEPT_MESSAGES` messages wait for their second step, and `KEPT_CONVERSATIONS`
    conversations are remembered with `KEPT_TURNS` turns each. A conversation is a session, a bot
    and a conversation's UUID.
    """

    name: ClassVar[str] = "aipkit"
    version: ClassVar[str] = "2.4.71"
    shows: ClassVar[str] = "WordPress with the chat plugin AIPKit 2.4.71: a message in two steps"
    pages: ClassVar[tuple[SitePage, ...]]
    markers: ClassVar[tuple[Marker[AIPKitOutcome], ...]]
    shortcode: ClassVar[str] = '[aipkit_chatbot id="5"]'

    def __init__(self, settings: SiteSettings) -> None:
        super().__init__(settings)
        pages = (page for page in self.pages if isinstance(page, AIPKitPage))
        self.bots: dict[int, AIPKitBot] = {bot.id: bot for page in pages for bot in page.bots}
        self._waiting: BoundedStore[str, str] = BoundedStore(KEPT_MESSAGES)
        self._remembered: BoundedStore[tuple[str, int, str], tuple[HistoryTurn, ...]] = (
            BoundedStore(KEPT_CONVERSATIONS)
        )
        self._requests = 0

    def plugin_parts(self, origin: str, page: SitePage | None) -> PluginParts:
        """Return the page's bots; a page without one has no parts of the plugin."""
        bots = page.bots if isinstance(page, AIPKitPage) else ()
        return plugin_parts(origin, self.version, [self._widget(origin, bot, page) for bot in bots])

    def _widget(self, origin: str, bot: AIPKitBot, page: SitePage | None) -> AIPKitWidget:
        return AIPKitWidget(
            bot_id=bot.id,
            name=bot.name,
            nonce=self.nonces.current(),
            post_id=page.post_id if isinstance(page, Post) else 0,
            ajax_url=f"{origin}{ENDPOINT}",
            popup=bot.popup,
            streams=bot.streams,
        )

    @property
    def actions(
        self,
    ) -> Mapping[str, Action]:
        """The plugin's actions by name; each takes the request and the fields of its body."""
        return {
            CACHE_ACTION: self._cache,
            STREAM_ACTION: self._stream,
            NONCE_ACTION: self._fresh_nonce,
        }

    async def ajax(self, request: web.Request) -> SiteResponse:
        """Answer one of the plugin's actions; WordPress answers any other with 400 and ``0``."""
        form = await post_fields(request)
        request[EXCHANGE].form = form
        action = self.actions.get(form.get("action", request.query.get("action", "")))
        return NO_SUCH_ACTION if action is None else await action(request, form)

    async def _fresh_nonce(self, _request: web.Request, _form: Mapping[str, str]) -> SiteResponse:
        return success({"nonce": self.nonces.current()})

    async def _cache(self, request: web.Request, form: Mapping[str, str]) -> SiteResponse:
        if _is_foreign(request):
            return failure(403, "This page may not talk to this site.")
        if not self.nonces.accepts(form.get("_ajax_nonce", "")):
            return failure(
                403, "The nonce of this page is too old or none of ours.", "nonce_failure_cache_sse"
            )
        message = sanitize_text_field(form.get("message", ""))
        if message in ("", "0"):
            return failure(400, "There was nothing in the message.", "empty_data_to_cache")
        key = self._new_key()
        self._waiting.put(key, message)
        return success({"cache_key": key})

    def _new_key(self) -> str:
        self._requests += 1
        seed = f"{self.settings.clock()}|{self._requests}".encode()
        return f"aipkit_sse_{sha256(seed).hexdigest()[:32]}"

    async def _stream(self, request: web.Request, _form: Mapping[str, str]) -> SiteResponse:
        outcome = await self._spend(request)
        return as_events(self.stamp(), outcome, self.settings.pace)

    async def _spend(self, request: web.Request) -> AIPKitOutcome:
        fields = request.query
        if not self.nonces.accepts(fields.get("_ajax_nonce", "")):
            return PluginRefusal("The nonce was not accepted. Load the page again.")
        bot = self.bots.get(intval(fields.get("bot_id", "")))
        if bot is None:
            return PluginRefusal("There is no such bot.")
        if not fields.get("session_id"):
            return _NO_SESSION
        message = self._waiting.pop(fields.get("cache_key", ""))
        if message is None:
            return _STALE_KEY
        return await self.outcome(request, bot, message, fields)

    def stamp(self) -> RequestStamp:
        """Return the stamp of a request that comes now."""
        self._requests += 1
        return RequestStamp(self.settings.clock(), self._requests)

    async def outcome(
        self, request: web.Request, bot: AIPKitBot, message: str, ids: Mapping[str, str]
    ) -> AIPKitOutcome:
        """Return the outcome for `message`, which is remembered with an answer that ends well."""
        outcome = find_behavior(self.markers, message, request[EXCHANGE]) or ModelAnswer()
        if not isinstance(outcome, ModelAnswer | WarnedAnswer):
            return outcome
        conversation = (ids.get("session_id", ""), bot.id, ids.get("conversation_uuid", ""))
        turns = self._remembered.get(conversation) or ()
        try:
            text = await self.ask_model(message, turns) if outcome.text is None else outcome.text
        except AnswerError as failed:
            return UpstreamFailure(failed.message, failed.status)
        if not isinstance(outcome, ModelAnswer) or outcome.end == "done":
            turns = (*turns, HistoryTurn("user", message), HistoryTurn("assistant", text))
            self._remembered.put(conversation, turns[-KEPT_TURNS:])
        return replace(outcome, text=text)


class AIPKit240Site(AIPKitSite):
    """The last version with the JSON action, which takes any bot; tags say whether bots stream."""

    name: ClassVar[str] = "aipkit-2.4.0"
    version: ClassVar[str] = "2.4.0"
    shows: ClassVar[str] = (
        "WordPress with the chat plugin AIPKit 2.4.0: two steps, or one JSON action"
    )

    @property
    def actions(
        self,
    ) -> Mapping[str, Action]:
        """The actions of later versions, and the JSON action."""
        return {**super().actions, JSON_ACTION: self._answer_json}

    async def _answer_json(self, request: web.Request, form: Mapping[str, str]) -> SiteResponse:
        if not self.nonces.accepts(form.get("_ajax_nonce", "")):
            return failure(403, "The nonce was not accepted. Load the page again.")
        bot = self.bots.get(intval(form.get("bot_id", "")))
        if bot is None:
            return FATAL_ERROR
        message = sanitize_text_field(form.get("message", ""))
        if message in ("", "0"):
            return failure(400, "There was nothing in the message.")
        if not form.get("session_id"):
            return as_json(self.stamp(), _NO_SESSION)
        return as_json(self.stamp(), await self.outcome(request, bot, message, form))


def _is_foreign(request: web.Request) -> bool:
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != urlsplit(origin_of(request)).netloc


_NO_SESSION = PluginRefusal("A guest needs a session.")
_STALE_KEY = PluginRefusal("The message for this key was not found. Send it again.")

_INLINE = AIPKitBot(5, 'Pilot "A" & <b>')
_POPUP = AIPKitBot(6, "Popup pilot", popup=True)

_CUT = " (Incomplete: max_output_tokens)"

MARKERS: tuple[Marker[AIPKitOutcome], ...] = (
    Marker(
        "quota",
        "the visitor's quota is used up: an error with a quota_notice, then done",
        PluginRefusal('Your share is used up — "come back tomorrow".', 429, quota=True),
    ),
    Marker(
        "banned",
        "a banned word: an error, then done",
        PluginRefusal("There is a word that this site does not take."),
    ),
    Marker(
        "ip-banned",
        "a banned address: an error, then done",
        PluginRefusal("This site does not talk to your address."),
    ),
    Marker(
        "moderated",
        "moderation refused the message: an error, then done",
        PluginRefusal("Your message was refused."),
    ),
    Marker(
        "quota-0",
        "guests have no quota at all: an error without a notice, then done",
        PluginRefusal("Guests may not write here."),
    ),
    Marker(
        "no-key",
        "the site's owner has set no API key: an error, then done",
        PluginRefusal("The API key of the model is missing."),
    ),
    Marker(
        "length",
        "the answer was cut at its length: the whole of it, then a warning that says so",
        WarnedAnswer((_CUT,)),
    ),
    Marker(
        "length-in-warning",
        "likewise, but the answer and the news came together: all of it in one warning",
        WarnedAnswer((_CUT,), in_warning=True),
    ),
    Marker(
        "filtered",
        "the upstream's filter stopped the answer: the text so far, then a warning",
        WarnedAnswer((" (Incomplete: content_filter)",)),
    ),
    Marker(
        "refused",
        "the model refuses: its words in several warnings",
        WarnedAnswer((" (Refusal: I can't )", " (Refusal: help with )", " (Refusal: that.)"), ""),
    ),
    Marker(
        "warned",
        "the answer, then a warning in the site's own language",
        WarnedAnswer((" (Unvollst\u00e4ndig: max_output_tokens)",)),
    ),
    Marker(
        "claude-length",
        "Claude's answer was cut: a status with max_tokens, then a warning",
        WarnedAnswer(
            ("Claude stopped because the maximum output token limit was reached.",),
            stop_reason="max_tokens",
        ),
    ),
    Marker(
        "claude-refusal",
        "Claude stops and refuses: a status with refusal",
        WarnedAnswer(text="I had rather not.", stop_reason="refusal"),
    ),
    Marker(
        "form",
        "the site shows a form in the answer's place: an event for its own page",
        FormShown("Tell us who you are"),
    ),
    Marker("no-session", "the session is missing: an error, then done", _NO_SESSION),
    Marker("stale-key", "the key of the first step is spent: an error, then done", _STALE_KEY),
    Marker(
        "upstream-401",
        "the upstream refuses the site's key: message_start, an error, and no done",
        UpstreamFailure(
            "The key sk-xxxx was not accepted. See https://keys.example/account.",
            401,
            "invalid_api_key",
        ),
    ),
    Marker(
        "upstream-429",
        "the upstream's rate limit: message_start, an error, and no done",
        UpstreamFailure("Too many requests: try again in 20 s.", 429, "insufficient_quota"),
    ),
    Marker(
        "midcut",
        "the upstream breaks off after a few words: an error, and no done",
        ModelAnswer(end="midfail"),
    ),
    Marker("nodone", "the whole answer, and neither done nor an error", ModelAnswer(end="nodone")),
    Marker("cut", "the response ends in the middle of a line", ModelAnswer(end="cut")),
    Marker(
        "stall",
        "after a few words nothing more comes, and the connection stays",
        ModelAnswer(end="stall"),
    ),
    Marker("silent", "not even a status line comes", NO_RESPONSE),
    Marker(
        "long",
        "400 words that can be counted",
        ModelAnswer(LONG_TEXT),
    ),
    Marker("empty", "the upstream answers with an empty text", ModelAnswer("")),
    Marker("slow", "ten times the pace", ModelAnswer(slowness=10)),
)

AIPKitSite.pages = (
    AIPKitPage("inline", "/chat-inline/", "a bot in the page", 12, bots=(_INLINE,)),
    AIPKitPage("popup", "/chat-popup/", "a bot that pops up", 13, bots=(_POPUP,)),
    AIPKitPage(
        "two", "/chat-two/", "a bot in the page and one that pops up", 18, bots=(_INLINE, _POPUP)
    ),
    AIPKitPage(
        "no-chat",
        "/chat-nochat/",
        "no bot, and nothing of the plugin's",
        20,
        "Nobody to talk to here.",
    ),
)
AIPKitSite.markers = MARKERS

_BUFFERED_240 = AIPKitBot(12, "JSON pilot", streams=False)
_STREAMING_240 = AIPKitBot(11, "Streaming pilot", streams=True)

AIPKit240Site.pages = (
    AIPKitPage(
        "json", "/chat-json/", "a bot that answers with one JSON object", 23, bots=(_BUFFERED_240,)
    ),
    AIPKitPage(
        "stream", "/chat-stream/", "a bot that streams, in two steps", 22, bots=(_STREAMING_240,)
    ),
)
AIPKit240Site.markers = MARKERS
