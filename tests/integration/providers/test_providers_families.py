"""The other servers a provider class serves: chatgpt-demo, a site whose clock is off, any
OpenAI-compatible server.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import UserDict
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import JSON, SSE, TEXT, Asked, Line, Site, bot

from tailrace import (
    ChatgptDemoProvider,
    GeminiProChatProvider,
    GPROChat,
    OpenAIProvider,
    WordPressChatProvider,
)
from tailrace._calls.retry_policy import RetryPolicy
from tailrace._calls.throttling import Throttle
from tailrace._environment import Environment
from tailrace._messages import Turn
from tailrace.errors import (
    InvalidRequestError,
    MissingAuthError,
    RateLimitError,
    ResponseStatusError,
    TailraceError,
)
from tailrace.providers._ai_power import native_history

if TYPE_CHECKING:
    from tailrace.providers import ChatProvider

QUESTION = [{"role": "user", "content": "hello"}]
NOW = 1_700_000_000_000


async def ask(
    provider: type[ChatProvider],
    url: str,
    messages: Any = QUESTION,
    model: str = "",
    **options: Any,
) -> str:
    return await provider.create_async(model, messages, url=url, **options)


async def failure(
    provider: type[ChatProvider], url: str, messages: Any = QUESTION, **options: Any
) -> TailraceError:
    with pytest.raises(TailraceError) as raised:
        await ask(provider, url, messages, **options)
    return raised.value


def signed(time: int, text: str, secret: str) -> str:
    return hashlib.sha256(f"{time}:{text}:{secret}".encode()).hexdigest()


# -- chatgpt-demo ----------------------------------------------------------------------------------


async def test_chatgpt_demo_takes_openai_messages_and_gives_raw_text() -> None:
    async def answer(asked: Asked, line: Line) -> None:
        assert (asked.method, asked.path) == ("POST", "/app/api/generate")
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await line.chunks([b"you said: h", "é".encode()[:1], "é".encode()[1:], b"llo"])
        await line.end()

    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c \ud800"},
    ]
    async with Site(answer) as site:
        text = await ask(
            ChatgptDemoProvider,
            f"{site.url}/app/",
            messages,
            secret_key="k",
            temperature=0.6,
            environment=Environment(now_ms=lambda: NOW, environ={}),
        )
    assert text == "you said: héllo"
    assert json.loads(site.asked[0].body) == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c �"},
        ],
        "time": NOW,
        "pass": None,
        "sign": signed(NOW, "c �", "k"),
        "temperature": 0.6,
    }


async def test_chatgpt_demo_passes_its_upstreams_status_on() -> None:
    async def answer(asked: Asked, line: Line) -> None:
        del asked
        body = (
            b'{"error": {"code": 429, "message": "Quota exceeded.", '
            b'"status": "RESOURCE_EXHAUSTED"}}'
        )
        await line.reply(body, status="429 Too Many Requests")

    async with Site(answer) as site:
        error = await failure(ChatgptDemoProvider, site.url)
    assert isinstance(error, RateLimitError)
    assert (error.message, error.code) == ("Quota exceeded.", "429")


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "assistant", "content": "x"}],
        [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}],
    ],
)
async def test_chatgpt_demo_wants_the_users_word_last(messages: Any) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        raise AssertionError((asked, line))

    async with Site(answer) as site:
        assert isinstance(
            await failure(ChatgptDemoProvider, site.url, messages), InvalidRequestError
        )
        for temperature in ("hot", float("nan"), float("inf"), 10**5000):
            assert isinstance(
                await failure(ChatgptDemoProvider, site.url, temperature=temperature),
                InvalidRequestError,
            )


# -- GeminiProChat's turns -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ([("user", "Hi"), ("assistant", "Ho")], "User: Hi\nAssistant: Ho\nAssistant:"),
        (
            [("system", "S"), ("user", "Hi"), ("assistant", "Ho"), ("assistant", " ")],
            "System: S\nUser: Hi\nAssistant: Ho\nAssistant:",
        ),
        (
            [("user", "Hi"), ("assistant", "Ho"), ("system", "S")],
            "User: Hi\nAssistant: Ho\nSystem: S\nAssistant:",
        ),
        ([("assistant", "Ho")], "Ho"),
    ],
)
async def test_a_history_that_ends_with_the_assistant_is_one_prompt(
    messages: list[tuple[str, str]], sent: str
) -> None:
    said = [{"role": role, "content": text} for role, text in messages]
    async with Site(bot(b"hi", content_type=TEXT)) as site:
        environment = Environment(now_ms=lambda: NOW, environ={})
        assert await ask(GPROChat, site.url, said, environment=environment) == "hi"
    body = json.loads(site.asked[0].body)
    assert body["messages"] == [{"role": "user", "parts": [{"text": sent}]}]
    assert body["sign"] == signed(NOW, sent, "")


async def test_a_signature_of_a_classes_own_is_the_one_that_is_sent() -> None:
    class Stamped(GPROChat):
        @staticmethod
        def generate_signature(timestamp: int, message: str) -> str:  # type: ignore[override]
            return f"{timestamp} {message}"

    class Wrong(GPROChat):
        @classmethod
        def generate_signature(cls, timestamp: int, message: str) -> Any:  # type: ignore[override]
            return timestamp, message

    environment = Environment(now_ms=lambda: NOW, environ={})
    async with Site(bot(b"hi", content_type=TEXT)) as site:
        assert await ask(Stamped, site.url, environment=environment) == "hi"
        assert json.loads(site.asked[0].body)["sign"] == f"{NOW} hello"
        wrong = await failure(Wrong, site.url, environment=environment)
    assert str(wrong) == "make_signature must return text, not tuple"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((1.5, "x"), "timestamp must be an int"),
        ((1, 7), "message must be text, not int"),
        ((1, "x", 7), "secret_key must be text, not int"),
    ],
)
def test_what_cannot_be_signed(arguments: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        GPROChat.generate_signature(*arguments)


# -- a clock that is off ---------------------------------------------------------------------------


class Punctual:
    """A fork that takes signatures of the last minutes only, by a clock that is `ahead` of ours, in
    milliseconds.
    """

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self.times: list[int] = []

    async def answer(self, asked: Asked, line: Line) -> None:
        time = json.loads(asked.body)["time"]
        self.times.append(time)
        date = f"Date: {formatdate((NOW + self.ahead) / 1000, usegmt=True)}\r\n"
        if abs(time - NOW - self.ahead) > 300_000:
            await line.reply(
                b'{"error":{"message":"Invalid signature."}}', TEXT, "401 Unauthorized", date
            )
        else:
            await line.reply(b"right on time", TEXT, headers=date)


ENVIRONMENT = Environment(now_ms=lambda: NOW, environ={})


@pytest.mark.parametrize("ahead", [3_600_000, -3_600_000])
async def test_the_sites_clock_is_learnt_once(ahead: int) -> None:
    fork = Punctual(ahead)
    async with Site(fork.answer) as site:
        assert (
            await ask(GeminiProChatProvider, site.url, environment=ENVIRONMENT) == "right on time"
        )
        assert (
            await ask(GeminiProChatProvider, site.url, environment=ENVIRONMENT) == "right on time"
        )
    assert fork.times == [NOW, NOW + ahead, NOW + ahead]


async def test_a_wrong_key_is_not_the_clocks_fault() -> None:
    async def answer(asked: Asked, line: Line) -> None:
        del asked
        date = f"Date: {formatdate(NOW / 1000, usegmt=True)}\r\n"
        await line.reply(
            b'{"error":{"message":"Invalid signature."}}', TEXT, "401 Unauthorized", date
        )

    async with Site(answer) as site:
        assert isinstance(
            await failure(GeminiProChatProvider, site.url, environment=ENVIRONMENT),
            MissingAuthError,
        )
    assert len(site.asked) == 1


async def test_an_odd_date_is_no_clock() -> None:
    async def answer(asked: Asked, line: Line) -> None:
        del asked
        await line.reply(b"{}", TEXT, "401 Unauthorized", "Date: yesterday\r\n")

    async with Site(answer) as site:
        assert isinstance(
            await failure(GeminiProChatProvider, site.url, environment=ENVIRONMENT),
            MissingAuthError,
        )
    assert len(site.asked) == 1


# -- any OpenAI-compatible server ------------------------------------------------------------------


CHUNKS = (
    b'data: {"id":"c1","model":"m1","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"id":"c1","model":"m1","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    b'data: {"id":"c1","model":"m1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}\n\n'
    b"data: [DONE]\n\n"
)


async def test_an_openai_compatible_server() -> None:
    async def answer(asked: Asked, line: Line) -> None:
        assert (asked.method, asked.path) == ("POST", "/v1/chat/completions")
        assert asked.headers["authorization"] == "Bearer k3y"
        await line.reply(CHUNKS, SSE)

    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "what \ud83d\ude00"}, image]}]
    async with Site(answer) as site:
        options: dict[str, Any] = {
            "url": f"{site.url}/v1/",
            "api_key": "k3y",
            "temperature": 0,
            "stop": ["\n"],
            "unheard_of": 1,
        }
        async with OpenAIProvider.create_async_generator("m1", messages, **options) as stream:
            assert [text async for text in stream] == ["Hi"]
        assert (stream.end, stream.finish_reason, stream.ids) == (
            "done",
            "stop",
            {"id": "c1", "model": "m1"},
        )
        assert stream.usage is not None
        assert stream.usage.total_tokens == 4
    assert json.loads(site.asked[0].body) == {
        "model": "m1",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "what 😀"}, image]}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "stop": ["\n"],
    }


@pytest.mark.parametrize(
    ("below", "asked_for"),
    [
        ("", "/chat/completions"),
        ("/", "/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/v1?api-version=1&x=%2F", "/v1/chat/completions?api-version=1&x=%2F"),
        ("/v1/#top", "/v1/chat/completions"),
        ("/own/chat/completions", "/own/chat/completions"),
        ("/own/chat/completions/", "/own/chat/completions/"),
        ("/own/chat/completions?a=b", "/own/chat/completions?a=b"),
    ],
)
async def test_the_place_of_chat_completions(below: str, asked_for: str) -> None:
    async with Site(bot(CHUNKS)) as site:
        assert await ask(OpenAIProvider, site.url + below, model="m1") == "Hi"
    assert [each.path for each in site.asked] == [asked_for]


async def test_what_the_request_of_an_openai_compatible_server_holds() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    called = {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}
    cases: list[tuple[list[Any], dict[str, Any], dict[str, Any]]] = [
        (QUESTION, {"stream_options": None}, {"stream_options": None}),
        (QUESTION, {"stream_options": {"x": 1}}, {"stream_options": {"x": 1}}),
        (QUESTION, {"extra": {"min_p": 0.1}, "top_k": 3}, {"min_p": 0.1, "top_k": 3}),
        ([{"role": "user", "content": [image]}], {}, {}),
        ([called, {"role": "tool", "content": ""}], {}, {}),
        ([UserDict(QUESTION[0])], {}, {}),
    ]
    async with Site(bot(CHUNKS)) as site:
        for messages, options, held in cases:
            site.asked.clear()
            assert await ask(OpenAIProvider, site.url, messages, model="m", **options) == "Hi"
            body = json.loads(site.asked[0].body)
            expected = {"stream_options": {"include_usage": True}, **held}
            for name, value in expected.items():
                assert body.get(name) == value
            assert ("stream_options" in body) == (expected["stream_options"] is not None)
            assert body["messages"] == [dict(each) for each in messages]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "content": None, "refusal": "No."},
        UserDict({"content": None, "role": "assistant", "function_call": {"name": "f"}}),
    ],
)
async def test_no_assistants_content_is_null_or_missing(message: Any) -> None:
    messages = [*QUESTION, message, *QUESTION]
    async with Site(bot(CHUNKS)) as site:
        assert await ask(OpenAIProvider, site.url, messages, model="m") == "Hi"
    sent = json.loads(site.asked[0].body)["messages"]
    assert sent == [*QUESTION, {**message, "content": ""}, *QUESTION]
    assert message.get("content") is None  # the caller's own is as it was


async def test_an_openai_compatible_server_that_refuses() -> None:
    async def answer(asked: Asked, line: Line) -> None:
        assert "authorization" not in asked.headers
        body = (
            b'{"error":{"message":"no such model","type":"invalid_request_error",'
            b'"code":"model_not_found"}}'
        )
        await line.reply(body, JSON, "404 Not Found")

    async with Site(answer) as site:
        error = await failure(OpenAIProvider, site.url, model="m1")
    assert isinstance(error, ResponseStatusError)
    assert (error.status, error.code, error.message) == (404, "model_not_found", "no such model")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "m", "stop": {1, 2}},
        {"model": "m", "temperature": float("nan")},
        {"model": "m", "api_key": 7},
    ],
)
async def test_what_no_openai_compatible_server_takes(options: dict[str, Any]) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        raise AssertionError((asked, line))

    async with Site(answer) as site:
        assert isinstance(await failure(OpenAIProvider, site.url, **options), InvalidRequestError)


# -- the plugin's own history ----------------------------------------------------------------------


def test_native_history_survives_the_sites_filters() -> None:
    turns = [
        Turn("user", 'say "C:\\temp" <b>100%41</b>\nplease'),
        Turn("assistant", "ça 😀 100% sure"),
        Turn("user", "ok"),
    ]
    sent = native_history(turns)
    assert "\\" not in sent
    assert json.loads(sent) == [
        {"id": "", "text": "Human: say ”C:＼temp” ‹b›100％41‹/b› please"},  # noqa: RUF001
        {"id": 1, "text": "AI: ça 😀 100% sure"},
        {"id": "", "text": "Human: ok"},
    ]
    assert json.loads(native_history(turns, 1)) == [{"id": "", "text": "Human: ok"}]
    assert native_history(turns, 0) == native_history([]) == "[]"


async def test_native_history_goes_beside_the_message() -> None:
    tag = (
        b'<div class="wpaicg-chat-shortcode" data-nonce="0a1b2c3d4e" data-post-id="12" '
        b'data-memory-limit="2"></div>'
    )

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(tag)
        else:
            await line.reply(
                b'data: {"id":"c","choices":[{"delta":{"content":"Zed"}}]}\n\ndata: [DONE]\n\n', SSE
            )

    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "dropped by the bot's limit"},
        {"role": "user", "content": "I am Zed"},
        {"role": "assistant", "content": "Hello Zed"},
        {"role": "user", "content": "Who am I?"},
    ]
    async with Site(answer) as site:
        given: dict[str, Any] = {
            "native_history": True,
            "thread_id": "thread_1",
            "client_id": "AbCdEfGhIj",
        }
        assert await ask(WordPressChatProvider, site.url, messages, **given) == "Zed"
    form = site.asked[1].form
    assert form["message"] == "Be brief.\n\nWho am I?"
    assert [entry["text"] for entry in json.loads(form["wpaicg_chat_history"])] == [
        "Human: I am Zed",
        "AI: Hello Zed",
    ]
    assert (form["thread_id"], form["wpaicg_chat_client_id"]) == ("thread_1", "AbCdEfGhIj")


async def test_ids_of_a_dialogue_are_text() -> None:
    async def answer(asked: Asked, line: Line) -> None:
        raise AssertionError((asked, line))

    async with Site(answer) as site:
        for wrong in (7, "two\nlines", "é"):
            assert isinstance(
                await failure(WordPressChatProvider, site.url, thread_id=wrong), InvalidRequestError
            )


# -- asking again ----------------------------------------------------------------------------------


async def test_a_failure_that_passes_is_asked_again() -> None:
    replies = [(b"busy", "503 Service Unavailable"), (b"right on time", "200 OK")]

    async def answer(asked: Asked, line: Line) -> None:
        del asked
        body, status = replies.pop(0)
        await line.reply(body, TEXT, status)

    async with Site(answer) as site:
        policy = RetryPolicy(first_wait=0)
        assert await ask(GeminiProChatProvider, site.url, retry=policy) == "right on time"
    assert len(site.asked) == 2


async def test_nothing_is_asked_again_unless_the_caller_says_so() -> None:
    async def answer(asked: Asked, line: Line) -> None:
        del asked
        await line.reply(b"busy", TEXT, "503 Service Unavailable")

    async with Site(answer) as site:
        assert isinstance(await failure(GeminiProChatProvider, site.url), ResponseStatusError)
        assert len(site.asked) == 1
        error = await failure(
            GeminiProChatProvider, site.url, retry=RetryPolicy(attempts=2, first_wait=0)
        )
        assert len(error.attempts) == 1
        assert len(site.asked) == 3
        with pytest.raises(InvalidRequestError, match="retry must be a RetryPolicy"):
            await ask(GeminiProChatProvider, site.url, retry=3)


async def test_a_sites_limit_holds_over_all_its_calls() -> None:
    limit = Throttle(concurrency=2)
    most = 0

    async def answer(asked: Asked, line: Line) -> None:
        nonlocal most
        del asked
        most = max(most, site.open)
        assert limit.under_way <= 2
        await line.reply(b"right on time", TEXT)

    class Small(GeminiProChatProvider):
        throttle = limit

    async with Site(answer) as site:
        answers = await asyncio.gather(
            *(ask(Small, site.url, retry=RetryPolicy()) for _ in range(20))
        )
        assert answers == ["right on time"] * 20
        with pytest.raises(InvalidRequestError, match="throttle must be a Throttle"):
            await ask(GeminiProChatProvider, site.url, throttle=3)
    assert limit.under_way == 0
    assert most <= 2
