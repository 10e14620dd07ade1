"""An OpenAI-compatible server, as vLLM, Ollama, llama.cpp and gateways are.

The endpoints are `/v1/chat/completions`, `/v1/responses`, `/v1/completions`, `/v1/embeddings` and
`/v1/models`. Records follow OpenAI's API reference, and the chunks that its servers send (capture
``ai-power/1.9.18/stream_ok``). A token is the text of one chunk.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica._site import EXCHANGE, Marker, SitePage
from tailrace.replica._sites.models import behaviors
from tailrace.replica._sites.models.behaviors import ModelBehavior, ModelMarker
from tailrace.replica._sites.models.openai import (
    chat_replies,
    chat_requests,
    completions,
    embeddings,
    response_replies,
    response_requests,
)
from tailrace.replica._sites.models.openai.errors import error, known_model, read_body
from tailrace.replica._sites.models.replies import make_reply
from tailrace.replica._sites.models.site import (
    FAILURE_MESSAGE,
    ModelSite,
    RequestRefusedError,
    as_json,
)

if TYPE_CHECKING:
    from aiohttp import web

    from tailrace.replica._response import SiteResponse
    from tailrace.replica._sites.models.replies import ModelReply

MODELS = tuple(
    dict.fromkeys(
        (
            *chat_requests.CHAT_MODELS,
            *completions.COMPLETION_MODELS,
            *embeddings.EMBEDDING_MODELS,
        )
    )
)


class OpenAISite(ModelSite):
    """An OpenAI-compatible server; any key will do, or none, unless `Replica` has an `api_key`."""

    name: ClassVar[str] = "openai"
    software: ClassVar[str] = "openai"
    shows: ClassVar[str] = "an OpenAI-compatible server, its base URL ending in /v1"
    pages: ClassVar[tuple[SitePage, ...]] = (SitePage("models", "/v1/models", "the models it has"),)

    def failure(self, status: int, message: str) -> SiteResponse:
        """Return the error that tells of a failure of the model behind the site."""
        return error(status, message, type_="upstream_error")

    async def route(self, request: web.Request) -> SiteResponse:
        """Answer the endpoints, or anything else with an error in OpenAI's form."""
        self._check_key(request)
        match request.method, request.path:
            case "GET" | "HEAD", "/v1/models":
                return as_json(200, {"object": "list", "data": [_model(name) for name in MODELS]})
            case "GET" | "HEAD", path if path.startswith("/v1/models/"):
                return as_json(200, _model(known_model(path.removeprefix("/v1/models/"), MODELS)))
            case "POST", path if path in _POSTED:
                body = read_body(await request.read())
                request[EXCHANGE].json = body
                return await self._answer_post(path, request, body)
            case _, path if path in (*_POSTED, "/v1/models"):
                return error(405, f"{request.method} is not what this endpoint takes.")
            case _:
                return error(404, f"There is no {request.method} {request.path}.")

    def _check_key(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if self.is_key(key) and (self.settings.api_key is None or scheme.lower() == "bearer"):
            return
        if scheme.lower() != "bearer" or not key:
            raise RequestRefusedError(
                error(401, "No key came with the request: send it as a bearer token.")
            )
        raise RequestRefusedError(
            error(401, "The key that came is not the right one.", code="invalid_api_key")
        )

    async def _answer_post(
        self, path: str, request: web.Request, body: dict[str, Any]
    ) -> SiteResponse:
        match path:
            case "/v1/chat/completions":
                return await self._chat(request, body)
            case "/v1/responses":
                return await self._response(request, body)
            case "/v1/completions":
                return await self._completions(request, body)
        return embeddings.as_embeddings(body)

    async def _chat(self, request: web.Request, body: dict[str, Any]) -> SiteResponse:
        chat = chat_requests.read_request(body)
        write = partial(chat_replies.as_completion, chat)
        return await self.respond(request, chat.meant, write)

    async def _response(self, request: web.Request, body: dict[str, Any]) -> SiteResponse:
        wanted = response_requests.read_request(body)
        write = partial(response_replies.as_response, wanted)
        return await self.respond(request, wanted.meant, write)

    async def _completions(self, request: web.Request, body: dict[str, Any]) -> SiteResponse:
        """Answer the first prompt as any other request, and the others in the same way."""
        wanted = completions.read_request(body)
        first, *others = wanted.meant
        now = self.settings.clock()
        later = [await make_reply(each, ModelBehavior(), self.ask_model, now) for each in others]

        def write(reply: ModelReply, behavior: ModelBehavior) -> SiteResponse:
            return completions.as_completions(wanted, [reply, *later], behavior)

        return await self.respond(request, first, write)

    markers: ClassVar[tuple[ModelMarker, ...]] = (
        Marker(
            "err401",
            "401: the key is refused",
            error(401, "The key is not the right one.", code="invalid_api_key"),
        ),
        Marker(
            "err429",
            "429 with Retry-After: too many requests",
            error(
                429,
                "Too many requests.",
                type_="requests",
                code="rate_limit_exceeded",
                headers=(("Retry-After", "7"),),
            ),
        ),
        Marker(
            "quota",
            "429: no money left, and no Retry-After",
            error(
                429, "The share is used up.", type_="insufficient_quota", code="insufficient_quota"
            ),
        ),
        Marker(
            "err500",
            "500: the server failed",
            error(500, FAILURE_MESSAGE, type_="server_error"),
        ),
        Marker(
            "too-long",
            "400: the conversation does not fit into the model",
            error(
                400,
                "There are too many tokens.",
                param="messages",
                code="context_length_exceeded",
            ),
        ),
        behaviors.HTML_502,
        behaviors.midfail("an error event after a few words"),
        behaviors.CUT,
        behaviors.without_end(
            "the whole answer and its finish reason, but no [DONE]; of a response, no last event"
        ),
        behaviors.filtered("the answer is stopped by a filter"),
        behaviors.refused("the model refuses, which is no answer"),
        behaviors.TOOL,
        behaviors.TOOLS,
        behaviors.THINK,
        Marker(
            "comments",
            "a comment before each chunk, as gateways keep a connection alive",
            ModelBehavior(keep_alives=True),
        ),
        behaviors.STALL,
        behaviors.SILENT,
        behaviors.LONG,
        behaviors.EMPTY,
        behaviors.SLOW,
    )


_POSTED = ("/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings")


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "replica"}
