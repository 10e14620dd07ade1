"""Instructor in its default mode: a forced call of a tool whose arguments are the answer."""

from __future__ import annotations

from typing import Any

import instructor
import openai
import pytest
from pydantic import BaseModel

QUESTION: Any = [{"role": "user", "content": "How high?"}]


class Level(BaseModel):
    """A level, read at a gauge."""

    gauge: str
    metres: float
    tags: list[str]


LEVEL = {"gauge": "gauge 1", "metres": 1, "tags": ["tags 1"]}


@pytest.fixture
def client(base_url: str, key: str, model: str) -> Any:
    if model.startswith("ollama"):
        pytest.skip("a forced call, which Ollama's API has not")
    return instructor.from_openai(openai.AsyncOpenAI(base_url=base_url, api_key=key))


async def test_instructor_structured(client: Any, model: str) -> None:
    found = await client.chat.completions.create(
        model=model, response_model=Level, messages=QUESTION
    )
    assert found.model_dump() == LEVEL


async def test_instructor_whole(client: Any, model: str) -> None:
    found, completion = await client.chat.completions.create_with_completion(
        model=model, response_model=Level, messages=QUESTION, max_retries=0
    )
    assert found.model_dump() == LEVEL
    assert completion.usage.total_tokens > 0


async def test_instructor_streamed(client: Any, model: str) -> None:
    parts = [
        part
        async for part in client.chat.completions.create_partial(
            model=model, response_model=Level, messages=QUESTION
        )
    ]
    assert parts[-1].model_dump() == LEVEL


async def test_instructor_structured_by_a_schema(base_url: str, key: str, model: str) -> None:
    if model.startswith("anthropic"):
        pytest.skip("Anthropic's API wants additionalProperties, which it does not write")
    client = instructor.from_openai(
        openai.AsyncOpenAI(base_url=base_url, api_key=key), mode=instructor.Mode.JSON_SCHEMA
    )
    found = await client.chat.completions.create(
        model=model, response_model=Level, messages=QUESTION
    )
    assert found.model_dump() == LEVEL
