"""Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, a gateway (site
dialect ``openai``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace._calls.exchange import Opening
from tailrace._messages import browser_text
from tailrace._native import DeltaDecoder
from tailrace.errors import InvalidRequestError
from tailrace.providers._base import Call, CallOptions, ChatProvider, checked_site

if TYPE_CHECKING:
    from tailrace._messages import Turn

__all__ = ["OpenAICall", "OpenAIProvider"]

PARAMETERS = (
    "frequency_penalty",
    "logit_bias",
    "max_completion_tokens",
    "max_tokens",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "temperature",
    "top_p",
    "user",
)
"""Arguments of a call that go into the request as they are; the wire's own names."""


class OpenAIProvider(ChatProvider):
    """A server by its base URL, e.g. ``http://localhost:8000/v1``: set `url` on a subclass, or give
    `url=`.

    Beside the common parameters a call takes `api_key` and those of `PARAMETERS`. No key is taken
    from the environment: it would go to whatever server `url` names.
    """

    dialect = "openai"
    supports_system_message = True
    supports_message_history = True

    api_key: ClassVar[str | None] = None
    """Sent as a bearer token; None: none is sent."""

    @classmethod
    def call(cls, options: CallOptions) -> Call:
        """Make one call to the server."""
        return OpenAICall(cls, options)

    @classmethod
    def locate(cls, url: str | None) -> tuple[str, str | None]:
        """The base URL, and the endpoint below it."""
        base = checked_site(cls.url if url is None else url)
        if base == cls.url and cls.api_endpoint:
            return base, cls.api_endpoint
        return base, f"{base.rstrip('/')}/chat/completions"


class OpenAICall(Call):
    """One streamed chat completion."""

    provider: type[OpenAIProvider]

    async def send(self, model: str, turns: list[Turn]) -> Opening:
        """Post the messages as they were given: parts that are no text are the server's to
        understand.
        """
        del turns
        if not model:
            raise InvalidRequestError("an OpenAI-compatible server wants a model's name: give one")
        body = self._body(model)
        session = await self.begin_session(self.options.cookies)
        reply = await session.post(self.options.endpoint or "", body=body, headers=self._headers())
        return Opening(
            reply, DeltaDecoder("openai", content_type=reply.content_type, status=reply.status)
        )

    def _headers(self) -> dict[str, str]:
        given = self.options.extra.get("api_key")
        key = self.provider.api_key if given is None else given
        if key is not None and not isinstance(key, str):
            raise InvalidRequestError(f"api_key must be text, not {type(key).__name__}")
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        return {"Content-Type": "application/json", "Accept": "text/event-stream", **authorization}

    def _body(self, model: str) -> bytes:
        given = self.options.extra
        body: dict[str, Any] = {
            "model": model,
            "messages": self.options.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            **{name: given[name] for name in PARAMETERS if given.get(name) is not None},
        }
        try:
            text = json.dumps(body, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError):
            text = ""
        if not text:
            raise InvalidRequestError("a message or parameter holds what JSON cannot say")
        return browser_text(text).encode()
