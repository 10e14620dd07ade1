"""The plugin's 2.x line: two steps, refreshed nonces, the JSON mode; over a site that answers as
captured.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from calls_site import HTML, JSON, SSE, Asked, Line, Site

from tailrace import ChatGptt, WordPressChatProvider, scan_page
from tailrace._calls.token_cache import TokenCache
from tailrace.errors import (
    ConversationLimitError,
    NonceRefusedError,
    RateLimitError,
    ResponseStatusError,
    StreamError,
    TailraceError,
    TimeoutError,  # noqa: A004 - ours
    WidgetNotFoundError,
)

if TYPE_CHECKING:
    from tailrace.providers._page import SiteTokens

CAPTURES = Path(__file__).parents[2] / "vectors" / "captures" / "ai-power"
REFUSED = (CAPTURES / "2.4.71" / "cache_nonce_wrong.body").read_bytes()
EMPTY = (CAPTURES / "2.4.71" / "cache_message_empty.body").read_bytes()
OLD_NONCE, NEW_NONCE = "8512e107cd", "99aa88bb77"
TEXT = (
    'Echo of 2-message prompt: **Hello bot, what is 2+2?** — café ☃ 😀 "quoted" '
    "<b>tag</b> a\\b\nline two & end."
)
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello bot, what is 2+2?"},
]


def stream(name: str) -> bytes:
    return (CAPTURES / "2.4.71" / f"{name}.2stream.body").read_bytes()


@dataclass
class AIPKit:
    """The plugin as far as a call meets it.

    `good`: the nonces it takes; `replies`: what the second step answers.
    """

    page: str = "2.4.71/page_inline"
    good: set[str] = field(default_factory=lambda: {OLD_NONCE})
    replies: list[bytes] = field(default_factory=lambda: [stream("ok")])
    knows_refresh: bool = True
    debris: bytes = b""
    port: int = 0
    steps: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def answer(self, asked: Asked, line: Line) -> None:
        query = dict(parse_qsl(urlsplit(asked.path).query))
        form = asked.form if asked.method == "POST" else query
        if "action" not in form:
            self.steps.append(("page", {}))
            page = (CAPTURES / f"{self.page}.body").read_bytes()
            await line.reply(
                page.replace(b"18088", str(self.port).encode()).replace(
                    b"18087", str(self.port).encode()
                )
            )
            return
        self.steps.append((form["action"], form))
        await getattr(self, form["action"])(form, line)

    async def aipkit_cache_sse_message(self, form: dict[str, str], line: Line) -> None:
        if form["_ajax_nonce"] not in self.good:
            await line.reply(REFUSED, JSON, "403 Forbidden")
        elif form["message"] in ("", "0"):
            await line.reply(EMPTY, JSON, "400 Bad Request")
        else:
            await line.reply(
                self.debris + b'{"success":true,"data":{"cache_key":"aipkit_sse_key"}}', JSON
            )

    async def aipkit_frontend_chat_stream(self, form: dict[str, str], line: Line) -> None:
        assert form["cache_key"] == "aipkit_sse_key"
        await line.reply(self.replies.pop(0), SSE)

    async def aipkit_get_frontend_chat_nonce(self, form: dict[str, str], line: Line) -> None:
        assert form["bot_id"] == "5"
        if self.knows_refresh:
            await line.reply(
                json.dumps({"success": True, "data": {"nonce": NEW_NONCE}}).encode(), JSON
            )
        else:
            await line.reply(b"0", HTML, "400 Bad Request")

    async def aipkit_frontend_chat_message(self, form: dict[str, str], line: Line) -> None:
        if form["_ajax_nonce"] not in self.good:
            await line.reply(
                (CAPTURES / "2.4.0" / "json_nonce_wrong.body").read_bytes(), JSON, "403 Forbidden"
            )
        elif "429" in form["message"]:
            await line.reply(
                (CAPTURES / "2.4.0" / "json_upstream_err429.body").read_bytes(),
                JSON,
                "429 Too Many",
            )
        else:
            await line.reply((CAPTURES / "2.4.0" / "json_ok.body").read_bytes(), JSON)

    def names(self) -> list[str]:
        return [name.removeprefix("aipkit_") for name, _ in self.steps]


CACHE, STREAM, NONCE = "cache_sse_message", "frontend_chat_stream", "get_frontend_chat_nonce"


async def ask(
    plugin: AIPKit,
    messages: list[dict[str, str]] | None = None,
    cache: TokenCache[SiteTokens] | None = None,
    *,
    provider: type[WordPressChatProvider] = WordPressChatProvider,
    **options: Any,
) -> tuple[str, TailraceError | None, dict[str, str]]:
    """One call on a site of its own: text, error, ids."""
    async with Site(plugin.answer) as site:
        plugin.port = site.port
        return await ask_at(site.url, messages, cache, provider=provider, **options)


async def ask_at(
    url: str,
    messages: list[dict[str, str]] | None = None,
    cache: TokenCache[SiteTokens] | None = None,
    *,
    provider: type[WordPressChatProvider] = WordPressChatProvider,
    **options: Any,
) -> tuple[str, TailraceError | None, dict[str, str]]:
    text = ""
    options["token_cache"] = TokenCache() if cache is None else cache
    async with provider.create_async_generator(
        "", messages or MESSAGES, url=url, **options
    ) as stream_:
        try:
            async for delta in stream_:
                text += delta
        except TailraceError as error:
            return text, error, stream_.ids
        return text, None, stream_.ids


async def test_the_two_steps() -> None:
    plugin = AIPKit()
    text, error, ids = await ask(plugin)
    assert (text, error) == (TEXT, None)
    assert ids["openai_response_id"] == "resp_mock1"
    assert plugin.names() == ["page", CACHE, STREAM]
    first, second = plugin.steps[1][1], plugin.steps[2][1]
    assert list(first) == ["action", "message", "_ajax_nonce", "bot_id", "user_client_message_id"]
    assert first["message"] == "System: Be brief.\nUser: Hello bot, what is 2+2?\nAssistant:"
    assert list(second) == [
        "action", "cache_key", "bot_id", "session_id", "conversation_uuid", "post_id", "_ts",
        "_ajax_nonce",
    ]  # fmt: skip
    assert (second["bot_id"], second["post_id"], second["_ajax_nonce"]) == ("5", "12", OLD_NONCE)


async def test_a_first_step_that_drips_is_silence() -> None:
    plugin = AIPKit()
    left = asyncio.Event()

    async def drip(form: dict[str, str], line: Line) -> None:
        del form
        await line.begin(JSON)
        with suppress(ConnectionError):
            while not left.is_set():
                await line.chunks([b" "])
                await asyncio.sleep(0.01)

    plugin.aipkit_cache_sse_message = drip  # type: ignore[method-assign]
    _, error, _ = await ask(plugin, timeout=0.2)
    left.set()
    assert isinstance(error, TimeoutError)
    assert error.phase == "idle"


@pytest.mark.parametrize(
    "debris", [b"\xef\xbb\xbf", b"<br />\n<b>Notice</b>: {in} x.php<br />\n", b"\r\n \t"]
)
async def test_what_other_plugins_print_before_the_key(debris: bytes) -> None:
    text, error, _ = await ask(AIPKit(debris=debris))
    assert (text, error) == (TEXT, None)


async def test_a_seed_follows_when_its_site_upgrades() -> None:
    plugin = AIPKit()
    text, error, _ = await ask(plugin, provider=ChatGptt)
    assert (text, error) == (TEXT, None)


async def test_ids_of_an_earlier_dialogue_are_sent() -> None:
    plugin = AIPKit()
    given: dict[str, Any] = {
        "session_id": "guest-1",
        "conversation_uuid": "talk-1",
        "previous_openai_response_id": "resp_0",
    }
    await ask(plugin, **given)
    assert {name: plugin.steps[2][1][name] for name in given} == given


async def test_one_page_for_two_calls() -> None:
    plugin = AIPKit(replies=[stream("ok"), stream("ok_second_turn_same_conversation")])
    cache: TokenCache[SiteTokens] = TokenCache()
    async with Site(plugin.answer) as site:
        plugin.port = site.port
        for _ in range(2):
            _, error, _ = await ask_at(site.url, cache=cache)
            assert error is None
    assert plugin.names() == ["page", CACHE, STREAM, CACHE, STREAM]


async def test_a_refused_nonce_is_refreshed_at_its_own_endpoint() -> None:
    """Even one the page has just shown: a page cache does not stand before that endpoint."""
    plugin = AIPKit(good={NEW_NONCE})
    text, error, _ = await ask(plugin)
    assert (text, error) == (TEXT, None)
    assert plugin.names() == ["page", CACHE, NONCE, CACHE, STREAM]


async def test_a_nonce_refused_twice_is_an_error() -> None:
    plugin = AIPKit(good=set())
    text, error, _ = await ask(plugin)
    assert (text, type(error)) == ("", NonceRefusedError)
    assert plugin.names() == ["page", CACHE, NONCE, CACHE]


async def test_without_the_refresh_endpoint_the_page_is_asked() -> None:
    plugin = AIPKit(good=set(), knows_refresh=False)
    _, error, _ = await ask(plugin)
    assert type(error) is NonceRefusedError
    assert plugin.names() == ["page", CACHE, NONCE, "page"]


WALL = b"<html><head><title>403 Forbidden</title></head><body>nginx</body></html>"


@pytest.mark.parametrize("step", [CACHE, STREAM])
@pytest.mark.parametrize("body", [WALL, b"The link you followed has expired.", b"", b"{}"])
async def test_a_403_without_the_plugins_code_refuses_no_nonce(step: str, body: bytes) -> None:
    class Guarded(AIPKit):
        async def answer(self, asked: Asked, line: Line) -> None:
            if f"aipkit_{step}" in asked.path or f"aipkit_{step}".encode() in asked.body:
                self.steps.append((f"aipkit_{step}", {}))
                await line.reply(body, "text/html", "403 Forbidden")
            else:
                await super().answer(asked, line)

    plugin = Guarded()
    _, error, _ = await ask(plugin)
    assert type(error) is ResponseStatusError
    assert "something in front of the site forbids admin-ajax.php to this client" in str(error)
    assert plugin.names() == ["page", CACHE, STREAM][: 2 if step == CACHE else 3]


async def test_the_plugins_own_words_of_a_403_stay() -> None:
    class Foreign(AIPKit):
        async def aipkit_cache_sse_message(self, form: dict[str, str], line: Line) -> None:
            del form
            body = b'{"success":false,"data":{"message":"This page may not talk to this site."}}'
            await line.reply(body, JSON, "403 Forbidden")

    _, error, _ = await ask(Foreign())
    assert type(error) is ResponseStatusError
    assert error.message == "This page may not talk to this site."


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (b"<br />\nNotice: x in y\n", b""),
        (b"<input type=hidden>", b""),
        (b"0", b"\n<!-- cached by nobody -->"),
        (b"", b"0"),
        (b"\xef\xbb\xbf", b'{"success":false}'),
        (b"{not json} ", b"\x00[DONE]"),
    ],
)
async def test_what_stands_around_the_first_steps_json(before: bytes, behind: bytes) -> None:
    class Noisy(AIPKit):
        async def aipkit_cache_sse_message(self, form: dict[str, str], line: Line) -> None:
            del form
            key = b'{"success":true,"data":{"cache_key":"aipkit_sse_key"}}'
            await line.reply(before + key + behind, JSON)

    text, error, _ = await ask(Noisy())
    assert (text, error) == (TEXT, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"success":true,"data":{}}',
        b'{"success":true,"data":{"cache_key":""}}',
        b'{"success":true,"data":{"cache_key":"\\ud800"}}',
        b'{"success":true,"data":' + b'{"a":' * 9000,
        b'{"success":true,"data":{"cache_key":"' + b"k" * 300 + b'"}}',
        b"<title>Welcome</title>",
    ],
)
async def test_a_first_step_that_gives_no_key(body: bytes) -> None:
    class Keyless(AIPKit):
        async def aipkit_cache_sse_message(self, form: dict[str, str], line: Line) -> None:
            del form
            await line.reply(body, JSON)

    plugin = Keyless()
    _, error, _ = await ask(plugin)
    assert isinstance(error, StreamError)
    assert error.message.startswith("the message was not taken: ")
    assert plugin.names() == ["page", CACHE]


async def test_the_second_step_refuses_a_cached_nonce_in_words_only() -> None:
    plugin = AIPKit(replies=[stream("ok"), stream("stream_nonce_wrong"), stream("ok")])
    cache: TokenCache[SiteTokens] = TokenCache()
    plugin.good.add(NEW_NONCE)
    async with Site(plugin.answer) as site:
        plugin.port = site.port
        await ask_at(site.url, cache=cache)
        text, error, _ = await ask_at(site.url, cache=cache)
    assert (text, error) == (TEXT, None)
    assert plugin.names()[3:] == [CACHE, STREAM, NONCE, CACHE, STREAM]


async def test_an_error_after_the_start_is_no_refusal() -> None:
    plugin = AIPKit(replies=[stream("ok"), stream("upstream_err401")])
    cache: TokenCache[SiteTokens] = TokenCache()
    async with Site(plugin.answer) as site:
        plugin.port = site.port
        await ask_at(site.url, cache=cache)
        _, error, _ = await ask_at(site.url, cache=cache)
    assert isinstance(error, StreamError)
    assert "Incorrect API key provided" in error.message
    assert plugin.names()[3:] == [CACHE, STREAM]


@pytest.mark.parametrize(
    ("name", "kind", "says", "before"),
    [
        ("upstream_err401", StreamError, "Incorrect API key provided", ""),
        ("upstream_midcut", StreamError, "Connection Error", "Echo of 2-message prompt: *"),
        ("token_limit_second", ConversationLimitError, "Guest quota reached", ""),
        ("stream_nonce_wrong", StreamError, "Security check failed", ""),
    ],
)
async def test_errors_of_the_second_step(
    name: str, kind: type[StreamError], says: str, before: str
) -> None:
    plugin = AIPKit(replies=[stream(name)])
    text, error, _ = await ask(plugin)
    assert isinstance(error, StreamError)
    assert type(error) is kind
    assert says in error.message
    assert text == before
    assert plugin.names() == ["page", CACHE, STREAM]


async def test_an_empty_message_is_the_sites_to_refuse() -> None:
    plugin = AIPKit()
    _, error, _ = await ask(plugin, [{"role": "user", "content": "0"}])
    assert type(error) is ResponseStatusError
    assert (error.status, error.code) == (400, "empty_data_to_cache")
    assert plugin.names() == ["page", CACHE]


async def test_the_json_mode() -> None:
    plugin = AIPKit(page="2.4.0/page_json", good={OLD_NONCE})
    text, error, ids = await ask(plugin)
    assert (text, error) == (TEXT.replace("2-message", "3-message"), None)
    assert ids["openai_response_id"] == "resp_mock1"
    assert plugin.names() == ["page", "frontend_chat_message"]
    assert plugin.steps[1][1]["bot_id"] == "12"


async def test_the_json_mode_tells_the_real_status() -> None:
    plugin = AIPKit(page="2.4.0/page_json")
    _, error, _ = await ask(plugin, [{"role": "user", "content": "429 please"}])
    assert type(error) is RateLimitError
    assert error.status == 429


async def test_a_bot_by_its_name() -> None:
    plugin = AIPKit(page="2.4.71/page_two")
    page = (CAPTURES / "2.4.71" / "page_two.body").read_bytes()
    names = {widget.name: widget.bot_id for widget in scan_page(page).widgets}
    assert sorted(names.values()) == ["5", "6"]
    for name, bot_id in names.items():
        plugin.steps.clear()
        plugin.replies.append(stream("ok"))
        _, error, _ = await ask(plugin, bot_name=name)
        assert error is None
        assert plugin.steps[1][1]["bot_id"] == bot_id
    _, error, _ = await ask(plugin, bot_name="Nobody")
    assert isinstance(error, WidgetNotFoundError)
    assert "Nobody" in str(error)
