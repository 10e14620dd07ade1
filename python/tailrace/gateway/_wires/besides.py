"""What is asked beside answers: embeddings, and the count of a message's tokens.

Both are passed to the sites that have them, and refused by name at any other. Of a group's sites
those that have them are asked in turn.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Meta

from tailrace.errors import TailraceError
from tailrace.gateway._context import BODY, CALLER, KEY
from tailrace.gateway._problems import Problem, RefusedError, logged_failure
from tailrace.gateway._upstreams import candidates_of
from tailrace.gateway._wires.fitting import SiteRequest, dropped_field, dropped_header
from tailrace.gateway._wires.messages import MessageWire
from tailrace.gateway._wires.request import (
    ModelRequest,
    check_depth,
    check_names,
    read_object,
    refused,
)
from tailrace.gateway._wires.site_errors import SITES_REFUSALS, named_field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tailrace.gateway._context import Context
    from tailrace.gateway._figures.streams import CallOutcome, OpenStream, Operation
    from tailrace.gateway._models import Target
    from tailrace.gateway._upstreams import Candidate

    Question: TypeAlias = Callable[[Any], Awaitable[bytes]]

__all__ = ["Embeddings", "TokenCounts"]

log: logging.Logger = logging.getLogger("tailrace.gateway")


class _Questions:
    """An endpoint whose answers are a site's own, as they came; a call is counted as `operation`.

    Of an answer's body, `tokens` tells those that the site has read.
    """

    operation: ClassVar[Operation]

    def __init__(self, context: Context) -> None:
        self._context = context

    def tokens(self, body: bytes) -> int:
        """Return the tokens that a question took, 0 where its answer does not say."""
        del body
        return 0

    def _target(self, request: web.Request, fields: dict[str, Any]) -> Target:
        name = fields.get("model")
        if not isinstance(name, str):
            raise refused("model: expected str", "model", "invalid_type")
        try:
            return self._context.registry.find(name, request.get(KEY))
        except TailraceError as error:
            raise RefusedError.of(error) from None

    async def _ask(
        self,
        request: web.Request,
        asked: ModelRequest,
        candidates: Sequence[Candidate],
        question: Question,
    ) -> web.Response:
        """Answer with what `question` brings of a call to the first site that has an answer."""
        caller = request.get(CALLER)
        for candidate, after in pairwise(candidates):
            try:
                return await self._told(caller, asked, candidate, question)
            except TailraceError as error:
                names = (_shown(candidate), _shown(after))
                log.warning("%s failed, %s is asked next: %s", *names, error)
        try:
            return await self._told(caller, asked, candidates[-1], question)
        except TailraceError as error:
            model, _ = candidates[-1]
            environ = self._context.environment.environ
            refusal = RefusedError.of(error, [model.upstream], environ)
            named = named_field(error, {"input", *asked.extra})
            if named is not None and refusal.problem.status in SITES_REFUSALS:
                refusal.problem = replace(refusal.problem, param=named[1])
            raise refusal from None

    async def _told(
        self, caller: str | None, asked: ModelRequest, candidate: Candidate, question: Question
    ) -> web.Response:
        context, (model, fitted) = self._context, candidate
        counted = context.stream_figures.begin(
            site=model.site,
            model=model.counted_as,
            caller=caller,
            streams=False,
            operation=self.operation,
        )
        body = await self._counted(counted, candidate, question)
        for name in fitted.dropped:
            context.request_figures.dropped(dropped_field(asked, name))
        headers = dropped_header(fitted.dropped)
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _counted(
        self, counted: OpenStream, candidate: Candidate, question: Question
    ) -> bytes:
        """Return the answer's body; `counted` ends once, whatever happens."""
        context, (model, _) = self._context, candidate
        outcome: CallOutcome = "left"
        error: TailraceError | None = None
        tokens = 0
        try:
            async with context.upstreams.call(*candidate, environment=context.environment) as call:
                body = await question(call)
            outcome, tokens = "done", self.tokens(body)
        except TailraceError as failure:
            outcome = "failed"
            error = logged_failure(failure, [model.upstream], context.environment.environ)
            raise
        except asyncio.CancelledError:
            if context.shutdown.cutting:
                outcome = "failed"
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            counted.end(outcome, error=error, input_tokens=tokens)
        return body


def _shown(candidate: Candidate) -> str:
    """Return the model's name in the log, where no client's words stand."""
    model = candidate[0]
    return f"{model.site}/{model.counted_as}"


class Embeddings(_Questions):
    """The endpoint of embeddings, for sites of the software ``openai``."""

    operation = "embeddings"

    def tokens(self, body: bytes) -> int:
        """Return the tokens of the texts."""
        try:
            usage = msgspec.json.decode(body, type=_Embedded, strict=False).usage
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return 0
        return 0 if usage is None else usage.prompt_tokens

    async def create(self, request: web.Request) -> web.Response:
        """Answer POST /v1/embeddings; the fields go to the site as they are."""
        fields = read_object(request.get(BODY, b""))
        target = self._target(request, fields)
        models = [each for each in target.models if each.speaks_openai]
        if not models:
            problem = f"{target.owner}: sites of the software openai alone have embeddings"
            raise refused(problem, "model", "unsupported_value")
        question = {name: each for name, each in fields.items() if name != "model"}
        check_names(question, {"model"})
        check_depth([question])
        candidates = [(model, SiteRequest([], {})) for model in models]
        asked = ModelRequest(model=target.id, messages=[], extra=question)
        return await self._ask(request, asked, candidates, lambda call: call.embeddings(question))


class _Usage(msgspec.Struct):
    """The counts of embeddings: the tokens of the texts."""

    prompt_tokens: Annotated[int, Meta(ge=0)] = 0


class _Embedded(msgspec.Struct):
    """Of the answer to a question for embeddings, its counts."""

    usage: _Usage | None = None


class TokenCounts(_Questions):
    """The endpoint at which Anthropic's clients ask for counts, for sites of that software."""

    operation = "count_tokens"

    async def create(self, request: web.Request) -> web.Response:
        """Answer POST /v1/messages/count_tokens."""
        fields = read_object(request.get(BODY, b""))
        target = self._target(request, fields)
        models = [each for each in target.models if each.api == "messages"]
        if not models:
            problem = f"{target.owner}: sites of the software anthropic alone count tokens"
            raise RefusedError(Problem(404, problem, code="unsupported_value", lasts=True))
        asked = MessageWire().read_fields({"max_tokens": 1, **fields})
        candidates = candidates_of(asked, models, self._context.settings)
        return await self._ask(request, asked, candidates, lambda call: call.count_tokens())
