"""A WordPress site with AIPKit, the plugin's 2.x line, as of 2.4.71 and of 2.4.0 (captures
``ai-power/2.4.*``).

A message takes two steps: it is handed in for a key, and the key is spent on a stream. The site
remembers the conversation. Until 2.4.0 there is a JSON action beside them.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit

from tailrace.replica._answers import AnswerError, Turn
from tailrace.replica._site import EXCHANGE, Marker, Page, Reply, Settings, find_marker
from tailrace.replica._sites.wordpress.aipkit_frames import (
    Asked,
    Outcome,
    Refused,
    Said,
    Silent,
    Told,
    as_events,
    as_json,
    failure,
    success,
)
from tailrace.replica._sites.wordpress.aipkit_pages import BotTag, plugin_parts
from tailrace.replica._sites.wordpress.base import (
    ENDPOINT,
    FATAL_ERROR,
    NO_SUCH_ACTION,
    Post,
    WordPressSite,
    origin_of,
)
from tailrace.replica._sites.wordpress.forms import post_fields
from tailrace.replica._sites.wordpress.php import integer, sanitize

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

    from tailrace.replica._sites.wordpress.pages import PluginParts

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
class Bot:
    """A chat bot. `streams` None: its version knows nothing else and its tag does not say."""

    id: int
    name: str
    popup: bool = False
    streams: bool | None = None


@dataclass(frozen=True, slots=True)
class BotPage(Post):
    """A page of the site and the bots on it."""

    bots: tuple[Bot, ...] = ()


class Newest(Generic[Key, Value]):
    """The `limit` entries written last; older ones are forgotten."""

    def __init__(self, limit: int) -> None:
        self._entries: OrderedDict[Key, Value] = OrderedDict()
        self._limit = limit

    def put(self, key: Key, value: Value) -> None:
        """Keep `value`, and forget the oldest entry when there are too many."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def get(self, key: Key) -> Value | None:
        """Return what is kept under `key`."""
        return self._entries.get(key)

    def pop(self, key: Key) -> Value | None:
        """Return what is kept under `key`, and forget it."""
        return self._entries.pop(key, None)


