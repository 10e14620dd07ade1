"""The OpenAPI document of the gateway's paths, made of the records of their bodies.

Nothing of a gateway's own settings is in it: it is the same for all of one version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from tailrace import __version__
from tailrace.gateway._figures.live import LiveEvent
from tailrace.gateway._openapi.records import (
    EmbeddingRequest,
    Embeddings,
    Health,
    Message,
    Readiness,
    Response,
    TokenCount,
)
from tailrace.gateway._problems import AnthropicErrorBody, ErrorBody, is_anthropics
from tailrace.gateway._wires import chat, completions
from tailrace.gateway._wires.messages import MessageRequest
from tailrace.gateway._wires.responses import ResponseRequest
from tailrace.gateway._wires.routes import ModelCard, ModelList

__all__ = ["make_document"]

_JSON = "application/json"
_EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    """One method of one path: its bodies, and whether it needs a key where the gateway has some.

    `request` and `reply`: the records of JSON, or the name of a component; `media`: of a reply that
    is no JSON. `events`: what a stream's events are, of a reply that may be one.
    """

    method: str
    path: str
    tag: str
    summary: str
    request: type | str | None = None
    reply: type | None = None
    media: str = _JSON
    events: str = ""
    needs_key: bool = True
    parameters: tuple[dict[str, Any], ...] = ()


_CHUNKS = (
    "Where `stream` is true: a chunk an event, as OpenAI sends it, then `[DONE]`. A failure is the "
    "last event."
)
_PAST = {
    "name": "past",
    "in": "query",
    "description": "Seconds of the past that come first, in an event of their own.",
    "schema": {"type": "integer", "minimum": 0},
}
_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "A model's id; its slash may be written `%2F`.",
    "schema": {"type": "string"},
}
_OPERATIONS = (
    _Operation(
        method="post",
        path="/v1/chat/completions",
        tag="Answers",
        summary="OpenAI's chat completions",
        request=chat.ChatRequest,
        reply=chat.Completion,
        events=_CHUNKS,
    ),
    _Operation(
        method="post",
        path="/v1/responses",
        tag="Answers",
        summary="OpenAI's Responses; nothing is kept",
        request=ResponseRequest,
        reply=Response,
        events="Where `stream` is true: the events of OpenAI's Responses, each named by its type.",
    ),
    _Operation(
        method="post",
        path="/v1/messages",
        tag="Answers",
        summary="Anthropic's messages",
        request=MessageRequest,
        reply=Message,
        events="Where `stream` is true: Anthropic's events, from message_start to message_stop.",
    ),
    _Operation(
        method="post",
        path="/v1/completions",
        tag="Answers",
        summary="OpenAI's legacy completions",
        request=completions.CompletionRequest,
        reply=completions.Completion,
        events=_CHUNKS,
    ),
    _Operation(
        method="post",
        path="/v1/embeddings",
        tag="Besides",
        summary="Embeddings, of sites that have them",
        request=EmbeddingRequest,
        reply=Embeddings,
    ),
    _Operation(
        method="post",
        path="/v1/messages/count_tokens",
        tag="Besides",
        summary="The tokens of a message, of sites with Anthropic's API",
        request="TokenCountRequest",
        reply=TokenCount,
    ),
    _Operation(
        method="get",
        path="/v1/models",
        tag="Models",
        summary="The models that the key may ask for, groups first",
        reply=ModelList,
    ),
    _Operation(
        method="get",
        path="/v1/models/{id}",
        tag="Models",
        summary="One model",
        reply=ModelCard,
        parameters=(_ID,),
    ),
    _Operation(
        method="get",
        path="/live",
        tag="Operation",
        summary="The gateway's figures, an event a second",
        media=_EVENTS,
        events="The data of each event is a LiveEvent.",
        parameters=(_PAST,),
    ),
    _Operation(
        method="get",
        path="/metrics",
        tag="Operation",
        summary="The figures for Prometheus, or as OpenMetrics where they are asked for",
        media="text/plain",
    ),
    _Operation(
        method="get",
        path="/health",
        tag="Operation",
        summary="Whether the process lives",
        reply=Health,
        needs_key=False,
    ),
    _Operation(
        method="get",
        path="/ready",
        tag="Operation",
        summary="Whether requests are taken; 503 while the gateway stops",
        reply=Readiness,
        needs_key=False,
    ),
    _Operation(
        method="get",
        path="/",
        tag="Pages",
        summary="A page to chat with the models",
        media="text/html",
        needs_key=False,
    ),
    _Operation(
        method="get",
        path="/openapi.json",
        tag="Pages",
        summary="This document",
        needs_key=False,
    ),
    _Operation(
        method="get",
        path="/docs",
        tag="Pages",
        summary="This document as a page",
        media="text/html",
        needs_key=False,
    ),
    _Operation(
        method="get",
        path="/docs.css",
        tag="Pages",
        summary="The style of that page",
        media="text/css",
        needs_key=False,
    ),
)
_TAGS = {
    "Answers": "Questions to a model, over each API that clients speak.",
    "Besides": "What else sites are asked.",
    "Models": "What can be asked for.",
    "Operation": "For those who run it.",
    "Pages": "For browsers.",
}


def make_document() -> dict[str, Any]:
    """Make the OpenAPI document, as JSON has it."""
    paths: dict[str, dict[str, Any]] = {}
    for each in _OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = _described(each)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Tailrace's gateway",
            "version": __version__,
            "description": (
                "One server in front of many chat sites. Where it has keys, a request needs one. "
                "Every reply has the header X-Request-Id, which the gateway's log names."
            ),
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": words} for name, words in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": _FAILURES,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "The client's key."},
                "anthropic_key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "The same key, as Anthropic's clients send it.",
                },
            },
        },
    }
    return _with_short_names(document)


def _described(operation: _Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": _security(operation),
        "responses": {"200": _answer(operation), **_failures(operation)},
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.request is not None:
        content = {_JSON: {"schema": _reference(operation.request)}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _operation_id(operation: _Operation) -> str:
    words = re.findall(r"[a-z0-9]{1,64}", operation.path.removeprefix("/v1"))
    return "_".join([operation.method, *(words or ["page"])])


def _security(operation: _Operation) -> list[dict[str, list[str]]]:
    """Return the ways to send a key; without one where none is needed."""
    if not operation.needs_key:
        return []
    anthropics: list[dict[str, list[str]]] = [{"anthropic_key": []}]
    return [{"key": []}, *(anthropics if is_anthropics(operation.path) else []), {}]


def _answer(operation: _Operation) -> dict[str, Any]:
    schema = {} if operation.media == _JSON else {"type": "string"}
    if operation.reply is not None:
        schema = _reference(operation.reply)
    content = {operation.media: {"schema": schema}}
    if operation.events:
        content[_EVENTS] = {"schema": {"type": "string", "description": operation.events}}
    headers = {"X-Tailrace-Dropped": _DROPPED} if operation.request is not None else {}
    described: dict[str, Any] = {"description": operation.summary, "content": content}
    return {**described, "headers": headers} if headers else described


_DROPPED = {
    "description": "Names of what the site could not be asked, where that was left out.",
    "schema": {"type": "string"},
}


def _failures(operation: _Operation) -> dict[str, Any]:
    if operation.tag == "Pages":
        return {}
    kind = "Anthropic" if is_anthropics(operation.path) else ""
    return {
        status: {"$ref": f"#/components/responses/{kind}{name}"}
        for status, name in (("4XX", "Refused"), ("5XX", "Failed"))
    }


def _failure(words: str, body: type) -> dict[str, Any]:
    return {
        "description": words,
        "headers": {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
            "x-should-retry": {
                "description": "Whether the same request may succeed later.",
                "schema": {"enum": ["true", "false"]},
            },
        },
        "content": {_JSON: {"schema": _reference(body)}},
    }


def _reference(record: type | str) -> dict[str, str]:
    name = record if isinstance(record, str) else _names()[record]
    return {"$ref": f"#/components/schemas/{name}"}


# -- components ------------------------------------------------------------------------------------


def _all_records() -> list[type]:
    used = [each for operation in _OPERATIONS for each in (operation.request, operation.reply)]
    records = [each for each in used if isinstance(each, type)]
    return [*dict.fromkeys([*records, LiveEvent, ErrorBody, AnthropicErrorBody])]


@cache
def _names() -> dict[type, str]:
    """Return the names of the records' schemas."""
    records = _all_records()
    schemas, _ = msgspec.json.schema_components(records, ref_template="{name}")
    return {record: schema["$ref"] for record, schema in zip(records, schemas, strict=True)}


