"""Ollama's own API, ``/api/chat``.

Source: Ollama's API reference, "Generate a chat completion" and "List local models".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tailrace.errors import InvalidRequestError
from tailrace.providers._api import ApiCall, ApiOptions, ModelsPage, below, without_ending
from tailrace.providers._chat_form import (
    ChatMessage,
    ImagePart,
    TextPart,
    arguments_object,
    check_no_detail,
    parse_chat,
    parse_format,
    parse_tool_choice,
    parse_tools,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OllamaCall", "OllamaOptions"]

_API = "Ollama's API"


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaOptions(ApiOptions):
    """The options of servers with Ollama's API.

    `tool_choice`: ``auto`` or ``none``, for which no tools are sent. `reasoning_effort` is the
    API's ``think``, false for ``none``. Others go into `extra`: ``{"options": {"num_ctx": 8192},
    "keep_alive": "5m"}``.
    """

    frequency_penalty: float | None = None
    logprobs: bool | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    top_logprobs: int | None = None


class OllamaCall(ApiCall[OllamaOptions]):
    """One streamed chat. The site's URL is the server's, with or without ``/api``."""

    api = _API
    dialect = "ollama"
    accept = "application/x-ndjson"

    def endpoint(self, model: str) -> str:
        """Return the URL that takes chats; the model is named in the request."""
        del model
        return below(self._base, "/api/chat")

    @property
    def _base(self) -> str:
        return without_ending(self.request.url, "/api/chat", "/api")

    def headers(self) -> dict[str, str]:
        """Return the key as a bearer token, for a server that wants one."""
        key = self.options.api_key
        return {"Authorization": f"Bearer {key}"} if key else {}

    def body(self, model: str) -> dict[str, Any]:
        """Return the request for one streamed chat."""
        options = self.options
        fields = {
            "tools": _tools(options),
            "format": _format(options.response_format),
            "think": False if options.reasoning_effort == "none" else options.reasoning_effort,
            "logprobs": options.logprobs,
            "top_logprobs": options.top_logprobs,
            "options": _sampling(options) or None,
        }
        return {
            "model": model,
            "messages": [_message(each) for each in parse_chat(self.request.messages)],
            "stream": True,
            **{name: value for name, value in fields.items() if value is not None},
        }

    def models_url(self, cursor: str | None) -> str:
        """Return the URL of the list of models, which has one page."""
        del cursor
        return below(self._base, "/api/tags")

    def models_page(self, record: Mapping[str, Any]) -> ModelsPage:
        """Read the list of models."""
        return ModelsPage([model["name"] for model in record["models"]])


def _message(message: ChatMessage) -> dict[str, Any]:
    images = [_image(message, part) for part in message.parts if not isinstance(part, TextPart)]
    calls = [
        {
            "id": call.id,
            "function": {"name": call.name, "arguments": arguments_object(message.place, call)},
        }
        for call in message.calls
    ]
    result = (
        {"tool_call_id": message.call_id, **({"tool_name": message.name} if message.name else {})}
        if message.role == "tool"
        else {}
    )
    return {
        "role": "system" if message.role == "developer" else message.role,
        "content": message.text,
        **({"images": images} if images else {}),
        **({"tool_calls": calls} if calls else {}),
        **result,
    }


def _image(message: ChatMessage, part: object) -> str:
    if not isinstance(part, ImagePart):
        raise InvalidRequestError(
            f"{message.place} holds what {_API} does not take: text and images alone"
        )
    if part.url is not None:
        raise InvalidRequestError(
            f"{message.place} holds the URL of an image: {_API} takes its bytes, as a data URL"
        )
    check_no_detail(message, part, _API)
    return part.data


def _tools(options: OllamaOptions) -> list[dict[str, Any]] | None:
    """Return the tools in OpenAI's form, which the API shares; none where none may be called."""
    choice = parse_tool_choice("auto" if options.tool_choice is None else options.tool_choice)
    if choice.mode not in ("auto", "none"):
        raise InvalidRequestError(f"tool_choice: {_API} cannot make a model call a tool")
    if options.tools is None or choice.mode == "none":
        return None
    parse_tools(options.tools)
    return [dict(tool) for tool in options.tools]


def _format(response_format: object) -> object:
    wanted = None if response_format is None else parse_format(response_format)
    if wanted is None:
        return None
    return "json" if wanted.schema is None else wanted.schema


def _sampling(options: OllamaOptions) -> dict[str, Any]:
    values = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k,
        "num_predict": options.most_tokens,
        "stop": options.stops,
        "seed": options.seed,
        "frequency_penalty": options.frequency_penalty,
        "presence_penalty": options.presence_penalty,
    }
    return {name: value for name, value in values.items() if value is not None}
