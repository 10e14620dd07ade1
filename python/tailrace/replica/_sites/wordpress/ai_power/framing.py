"""Framing of AI Power 1.x: one class a mode, an `AIPowerOutcome` in, a `SiteResponse` out.

Layouts are those of the captured responses named beside them; the wording is our own, since sites
translate it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from tailrace.replica._answers import tokenize
from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._sites.outcomes import (
    CHUNKS_BEFORE_FAILURE,
    ModelAnswer,
    StreamEnd,
    UpstreamFailure,
)
from tailrace.replica._sites.wordpress.php import esc_html, json_encode
from tailrace.replica._sites.wordpress.site import ADMIN_HEADERS, AJAX_HEADERS, JSON

if TYPE_CHECKING:
    from collections.abc import Iterator

SSE = "text/event-stream;charset=UTF-8"

_SERVER_ERROR = "The model behind this bot failed while it was answering."


@dataclass(frozen=True, slots=True)
class PluginException:
    """The plugin threw an exception while it talked to its upstream."""

    message: str


@dataclass(frozen=True, slots=True)
class ProxyPage:
    """The upstream's proxy answered with a page of HTML."""

    body: str


@dataclass(frozen=True, slots=True)
class NullContent:
    """The upstream answered with a message whose content is null."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The plugin could not reach its upstream."""

    message: str


AIPowerOutcome = (
    ModelAnswer | UpstreamFailure | PluginException | ProxyPage | NullContent | Unreachable
)


@dataclass(frozen=True, slots=True)
class Notice:
    """The plugin's own refusal, before it calls its upstream.

    `flag`: its key in a stream; `status`: whether the JSON form has a ``status``;
    `answer_follows`: whether a stream goes on with the real answer.
    """

    message: str
    flag: str
    status: bool = True
    answer_follows: bool = False


@dataclass(frozen=True, slots=True)
class ChatFacts:
    """The facts of one chat request that its response repeats.

    `created` is in seconds since the epoch; `log` is the id of the conversation's log.
    """

    message: str
    created: int
    log: int | str
    greeting: str

    @property
    def id(self) -> str:
        """The completion's id, which depends on the message and the second."""
        return sha256(
            f"{self.created}|{self.message}".encode("utf-8", "surrogatepass")
        ).hexdigest()[:29]


class Mode(Protocol):
    """A bot's way to answer: as JSON, or as one of the streams."""

    def notice(self, notice: Notice, answer: SiteResponse | None) -> SiteResponse:
        """Return the response that reports `notice`, and goes on with `answer` if there is one."""
        ...

    def respond(self, facts: ChatFacts, outcome: AIPowerOutcome) -> SiteResponse:
        """Return the response that reports `outcome`, in which a `ModelAnswer` has its text."""
        ...


class JsonMode:
    """One JSON object (captures ``json_*``), whose ``msg`` reports an error even in a success."""

    def notice(self, notice: Notice, answer: SiteResponse | None) -> SiteResponse:
        """Frame a notice (`json_banned_word`, `json_token_limit_reached`).

        Only the latter has its flag and no status.
        """
        del answer
        if notice.status:
            return error_json(notice.message)
        return _json({"msg": notice.message, notice.flag: True})

    def respond(self, facts: ChatFacts, outcome: AIPowerOutcome) -> SiteResponse:  # noqa: PLR0911 - one a case
        """Frame an outcome (`json_ok`, `json_upstream_{null,err401,unreachable}`)."""
        match outcome:
            case ModelAnswer(text) if outcome.is_whole:
                return self._success(facts, text)
            case ModelAnswer(end="stall"):
                return NO_RESPONSE
            case ModelAnswer():
                return self._failure(facts, _SERVER_ERROR)
            case NullContent():
                return self._success(facts, {"role": "assistant", "content": None, "refusal": None})
            case ProxyPage():
                return self._success(facts, "")
            case PluginException(message):
                return error_json(message)
            case UpstreamFailure(message) | Unreachable(message):
                return self._failure(facts, message)

    def _success(self, facts: ChatFacts, data: object) -> SiteResponse:
        body = {
            "status": "success",
            "msg": "Something went wrong",
            "greeting_message": facts.greeting,
        }
        return _json({**body, "data": data, "log": facts.log})

    def _failure(self, facts: ChatFacts, message: str) -> SiteResponse:
        body = {"status": "error", "msg": esc_html(message), "greeting_message": facts.greeting}
        return _json({**body, "log": facts.log})


class ChatMode:
    """A stream of the upstream's own chunks, passed on as they come (captures ``stream_*``)."""

    def notice(self, notice: Notice, answer: SiteResponse | None) -> SiteResponse:
        """Frame a notice (`stream_banned_word`, `stream_token_limit_reached`)."""
        event = _data(json_encode({"msg": notice.message, notice.flag: True}))
        return _sse([event]) if answer is None else replace(answer, chunks=[event, *answer.chunks])

    def respond(self, facts: ChatFacts, outcome: AIPowerOutcome) -> SiteResponse:
        """Frame an outcome (`stream_ok`, `stream_upstream_{midfail,err401,unreachable}`)."""
        match outcome:
            case ModelAnswer(text, end):
                contents = self.contents(facts, text or "")
                return _answer(self.opening(facts), contents, self.closing(facts), end)
            case NullContent():
                return _sse([*self.opening(facts), self.closing(facts), _DONE])
            case UpstreamFailure(message):
                # The plugin passes the error to two of its callbacks, so all of it comes twice.
                return _sse([*_word_events(message), _STOPPED] * 2)
            case PluginException(message):
                return _sse([*_word_events(message), b"event: message\ndata: [LIMITED]\n\n"])
            case ProxyPage(body):
                return _sse([body.encode()])
            case Unreachable():
                return _sse([])

    def opening(self, facts: ChatFacts) -> list[bytes]:
        """Return the chunk that names the role."""
        return [_chunk(facts, {"role": "assistant", "content": "", "refusal": None}, None, 0)]

    def contents(self, facts: ChatFacts, text: str) -> list[bytes]:
        """Return one chunk for each token."""
        return [
            _chunk(facts, {"content": token}, None, number)
            for number, token in enumerate(tokenize(text), start=1)
        ]

    def closing(self, facts: ChatFacts) -> bytes:
        """Return the chunk with the finish reason."""
        return _chunk(facts, {}, "stop", 0)


