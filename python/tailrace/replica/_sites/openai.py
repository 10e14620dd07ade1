"""An OpenAI-compatible server, as vLLM, Ollama, llama.cpp and gateways are.

The endpoints are `/v1/chat/completions` and `/v1/models`. Records follow OpenAI's API reference,
and the chunks that its servers send (capture ``ai-power/1.9.18/stream_ok``). A token is the text of
one chunk.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tailrace._json import read_json
from tailrace.replica._answers import AnswerError, HistoryTurn, tokenize
from tailrace.replica._response import NO_RESPONSE, Ending, SiteResponse
from tailrace.replica._site import (
    EXCHANGE,
    Marker,
    ReplicaSite,
    SitePage,
    find_behavior,
    well_formed,
)
from tailrace.replica._sites.outcomes import CHUNKS_BEFORE_FAILURE, LONG_TEXT, ModelAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

MODELS = ("gpt-4o-mini", "gpt-4o")

JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"

_FAILURE_MESSAGE = "The server met an error while it was answering."


@dataclass(frozen=True, slots=True)
class OpenAIAnswer(ModelAnswer):
    """The model's answer, with its finish reason and whether comments keep the connection alive."""

    finish_reason: Literal["stop", "content_filter"] = "stop"
    keep_alives: bool = False


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A request that can be answered; `limit` is the most tokens that the answer may have."""

    model: str
    turns: tuple[HistoryTurn, ...]
    streams: bool
    include_usage: bool
    limit: int | None


@dataclass(frozen=True, slots=True)
class TokenizedAnswer:
    """An answer, split into its tokens, with the fields of each chunk; `created`: in seconds."""

    request: CompletionRequest
    tokens: tuple[str, ...]
    finish_reason: str
    created: int

    @property
    def usage(self) -> dict[str, int]:
        """The number of tokens in question and answer."""
        prompt = sum(len(tokenize(turn.text)) for turn in self.request.turns)
        completion = len(self.tokens)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def head(self, object_: str) -> dict[str, object]:
        """Return the fields that every record of this answer begins with."""
        seed = f"{self.created}|{self.request.turns[-1].text}".encode("utf-8", "surrogatepass")
        return {
            "id": f"chatcmpl-{sha256(seed).hexdigest()[:29]}",
            "object": object_,
            "created": self.created,
            "model": self.request.model,
            "service_tier": "default",
            "system_fingerprint": "fp_replica",
        }


class RequestRefusedError(Exception):
    """The request is refused; `response` is the error that answers it."""

    def __init__(self, response: SiteResponse) -> None:
        super().__init__(response.status)
        self.response = response


class OpenAISite(ReplicaSite):
    """An OpenAI-compatible server; any key will do, or none, unless `Replica` has an `api_key`."""

    name: ClassVar[str] = "openai"
    software: ClassVar[str] = "openai"
    shows: ClassVar[str] = "an OpenAI-compatible server, its base URL ending in /v1"
    pages: ClassVar[tuple[SitePage, ...]] = (SitePage("models", "/v1/models", "the models it has"),)
    markers: ClassVar[tuple[Marker[OpenAIAnswer | SiteResponse], ...]]

    async def answer(self, request: web.Request) -> SiteResponse:
        """Answer the two endpoints, or anything else with an error in OpenAI's form."""
        try:
            self._check_key(request)
            return await self._route(request)
        except RequestRefusedError as refused:
            return refused.response

    def _check_key(self, request: web.Request) -> None:
        expected = self.settings.api_key
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if expected is None:
            return
        if scheme.lower() != "bearer" or not key:
            raise RequestRefusedError(
                error(401, "No key came with the request: send it as a bearer token.")
            )
        if not hmac.compare_digest(key.encode("utf-8", "surrogateescape"), expected.encode()):
            raise RequestRefusedError(
                error(401, "The key that came is not the right one.", code="invalid_api_key")
            )

    async def _route(self, request: web.Request) -> SiteResponse:
        match request.method, request.path:
            case "GET" | "HEAD", "/v1/models":
                return _json(
                    200, {"object": "list", "data": [self._model(name) for name in MODELS]}
                )
            case "GET" | "HEAD", path if path.startswith("/v1/models/"):
                return _json(200, self._model(known_model(path.removeprefix("/v1/models/"))))
            case "POST", "/v1/chat/completions":
                return await self._complete(request)
            case _, "/v1/chat/completions" | "/v1/models":
                return error(405, f"{request.method} is not what this endpoint takes.")
            case _:
                return error(404, f"There is no {request.method} {request.path}.")

    def _model(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "replica"}

    async def _complete(self, request: web.Request) -> SiteResponse:
        body = read_body(await request.read())
        request[EXCHANGE].json = body
        completion = read_request(body)
        message = completion.turns[-1].text
        behavior = find_behavior(MARKERS, message, request[EXCHANGE]) or OpenAIAnswer()
        if isinstance(behavior, SiteResponse):
            return behavior
        text = behavior.text
        if text is None:
            text = await self._ask_model(message, completion.turns[:-1])
        return self._respond(completion, text, behavior)

    async def _ask_model(self, message: str, earlier: Sequence[HistoryTurn]) -> str:
        try:
            return await self.ask_model(message, earlier)
        except AnswerError as failed:
            raise RequestRefusedError(
                error(failed.status, failed.message, type_="upstream_error")
            ) from None

    def _respond(
        self, request: CompletionRequest, text: str, behavior: OpenAIAnswer
    ) -> SiteResponse:
        tokens = tuple(tokenize(text))
        is_cut = request.limit is not None and len(tokens) > request.limit
        reason = "length" if is_cut else behavior.finish_reason
        created = int(self.settings.clock())
        answer = TokenizedAnswer(request, tokens[: request.limit], reason, created)
        if not request.streams:
            return as_json(answer, behavior)
        pace = self.settings.pace * behavior.slowness
        return replace(as_events(answer, behavior), pace=pace)


