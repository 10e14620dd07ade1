"""Dialogues over several turns: at sites that remember, and at sites that are told everything
again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import SSE, Asked, Line, Site
from test_providers_aipkit import AIPKit, stream

from tailrace import ChatGptt, GPROChat, WordPressChatProvider
from tailrace._calls.token_cache import TokenCache
from tailrace.errors import InvalidRequestError, StreamError
from tailrace.replica import Replica

if TYPE_CHECKING:
    from tailrace.providers import ChatProvider
    from tailrace.providers._conversation import Conversation

PAGE = b'<div class="wpaicg-chat-shortcode" data-nonce="0a1b2c3d4e" data-post-id="12"></div>'


async def say(conversation: Conversation, text: str) -> str:
    async with conversation.send(text) as answer:
        return "".join([delta async for delta in answer])


async def test_a_site_that_does_not_remember_is_told_all_turns() -> None:
    async with Replica() as replica:
        conversation = GPROChat.conversation(url=replica.url("geminiprochat"), system="Be brief.")
        first = await say(conversation, "I am Zed")
        second = await say(conversation, "Who am I?")
        assert "(0 earlier turns)" in first
        assert "(2 earlier turns)" in second
        bodies: list[Any] = [exchange.json for exchange in replica.exchanges]
    assert [message["role"] for message in conversation.messages] == [
        "system",
        *["user", "assistant"] * 2,
    ]
    assert conversation.messages[2]["content"] == first
    assert bodies[1]["messages"][0]["parts"][0]["text"] == "Be brief.\n\nI am Zed"


async def test_aipkit_remembers_by_the_ids_it_was_sent() -> None:
    plugin = AIPKit(replies=[stream("ok"), stream("ok_second_turn_same_conversation")])
    async with Site(plugin.answer) as site:
        plugin.port = site.port
        conversation = WordPressChatProvider.conversation(
            url=site.url, system="Be brief.", token_cache=TokenCache()
        )
        await say(conversation, "Hello bot, what is 2+2?")
        await say(conversation, "And 3+3?")
    posts = [form for name, form in plugin.steps if name == "aipkit_cache_sse_message"]
    gets = [form for name, form in plugin.steps if name == "aipkit_frontend_chat_stream"]
    assert [post["message"] for post in posts] == [
        "System: Be brief.\nUser: Hello bot, what is 2+2?\nAssistant:",
        "And 3+3?",
    ]
    for name in ("session_id", "conversation_uuid"):
        assert gets[0][name] == gets[1][name]
    assert [get.get("previous_openai_response_id") for get in gets] == [None, "resp_mock1"]


async def test_an_assistants_bot_remembers_by_its_thread() -> None:
    async with Replica() as replica:
        url = replica.page("ai-power", "assistant")
        conversation = ChatGptt.conversation(url=url, token_cache=TokenCache())
        await say(conversation, "I am Zed")
        await say(conversation, "Who am I?")
        forms: list[Any] = [
            exchange.form for exchange in replica.exchanges if exchange.method == "POST"
        ]
    assert "thread_id" not in forms[0]
    assert forms[1]["thread_id"]
    assert forms[1]["message"] == "Who am I?"
    assert forms[0]["wpaicg_chat_client_id"] == forms[1]["wpaicg_chat_client_id"]


async def test_a_turn_that_fails_can_be_sent_again() -> None:
    good = b'data: {"id":"c","choices":[{"delta":{"content":"Zed"}}]}\n\ndata: [DONE]\n\n'
    replies = [b'data: {"error":{"message":"no"}}\n\n', good]

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(PAGE)
        else:
            await line.reply(replies.pop(0), SSE)

    async with Site(answer) as site:
        conversation = ChatGptt.conversation(url=site.url, token_cache=TokenCache())
        with pytest.raises(StreamError):
            await say(conversation, "Who am I?")
        assert conversation.messages == []
        assert await say(conversation, "Who am I?") == "Zed"
        assert len(conversation.messages) == 2


@pytest.mark.parametrize("left", ["closed", "dropped"])
async def test_an_answer_left_early_is_no_turn(left: str) -> None:
    async with Replica() as replica:
        conversation = ChatGptt.conversation(url=replica.url("ai-power"), token_cache=TokenCache())
        answer = conversation.send("hello")
        assert await anext(answer)
        with pytest.raises(InvalidRequestError, match="still being read"):
            conversation.send("hello")
        if left == "closed":
            await answer.aclose()
        del answer
        assert conversation.messages == []
        assert "(0 earlier turns)" in await say(conversation, "hello")


async def test_batches_and_how_it_went() -> None:
    async with Replica() as replica:
        conversation = GPROChat.conversation(url=replica.url("geminiprochat"))
        async with conversation.send("hello") as answer:
            parts: list[str] = []
            while deltas := await answer.read():
                parts += deltas
            assert (answer.end, answer.error, answer.bad_events) == ("done", None, 0)
        assert conversation.messages[1]["content"] == "".join(parts)
        assert "hello" not in repr(conversation)


async def test_a_value_past_half_its_life_is_renewed_in_the_background() -> None:
    now = 0.0
    cache: TokenCache[Any] = TokenCache(lifetime=100, clock=lambda: now)
    pages = 0

    async def answer(asked: Asked, line: Line) -> None:
        nonlocal pages
        if asked.method == "GET":
            pages += 1
            await line.reply(PAGE.replace(b"0a1b2c3d4e", f"nonce{pages}".encode()))
            return
        await line.begin(SSE)
        await line.chunks([b'data: {"id":"c","choices":[{"delta":{"content":"Zed"}}]}\n\n'])
        if now == 60:
            await site.until(
                lambda: pages == 2 and site.open == 1
            )  # the page was fetched while this answer comes
        await line.chunks([b"data: [DONE]\n\n"])
        await line.end()

    async def ask(provider: type[ChatProvider] = ChatGptt) -> str:
        messages = [{"role": "user", "content": "hi"}]
        return await provider.create_async("", messages, url=site.url, token_cache=cache)

    async with Site(answer) as site:
        await ask()
        now = 49
        await ask()
        assert pages == 1
        now = 60
        await ask()
        assert pages == 2
        now = 109
        await ask()
    assert pages == 2
    assert [each.form["_wpnonce"] for each in site.asked if each.method == "POST"] == [
        "nonce1", "nonce1", "nonce1", "nonce2",
    ]  # fmt: skip
    assert json.dumps(repr(cache)) == '"TokenCache(1 sites)"'
