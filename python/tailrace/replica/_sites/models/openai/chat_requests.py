"""Requests for chat completions, read as OpenAI's servers read them.

Parameters that this server does not know have no effect, as in most compatible servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tailrace.replica._answers import HistoryTurn
from tailrace.replica._site import well_formed
from tailrace.replica._sites.models.openai import parts
from tailrace.replica._sites.models.openai.errors import (
    known_model,
    read_count,
    read_flag,
    refused,
)
from tailrace.replica._sites.models.openai.tools import read_choice, read_format, read_tools
from tailrace.replica._sites.models.requests import ModelRequest, ToolResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tailrace.replica._sites.models.requests import Attachment

CHAT_MODELS = ("gpt-4o-mini", "gpt-4o")
MAX_TOKENS = 2**31
MAX_TOP_LOGPROBS = 20
MAX_STOPS = 4


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request for a chat completion, and what it says of the form of the response.

    `top_logprobs`: the number of alternatives to each token, None where no probabilities are
    wanted.
    """

    meant: ModelRequest
    include_usage: bool
    top_logprobs: int | None


def read_request(body: Mapping[str, Any]) -> ChatRequest:
    """Read the request for a completion."""
    model = known_model(body.get("model"), CHAT_MODELS)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refused("`messages` is a list of at least one message.", "messages")
    streams = read_flag(body, "stream")
    if body.get("n") not in (None, 1):
        raise refused("This server gives one answer to a request.", "n")
    read = [_Message.read(message, f"messages.[{at}]") for at, message in enumerate(messages)]
    _check_calls(read)
    tools = read_tools(body, nested=True)
    text = "".join(message.text for message in read)
    meant = ModelRequest(
        model=model,
        turns=tuple(HistoryTurn(_ROLES[message.role], message.text) for message in read),
        question="" if read[-1].role == "tool" else read[-1].text,
        results=tuple(_results(read)),
        attachments=tuple(each for message in read for each in message.attachments),
        tools=tools,
        choice=read_choice(body, tools, nested=True),
        called=frozenset(_called(read)),
        parallel=read_flag(body, "parallel_tool_calls", default=True),
        schema=read_format(body.get("response_format"), "response_format", nested=True, text=text),
        streams=streams,
        limit=_read_limit(body),
        stops=read_stops(body),
    )
    return ChatRequest(meant, _read_usage_wish(body, streams=streams), _read_logprobs(body))


# -- messages --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Message:
    """A message; `calls`: names of functions by the ids of their calls; `call_id`: of a result."""

    role: str
    text: str
    attachments: tuple[Attachment, ...] = ()
    calls: Mapping[str, str] | None = None
    call_id: str | None = None

    @classmethod
    def read(cls, message: object, place: str) -> _Message:
        if not isinstance(message, dict) or message.get("role") not in tuple(_ROLES):
            raise refused("A message has a role and content.", f"{place}.role")
        role = message["role"]
        calls = dict(_calls(message, place)) if role == "assistant" else {}
        content = message.get("content")
        if content is None and role == "assistant":
            content = ""
        if not isinstance(content, str | list):
            raise refused("Content is text or a list of parts.", f"{place}.content")
        text, attachments = _content(content, role, f"{place}.content")
        call_id = message.get("tool_call_id")
        if role == "tool" and not isinstance(call_id, str):
            raise refused(f"Missing parameter '{place}.tool_call_id'.", f"{place}.tool_call_id")
        return cls(role, well_formed(text), attachments, calls, call_id)


def _content(
    content: str | Sequence[object], role: str, place: str
) -> tuple[str, tuple[Attachment, ...]]:
    if isinstance(content, str):
        return content, ()
    read = [_part(part, role, f"{place}.[{number}]") for number, part in enumerate(content)]
    text = "".join(part for part in read if isinstance(part, str))
    return text, tuple(part for part in read if not isinstance(part, str))