class CompletionMode(ChatMode):
    """A bot on a completion model: ``choices[0].text`` where a chat model has a delta."""

    def opening(self, facts: ChatFacts) -> list[bytes]:
        """Return no chunk: a completion names no role."""
        del facts
        return []

    def contents(self, facts: ChatFacts, text: str) -> list[bytes]:
        """Return one chunk for each token."""
        return [self._chunk(facts, token, None) for token in tokenize(text)]

    def closing(self, facts: ChatFacts) -> bytes:
        """Return the chunk with the finish reason and no text."""
        return self._chunk(facts, "", "stop")

    def _chunk(self, facts: ChatFacts, text: str, finish_reason: str | None) -> bytes:
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}
        record = {"id": f"cmpl-{facts.id}", "object": "text_completion", "created": facts.created}
        return _data(
            _upstream_json({**record, "choices": [choice], "model": "gpt-3.5-turbo-instruct"})
        )


class AssistantMode(ChatMode):
    """An Assistants bot: named events (captures ``assistant_*``)."""

    def respond(self, facts: ChatFacts, outcome: AIPowerOutcome) -> SiteResponse:
        """Frame an outcome (`assistant_stream_ok`, `assistant_stream_upstream_err401`)."""
        thread = _event("thread_id", f"thread_{facts.id[:24]}")
        done = _event("done", "[DONE]")
        match outcome:
            case ModelAnswer(text, end):
                return _answer([thread], self.contents(facts, text or ""), b"", end, done)
            case NullContent():
                return _sse([thread, done])
            case UpstreamFailure(message) | PluginException(message) | Unreachable(message):
                error = json_encode({"status": "error", "msg": message})
                return _sse([_event("assistant_error", error), _event("done", "")])
            case ProxyPage():
                return super().respond(facts, outcome)

    def contents(self, facts: ChatFacts, text: str) -> list[bytes]:
        """Return one event for each token."""
        return [
            _event("thread.message.delta", self._delta(facts, token)) for token in tokenize(text)
        ]

    def _delta(self, facts: ChatFacts, token: str) -> str:
        content = [{"index": 0, "type": "text", "text": {"value": token}}]
        record = {
            "id": f"msg_{facts.id[:24]}",
            "object": "thread.message.delta",
            "delta": {"content": content},
        }
        return json.dumps(record, separators=(",", ":"))


def error_json(message: str) -> SiteResponse:
    """Return the error of JSON bots and streaming bots alike, before a stream begins."""
    return _json({"status": "error", "msg": message})


def _answer(
    opening: list[bytes],
    contents: list[bytes],
    closing: bytes,
    end: StreamEnd,
    done: bytes = b"data: [DONE]\n\n",
) -> SiteResponse:
    begun = [*opening, *contents[:CHUNKS_BEFORE_FAILURE]]
    match end:
        case "midfail":
            error = {"message": _SERVER_ERROR, "type": "server_error", "param": None, "code": None}
            return _sse([*begun, _data(_upstream_json({"error": error}))])
        case "cut":
            # Where the upstream's connection broke, in the middle of a line.
            return _sse([*begun, contents[-1][: len(contents[-1]) // 2]])
        case "stall":
            return replace(_sse(begun), ending="stall")
        case "nodone":
            return _sse([*opening, *contents, closing])
        case "done":
            return _sse([*opening, *contents, closing, done])


def _chunk(
    facts: ChatFacts, delta: dict[str, str | None], finish_reason: str | None, number: int
) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    record = {
        "id": f"chatcmpl-{facts.id}",
        "object": "chat.completion.chunk",
        "created": facts.created,
        "model": "gpt-4o-mini",
        "service_tier": "default",
        "system_fingerprint": "fp_replica",
        "choices": [choice],
        # The upstream pads its chunks so that their lengths tell nothing about the text.
        "obfuscation": facts.id[number % 19 : number % 19 + 3 + number % 7],
    }
    return _data(_upstream_json(record))


def _word_events(message: str) -> Iterator[bytes]:
    """Yield one event a word, unescaped: a quote in the word makes the JSON invalid."""
    for number, word in enumerate(message.split(" ")):
        content = f" {word}" if number else word
        yield _event("message", '{"choices":[{"delta":{"content":"' + content + '"}}]}')


def _upstream_json(record: dict[str, object]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _data(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def _event(event: str, data: str) -> bytes:
    return f"event: {event}\ndata: {data}\n\n".encode()


def _json(body: dict[str, object]) -> SiteResponse:
    return SiteResponse([json_encode(body).encode()], JSON, headers=AJAX_HEADERS)


def _sse(chunks: list[bytes]) -> SiteResponse:
    return SiteResponse([chunk for chunk in chunks if chunk], SSE, headers=EVENT_HEADERS)


_DONE = b"data: [DONE]\n\n"
_STOPPED = b'data: {"choices":[{"finish_reason":"stop"}]}\n\n'
EVENT_HEADERS = (*ADMIN_HEADERS, ("Cache-Control", "no-cache"))
