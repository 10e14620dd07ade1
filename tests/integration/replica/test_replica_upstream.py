"""Answers from an OpenAI-compatible server, here the `openai` site of another replica."""

from __future__ import annotations

import json
import socket

import aiohttp
import pytest
from replica_client import ENDPOINT, page_nonce, signed

from tailrace.errors import InvalidRequestError
from tailrace.replica import AnswerError, HistoryTurn, Question, Replica, builtin_answer
from tailrace.replica._upstream import MAX_RESPONSE_BYTES, UpstreamAnswers

QUESTION = Question(
    "any",
    "What runs off?",
    (HistoryTurn("system", "Be brief."), HistoryTurn("user", "a"), HistoryTurn("assistant", "b")),
)


async def test_every_site_answers_with_the_upstreams_words() -> None:
    async with (
        Replica(api_key="sk-up") as above,
        Replica(
            upstream=f"{above.url('openai')}/v1/", upstream_key="sk-up", upstream_model="gpt-4o"
        ) as replica,
        aiohttp.ClientSession() as session,
    ):
        form = {
            "_wpnonce": await page_nonce(session, replica),
            "action": "wpaicg_chat_shortcode_message",
        }
        form |= {"message": "hi", "bot_id": "5", "wpaicg_chat_history": '["Human: a","AI: b"]'}
        async with session.post(replica.url("ai-power") + ENDPOINT, data=form) as reply:
            assert (await reply.json())["data"] == await builtin_answer(
                Question("any", "hi", QUESTION.history[1:])
            )
        expected = await builtin_answer(Question("any", "hi"))
        async with session.post(
            f"{replica.url('geminiprochat')}/api/generate", json=signed("hi", secret="")
        ) as reply:
            assert await reply.text() == expected
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
        async with session.post(f"{replica.url('openai')}/v1/chat/completions", json=body) as reply:
            assert (await reply.json())["choices"][0]["message"]["content"] == expected
        posts = [exchange for exchange in above.exchanges if exchange.method == "POST"]
        assert [exchange.headers["Authorization"] for exchange in posts] == ["Bearer sk-up"] * 3
        for exchange in posts:
            assert isinstance(exchange.json, dict)
            assert exchange.json["model"] == "gpt-4o"
            assert "stream" not in exchange.json


async def test_the_first_model_is_asked_for_once() -> None:
    async with Replica() as above, UpstreamAnswers(f"{above.url('openai')}/v1") as answers:
        assert await answers(QUESTION) == await builtin_answer(QUESTION)
        await answers(QUESTION)
        assert [exchange.path for exchange in above.exchanges] == [
            "/v1/models",
            "/v1/chat/completions",
            "/v1/chat/completions",
        ]
        body = above.exchanges[-1].json
        assert isinstance(body, dict)
        assert body["model"] == "gpt-4o-mini"
        assert [message["role"] for message in body["messages"]] == [
            "system",
            "user",
            "assistant",
            "user",
        ]


REFUSED = [
    ("ai-power", 200),
    ("geminiprochat", 500),
    ("chatgpt-demo", 429),
    ("openai", 429),
    ("aipkit-2.4.0", 429),
]


@pytest.mark.parametrize(("site", "status"), REFUSED)
async def test_what_the_upstream_refuses_is_framed_by_the_site(site: str, status: int) -> None:
    async def answers(_question: Question, /) -> str:
        raise AnswerError(429, "No more today.")

    async with Replica(answers=answers) as replica, aiohttp.ClientSession() as session:
        url = replica.url(site)
        match site:
            case "ai-power":
                form = {
                    "_wpnonce": await page_nonce(session, replica),
                    "action": "wpaicg_chat_shortcode_message",
                }
                reply = await session.post(
                    url + ENDPOINT, data=form | {"message": "hi", "bot_id": "5"}
                )
            case "aipkit-2.4.0":
                action = {"action": "aipkit_get_frontend_chat_nonce"}
                async with session.post(url + ENDPOINT, data=action) as fresh:
                    nonce = (await fresh.json())["data"]["nonce"]
                form = {
                    "action": "aipkit_frontend_chat_message",
                    "_ajax_nonce": nonce,
                    "bot_id": "12",
                }
                reply = await session.post(
                    url + ENDPOINT, data=form | {"message": "hi", "session_id": "s"}
                )
            case "openai":
                body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
                reply = await session.post(f"{url}/v1/chat/completions", json=body)
            case _:
                signed_body = signed("hi", secret="")
                signed_body["messages"][0]["content"] = "hi"
                reply = await session.post(f"{url}/api/generate", json=signed_body)
        text = await reply.text()
    assert reply.status == status
    assert "No more today." in text
    if site == "geminiprochat":
        assert "[429 Too Many Requests]" in json.loads(text)["error"]["message"]
    assert replica.exchanges.failed == 0


@pytest.mark.parametrize(
    ("message", "status", "says"),
    [
        ("[[err429]]", 429, "Too many requests."),
        ("[[html502]]", 502, "status 502"),
        ("[[midfail]]", 500, "an error"),
    ],
)
async def test_errors_keep_status_and_words(message: str, status: int, says: str) -> None:
    async with Replica() as above, UpstreamAnswers(f"{above.url('openai')}/v1") as answers:
        with pytest.raises(AnswerError) as caught:
            await answers(Question("any", message))
    assert caught.value.status == status
    assert says in caught.value.message


async def test_a_page_is_no_upstream() -> None:
    async with Replica() as above:
        async with UpstreamAnswers(above.url("geminiprochat"), key="sk-secret") as answers:
            with pytest.raises(AnswerError) as caught:
                await answers(QUESTION)
        assert caught.value.status == 404
        async with UpstreamAnswers(
            above.page("ai-power", "stream").rstrip("/").removesuffix("chat-stream"), model="m"
        ) as other:
            with pytest.raises(AnswerError) as caught:
                await other(QUESTION)
        assert caught.value.status == 404


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        async with UpstreamAnswers(url, key="sk-secret") as answers:
            with pytest.raises(AnswerError) as caught:
                await answers(QUESTION)
    assert caught.value.status == 502
    assert "sk-secret" not in str(caught.value)


async def test_a_reply_beyond_the_limit_is_refused() -> None:
    mebibytes = MAX_RESPONSE_BYTES // 2**20
    async with (
        Replica(faults=[f"bomb:{mebibytes}"]) as above,
        UpstreamAnswers(f"{above.url('openai')}/v1", model="gpt-4o") as answers,
    ):
        with pytest.raises(AnswerError, match="larger than 8388608 bytes"):
            await answers(QUESTION)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000/v1", "ftp://host/v1", "http:///v1", "http://host:x/v1", "http://[/"]
)
def test_an_upstream_is_a_base_url(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="base URL"):
        Replica(upstream=url)


async def test_answers_have_one_source() -> None:
    with pytest.raises(InvalidRequestError, match="not from both"):
        Replica(upstream="http://localhost/v1", answers=builtin_answer)
    with pytest.raises(InvalidRequestError, match="async with"):
        await UpstreamAnswers("http://localhost/v1", model="m")(QUESTION)
