"""The schema of OpenAI's chat completions, as this gateway speaks them: requests and replies.

`FIELDS` has a row for each field of OpenAI's request, with its treatment; ``docs/openai-api.md``
shows the same table. A field without a row is refused by name, as OpenAI refuses it, so that no
other option of a provider (a URL, say) can be set by a client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tailrace.gateway._problems import Problem, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace import Usage
    from tailrace._messages import Messages
    from tailrace.gateway._models import Model

__all__ = [
    "FIELDS",
    "AssistantMessage",
    "ChatRequest",
    "Choice",
    "Completion",
    "Field",
    "ModelCard",
    "ModelList",
    "RequestMessage",
    "StreamOptions",
    "UsageCounts",
    "messages_for",
    "parameters_for",
    "read_request",
]

Treatment = Literal["honoured", "passed on", "passed on or refused", "ignored", "refused"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request, and its `treatment`.

    ``honoured``: by the gateway, at every site. ``passed on``: to a site of the software `openai`;
    without effect at any other. ``passed on or refused``: refused at any other, where leaving the
    field out would make the answer useless. ``ignored``: without effect on an answer's text.
    ``refused``: with status 400. `harmless` values have no effect, and are never refused.
    """

    name: str
    treatment: Treatment
    note: str = ""
    harmless: tuple[object, ...] = ()


FIELDS: tuple[Field, ...] = (
    Field("model", "honoured", "an id of `/v1/models`"),
    Field(
        "messages",
        "honoured",
        "text; images and tools' results at a site of the software `openai` only",
    ),
    Field("stream", "honoured"),
    Field("stream_options", "honoured", "`include_usage`"),
    Field("stop", "honoured", "up to 4 sequences, by the gateway itself"),
    Field("n", "honoured", "1 only"),
    Field("frequency_penalty", "passed on"),
    Field("max_completion_tokens", "passed on"),
    Field("max_tokens", "passed on"),
    Field("presence_penalty", "passed on"),
    Field("reasoning_effort", "passed on"),
    Field("seed", "passed on"),
    Field("temperature", "passed on"),
    Field("top_p", "passed on"),
    Field("user", "passed on"),
    Field("logit_bias", "passed on or refused", harmless=({},)),
    Field(
        "response_format", "passed on or refused", "`text` everywhere", harmless=({"type": "text"},)
    ),
    Field("metadata", "ignored"),
    Field("parallel_tool_calls", "ignored"),
    Field("prediction", "ignored"),
    Field("prompt_cache_key", "ignored"),
    Field("prompt_cache_options", "ignored"),
    Field("prompt_cache_retention", "ignored"),
    Field("safety_identifier", "ignored"),
    Field("service_tier", "ignored"),
    Field("store", "ignored", "nothing is kept"),
    Field("verbosity", "ignored"),
    Field("audio", "refused"),
    Field("function_call", "refused", harmless=("none", "auto")),
    Field("functions", "refused", harmless=([],)),
    Field("logprobs", "refused", harmless=(False,)),
    Field("modalities", "refused", "`text` alone is taken", harmless=([], ["text"])),
    Field("moderation", "refused"),
    Field("tool_choice", "refused", harmless=("none", "auto")),
    Field("tools", "refused", harmless=([],)),
    Field("top_logprobs", "refused", harmless=(0,)),
    Field("web_search_options", "refused"),
)

MOST_STOPS = 4
LONGEST_STOP = 256  # characters; OpenAI names no limit, but the text held back needs one
MOST_NESTED = 200  # containers within one another, as many as a reply may have

_Number = float | int
_Stop = Annotated[str, Meta(min_length=1, max_length=LONGEST_STOP)]
_Roles = Literal["system", "developer", "user", "assistant", "tool", "function"]


class StreamOptions(msgspec.Struct, frozen=True):
    """Options of a stream; `include_obfuscation` is ignored, since no padding is added."""

    include_usage: bool | None = None


