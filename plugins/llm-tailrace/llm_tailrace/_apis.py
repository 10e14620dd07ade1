"""What a site's software takes beside text: options, tools, schemas and attachments."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import llm
from pydantic import BeforeValidator, Field, create_model

from tailrace.sites import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.sites import ProfileSettings

__all__ = ["Api", "api_of", "attachment_types", "options_of", "site_options", "takes_tools"]

Api: TypeAlias = Literal["page", "chat", "responses", "anthropic", "gemini", "ollama"]
"""How a site is spoken to: as its page does, or by one of these APIs."""


def api_of(settings: ProfileSettings) -> Api:
    """Return how the site of a profile is spoken to."""
    match settings.software:
        case "openai":
            return settings.api or "chat"
        case "anthropic" | "gemini" | "ollama" as api:
            return api
        case _:
            return "page"


def takes_tools(api: Api) -> bool:
    """Tell whether the site takes tools and schemas, which every API does and no page."""
    return api != "page"


# -- options ---------------------------------------------------------------------------------------


def _json(value: object) -> object:
    """Read JSON, as which the command line has objects."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from None
    except RecursionError:
        raise ValueError("no JSON that can be read: it is nested too deeply") from None


def _object_or_text(value: object) -> object:
    """Read what may be an object as JSON, and leave other text."""
    return _json(value) if isinstance(value, str) and value.lstrip().startswith("{") else value


