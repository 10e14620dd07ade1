"""Pydantic AI over both of OpenAI's wires. Its class for Anthropic's API fails in itself with that
API's package of today, whose types have changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

if TYPE_CHECKING:
    from collections.abc import Callable


class Level(BaseModel):
    """A level, read at a gauge."""

    gauge: str
    metres: float


@pytest.fixture(params=["chat", "responses"])
def make(request: pytest.FixtureRequest, base_url: str, key: str, model: str) -> Callable[..., Any]:
    """Make an agent whose model is asked over the wire of the test's parameter."""
    openai = OpenAIProvider(base_url=base_url, api_key=key)
    models = {
        "chat": lambda: OpenAIChatModel(model, provider=openai),
        "responses": lambda: OpenAIResponsesModel(model, provider=openai),
    }
    return lambda **options: Agent(models[request.param](), **options)


async def test_pydantic_ai_whole(make: Callable[..., Any]) -> None:
    result = await make(system_prompt="Be brief.").run("Hello")
    assert "“Hello”" in result.output
    assert result.usage.output_tokens > 0


async def test_pydantic_ai_streamed(make: Callable[..., Any]) -> None:
    async with make().run_stream("Hello") as result:
        texts = [text async for text in result.stream_text(delta=True, debounce_by=None)]
    assert len(texts) > 3
    assert "“Hello”" in "".join(texts)


async def test_pydantic_ai_tools(make: Callable[..., Any]) -> None:
    agent = make()
    asked: list[str] = []

    @agent.tool_plain
    def level(at: str) -> str:
        """Read the gauge."""
        asked.append(at)
        return "12 m, rising"

    result = await agent.run("How high? [[tool]]")
    assert asked == ["at 1"]
    assert "12 m, rising" in result.output
    async with agent.run_stream("How high? [[tool]]") as streamed:
        text = await streamed.get_output()
    assert "12 m, rising" in text
    assert len(asked) == 2


async def test_pydantic_ai_structured(make: Callable[..., Any], model: str) -> None:
    if model.startswith("ollama"):
        pytest.skip("a forced call, which Ollama's API has not")
    result = await make(output_type=Level).run("How high?")
    assert result.output == Level(gauge="gauge 1", metres=1)
