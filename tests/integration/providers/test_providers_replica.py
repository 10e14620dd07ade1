"""The providers against the replica: what each must show, and what went over the wire."""

from __future__ import annotations

import asyncio
import json
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tailrace import ChatGptEs, ChatgptFree, ChatGptt, GPROChat, WordPressChatProvider, sign_request
from tailrace._calls.token_cache import TokenCache
from tailrace._environment import Environment
from tailrace._messages import parse_messages
from tailrace.errors import InvalidRequestError, MissingAuthError, StreamError
from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tailrace.providers import ChatProvider
    from tailrace.replica import ServedExchange

WORDPRESS: list[type[WordPressChatProvider]] = [ChatGptt, ChatgptFree, ChatGptEs]


class Engine(WordPressChatProvider):
    """A user's own class, of which the page tells that the plugin is AI Engine."""


ALL: list[type[ChatProvider]] = [*WORDPRESS, Engine, GPROChat]
SIGNATURES = (
    Path(__file__).parents[2] / "vectors" / "captures" / "geminiprochat" / "signature-vectors.json"
)
NOW = 1_795_162_954_681

CONVERSATION = [
    {"role": "system", "content": "Speak like a pilot."},
    {"role": "user", "content": "Which way?"},
    {"role": "assistant", "content": "Past the buoy."},
    {"role": "user", "content": "And then?"},
]
PROMPT = (
    "System: Speak like a pilot.\nUser: Which way?\nAssistant: Past the buoy.\n"
    "User: And then?\nAssistant:"
)


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


def site_of(provider: type[ChatProvider]) -> str:
    names = {GPROChat: "geminiprochat", Engine: "ai-engine-2.0.9"}
    return names.get(provider, "ai-power")


def options_of(provider: type[ChatProvider], replica: Replica) -> dict[str, Any]:
    """Another deployment, and tokens that no other test has seen."""
    options: dict[str, Any] = {"url": replica.url(site_of(provider))}
    return options if provider is GPROChat else {**options, "token_cache": TokenCache()}


def pages(replica: Replica) -> int:
    return sum(each.method == "GET" for each in replica.exchanges)


def posts(replica: Replica) -> list[ServedExchange]:
    return [each for each in replica.exchanges if each.method == "POST"]


def prompt_of(provider: type[WordPressChatProvider]) -> str:
    return provider.prompt(parse_messages(CONVERSATION))


