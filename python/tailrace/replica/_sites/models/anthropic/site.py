"""A server with Anthropic's Messages API.

The endpoints are `/v1/messages`, `/v1/messages/count_tokens` and `/v1/models`. Records follow
Anthropic's API reference and the types of its Python package.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.replica._site import EXCHANGE, Marker, SitePage
from tailrace.replica._sites.models import behaviors
from tailrace.replica._sites.models.anthropic.errors import check_fields, error, refused
from tailrace.replica._sites.models.anthropic.replies import HEADERS, as_message
from tailrace.replica._sites.models.anthropic.requests import (
    COUNTED_FIELDS,
    MODELS,
    known_model,
    read_meant,
    read_request,
)
from tailrace.replica._sites.models.behaviors import ModelBehavior, ModelMarker
from tailrace.replica._sites.models.replies import ModelReply
from tailrace.replica._sites.models.site import (
    FAILURE_MESSAGE,
    ModelSite,
    RequestRefusedError,
    as_json,
    read_object,
)

if TYPE_CHECKING:
    from aiohttp import web

    from tailrace.replica._response import SiteResponse

PAGE_MODELS = 2
"""The most models of a page of the list, so that every client has to ask for another."""

MAX_PAGE = 1000

VERSIONS = ("2023-01-01", "2023-06-01", "2026-10-21")
"""The versions of the API; this server answers all of them alike."""


class AnthropicSite(ModelSite):
    """A server with Anthropic's API; any key will do, or none, unless `Replica` has one."""

    name: ClassVar[str] = "anthropic"
    software: ClassVar[str] = "anthropic"
    shows: ClassVar[str] = "a server with Anthropic's Messages API"
    pages: ClassVar[tuple[SitePage, ...]] = (SitePage("models", "/v1/models", "the models it has"),)

    def failure(self, status: int, message: str) -> SiteResponse:
        """Return the error that tells of a failure of the model behind the site."""
        return error(status, message)

    async def route(self, request: web.Request) -> SiteResponse:
        """Answer the endpoints, or anything else with an error in Anthropic's form."""
        self._check_headers(request)
        match request.method, request.path:
            case "GET" | "HEAD", "/v1/models":
                return _models(request)
            case "GET" | "HEAD", path if path.startswith("/v1/models/"):
                return as_json(200, _model(known_model(path.removeprefix("/v1/models/"))), HEADERS)
            case "POST", "/v1/messages":
                message = read_request(await _read(request))
                return await self.respond(request, message.meant, partial(as_message, message))
            case "POST", "/v1/messages/count_tokens":
                return _count(await _read(request))
            case _, "/v1/messages" | "/v1/messages/count_tokens" | "/v1/models":
                return error(405, "Method Not Allowed")
            case _:
                return error(404, "Not Found")

    def _check_headers(self, request: web.Request) -> None:
        key = request.headers.get("x-api-key")
        if key is None:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            key = token if scheme.lower() == "bearer" else None
        if key is None and self.settings.api_key is not None:
            raise RequestRefusedError(error(401, "x-api-key header is required"))
        if not self.is_key(key or ""):
            raise RequestRefusedError(error(401, "invalid x-api-key"))
        version = request.headers.get("anthropic-version")
        if version is None:
            raise refused("anthropic-version: header is required")
        if version not in VERSIONS:
            raise refused(f'anthropic-version: "{version}" is not a valid version')

    markers: ClassVar[tuple[ModelMarker, ...]] = (
        Marker("err401", "401: the key is refused", error(401, "invalid x-api-key")),
        Marker(
            "err429",
            "429 with retry-after: too many requests",
            error(429, "This request would exceed your rate limit.", (("retry-after", "7"),)),
        ),
        Marker(
            "quota",
            "400: no money left",
            error(400, "Your credit balance is too low to access the Anthropic API."),
        ),
        Marker("err500", "500: the server failed", error(500, FAILURE_MESSAGE)),
        Marker("err529", "529: the server is overloaded", error(529, "Overloaded")),
        Marker(
            "too-long",
            "400: the conversation does not fit into the model",
            error(400, "prompt is too long: 200001 tokens > 200000 maximum"),
        ),
        behaviors.HTML_502,
        behaviors.midfail("an error event after a few words: the server is overloaded"),
        behaviors.CUT,
        behaviors.without_end("the whole answer and its stop reason, but no message_stop"),
        behaviors.filtered("the answer is stopped by a filter, which is a refusal here, too"),
        behaviors.refused("the model refuses: no word comes, and a stop reason that says so"),
        behaviors.TOOL,
        behaviors.TOOLS,
        behaviors.THINK,
        Marker("pings", "a ping before each event", ModelBehavior(keep_alives=True)),
        behaviors.STALL,
        behaviors.SILENT,
        behaviors.LONG,
        behaviors.EMPTY,
        behaviors.SLOW,
    )


async def _read(request: web.Request) -> dict[str, Any]:
    try:
        body = read_object(await request.read())
    except ValueError:
        raise refused("The request body is not valid JSON") from None
    if body is None:
        raise refused("Input should be a valid dictionary")
    request[EXCHANGE].json = body
    return body


def _count(body: dict[str, Any]) -> SiteResponse:
    check_fields(body, "", ("model", "messages"), COUNTED_FIELDS)
    reply = ModelReply(request=read_meant(body), created=0)
    return as_json(200, {"input_tokens": reply.prompt_tokens}, HEADERS)


def _models(request: web.Request) -> SiteResponse:
    """Return a page of the list of models: those behind one id, or in front of one."""
    query = request.query
    limit = query.get("limit", "20")
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit) <= MAX_PAGE):
        raise refused(f"limit: Input should be from 1 to {MAX_PAGE}")
    size = min(int(limit), PAGE_MODELS)
    for name in ("after_id", "before_id"):
        if name in query:
            known_model(query[name])
    end = MODELS.index(query["before_id"]) if "before_id" in query else len(MODELS)
    start = MODELS.index(query["after_id"]) + 1 if "after_id" in query else 0
    if "before_id" in query:
        start = max(start, end - size)
        has_more = start > 0
    else:
        has_more = start + size < end
    page = MODELS[start : min(end, start + size)]
    return as_json(
        200,
        {
            "data": [_model(name) for name in page],
            "has_more": has_more,
            "first_id": page[0] if page else None,
            "last_id": page[-1] if page else None,
        },
        HEADERS,
    )


def _model(name: str) -> dict[str, object]:
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": "2025-11-24T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }
