"""The driver of one answer: a site's stream in, its deltas out through the encoder of a wire.

A failure before the head of the reply has a status of its own; a later one is the stream's last
event, behind which the connection can be used again, since the reply is whole. A client that leaves
cancels the handler, and leaving the site's stream closes its connection.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from tailrace import Delta, Usage
from tailrace.errors import InvalidRequestError, TailraceError
from tailrace.gateway._context import LAST_EVENT
from tailrace.gateway._problems import logged_failure, problem_of, problem_response
from tailrace.gateway._wires.event_stream import EventStream
from tailrace.gateway._wires.fitting import dropped_header
from tailrace.gateway._wires.site_errors import SITES_REFUSALS, named_field
from tailrace.gateway._wires.stop_sequences import StopScanner
from tailrace.gateway._wires.wire import Ending

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tailrace import DeltaDecoder
    from tailrace._streams.closing import Deltas
    from tailrace._streams.outcome import Outcome
    from tailrace.gateway._context import Context
    from tailrace.gateway._figures.streams import CallOutcome
    from tailrace.gateway._problems import Problem
    from tailrace.gateway._upstreams import Upstream
    from tailrace.gateway._wires.request import ModelRequest
    from tailrace.gateway._wires.wire import AnswerEncoder, WholeAnswer

__all__ = ["Answer", "estimated_tokens"]


class Answer:
    """One answer on its way: `send` it as the reply, or `collect` it for one that holds several.

    Either ends the figures of its call once, whatever happens. `problem`: why there is no answer;
    None where nothing failed.
    """

    def __init__(
        self,
        context: Context,
        request: ModelRequest,
        upstream: Upstream,
        encoder: AnswerEncoder,
    ) -> None:
        """Answer `request` with the stream of `upstream`."""
        self._context = context
        self._request = request
        self._upstream = upstream
        self._stream = upstream.stream
        self._encoder = encoder
        self._deltas = deltas = self._stream.deltas()
        self._stopped = StoppedDeltas(deltas, request.stops) if request.stops else None
        self._source: _DeltaSource = self._stopped or deltas
        self._characters = 0
        self._told: tuple[Outcome, Usage, bool] | None = None  # once the answer is whole
        self._outcome: CallOutcome = "left"
        self._error: TailraceError | None = None
        self.problem: Problem | None = None

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Answer the request; a client that leaves is left to the middleware."""
        request[LAST_EVENT] = self._encoder.error
        try:
            async with self._call():
                return await (
                    self._send_stream(request) if self._request.streams else self._send_whole()
                )
        except TailraceError as error:
            return problem_response(self.problem or self._fail(error), request.path)

    async def collect(self) -> WholeAnswer:
        """Return the deltas of the whole answer, and how it ended; raises TailraceError."""
        async with self._call():
            return await self._read_whole()

    def abandon(self) -> None:
        """End the figures of a call whose answer nobody began to wait for."""
        if self._upstream.call.outcome is None:
            self._end()

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of what the site could not be asked."""
        return self._upstream.dropped

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        """Hold the site's stream, and end the figures of its call."""
        try:
            async with self._stream:
                yield
        except TailraceError as error:
            self._fail(error)
            raise
        except asyncio.CancelledError:
            if self._context.shutdown.cutting:
                self._outcome = "failed"
            raise
        except ConnectionError:  # the client left between two writes
            raise
        except Exception:
            self._outcome = "failed"
            raise
        finally:
            self._end()

    def _end(self) -> None:
        outcome, usage, _ = self._told or self._state()
        self._upstream.call.end(
            self._outcome,
            error=self._error,
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            passed_over=outcome.passed_over,
        )

    def _counted(self, deltas: list[Delta]) -> list[Delta]:
        """Count the deltas of one read; no coroutine, since every event of a site passes here."""
        if deltas:
            self._upstream.call.deltas(len(deltas))
            self._characters += sum([len(delta.text) for delta in deltas])
        return deltas

    def _headers(self) -> dict[str, str]:
        return dropped_header(self.dropped)

    async def _send_whole(self) -> web.StreamResponse:
        body = self._encoder.whole(*await self._read_whole())
        return web.Response(body=body, content_type="application/json", headers=self._headers())

    async def _read_whole(self) -> WholeAnswer:
        deltas: list[Delta] = []
        while more := self._counted(await self._source.read()):
            deltas += more
        return deltas, self._ending()

    async def _send_stream(self, request: web.Request) -> web.StreamResponse:
        reply = EventStream(
            request,
            self._encoder,
            headers=self._headers,
            interval=self._context.settings.keep_alive_interval,
            is_answering=lambda: self._stream.is_answering,
        )
        self._stream.watch(reply.begin_soon)
        try:
            return await self._write_answer(reply)
        except TailraceError as error:
            if not await reply.has_begun():
                raise
            return await reply.end(self._encoder.error, self._fail(error))
        finally:
            reply.stop()
            self._stream.watch(None)  # or the two would keep one another alive

    async def _write_answer(self, reply: EventStream) -> web.StreamResponse:
        read, encoder = self._source.read, self._encoder
        while deltas := self._counted(await read()):
            await reply.write(encoder.events, deltas)
            if encoder.failure is not None:
                self._fail(encoder.failure)
                break
            self._stream.watch(None)  # the head is out
            if self._stopped is None:  # which looks at each delta
                await self._deltas.relay(partial(self._hand_on, reply))
        else:
            return await reply.end(encoder.finish, self._ending())
        return await reply.end(bytes, b"")

    def _hand_on(self, reply: EventStream, decoder: DeltaDecoder, data: bytes) -> bool:
        """Send the events of what came, where it comes; return whether the client keeps up."""
        encoder = self._encoder
        events, count, characters = encoder.relay(decoder, data)
        if not count:
            return True
        self._upstream.call.deltas(count)
        self._characters += characters
        keeps_up = reply.send(events) if events else True
        if encoder.failure is not None:
            raise encoder.failure
        return keeps_up

    # -- the end of the answer ---------------------------------------------------------------------

    def _ending(self) -> Ending:
        """Note that the answer is whole, and return how it ended."""
        self._told = outcome, usage, estimated = self._state()
        if self._stopped is not None and self._stopped.sequence is not None:
            self._outcome = "stopped"
            return Ending("stop", usage, estimated, self._stopped.sequence)
        self._outcome = "stopped" if outcome.end == "stopped" else "done"
        return Ending(outcome.finish_reason, usage, estimated)

    def _fail(self, error: TailraceError) -> Problem:
        sites, environ = [self._upstream.site], self._context.environment.environ
        self._error = logged_failure(error, sites, environ)
        self._outcome = "truncated" if self._stream.end == "truncated" else "failed"
        problem = problem_of(error, sites, environ)
        if problem.param is None:
            named = _with_param if isinstance(error, InvalidRequestError) else _with_sites_param
            problem = named(problem, self._request, error)
        self.problem = problem
        return problem

    def _state(self) -> tuple[Outcome, Usage, bool]:
        """Return how far the stream is, its counts or an estimate, and whether it is one."""
        outcome = self._stream.outcome
        if outcome.usage is not None:
            return outcome, outcome.usage, False
        prompt = sum(estimated_tokens(each.get("content")) for each in self._request.messages)
        # A model's stream has about one token in each delta; a whole answer is a single delta.
        completion = max(
            self._upstream.call.delta_count, -(-self._characters // _CHARACTERS_A_TOKEN)
        )
        return outcome, Usage(prompt, completion), True


_CHARACTERS_A_TOKEN = 4


def _with_sites_param(problem: Problem, request: ModelRequest, error: TailraceError) -> Problem:
    """Return the refusal of a site with the field that it names, by the wire's own name of it."""
    known = {"messages", *request.options, *request.hints, *request.extra}
    named = named_field(error, known) if problem.status in SITES_REFUSALS else None
    if named is None:
        return problem
    name, place = named
    return replace(problem, param=request.names.get(name, place))


def _with_param(problem: Problem, request: ModelRequest, _: TailraceError) -> Problem:
    """Return the refusal of a protocol with the field that its message names."""
    first = re.match("[a-z_]{1,32}", problem.message)
    if first is not None and first[0] in request.options:
        return replace(problem, param=request.names.get(first[0], first[0]))
    named = _NAMED.match(problem.message)
    if named is not None:
        name = next(filter(None, named.groups()))
        return replace(problem, param=request.names.get(name, name))
    place = _place_in_messages(problem.message, request) or _place_in_tools(problem.message)
    return problem if place is None else replace(problem, param=place)


def _place_in_messages(message: str, request: ModelRequest) -> str | None:
    found = _MESSAGE.search(message)
    if found is None or "messages" in request.names:  # where they have other numbers
        return None if found is None else request.names["messages"]
    inner, number = _INNER.search(message), found[1]
    if inner is None:
        return f"messages[{number}]"
    return f"messages[{number}].{_LISTS[inner[1]]}[{inner[2]}]"


def _place_in_tools(message: str) -> str | None:
    found = _TOOL.search(message)
    return None if found is None else f"tools[{found[1]}]"


# A field that a protocol names behind other words.
_NAMED = re.compile(
    r"extra must not hold ([a-zA-Z0-9_.-]{1,80}):|the name in (tool_choice) |the (model) '"
    r"|the (messages) hold no "
)
# The places of `tailrace.providers._chat_form`; what a client wrote stands behind them.
_MESSAGE = re.compile(r"^(?:[a-zA-Z_ ]{1,64}[0-9]{0,9} of )?message ([0-9]{1,9})\b")
_INNER = re.compile(r"^(?:the [a-zA-Z_ ]{1,32} of )?(part|tool call) ([0-9]{1,9}) of message ")
_TOOL = re.compile(r"^(?:the [a-z ]{1,32} of ){0,3}tool ([0-9]{1,9})\b")
_LISTS = {"part": "content", "tool call": "tool_calls"}


def estimated_tokens(content: str | list[str | dict[str, Any]] | None) -> int:
    """Estimate the tokens of a message: one for every 4 bytes of UTF-8, rounded up."""
    parts = [content] if isinstance(content, str) else content or []
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return sum(
        -(-len(text.encode()) // _CHARACTERS_A_TOKEN) for text in texts if isinstance(text, str)
    )


class _DeltaSource(Protocol):
    """A source of deltas: a site's stream, or the part of it before a stop sequence."""

    async def read(self) -> list[Delta]: ...


class StoppedDeltas:
    """A stream's deltas up to the first of `stops` in its text.

    A delta of another kind ends the text before it: no stop sequence reaches over it.
    """

    def __init__(self, deltas: Deltas, stops: Iterable[str]) -> None:
        self._deltas = deltas
        self._scanner = StopScanner(tuple(stops))
        self._failure: TailraceError | None = None

    @property
    def sequence(self) -> str | None:
        """The stop sequence that was found; None until one was."""
        return self._scanner.sequence

    async def read(self) -> list[Delta]:
        """Return the next deltas in front of any stop sequence, or ``[]`` at the end.

        After a failure the text held back comes first; the failure is raised by the next read.
        """
        while not self._scanner.found:
            if self._failure is not None:
                raise self._failure
            deltas, is_last = await self._scanned()
            if deltas:
                return deltas
            if is_last and self._failure is None:
                break
        return []

    async def _scanned(self) -> tuple[list[Delta], bool]:
        try:
            deltas = await self._deltas.read()
        except TailraceError as error:
            self._failure = error
            return self._rest(), True
        return (self._before_stop(deltas), False) if deltas else (self._rest(), True)

    def _before_stop(self, deltas: list[Delta]) -> list[Delta]:
        before: list[Delta] = []
        for delta in deltas:
            if delta.kind != "text":
                before += [*self._rest(), delta]
            elif (text := self._scanner.feed(delta.text)) == delta.text:
                before.append(delta)
            elif text or (delta.logprobs is not None and not self._scanner.found):
                before.append(Delta("text", text, logprobs=delta.logprobs))
            if self._scanner.found:
                break
        return before

    def _rest(self) -> list[Delta]:
        rest = self._scanner.close()
        return [Delta("text", rest)] if rest else []
