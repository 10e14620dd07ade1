"""A plain OpenAI-compatible server, as vLLM, Ollama, llama.cpp and gateways are:
`/v1/chat/completions`, `/v1/models`.

Layouts follow OpenAI's API reference, and the chunks that its servers send (capture
``ai-power/1.9.18/stream_ok``). A token is what one frame holds.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tailrace.replica._answers import AnswerError, Turn, cut
from tailrace.replica._site import (
    EXCHANGE,
    Ending,
    Marker,
    Page,
    Reply,
    Site,
    find_marker,
    well_formed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

MODELS = ("gpt-4o-mini", "gpt-4o")

JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"

_PIECES_BEFORE_A_FAILURE = 3
_WENT_WRONG = "The server met an error while it was answering."


@dataclass(frozen=True, slots=True)
class Said:
    """The model answered with `text` (None: what the model says); `ends` is how a stream came to
    its end.
    """

    text: str | None = None
    finish_reason: Literal["stop", "content_filter"] = "stop"
    ends: Literal["done", "nodone", "midfail", "cut", "stall"] = "done"
    keep_alives: bool = False
    slowness: float = 1.0


@dataclass(frozen=True, slots=True)
class Silent:
    """The server took the request and never answers."""


Outcome = Said | Silent | Reply


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that can be answered. `limit` is the most tokens that the answer may have."""

    model: str
    turns: tuple[Turn, ...]
    streams: bool
    include_usage: bool
    limit: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, cut into its tokens, and what its frames repeat. `created` is in seconds."""

    asked: Asked
    pieces: tuple[str, ...]
    finish_reason: str
    created: int

    @property
    def usage(self) -> dict[str, int]:
        """The tokens of question and answer."""
        prompt = sum(len(cut(turn.text)) for turn in self.asked.turns)
        completion = len(self.pieces)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def head(self, object_: str) -> dict[str, object]:
        """Return the fields that every record of this answer begins with."""
        seed = f"{self.created}|{self.asked.turns[-1].text}".encode("utf-8", "surrogatepass")
        name = f"chatcmpl-{sha256(seed).hexdigest()[:29]}"
        return {
            "id": name,
            "object": object_,
            "created": self.created,
            "model": self.asked.model,
        } | _SERVER


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The request is answered with an error."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class OpenAISite(Site):
    """The server.

    With `Settings.api_key` it wants that key as a bearer token; without, any or none will do.
    """

    name: ClassVar[str] = "openai"
    shows: ClassVar[str] = "an OpenAI-compatible server, its base URL ending in /v1"
    pages: ClassVar[tuple[Page, ...]] = (Page("models", "/v1/models", "the models it has"),)
    markers: ClassVar[tuple[Marker[Outcome], ...]]

    async def answer(self, request: web.Request) -> Reply:
        """Answer the two endpoints, or anything else with an error in OpenAI's form."""
        try:
            self._check_key(request)
            return await self._route(request)
        except Refused as refused:
            return refused.reply

    def _check_key(self, request: web.Request) -> None:
        wanted = self.settings.api_key
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if wanted is None:
            return
        if scheme.lower() != "bearer" or not key:
            raise Refused(error(401, "No key came with the request: send it as a bearer token."))
        if not hmac.compare_digest(key.encode("utf-8", "surrogateescape"), wanted.encode()):
            raise Refused(
                error(401, "The key that came is not the right one.", code="invalid_api_key")
            )

    async def _route(self, request: web.Request) -> Reply:
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

    async def _complete(self, request: web.Request) -> Reply:
        body = read_body(await request.read())
        request[EXCHANGE].json = body
        asked = read_request(body)
        message = asked.turns[-1].text
        marker = find_marker(MARKERS, message)
        request[EXCHANGE].markers = () if marker is None else (marker.name,)
        played = Said() if marker is None else marker.play
        match played:
            case Reply():
                return played
            case Silent():
                return _SILENCE
            case Said():
                text = (
                    await self._text(message, asked.turns[:-1])
                    if played.text is None
                    else played.text
                )
                return self._said(asked, text, played)

    async def _text(self, message: str, earlier: Sequence[Turn]) -> str:
        try:
            return await self.ask(message, earlier)
        except AnswerError as failed:
            raise Refused(error(failed.status, failed.message, type_="upstream_error")) from None

    def _said(self, asked: Asked, text: str, said: Said) -> Reply:
        pieces = tuple(cut(text))
        is_cut = asked.limit is not None and len(pieces) > asked.limit
        reason = "length" if is_cut else said.finish_reason
        answer = Answer(asked, pieces[: asked.limit], reason, int(self.settings.clock()))
        if not asked.streams:
            return as_json(answer, said)
        return replace(as_events(answer, said), pace=self.settings.pace * said.slowness)


