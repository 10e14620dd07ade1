"""Anthropic's Messages API.

Source: Anthropic's API reference, "Create a Message" and "List models".

What it has another form for is translated. System messages stand in front of the dialogue, wherever
they stood in it, and of a JSON schema only the schema itself is sent, not its name.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tailrace.errors import InvalidRequestError
from tailrace.providers._api import ApiCall, ApiOptions, ModelsPage, below, without_ending
from tailrace.providers._chat_form import (
    AudioPart,
    ChatMessage,
    FilePart,
    ImagePart,
    Part,
    TextPart,
    arguments_object,
    check_no_detail,
    parse_chat,
    parse_format,
    parse_tool_choice,
    parse_tools,
    system_texts,
    take_turns,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["AnthropicCall", "AnthropicOptions"]

_API = "Anthropic's API"
_VERSION = "2023-06-01"
_MOST_TOKENS = 4096
"""The most tokens of an answer unless the call says so; the API wants a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicOptions(ApiOptions):
    """The options of servers with Anthropic's API.

    `max_tokens`: 4096 unless given, since the API wants a number. `reasoning_effort` is the API's
    ``output_config.effort``, and for ``none`` no thinking; `user` its ``metadata.user_id``. A
    thinking budget goes into `extra`: ``{"thinking": {"type": "enabled", "budget_tokens": 2048}}``.
    So do `messages`, `system` and `tools` in the API's own form, in place of the call's, with what
    only that has: ``cache_control``, say, and thoughts with their signatures.
    """

    parallel_tool_calls: bool | None = None
    user: str | None = field(default=None, repr=False)


class AnthropicCall(ApiCall[AnthropicOptions]):
    """One streamed message. The site's URL is the server's, with or without ``/v1``."""

    api = _API
    dialect = "anthropic"
    replaceable = frozenset({"messages", "system", "tools"})

    def endpoint(self, model: str) -> str:
        """Return the URL that takes messages; the model is named in the request."""
        del model
        return below(self._base, "/v1/messages")

    @property
    def _base(self) -> str:
        return without_ending(self.request.url, "/v1/messages", "/v1")

    def headers(self) -> dict[str, str]:
        """Return the key, and the version of the API that is meant."""
        key = self.options.api_key
        return {"anthropic-version": _VERSION, **({"x-api-key": key} if key else {})}

    def body(self, model: str) -> dict[str, Any]:
        """Return the request for one streamed message."""
        messages = parse_chat(self.request.messages, thinking=_THINKING)
        options = self.options
        most_tokens = options.most_tokens
        fields = {
            "system": _system(messages),
            "temperature": options.temperature,
            "top_p": _top_p(options),
            "top_k": options.top_k,
            "stop_sequences": options.stops,
            "tools": None if options.tools is None else _tools(options.tools),
            "tool_choice": _tool_choice(options),
            "output_config": _output_config(options),
            "thinking": {"type": "disabled"} if options.reasoning_effort == "none" else None,
            "metadata": None if options.user is None else {"user_id": options.user},
        }
        return {
            "model": model,
            "max_tokens": _MOST_TOKENS if most_tokens is None else most_tokens,
            "messages": _turns(messages),
            "stream": True,
            **{name: value for name, value in fields.items() if value is not None},
        }

    async def count_tokens(self) -> bytes:
        """Ask how many tokens the messages have; return the answer's body."""
        body = self.body(self.request.get_model(self.request.model))
        question = {name: value for name, value in body.items() if name not in _OF_ANSWERS}
        url = below(self._base, "/v1/messages/count_tokens")
        return await self.ask(url, question, "input_tokens")

    def models_url(self, cursor: str | None) -> str:
        """Return the URL of the models behind the id `cursor`."""
        query = {"limit": "1000", **({} if cursor is None else {"after_id": cursor})}
        return below(self._base, "/v1/models", urlencode(query))

    def models_page(self, record: Mapping[str, Any]) -> ModelsPage:
        """Read a page of the list of models."""
        cursor = record["last_id"] if record.get("has_more") else None
        return ModelsPage([model["id"] for model in record["data"]], cursor)


_THINKING = frozenset({"thinking", "redacted_thinking"})
"""The blocks of reasoning that the API takes back."""

