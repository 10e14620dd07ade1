"""What is asked beside answers: embeddings, and the count of a message's tokens.

Both are passed to the sites that have them, and refused by name at any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from tailrace.errors import TailraceError
from tailrace.gateway._context import BODY, KEY
from tailrace.gateway._problems import Problem, RefusedError
from tailrace.gateway._wires.fitting import SiteRequest, dropped_names, fit
from tailrace.gateway._wires.messages import MessageWire
from tailrace.gateway._wires.request import check_depth, check_names, read_object, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tailrace.gateway._context import Context
    from tailrace.gateway._models import Model, Target

__all__ = ["Embeddings", "TokenCounts"]


class _Questions:
    """An endpoint whose answers are a site's own, as they came."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def _target(self, request: web.Request, fields: dict[str, Any]) -> Target:
        name = fields.get("model")
        if not isinstance(name, str):
            raise refused("model: expected str", "model", "invalid_type")
        try:
            return self._context.registry.find(name, request.get(KEY))
        except TailraceError as error:
            raise RefusedError.of(error) from None

    async def _ask(
        self, model: Model, fitted: SiteRequest, question: Callable[[Any], Awaitable[bytes]]
    ) -> web.Response:
        """Answer with what `question` brings of a call to the site."""
        context = self._context
        try:
            async with context.upstreams.call(
                model, fitted, environment=context.environment
            ) as call:
                body = await question(call)
        except TailraceError as error:
            raise RefusedError.of(error, [model.upstream]) from None
        dropped = dropped_names(fitted.dropped)
        headers = {"X-Tailrace-Dropped": dropped} if dropped else {}
        return web.Response(body=body, content_type="application/json", headers=headers)


class Embeddings(_Questions):
    """The endpoint of embeddings, for sites of the software ``openai``."""

    async def create(self, request: web.Request) -> web.Response:
        """Answer POST /v1/embeddings; the fields go to the site as they are."""
        fields = read_object(request.get(BODY, b""))
        target = self._target(request, fields)
        model = next((each for each in target.models if each.speaks_openai), None)
        if model is None:
            problem = f"{target.owner}: sites of the software openai alone have embeddings"
            raise refused(problem, "model", "unsupported_value")
        question = {name: each for name, each in fields.items() if name != "model"}
        check_names(question)
        check_depth([question])
        return await self._ask(model, SiteRequest([], {}), lambda call: call.embeddings(question))


class TokenCounts(_Questions):
    """The endpoint at which Anthropic's clients ask for counts, for sites of that software."""

    async def create(self, request: web.Request) -> web.Response:
        """Answer POST /v1/messages/count_tokens."""
        fields = read_object(request.get(BODY, b""))
        target = self._target(request, fields)
        model = next((each for each in target.models if each.api == "messages"), None)
        if model is None:
            problem = f"{target.owner}: sites of the software anthropic alone count tokens"
            raise RefusedError(Problem(404, problem, code="unsupported_value", lasts=True))
        asked = MessageWire().read_fields({"max_tokens": 1, **fields})
        unsupported = model.upstream.unsupported or self._context.settings.unsupported
        fitted = fit(asked, model, drops=unsupported == "drop")
        return await self._ask(model, fitted, lambda call: call.count_tokens())