def read_body(data: bytes) -> dict[str, Any]:
    """Read a request's body, which is a JSON object."""
    try:
        body: object = read_json(data)
    except ValueError:
        raise RequestRefusedError(error(400, "The body is not JSON.")) from None
    if not isinstance(body, dict):
        raise RequestRefusedError(error(400, "The body is not a JSON object."))
    return body


def read_request(body: Mapping[str, Any]) -> CompletionRequest:
    """Read the request for a completion; other parameters than these have no effect."""
    model = known_model(body.get("model"))
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestRefusedError(
            error(400, "`messages` is a list of at least one message.", param="messages")
        )
    streams = body.get("stream") or False
    if not isinstance(streams, bool):
        raise RequestRefusedError(error(400, "`stream` is true or false.", param="stream"))
    options = body.get("stream_options")
    if options is not None and not (streams and isinstance(options, dict)):
        raise RequestRefusedError(
            error(
                400, "`stream_options` is an object, and for streams only.", param="stream_options"
            )
        )
    if body.get("n") not in (None, 1):
        raise RequestRefusedError(
            error(400, "This server gives one answer to a request.", param="n")
        )
    turns = tuple(read_message(message, number) for number, message in enumerate(messages))
    return CompletionRequest(
        model, turns, streams, bool(options and options.get("include_usage")), read_limit(body)
    )


def known_model(model: object) -> str:
    """Return `model`, which this server must have."""
    if not isinstance(model, str) or not model:
        raise RequestRefusedError(error(400, "`model` is the name of a model.", param="model"))
    if model not in MODELS:
        raise RequestRefusedError(
            error(404, f"There is no model {model!r} here.", code="model_not_found")
        )
    return model


def read_message(message: object, number: int) -> HistoryTurn:
    """Read the message with index `number`, as a turn of system, user or assistant."""
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise RequestRefusedError(
            error(400, "A message has a role and content.", param=f"messages.[{number}].role")
        )
    content = message.get("content")
    if content is None and message["role"] == "assistant":
        content = ""
    if isinstance(content, list):
        content = "".join(part["text"] if _is_text(part) else "" for part in content)
    if not isinstance(content, str):
        raise RequestRefusedError(
            error(400, "Content is text or a list of parts.", param=f"messages.[{number}].content")
        )
    return HistoryTurn(_ROLES[message["role"]], well_formed(content))


def _is_text(part: object) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def read_limit(body: Mapping[str, Any]) -> int | None:
    """Read ``max_completion_tokens``, or ``max_tokens``, its older name."""
    for name in ("max_completion_tokens", "max_tokens"):
        limit = body.get(name)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise RequestRefusedError(
                error(400, f"`{name}` is a whole number of at least 1.", param=name)
            )
        return limit
    return None


def as_json(answer: TokenizedAnswer, behavior: OpenAIAnswer) -> SiteResponse:
    """Return the response to a request that does not stream."""
    if behavior.end == "stall":
        return NO_RESPONSE
    if not behavior.is_whole:
        return error(500, _FAILURE_MESSAGE, type_="server_error")
    message = {"role": "assistant", "content": "".join(answer.tokens), "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": answer.finish_reason,
    }
    return _json(
        200, {**answer.head("chat.completion"), "choices": [choice], "usage": answer.usage}
    )


