"""A WordPress site with the plugin AI Power 1.x, as of 1.9.18 (captures ``ai-power/1.9.18``) and of
older versions.

The checks stand in the plugin's order: action, nonce, message, its own refusals, and only then the
upstream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica import _outputs as outputs
from tailrace.replica._answers import AnswerError, Turn
from tailrace.replica._site import EXCHANGE, Marker, Page, Reply, Settings, find_marker
from tailrace.replica._sites.wordpress.ai_power_frames import (
    Asked,
    AssistantMode,
    ChatMode,
    CompletionMode,
    Html,
    JsonMode,
    Mode,
    Notice,
    Null,
    Outcome,
    Refused,
    Said,
    Silent,
    Threw,
    Unreachable,
    error_json,
)
from tailrace.replica._sites.wordpress.ai_power_pages import FAKE_TAG, Widget, plugin_parts
from tailrace.replica._sites.wordpress.ai_power_versions import NEWEST, Version
from tailrace.replica._sites.wordpress.base import (
    AJAX_HEADERS,
    FATAL_ERROR,
    HTML,
    NO_SUCH_ACTION,
    Post,
    WordPressSite,
)
from tailrace.replica._sites.wordpress.forms import post_fields
from tailrace.replica._sites.wordpress.php import integer, json_decode, sanitize

if TYPE_CHECKING:
    from aiohttp import web

    from tailrace.replica._sites.wordpress.pages import PluginParts

INLINE_ACTION = "wpaicg_chat_shortcode_message"
FLOATING_ACTION = "wpaicg_chatbox_message"

Output = Callable[[Reply], Reply]


@dataclass(frozen=True, slots=True)
class Bot:
    """A chat bot. `page_streams` is what its tag says, `mode` what it does: they need not agree."""

    id: int
    mode: Mode
    page_streams: bool
    assistant: bool = False
    floating: bool = False


@dataclass(frozen=True, slots=True)
class ChatPage(Post):
    """A page of the site and the bots on it."""

    bots: tuple[Bot, ...] = ()


class AIPowerSite(WordPressSite):
    """The plugin's public side: pages that show a nonce, and the endpoint that wants it."""

    name: ClassVar[str] = "ai-power"
    version: ClassVar[Version] = NEWEST
    shows: ClassVar[str] = "WordPress with the chat plugin AI Power 1.9.18"
    pages: ClassVar[tuple[Page, ...]]
    markers: ClassVar[tuple[Marker[Any], ...]]

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._bots = {
            bot.id: bot
            for page in self.pages
            if isinstance(page, ChatPage)
            for bot in page.bots
            if bot.id
        }
        self._logs: dict[int, int] = {}

    def plugin_parts(self, origin: str, page: Page | None) -> PluginParts:
        """Return the page's widgets, and the script that is on every page."""
        nonce = self.nonces.current()
        if not isinstance(page, ChatPage):
            return plugin_parts(origin, nonce, ())
        return plugin_parts(
            origin, nonce, [self._widget(origin, page, bot, nonce) for bot in page.bots]
        )

    def _widget(self, origin: str, page: ChatPage, bot: Bot, nonce: str) -> Widget:
        return Widget(
            bot_id=bot.id,
            post_id=f"<{page.post_id}" if bot.floating else str(page.post_id),
            nonce=nonce,
            image_nonce=self.nonces.current("image upload"),
            url=f"{origin}{page.path}".rstrip("/"),
            streams=bot.page_streams,
            assistant=bot.assistant,
            floating=bot.floating,
            old=self.version.page_is_old,
        )

    async def page_of(self, request: web.Request) -> str:
        """The plugin's script sends it along."""
        return (await post_fields(request)).get("url", request.query.get("url", ""))

    async def ajax(self, request: web.Request) -> Reply:
        """Answer the two actions of the plugin, at the exchange's pace."""
        return replace(await self._act(request), pace=self._pace(request))

    async def _act(self, request: web.Request) -> Reply:
        form = await post_fields(request)
        if self.version.takes_get and request.method == "GET":
            form = dict(request.query)
        request[EXCHANGE].form = form
        action = form.get("action", request.query.get("action"))
        if action not in (INLINE_ACTION, FLOATING_ACTION):
            return NO_SUCH_ACTION
        if not self.nonces.accepts(form.get("_wpnonce", "")):
            return (
                _NONCE_REFUSED_WITH_200 if self.version.refuses_nonces_with_200 else _NONCE_REFUSED
            )
        if form.get("message", "") in ("", "0"):
            return error_json("There was nothing in the message.")
        return await self._chat(request, form, action)

    async def _chat(self, request: web.Request, form: Mapping[str, str], action: str) -> Reply:
        message = sanitize(form["message"], keep_lines=self.version.keeps_lines)
        gate, upstream = find_marker(GATES, message), find_marker(UPSTREAMS, message)
        changes = [marker for marker in OUTPUTS if marker.text in message]
        found = (gate, upstream, *changes)
        request[EXCHANGE].markers = tuple(marker.name for marker in found if marker is not None)
        bot = self._bots.get(integer(form.get("bot_id", ""))) or _DEFAULT_BOTS[action]
        turns = read_history(form.get("wpaicg_chat_history", ""))
        if self.version.history_ends_with_the_message and turns[-1:] == (Turn("user", message),):
            turns = turns[:-1]
        asked = self._asked(message, bot)
        outcome = Said() if upstream is None else upstream.play
        reply = await self._gated(
            bot.mode, asked, turns, None if gate is None else gate.play, outcome
        )
        for marker in changes:
            reply = marker.play(reply)
        return reply

    async def _gated(
        self,
        mode: Mode,
        asked: Asked,
        turns: Sequence[Turn],
        gate: Notice | Reply | None,
        outcome: Outcome,
    ) -> Reply:
        if isinstance(gate, Reply):
            return gate
        if gate is not None and not gate.answer_follows:
            return mode.notice(gate, None)
        if isinstance(outcome, Said) and outcome.text is None:
            outcome = await self._answered(outcome, asked.message, turns)
        reply = mode.reply(asked, outcome)
        if self.version.appends_the_json and isinstance(mode, ChatMode) and _is_whole(outcome):
            reply = replace(reply, chunks=[*reply.chunks, *JsonMode().reply(asked, outcome).chunks])
        return reply if gate is None else mode.notice(gate, reply)

    async def _answered(self, said: Said, message: str, turns: Sequence[Turn]) -> Outcome:
        try:
            return replace(said, text=await self.ask(message, turns))
        except AnswerError as failed:
            return Refused(failed.message)

    def _asked(self, message: str, bot: Bot) -> Asked:
        first = bot.id not in self._logs
        log = self._logs.setdefault(bot.id, len(self._logs) + 1)
        # The row is a number when it was just made, and a string when it was read back.
        return Asked(message, int(self.settings.clock()), log if first else str(log), _GREETING)

    def _pace(self, request: web.Request) -> float:
        return self.settings.pace * (10 if "slow" in request[EXCHANGE].markers else 1)


