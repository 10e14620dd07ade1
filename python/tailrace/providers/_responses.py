"""A request of OpenAI's Responses API, translated from messages and parameters of chat completions.

Source: OpenAI's API reference, "Create a model response". The API keeps no dialogue for a request
that names none: all messages are sent, as the items of its input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.errors import InvalidRequestError
from tailrace.providers._chat_form import (
    AudioPart,
    ChatMessage,
    FilePart,
    ImagePart,
    Part,
    TextPart,
    parse_chat,
    parse_format,
    parse_tool_choice,
    parse_tools,
    text_alone,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["RESPONSE_OPTIONS", "response_request"]


def response_request(
    model: str, messages: object, parameters: Mapping[str, Any], most_tokens: int | None
) -> dict[str, Any]:
    """Return the request for one streamed response.

    `messages`, `parameters`: those of a chat completion; `most_tokens`: of the answer, instead of
    those the parameters tell. Raises InvalidRequestError for what the Responses API has no place
    for.
    """
    request: dict[str, Any] = {
        "model": model,
        "input": [
            item
            for message in parse_chat(messages, thinking=("reasoning",))
            for item in _items(message)
        ],
        "stream": True,
    }
    if most_tokens is not None:
        request["max_output_tokens"] = most_tokens
    for name, value in parameters.items():
        if name in _TRANSLATED:
            request |= _TRANSLATED[name](value)
        elif name not in _PASSED_OVER:
            raise InvalidRequestError(f"OpenAI's Responses API has no {name}")
    return request


_PASSED_OVER = frozenset(
    {
        "max_completion_tokens",  # both are `most_tokens`
        "max_tokens",
        "stream_options",  # a response tells its usage always
    }
)


# -- the items of the input ------------------------------------------------------------------------


def _items(message: ChatMessage) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {
            "type": "function_call_output",
            "call_id": message.call_id,
            "output": _output(message),
        }
        return
    yield from map(dict, message.thinking)
    if message.role == "assistant" and message.parts:
        said = text_alone(message, "OpenAI's Responses API")
        yield {"type": "message", "role": "assistant", "content": said}
    elif message.parts:
        content = [_given(message, part) for part in message.parts]
        yield {"type": "message", "role": message.role, "content": content}
    for call in message.calls:
        yield {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments or "{}",
        }


def _output(message: ChatMessage) -> str | list[dict[str, Any]]:
    if all(isinstance(part, TextPart) for part in message.parts):
        return message.text
    return [_given(message, part) for part in message.parts]


def _given(message: ChatMessage, part: Part) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "input_text", "text": part.text}
        case ImagePart():
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
        case FilePart(file_id=str()):
            return {"type": "input_file", "file_id": part.file_id}
        case FilePart():
            data = f"data:{part.media_type};base64,{part.data}"
            return {"type": "input_file", "filename": part.filename or "file", "file_data": data}
        case AudioPart():
            raise InvalidRequestError(
                f"{message.place} holds audio, for which the Responses API has no place"
            )


# -- the parameters --------------------------------------------------------------------------------


def _tools(value: object) -> dict[str, Any]:
    tools = []
    for tool in parse_tools(value):
        described = {} if tool.description is None else {"description": tool.description}
        tools.append(
            {
                "type": "function",
                "name": tool.name,
                **described,
                "parameters": tool.parameters or {"type": "object", "properties": {}},
                "strict": bool(tool.strict),
            }
        )
    return {"tools": tools}


def _tool_choice(value: object) -> dict[str, Any]:
    choice = parse_tool_choice(value)
    if choice.mode == "function":
        return {"tool_choice": {"type": "function", "name": choice.name}}
    return {"tool_choice": choice.mode}


def _format(value: object) -> dict[str, Any]:
    wanted = parse_format(value)
    if wanted is None:
        return {"text": {"format": {"type": "text"}}}
    if wanted.schema is None:
        return {"text": {"format": {"type": "json_object"}}}
    described = {"description": wanted.description, "strict": wanted.strict}
    return {
        "text": {
            "format": {
                "type": "json_schema",
                "name": wanted.name,
                "schema": wanted.schema,
                **{name: each for name, each in described.items() if each is not None},
            }
        }
    }


def _logprobs(value: object) -> dict[str, Any]:
    return {"include": ["message.output_text.logprobs"]} if value else {}


def _as(name: str) -> Any:
    return lambda value: {name: value}


_TRANSLATED: Mapping[str, Any] = {
    "logprobs": _logprobs,
    "parallel_tool_calls": _as("parallel_tool_calls"),
    "reasoning_effort": lambda value: {"reasoning": {"effort": value}},
    "response_format": _format,
    "temperature": _as("temperature"),
    "tool_choice": _tool_choice,
    "tools": _tools,
    "top_logprobs": _as("top_logprobs"),
    "top_p": _as("top_p"),
    "user": _as("user"),
}
"""The parameters that the API has, in its own form."""

RESPONSE_OPTIONS = frozenset({*_TRANSLATED, *_PASSED_OVER})
"""The parameters of chat completions that the API takes, in one form or another."""