def read_body(data: bytes) -> dict[str, Any]:
    """Read a request's body, which is a JSON object."""
    try:
        body: object = json.loads(data)
    except (ValueError, RecursionError):
        raise Refused(error(400, "The body is not JSON.")) from None
    if not isinstance(body, dict):
        raise Refused(error(400, "The body is not a JSON object."))
    return body


def read_request(body: Mapping[str, Any]) -> Asked:
    """Read what a completion is asked with; what it says beside that changes nothing here."""
    model = known_model(body.get("model"))
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(error(400, "`messages` is a list of at least one message.", param="messages"))
    streams = body.get("stream") or False
    if not isinstance(streams, bool):
        raise Refused(error(400, "`stream` is true or false.", param="stream"))
    options = body.get("stream_options")
    if options is not None and not (streams and isinstance(options, dict)):
        raise Refused(
            error(
                400, "`stream_options` is an object, and for streams only.", param="stream_options"
            )
        )
    if body.get("n") not in (None, 1):
        raise Refused(error(400, "This server gives one answer to a request.", param="n"))
    turns = tuple(read_message(message, number) for number, message in enumerate(messages))
    return Asked(
        model, turns, streams, bool(options and options.get("include_usage")), read_limit(body)
    )


def known_model(model: object) -> str:
    """Return `model` if this server has it."""
    if not isinstance(model, str) or not model:
        raise Refused(error(400, "`model` is the name of a model.", param="model"))
    if model not in MODELS:
        raise Refused(error(404, f"There is no model {model!r} here.", code="model_not_found"))
    return model


def read_message(message: object, number: int) -> Turn:
    """Read one message; a developer's is the system's, a tool's result is the user's."""
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise Refused(
            error(400, "A message has a role and content.", param=f"messages.[{number}].role")
        )
    content = message.get("content")
    if content is None and message["role"] == "assistant":
        content = ""
    if isinstance(content, list):
        content = "".join(part["text"] if _is_text(part) else "" for part in content)
    if not isinstance(content, str):
        raise Refused(
            error(400, "Content is text or a list of parts.", param=f"messages.[{number}].content")
        )
    return Turn(_ROLES[message["role"]], well_formed(content))


def _is_text(part: object) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def read_limit(body: Mapping[str, Any]) -> int | None:
    """Read the most tokens that an answer may have, under its new name or its old one."""
    for name in ("max_completion_tokens", "max_tokens"):
        limit = body.get(name)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise Refused(error(400, f"`{name}` is a whole number of at least 1.", param=name))
        return limit
    return None


def as_json(answer: Answer, said: Said) -> Reply:
    """Return the reply to a request that does not stream."""
    if said.ends == "stall":
        return _SILENCE
    if said.ends in ("midfail", "cut"):
        return error(500, _WENT_WRONG, type_="server_error")
    message = {"role": "assistant", "content": "".join(answer.pieces), "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": answer.finish_reason,
    }
    return _json(
        200, {**answer.head("chat.completion"), "choices": [choice], "usage": answer.usage}
    )


