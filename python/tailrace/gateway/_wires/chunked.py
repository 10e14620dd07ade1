"""What OpenAI's chat completions and legacy completions share: chunks, counts, calls."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from tailrace import Usage, finish_reason_of
from tailrace.gateway._wires.request import refused, surplus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tailrace import ChunkEncoder, CompletionEncoder, Delta
    from tailrace.gateway._problems import Problem
    from tailrace.gateway._wires.wire import Ending, Identity, WholeAnswer

__all__ = [
    "LONGEST_STOP",
    "ChunkedAnswer",
    "StreamOptions",
    "UsageCounts",
    "WholeCall",
    "checked_stops",
    "ignored_stream_options",
    "joined",
    "told_logprobs",
    "total_usage",
    "whole_calls",
]

MOST_STOPS = 4
LONGEST_STOP = 256  # characters; OpenAI names no limit, but the text held back needs one


class StreamOptions(msgspec.Struct, frozen=True):
    """Options of a stream; `include_obfuscation` is ignored, since no padding is added."""

    include_usage: bool | None = None


def ignored_stream_options(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the options of a stream that the gateway does not know: they have no effect."""
    return surplus("stream_options", fields.get("stream_options"), _STREAM_OPTIONS)


_STREAM_OPTIONS = frozenset({"include_usage", "include_obfuscation"})


def checked_stops(stop: str | list[str] | None) -> tuple[str, ...]:
    """Return the stop sequences that are not empty; RefusedError for too many or too long ones."""
    stops = [stop] if isinstance(stop, str) else stop or []
    if len(stops) > MOST_STOPS:
        raise refused(f"stop: expected at most {MOST_STOPS} sequences, got {len(stops)}", "stop")
    if any(len(each) > LONGEST_STOP for each in stops):
        raise refused(f"stop: expected at most {LONGEST_STOP} characters", "stop", "invalid_type")
    return tuple(each for each in stops if each)


class ChunkedAnswer(ABC):
    """One completion on its way; a subclass knows how a whole one looks."""

    failure: ClassVar[None] = None
    encoder: ClassVar[type[ChunkEncoder | CompletionEncoder]]

    def __init__(self, identity: Identity, *, include_usage: bool) -> None:
        self.identity = identity
        self._include_usage = include_usage
        self.chunks: ChunkEncoder | CompletionEncoder = self.encoder(
            id=identity.id,
            created=identity.created,
            model=identity.model,
            system_fingerprint=identity.fingerprint,
            include_usage=include_usage,
        )
        self.keep_alive = self.chunks.keep_alive
        self.events = self.chunks.events
        self.relay = self.chunks.relay

    def whole(self, deltas: list[Delta], ending: Ending) -> bytes:
        """Return the whole completion of one answer."""
        return self.several([(deltas, ending)])

    @abstractmethod
    def several(self, answers: Sequence[WholeAnswer]) -> bytes:
        """Return the whole completion, with a choice for each of its answers."""

    def answer_id(self, number: int) -> str:
        """Return the id of one of the answers, of which the ids of its calls are made."""
        return f"{self.identity.id}-{number}" if number else self.identity.id

    def finish(self, ending: Ending) -> bytes:
        """Return the finish reason's chunk, that of the usage where it is wanted, and [DONE]."""
        events = self.chunks.finish(ending.reason)
        if self._include_usage:
            events += self._usage(ending)
        return events + self.chunks.done()

    def _usage(self, ending: Ending) -> bytes:
        usage = ending.usage
        return self.chunks.usage(
            usage.prompt_tokens,
            usage.completion_tokens,
            total=usage.total_tokens,
            cached=usage.cached_tokens,
            reasoning=usage.reasoning_tokens,
            estimated=ending.estimated,
        )

    def error(self, problem: Problem) -> bytes:
        """Return the event of OpenAI's error object."""
        return self.chunks.error(
            problem.message, kind=problem.kind, param=problem.param, code=problem.code
        )


# -- whole bodies ----------------------------------------------------------------------------------


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
        """Return counts under OpenAI's names."""
        cached, reasoning = usage.cached_tokens, usage.reasoning_tokens
        return cls(
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.total_tokens,
            None if cached is None else PromptDetails(cached),
            None if reasoning is None else CompletionDetails(reasoning),
        )


class FunctionCalled(msgspec.Struct, frozen=True):
    """The function that a call names, and its arguments as JSON."""

    name: str
    arguments: str


class WholeCall(msgspec.Struct, frozen=True):
    """One call of a tool."""

    id: str
    function: FunctionCalled
    type: str = "function"


def total_usage(answers: Sequence[WholeAnswer]) -> Usage:
    """Add up the token counts of answers: the prompt counts for each, as a site reads it for each.

    Counts by kind are those of the answers whose site tells them.
    """
    usages = [ending.usage for _, ending in answers]
    return Usage(
        sum(each.prompt_tokens for each in usages),
        sum(each.completion_tokens for each in usages),
        sum(each.total_tokens for each in usages),
        cached_tokens=_sum(each.cached_tokens for each in usages),
        reasoning_tokens=_sum(each.reasoning_tokens for each in usages),
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    told = [each for each in counts if each is not None]
    return sum(told) if told else None


def joined(deltas: list[Delta], kind: str) -> str:
    """Return the text of the deltas of this kind."""
    return "".join(delta.text for delta in deltas if delta.kind == kind)


def whole_calls(deltas: list[Delta], answer_id: str, reason: str | None) -> list[WholeCall]:
    """Put the calls together, in the order in which they began.

    As in a stream, a call without an id, or with that of an earlier call, gets one made of the
    answer's and its number, and one without arguments `{}`, unless the answer was cut, as its
    finish `reason` tells.
    """
    pieces: dict[int | None, list[Delta]] = {}
    for delta in deltas:
        if delta.kind == "tool_call":
            pieces.setdefault(delta.index, []).append(delta)
    own = re.split("[-_]", answer_id, maxsplit=1)[-1]
    is_cut = finish_reason_of(reason, calls=True) != "tool_calls"

    taken: set[str] = set()

    def id_of(number: int, of_call: list[Delta]) -> str:
        given = next((each.id for each in of_call if each.id is not None), None)
        if given is None or given in taken:
            return f"call_{own}_{number}"
        taken.add(given)
        return given

    def arguments(of_call: list[Delta]) -> str:
        text = "".join(each.text for each in of_call)
        return text if is_cut or text.strip() else "{}"

    return [
        WholeCall(
            id_of(number, of_call),
            FunctionCalled(
                next((each.name for each in of_call if each.name is not None), ""),
                arguments(of_call),
            ),
        )
        for number, of_call in enumerate(pieces.values())
    ]


def told_logprobs(deltas: list[Delta]) -> dict[str, list[Any]]:
    """Return the log probabilities of an answer's tokens, by OpenAI's names of their lists."""
    told: dict[str, list[Any]] = {}
    for delta in deltas:
        if delta.logprobs is not None:
            for name, tokens in msgspec.json.decode(delta.logprobs).items():
                if tokens:
                    told.setdefault(name, []).extend(tokens)
    return told