def _is_whole(outcome: Outcome) -> bool:
    return isinstance(outcome, Said) and outcome.ends in ("done", "nodone")


def read_history(text: str) -> tuple[Turn, ...]:
    r"""Read the posted history as the plugin does: every backslash is deleted before the JSON is
    read.

    So ``\u00e9`` becomes ``u00e9``, and a quote that was escaped breaks the JSON: the whole memory
    is then empty.
    """
    entries = json_decode(text.replace("\\", ""))
    if not isinstance(entries, list):
        return ()
    texts = (entry.get("text") if isinstance(entry, dict) else entry for entry in entries)
    return tuple(_turn(sanitize(entry)) for entry in texts if isinstance(entry, str))


def _turn(text: str) -> Turn:
    speaker, colon, said = text.partition(": ")
    if colon and speaker in ("Human", "AI"):
        return Turn("assistant" if speaker == "AI" else "user", said)
    return Turn("user", text)


def _before(debris: bytes) -> Output:
    return lambda reply: outputs.preceded(reply, debris)


def _gzip(reply: Reply) -> Reply:
    return replace(reply, coding="gzip")


def _slow(reply: Reply) -> Reply:
    return reply  # the pace is set for the whole exchange


_NONCE_REFUSED = Reply([b"The link you followed has expired."], HTML, 403, headers=AJAX_HEADERS)
_NONCE_REFUSED_WITH_200 = error_json("The nonce of this page is not valid.")
_GREETING = 'You are a guide to an imaginary harbour. Be brief.\n, Current context: "Harbour Notes"'
_LONG = " ".join(f"word{number}" for number in range(400))

