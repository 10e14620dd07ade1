"""The requests we send, held against the types of each API's official package.

The vectors of ``tests/vectors/requests`` are what `tests/unit/apis` checks; here a request that we
promise must be one that the API's own package would send.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from google.genai import types as gemini  # noqa: TC002 - pydantic reads them
from ollama._types import ChatRequest
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import BaseModel, ConfigDict, TypeAdapter

VECTORS = Path(__file__).parents[1] / "vectors" / "requests"


class GeminiRequest(BaseModel):
    """The body of `streamGenerateContent`, of the package's own parts."""

    model_config = ConfigDict(extra="forbid")

    contents: list[gemini.Content]
    systemInstruction: gemini.Content | None = None  # noqa: N815 - the wire's name
    tools: list[gemini.Tool] | None = None
    toolConfig: gemini.ToolConfig | None = None  # noqa: N815
    generationConfig: gemini.GenerationConfig | None = None  # noqa: N815


TYPES: dict[str, TypeAdapter[Any]] = {
    "openai": TypeAdapter(CompletionCreateParamsStreaming),
    "openai-responses": TypeAdapter(ResponseCreateParamsStreaming),
    "anthropic": TypeAdapter(MessageCreateParamsStreaming),
    "gemini": TypeAdapter(GeminiRequest),
    "ollama": TypeAdapter(ChatRequest),
}
NOT_THE_APIS = {
    ("openai", "custom_tool"),  # sent as it was given: the server's to judge, as are the others
    ("openai", "extra_openai"),
    ("openai", "former_function"),
    ("openai", "tool_choice_unknown"),
    ("openai", "top_k"),
    ("openai", "unknown_key"),
    ("openai", "unknown_part"),
}


def requests() -> list[Any]:
    return [
        pytest.param(api, body, id=f"{file.stem}-{api}")
        for file in sorted(VECTORS.glob("*.json"))
        for api, body in json.loads(file.read_text("utf-8"))["requests"].items()
        if "refused" not in body and (api, file.stem) not in NOT_THE_APIS
    ]


@pytest.mark.parametrize(("api", "body"), requests())
def test_a_request_is_one_of_the_apis_own(api: str, body: dict[str, Any]) -> None:
    TYPES[api].validate_python(body)