def as_events(answer: TokenizedAnswer, behavior: OpenAIAnswer) -> SiteResponse:
    """Return the response to a request that streams: a chunk an event, usage, and ``[DONE]``."""
    opening = [_chunk(answer, {"role": "assistant", "content": "", "refusal": None})]
    contents = [_chunk(answer, {"content": token}) for token in answer.tokens]
    if behavior.keep_alives:
        contents = [b": still thinking\n\n" + chunk for chunk in contents]
    closing = [_chunk(answer, {}, answer.finish_reason)]
    if answer.request.include_usage:
        record = {**answer.head("chat.completion.chunk"), "choices": [], "usage": answer.usage}
        closing.append(_data(record))
    begun = [*opening, *contents[:CHUNKS_BEFORE_FAILURE]]
    match behavior.end:
        case "midfail":
            return _sse([*begun, _data(error_object(_FAILURE_MESSAGE, type_="server_error"))])
        case "cut":
            return _sse([*begun, closing[0][: len(closing[0]) // 2]])
        case "stall":
            return _sse(begun, "stall")
        case "nodone":
            return _sse([*opening, *contents, *closing])
        case "done":
            return _sse([*opening, *contents, *closing, b"data: [DONE]\n\n"])


def _chunk(
    answer: TokenizedAnswer, delta: Mapping[str, object], finish_reason: str | None = None
) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    record = {**answer.head("chat.completion.chunk"), "choices": [choice]}
    return _data({**record, "usage": None} if answer.request.include_usage else record)


def error(
    status: int,
    message: str,
    *,
    type_: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> SiteResponse:
    """Return a response with an error in OpenAI's form: an object under ``error``."""
    return replace(
        _json(status, error_object(message, type_=type_, param=param, code=code)), headers=headers
    )


def error_object(
    message: str, *, type_: str, param: str | None = None, code: str | None = None
) -> dict[str, object]:
    """Return the object that is an error's body, or its event in a stream."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def _json(status: int, body: Mapping[str, object]) -> SiteResponse:
    return SiteResponse(
        [json.dumps(body, ensure_ascii=False, indent=2).encode("utf-8", "replace")], JSON, status
    )


def _data(record: Mapping[str, object]) -> bytes:
    return f"data: {json.dumps(record, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def _sse(events: Sequence[bytes], ending: Ending = "complete") -> SiteResponse:
    return SiteResponse(events, SSE, headers=(("Cache-Control", "no-cache"),), ending=ending)


_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "tool": "user",
    "assistant": "assistant",
}

MARKERS: tuple[Marker[OpenAIAnswer | SiteResponse], ...] = (
    Marker(
        "err401",
        "401: the key is refused",
        error(401, "The key is not the right one.", code="invalid_api_key"),
    ),
    Marker(
        "err429",
        "429 with Retry-After: too many requests",
        error(
            429,
            "Too many requests.",
            type_="requests",
            code="rate_limit_exceeded",
            headers=(("Retry-After", "7"),),
        ),
    ),
    Marker(
        "quota",
        "429: no money left, and no Retry-After",
        error(429, "The share is used up.", type_="insufficient_quota", code="insufficient_quota"),
    ),
    Marker("err500", "500: the server failed", error(500, _FAILURE_MESSAGE, type_="server_error")),
    Marker(
        "too-long",
        "400: the conversation does not fit into the model",
        error(400, "There are too many tokens.", param="messages", code="context_length_exceeded"),
    ),
    Marker(
        "html502",
        "502 and a page: a proxy's word",
        SiteResponse([b"<html>the gate is shut</html>"], "text/html", 502),
    ),
    Marker("midfail", "an error event after a few words", OpenAIAnswer(end="midfail")),
    Marker("cut", "the response ends in the middle of a line", OpenAIAnswer(end="cut")),
    Marker(
        "nodone",
        "the whole answer and its finish reason, but no [DONE]",
        OpenAIAnswer(end="nodone"),
    ),
    Marker(
        "filtered",
        "the answer is stopped by a filter",
        OpenAIAnswer("Half of wh", finish_reason="content_filter"),
    ),
    Marker(
        "comments",
        "a comment before each chunk, as gateways keep a connection alive",
        OpenAIAnswer(keep_alives=True),
    ),
    Marker(
        "stall",
        "after a few words nothing more comes, and the connection stays",
        OpenAIAnswer(end="stall"),
    ),
    Marker("silent", "not even a status line comes", NO_RESPONSE),
    Marker(
        "long",
        "400 words that can be counted",
        OpenAIAnswer(LONG_TEXT),
    ),
    Marker("empty", "an empty answer", OpenAIAnswer("")),
    Marker("slow", "ten times the pace", OpenAIAnswer(slowness=10)),
)

OpenAISite.markers = MARKERS
