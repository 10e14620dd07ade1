"""A server with Gemini's API.

The endpoints are those of ``/v1beta/models`` and of ``/v1/models``: the list, `:generateContent`,
`:streamGenerateContent`, `:countTokens`, `:embedContent` and `:batchEmbedContents`. Records follow
Google's API reference and the types of its Python package.
"""

from __future__ import annotations

import base64
import re
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace._json import read_json
from tailrace.replica._answers import AnswerError
from tailrace.replica._response import SiteResponse
from tailrace.replica._site import EXCHANGE, Marker, SitePage
from tailrace.replica._sites.models import behaviors
from tailrace.replica._sites.models.gemini.errors import (
    error,
    key_details,
    refused,
    retry_details,
)
from tailrace.replica._sites.models.gemini.messages import COUNT, EMBED, read_message
from tailrace.replica._sites.models.gemini.replies import as_content
from tailrace.replica._sites.models.gemini.requests import (
    EMBEDDING_MODELS,
    GENERATING_MODELS,
    MODELS,
    known_model,
    read_request,
)
from tailrace.replica._sites.models.replies import ModelReply
from tailrace.replica._sites.models.site import (
    FAILURE_MESSAGE,
    ModelSite,
    RequestRefusedError,
    as_json,
)
from tailrace.replica._sites.models.vectors import unit_vector

if TYPE_CHECKING:
    from aiohttp import web

    from tailrace.replica._sites.models.behaviors import ModelMarker

PAGE_MODELS = 2
"""The most models of a page of the list, so that every client has to ask for another."""

DIMENSIONS = 3072

_METHOD = re.compile(r"/v1(?:beta|alpha)?/models/([^/:]{1,200}):([a-zA-Z]{1,64})")
_MODEL = re.compile(r"/v1(?:beta|alpha)?/models(?:/([^/:]{1,200}))?")


class GeminiSite(ModelSite):
    """A server with Gemini's API; any key will do, or none, unless `Replica` has one."""

    name: ClassVar[str] = "gemini"
    software: ClassVar[str] = "gemini"
    shows: ClassVar[str] = "a server with Gemini's API"
    pages: ClassVar[tuple[SitePage, ...]] = (
        SitePage("models", "/v1beta/models", "the models it has"),
    )

    def failure(self, status: int, message: str) -> SiteResponse:
        """Return the error that tells of a failure of the model behind the site."""
        return error(status, message)

    async def route(self, request: web.Request) -> SiteResponse:
        """Answer the endpoints, or anything else with an error in Google's form.

        An error of a stream that is an array is the array's one element.
        """
        self._check_key(request)
        method = _METHOD.fullmatch(request.path)
        if method is None or request.method != "POST":
            return self._list(request)
        if method[2] != "streamGenerateContent" or request.query.get("alt") == "sse":
            return await self._call(request, method[1], method[2])
        try:
            response = await self._call(request, method[1], method[2])
        except RequestRefusedError as refusal:
            return _in_array(refusal.response)
        except AnswerError as failed:
            return _in_array(self.failure(failed.status, failed.message))
        return _in_array(response) if response.status != _OK else response

    def _check_key(self, request: web.Request) -> None:
        key = request.headers.get("x-goog-api-key") or request.query.get("key")
        if not key and self.settings.api_key is not None:
            raise RequestRefusedError(
                error(
                    403,
                    "Method doesn't allow unregistered callers (callers without established "
                    "identity). Please use API Key or other form of API consumer identity to call "
                    "this API.",
                )
            )
        if not self.is_key(key or ""):
            raise refused("API key not valid. Please pass a valid API key.", key_details())

    def _list(self, request: web.Request) -> SiteResponse:
        found = _MODEL.fullmatch(request.path)
        if found is None or request.method not in ("GET", "HEAD"):
            return error(404, f"There is no {request.method} {request.path}.")
        if found[1] is None:
            return _models(request)
        return as_json(200, _model(known_model(found[1], MODELS, "GetModel")))

    async def _call(self, request: web.Request, model: str, method: str) -> SiteResponse:
        body = await _read(request)
        match method:
            case "generateContent" | "streamGenerateContent":
                model = known_model(model, GENERATING_MODELS, method)
                wanted = read_request(body, model, streams=method == "streamGenerateContent")
                write = partial(as_content, wanted, as_events=request.query.get("alt") == "sse")
                return await self.respond(request, wanted.meant, write)
            case "countTokens":
                return _count(body, known_model(model, GENERATING_MODELS, method))
            case "embedContent":
                known_model(model, EMBEDDING_MODELS, method)
                return as_json(200, {"embedding": _embedding(body)})
            case "batchEmbedContents":
                known_model(model, EMBEDDING_MODELS, method)
                asked = read_message(body, {"requests": [EMBED]}).get("requests") or []
                return as_json(200, {"embeddings": [_embedding(each) for each in asked]})
        return error(404, f"There is no method {method}.")

    markers: ClassVar[tuple[ModelMarker, ...]] = (
        Marker(
            "err401",
            "400: the key is refused",
            error(400, "API key not valid. Please pass a valid API key.", key_details()),
        ),
        Marker(
            "err429",
            "429 with a delay in its details: too many requests",
            error(
                429,
                "You exceeded your current quota. Please retry in 7s.",
                retry_details("7s"),
            ),
        ),
        Marker("err500", "500: the server failed", error(500, FAILURE_MESSAGE)),
        Marker(
            "err503",
            "503: the server is overloaded",
            error(503, "The model is overloaded. Please try again later."),
        ),
        Marker(
            "too-long",
            "400: the conversation does not fit into the model",
            error(
                400,
                "The input token count (1048577) exceeds the maximum number of tokens allowed "
                "(1048576).",
            ),
        ),
        behaviors.HTML_502,
        behaviors.midfail("an error in place of a part, after a few words"),
        behaviors.CUT,
        behaviors.without_end("the whole answer, but no finish reason"),
        behaviors.filtered("the answer is stopped by a filter"),
        behaviors.refused("the prompt is blocked: there is no answer at all"),
        behaviors.TOOL,
        behaviors.TOOLS,
        behaviors.THINK,
        behaviors.STALL,
        behaviors.SILENT,
        behaviors.LONG,
        behaviors.EMPTY,
        behaviors.SLOW,
    )


