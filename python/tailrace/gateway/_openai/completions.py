"""Chat completions: a request in, a call to a site, its answer out, as a stream or whole.

The head of the reply is sent with the first delta, so that a failure before it has a status of its
own. A later failure is an event of the stream, which then ends without [DONE]. A client
that leaves cancels the handler, and leaving the provider's stream closes its connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from aiohttp import web

from tailrace import ChunkEncoder
from tailrace.errors import TailraceError
from tailrace.gateway._context import BODY, CALLER
from tailrace.gateway._openai.schema import (
    AssistantMessage,
    Choice,
    Completion,
    UsageCounts,
    messages_for,
    parameters_for,
    read_request,
)
from tailrace.gateway._openai.stop_sequences import StopScanner
from tailrace.gateway._problems import Problem, RefusedError, problem_of, problem_response
from tailrace.sites._site import open_stream

if TYPE_CHECKING:
    from tailrace._streams.stream import ChatStream
    from tailrace.gateway._context import Context
    from tailrace.gateway._figures.streams import CallOutcome, OpenStream
    from tailrace.gateway._models import Model
    from tailrace.gateway._openai.schema import ChatRequest

__all__ = ["Completions"]

_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # or nginx buffers the reply
}


class Completions:
    """The endpoint of chat completions, for the sites of one context."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Answer POST /v1/chat/completions."""
        context = self._context
        try:
            chat = read_request(request.get(BODY, b""))
            model = context.registry.find(chat.model)
            stream = self._stream(chat, model)
        except TailraceError as error:
            raise RefusedError(problem_of(error)) from None
        call = context.stream_figures.begin(
            site=model.site,
            model=model.counted_as,
            caller=request.get(CALLER),
            streams=bool(chat.stream),
        )
        return await _Answer(context, chat, model, stream, call).send(request)

    def _stream(self, chat: ChatRequest, model: Model) -> ChatStream:
        messages = messages_for(chat, model)
        parameters = parameters_for(chat, model)
        site = model.upstream
        options = {**parameters, "environment": self._context.environment}
        if isinstance(site.transport, str):
            options["transport"] = self._context.upstreams.transport(site.transport)
        return open_stream(site, messages, options, model=model.name)


class _DeltaSource(Protocol):
    """A source of deltas: a site's stream, or the part of it before a stop sequence."""

    async def read(self) -> list[str]: ...


class _StoppedText:
    """A stream's text up to the first stop sequence."""

    def __init__(self, stream: ChatStream, stops: list[str]) -> None:
        self._stream = stream
        self._scanner = StopScanner(stops)
        self._failure: TailraceError | None = None

    @property
    def found(self) -> bool:
        return self._scanner.found

    async def read(self) -> list[str]:
        while not self._scanner.found:
            if self._failure is not None:
                raise self._failure
            text, is_last = await self._scanned()
            if text:
                return [text]
            if is_last and self._failure is None:
                break
        return []

    async def _scanned(self) -> tuple[str, bool]:
        """Read the next text that is in front of any stop sequence, and whether it is the last.

        After a failure the text held back comes first; the failure is raised by the next read.
        """
        try:
            deltas = await self._stream.read()
        except TailraceError as error:
            self._failure = error
            return self._scanner.close(), True
        return (
            (self._scanner.feed("".join(deltas)), False)
            if deltas
            else (self._scanner.close(), True)
        )


