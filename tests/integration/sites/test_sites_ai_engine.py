"""What `discover` and the doctor say of sites with AI Engine, and the captured replies through a
site: each with its outcome.
"""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import tailrace
from tailrace import Site, errors
from tailrace._calls.token_cache import TokenCache
from tailrace.recording import RecordingWriter, read_recording
from tailrace.replica import Replica
from tailrace.transport import RecordingTransport, make_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tailrace.sites import Diagnosis, Step

VECTORS = Path(__file__).parents[2] / "vectors"
CAPTURES = VECTORS / "captures" / "ai-engine"
REPLIES = json.loads((VECTORS / "replies" / "ai_engine.json").read_text())["cases"]
SESSION = b'{"success":true,"sessionId":"6b0c8fe4a7d03","restNonce":"86b2968f37"}'


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1) as running:
        yield running


def elements(version: str, page: str) -> str:
    """What the plugin put on a captured page."""
    text = (CAPTURES / version / "page-elements.txt").read_text()
    sections = dict(re.findall(r"^### (\S+)\n(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL))
    return str(sections[page])


@asynccontextmanager
async def serving(
    html: str,
    submit: Callable[[], web.Response] | None = None,
    session: Callable[[], web.Response] | None = None,
    posted: list[Any] | None = None,
) -> AsyncIterator[str]:
    """A site with a captured page, whose address is its own."""

    async def page(request: web.Request) -> web.Response:
        shown = html.replace("site.example", request.host)
        return web.Response(text=f"<title>Help</title>{shown}", content_type="text/html")

    async def start(_request: web.Request) -> web.Response:
        if session is not None:
            return session()
        return web.Response(body=SESSION, content_type="application/json")

    async def answer(request: web.Request) -> web.Response:
        assert submit is not None
        if posted is not None:
            posted.append(await request.json())
        return submit()

    app = web.Application()
    app.router.add_get("/help/", page)
    app.router.add_post("/wp-json/mwai/v1/start_session", start)
    app.router.add_post("/wp-json/mwai-ui/v1/chats/submit", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/help/"))


# -- discover --------------------------------------------------------------------------------------

RELEASES = {
    "1.9.99": "or up to 2.0.0",
    "2.0.9": "2.0.1 to 2.4.3",
    "2.8.0": "2.4.4 to 2.8.4",
    "3.0.1": "2.8.5 to 3.5.1",
    "3.6.2": "3.5.2 or later",
}


@pytest.mark.parametrize("version", RELEASES)
async def test_a_captured_page_with_two_bots(version: str) -> None:
    async with serving(elements(version, "page-two-bots")) as url:
        found = await tailrace.discover(url)
    home = url.removesuffix("/help/")
    assert (found.software, found.dialect, found.usable) == ("ai-engine", "ai-engine", True)
    assert found.endpoint == f"{home}/wp-json"
    assert not found.endpoint_is_guess
    assert RELEASES[version] in (found.release or "")
    assert [(bot.bot_id, bot.name, bot.kind, bot.missing) for bot in found.bots] == [
        ("default", "AI", "ai-engine", ()),
        ("chatbot-qmv3ka", "Otto", "ai-engine", ()),
    ]
    settings = found.settings(bot="chatbot-qmv3ka")
    assert (settings.software, settings.bot) == ("ai-engine", "chatbot-qmv3ka")


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("page-no-bot", "no chat widget found"),
        ("page-unknown-bot", "AI Engine has no bot 'nobody'"),
        ("page-plugin-off", "shows the plugin's shortcode as text, [mwai_chatbot]"),
        ("page-module-off", "shows the plugin's shortcode as text, [mwai_chatbot]"),
    ],
)
async def test_a_captured_page_without_one(version: str, page: str, says: str) -> None:
    if version == "1.9.99" and page.endswith("-off"):
        return  # not captured
    async with serving(elements(version, page)) as url:
        found = await tailrace.discover(url)
    assert (found.usable, found.bots, found.endpoint) == (False, (), None)
    assert says in found.problems[0]


async def test_a_shortcode_of_an_older_version_with_much_in_it() -> None:
    said = "Speak of the tide. " * 60
    html = f'<p>[mwai_chatbot_v2 id="default" context="{said}"]</p>'
    async with serving(html) as url:
        found = await tailrace.discover(url)
    (problem,) = found.problems
    assert 'shortcode as text, [mwai_chatbot_v2 id="default" context="Speak of' in problem
    assert "…]: the plugin is off" in problem
    assert len(problem) < 300


async def test_a_custom_id_is_a_bots_name() -> None:
    async with serving(elements("3.6.2", "page-custom-id")) as url:
        found = await tailrace.discover(url)
    assert [(bot.bot_id, bot.missing) for bot in found.bots] == [("harbour1", ())]


async def test_bots_of_one_id_are_told_apart_by_their_settings() -> None:
    html = elements("3.6.2", "page-inline") + elements("3.6.2", "page-custom-params")
    settings = "a0c77de03dfedeb91952230745d9d3f1"
    posted: list[Any] = []

    def answer() -> web.Response:
        return web.Response(body=b'{"success":true,"reply":"Hi"}', content_type="application/json")

    async with serving(html, answer, posted=posted) as url:
        found = await tailrace.discover(url)
        assert [bot.bot_id for bot in found.bots] == ["default", settings]
        assert found.settings(bot=settings).bot == settings
        for bot in ("default", settings):
            site = Site(url, software="ai-engine", bot=bot, token_cache=TokenCache())
            assert await site.ask("hello") == "Hi"
    assert [each["customId"] for each in posted] == [None, settings]


async def test_a_bot_that_cannot_be_read_is_of_no_known_version() -> None:
    html = "<div class='mwai-chatbot-container' data-params='{' data-system='{'></div>"
    async with serving(html) as url:
        found = await tailrace.discover(url)
    assert not found.usable
    assert found.release == "AI Engine; the page does not say which version"
    assert found.bots[0].missing == ("bot id", "address")


async def test_a_page_of_both_plugins_shows_both() -> None:
    other = (
        '<div class="wpaicg-chat-shortcode" data-nonce="c0ffee1234" data-post-id="7" '
        'data-bot-id="4"></div>'
    )
    for html in (
        elements("3.6.2", "page-inline") + other,
        other + elements("3.6.2", "page-inline"),
    ):
        async with serving(html) as url:
            found = await tailrace.discover(url)
        assert {(bot.bot_id, bot.kind) for bot in found.bots} == {
            ("default", "ai-engine"),
            ("4", "ai-power"),
        }
        assert (found.software, found.usable, found.problems) == ("wordpress", True, ())
        assert found.dialect == found.bots[0].kind


async def test_an_address_on_another_server_is_a_problem() -> None:
    html = elements("3.6.2", "page-inline").replace("site.example", "other.invalid")
    async with serving(html) as url:
        found = await tailrace.discover(url)
    assert not found.usable
    assert "names an endpoint at other.invalid" in found.problems[0]
    assert found.bots[0].endpoint is None


# -- the doctor ------------------------------------------------------------------------------------


async def examined(url: str, **options: Any) -> Diagnosis:
    return await tailrace.doctor(url, keep=False, **options)


def failed(found: Diagnosis, step: str) -> Step:
    assert found.failed is not None
    assert found.failed.name == step, found.failed
    assert found.failed.advice
    return found.failed


ERAS = {
    "ai-engine": "the site gives one, and takes it",
    "ai-engine-3.0.1": "the site gives one, and takes it",
    "ai-engine-2.8.0": "the site gives one, and takes it",
    "ai-engine-2.0.9": "the site takes it",
    "ai-engine-1.9.99": "the site wants none",
}


@pytest.mark.parametrize("software", ["ai-engine", "wordpress"])
@pytest.mark.parametrize("era", ERAS)
async def test_a_healthy_site(era: str, software: Any, replica: Replica) -> None:
    found = await examined(replica.page(era, "inline"), software=software)
    assert found.answered
    assert next(step.detail for step in found.steps if step.name == "nonce") == ERAS[era]
    without = await examined(replica.page(era, "inline"), software=software, post=False)
    assert without.failed is None
    assert [step.verdict for step in without.steps[-3:]] == ["skipped"] * 3


FAULTS = {
    "rest-closed": ("nonce", "must let /wp-json/mwai/v1 and /wp-json/mwai-ui/v1 through"),
    "rest-closed:forbidden": ("nonce", "closes WordPress's REST API to visitors"),
    "owner-refuses": ("post", "lets no visitor ask"),
    "chat-off": ("widget", "the chat plugin is off"),
    "plugin-off": ("widget", "the chat plugin is off"),
    "maintenance": ("page", "closed for maintenance"),
    "maintenance@answer": ("nonce", "closed for maintenance"),
    "guard@answer": ("nonce", "the REST API (wp-json) to this client"),
    "guard@page": ("page", "the page to this client"),
    "503@answer": ("nonce", "wait and try again"),
    "429@answer": ("nonce", "ask less often"),
    "redirect:login": ("nonce", "visitors must be logged in"),
    "empty:post": ("nonce", "look at the permalinks"),
    "basic-auth@answer": ("nonce", "https://user:password@"),
    "challenge:header": ("nonce", "solves no challenge"),
    "expiring-nonce": ("nonce", "binds nonces to visitors"),
    "cut@answer": ("nonce", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_has_its_step_and_advice(fault: str, replica: Replica) -> None:
    step, advises = FAULTS[fault]
    replica.fault("ai-engine", fault)
    found = failed(await examined(replica.page("ai-engine", "inline")), step)
    assert advises in (found.advice or "")


@pytest.mark.parametrize(
    "fault", ["printed", "cookie-guard", "subfolder", "notices", "bom", "gzip"]
)
async def test_what_a_site_recovers_from_is_no_failure(fault: str, replica: Replica) -> None:
    for era in ERAS:
        found = await examined(replica.page(era, "inline", fault))
        assert found.answered, (era, found.failed)


WORDS = {
    "quota": ("first delta", "is used up"),
    "asleep": ("first delta", "is used up"),
    "banned": ("first delta", "has banned this address, or a word"),
    "rejected": ("first delta", "the bot is not there any more, or the message is too long"),
    "not-allowed": ("first delta", "the owner's code refuses"),
    "moderated": ("first delta", "moderation of the site refuses"),
    "owner-words": ("first delta", "as its words say"),
    "no-key": ("first delta", "must choose its environment and its model"),
    "no-model": ("first delta", "must choose its environment and its model"),
    "upstream-401": ("first delta", "the model's key, limits and place"),
    "upstream-reset": ("first delta", "was silent or broke off"),
    "midcut": ("end", "was silent or broke off"),
    "midtimeout": ("end", "was silent or broke off"),
    "fatal": ("end", "PHP's error log and time limit"),
    "fatal-early": ("post", "PHP's error log"),
    "blanks": ("end", "answered with nothing to be shown"),
    "empty": ("first delta", "has no answer"),
}


@pytest.mark.parametrize("word", WORDS)
async def test_every_refusal_has_its_advice(word: str, replica: Replica) -> None:
    step, advises = WORDS[word]
    found = await examined(replica.page("ai-engine", "inline"), message=f"[[{word}]]")
    assert advises in (failed(found, step).advice or "")


async def test_a_page_without_a_bot_of_a_site_with_the_plugin(replica: Replica) -> None:
    page = replica.page("ai-engine", "no-chat")
    found = failed(await examined(page), "widget")
    assert "the site has the plugin AI Engine, and this page shows no chat" in (found.advice or "")


async def test_the_plugin_is_found_where_permalinks_are_plain() -> None:
    """A site whose ``/wp-json/`` is a page like any other."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<title>Home</title>Nothing here.", content_type="text/html")

    async def index(request: web.Request) -> web.Response:
        assert request.query["rest_route"] == "/"
        return web.json_response({"namespaces": ["mwai-ui/v1", "mwai/v1", "wp/v2"]})

    app = web.Application()
    app.router.add_get("/index.php", index)
    app.router.add_get("/{path:.*}", page)
    async with TestServer(app) as server:
        found = failed(await examined(str(server.make_url("/"))), "widget")
    assert "the site has the plugin AI Engine, and this page shows no chat" in (found.advice or "")


async def test_the_doctor_names_a_bot_by_its_settings(replica: Replica) -> None:
    found = await examined(replica.page("ai-engine", "custom"), post=False)
    detail = next(step.detail for step in found.steps if step.name == "widget")
    assert detail.startswith("bot harbour1, inline, 1 on the page")


async def test_a_stale_page_of_an_older_version(replica: Replica) -> None:
    replica.fault("ai-engine-2.0.9", "cached-page")
    found = failed(await examined(replica.page("ai-engine-2.0.9", "inline")), "nonce")
    assert "exclude the chat's page from caching" in (found.advice or "")


# -- captured replies through a site ---------------------------------------------------------------


@dataclass(frozen=True)
class Captured:
    case: dict[str, Any]

    @property
    def is_session(self) -> bool:
        return "session" in self.case["name"] and self.case["name"].rpartition("-")[2] != "stream"

    def reply(self) -> web.Response:
        return web.Response(
            body=(VECTORS / "captures" / self.case["file"]).read_bytes(),
            status=self.case["status"],
            headers={"Content-Type": self.case["content_type"]},
        )


MESSAGES = [Captured(case) for case in REPLIES if not Captured(case).is_session]
SESSIONS = [Captured(case) for case in REPLIES if Captured(case).is_session]
CODES = {
    "rest_cookie_invalid_nonce": errors.NonceRefusedError,
    "limit_reached": errors.ConversationLimitError,
}


@pytest.mark.parametrize("captured", MESSAGES, ids=lambda each: each.case["name"])
async def test_a_captured_reply_has_its_outcome(captured: Captured) -> None:
    case, failure, text = captured.case, None, ""
    async with serving(elements("3.6.2", "page-inline"), captured.reply) as url:
        site = Site(url, software="ai-engine", token_cache=TokenCache())
        async with site.stream("hello") as answer:
            try:
                async for each in answer:
                    text += each
            except errors.StreamError as error:
                failure = error
    assert text == case["text"]
    assert answer.end == case["end"]
    expected = case.get("error")
    if expected is None:
        assert failure is None
        return
    assert failure is not None
    assert (failure.kind, failure.code) == (expected["kind"], expected["code"])
    if not isinstance(failure, errors.NonceRefusedError):  # which says why
        assert expected.get("message", "") in failure.message
    wanted = CODES.get(expected["code"])
    assert wanted is None or type(failure) is wanted
    assert "86b2968f37" not in f"{failure} {failure!r}"


@pytest.mark.parametrize("captured", SESSIONS, ids=lambda each: each.case["name"])
async def test_a_captured_session_is_used_or_told_of(captured: Captured) -> None:
    case = captured.case

    def answer() -> web.Response:
        return web.Response(body=b'{"success":true,"reply":"Hi"}', content_type="application/json")

    async with serving(elements("3.6.2", "page-inline"), answer, captured.reply) as url:
        site = Site(url, software="ai-engine", token_cache=TokenCache())
        no_session = case["status"] >= 400 and (case["error"] or {})["code"] != "rest_no_route"
        if no_session:
            with pytest.raises(errors.ResponseStatusError) as raised:
                await site.ask("hello")
            assert raised.value.code == case["error"]["code"]
        else:
            assert await site.ask("hello") == "Hi"


# -- recordings ------------------------------------------------------------------------------------


async def test_a_recording_holds_neither_nonce_nor_session_nor_words(
    replica: Replica, tmp_path: Path
) -> None:
    cache: TokenCache[Any] = TokenCache()
    site = Site(replica.page("ai-engine", "inline"), software="ai-engine", token_cache=cache)
    file = tmp_path / "call.jsonl"
    with RecordingWriter(file) as writer:
        async with RecordingTransport(make_transport(), writer) as transport:
            assert await site.ask("a prompt of mine", transport=transport)
    tokens = next(iter(cache._entries.values())).value
    text = file.read_text()
    for secret in (tokens.nonce, tokens.engine.session_id, *tokens.cookies.values()):
        assert secret not in text
    assert "a prompt of mine" not in json.dumps(
        [each.request.body for each in read_recording(file).exchanges]
    )
