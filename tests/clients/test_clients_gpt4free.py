"""Code written for gpt4free runs on our classes: its own clients, with our providers, against the
replica.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from g4f.client import AsyncClient, Client

from tailrace import ChatgptFree, ChatGptt, GPROChat
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tailrace.providers import ChatProvider

QUESTION = [{"role": "user", "content": "What runs off below the mill?"}]
OPENING = "You asked: “What runs off below the mill?” (0 earlier turns)."


@pytest.fixture(params=["ChatGptt", "ChatgptFree", "GPROChat"])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[type[ChatProvider]]:
    """Our class, pointed at the replica the way a gpt4free user would: by a subclass."""
    async with Replica() as replica:

        class Streaming(ChatGptt):
            url = replica.url("ai-power")
            api_endpoint = f"{replica.url('ai-power')}/wp-admin/admin-ajax.php"

        class Buffered(ChatgptFree):
            url = replica.page("ai-power", "json")
            api_endpoint = f"{replica.url('ai-power')}/wp-admin/admin-ajax.php"

        class Signed(GPROChat):
            url = replica.url("geminiprochat")
            api_endpoint = f"{replica.url('geminiprochat')}/api/generate"

        yield {"ChatGptt": Streaming, "ChatgptFree": Buffered, "GPROChat": Signed}[request.param]


async def test_async_client(provider: type[ChatProvider]) -> None:
    answer = await AsyncClient(provider=provider).chat.completions.create(
        model="", messages=QUESTION
    )
    assert answer.choices[0].message.content.startswith(OPENING)


async def test_async_client_streaming(provider: type[ChatProvider]) -> None:
    chunks = AsyncClient(provider=provider).chat.completions.create(
        model="", messages=QUESTION, stream=True
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
    assert text.startswith(OPENING)


async def test_client(provider: type[ChatProvider]) -> None:
    def ask() -> str:
        answer = Client(provider=provider).chat.completions.create(model="", messages=QUESTION)
        return str(answer.choices[0].message.content)

    assert (await asyncio.to_thread(ask)).startswith(OPENING)


async def test_client_streaming(provider: type[ChatProvider]) -> None:
    def ask() -> str:
        chunks = Client(provider=provider).chat.completions.create(
            model="", messages=QUESTION, stream=True
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    assert (await asyncio.to_thread(ask)).startswith(OPENING)


async def test_an_alias_and_an_unknown_model(provider: type[ChatProvider]) -> None:
    client = AsyncClient(provider=provider)
    if provider.model_aliases:
        alias = next(iter(provider.model_aliases))
        answer = await client.chat.completions.create(model=alias, messages=QUESTION)
        assert answer.choices[0].message.content.startswith(OPENING)
    if provider.models:
        with pytest.raises(Exception, match="does not know the model"):
            await client.chat.completions.create(model="no-such-model", messages=QUESTION)