class AIPKitSite(WordPressSite):
    """The plugin's public side: pages with a configuration, a message in two steps, and a way to a
    new nonce.

    At most `KEPT_MESSAGES` messages wait for their second step, and `KEPT_CONVERSATIONS`
    conversations are remembered with `KEPT_TURNS` turns each. A conversation is a session, a bot
    and a conversation's UUID.
    """

    name: ClassVar[str] = "aipkit"
    version: ClassVar[str] = "2.4.71"
    shows: ClassVar[str] = "WordPress with the chat plugin AIPKit 2.4.71: a message in two steps"
    pages: ClassVar[tuple[Page, ...]]
    markers: ClassVar[tuple[Marker[Outcome], ...]]

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        pages = (page for page in self.pages if isinstance(page, BotPage))
        self.bots: dict[int, Bot] = {bot.id: bot for page in pages for bot in page.bots}
        self._waiting: Newest[str, str] = Newest(KEPT_MESSAGES)
        self._remembered: Newest[tuple[str, int, str], tuple[Turn, ...]] = Newest(
            KEPT_CONVERSATIONS
        )
        self._requests = 0

    def plugin_parts(self, origin: str, page: Page | None) -> PluginParts:
        """Return the page's bots; a page without one has nothing of the plugin's."""
        bots = page.bots if isinstance(page, BotPage) else ()
        return plugin_parts(origin, self.version, [self._tag(origin, bot, page) for bot in bots])

    def _tag(self, origin: str, bot: Bot, page: Page | None) -> BotTag:
        return BotTag(
            bot_id=bot.id,
            name=bot.name,
            nonce=self.nonces.current(),
            post_id=page.post_id if isinstance(page, Post) else 0,
            ajax_url=f"{origin}{ENDPOINT}",
            popup=bot.popup,
            streams=bot.streams,
        )

    @property
    def actions(self) -> Mapping[str, Callable[[web.Request, Mapping[str, str]], Awaitable[Reply]]]:
        """The plugin's actions: each takes the request and the fields of its body."""
        return {
            CACHE_ACTION: self._cache,
            STREAM_ACTION: self._stream,
            NONCE_ACTION: self._fresh_nonce,
        }

    async def ajax(self, request: web.Request) -> Reply:
        """Answer one of the plugin's actions; any other is WordPress's 400 and a nought."""
        form = await post_fields(request)
        request[EXCHANGE].form = form
        action = self.actions.get(form.get("action", request.query.get("action", "")))
        return NO_SUCH_ACTION if action is None else await action(request, form)

    async def _fresh_nonce(self, _request: web.Request, _form: Mapping[str, str]) -> Reply:
        return success({"nonce": self.nonces.current()})

    async def _cache(self, request: web.Request, form: Mapping[str, str]) -> Reply:
        if _is_foreign(request):
            return failure(403, "This page may not talk to this site.")
        if not self.nonces.accepts(form.get("_ajax_nonce", "")):
            return failure(
                403, "The nonce of this page is too old or none of ours.", "nonce_failure_cache_sse"
            )
        message = sanitize(form.get("message", ""))
        if message in ("", "0"):
            return failure(400, "There was nothing in the message.", "empty_data_to_cache")
        key = self._new_key()
        self._waiting.put(key, message)
        return success({"cache_key": key})

    def _new_key(self) -> str:
        self._requests += 1
        return f"aipkit_sse_{sha256(f'{self.settings.clock()}|{self._requests}'.encode()).hexdigest()[:32]}"

    async def _stream(self, request: web.Request, _form: Mapping[str, str]) -> Reply:
        outcome = await self._spend(request)
        return as_events(self.asked(), outcome, self.settings.pace)

    async def _spend(self, request: web.Request) -> Outcome:
        fields = request.query
        if not self.nonces.accepts(fields.get("_ajax_nonce", "")):
            return Told("The nonce was not accepted. Load the page again.")
        bot = self.bots.get(integer(fields.get("bot_id", "")))
        if bot is None:
            return Told("There is no such bot.")
        if not fields.get("session_id"):
            return _NO_SESSION
        message = self._waiting.pop(fields.get("cache_key", ""))
        if message is None:
            return _STALE_KEY
        return await self.outcome(request, bot, message, fields)

    def asked(self) -> Asked:
        """Return the facts of a request that came now."""
        self._requests += 1
        return Asked(self.settings.clock(), self._requests)

    async def outcome(
        self, request: web.Request, bot: Bot, message: str, ids: Mapping[str, str]
    ) -> Outcome:
        """Return what becomes of `message`; an answer that comes whole is remembered with it."""
        marker = find_marker(self.markers, message)
        request[EXCHANGE].markers = () if marker is None else (marker.name,)
        played = Said() if marker is None else marker.play
        if not isinstance(played, Said):
            return played
        conversation = (ids.get("session_id", ""), bot.id, ids.get("conversation_uuid", ""))
        turns = self._remembered.get(conversation) or ()
        try:
            text = await self.ask(message, turns) if played.text is None else played.text
        except AnswerError as failed:
            return Refused(failed.status, failed.message, "upstream_error")
        if played.ends == "done":
            both = (*turns, Turn("user", message), Turn("assistant", text))
            self._remembered.put(conversation, both[-KEPT_TURNS:])
        return replace(played, text=text)


class AIPKit240Site(AIPKitSite):
    """The last version with the JSON action: its bots say whether they stream, and the action takes
    any of them.
    """

    name: ClassVar[str] = "aipkit-2.4.0"
    version: ClassVar[str] = "2.4.0"
    shows: ClassVar[str] = (
        "WordPress with the chat plugin AIPKit 2.4.0: two steps, or one JSON action"
    )

    @property
    def actions(self) -> Mapping[str, Callable[[web.Request, Mapping[str, str]], Awaitable[Reply]]]:
        """The actions of later versions, and the one that answers with JSON."""
        return {**super().actions, JSON_ACTION: self._answer_json}

    async def _answer_json(self, request: web.Request, form: Mapping[str, str]) -> Reply:
        if not self.nonces.accepts(form.get("_ajax_nonce", "")):
            return failure(403, "The nonce was not accepted. Load the page again.")
        bot = self.bots.get(integer(form.get("bot_id", "")))
        if bot is None:
            return FATAL_ERROR
        message = sanitize(form.get("message", ""))
        if message in ("", "0"):
            return failure(400, "There was nothing in the message.")
        if not form.get("session_id"):
            return as_json(self.asked(), _NO_SESSION)
        return as_json(self.asked(), await self.outcome(request, bot, message, form))


