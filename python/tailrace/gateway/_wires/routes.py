"""The routes under /v1: the wires that clients speak, and the models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from tailrace.errors import ModelNotFoundError
from tailrace.gateway._problems import RefusedError, problem_of
from tailrace.gateway._wires.chat import ChatWire
from tailrace.gateway._wires.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace.gateway._context import Context
    from tailrace.gateway._models import Model

__all__ = ["routes"]


def routes(context: Context, want_lists: Callable[[], object]) -> list[web.AbstractRouteDef]:
    """Make the routes of chat completions and of the models.

    `want_lists` is called with each look at the models: their lists may have to be renewed.
    """
    models = _ModelRoutes(context, want_lists)
    return [
        web.post("/v1/chat/completions", Endpoint(context, ChatWire()).create),
        web.get("/v1/models", models.all),
        web.get("/v1/models/{id:.+}", models.one),
    ]


class ModelCard(msgspec.Struct, frozen=True):
    """One model as the list of models shows it."""

    id: str
    created: int
    owned_by: str
    object: str = "model"


class ModelList(msgspec.Struct, frozen=True):
    """The list of all models."""

    data: list[ModelCard]
    object: str = "list"


class _ModelRoutes:
    """The handlers of the models."""

    def __init__(self, context: Context, want_lists: Callable[[], object]) -> None:
        self._context = context
        self._want_lists = want_lists

    def _card(self, model: Model) -> ModelCard:
        return ModelCard(model.id, self._context.registry.created, model.site)

    async def all(self, _request: web.Request) -> web.Response:
        """Answer GET /v1/models with what is known now; what is new stands in a later answer."""
        self._want_lists()
        models = ModelList([self._card(model) for model in self._context.registry.models])
        return web.Response(body=msgspec.json.encode(models), content_type="application/json")

    async def one(self, request: web.Request) -> web.Response:
        """Answer GET /v1/models/{id}; the slash of an id may be URL-encoded."""
        try:
            model = self._context.registry.find(request.match_info["id"])
        except ModelNotFoundError as error:
            raise RefusedError(problem_of(error)) from None
        return web.Response(
            body=msgspec.json.encode(self._card(model)), content_type="application/json"
        )
