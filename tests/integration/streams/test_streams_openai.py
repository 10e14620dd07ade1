"""The `openai` package asks, we read: its public way to the raw bytes, against the replica and over
held sockets.
"""

from __future__ import annotations

import asyncio
import os
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from reply_server import DONE, delta, serving

from tailrace import stream_deltas, stream_events
from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLE = Path(__file__).parents[3] / "examples" / "openai_fast.py"
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
ASKED: dict[str, Any] = {"model": "gpt-4o", "messages": HELLO, "stream": True}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of anybody but loopback, whatever the machine's environment says."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    async with Replica() as replica:
        yield replica.url("openai") + "/v1"


@pytest.mark.parametrize(
    "hands_over", [lambda response: response, lambda response: response.iter_bytes()]
)
async def test_the_text_is_the_clients_own(base_url: str, hands_over: Any) -> None:
    usage = {"stream_options": {"include_usage": True}}
    async with openai.AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
        completions = client.chat.completions
        chunks = [chunk async for chunk in await completions.create(**ASKED, **usage)]
        request = completions.with_streaming_response.create(**ASKED, **usage)
        async with request as response, stream_deltas(hands_over(response)) as deltas:
            text = "".join([each async for each in deltas])
    assert text == "".join(
        chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices
    )
    assert text == await builtin_answer(Question("gpt-4o", "Hello"))
    assert (deltas.end, deltas.finish_reason, deltas.ids["model"]) == ("done", "stop", "gpt-4o")
    assert deltas.usage is not None
    assert chunks[-1].usage is not None
    assert deltas.usage.total_tokens == chunks[-1].usage.total_tokens


@pytest.mark.parametrize(
    "hands_over", [lambda response: response, lambda response: response.iter_bytes()]
)
async def test_without_asyncio_too(base_url: str, hands_over: Any) -> None:
    def read() -> str:
        with openai.OpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
            create = client.chat.completions.with_streaming_response.create
            with create(**ASKED) as response, stream_deltas(hands_over(response)) as deltas:
                return "".join(deltas)

    assert await asyncio.to_thread(read) == await builtin_answer(Question("gpt-4o", "Hello"))


async def test_events_of_it(base_url: str) -> None:
    async with openai.AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
        request = client.chat.completions.with_streaming_response.create(**ASKED)
        async with request as response, stream_events(response) as events:
            seen = [event.data async for event in events]
    assert seen[-1] == "[DONE]"


async def test_leaving_closes_the_clients_connection() -> None:
    async with (
        serving(delta("Hel"), delta("lo"), DONE, held=True) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="any", max_retries=0) as client,
    ):
        request = client.chat.completions.with_streaming_response.create(**ASKED)
        async with request as response, stream_deltas(response) as deltas:
            assert await anext(deltas) == "Hel"
        await server.left.wait()


async def test_cancelling_wakes_the_thread_that_reads_a_client_without_asyncio() -> None:
    async with serving(delta("Hel"), delta("lo"), DONE, held=True) as server:
        with openai.OpenAI(base_url=server.url, api_key="any", max_retries=0) as client:
            request = client.chat.completions.with_streaming_response.create(**ASKED)
            response = await asyncio.to_thread(request.__enter__)
            deltas = stream_deltas(response)
            assert await anext(deltas) == "Hel"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(deltas)
            await server.left.wait()


async def test_the_example_shows_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    await runpy.run_path(str(EXAMPLE))["main"]()
    shown = capsys.readouterr().out
    assert shown.count("[done, stop, Usage(") == 2
    assert shown.startswith(
        await builtin_answer(Question("gpt-4o-mini", "What runs off below the mill?"))
    )