def says(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


# -- page, tokens, message -------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ALL)
async def test_the_answer_is_the_sites(provider: type[ChatProvider], replica: Replica) -> None:
    prompt = "Hello, how are you?"
    seen = f"{ChatGptEs.SYSTEM_PROMPT}\n\n{prompt}" if provider is ChatGptEs else prompt
    async with provider.create_async_generator(
        "", says(prompt), **options_of(provider, replica)
    ) as stream:
        text = "".join([each async for each in stream])
    assert text == await builtin_answer(Question(site_of(provider), seen))
    assert (stream.end, stream.error, stream.bad_events) == ("done", None, 0)
    assert stream.finish_reason == (None if provider in (GPROChat, Engine) else "stop")


@pytest.mark.parametrize("provider", WORDPRESS)
@pytest.mark.parametrize(
    ("page", "action", "identity", "bot_id", "post_id"),
    [
        ("default", "wpaicg_chat_shortcode_message", "shortcode", "0", "12"),
        ("stream", "wpaicg_chat_shortcode_message", "custom_bot_4", "4", "13"),
        ("json", "wpaicg_chat_shortcode_message", "custom_bot_5", "5", "14"),
        ("two", "wpaicg_chat_shortcode_message", "custom_bot_4", "4", "15"),
        ("escaped", "wpaicg_chat_shortcode_message", "custom_bot_4", "4", "24"),
        ("widget", "wpaicg_chatbox_message", "widget", "0", "21"),
        ("assistant", "wpaicg_chat_shortcode_message", "custom_bot_9", "9", "19"),
        ("completion", "wpaicg_chat_shortcode_message", "custom_bot_8", "8", "18"),
    ],
)
async def test_the_message_is_posted_as_the_page_would(  # noqa: PLR0917 - a table's columns
    provider: type[WordPressChatProvider],
    page: str,
    action: str,
    identity: str,
    bot_id: str,
    post_id: str,
    replica: Replica,
) -> None:
    url = replica.page("ai-power", page)
    options: dict[str, Any] = {
        "url": url,
        "token_cache": TokenCache(),
        "environment": Environment(random=random.Random(7)),
    }
    text = await provider.create_async("", CONVERSATION, **options)
    assert text == await builtin_answer(Question("ai-power", prompt_of(provider)))
    fetched, posted = replica.exchanges
    assert (fetched.method, fetched.path) == ("GET", url.removeprefix(replica.url("ai-power")))
    assert (posted.method, posted.path, posted.status) == ("POST", "/wp-admin/admin-ajax.php", 200)
    form = posted.form or {}
    assert list(form) == [
        "_wpnonce", "post_id", "url", "action", "message", "bot_id", "chatbot_identity",
        "wpaicg_chat_history", "wpaicg_chat_client_id", "chat_id",
    ]  # fmt: skip
    assert re.fullmatch("[0-9a-f]{10}", form["_wpnonce"])
    assert re.fullmatch("[0-9A-Za-z]{10}", form["wpaicg_chat_client_id"])
    assert 1 <= int(form["chat_id"]) <= 100_000
    assert form["url"].rstrip("/") == url.rstrip("/")
    assert form["message"] == prompt_of(provider)
    names = ("action", "chatbot_identity", "bot_id", "post_id", "wpaicg_chat_history")
    assert [form[name] for name in names] == [action, identity, bot_id, post_id, "[]"]


def test_what_each_prompt_is() -> None:
    assert prompt_of(ChatGptt) == prompt_of(ChatgptFree) == PROMPT
    assert prompt_of(ChatGptEs) == f"{ChatGptEs.SYSTEM_PROMPT}\n\n{PROMPT}"


@pytest.mark.parametrize("provider", WORDPRESS)
async def test_another_bot_of_the_page_can_be_asked_for(
    provider: type[WordPressChatProvider], replica: Replica
) -> None:
    options: dict[str, Any] = {"url": replica.page("ai-power", "two"), "token_cache": TokenCache()}
    await provider.create_async("", says("hi"), bot_id="5", **options)
    await provider.create_async("", says("hi"), **options)
    assert [(each.form or {})["bot_id"] for each in posts(replica)] == ["5", "4"]
    assert pages(replica) == 2  # tokens of one bot are not another's


@pytest.mark.parametrize("provider", WORDPRESS)
async def test_a_page_that_has_moved_on_its_own_site(
    provider: type[WordPressChatProvider], replica: Replica
) -> None:
    moved = replica.page("ai-power", "stream").rstrip("/")
    assert await provider.create_async("", says("hi"), url=moved, token_cache=TokenCache())
    assert [(each.path, each.status) for each in replica.exchanges] == [
        ("/chat-stream", 301), ("/chat-stream/", 200), ("/wp-admin/admin-ajax.php", 200),
    ]  # fmt: skip


# -- as it arrives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ALL)
async def test_text_is_delivered_while_the_rest_is_still_to_come(
    provider: type[ChatProvider], replica: Replica
) -> None:
    """The site says a few words and then nothing, for ever: what is read cannot have waited for the
    end.
    """
    async with provider.create_async_generator(
        "", says("[[stall]]"), **options_of(provider, replica)
    ) as stream:
        assert await anext(stream)
        assert stream.end == "open"
        assert posts(replica)[0].ended == "open"
    await replica.exchanges.settled()
    assert posts(replica)[0].ended == "aborted"


async def test_a_buffered_answer_is_one_delta(replica: Replica) -> None:
    options: dict[str, Any] = {"url": replica.page("ai-power", "json"), "token_cache": TokenCache()}
    async with ChatgptFree.create_async_generator("", says("hi"), **options) as stream:
        assert [each async for each in stream] == [await builtin_answer(Question("ai-power", "hi"))]
    assert stream.end == "done"


# -- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", WORDPRESS)
async def test_tokens_are_cached_and_refreshed_once_when_refused(
    provider: type[WordPressChatProvider], replica: Replica
) -> None:
    options = options_of(provider, replica)
    for calls in (1, 2):
        await provider.create_async("", says("hi"), **options)
        assert (pages(replica), len(posts(replica))) == (1, calls)
    replica.expire_nonces("ai-power")
    assert await provider.create_async("", says("hi"), **options)
    assert [each.method for each in replica.exchanges] == [
        "GET",
        "POST",
        "POST",
        "POST",
        "GET",
        "POST",
    ]
    assert [each.status for each in posts(replica)] == [200, 200, 403, 200]
    await provider.create_async("", says("hi"), **options)
    assert pages(replica) == 2


async def test_many_callers_fetch_one_page(replica: Replica) -> None:
    options = options_of(ChatGptt, replica)
    answers = await asyncio.gather(
        *(ChatGptt.create_async("", says("hi"), **options) for _ in range(20))
    )
    assert len(set(answers)) == 1
    assert (pages(replica), len(posts(replica))) == (1, 20)


async def test_many_callers_refresh_once(replica: Replica) -> None:
    options = options_of(ChatGptt, replica)
    await ChatGptt.create_async("", says("hi"), **options)
    replica.expire_nonces("ai-power")
    answers = await asyncio.gather(
        *(ChatGptt.create_async("", says("hi"), **options) for _ in range(20))
    )
    assert len(set(answers)) == 1
    assert pages(replica) == 2


async def test_providers_of_one_deployment_share_its_tokens(replica: Replica) -> None:
    cache: TokenCache[Any] = TokenCache()
    for provider in (ChatGptt, ChatgptFree):
        await provider.create_async("", says("hi"), url=replica.url("ai-power"), token_cache=cache)
    assert pages(replica) == 1


@pytest.mark.parametrize(
    ("own", "other", "fetched"),
    [
        ({"cookies": {"a": "1"}}, {"cookies": {"a": "1"}}, 1),
        ({"cookies": {"a": "1"}}, {"cookies": {"a": "2"}}, 2),
        ({"cookies": {"a": "1"}}, {}, 2),
        ({"bot_id": "4"}, {"bot_id": "5"}, 2),
        ({"bot_id": 4}, {"bot_id": "4"}, 1),
    ],
)
async def test_whose_tokens_are_shared(
    own: dict[str, Any], other: dict[str, Any], fetched: int, replica: Replica
) -> None:
    options: dict[str, Any] = {"url": replica.page("ai-power", "two"), "token_cache": TokenCache()}
    await ChatGptt.create_async("", says("hi"), **options, **own)
    await ChatGptt.create_async("", says("hi"), **options, **other)
    assert pages(replica) == fetched


async def test_tokens_of_a_class_replace_the_page(replica: Replica) -> None:
    await ChatgptFree.create_async("", says("hi"), **options_of(ChatgptFree, replica))
    nonce = (posts(replica)[0].form or {})["_wpnonce"]

    class Fixed(ChatgptFree):
        _nonce = nonce
        _post_id = "77"

    assert await Fixed.create_async("", says("hi"), url=replica.url("ai-power"))
    assert (pages(replica), (posts(replica)[1].form or {})["post_id"]) == (1, "77")
    assert (ChatgptFree._nonce, ChatgptFree._post_id) == (None, None)


async def test_a_class_token_that_is_refused_is_final(replica: Replica) -> None:
    class Fixed(ChatgptFree):
        _nonce = "ffffffffff"
        _post_id = "77"

    with pytest.raises(StreamError) as caught:
        await Fixed.create_async("", says("hi"), url=replica.url("ai-power"))
    assert (caught.value.status, pages(replica), len(posts(replica))) == (403, 0, 1)


# -- what a call is given --------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ALL)
async def test_cookies_and_headers_go_with_every_request(
    provider: type[ChatProvider], replica: Replica
) -> None:
    options = options_of(provider, replica)
    given: dict[str, Any] = {"cookies": {"session": "abc", "b": "2"}, "headers": {"X-Own": "yes"}}
    await provider.create_async("", says("hi"), **options, **given)
    assert len(replica.exchanges) == (1 if provider is GPROChat else 2)
    for each in replica.exchanges:
        assert sorted(each.headers["Cookie"].split("; ")) == ["b=2", "session=abc"]
        assert each.headers["X-Own"] == "yes"


@pytest.mark.parametrize(
    ("provider", "model", "used"),
    [
        (ChatgptFree, "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        (ChatgptFree, "gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18"),
        (ChatgptFree, "", "gpt-4o-mini-2024-07-18"),
        (ChatGptt, "gpt-4", "gpt-4"),
        (ChatGptEs, "gpt-4o-mini", "gpt-4o-mini"),
        (GPROChat, "gemini-1.5-pro", "gemini-1.5-pro"),
    ],
)
async def test_models(
    provider: type[ChatProvider], model: str, used: str, replica: Replica
) -> None:
    assert await provider.create_async(model, says("hi"), **options_of(provider, replica))
    assert provider.last_model == used


@pytest.mark.parametrize("provider", ALL)
async def test_what_a_provider_does_not_name_is_ignored(
    provider: type[ChatProvider], replica: Replica
) -> None:
    extra = {"stream": True, "temperature": 0.3, "web_search": False, "conversation": object()}
    assert await provider.create_async("", says("hi"), **options_of(provider, replica), **extra)


# -- the signed site -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "vector", json.loads(SIGNATURES.read_text()), ids=lambda each: repr(each["m"])[:30]
)
def test_signatures_are_the_apps(vector: dict[str, Any]) -> None:
    assert vector["time_as_signed"] == str(vector["time"])
    assert (
        GPROChat.generate_signature(vector["time"], vector["m"], vector["secret"]) == vector["sign"]
    )


@pytest.mark.parametrize("timestamp", [1.7e12, True, "1700000000000", None])
def test_a_time_that_is_no_whole_number_is_not_signed(timestamp: Any) -> None:
    with pytest.raises(InvalidRequestError, match="timestamp"):
        GPROChat.generate_signature(timestamp, "hello")


class Keyed(GPROChat):
    secret_key = "of the class"


class Unset(GPROChat):
    secret_key = ""


@pytest.mark.parametrize(
    ("provider", "argument", "environ", "secret"),
    [
        (GPROChat, {}, {}, ""),
        (GPROChat, {}, {"GPROCHAT_SECRET_KEY": "of the environment"}, "of the environment"),
        (Keyed, {}, {"GPROCHAT_SECRET_KEY": "of the environment"}, "of the class"),
        (
            Keyed,
            {"secret_key": "of the call"},
            {"GPROCHAT_SECRET_KEY": "of the environment"},
            "of the call",
        ),
        (Keyed, {"secret_key": ""}, {}, ""),
        (Unset, {}, {"GPROCHAT_SECRET_KEY": "of the environment"}, ""),
    ],
)
async def test_where_the_key_comes_from(
    provider: type[GPROChat], argument: dict[str, str], environ: dict[str, str], secret: str
) -> None:
    async with Replica(secret=secret) as replica:
        environment = Environment(now_ms=lambda: NOW, environ=environ)
        url = replica.url("geminiprochat")
        assert await provider.create_async(
            "", says("hi"), url=url, environment=environment, **argument
        )
        body: Any = replica.exchanges[0].json
        assert body["time"] == NOW
        assert body["sign"] == sign_request(NOW, "hi", secret)


async def test_a_wrong_key_is_told() -> None:
    async with Replica(secret="right") as replica:
        with pytest.raises(MissingAuthError, match="signature"):
            await GPROChat.create_async(
                "", says("hi"), url=replica.url("geminiprochat"), secret_key="wrong"
            )


@pytest.mark.parametrize(
    ("password", "admitted"), [("opensesame", True), ("wrong", False), (None, False)]
)
async def test_the_password(password: str | None, admitted: bool) -> None:
    async with Replica(password="alpha,opensesame") as replica:
        call = GPROChat.create_async(
            "", says("hi"), url=replica.url("geminiprochat"), password=password
        )
        if admitted:
            assert await call
        else:
            with pytest.raises(MissingAuthError, match="password"):
                await call


@pytest.mark.parametrize("name", ["secret_key", "password"])
async def test_a_key_that_is_no_text_is_not_sent(name: str, replica: Replica) -> None:
    call = GPROChat.create_async(
        "", says("hi"), url=replica.url("geminiprochat"), **{name: b"bytes"}
    )
    with pytest.raises(InvalidRequestError, match=name):
        await call
    assert len(replica.exchanges) == 0


async def test_characters_are_never_split(replica: Replica) -> None:
    """One byte a chunk: every delta is whole characters all the same."""
    async with GPROChat.create_async_generator(
        "", says("[[utf8]]"), url=replica.url("geminiprochat")
    ) as stream:
        deltas = [each async for each in stream]
    assert "".join(deltas) == "héllo 你好。世界 🎉👩‍👩‍👧 末尾"
    assert "�" not in "".join(deltas)


def S(text: Any) -> dict[str, Any]:  # noqa: N802 - a table reads better with short names
    return {"role": "system", "content": text}


def U(text: Any) -> dict[str, Any]:  # noqa: N802
    return {"role": "user", "content": text}


def A(text: Any) -> dict[str, Any]:  # noqa: N802
    return {"role": "assistant", "content": text}


def D(text: Any) -> dict[str, Any]:  # noqa: N802
    return {"role": "developer", "content": text}


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ([U("one")], ["user: one"]),
        ([U("q1"), A("a1"), U("q2")], ["user: q1", "model: a1", "user: q2"]),
        ([S("be brief"), U("q")], ["user: be brief\n\nq"]),
        (
            [U("q1"), A("a1"), S("be brief"), U("q2")],
            ["user: be brief\n\nq1", "model: a1", "user: q2"],
        ),
        ([D("be kind"), S("be brief"), U("q")], ["user: be kind\n\nbe brief\n\nq"]),
        ([U("a"), U("b"), A("c"), A("d"), U("e")], ["user: a\n\nb", "model: c\n\nd", "user: e"]),
        ([U("q"), A("a")], ["user: User: q\nAssistant: a\nAssistant:"]),
        (
            [U("q1"), {"role": "model", "content": "a1"}, U("q2")],
            ["user: q1", "model: a1", "user: q2"],
        ),
        ([A("hello"), U("q")], ["user: Assistant: hello\n\nq"]),
        ([S("only the system")], ["user: only the system"]),
        ([U("q1"), A(""), U("q2")], ["user: q1\n\nq2"]),
        ([{"role": "tool", "content": "42"}, U("q")], ["user: 42\n\nq"]),
        (
            [U([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}])],
            ["user: one two"],
        ),
        ([U("a\ud800b")], ["user: a�b"]),
        ([U("\ud83d\ude00")], ["user: 😀"]),
    ],
)
async def test_the_history_the_app_takes(
    messages: list[Any], sent: list[str], replica: Replica
) -> None:
    assert await GPROChat.create_async("", messages, url=replica.url("geminiprochat"))
    body: Any = replica.exchanges[0].json
    assert [
        f"{each['role']}: {''.join(part['text'] for part in each['parts'])}"
        for each in body["messages"]
    ] == sent
    assert replica.exchanges[0].status == 200


@pytest.mark.parametrize("turns", [99, 100, 101, 200, 201])
async def test_a_long_history_keeps_its_end(turns: int, replica: Replica) -> None:
    messages = [(U if at % 2 == (turns + 1) % 2 else A)(str(at)) for at in range(turns)]
    assert await GPROChat.create_async("", messages, url=replica.url("geminiprochat"))
    body: Any = replica.exchanges[0].json
    roles = [each["role"] for each in body["messages"]]
    assert len(roles) <= 99
    assert roles == ["user", "model"] * (len(roles) // 2) + ["user"]
    assert body["messages"][-1]["parts"] == [{"text": str(turns - 1)}]


@pytest.mark.parametrize(
    ("messages", "says_so"),
    [
        ([U("")], "no text"),
        ([S("")], "no text"),
        ([U(None)], "no text"),
    ],
)
async def test_a_history_that_cannot_be_answered(
    messages: list[Any], says_so: str, replica: Replica
) -> None:
    with pytest.raises(InvalidRequestError, match=says_so):
        await GPROChat.create_async("", messages, url=replica.url("geminiprochat"))
    assert len(replica.exchanges) == 0