DEFAULT = Bot(0, ChatMode(), page_streams=True)
# The page says that the floating bot does not stream, and the plugin streams (page_widget,
# widget_action_ok).
_FLOATING = Bot(0, ChatMode(), page_streams=False, floating=True)
STREAMING = Bot(4, ChatMode(), page_streams=True)
BUFFERED = Bot(5, JsonMode(), page_streams=False)
COMPLETION = Bot(8, CompletionMode(), page_streams=True)
_ASSISTANT = Bot(9, AssistantMode(), page_streams=True, assistant=True)

_DEFAULT_BOTS = {INLINE_ACTION: DEFAULT, FLOATING_ACTION: _FLOATING}

PAGES = (
    ChatPage("default", "/", "the default bot, streaming", 12, bots=(DEFAULT,)),
    ChatPage("stream", "/chat-stream/", "a bot that streams", 13, bots=(STREAMING,)),
    ChatPage(
        "json", "/chat-json/", "a bot that answers with one JSON object", 14, bots=(BUFFERED,)
    ),
    ChatPage("two", "/chat-two/", "two bots on one page", 15, bots=(STREAMING, BUFFERED)),
    ChatPage(
        "escaped",
        "/chat-escaped/",
        "a page whose text shows a fake nonce before the real one",
        24,
        # As text, and in every place whose content is no markup.
        f"The tag looks like this: <code>{FAKE_TAG.replace('<', '&lt;').replace('>', '&gt;')}</code>\n"
        f"<!-- {FAKE_TAG} -->\n<textarea readonly>{FAKE_TAG}</textarea>\n<script>/* {FAKE_TAG} */</script>",
        bots=(STREAMING,),
    ),
    ChatPage(
        "widget",
        "/chat-widget/",
        "a floating bot, its post id with a stray <",
        21,
        bots=(_FLOATING,),
    ),
    ChatPage(
        "assistant",
        "/chat-assistant/",
        "an Assistants bot, streaming named events",
        19,
        bots=(_ASSISTANT,),
    ),
    ChatPage(
        "completion", "/chat-completion/", "a bot on a completion model", 18, bots=(COMPLETION,)
    ),
    ChatPage(
        "no-chat", "/no-chat/", "no bot, yet a script with the nonce", 23, "Nobody to talk to here."
    ),
)

