"""Requests with anything in any place are read or refused by the replica, and never break it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from tailrace.replica._sites.models.anthropic import requests as anthropic
from tailrace.replica._sites.models.behaviors import ModelBehavior
from tailrace.replica._sites.models.gemini import requests as gemini
from tailrace.replica._sites.models.ollama import requests as ollama
from tailrace.replica._sites.models.openai import chat_requests, completions, response_requests
from tailrace.replica._sites.models.openai.embeddings import as_embeddings
from tailrace.replica._sites.models.replies import make_reply
from tailrace.replica._sites.models.site import RequestRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tailrace.replica._answers import HistoryTurn
    from tailrace.replica._sites.models.requests import ModelRequest

PNG = "iVBORw0KGgpvZiBubyBwaWN0dXJl"
DATA_URL = f"data:image/png;base64,{PNG}"
SCHEMA = {
    "type": "object",
    "$defs": {"unit": {"enum": ["m", "ft"]}},
    "properties": {
        "at": {"type": "string", "pattern": "^a", "minLength": 1},
        "unit": {"$ref": "#/$defs/unit"},
        "levels": {"type": "array", "items": {"type": "number", "minimum": 1}, "minItems": 1},
        "more": {"anyOf": [{"type": "null"}, {"allOf": [{"type": "integer"}]}]},
    },
    "required": ["at", "unit", "levels", "more"],
    "additionalProperties": False,
}
CALL = {"id": "c", "type": "function", "function": {"name": "level", "arguments": "{}"}}

CHAT = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "json"},
                {"type": "image_url", "image_url": {"url": DATA_URL}},
                {"type": "file", "file": {"filename": "a", "file_data": DATA_URL}},
                {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "level", "strict": True, "parameters": SCHEMA}}
    ],
    "tool_choice": {"type": "function", "function": {"name": "level"}},
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
    "stream": True,
    "stream_options": {"include_usage": True},
    "logprobs": True,
    "top_logprobs": 2,
    "stop": ["x"],
    "max_tokens": 9,
}
RESPONSE = {
    "model": "gpt-4o",
    "instructions": "i",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "x"},
                {"type": "input_image", "image_url": DATA_URL},
                {"type": "input_file", "filename": "a", "file_data": DATA_URL},
            ],
        },
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "level", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ],
    "tools": [{"type": "function", "name": "level", "parameters": SCHEMA, "strict": True}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "level"}]},
    "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
    "reasoning": {"summary": "auto"},
    "include": ["message.output_text.logprobs"],
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "max_output_tokens": 16,
}
MESSAGE = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 2048,
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                },
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "s"},
                {"type": "tool_use", "id": "t", "name": "level", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [{"type": "text", "text": "1"}],
                }
            ],
        },
    ],
    "tools": [{"name": "level", "input_schema": SCHEMA, "strict": True}],
    "tool_choice": {"type": "tool", "name": "level", "disable_parallel_tool_use": True},
    "thinking": {"type": "disabled"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["x"],
    "top_k": 3,
    "stream": True,
}
CONTENT = {
    "systemInstruction": {"parts": [{"text": "s"}]},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "x"},
                {"inlineData": {"mimeType": "image/png", "data": PNG}},
                {"fileData": {"fileUri": "https://my.example/a"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"name": "level", "args": {}},
                    "thoughtSignature": "cmVwbGljYSA=",
                }
            ],
        },
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "level", "response": {"a": 1}, "parts": []}}],
        },
    ],
    "tools": [
        {
            "functionDeclarations": [
                {"name": "level", "parametersJsonSchema": SCHEMA},
                {
                    "name": "tide",
                    "parameters": {
                        "type": "OBJECT",
                        "properties": {"a": {"type": "STRING", "minLength": "1"}},
                        "required": ["a"],
                    },
                },
            ]
        }
    ],
    "toolConfig": {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["level", "tide"]}
    },
    "generationConfig": {
        "temperature": 1,
        "maxOutputTokens": 9,
        "stopSequences": ["x"],
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
        "responseLogprobs": True,
        "logprobs": 1,
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "low"},
    },
}
LOCAL = {
    "model": "qwen3-vl:8b",
    "messages": [
        {"role": "user", "content": "x", "images": [PNG]},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "function": {"name": "level", "arguments": {}}}],
        },
        {"role": "tool", "content": "1", "tool_name": "level", "tool_call_id": "c"},
    ],
    "tools": [{"type": "function", "function": {"name": "level", "parameters": SCHEMA}}],
    "format": SCHEMA,
    "think": "low",
    "options": {"temperature": 1, "num_predict": 9, "stop": ["x"]},
    "logprobs": True,
    "top_logprobs": 2,
    "stream": True,
    "keep_alive": 0,
}
LEGACY = {
    "model": "gpt-4o",
    "prompt": ["a", "b"],
    "max_tokens": 3,
    "logprobs": 1,
    "echo": True,
    "stream": True,
    "stream_options": {"include_usage": True},
}
EMBEDDINGS = {
    "model": "text-embedding-3-small",
    "input": ["a"],
    "dimensions": 2,
    "encoding_format": "base64",
}
READERS: dict[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
    "chat": (CHAT, chat_requests.read_request),
    "response": (RESPONSE, response_requests.read_request),
    "legacy": (LEGACY, completions.read_request),
    "embeddings": (EMBEDDINGS, as_embeddings),
    "anthropic": (MESSAGE, anthropic.read_request),
    "gemini": (
        CONTENT,
        lambda body: gemini.read_request(body, "gemini-3-pro-preview", streams=True),
    ),
    "ollama": (LOCAL, ollama.read_request),
}
STRANGE: list[Any] = [None, 7, -1, 1e300, True, "x", "\ud800", [], {}, [7], [[]], {"type": "x"}]


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to everything within `value`."""
    if place:
        yield place
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield from places(value[key], (*place, key))


def changed(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return `body` with `value` in `place`."""
    if not place:
        return value
    copied = copy.copy(body)
    copied[place[0]] = changed(body[place[0]], place[1:], value)
    return copied


async def answer(_message: str, _history: Sequence[HistoryTurn]) -> str:
    return "fine"


async def reply_to(meant: ModelRequest) -> None:
    reply = await make_reply(meant, ModelBehavior(calls=2, thinks=True), answer, 0)
    assert json.dumps([call.text for call in reply.calls])


@pytest.mark.parametrize("name", READERS)
async def test_anything_anywhere_is_read_or_refused(name: str) -> None:
    body, read = READERS[name]
    read(body)
    refusals = 0
    for place in places(body):
        for value in STRANGE:
            try:
                request = read(changed(body, place, value))
            except RequestRefusedError:
                refusals += 1
                continue
            if "tools" in place:
                await reply_to(request.meant)
    assert refusals > len(body)