def _schemas() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(
        _all_records(), ref_template="#/components/schemas/{name}"
    )
    chats = schemas["ChatRequest"]["properties"]
    for field in chat.FIELDS:
        note = f": {field.note}" if field.note else ""
        chats[field.name]["description"] = f"{field.treatment}{note}"
    message = schemas["MessageRequest"]
    required = [name for name in message["required"] if name != "max_tokens"]
    schemas["TokenCountRequest"] = {**message, "title": "TokenCountRequest", "required": required}
    return dict(sorted(schemas.items()))


def _with_short_names(document: dict[str, Any]) -> dict[str, Any]:
    """Name records of the same name by their wires: two wires have a Choice each."""
    text = msgspec.json.encode(document).decode()
    return dict(msgspec.json.decode(_QUALIFIED.sub(_short, text)))


_QUALIFIED = re.compile(r"tailrace\.gateway\.(?:_\w{1,32}\.){1,3}(\w{1,32})\.(\w{1,64})")


def _short(name: re.Match[str]) -> str:
    return name[1].capitalize() + name[2]


_FAILURES = {
    "Refused": _failure("The request was refused, or the site refused it.", ErrorBody),
    "Failed": _failure("The site or the gateway failed.", ErrorBody),
    "AnthropicRefused": _failure(
        "The request was refused, or the site refused it.", AnthropicErrorBody
    ),
    "AnthropicFailed": _failure("The site or the gateway failed.", AnthropicErrorBody),
}
