"""Legacy completions: a prompt that is continued, or several, each with a choice of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tailrace.replica._answers import HistoryTurn
from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._site import well_formed
from tailrace.replica._sites.models.logprobs import likeliest, logprob
from tailrace.replica._sites.models.openai.chat_replies import DONE, finish_reason, usage
from tailrace.replica._sites.models.openai.chat_requests import (
    CHAT_MODELS,
    MAX_TOKENS,
    read_stops,
)
from tailrace.replica._sites.models.openai.errors import (
    error,
    error_object,
    known_model,
    read_count,
    read_flag,
    refused,
)
from tailrace.replica._sites.models.requests import ModelRequest
from tailrace.replica._sites.models.site import FAILURE_MESSAGE, as_json, as_stream, data_line
from tailrace.replica._sites.outcomes import CHUNKS_BEFORE_FAILURE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tailrace.replica._sites.models.behaviors import ModelBehavior
    from tailrace.replica._sites.models.replies import ModelReply

COMPLETION_MODELS = ("gpt-3.5-turbo-instruct", *CHAT_MODELS)
DEFAULT_TOKENS = 16
"""The most tokens of a completion whose request names no limit."""

MAX_LOGPROBS = 5


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A request for completions, one of `meant` for each of its prompts.

    `echo`: whether the prompt stands in front; `logprobs`: as in `ChatRequest`.
    """

    meant: tuple[ModelRequest, ...]
    echo: bool
    include_usage: bool
    logprobs: int | None

    @property
    def streams(self) -> bool:
        """Whether the response is a stream."""
        return self.meant[0].streams


def read_request(body: Mapping[str, Any]) -> CompletionRequest:
    """Read the request for completions."""
    model = known_model(body.get("model"), COMPLETION_MODELS)
    streams = read_flag(body, "stream")
    for name in ("n", "best_of"):
        if body.get(name) not in (None, 1):
            raise refused("This server gives one answer to a prompt.", name)
    if body.get("suffix") is not None:
        raise refused("This model does not support the suffix parameter.", "suffix")
    limit = read_count(body, "max_tokens", 1, MAX_TOKENS) or DEFAULT_TOKENS
    options = body.get("stream_options")
    if options is not None and not (streams and isinstance(options, dict)):
        raise refused("`stream_options` is an object, and for streams only.", "stream_options")
    meant = tuple(
        ModelRequest(
            model=model,
            turns=(HistoryTurn("user", prompt),),
            question=prompt,
            streams=streams,
            limit=limit,
            stops=read_stops(body),
        )
        for prompt in read_texts(body.get("prompt"), "prompt")
    )
    return CompletionRequest(
        meant,
        read_flag(body, "echo"),
        bool(options and options.get("include_usage")),
        read_count(body, "logprobs", 0, MAX_LOGPROBS),
    )


def read_texts(value: Any, name: str) -> tuple[str, ...]:
    """Read one text or a list of them; a list of tokens' numbers is one, too."""
    match value:
        case str(text):
            return (well_formed(text),)
        case [*items] if items and all(isinstance(item, str) for item in items):
            return tuple(well_formed(str(item)) for item in items)
        case [*items] if items and all(type(item) is int for item in items):
            return (_of_numbers(items),)
        case [*lists] if lists and all(_is_numbers(each) for each in lists):
            return tuple(_of_numbers(each) for each in lists)
    raise refused(f"`{name}` is text, or a list of at least one text, or tokens.", name)


def _is_numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is int for each in value)


def _of_numbers(numbers: Sequence[object]) -> str:
    return " ".join(map(str, numbers))


def as_completions(
    request: CompletionRequest, replies: Sequence[ModelReply], behavior: ModelBehavior
) -> SiteResponse:
    """Return the response to a request for completions; `replies`: one for each prompt."""
    head = {
        "id": replies[0].identifier("cmpl-", 29),
        "object": "text_completion",
        "created": int(replies[0].created),
        "model": request.meant[0].model,
        "system_fingerprint": "fp_replica",
    }
    if request.streams:
        return _stream(request, replies, behavior, head)
    if behavior.end == "stall":
        return NO_RESPONSE
    if not behavior.is_whole:
        return error(500, FAILURE_MESSAGE, type_="server_error")
    choices = [
        _choice(number, request, _shown(request, reply), finish_reason(reply))
        for number, reply in enumerate(replies)
    ]
    return as_json(200, {**head, "choices": choices, "usage": _usage(replies)})


def _stream(
    request: CompletionRequest,
    replies: Sequence[ModelReply],
    behavior: ModelBehavior,
    head: Mapping[str, object],
) -> SiteResponse:
    events = [data_line({**head, "choices": [choice]}) for choice in _choices(request, replies)]
    begun = events[:CHUNKS_BEFORE_FAILURE]
    match behavior.end:
        case "midfail":
            failed = data_line(error_object(FAILURE_MESSAGE, type_="server_error"))
            return as_stream([*begun, failed])
        case "cut":
            return as_stream([*begun, events[-1][: len(events[-1]) // 2]])
        case "stall":
            return as_stream(begun, "stall")
    if behavior.keep_alives:
        events = [b": still thinking\n\n" + event for event in events]
    if request.include_usage:
        events.append(data_line({**head, "choices": [], "usage": _usage(replies)}))
    return as_stream([*events, DONE] if behavior.end == "done" else events)


def _choices(
    request: CompletionRequest, replies: Sequence[ModelReply]
) -> Iterator[dict[str, object]]:
    for number, reply in enumerate(replies):
        for token in _shown(request, reply):
            yield _choice(number, request, [token], None)
        yield _choice(number, request, [], finish_reason(reply))


def _shown(request: CompletionRequest, reply: ModelReply) -> list[str]:
    return [*([reply.request.question] if request.echo else []), *reply.text, *reply.refusal]


def _choice(
    number: int, request: CompletionRequest, tokens: Sequence[str], reason: str | None
) -> dict[str, object]:
    return {
        "text": "".join(tokens),
        "index": number,
        "logprobs": None if request.logprobs is None else _logprobs(tokens, request.logprobs),
        "finish_reason": reason,
    }


def _logprobs(tokens: Sequence[str], top: int) -> dict[str, object]:
    offsets = [len("".join(tokens[:number])) for number in range(len(tokens))]
    return {
        "tokens": list(tokens),
        "token_logprobs": [logprob(token) for token in tokens],
        "top_logprobs": [dict(likeliest(token, top)) for token in tokens],
        "text_offset": offsets,
    }


def _usage(replies: Sequence[ModelReply]) -> dict[str, int]:
    counts = [usage(reply) for reply in replies]
    return {
        name: sum(count[name] for count in counts)  # type: ignore[misc]  # of these names: numbers
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
