"""OpenAI's legacy completions: a request's schema, and the encoder of their answers.

The prompt is a user's message, since sites are asked by messages. Source: OpenAI's API reference,
"Create completion".
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from tailrace import CompletionEncoder, finish_reason_of
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

__all__ = ["CompletionRequest", "CompletionWire"]

_Number = float | int


class CompletionRequest(msgspec.Struct, kw_only=True):
    """A request's known fields, in their form."""

    model: str
    prompt: Any
    best_of: int | None = None
    echo: bool | None = None
    frequency_penalty: _Number | None = None
    logit_bias: dict[str, _Number] | None = None
    logprobs: Annotated[int, Meta(ge=0)] | None = None
    max_tokens: int | None = None
    n: int | None = None
    presence_penalty: _Number | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    suffix: str | None = None
    temperature: _Number | None = None
    top_k: int | None = None
    top_p: _Number | None = None
    user: str | None = None


_WHOLE_NUMBERS = ("best_of", "logprobs", "max_tokens", "n", "seed", "top_k")
_OPTIONS = (
    *("frequency_penalty", "logit_bias", "max_tokens", "presence_penalty", "seed", "temperature"),
    *("top_k", "top_p", "user"),
)
_ONE = {"echo": False, "suffix": ""}
"""Fields with the one value that a model asked by messages can do."""


class CompletionWire:
    """OpenAI's legacy completions."""

    id_prefix: ClassVar[str] = "cmpl-"

    def read(self, body: bytes) -> ModelRequest:
        """Read a request; raises RefusedError, which names the field that cannot be taken."""
        fields, request, extra = read_known(
            read_object(body), CompletionRequest, whole=_WHOLE_NUMBERS
        )
        _check(request)
        check_depth([extra])
        first, *others = _questions(request)
        return ModelRequest(
            model=request.model,
            messages=first,
            others=tuple(others),
            options=_options(request),
            extra={name: value for name, value in extra.items() if value is not None},
            extra_apis=("chat",),
            ignored=ignored_stream_options(fields),
            stops=checked_stops(request.stop),
            streams=bool(request.stream),
            include_usage=bool(request.stream_options and request.stream_options.include_usage),
            names={"messages": "prompt", "top_logprobs": "logprobs"},
        )

    def encoder(self, request: ModelRequest, identity: Identity) -> CompletionAnswer:
        """Make the encoder of one completion."""
        return CompletionAnswer(identity, include_usage=request.include_usage)


def _check(request: CompletionRequest) -> None:
    for name, only in _ONE.items():
        if getattr(request, name) not in (None, only):
            problem = f"{name} is not supported by this gateway, which asks sites by messages"
            raise refused(problem, name, "unsupported_parameter")
    answers = 1 if request.n is None else request.n
    if request.best_of not in (None, answers):
        problem = "best_of: no answer is better than another here; it can only be n"
        raise refused(problem, "best_of", "unsupported_parameter")
    if request.stream_options is not None and not request.stream:
        raise refused("stream_options is only allowed when stream is true", "stream_options")


def _questions(request: CompletionRequest) -> list[list[dict[str, Any]]]:
    """Return the messages of each answer: `n` of them for each prompt, in the prompts' order."""
    prompts = request.prompt if isinstance(request.prompt, list) else [request.prompt]
    if not prompts or not all(isinstance(each, str) for each in prompts):
        problem = "prompt: expected a text or several; this gateway takes no tokens"
        raise refused(problem, "prompt", "unsupported_value")
    answers = 1 if request.n is None else request.n
    streams = bool(request.stream)
    check_answers(answers, "n", streams=streams)
    check_answers(len(prompts) * answers, "prompt", streams=streams)
    return [[{"role": "user", "content": each}] for each in prompts for _ in range(answers)]


def _options(request: CompletionRequest) -> dict[str, Any]:
    values = {name: getattr(request, name) for name in _OPTIONS}
    if request.logprobs is not None:
        values |= {"logprobs": True, "top_logprobs": request.logprobs}
    return {name: value for name, value in values.items() if value is not None}


# -- the answer ------------------------------------------------------------------------------------


class Logprobs(msgspec.Struct, frozen=True):
    """The log probabilities of the answer's tokens, list by list; offsets are in characters."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class Choice(msgspec.Struct, frozen=True):
    """One answer, and why it ended; calls and reasoning stand there only where there are."""

    text: str
    logprobs: Logprobs | None
    finish_reason: str
    index: int = 0
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET
    tool_calls: list[WholeCall] | msgspec.UnsetType = msgspec.UNSET


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A reply that is not streamed; fields as those of a chat completion."""

    id: str
    object: str = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: UsageCounts
    usage_estimated: bool


class CompletionAnswer(ChunkedAnswer):
    """One completion: as chunks, or whole."""

    encoder = CompletionEncoder
    chunks: CompletionEncoder

    def start(self) -> bytes:
        """Return nothing: the wire has no event before the first text."""
        return b""

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
        calls = whole_calls(deltas, self.answer_id(number), ending.reason)
        return Choice(
            joined(deltas, "text") + joined(deltas, "refusal"),
            _logprobs(deltas),
            finish_reason_of(ending.reason, calls=bool(calls)),
            number,
            reasoning_content=joined(deltas, "reasoning") or msgspec.UNSET,
            tool_calls=calls or msgspec.UNSET,
        )


def _logprobs(deltas: list[Delta]) -> Logprobs | None:
    """Return the log probabilities in the form that the wire has for them."""
    told = told_logprobs(deltas)
    tokens = [*told.get("content", ()), *told.get("refusal", ())]
    if not tokens:
        return None
    texts = [token["token"] for token in tokens]
    return Logprobs(
        texts,
        [token["logprob"] for token in tokens],
        [{each["token"]: each["logprob"] for each in token["top_logprobs"]} for token in tokens],
        [0, *accumulate(len(text) for text in texts[:-1])],
    )