_OK = 200


def _in_array(response: SiteResponse) -> SiteResponse:
    """Return an error as the one element of an array, as a stream that is one has it."""
    if response.ending != "complete" or response.content_type != "application/json":
        return response
    chunks = [b"[", *response.chunks, b"\n]\n"]
    return SiteResponse(chunks, response.content_type, response.status, headers=response.headers)


async def _read(request: web.Request) -> object:
    try:
        body: object = read_json(await request.read())
    except ValueError:
        raise refused("Invalid JSON payload received. Unexpected token.") from None
    request[EXCHANGE].json = body
    return body


def _count(body: object, model: str) -> SiteResponse:
    asked = read_message(body, COUNT)
    if "generateContentRequest" in asked and "contents" in asked:
        raise refused("contents and generate_content_request must not both be set.")
    whole: Any = body if "contents" in asked else asked.get("generateContentRequest", {})
    reply = ModelReply(request=read_request(whole, model, streams=False).meant, created=0)
    return as_json(200, {"totalTokens": reply.prompt_tokens})


def _embedding(body: object) -> dict[str, object]:
    asked = read_message(body, EMBED)
    parts = asked.get("content", {}).get("parts") or []
    text = "".join(part.get("text", "") for part in parts)
    if not text:
        raise refused("* EmbedContentRequest.content: content is required\n")
    dimensions = asked.get("outputDimensionality", DIMENSIONS)
    if not 1 <= dimensions <= DIMENSIONS:
        raise refused(f"output_dimensionality must be in the range [1, {DIMENSIONS}]")
    return {"values": unit_vector(text, dimensions)}


def _models(request: web.Request) -> SiteResponse:
    """Return a page of the list of models; a page's token tells where it begins."""
    size = request.query.get("pageSize", "50")
    if not (size.isascii() and size.isdecimal() and int(size)):
        raise refused("Invalid page size.")
    try:
        start = int(base64.b64decode(request.query.get("pageToken", "") or "MA==", validate=True))
    except ValueError:
        raise refused("Page token is invalid.") from None
    end = start + min(int(size), PAGE_MODELS)
    page: dict[str, object] = {"models": [_model(name) for name in MODELS[start:end]]}
    if end < len(MODELS):
        page["nextPageToken"] = base64.b64encode(str(end).encode()).decode("ascii")
    return as_json(200, page)


def _model(name: str) -> dict[str, object]:
    generates = name in GENERATING_MODELS
    methods = ["generateContent", "countTokens"] if generates else ["embedContent"]
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name.replace("-", " ").title(),
        "description": "A model of the replica.",
        "inputTokenLimit": 1_048_576 if generates else 2048,
        "outputTokenLimit": 65_536 if generates else 1,
        "supportedGenerationMethods": methods,
        **({"temperature": 1, "topP": 0.95, "topK": 64, "thinking": True} if generates else {}),
    }