def _texts_or_text(value: object) -> object:
    """Read a list of texts as JSON, and leave other text, such as ``[END]``."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    behind = value.lstrip()[1:].lstrip()
    return _json(value) if behind.startswith(('"', "]")) else value


_Object: TypeAlias = Annotated[dict[str, Any], BeforeValidator(_json)]
_TextOrObject: TypeAlias = Annotated[str | dict[str, Any], BeforeValidator(_object_or_text)]
_TextOrTexts: TypeAlias = Annotated[str | list[str], BeforeValidator(_texts_or_text)]

_OPTIONS: Mapping[str, tuple[Any, str]] = {
    "temperature": (float, "How freely the model chooses its words."),
    "top_p": (float, "The share of likely tokens that the model chooses among."),
    "top_k": (int, "The number of likely tokens that the model chooses among."),
    "max_tokens": (int, "The most tokens of the answer."),
    "max_completion_tokens": (int, "The same, by the name that newer models of OpenAI want."),
    "stop": (_TextOrTexts, "A text, or a JSON list of some, that ends the answer."),
    "seed": (int, "The number that makes the model's choices the same again."),
    "frequency_penalty": (float, "How much a token loses each time it was said."),
    "presence_penalty": (float, "How much a token loses once it was said."),
    "logit_bias": (_Object, "How much likelier tokens become, as a JSON object."),
    "logprobs": (bool, "Log probabilities of the tokens, which `llm logs --json` shows."),
    "top_logprobs": (int, "The number of other tokens whose log probabilities are told."),
    "reasoning_effort": (str, "How much the model reasons: low, medium, high, or its own words."),
    "tool_choice": (_TextOrObject, "auto, none, required, or a tool in OpenAI's form, as JSON."),
    "parallel_tool_calls": (bool, "Whether the model may call several tools at once."),
    "user": (str, "A name for who asks, for the service."),
    "extra": (_Object, "Further fields of the request under the API's own names, as JSON."),
}
"""Options of sites under their names there: the type, and what it does."""

_NOT_OF_RESPONSES = frozenset(
    {"frequency_penalty", "logit_bias", "presence_penalty", "seed", "stop", "top_k"}
)
"""Options of chat completions that the Responses API has not."""

_MODEL = (str, "The site's model, where this is the site by its name alone.")
_JSON_OBJECT = (bool, "An answer that is a JSON object; the prompt must ask for one.")


def options_of(settings: ProfileSettings, *, names_model: bool) -> type[llm.Options]:
    """Return the class of the options that a call to the site may have.

    `names_model`: whether the model is one of them, where the site lets the caller choose it.
    """
    return _options_class(settings.software, api_of(settings), names_model)


@cache  # a class takes its time, and there may be hundreds of models
def _options_class(software: str, api: Api, names_model: bool) -> type[llm.Options]:  # noqa: FBT001
    known = SOFTWARE[software].options
    described = {
        name: described
        for name, described in _OPTIONS.items()
        if name in known and not (api == "responses" and name in _NOT_OF_RESPONSES)
    }
    if takes_tools(api) and api != "anthropic":
        described["json_object"] = _JSON_OBJECT
    if names_model and api != "page":  # a page's site chooses its model itself
        described["model"] = _MODEL
    fields: dict[str, Any] = {
        name: (kind | None, Field(default=None, description=words))
        for name, (kind, words) in described.items()
    }
    return create_model("Options", __base__=llm.Options, **fields)


def site_options(api: Api, prompt: llm.Prompt) -> dict[str, Any]:
    """Return the options of the site's call: those of the prompt, its schema and its tools.

    Raises ModelError for a schema beside ``json_object``.
    """
    options: dict[str, Any] = {name: value for name, value in prompt.options if value is not None}
    if options.pop("json_object", False):
        options["response_format"] = {"type": "json_object"}
    if prompt.schema:
        if "response_format" in options:
            raise llm.ModelError("json_object and a schema cannot both be asked for")
        options["response_format"] = _format(api, prompt.schema)
    if tools := [_tool(each) for each in prompt.tools]:
        options["tools"] = tools
    return options


def _format(api: Api, schema: Any) -> dict[str, Any]:
    described = _closed(schema) if api == "anthropic" else schema
    return {"type": "json_schema", "json_schema": {"name": "output", "schema": described}}


def _closed(schema: Any) -> Any:
    """Return a schema whose objects have no other properties, unless it says more of that.

    Anthropic's API takes no other objects, and what makes schemas for `llm` leaves it unsaid.
    """
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed_at(name, each) for name, each in schema.items()}
    kinds = schema.get("type")
    is_object = "object" in kinds if isinstance(kinds, list) else kinds == "object"
    if not is_object or "properties" not in closed:
        return closed
    return {"additionalProperties": False, **closed}


def _closed_at(keyword: str, value: Any) -> Any:
    """Return what stands at a keyword of a schema, with its schemas closed."""
    if keyword in _VALUES:
        return value
    if keyword in _NAMED_SCHEMAS and isinstance(value, dict):
        return {name: _closed(each) for name, each in value.items()}
    return _closed(value)


_VALUES = frozenset({"const", "default", "enum", "examples"})
"""Keywords of JSON schemas at which values stand that may look like a schema."""

_NAMED_SCHEMAS = frozenset({"$defs", "definitions", "patternProperties", "properties"})
"""Keywords at which schemas stand by names that are no keywords."""


def _tool(tool: Any) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    function = {"name": tool.name, **described, "parameters": tool.input_schema}
    return {"type": "function", "function": function}


# -- attachments -----------------------------------------------------------------------------------

_IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
_PDF = frozenset({"application/pdf"})
_SOUNDS = frozenset({"audio/wav", "audio/mpeg"})
_GEMINIS_OWN = frozenset(
    {
        *("image/heic", "image/heif", "text/plain"),
        *("audio/aac", "audio/aiff", "audio/flac", "audio/ogg"),
        *("video/mp4", "video/mpeg", "video/quicktime", "video/webm"),
    }
)
_ATTACHMENTS: Mapping[Api, frozenset[str]] = {
    "page": frozenset(),
    "chat": _IMAGES | _PDF | _SOUNDS,
    "responses": _IMAGES | _PDF,
    "anthropic": _IMAGES | _PDF | {"text/plain"},
    "gemini": (_IMAGES - {"image/gif"}) | _PDF | _SOUNDS | _GEMINIS_OWN,
    "ollama": _IMAGES,
}


def attachment_types(api: Api) -> frozenset[str]:
    """Return the media types of the attachments that the API has a place for."""
    return _ATTACHMENTS[api]
