"""Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, a gateway."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tailrace._calls.exchange import Opening
from tailrace._messages import browser_text
from tailrace._native import DeltaDecoder
from tailrace.errors import InvalidRequestError
from tailrace.providers._base import Call, checked_text, with_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace._messages import Turn

__all__ = ["OpenAICall", "OpenAIOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIOptions:
    """Options that only OpenAI-compatible servers have.

    `api_key`: sent as a bearer token; None: none is sent. No key is taken from the environment, for
    it would go to whatever server the URL names. All others go into the request as they are, under
    the API's own names; None leaves one out. InvalidRequestError for a key that is no text.
    """

    api_key: str | None = field(default=None, repr=False)
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None
    response_format: Mapping[str, Any] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        checked_text("api_key", self.api_key)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the request that are not None."""
        names = [name for name in self.__slots__ if name != "api_key"]
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


class OpenAICall(Call[OpenAIOptions]):
    """One streamed chat completion.

    The site's URL is the base URL, e.g. ``http://host:8000/v1``.
    """

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
        endpoint = self.request.endpoint or f"{self.request.url.rstrip('/')}/chat/completions"
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
            "stream_options": {"include_usage": True},
            **self.options.parameters(),
        }
        try:
            text = json.dumps(body, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            text = ""
        if not text:
            raise InvalidRequestError("a message or parameter holds what JSON cannot say")
        return browser_text(text).encode()
