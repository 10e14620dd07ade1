"""Sites without OpenAI's API: a row goes the way that a request goes through the gateway.

It is read into the same inner form, fitted to the site, asked as a stream, and its answer written
by the same encoders. All that this package takes from the gateway is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tailrace import Usage
from tailrace.batch._asking import (
    Answer,
    FailedRow,
    Models,
    Prepared,
    RefusedRow,
    Used,
    read_row,
    with_fields,
)
from tailrace.errors import TailraceError
from tailrace.gateway._models import Model
from tailrace.gateway._problems import RefusedError
from tailrace.gateway._wires.answer import StoppedDeltas, estimated_tokens
from tailrace.gateway._wires.chat import ChatWire
from tailrace.gateway._wires.chunked import joined
from tailrace.gateway._wires.completions import CompletionWire
from tailrace.gateway._wires.fitting import fit
from tailrace.gateway._wires.responses import ResponseWire
from tailrace.gateway._wires.wire import Ending, Identity
from tailrace.sites._site import open_stream
from tailrace.sites._software import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace import Delta
    from tailrace._environment import Environment
    from tailrace._streams.closing import TextStream
    from tailrace.batch._rows import Row
    from tailrace.gateway._wires.fitting import SiteRequest
    from tailrace.gateway._wires.request import ModelRequest
    from tailrace.gateway._wires.wire import Wire
    from tailrace.sites import Site

__all__ = ["TranslatingAsker"]

_WIRES: Mapping[str, Wire] = {
    "/v1/chat/completions": ChatWire(),
    "/v1/completions": CompletionWire(),
    "/v1/responses": ResponseWire(),
}
_CHARACTERS_A_TOKEN = 4
_OK = 200
_LONGEST_TEXT = 64 * 2**10  # characters of an answer that broke off


class _Sends(NamedTuple):
    wire: Wire
    model: Model
    request: ModelRequest
    fitted: SiteRequest


class TranslatingAsker:
    """The rows of a site whose API, or page, is another one."""

    def __init__(
        self, site: Site, models: Models, options: Mapping[str, Any], environment: Environment
    ) -> None:
        """Ask `site` with `options`, those of `Site.stream`."""
        self._site = site
        self._models = models
        self._has_page = SOFTWARE[site.software].has_page
        self._options = {**options, "environment": environment, "retry": None}
        self._environment = environment

    async def aclose(self) -> None:
        """See `Asker.aclose`."""

    def prepare(self, row: Row) -> Prepared:
        """See `Asker.prepare`."""
        read = read_row(row)
        wire = _WIRES.get(row.endpoint)
        if wire is None:
            raise RefusedRow(
                f"{row.endpoint}: sites of the software openai alone have it",
                code="unsupported_value",
            )
        dropped: tuple[str, ...] = ()
        if self._has_page and not self._site.listed_models:
            name, dropped = "", ("model",) if read.model else ()
        else:
            name = self._models.of(read.model)
        shown = name or self._site.name
        model = Model(shown, self._site.name, self._site, name, shown, f"fp_{self._site.software}")
        try:
            request = wire.read(with_fields(row.body, shown, read.model, {}))
            _refuse_several(request)
            fitted = fit(request, model, drops=self._site.unsupported == "drop")
        except RefusedError as refusal:
            problem = refusal.problem
        else:
            return Prepared(
                _Sends(wire, model, request, fitted),
                len(row.body),
                read.most,
                (*dropped, *fitted.dropped),
                name,
            )
        # The wires speak for the gateway; a batch gives one answer to a request, too.
        message = problem.message.replace("this gateway", "a batch")
        raise RefusedRow(message, code=problem.code, param=problem.param)

    async def ask(self, prepared: Prepared) -> Answer:
        """See `Asker.ask`."""
        sends: _Sends = prepared.sends
        options = {**self._options, **sends.fitted.options}
        deltas: list[Delta] = []
        try:
            stream = open_stream(self._site, sends.fitted.messages, options, model=sends.model.name)
            async with stream:
                source = stream.deltas()
                stops = sends.request.stops
                stopped = StoppedDeltas(source, stops) if stops else None
                while more := await (stopped or source).read():
                    deltas += more
                return self._answer(sends, stream, deltas, stopped)
        except TailraceError as error:
            failure = error
        raise FailedRow(failure, text=joined(deltas, "text")[:_LONGEST_TEXT])

    def _answer(
        self,
        sends: _Sends,
        stream: TextStream,
        deltas: list[Delta],
        stopped: StoppedDeltas | None,
    ) -> Answer:
        usage = stream.usage
        told = usage is not None
        if usage is None:
            usage = _estimated(sends.request, deltas)
        reason = stream.outcome.finish_reason
        ending = Ending(reason, usage, estimated=not told)
        if stopped is not None and stopped.sequence is not None:
            ending = Ending("stop", usage, not told, stopped.sequence)
        body = sends.wire.encoder(sends.request, self._identity(sends)).whole(deltas, ending)
        used = Used(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, told)
        return Answer(_OK, "", body, used)

    def _identity(self, sends: _Sends) -> Identity:
        environment = self._environment
        return Identity(
            f"{sends.wire.id_prefix}{environment.random.getrandbits(128):032x}",
            environment.now_ms() // 1000,
            sends.request.model,
            sends.model.fingerprint,
        )


def _refuse_several(request: ModelRequest) -> None:
    """Refuse a row of several answers, each of which would be a request of its own."""
    if request.others:
        raise RefusedRow(
            "n must be 1, and prompt a single one: a batch gives one answer to a row of this "
            f"site, and not {len(request.others) + 1}",
            code="unsupported_value",
            param="n",
        )


def _estimated(request: ModelRequest, deltas: list[Delta]) -> Usage:
    """Return an estimate of an answer's tokens, as the gateway makes it."""
    prompt = sum(estimated_tokens(each.get("content")) for each in request.messages)
    characters = sum(len(delta.text) for delta in deltas)
    return Usage(prompt, max(len(deltas), -(-characters // _CHARACTERS_A_TOKEN)))
