"""OpenAI's chat completions: a request's schema, and the encoder of their answers.

`FIELDS` has a row for each field that the gateway knows, with its treatment; ``docs/openai-api.md``
shows the same table. A field without a row goes to servers of OpenAI's API as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from tailrace import ChunkEncoder, finish_reason_of
from tailrace.gateway._wires.chunked import (
    ChunkedAnswer,
    StreamOptions,
    UsageCounts,
    WholeCall,
    checked_stops,
    ignored_stream_options,
    joined,
    told_logprobs,
    total_usage,
    whole_calls,
)
from tailrace.gateway._wires.request import (
    ModelRequest,
    check_answers,
    check_depth,
    read_known,
    read_object,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailrace import Delta
    from tailrace.gateway._wires.wire import Ending, Identity, WholeAnswer

__all__ = ["FIELDS", "ChatRequest", "ChatWire", "Field"]

Treatment = Literal[
    "honoured", "passed on", "passed on or refused", "passed on or ignored", "refused"
]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request, and its `treatment`.

    ``honoured``: by the gateway, at every site. ``passed on``: to every site that has it; without
    effect at a chat page, and refused by another API. ``passed on or refused``: refused at every
    site that does not have it, where leaving the field out would make the answer useless. ``passed
    on or ignored``: without effect on an answer's text, and left out where a site has no place for
    it. ``refused``: with status 400, everywhere. `harmless` values of refused fields ask for
    nothing, and are never refused.
    """

    name: str
    treatment: Treatment
    note: str = ""
    harmless: tuple[object, ...] = ()


FIELDS: tuple[Field, ...] = (
    Field("model", "honoured", "an id of `/v1/models`"),
    Field("messages", "honoured", "text at a page; images, tools' calls and results at an API"),
    Field("stream", "honoured"),
    Field("stream_options", "honoured", "`include_usage`"),
    Field("stop", "honoured", "up to 4 sequences, by the gateway itself"),
    Field("n", "honoured", "up to 16 whole answers, or one that is streamed"),
    Field("frequency_penalty", "passed on"),
    Field("max_completion_tokens", "passed on"),
    Field("max_tokens", "passed on"),
    Field("presence_penalty", "passed on"),
    Field("reasoning_effort", "passed on"),
    Field("seed", "passed on"),
    Field("temperature", "passed on"),
    Field("top_k", "passed on", "which OpenAI's own API has not"),
    Field("top_p", "passed on"),
    Field("logit_bias", "passed on or refused"),
    Field("logprobs", "passed on or refused"),
    Field("top_logprobs", "passed on or refused"),
    Field("response_format", "passed on or refused", "`text` everywhere"),
    Field("tools", "passed on or refused"),
    Field("tool_choice", "passed on or refused", "`none` everywhere"),
    Field("parallel_tool_calls", "passed on or refused"),
    Field("metadata", "passed on or ignored"),
    Field("prediction", "passed on or ignored"),
    Field("prompt_cache_key", "passed on or ignored"),
    Field("prompt_cache_options", "passed on or ignored"),
    Field("prompt_cache_retention", "passed on or ignored"),
    Field("safety_identifier", "passed on or ignored"),
    Field("service_tier", "passed on or ignored"),
    Field("store", "passed on or ignored", "the gateway itself keeps nothing"),
    Field("user", "passed on or ignored"),
    Field("verbosity", "passed on or ignored"),
    Field("audio", "refused"),
    Field("function_call", "refused", harmless=("none", "auto")),
    Field("functions", "refused", harmless=([],)),
    Field("modalities", "refused", "`text` alone is taken", harmless=([], ["text"])),
    Field("moderation", "refused"),
    Field("web_search_options", "refused"),
)

_Number = float | int
_Roles = Literal["system", "developer", "user", "assistant", "tool", "function"]


class RequestMessage(msgspec.Struct, kw_only=True):
    """The fields of a message that have a form; what else it holds is a site's to judge."""

    role: _Roles
    content: str | list[str | dict[str, Any]] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, Any] | None = None


