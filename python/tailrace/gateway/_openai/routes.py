"""The routes under /v1, for OpenAI's clients: chat completions and models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from tailrace.errors import ModelNotFoundError
from tailrace.gateway._openai.completions import Completions
from tailrace.gateway._openai.schema import ModelCard, ModelList
from tailrace.gateway._problems import RefusedError, problem_of

if TYPE_CHECKING:
    from tailrace.gateway._context import Context
    from tailrace.gateway._models import Model

__all__ = ["routes"]


def routes(context: Context) -> list[web.AbstractRouteDef]:
    """Make the routes of chat completions and of the models."""
    models = _ModelRoutes(context)
    return [
        web.post("/v1/chat/completions", Completions(context).create),
        web.get("/v1/models", models.all),
        web.get("/v1/models/{id:.+}", models.one),
    ]


class _ModelRoutes:
    """The handlers of the models; their replies are made once, since the registry never changes."""

    def __init__(self, context: Context) -> None:
        self._registry = context.registry
        self._all = msgspec.json.encode(
            ModelList([self._card(model) for model in context.registry.models])
        )

    def _card(self, model: Model) -> ModelCard:
        return ModelCard(model.id, self._registry.created, model.site)

    async def all(self, _request: web.Request) -> web.Response:
        """Answer GET /v1/models."""
        return web.Response(body=self._all, content_type="application/json")

    async def one(self, request: web.Request) -> web.Response:
        """Answer GET /v1/models/{id}; the slash of an id may be URL-encoded."""
        try:
            model = self._registry.find(request.match_info["id"])
        except ModelNotFoundError as error:
            raise RefusedError(problem_of(error)) from None
        return web.Response(
            body=msgspec.json.encode(self._card(model)), content_type="application/json"
        )
