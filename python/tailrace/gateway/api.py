"""The routes under /v1, for OpenAI's clients. All that goes wrong under /v1 is answered with OpenAI's error object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from tailrace.errors import ModelNotFoundError
from tailrace.gateway.completions import Completions
from tailrace.gateway.statuses import Problem, problem_of, problem_response
from tailrace.gateway.wire import ModelCard, ModelList

if TYPE_CHECKING:
    from tailrace.gateway.catalogue import Model
    from tailrace.gateway.context import Context

__all__ = ["routes"]

_ALLOWED = {"/v1/chat/completions": "POST", "/v1/models": "GET"}


def routes(context: Context) -> list[web.AbstractRouteDef]:
    """Chat completions, the models, and a clear word on everything else under /v1."""
    models = _Models(context)
    return [
        web.post("/v1/chat/completions", Completions(context).create),
        web.get("/v1/models", models.all),
        web.get("/v1/models/{id:.+}", models.one),
        web.route("*", "/v1{rest:(/.*)?}", _nothing_here),
    ]


class _Models:
    """Answered from memory: the catalogue does not change while the gateway runs."""

    def __init__(self, context: Context) -> None:
        self._catalogue = context.catalogue
        self._all = msgspec.json.encode(ModelList([self._card(model) for model in context.catalogue.models]))

    def _card(self, model: Model) -> ModelCard:
        return ModelCard(model.id, self._catalogue.created, model.site)

    async def all(self, _request: web.Request) -> web.Response:
        """GET /v1/models."""
        return web.Response(body=self._all, content_type="application/json")

    async def one(self, request: web.Request) -> web.Response:
        """GET /v1/models/{id}; the slash of an id may be URL-encoded."""
        try:
            model = self._catalogue.find(request.match_info["id"])
        except ModelNotFoundError as error:
            return problem_response(problem_of(error))
        return web.Response(body=msgspec.json.encode(self._card(model)), content_type="application/json")


async def _nothing_here(request: web.Request) -> web.Response:
    allowed = _ALLOWED.get(request.path, "GET" if request.path.startswith("/v1/models/") else None)
    if allowed is None:
        return problem_response(Problem(404, f"there is no {request.method} {request.path[:200]} here"))
    response = problem_response(Problem(405, f"{request.method} is not what this endpoint takes: use {allowed}"))
    response.headers["Allow"] = allowed
    return response