_OF_ANSWERS = frozenset(
    {"max_tokens", "metadata", "stop_sequences", "stream", "temperature", "top_k", "top_p"}
)
"""The fields of a request that say nothing of its own tokens, which a count does not take."""


def _top_p(options: AnthropicOptions) -> float | None:
    """Return the share of the tokens to choose from; None for all beside a temperature.

    Newer models take one of the two, and clients that always send both mean the temperature by a
    share of 1.
    """
    return None if options.top_p == 1 and options.temperature is not None else options.top_p


# -- messages --------------------------------------------------------------------------------------


def _system(messages: list[ChatMessage]) -> str | list[dict[str, Any]] | None:
    texts = system_texts(messages, _API)
    if len(texts) > 1:
        return [_text(text) for text in texts]
    return texts[0] if texts else None


def _turns(messages: list[ChatMessage]) -> list[dict[str, Any]]:
    return [
        {"role": "assistant" if is_assistant else "user", "content": blocks}
        for is_assistant, blocks in take_turns(messages, _blocks)
    ]


def _blocks(message: ChatMessage) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {
            "type": "tool_result",
            "tool_use_id": message.call_id,
            "content": [_block(message, part) for part in message.parts if _is_something(part)],
        }
        return
    yield from map(dict, message.thinking)
    for part in message.parts:
        if _is_something(part):
            yield _block(message, part)
    for call in message.calls:
        arguments = arguments_object(message.place, call)
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _is_something(part: Part) -> bool:
    """Tell a part from an empty text, which the API refuses."""
    return not isinstance(part, TextPart) or bool(part.text)


def _block(message: ChatMessage, part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        check_no_detail(message, part, _API)
    match part:
        case TextPart():
            return _text(part.text)
        case ImagePart(url=str()):
            return {"type": "image", "source": {"type": "url", "url": part.url}}
        case ImagePart():
            return {"type": "image", "source": _base64(part.media_type, part.data)}
        case FilePart():
            titled = {} if part.filename is None else {"title": part.filename}
            return {"type": "document", "source": _document(message, part), **titled}
        case AudioPart():
            raise InvalidRequestError(f"{message.place} holds audio, which {_API} does not take")


def _document(message: ChatMessage, part: FilePart) -> dict[str, Any]:
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    if part.media_type != "text/plain":
        return _base64(part.media_type, part.data)
    try:
        text = base64.b64decode(part.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidRequestError(f"{message.place} holds a file that is no UTF-8 text") from None
    return {"type": "text", "media_type": "text/plain", "data": text}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _base64(media_type: str, data: str) -> dict[str, Any]:
    return {"type": "base64", "media_type": media_type, "data": data}


# -- tools and formats -----------------------------------------------------------------------------


def _tools(tools: object) -> list[dict[str, Any]]:
    return [
        {
            "name": tool.name,
            **({} if tool.description is None else {"description": tool.description}),
            "input_schema": tool.parameters or {"type": "object", "properties": {}},
            **({"strict": True} if tool.strict else {}),
        }
        for tool in parse_tools(tools)
    ]


def _tool_choice(options: AnthropicOptions) -> dict[str, Any] | None:
    one_at_a_time = options.parallel_tool_calls is False and bool(options.tools)
    if options.tool_choice is None and not one_at_a_time:
        return None
    choice = parse_tool_choice("auto" if options.tool_choice is None else options.tool_choice)
    if choice.mode == "none":
        return {"type": "none"}
    chosen: dict[str, Any] = {
        "type": {"required": "any", "function": "tool"}.get(choice.mode, "auto")
    }
    if choice.mode == "function":
        chosen["name"] = choice.name
    if one_at_a_time:
        chosen["disable_parallel_tool_use"] = True
    return chosen


def _output_config(options: AnthropicOptions) -> dict[str, Any] | None:
    config: dict[str, Any] = {}
    if options.reasoning_effort not in (None, "none"):
        config["effort"] = options.reasoning_effort
    wanted = None if options.response_format is None else parse_format(options.response_format)
    if wanted is not None:
        if wanted.schema is None:
            raise InvalidRequestError(
                f"response_format: {_API} has JSON by a schema alone (json_schema)"
            )
        config["format"] = {"type": "json_schema", "schema": wanted.schema}
    return config or None