GATES: tuple[Marker[Notice | Reply], ...] = (
    Marker(
        "fatal",
        "a PHP error: 500 and a page of HTML",
        FATAL_ERROR,
    ),
    Marker(
        "maintenance",
        "the site is being updated: 503 and a page of HTML",
        Reply(
            [
                b"<!DOCTYPE html>\n<html>\n<head><title>Closed</title></head>\n<body><p>Back soon.</p></body></html>\n"
            ],
            HTML,
            503,
            headers=(*AJAX_HEADERS, ("Retry-After", "600")),
        ),
    ),
    Marker(
        "no-key",
        "no API key is set: JSON with status error, on streaming bots too",
        error_json("No key is set."),
    ),
    Marker(
        "token-limit",
        "the visitor's quota is used up: JSON without status, or one frame and no end marker",
        Notice(
            "Your share is used up \u2014 &quot;come back tomorrow&quot;.",
            "tokenLimitReached",
            status=False,
        ),
    ),
    Marker(
        "banned",
        "a banned word: JSON with status error, or a frame after which the answer still comes",
        Notice(
            "There is a word in your message that this site does not take.",
            "messageFlagged",
            answer_follows=True,
        ),
    ),
    Marker(
        "ip-banned",
        "a banned address: JSON with status error, or a frame after which the answer still comes",
        Notice(
            "This site does not take messages from your address.", "ipBanned", answer_follows=True
        ),
    ),
    Marker(
        "moderated",
        "moderation refused the message",
        Notice("Your message was refused.", "modflag"),
    ),
    Marker(
        "vector-store",
        "the vector store failed",
        Notice("The vector store answered: no index.", "pineconeError"),
    ),
)

UPSTREAMS: tuple[Marker[Outcome], ...] = (
    Marker(
        "upstream-401",
        "the upstream refuses the site's key: words as frames, twice; or JSON with status error",
        Refused(
            "The key sk-xxxx was not accepted. Keys are made at https://keys.example/account/keys."
        ),
    ),
    Marker(
        "upstream-429",
        "the upstream's rate limit",
        Refused("Too many requests: try again in 20 s (limit 3/min)."),
    ),
    Marker(
        "quote",
        "an upstream error with quotes in it: in a stream they make the JSON of its words invalid",
        Refused(
            'Not a valid value: "foo". Known values are: \'system\', "user" & others.\nSee the manual.'
        ),
    ),
    Marker("midfail", "the upstream fails after a few words: an error frame", Said(ends="midfail")),
    Marker("cut", "the upstream breaks off in the middle of a line", Said(ends="cut")),
    Marker("nodone", "the upstream forgets its [DONE]", Said(ends="nodone")),
    Marker(
        "stall",
        "after a few words nothing more comes, and the connection stays",
        Said(ends="stall"),
    ),
    Marker("silent", "not even a status line comes", Silent()),
    Marker("null", "the upstream's content is null: JSON mode puts an object into data", Null()),
    Marker(
        "unreachable",
        "the upstream cannot be reached: an empty stream; or JSON with status error",
        Unreachable(
            "cURL error 7: Failed to connect to 192.0.2.1 port 443 after 0 ms: Couldn't connect to server"
        ),
    ),
    Marker("long", "400 words that can be counted", Said(_LONG)),
    Marker("empty", "the upstream answers with an empty text", Said("")),
    Marker(
        "limited",
        "an exception in the plugin: words, then data: [LIMITED]",
        Threw("The plugin gave up."),
    ),
    Marker(
        "html502",
        "the upstream's proxy sends HTML: raw in a stream, empty data in JSON",
        Html(
            "<html>\n<head><title>502 Bad Gateway</title></head>\n<body><h1>502 Bad Gateway</h1></body>\n</html>\n"
        ),
    ),
)

OUTPUTS: tuple[Marker[Output], ...] = (
    Marker("bom", "another plugin's byte order mark before the reply", _before(outputs.BOM)),
    Marker("blank", "blank lines before the reply", _before(outputs.BLANK_LINES)),
    Marker("notices", "PHP notices, as HTML, before the reply", _before(outputs.NOTICES)),
    Marker("crlf", "lines end with CRLF", outputs.with_crlf),
    Marker(
        "split", "chunks of 37 bytes, wherever that cuts", lambda reply: outputs.split(reply, 37)
    ),
    Marker("gzip", "gzip, flushed at each frame, for clients that accept it", _gzip),
    Marker("slow", "ten times the pace", _slow),
)

AIPowerSite.pages = PAGES
AIPowerSite.markers = (*GATES, *UPSTREAMS, *OUTPUTS)