def _is_foreign(request: web.Request) -> bool:
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != urlsplit(origin_of(request)).netloc


_NO_SESSION = Told("A guest needs a session.")
_STALE_KEY = Told("The message for this key was not found. Send it again.")

_INLINE = Bot(5, 'Pilot "A" & <b>')
_POPUP = Bot(6, "Popup pilot", popup=True)

MARKERS: tuple[Marker[Outcome], ...] = (
    Marker(
        "quota",
        "the visitor's quota is used up: an error with a quota_notice, then done",
        Told('Your share is used up — "come back tomorrow".', 429, quota=True),
    ),
    Marker(
        "banned",
        "a banned word: an error, then done",
        Told("There is a word that this site does not take."),
    ),
    Marker(
        "ip-banned",
        "a banned address: an error, then done",
        Told("This site does not talk to your address."),
    ),
    Marker(
        "moderated",
        "moderation refused the message: an error, then done",
        Told("Your message was refused."),
    ),
    Marker("no-session", "the session is missing: an error, then done", _NO_SESSION),
    Marker("stale-key", "the key of the first step is spent: an error, then done", _STALE_KEY),
    Marker(
        "upstream-401",
        "the upstream refuses the site's key: message_start, an error, and no done",
        Refused(
            401,
            "The key sk-xxxx was not accepted. See https://keys.example/account.",
            "invalid_api_key",
        ),
    ),
    Marker(
        "upstream-429",
        "the upstream's rate limit: message_start, an error, and no done",
        Refused(429, "Too many requests: try again in 20 s.", "insufficient_quota"),
    ),
    Marker(
        "midcut",
        "the upstream breaks off after a few words: an error, and no done",
        Said(ends="midcut"),
    ),
    Marker("nodone", "the whole answer, and neither done nor an error", Said(ends="nodone")),
    Marker("cut", "the reply ends in the middle of a line", Said(ends="cut")),
    Marker(
        "stall",
        "after a few words nothing more comes, and the connection stays",
        Said(ends="stall"),
    ),
    Marker("silent", "not even a status line comes", Silent()),
    Marker(
        "long",
        "400 words that can be counted",
        Said(" ".join(f"word{number}" for number in range(400))),
    ),
    Marker("empty", "the upstream answers with an empty text", Said("")),
    Marker("slow", "ten times the pace", Said(slowness=10)),
)

AIPKitSite.pages = (
    BotPage("inline", "/chat-inline/", "a bot in the page", 12, bots=(_INLINE,)),
    BotPage("popup", "/chat-popup/", "a bot that pops up", 13, bots=(_POPUP,)),
    BotPage(
        "two", "/chat-two/", "a bot in the page and one that pops up", 18, bots=(_INLINE, _POPUP)
    ),
    BotPage(
        "no-chat",
        "/chat-nochat/",
        "no bot, and nothing of the plugin's",
        20,
        "Nobody to talk to here.",
    ),
)
AIPKitSite.markers = MARKERS

_BUFFERED_240 = Bot(12, "JSON pilot", streams=False)
_STREAMING_240 = Bot(11, "Streaming pilot", streams=True)

AIPKit240Site.pages = (
    BotPage(
        "json", "/chat-json/", "a bot that answers with one JSON object", 23, bots=(_BUFFERED_240,)
    ),
    BotPage(
        "stream", "/chat-stream/", "a bot that streams, in two steps", 22, bots=(_STREAMING_240,)
    ),
)
AIPKit240Site.markers = MARKERS