def _part(part: object, role: str, place: str) -> str | Attachment:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "refusal", "refusal": str(text)} if role == "assistant":
            return text
        case {"type": "image_url", "image_url": {"url": url}} if role == "user":
            return parts.read_image(url, f"{place}.image_url.url")
        case {"type": "file", "file": file} if role == "user":
            return parts.read_file(file, f"{place}.file")
        case {"type": "input_audio", "input_audio": sound} if role == "user":
            return parts.read_sound(sound, f"{place}.input_audio")
    kind = part.get("type") if isinstance(part, dict) else None
    raise refused(f"Invalid part {kind!r} in a message of role {role!r}.", place, "invalid_value")


def _calls(message: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    calls = message.get("tool_calls")
    if calls is not None and (not isinstance(calls, list) or not calls):
        raise refused("`tool_calls` is a list of at least one call.", f"{place}.tool_calls")
    for number, call in enumerate(calls or ()):
        match call:
            case {
                "id": str(id_),
                "type": "function",
                "function": {"name": str(name), "arguments": str()},
            }:
                yield id_, name
            case _:
                raise refused(
                    "A call has an id, the type function, and its name and arguments as text.",
                    f"{place}.tool_calls[{number}]",
                )


def _check_calls(messages: Sequence[_Message]) -> None:
    """Refuse results without their call, and calls without their results."""
    waiting: dict[str, str] = {}
    for number, message in enumerate(messages):
        place = f"messages.[{number}].role"
        if message.role == "tool":
            if message.call_id not in waiting:
                raise refused(
                    "Messages with role 'tool' must be a response to a preceding message with "
                    "'tool_calls'.",
                    place,
                )
            del waiting[str(message.call_id)]
            continue
        _refuse_unanswered(waiting, place)
        waiting = dict(message.calls or {})
    _refuse_unanswered(waiting, f"messages.[{len(messages) - 1}].role")


def _refuse_unanswered(waiting: Mapping[str, str], place: str) -> None:
    if waiting:
        raise refused(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(waiting)}",
            place,
        )


def _since_question(messages: Sequence[_Message]) -> list[_Message]:
    asked = [at for at, message in enumerate(messages) if message.role not in ("tool", "assistant")]
    return list(messages[asked[-1] + 1 :] if asked else messages)


def _called(messages: Sequence[_Message]) -> Iterator[str]:
    for message in _since_question(messages):
        yield from (message.calls or {}).values()


def _results(messages: Sequence[_Message]) -> Iterator[ToolResult]:
    """Yield the results with which the conversation ends."""
    names = {id_: name for message in messages for id_, name in (message.calls or {}).items()}
    ending = len(messages)
    while ending and messages[ending - 1].role == "tool":
        ending -= 1
    for message in messages[ending:]:
        yield ToolResult(names.get(str(message.call_id), ""), message.text)


# -- parameters ------------------------------------------------------------------------------------


def read_stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Read ``stop``: text, or up to four of them."""
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if (
        not isinstance(stops, list)
        or len(stops) > MAX_STOPS
        or not all(isinstance(each, str) for each in stops)
    ):
        raise refused("`stop` is text, or a list of up to four texts.", "stop")
    return tuple(stops)


def _read_limit(body: Mapping[str, Any]) -> int | None:
    """Read ``max_completion_tokens``, or ``max_tokens``, its older name."""
    limits = [
        read_count(body, name, 1, MAX_TOKENS) for name in ("max_completion_tokens", "max_tokens")
    ]
    return next((limit for limit in limits if limit is not None), None)


def _read_usage_wish(body: Mapping[str, Any], *, streams: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not streams or not isinstance(options, dict):
        raise refused("`stream_options` is an object, and for streams only.", "stream_options")
    return bool(options.get("include_usage"))


def _read_logprobs(body: Mapping[str, Any]) -> int | None:
    wanted = read_flag(body, "logprobs")
    top = read_count(body, "top_logprobs", 0, MAX_TOP_LOGPROBS)
    if top and not wanted:
        raise refused("`top_logprobs` is only allowed when `logprobs` is true.", "top_logprobs")
    return (top or 0) if wanted else None


_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "tool": "user",
    "assistant": "assistant",
}
