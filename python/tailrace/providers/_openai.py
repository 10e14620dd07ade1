"""Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, a gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from tailrace._calls.exchange import Opening
from tailrace._messages import browser_text
from tailrace._native import DeltaDecoder
from tailrace.errors import InvalidRequestError
from tailrace.providers._base import Call, checked_text, with_credentials

if TYPE_CHECKING:
    from tailrace._messages import Turn

__all__ = ["OpenAICall", "OpenAIOptions", "completions_url"]

_USAGE_TOO: Mapping[str, Any] = MappingProxyType({"include_usage": True})
"""The API's `stream_options` unless a site has others: the server counts the tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIOptions:
    """Options that only OpenAI-compatible servers have.

    `api_key`: sent as a bearer token; None: none is sent. No key is taken from the environment, for
    it would go to whatever server the URL names. `extra_body`: further fields of the request, which
    only some servers know. All others go into the request as they are, under the API's own names;
    None leaves one out. InvalidRequestError for a key that is no text, and for a field of
    `extra_body` that the call writes itself.
    """

    api_key: str | None = field(default=None, repr=False)
    extra_body: Mapping[str, Any] | None = field(default=None, repr=False)
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None
    response_format: Mapping[str, Any] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream_options: Mapping[str, Any] | None = field(default_factory=lambda: _USAGE_TOO)
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        checked_text("api_key", self.api_key)
        for name in ("extra_body", "stream_options"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping):
                kind = type(value).__name__
                raise InvalidRequestError(
                    f"{name} must be a mapping of names to values, not {kind}"
                )
        for name in self.extra_body or ():
            if name in _OWN_FIELDS or name in self.__slots__:
                raise InvalidRequestError(f"extra_body must not hold {name}: it has its own place")

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the request that are not None."""
        names = [name for name in self.__slots__ if name not in ("api_key", "extra_body")]
        values = {name: getattr(self, name) for name in names}
        given = {name: value for name, value in values.items() if value is not None}
        return {**given, **(self.extra_body or {})}


_OWN_FIELDS = frozenset({"messages", "model", "stream"})


def completions_url(url: str) -> str:
    """Return the URL that takes chat completions, below the base URL of a server.

    A query stays behind the path; a URL that ends with ``/chat/completions`` is taken as it is.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if path.endswith("/chat/completions"):
        return url
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/chat/completions", parts.query, ""))


class OpenAICall(Call[OpenAIOptions]):
    """One streamed chat completion.

    The site's URL is the base URL, e.g. ``http://host:8000/v1``.
    """

    takes_parts = True

    @staticmethod
    def moved_endpoint(endpoint: str, url: str) -> None:
        """Return None: the endpoint is derived from the other base URL."""
        del endpoint, url

    async def send(self, model: str, turns: list[Turn]) -> Opening:
        """Post the caller's messages unchanged: the server may know parts that are no text."""
        del turns
        if not model:
            raise InvalidRequestError("an OpenAI-compatible server wants a model's name: give one")
        body = self._body(model)
        session = await self.begin_session(self.request.cookies)
        endpoint = self.request.endpoint or completions_url(self.request.url)
        endpoint = with_credentials(endpoint, self.request.url)
        reply = await session.post(endpoint, body=body, headers=self._headers())
        return Opening(
            reply, DeltaDecoder("openai", content_type=reply.content_type, status=reply.status)
        )

    def _headers(self) -> dict[str, str]:
        key = self.options.api_key
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        return {"Content-Type": "application/json", "Accept": "text/event-stream", **authorization}

    def _body(self, model: str) -> bytes:
        body: dict[str, Any] = {
            "model": model,
            "messages": self.request.messages,
            "stream": True,
            **self.options.parameters(),
        }
        try:
            text = json.dumps(body, ensure_ascii=False, allow_nan=False, default=_as_dict)
        except (TypeError, ValueError, RecursionError):
            text = ""
        if not text:
            raise InvalidRequestError("a message or parameter holds what JSON cannot say")
        return browser_text(text).encode()


def _as_dict(value: object) -> dict[Any, Any]:
    """Return a mapping that is no dict as one; TypeError for what JSON has no form for."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)
