"""LlamaIndex over its class for servers like OpenAI's: completions, as by default, and chat."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class Level(BaseModel):
    """A level, read at a gauge."""

    gauge: str
    metres: float


@pytest.fixture
def made(base_url: str, key: str, model: str) -> dict[str, Any]:
    return {"model": model, "api_base": base_url, "api_key": key, "max_retries": 0}


@pytest.fixture
def chat(made: dict[str, Any]) -> OpenAILike:
    return OpenAILike(**made, is_chat_model=True, is_function_calling_model=True)


async def test_llama_index_whole(made: dict[str, Any], chat: OpenAILike) -> None:
    assert "“Hello”" in (await OpenAILike(**made).acomplete("Hello")).text
    answer = await chat.achat([ChatMessage(role="user", content="Hello")])
    assert "“Hello”" in (answer.message.content or "")


async def test_llama_index_streamed(made: dict[str, Any], chat: OpenAILike) -> None:
    parts = [part.delta async for part in await OpenAILike(**made).astream_complete("Hello")]
    assert len(parts) > 3
    assert "“Hello”" in "".join(part or "" for part in parts)
    stream = await chat.astream_chat([ChatMessage(role="user", content="Hello")])
    assert "“Hello”" in "".join([part.delta or "" async for part in stream])


async def test_llama_index_tools(chat: OpenAILike) -> None:
    asked: list[str] = []

    def level(at: str) -> str:
        """Read the gauge."""
        asked.append(at)
        return "12 m, rising"

    agent = FunctionAgent(tools=[level], llm=chat)
    answer = await agent.run(user_msg="How high? [[tool]]")
    assert asked == ["at 1"]
    assert "12 m, rising" in str(answer)


async def test_llama_index_structured(chat: OpenAILike, model: str) -> None:
    if model.startswith(("gemini", "ollama")):
        pytest.skip("a forced call, and no more than one: Ollama's API lacks both, Gemini's one")
    answer = await chat.as_structured_llm(Level).achat([ChatMessage(role="user", content="High?")])
    assert answer.raw == Level(gauge="gauge 1", metres=1)
