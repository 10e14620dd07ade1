"""Haystack's generators and its agent."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator, OpenAIResponsesChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import tool
from haystack.utils import Secret
from pydantic import BaseModel


class Level(BaseModel):
    """A level, read at a gauge."""

    gauge: str
    metres: float


WIRES = {"chat": OpenAIChatGenerator, "responses": OpenAIResponsesChatGenerator}


@pytest.fixture(params=WIRES)
def generator(request: pytest.FixtureRequest, base_url: str, key: str, model: str) -> Any:
    return WIRES[request.param](
        api_base_url=base_url, api_key=Secret.from_token(key), model=model, max_retries=0
    )


def test_haystack_whole(generator: Any) -> None:
    reply = generator.run([ChatMessage.from_user("Hello")])["replies"][0]
    assert "“Hello”" in reply.text


def test_haystack_streamed(generator: Any) -> None:
    parts: list[str] = []
    reply = generator.run(
        [ChatMessage.from_user("Hello")], streaming_callback=lambda part: parts.append(part.content)
    )["replies"][0]
    assert len(parts) > 3
    assert "“Hello”" in "".join(parts)
    assert "“Hello”" in reply.text


def test_haystack_tools(generator: Any) -> None:
    asked: list[str] = []

    @tool
    def level(at: Annotated[str, "the gauge"]) -> str:
        """Read the gauge."""
        asked.append(at)
        return "12 m, rising"

    agent = Agent(chat_generator=generator, tools=[level])
    found = agent.run(messages=[ChatMessage.from_user("How high? [[tool]]")])
    assert asked == ["at 1"]
    assert "12 m, rising" in found["messages"][-1].text


def test_haystack_structured(generator: Any) -> None:
    name = "text_format" if "Responses" in type(generator).__name__ else "response_format"
    reply = generator.run([ChatMessage.from_user("How high?")], generation_kwargs={name: Level})
    assert json.loads(reply["replies"][0].text) == {"gauge": "gauge 1", "metres": 1}
