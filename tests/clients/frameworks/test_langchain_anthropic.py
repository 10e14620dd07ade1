"""LangChain's class for Anthropic's API, over the gateway's messages."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

# It keeps its client, and with it the loop that the client began in.
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Level(BaseModel):
    """A level, read at a gauge."""

    gauge: str
    metres: float


@tool
def level(at: str) -> str:
    """Read the gauge."""
    return f"12 m, rising, {at}"


@pytest.fixture
def chat(base_url: str, key: str, model: str) -> Any:
    return ChatAnthropic(
        model=model, base_url=base_url.removesuffix("/v1"), api_key=key, max_retries=0
    )


async def test_langchain_anthropic_whole(chat: Any) -> None:
    whole = await chat.ainvoke([("system", "Be brief."), ("user", "Hello")])
    assert "“Hello”" in whole.text
    assert whole.usage_metadata["output_tokens"] > 0


async def test_langchain_anthropic_streamed(chat: Any) -> None:
    parts = [part async for part in chat.astream("Hello")]
    assert len(parts) > 3
    assert "“Hello”" in "".join(part.text for part in parts)


async def test_langchain_anthropic_tools(chat: Any) -> None:
    bound = chat.bind_tools([level])
    asked: list[Any] = [("user", "How high? [[tool]]")]
    answer = await bound.ainvoke(asked)
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("level", {"at": "at 1"})
    result = ToolMessage(level.invoke(call["args"]), tool_call_id=call["id"])
    final = await bound.ainvoke([("user", "How high? [[tool]]"), answer, result])
    assert "12 m, rising, at 1" in final.text


async def test_langchain_anthropic_structured(chat: Any, model: str) -> None:
    if model.startswith("ollama"):
        pytest.skip("a forced call, which Ollama's API has not")
    found = await chat.with_structured_output(Level).ainvoke("How high?")
    assert found == Level(gauge="gauge 1", metres=1)
