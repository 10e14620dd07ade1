"""Any server with OpenAI's API: chat completions (vLLM, Ollama, llama.cpp, a gateway), Responses.

Source: OpenAI's API reference, "Create chat completion" and "Create a model response".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

from tailrace.errors import InvalidRequestError
from tailrace.providers._api import ApiCall, ApiOptions, ModelsPage, below, without_ending
from tailrace.providers._responses import response_request

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OWN_FIELDS", "OpenAICall", "OpenAIOptions"]

_USAGE_TOO: Mapping[str, Any] = MappingProxyType({"include_usage": True})
"""The `stream_options` of chat completions unless a site has others: the server counts tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIOptions(ApiOptions):
    """The options of servers with OpenAI's API, which go into the request as they are.

    `api`: ``chat`` for chat completions, which all servers have, or ``responses``; what the
    Responses API has not, it refuses by name. For ``responses``, `extra` may hold the `input` in
    the API's own form, in place of the call's. Raises InvalidRequestError for another `api`, and
    for any other field of `extra` that the call writes itself.
    """

    api: Literal["chat", "responses"] = "chat"
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stream_options: Mapping[str, Any] | None = field(default_factory=lambda: _USAGE_TOO)
    top_logprobs: int | None = None
    user: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        ApiOptions.__post_init__(self)
        if self.api not in ("chat", "responses"):
            raise InvalidRequestError(f"api must be 'chat' or 'responses', not {self.api!r}")
        if self.stream_options is not None and not isinstance(self.stream_options, Mapping):
            kind = type(self.stream_options).__name__
            raise InvalidRequestError(
                f"stream_options must be a mapping of names to values, not {kind}"
            )
        for name in self.extra or ():
            if name in OWN_FIELDS and not (name == "input" and self.api == "responses"):
                raise InvalidRequestError(f"extra must not hold {name}: it has its own place")

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of a request that are not None."""
        given = {name: value for name in _PARAMETERS if (value := getattr(self, name)) is not None}
        if self.stream_options is _USAGE_TOO:
            given["stream_options"] = dict(_USAGE_TOO)  # or JSON's encoder asks what it is
        return given


# In their order, so that equal calls send equal bytes.
_PARAMETERS = tuple(
    name for name in OpenAIOptions.__dataclass_fields__ if name not in {"api", "api_key", "extra"}
)
OWN_FIELDS = frozenset({"input", "messages", "model", "stream", *_PARAMETERS})
"""The fields of a request that a call writes itself, and no `extra` may hold."""

_ENDPOINTS = {"chat": "/chat/completions", "responses": "/responses"}


@lru_cache(maxsize=256)  # a site is called at the same few URLs
def _endpoint(url: str, path: str) -> str:
    return url if urlsplit(url).path.rstrip("/").endswith(path) else below(url, path)


class OpenAICall(ApiCall[OpenAIOptions]):
    """One streamed chat completion, or one streamed response.

    The site's URL is the base URL, e.g. ``http://host:8000/v1``.
    """

    api = "an OpenAI-compatible server"
    replaceable = frozenset({"input"})

    @property
    def dialect(self) -> str:
        """The dialect of the replies."""
        return "openai" if self.options.api == "chat" else "openai-responses"

    def endpoint(self, model: str) -> str:
        """Return the URL that takes requests; a URL that is an endpoint is taken as it is."""
        del model
        return _endpoint(self.request.url, _ENDPOINTS[self.options.api])

    def headers(self) -> dict[str, str]:
        """Return the key as a bearer token."""
        key = self.options.api_key
        return {"Authorization": f"Bearer {key}"} if key else {}

    def body(self, model: str) -> dict[str, Any]:
        """Return the request.

        The messages of a chat completion are the caller's, for a server may know parts that
        OpenAI's own does not; only an assistant's content that is null or missing, as beside calls,
        is an empty text (see `_with_content`).
        """
        options, messages = self.options, self.request.messages
        if options.api == "responses":
            return response_request(model, messages, options.parameters(), options.most_tokens)
        return {
            "model": model,
            "messages": [
                _with_content(each) for each in cast("Sequence[Mapping[str, Any]]", messages)
            ],
            "stream": True,
            **options.parameters(),
        }

    async def embeddings(self, question: Mapping[str, Any]) -> bytes:
        """Ask for embeddings, by the fields that the server knows; return the answer's body."""
        base = without_ending(self.request.url, *_ENDPOINTS.values())
        model = self.request.get_model(self.request.model)
        return await self.ask(below(base, "/embeddings"), {**question, "model": model}, "data")

    def models_url(self, cursor: str | None) -> str:
        """Return the URL of the list of models, which has one page."""
        del cursor
        return below(without_ending(self.request.url, *_ENDPOINTS.values()), "/models")

    def models_page(self, record: Mapping[str, Any]) -> ModelsPage:
        """Read the list of models."""
        return ModelsPage([model["id"] for model in record["data"]])


def _with_content(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an assistant's message without content as one whose content is an empty text.

    OpenAI's API takes both beside calls. Ollama answers null with 400 ("invalid message content
    type"), and so did llama.cpp; llama-cpp-python answers 500, also where it is missing. For vLLM
    null and an empty text are one.
    """
    if message.get("role") != "assistant" or message.get("content") is not None:
        return message
    return {**message, "content": ""}