def as_events(answer: Answer, said: Said) -> Reply:
    """Return the reply to a request that streams: a chunk an event, usage in one of its own, and
    [DONE].
    """
    opening = [_chunk(answer, {"role": "assistant", "content": "", "refusal": None})]
    contents = [_chunk(answer, {"content": piece}) for piece in answer.pieces]
    if said.keep_alives:
        contents = [b": still thinking\n\n" + chunk for chunk in contents]
    closing = [_chunk(answer, {}, answer.finish_reason)]
    if answer.asked.include_usage:
        record = {**answer.head("chat.completion.chunk"), "choices": [], "usage": answer.usage}
        closing.append(_data(record))
    begun = [*opening, *contents[:_PIECES_BEFORE_A_FAILURE]]
    match said.ends:
        case "midfail":
            return _sse([*begun, _data(error_object(_WENT_WRONG, type_="server_error"))])
        case "cut":
            return _sse([*begun, closing[0][: len(closing[0]) // 2]])
        case "stall":
            return _sse(begun, "never")
        case "nodone":
            return _sse([*opening, *contents, *closing])
        case "done":
            return _sse([*opening, *contents, *closing, b"data: [DONE]\n\n"])


def _chunk(answer: Answer, delta: Mapping[str, object], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    record = {**answer.head("chat.completion.chunk"), "choices": [choice]}
    return _data({**record, "usage": None} if answer.asked.include_usage else record)


def error(
    status: int,
    message: str,
    *,
    type_: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> Reply:
    """Return an error as OpenAI words it: an object under ``error``."""
    return replace(
        _json(status, error_object(message, type_=type_, param=param, code=code)), headers=headers
    )


def error_object(
    message: str, *, type_: str, param: str | None = None, code: str | None = None
) -> dict[str, object]:
    """Return the object that an error's body is, and an error's frame in a stream."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def _json(status: int, body: Mapping[str, object]) -> Reply:
    return Reply(
        [json.dumps(body, ensure_ascii=False, indent=2).encode("utf-8", "replace")], JSON, status
    )


def _data(record: Mapping[str, object]) -> bytes:
    return f"data: {json.dumps(record, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def _sse(frames: Sequence[bytes], ends: Ending = "cleanly") -> Reply:
    return Reply(frames, SSE, headers=(("Cache-Control", "no-cache"),), ends=ends)


_SERVER: dict[str, object] = {"service_tier": "default", "system_fingerprint": "fp_replica"}
_SILENCE = Reply([], None, ends="silently")
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "tool": "user",
    "assistant": "assistant",
}

MARKERS: tuple[Marker[Outcome], ...] = (
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
    Marker("err500", "500: the server failed", error(500, _WENT_WRONG, type_="server_error")),
    Marker(
        "too-long",
        "400: the conversation does not fit into the model",
        error(400, "There are too many tokens.", param="messages", code="context_length_exceeded"),
    ),
    Marker(
        "html502",
        "502 and a page: a proxy's word",
        Reply([b"<html>the gate is shut</html>"], "text/html", 502),
    ),
    Marker("midfail", "an error frame after a few words", Said(ends="midfail")),
    Marker("cut", "the reply ends in the middle of a line", Said(ends="cut")),
    Marker("nodone", "the whole answer and its finish reason, but no [DONE]", Said(ends="nodone")),
    Marker(
        "filtered",
        "the answer is stopped by a filter",
        Said("Half of wh", finish_reason="content_filter"),
    ),
    Marker(
        "comments",
        "a comment before each chunk, as gateways keep a connection alive",
        Said(keep_alives=True),
    ),
    Marker(
        "stall",
        "after a few words nothing more comes, and the connection stays",
        Said(ends="stall"),
    ),
    Marker("silent", "not even a status line comes", Silent()),
    Marker(
        "long",
        "400 words that can be counted",
        Said(" ".join(f"word{number}" for number in range(400))),
    ),
    Marker("empty", "an empty answer", Said("")),
    Marker("slow", "ten times the pace", Said(slowness=10)),
)

OpenAISite.markers = MARKERS
