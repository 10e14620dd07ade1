"""The routes under /v1: the wires that clients speak, and the models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from tailrace.errors import ModelNotFoundError
from tailrace.gateway._context import KEY
from tailrace.gateway._problems import RefusedError
from tailrace.gateway._wires.besides import Embeddings, TokenCounts
from tailrace.gateway._wires.chat import ChatWire
from tailrace.gateway._wires.completions import CompletionWire
from tailrace.gateway._wires.endpoint import Endpoint
from tailrace.gateway._wires.messages import MessageWire
from tailrace.gateway._wires.responses import ResponseWire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailrace.gateway._context import Context
    from tailrace.gateway._models import Target
    from tailrace.gateway._wires.wire import Wire

__all__ = ["routes"]


def routes(context: Context, want_lists: Callable[[], object]) -> list[web.AbstractRouteDef]:
    """Make the routes of the wires and of the models.

    `want_lists` is called with each look at the models: their lists may have to be renewed.
    """
    models = _ModelRoutes(context, want_lists)
    return [
        *(web.post(path, Endpoint(context, wire).create) for path, wire in _WIRES.items()),
        web.post("/v1/embeddings", Embeddings(context).create),
        web.post("/v1/messages/count_tokens", TokenCounts(context).create),
        web.get("/v1/models", models.all),
        web.get("/v1/models/{id:.+}", models.one),
    ]


_WIRES: Mapping[str, Wire] = {
    "/v1/chat/completions": ChatWire(),
    "/v1/completions": CompletionWire(),
    "/v1/messages": MessageWire(),
    "/v1/responses": ResponseWire(),
}


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

    def _card(self, target: Target) -> ModelCard:
        return ModelCard(target.id, self._context.registry.created, target.owner)

    async def all(self, request: web.Request) -> web.Response:
        """Answer GET /v1/models with what is known now; what is new stands in a later answer."""
        self._want_lists()
        targets = self._context.registry.listed(request.get(KEY))
        models = ModelList([self._card(target) for target in targets])
        return web.Response(body=msgspec.json.encode(models), content_type="application/json")

    async def one(self, request: web.Request) -> web.Response:
        """Answer GET /v1/models/{id}; the slash of an id may be URL-encoded."""
        try:
            target = self._context.registry.find(request.match_info["id"], request.get(KEY))
        except ModelNotFoundError as error:
            raise RefusedError.of(error) from None
        return web.Response(
            body=msgspec.json.encode(self._card(target)), content_type="application/json"
        )