class ChatRequest(msgspec.Struct, kw_only=True):
    """A request's known fields, in their form."""

    model: str
    messages: Annotated[list[RequestMessage], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    frequency_penalty: _Number | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    presence_penalty: _Number | None = None
    reasoning_effort: str | None = None
    seed: int | None = None
    temperature: _Number | None = None
    top_k: int | None = None
    top_p: _Number | None = None
    logit_bias: dict[str, _Number] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    tool_choice: str | dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    metadata: Any = None
    prediction: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    store: Any = None
    user: str | None = None
    verbosity: Any = None
    audio: Any = None
    function_call: Any = None
    functions: Any = None
    modalities: Any = None
    moderation: Any = None
    web_search_options: Any = None


_WHOLE_NUMBERS = ("max_completion_tokens", "max_tokens", "n", "seed", "top_k", "top_logprobs")
_OPTIONS = {
    *(each.name for each in FIELDS if each.treatment in ("passed on", "passed on or refused")),
    "user",
}
_HINTS = {each.name for each in FIELDS if each.treatment == "passed on or ignored"} - _OPTIONS
_REFUSED = tuple(each for each in FIELDS if each.treatment == "refused")


class ChatWire:
    """OpenAI's chat completions."""

    id_prefix: ClassVar[str] = "chatcmpl-"

    def read(self, body: bytes) -> ModelRequest:
        """Read a request.

        Raises RefusedError, which names the field that is malformed or is never passed on.
        """
        fields, request, extra = read_known(
            read_object(body), ChatRequest, whole=_WHOLE_NUMBERS, counted="messages"
        )
        _check(request)
        options = _given(request, [name for name in fields if name in _OPTIONS])
        hints = _given(request, [name for name in fields if name in _HINTS])
        check_depth([fields["messages"], options, hints, extra])
        return ModelRequest(
            model=request.model,
            messages=fields["messages"],
            options=options,
            hints=hints,
            extra={name: value for name, value in extra.items() if value is not None},
            extra_apis=("chat", "responses"),
            ignored=ignored_stream_options(fields),
            stops=checked_stops(request.stop),
            streams=bool(request.stream),
            include_usage=bool(request.stream_options and request.stream_options.include_usage),
            body=body,
            others=(fields["messages"],) * ((request.n or 1) - 1),
        )

    def encoder(self, request: ModelRequest, identity: Identity) -> ChatAnswer:
        """Make the encoder of one completion."""
        return ChatAnswer(identity, include_usage=request.include_usage)


def _check(request: ChatRequest) -> None:
    check_answers(1 if request.n is None else request.n, "n", streams=bool(request.stream))
    if request.stream_options is not None and not request.stream:
        raise refused("stream_options is only allowed when stream is true", "stream_options")
    for field in _REFUSED:
        if getattr(request, field.name) is not None and _asks(request, field):
            note = f": {field.note}" if field.note else ""
            problem = f"{field.name} is not supported by this gateway{note}"
            raise refused(problem, field.name, "unsupported_parameter")


def _asks(request: ChatRequest, field: Field) -> bool:
    """Tell whether the request sets this field to a value that has an effect."""
    value = getattr(request, field.name)
    return not any(value == each and type(value) is type(each) for each in field.harmless)


def _given(request: ChatRequest, names: list[str]) -> dict[str, Any]:
    """Return those fields that have a value; no tools are none."""
    values = {name: getattr(request, name) for name in names}
    return {
        name: value
        for name, value in values.items()
        if value is not None and (name, value) != ("tools", [])
    }


# -- the answer ------------------------------------------------------------------------------------


class AssistantMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The message that holds the answer; calls and reasoning stand there only where there are."""

    role: str = "assistant"
    content: str | None
    refusal: str | None = None
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET
    tool_calls: list[WholeCall] | msgspec.UnsetType = msgspec.UNSET


class Logprobs(msgspec.Struct, frozen=True):
    """The log probabilities of the answer's tokens."""

    content: list[Any] | None
    refusal: list[Any] | None


class Choice(msgspec.Struct, frozen=True):
    """One answer, and why it ended."""

    message: AssistantMessage
    finish_reason: str
    index: int = 0
    logprobs: Logprobs | None = None


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


class ChatAnswer(ChunkedAnswer):
    """One completion: as chunks, or whole."""

    encoder = ChunkEncoder
    chunks: ChunkEncoder

    def start(self) -> bytes:
        """Return the role's chunk."""
        return self.chunks.role()

    def several(self, answers: Sequence[WholeAnswer]) -> bytes:
        """Return the whole completion, with a choice for each of its answers."""
        identity = self.identity
        completion = Completion(
            id=identity.id,
            created=identity.created,
            model=identity.model,
            system_fingerprint=identity.fingerprint,
            choices=[self._choice(number, *each) for number, each in enumerate(answers)],
            usage=UsageCounts.of(total_usage(answers)),
            usage_estimated=any(ending.estimated for _, ending in answers),
        )
        return msgspec.json.encode(completion)

    def _choice(self, number: int, deltas: list[Delta], ending: Ending) -> Choice:
        message = _message(deltas, self.answer_id(number), ending.reason)
        reason = finish_reason_of(ending.reason, calls=message.tool_calls is not msgspec.UNSET)
        return Choice(message, reason, number, _logprobs(deltas))


def _message(deltas: list[Delta], answer_id: str, reason: str | None) -> AssistantMessage:
    text, refusal = joined(deltas, "text"), joined(deltas, "refusal")
    calls = whole_calls(deltas, answer_id, reason)
    return AssistantMessage(
        content=text or (None if calls or refusal else ""),
        refusal=refusal or None,
        reasoning_content=joined(deltas, "reasoning") or msgspec.UNSET,
        tool_calls=calls or msgspec.UNSET,
    )


def _logprobs(deltas: list[Delta]) -> Logprobs | None:
    told = told_logprobs(deltas)
    return Logprobs(told.get("content"), told.get("refusal")) if told else None
