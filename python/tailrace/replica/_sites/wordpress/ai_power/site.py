"""WordPress sites with the plugin AI Power 1.x, in 1.9.18 and in older versions.

Checks stand in the plugin's order (captures ``ai-power/1.*``): action, nonce, message, the plugin's
own refusals, and only then the upstream.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica._answers import AnswerError, HistoryTurn
from tailrace.replica._response import SiteResponse
from tailrace.replica._site import EXCHANGE, Marker, SitePage, SiteSettings, find_behavior
from tailrace.replica._sites.outcomes import ModelAnswer, UpstreamFailure
from tailrace.replica._sites.wordpress.ai_power.framing import (
    AIPowerOutcome,
    ChatFacts,
    ChatMode,
    JsonMode,
    Mode,
    Notice,
    error_json,
)
from tailrace.replica._sites.wordpress.ai_power.markers import OUTCOMES, REFUSALS, TRANSFORMS
from tailrace.replica._sites.wordpress.ai_power.pages import (
    DEFAULT_BOTS,
    FLOATING_ACTION,
    INLINE_ACTION,
    OLD_PAGES,
    PAGES,
    AIPowerBot,
    AIPowerPage,
)
from tailrace.replica._sites.wordpress.ai_power.versions import NEWEST, Version
from tailrace.replica._sites.wordpress.ai_power.widgets import AIPowerWidget, plugin_parts
from tailrace.replica._sites.wordpress.php import (
    intval,
    json_decode,
    post_fields,
    sanitize_text_field,
)
from tailrace.replica._sites.wordpress.site import (
    AJAX_HEADERS,
    HTML,
    NO_SUCH_ACTION,
    WordPressSite,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

    from tailrace.replica._sites.wordpress.theme import PluginParts


class AIPowerSite(WordPressSite):
    """The newest version: pages that show a nonce, and the endpoint that wants it."""

    name: ClassVar[str] = "ai-power"
    version: ClassVar[Version] = NEWEST
    shows: ClassVar[str] = "WordPress with the chat plugin AI Power 1.9.18"
    pages: ClassVar[tuple[SitePage, ...]] = PAGES
    markers: ClassVar[tuple[Marker[Any], ...]] = (*REFUSALS, *OUTCOMES, *TRANSFORMS)

    def __init__(self, settings: SiteSettings) -> None:
        super().__init__(settings)
        self._bots = {
            bot.id: bot
            for page in self.pages
            if isinstance(page, AIPowerPage)
            for bot in page.bots
            if bot.id
        }
        self._logs: dict[int, int] = {}

    def plugin_parts(self, origin: str, page: SitePage | None) -> PluginParts:
        """Return the page's widgets, and the script that every page of the site has."""
        nonce = self.nonces.current()
        if not isinstance(page, AIPowerPage):
            return plugin_parts(origin, nonce, ())
        return plugin_parts(
            origin, nonce, [self._widget(origin, page, bot, nonce) for bot in page.bots]
        )

    def _widget(self, origin: str, page: AIPowerPage, bot: AIPowerBot, nonce: str) -> AIPowerWidget:
        return AIPowerWidget(
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
        """Return the page's URL, which the plugin's script sends along."""
        return (await post_fields(request)).get("url", request.query.get("url", ""))

    async def ajax(self, request: web.Request) -> SiteResponse:
        """Answer one of the plugin's two actions."""
        return replace(await self._act(request), pace=self._pace(request))

    async def _act(self, request: web.Request) -> SiteResponse:
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

    async def _chat(
        self, request: web.Request, form: Mapping[str, str], action: str
    ) -> SiteResponse:
        message = sanitize_text_field(form["message"], keep_newlines=self.version.keeps_lines)
        exchange = request[EXCHANGE]
        refusal = find_behavior(REFUSALS, message, exchange)
        outcome = find_behavior(OUTCOMES, message, exchange) or ModelAnswer()
        changes = [marker for marker in TRANSFORMS if marker.text in message]
        exchange.markers += tuple(marker.name for marker in changes)
        bot = self._bots.get(intval(form.get("bot_id", ""))) or DEFAULT_BOTS[action]
        turns = read_history(form.get("wpaicg_chat_history", ""))
        current = HistoryTurn("user", message)
        if self.version.history_ends_with_the_message and turns[-1:] == (current,):
            turns = turns[:-1]
        facts = self._facts(message, bot)
        response = await self._respond(bot.mode, facts, turns, refusal, outcome)
        for marker in changes:
            response = marker.behavior(response)
        return response

    async def _respond(
        self,
        mode: Mode,
        facts: ChatFacts,
        turns: Sequence[HistoryTurn],
        refusal: Notice | SiteResponse | None,
        outcome: AIPowerOutcome | SiteResponse,
    ) -> SiteResponse:
        if isinstance(refusal, SiteResponse):
            return refusal
        if refusal is not None and not refusal.answer_follows:
            return mode.notice(refusal, None)
        response = await self._answer(mode, facts, turns, outcome)
        return response if refusal is None else mode.notice(refusal, response)

    async def _answer(
        self,
        mode: Mode,
        facts: ChatFacts,
        turns: Sequence[HistoryTurn],
        outcome: AIPowerOutcome | SiteResponse,
    ) -> SiteResponse:
        if isinstance(outcome, SiteResponse):
            return outcome
        if isinstance(outcome, ModelAnswer) and outcome.text is None:
            outcome = await self._ask(outcome, facts.message, turns)
        response = mode.respond(facts, outcome)
        is_whole = isinstance(outcome, ModelAnswer) and outcome.is_whole
        if self.version.appends_the_json and isinstance(mode, ChatMode) and is_whole:
            appended = JsonMode().respond(facts, outcome).chunks
            return replace(response, chunks=[*response.chunks, *appended])
        return response

    async def _ask(
        self, answer: ModelAnswer, message: str, turns: Sequence[HistoryTurn]
    ) -> AIPowerOutcome:
        try:
            return replace(answer, text=await self.ask_model(message, turns))
        except AnswerError as failed:
            return UpstreamFailure(failed.message)

    def _facts(self, message: str, bot: AIPowerBot) -> ChatFacts:
        first = bot.id not in self._logs
        log = self._logs.setdefault(bot.id, len(self._logs) + 1)
        # The row is a number when it was just made, and a string when it was read back.
        created = int(self.settings.clock())
        return ChatFacts(message, created, log if first else str(log), _GREETING)

    def _pace(self, request: web.Request) -> float:
        return self.settings.pace * (10 if "slow" in request[EXCHANGE].markers else 1)


class AIPower1879Site(AIPowerSite):
    """The last version whose own page streams with an EventSource, which can only GET."""

    name: ClassVar[str] = "ai-power-1.8.79"
    version: ClassVar[Version] = Version(1, 8, 79)
    shows: ClassVar[str] = "AI Power 1.8.79: streams by GET too, and the whole JSON after [DONE]"
    pages: ClassVar[tuple[SitePage, ...]] = OLD_PAGES


class AIPower1890Site(AIPowerSite):
    """The last version that refuses a nonce with 200, and the last that takes a message by GET."""

    name: ClassVar[str] = "ai-power-1.8.90"
    version: ClassVar[Version] = Version(1, 8, 90)
    shows: ClassVar[str] = "AI Power 1.8.90: a refused nonce is 200 and JSON"
    pages: ClassVar[tuple[SitePage, ...]] = OLD_PAGES


class AIPower1895Site(AIPowerSite):
    """The last version that takes line ends out of the message."""

    name: ClassVar[str] = "ai-power-1.8.95"
    version: ClassVar[Version] = Version(1, 8, 95)
    shows: ClassVar[str] = (
        "AI Power 1.8.95: the message loses its line ends; a refused nonce is 403"
    )
    pages: ClassVar[tuple[SitePage, ...]] = OLD_PAGES


def read_history(text: str) -> tuple[HistoryTurn, ...]:
    r"""Read the posted history as the plugin does: it deletes backslashes, and then reads the JSON.

    So ``\u00e9`` becomes ``u00e9``, and an escaped quote breaks the JSON: no history is left.
    """
    entries = json_decode(text.replace("\\", ""))
    if not isinstance(entries, list):
        return ()
    texts = (entry.get("text") if isinstance(entry, dict) else entry for entry in entries)
    return tuple(_turn(sanitize_text_field(entry)) for entry in texts if isinstance(entry, str))


def _turn(text: str) -> HistoryTurn:
    speaker, colon, words = text.partition(": ")
    if colon and speaker in ("Human", "AI"):
        return HistoryTurn("assistant" if speaker == "AI" else "user", words)
    return HistoryTurn("user", text)


_NONCE_REFUSED = SiteResponse(
    [b"The link you followed has expired."], HTML, 403, headers=AJAX_HEADERS
)
_NONCE_REFUSED_WITH_200 = error_json("The nonce of this page is not valid.")
_GREETING = 'You are a guide to an imaginary harbour. Be brief.\n, Current context: "Harbour Notes"'