class RequestMessage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One message of a request; other fields that a client keeps in it are not read."""

    role: _Roles
    content: str | list[str | dict[str, Any]] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, Any] | None = None


class ChatRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A request of the right shape, from which `messages_for` and `parameters_for` read."""

    model: str
    messages: Annotated[list[RequestMessage], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[_Stop] | None = None
    n: int | None = None
    frequency_penalty: _Number | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    presence_penalty: _Number | None = None
    reasoning_effort: str | None = None
    seed: int | None = None
    temperature: _Number | None = None
    top_p: _Number | None = None
    user: str | None = None
    logit_bias: dict[str, _Number] | None = None
    response_format: dict[str, Any] | None = None
    metadata: Any = None
    parallel_tool_calls: Any = None
    prediction: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    store: Any = None
    verbosity: Any = None
    audio: Any = None
    function_call: Any = None
    functions: Any = None
    logprobs: Any = None
    modalities: Any = None
    moderation: Any = None
    tool_choice: Any = None
    tools: Any = None
    top_logprobs: Any = None
    web_search_options: Any = None

    @property
    def stops(self) -> list[str]:
        """The stop sequences, none of them empty."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def include_usage(self) -> bool:
        """Whether a stream is to end with a usage chunk."""
        return bool(self.stream_options and self.stream_options.include_usage)


_decode = msgspec.json.Decoder(ChatRequest).decode


def read_request(body: bytes) -> ChatRequest:
    """Read the request in a body.

    Raises RefusedError, which names the field that is malformed or is never passed on.
    """
    try:
        request = _decode(body)
    except msgspec.ValidationError as error:
        raise RefusedError(_explained(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RefusedError(Problem(400, "the body is not JSON that can be read")) from None
    _check_counts(request)
    _check_depth(request)
    for field in FIELDS:
        if field.treatment == "refused" and _asks(request, field):
            note = f": {field.note}" if field.note else ""
            raise _refused(
                f"{field.name} is not supported by this gateway{note}",
                field.name,
                "unsupported_parameter",
            )
    return request


def _refused(message: str, param: str | None, code: str | None = None) -> RefusedError:
    return RefusedError(Problem(400, message, param=param, code=code))


def _explained(message: str) -> Problem:
    """Turn a message of msgspec into OpenAI's error: the parameter, and the expected value."""
    problem, _, path = message.replace("`", "").replace(" | null", "").partition(" - at $")
    if problem.startswith(_UNKNOWN_FIELD):
        name = problem.removeprefix(_UNKNOWN_FIELD)[:80]
        return Problem(400, f"unknown parameter: {name!r}", param=name, code="unknown_parameter")
    param = path.removeprefix(".")
    if problem.startswith(_MISSING_FIELD):
        missing = problem.removeprefix(_MISSING_FIELD)
        param = f"{param}.{missing}" if param else missing
        message = f"you must provide {param}"
        return Problem(400, message, param=param, code="missing_required_parameter")
    message = f"{param or 'the body'}: {problem[:1].lower()}{problem[1:]}"
    return Problem(400, message, param=param or None, code="invalid_type")


_UNKNOWN_FIELD = "Object contains unknown field "
_MISSING_FIELD = "Object missing required field "


def _check_counts(request: ChatRequest) -> None:
    if request.n not in (None, 1):
        raise _refused(
            "n must be 1: this gateway gives one answer to a request", "n", "unsupported_value"
        )
    if request.stream_options is not None and not request.stream:
        raise _refused("stream_options is only allowed when stream is true", "stream_options")
    if isinstance(request.stop, str) and not 1 <= len(request.stop) <= LONGEST_STOP:
        raise _refused(f"stop: expected a text of 1 to {LONGEST_STOP} characters", "stop")
    if isinstance(request.stop, list) and len(request.stop) > MOST_STOPS:
        raise _refused(
            f"stop: expected at most {MOST_STOPS} sequences, got {len(request.stop)}", "stop"
        )


def _check_depth(request: ChatRequest) -> None:
    """Check what is passed on as it came: Python writes no JSON that is nested without end."""
    level: list[Any] = [request.response_format]
    for message in request.messages:
        level += (message.content, message.tool_calls, message.function_call)
    for _ in range(MOST_NESTED):
        containers = [each for each in level if isinstance(each, dict | list)]
        if not containers:
            return
        level = [
            inner
            for each in containers
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    raise _refused(f"the body is nested more than {MOST_NESTED} deep", None)


def _asks(request: ChatRequest, field: Field) -> bool:
    """Tell whether the request sets this field to a value that has an effect."""
    value = getattr(request, field.name)
    return value is not None and not any(
        value == each and type(value) is type(each) for each in field.harmless
    )


# -- the request to a site -------------------------------------------------------------------------


def parameters_for(request: ChatRequest, model: Model) -> Mapping[str, Any]:
    """Choose the fields that are passed on to the model's site.

    Raises RefusedError for a field that the site does not take and that must not be left out.
    """
    passed_on = {
        field.name: getattr(request, field.name)
        for field in FIELDS
        if field.treatment.startswith("passed on") and getattr(request, field.name) is not None
    }
    if model.speaks_openai:
        return passed_on
    for field in FIELDS:
        if field.treatment == "passed on or refused" and _asks(request, field):
            problem = f"{field.name} is not supported by the site {model.site}"
            raise _refused(problem, field.name, "unsupported_parameter")
    return {}


def messages_for(request: ChatRequest, model: Model) -> Messages:
    """Convert the messages for the model's site.

    Raises RefusedError, which names the first message that the site cannot take.
    """
    for number, message in enumerate(request.messages):
        _check_message(message, f"messages[{number}]", model)
    if model.speaks_openai:
        return [{"content": None, **msgspec.to_builtins(message)} for message in request.messages]
    return [{"role": message.role, "content": _text(message)} for message in request.messages]


def _check_message(message: RequestMessage, path: str, model: Model) -> None:
    empty = message.content is None and not message.tool_calls and not message.function_call
    if empty and message.role != "assistant":
        raise _wrong_type(f"{path}.content", "text or a list of parts")
    for number, part in enumerate(message.content if isinstance(message.content, list) else ()):
        _check_part(part, f"{path}.content[{number}]", model)
    if model.speaks_openai:
        return
    if message.role in ("tool", "function"):
        problem = f"{path}.role: {model.site} takes no results of tools"
        raise _refused(problem, f"{path}.role", "unsupported_value")
    for name in ("tool_calls", "function_call"):
        if getattr(message, name):
            problem = f"{path}.{name}: {model.site} knows no tools"
            raise _refused(problem, f"{path}.{name}", "unsupported_value")


def _check_part(part: str | dict[str, Any], path: str, model: Model) -> None:
    if isinstance(part, str):
        return
    kind = part.get("type")
    if not isinstance(kind, str):
        raise _wrong_type(f"{path}.type", "text")
    if kind in _TEXT_PARTS:
        if not isinstance(part.get(_TEXT_PARTS[kind]), str):
            raise _wrong_type(f"{path}.{_TEXT_PARTS[kind]}", "text")
    elif not model.speaks_openai:
        problem = f"{path}: {model.site} takes text only, not {kind[:80]}"
        raise _refused(problem, f"{path}.type", "unsupported_value")


def _wrong_type(path: str, expected: str) -> RefusedError:
    return _refused(f"{path}: expected {expected}", path, "invalid_type")


_TEXT_PARTS = {"text": "text", "refusal": "refusal"}


def _text(message: RequestMessage) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "".join(
        part if isinstance(part, str) else part[_TEXT_PARTS[part["type"]]]
        for part in message.content
    )


# -- the reply to a client -------------------------------------------------------------------------


class PromptDetails(msgspec.Struct, frozen=True):
    """Tokens of a prompt, by kind."""

    cached_tokens: int


class CompletionDetails(msgspec.Struct, frozen=True):
    """Tokens of an answer, by kind."""

    reasoning_tokens: int


class UsageCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Token counts: the site's own, or estimated ones; by kind where the site tells it."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None

    @classmethod
    def of(cls, usage: Usage) -> UsageCounts:
        """Return the counts that a site gave, under OpenAI's names."""
        cached, reasoning = usage.cached_tokens, usage.reasoning_tokens
        return cls(
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.total_tokens,
            None if cached is None else PromptDetails(cached),
            None if reasoning is None else CompletionDetails(reasoning),
        )


class AssistantMessage(msgspec.Struct, frozen=True):
    """The message that holds the answer."""

    content: str
    role: str = "assistant"
    refusal: None = None


class Choice(msgspec.Struct, frozen=True):
    """The one answer, and why it ended."""

    message: AssistantMessage
    finish_reason: str
    index: int = 0
    logprobs: None = None


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A reply that is not streamed.

    `created`: seconds since 1970; `usage_estimated`: the counts are an estimate.
    """

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: UsageCounts
    usage_estimated: bool


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
