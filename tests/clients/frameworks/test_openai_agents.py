"""OpenAI's Agents SDK: by default over Responses, and over chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import agents
import openai
import pytest
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable


class Level(BaseModel):
    """A level, read at a gauge."""

    gauge: str
    metres: float


@pytest.fixture(params=["responses", "chat"])
def make(request: pytest.FixtureRequest, base_url: str, key: str, model: str) -> Callable[..., Any]:
    """Make an agent whose model is asked over the wire of the test's parameter."""
    agents.set_tracing_disabled(disabled=True)
    client = openai.AsyncOpenAI(base_url=base_url, api_key=key)
    wires = {
        "responses": agents.OpenAIResponsesModel,
        "chat": agents.OpenAIChatCompletionsModel,
    }
    asked = wires[request.param](model=model, openai_client=client)
    return lambda **options: agents.Agent(
        name="miller", instructions="Be brief.", model=asked, **options
    )


async def test_openai_agents_whole(make: Callable[..., Any]) -> None:
    result = await agents.Runner.run(make(), "Hello")
    assert "“Hello”" in result.final_output
    assert result.context_wrapper.usage.output_tokens > 0


async def test_openai_agents_streamed(make: Callable[..., Any]) -> None:
    result = agents.Runner.run_streamed(make(), "Hello")
    texts = [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    assert len(texts) > 3
    assert "".join(texts) == result.final_output


async def test_openai_agents_tools(make: Callable[..., Any]) -> None:
    asked: list[str] = []

    @agents.function_tool
    def level(at: str) -> str:
        """Read the gauge."""
        asked.append(at)
        return "12 m, rising"

    result = await agents.Runner.run(make(tools=[level]), "How high? [[tool]]")
    assert asked == ["at 1"]
    assert "12 m, rising" in result.final_output
    streamed = agents.Runner.run_streamed(make(tools=[level]), "How high? [[tool]]")
    _ = [event async for event in streamed.stream_events()]
    assert "12 m, rising" in streamed.final_output
    assert len(asked) == 2


async def test_openai_agents_structured(make: Callable[..., Any]) -> None:
    result = await agents.Runner.run(make(output_type=Level), "How high?")
    assert result.final_output == Level(gauge="gauge 1", metres=1)
