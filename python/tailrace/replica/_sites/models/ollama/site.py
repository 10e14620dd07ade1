"""A server with Ollama's own API.

The endpoints are `/api/chat`, `/api/embed`, `/api/tags` and `/api/version`. Records follow Ollama's
API reference and the types of its Python package. Ollama has no keys: where the replica has one,
something in front of the server wants it.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica._response import SiteResponse
from tailrace.replica._site import EXCHANGE, Marker, SitePage
from tailrace.replica._sites.models import behaviors
from tailrace.replica._sites.models.ollama.embeddings import as_embeddings
from tailrace.replica._sites.models.ollama.replies import FAILURE_MESSAGE, as_chat, loaded, rfc3339
from tailrace.replica._sites.models.ollama.requests import (
    MODELS,
    error,
    read_request,
    refused,
    whole,
)
from tailrace.replica._sites.models.site import (
    ModelSite,
    RequestRefusedError,
    read_object,
)

if TYPE_CHECKING:
    from aiohttp import web

    from tailrace.replica._sites.models.behaviors import ModelMarker

VERSION = "0.14.2"
PLAIN = "text/plain; charset=utf-8"


class OllamaSite(ModelSite):
    """A server with Ollama's API."""

    name: ClassVar[str] = "ollama"
    software: ClassVar[str] = "ollama"
    shows: ClassVar[str] = "a server with Ollama's own API"
    pages: ClassVar[tuple[SitePage, ...]] = (SitePage("models", "/api/tags", "the models it has"),)

    def failure(self, status: int, message: str) -> SiteResponse:
        """Return the error that tells of a failure of the model behind the site."""
        return error(status, message)

    async def route(self, request: web.Request) -> SiteResponse:
        """Answer the endpoints, or anything else as Ollama's router does."""
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if self.settings.api_key is not None and not (
            scheme.lower() == "bearer" and self.is_key(key)
        ):
            raise RequestRefusedError(error(401, "unauthorized"))
        match request.method, request.path:
            case "GET" | "HEAD", "/":
                return SiteResponse([b"Ollama is running"], PLAIN)
            case "GET" | "HEAD", "/api/version":
                return whole(200, {"version": VERSION})
            case "GET" | "HEAD", "/api/tags":
                return whole(200, {"models": [_model(name) for name in MODELS]})
            case "POST", "/api/chat" | "/api/embed":
                return await self._ask(request)
            case _, "/api/chat" | "/api/embed" | "/api/tags" | "/api/version":
                return SiteResponse([b"405 method not allowed"], PLAIN, 405)
        return SiteResponse([b"404 page not found"], PLAIN, 404)

    async def _ask(self, request: web.Request) -> SiteResponse:
        if request.path == "/api/embed":
            return as_embeddings(await _read(request, "EmbedRequest"))
        chat = read_request(await _read(request, "ChatRequest"))
        if chat.meant is None:
            return loaded(chat, self.settings.clock())
        return await self.respond(request, chat.meant, partial(as_chat, chat))

    markers: ClassVar[tuple[ModelMarker, ...]] = (
        Marker("err401", "401: the key is refused", error(401, "unauthorized")),
        Marker(
            "err429",
            "429 with Retry-After: too many requests, as its cloud says it",
            error(429, "too many requests", (("Retry-After", "7"),)),
        ),
        Marker("err500", "500: the server failed", error(500, FAILURE_MESSAGE)),
        Marker(
            "err503",
            "503: the server is busy",
            error(503, "server busy, please try again.  maximum pending requests exceeded"),
        ),
        Marker(
            "too-long",
            "400: the conversation does not fit into the model",
            error(400, "the input length exceeds the context length"),
        ),
        behaviors.HTML_502,
        behaviors.midfail("a line with an error, after a few words"),
        behaviors.CUT,
        behaviors.without_end("the whole answer, but no line that says it is done"),
        behaviors.TOOL,
        behaviors.TOOLS,
        behaviors.THINK,
        behaviors.STALL,
        behaviors.SILENT,
        behaviors.LONG,
        behaviors.EMPTY,
        behaviors.SLOW,
    )


async def _read(request: web.Request, kind: str) -> dict[str, Any]:
    data = await request.read()
    if not data:
        raise refused("missing request body")
    try:
        body = read_object(data)
    except ValueError:
        raise refused("invalid character in the JSON of the request") from None
    if body is None:
        raise refused(f"json: cannot unmarshal the request into Go value of type api.{kind}")
    request[EXCHANGE].json = body
    return body


def _model(name: str) -> dict[str, object]:
    family = name.partition(":")[0].rstrip(".0123456789-vl")
    return {
        "name": name,
        "model": name,
        "modified_at": rfc3339(1_760_000_000),
        "size": 6_100_000_000,
        "digest": sha256(name.encode()).hexdigest(),
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": family,
            "families": [family],
            "parameter_size": "8.8B",
            "quantization_level": "Q4_K_M",
        },
        "capabilities": list(MODELS[name]),
    }
