"""Code written for gpt4free runs on our classes: its own clients and lists, with our providers and
lists, and with classes of a caller's own, against the replica.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from g4f import providers as their_providers
from g4f.client import AsyncClient, Client
from g4f.providers.base_provider import AsyncGeneratorProvider as TheirGeneratorProvider
from g4f.providers.response import FinishReason

from tailrace import (
    AsyncGeneratorProvider,
    ChatgptFree,
    ChatGptt,
    GPROChat,
    IterListProvider,
    ProviderModelMixin,
    RetryProvider,
    Site,
    errors,
)
from tailrace.providers import OpenAIProvider
from tailrace.replica import Question, Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUESTION = [{"role": "user", "content": "What runs off below the mill?"}]
OPENING = "You asked: “What runs off below the mill?” (0 earlier turns)."


class Own(AsyncGeneratorProvider, ProviderModelMixin):
    """A caller's own async generator in a subclass of our bases."""

    @classmethod
    async def create_async_generator(  # type: ignore[override]
        cls, model: str, messages: Any, **options: Any
    ) -> AsyncIterator[str]:
        del model, options
        yield "You asked: "
        yield f"“{messages[-1]['content']}” (0 earlier turns)."


class Gone(ChatGptt):
    """A site that cannot be reached."""

    url = "http://127.0.0.1:9"


CASES = [
    *("ChatGptt", "ChatgptFree", "GPROChat", "an instance", "Own"),
    *("RetryProvider", "IterListProvider", "a list of an own class", "a list of a site"),
]


@pytest.fixture(params=CASES)
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
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

        site = Site(replica.page("ai-power", "stream"))
        yield {
            "ChatGptt": Streaming,
            "ChatgptFree": Buffered,
            "GPROChat": Signed,
            "an instance": Streaming(),
            "Own": Own,
            "RetryProvider": RetryProvider([Gone, Buffered], shuffle=False),
            "IterListProvider": IterListProvider([Gone, IterListProvider([Signed])], shuffle=False),
            "a list of an own class": RetryProvider([Gone, Own], shuffle=False),
            "a list of a site": RetryProvider([site], single_provider_retry=True),
        }[request.param]


async def test_async_client(provider: Any) -> None:
    answer = await AsyncClient(provider=provider).chat.completions.create(
        model="", messages=QUESTION
    )
    assert answer.choices[0].message.content.startswith(OPENING)


async def test_async_client_streaming(provider: Any) -> None:
    chunks = AsyncClient(provider=provider).chat.completions.create(
        model="", messages=QUESTION, stream=True
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
    assert text.startswith(OPENING)


async def test_client(provider: Any) -> None:
    def ask() -> str:
        answer = Client(provider=provider).chat.completions.create(model="", messages=QUESTION)
        return str(answer.choices[0].message.content)

    assert (await asyncio.to_thread(ask)).startswith(OPENING)


async def test_client_streaming(provider: Any) -> None:
    def ask() -> str:
        chunks = Client(provider=provider).chat.completions.create(
            model="", messages=QUESTION, stream=True
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    assert (await asyncio.to_thread(ask)).startswith(OPENING)


async def test_an_alias_and_an_unknown_model(provider: Any) -> None:
    if not isinstance(provider, type) or not issubclass(provider, ProviderModelMixin):
        return
    client = AsyncClient(provider=provider)
    if provider.model_aliases:
        alias = next(iter(provider.model_aliases))
        answer = await client.chat.completions.create(model=alias, messages=QUESTION)
        assert answer.choices[0].message.content.startswith(OPENING)
    if provider.models:
        with pytest.raises(Exception, match="does not know the model"):
            await client.chat.completions.create(model="no-such-model", messages=QUESTION)


async def test_what_its_client_passes_on_stays_quiet(
    provider: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = AsyncClient(provider=provider, api_key="k")
    options: dict[str, Any] = {"max_tokens": 1000, "stop": ["zzz"], "timeout": 30}
    answer = await client.chat.completions.create(model="", messages=QUESTION, **options)
    assert answer.choices[0].message.content.startswith(OPENING)
    assert "ignores the argument" not in caplog.text


async def test_its_own_list_takes_our_classes(provider: Any) -> None:
    theirs = their_providers.retry_provider.IterListProvider([Gone, provider], shuffle=False)
    answer = await AsyncClient(provider=theirs).chat.completions.create(model="", messages=QUESTION)
    assert answer.choices[0].message.content.startswith(OPENING)


async def test_our_list_takes_its_classes() -> None:
    class Theirs(TheirGeneratorProvider):
        working = True

        @classmethod
        async def create_async_generator(
            cls, model: str, messages: Any, **options: Any
        ) -> AsyncIterator[Any]:
            del model, messages, options
            yield "Hello"
            yield FinishReason("stop")

    ours = RetryProvider([Gone, Theirs], shuffle=False)
    assert await ours.create_async("", QUESTION) == "Hello"
    assert list(ours.create_completion("", QUESTION)) == ["Hello"]
    answer = await AsyncClient(provider=ours).chat.completions.create(model="", messages=QUESTION)
    assert answer.choices[0].message.content == "Hello"


async def test_an_image_is_refused_by_name() -> None:
    image = b"\x89PNG\r\n\x1a\n"
    with pytest.raises(errors.InvalidRequestError, match="media cannot be sent"):
        await AsyncClient(provider=Gone).chat.completions.create(
            model="", messages=QUESTION, image=image
        )


async def test_its_client_calls_tools_by_the_prompt() -> None:
    async def answer(question: Question) -> str:
        del question
        return '{"tool_calls": [{"name": "level", "arguments": {"at": "1"}}]}'

    tool: Any = {"type": "function", "function": {"name": "level", "parameters": {}}}
    async with Replica(answers=answer) as replica:
        provider = type("Ours", (OpenAIProvider,), {"url": f"{replica.url('openai')}/v1"})
        completion = await AsyncClient(provider=provider).chat.completions.create(
            model="gpt-4o", messages=QUESTION, tools=[tool]
        )
        sent: Any = replica.exchanges[-1].json
    (call,) = completion.choices[0].message.tool_calls
    assert call.function.name == "level"
    assert "level" in str(sent["messages"])
    assert not {"tools", "response_format"} & sent.keys()