class _Answer:
    """One answer on its way; `send` ends the figures of its call once, whatever happens."""

    def __init__(
        self,
        context: Context,
        chat: ChatRequest,
        model: Model,
        stream: ChatStream,
        call: OpenStream,
    ) -> None:
        self._context = context
        self._chat = chat
        self._model = model
        self._stream = stream
        self._call = call
        self._stopped = _StoppedText(stream, chat.stops) if chat.stops else None
        self._source: _DeltaSource = stream if self._stopped is None else self._stopped
        self._id = f"chatcmpl-{context.environment.random.getrandbits(128):032x}"
        self._created = context.environment.now_ms() // 1000
        self._characters = 0
        self._outcome: CallOutcome = "left"
        self._error: TailraceError | None = None

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Answer the request; a client that leaves is left to the middleware."""
        try:
            async with self._stream:
                return await (
                    self._send_stream(request) if self._chat.stream else self._send_whole()
                )
        except TailraceError as error:
            return problem_response(self._fail(error))
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
            usage, _ = self._usage()
            self._call.end(
                self._outcome,
                error=self._error,
                input_tokens=usage.prompt_tokens,
                output_tokens=usage.completion_tokens,
            )

    def _counted(self, deltas: list[str]) -> list[str]:
        """Count the deltas of one read; no coroutine, since every event of a site passes here."""
        if deltas:
            self._call.deltas(len(deltas))
            self._characters += sum(map(len, deltas))
        return deltas

    async def _send_whole(self) -> web.StreamResponse:
        parts: list[str] = []
        while deltas := self._counted(await self._source.read()):
            parts += deltas
        usage, estimated = self._usage()
        completion = Completion(
            id=self._id,
            created=self._created,
            model=self._chat.model,
            system_fingerprint=self._model.fingerprint,
            choices=[Choice(AssistantMessage("".join(parts)), self._finish())],
            usage=usage,
            usage_estimated=estimated,
        )
        return web.Response(body=msgspec.json.encode(completion), content_type="application/json")

    async def _send_stream(self, request: web.Request) -> web.StreamResponse:
        read, encoder = self._source.read, self._encoder
        deltas = self._counted(await read())
        response = web.StreamResponse(headers=_STREAM_HEADERS)
        await response.prepare(request)
        await response.write(encoder.role() + encoder.deltas(deltas))
        try:
            while deltas and (deltas := self._counted(await read())):
                await response.write(encoder.deltas(deltas))
        except TailraceError as error:
            await self._write_failure(response, self._fail(error))
        else:
            await response.write(self._ending(encoder))
        await response.write_eof()
        return response

    @property
    def _encoder(self) -> ChunkEncoder:
        return ChunkEncoder(
            id=self._id,
            created=self._created,
            model=self._chat.model,
            system_fingerprint=self._model.fingerprint,
            include_usage=self._chat.include_usage,
        )

    def _ending(self, encoder: ChunkEncoder) -> bytes:
        events = encoder.finish(self._finish())
        if self._chat.include_usage:
            events += self._usage_event(encoder)
        return events + encoder.done()

    def _usage_event(self, encoder: ChunkEncoder) -> bytes:
        usage, estimated = self._usage()
        prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
        return encoder.usage(
            usage.prompt_tokens,
            usage.completion_tokens,
            total=usage.total_tokens,
            cached=None if prompt is None else prompt.cached_tokens,
            reasoning=None if completion is None else completion.reasoning_tokens,
            estimated=estimated,
        )

    async def _write_failure(self, response: web.StreamResponse, problem: Problem) -> None:
        """Write the stream's last event, after which the connection closes."""
        response.force_close()
        event = self._encoder.error(
            problem.message, kind=problem.kind, param=problem.param, code=problem.code
        )
        await response.write(event)

    # -- the end of the answer ---------------------------------------------------------------------

    def _finish(self) -> str:
        """Note that the answer is whole, and return its finish reason."""
        if self._stopped is not None and self._stopped.found:
            self._outcome = "stopped"
            return "stop"
        self._outcome = "stopped" if self._stream.end == "stopped" else "done"
        return finish_reason_of(self._stream.finish_reason)

    def _fail(self, error: TailraceError) -> Problem:
        self._error = error
        self._outcome = "truncated" if self._stream.end == "truncated" else "failed"
        return problem_of(error)

    def _usage(self) -> tuple[UsageCounts, bool]:
        """Return the site's own counts, or an estimate, and whether it is one."""
        own = self._stream.usage
        if own is not None:
            return UsageCounts.of(own), False
        prompt = sum(estimated_tokens(message.content) for message in self._chat.messages)
        # A model's stream has about one token in each delta; a whole answer is a single delta.
        completion = max(self._call.delta_count, -(-self._characters // _CHARACTERS_A_TOKEN))
        return UsageCounts(prompt, completion, prompt + completion), True


_CUT = (
    "length",
    "max_output_tokens",
    "max_tokens",
    "model_context_window_exceeded",
    "model_length",
)
_FILTERED = (
    "blocklist",
    "content_filter",
    "content-filter",
    "image_safety",
    "prohibited_content",
    "recitation",
    "refusal",
    "safety",
    "spii",
)
_FINISH_REASONS = dict.fromkeys(_CUT, "length") | dict.fromkeys(_FILTERED, "content_filter")
_CHARACTERS_A_TOKEN = 4


def finish_reason_of(reason: str | None) -> str:
    """Return OpenAI's name of a site's finish `reason`; ``stop`` where it has no other.

    OpenAI's ``tool_calls`` would promise calls, which this gateway does not pass on.
    """
    return _FINISH_REASONS.get((reason or "").lower(), "stop")


def estimated_tokens(content: str | list[str | dict[str, Any]] | None) -> int:
    """Estimate the tokens of a message: one for every 4 bytes of UTF-8, rounded up."""
    parts = [content] if isinstance(content, str) else content or []
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return sum(
        -(-len(text.encode()) // _CHARACTERS_A_TOKEN) for text in texts if isinstance(text, str)
    )
