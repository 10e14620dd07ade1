"""How AI Power 1.x frames what its upstream said: one class a mode, an `Outcome` in, a `Reply` out.

Layouts are those of the captured replies named beside them; wording is not, since sites translate
it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, Protocol

from tailrace.replica._answers import cut
from tailrace.replica._site import Reply
from tailrace.replica._sites.wordpress.base import ADMIN_HEADERS, AJAX_HEADERS, JSON
from tailrace.replica._sites.wordpress.php import esc_html, json_encode

if TYPE_CHECKING:
    from collections.abc import Iterator

SSE = "text/event-stream;charset=UTF-8"

_PIECES_BEFORE_A_FAILURE = 3
_SERVER_ERROR = "The model behind this bot failed while it was answering."


@dataclass(frozen=True, slots=True)
class Said:
    """The upstream answered with `text` (None: what the model says).

    `ends` is how its stream came to its end.
    """

    text: str | None = None
    ends: Literal["done", "nodone", "midfail", "cut", "stall"] = "done"


@dataclass(frozen=True, slots=True)
class Refused:
    """The upstream answered with an error."""

    message: str


@dataclass(frozen=True, slots=True)
class Threw:
    """The plugin threw an exception while it talked to its upstream."""

    message: str


@dataclass(frozen=True, slots=True)
class Html:
    """The upstream's proxy answered with a page of HTML."""

    body: str


@dataclass(frozen=True, slots=True)
class Null:
    """The upstream answered with a message whose content is null."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """There was no upstream to talk to."""

    message: str


@dataclass(frozen=True, slots=True)
class Silent:
    """The upstream took the request and never answers, so neither does the plugin."""


Outcome = Said | Refused | Threw | Html | Null | Unreachable | Silent


@dataclass(frozen=True, slots=True)
class Notice:
    """What the plugin itself has to say before it asks its upstream; `flag` is the key that marks
    it in a stream.

    `status` is whether the JSON form has a ``status``. `answer_follows`: a stream goes on with the
    real answer.
    """

    message: str
    flag: str
    status: bool = True
    answer_follows: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """The facts of one request that a frame repeats.

    `created` is in seconds; `log` as the plugin writes it.
    """

    message: str
    created: int
    log: int | str
    greeting: str

    @property
    def id(self) -> str:
        """A name for the completion that depends on the message and the second."""
        return sha256(
            f"{self.created}|{self.message}".encode("utf-8", "surrogatepass")
        ).hexdigest()[:29]


class Mode(Protocol):
    """A bot's way to answer."""

    def notice(self, notice: Notice, answer: Reply | None) -> Reply:
        """Return the reply that tells of `notice`; `answer` is what follows it where something
        does.
        """
        ...

    def reply(self, asked: Asked, outcome: Outcome) -> Reply:
        """Return the reply that tells of `outcome`. A `Said` has its text."""
        ...


class JsonMode:
    """One JSON object (captures ``json_*``); ``msg`` says that something went wrong even when
    nothing did.
    """

    def notice(self, notice: Notice, answer: Reply | None) -> Reply:
        """`json_banned_word`, `json_token_limit_reached`: only the latter has no status and shows
        its flag.
        """
        del answer
        if notice.status:
            return error_json(notice.message)
        return _json({"msg": notice.message, notice.flag: True})

    def reply(self, asked: Asked, outcome: Outcome) -> Reply:  # noqa: PLR0911 - one a case
        """`json_ok`, `json_upstream_null`, `json_upstream_err401`, `json_upstream_unreachable`."""
        match outcome:
            case Said(text, "done" | "nodone"):
                return self._success(asked, text)
            case Null():
                return self._success(asked, {"role": "assistant", "content": None, "refusal": None})
            case Html():
                return self._success(asked, "")
            case Threw(message):
                return error_json(message)
            case Silent() | Said(ends="stall"):
                return _SILENCE
            case Said():
                return self._failure(asked, _SERVER_ERROR)
            case Refused(message) | Unreachable(message):
                return self._failure(asked, message)

    def _success(self, asked: Asked, data: object) -> Reply:
        body = {
            "status": "success",
            "msg": "Something went wrong",
            "greeting_message": asked.greeting,
        }
        return _json({**body, "data": data, "log": asked.log})

    def _failure(self, asked: Asked, message: str) -> Reply:
        body = {"status": "error", "msg": esc_html(message), "greeting_message": asked.greeting}
        return _json({**body, "log": asked.log})


class ChatMode:
    """A stream of the upstream's own chunks, passed on as they come (captures ``stream_*``)."""

    def notice(self, notice: Notice, answer: Reply | None) -> Reply:
        """`stream_banned_word`, `stream_token_limit_reached`."""
        frame = _data(json_encode({"msg": notice.message, notice.flag: True}))
        return _sse([frame]) if answer is None else replace(answer, chunks=[frame, *answer.chunks])

    def reply(self, asked: Asked, outcome: Outcome) -> Reply:  # noqa: PLR0911 - one a case
        """`stream_ok`, `stream_upstream_midfail`, `stream_upstream_err401`,
        `stream_upstream_unreachable`.
        """
        match outcome:
            case Said(text, ends):
                return _said(
                    self.opening(asked), self.contents(asked, text or ""), self.closing(asked), ends
                )
            case Null():
                return _sse([*self.opening(asked), self.closing(asked), _DONE])
            case Refused(message):
                # The plugin hands the error to two of its callbacks, so the whole of it comes
                # twice.
                return _sse([*_words(message), _STOPPED] * 2)
            case Threw(message):
                return _sse([*_words(message), b"event: message\ndata: [LIMITED]\n\n"])
            case Html(body):
                return _sse([body.encode()])
            case Unreachable():
                return _sse([])
            case Silent():
                return _SILENCE

    def opening(self, asked: Asked) -> list[bytes]:
        """Return the chunk that names the role."""
        return [_chunk(asked, {"role": "assistant", "content": "", "refusal": None}, None, 0)]

    def contents(self, asked: Asked, text: str) -> list[bytes]:
        """Return one chunk for each few characters."""
        return [
            _chunk(asked, {"content": piece}, None, number)
            for number, piece in enumerate(cut(text), start=1)
        ]

    def closing(self, asked: Asked) -> bytes:
        """Return the chunk with the finish reason."""
        return _chunk(asked, {}, "stop", 0)


class CompletionMode(ChatMode):
    """A bot on a completion model: ``choices[0].text`` where a chat model has a delta."""

    def opening(self, asked: Asked) -> list[bytes]:
        """Return nothing: a completion names no role."""
        del asked
        return []

    def contents(self, asked: Asked, text: str) -> list[bytes]:
        """Return one chunk for each few characters."""
        return [self._chunk(asked, piece, None) for piece in cut(text)]

    def closing(self, asked: Asked) -> bytes:
        """Return the chunk with the finish reason and no text."""
        return self._chunk(asked, "", "stop")

    def _chunk(self, asked: Asked, text: str, finish_reason: str | None) -> bytes:
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}
        record = {"id": f"cmpl-{asked.id}", "object": "text_completion", "created": asked.created}
        return _data(
            _upstream_json({**record, "choices": [choice], "model": "gpt-3.5-turbo-instruct"})
        )


class AssistantMode(ChatMode):
    """An Assistants bot: named events (captures ``assistant_*``)."""

    def reply(self, asked: Asked, outcome: Outcome) -> Reply:
        """`assistant_stream_ok`, `assistant_stream_upstream_err401`."""
        match outcome:
            case Said(text, ends):
                opening = [_event("thread_id", f"thread_{asked.id[:24]}")]
                return _said(
                    opening, self.contents(asked, text or ""), b"", ends, _event("done", "[DONE]")
                )
            case Null():
                return _sse(
                    [_event("thread_id", f"thread_{asked.id[:24]}"), _event("done", "[DONE]")]
                )
            case Refused(message) | Threw(message) | Unreachable(message):
                error = json_encode({"status": "error", "msg": message})
                return _sse([_event("assistant_error", error), _event("done", "")])
            case Html() | Silent():
                return super().reply(asked, outcome)

    def contents(self, asked: Asked, text: str) -> list[bytes]:
        """Return one event for each few characters."""
        return [_event("thread.message.delta", self._delta(asked, piece)) for piece in cut(text)]

    def _delta(self, asked: Asked, piece: str) -> str:
        content = [{"index": 0, "type": "text", "text": {"value": piece}}]
        record = {
            "id": f"msg_{asked.id[:24]}",
            "object": "thread.message.delta",
            "delta": {"content": content},
        }
        return json.dumps(record, separators=(",", ":"))


def error_json(message: str) -> Reply:
    """Return the error that JSON bots and streaming bots alike answer before a stream begins."""
    return _json({"status": "error", "msg": message})


def _said(
    opening: list[bytes],
    contents: list[bytes],
    closing: bytes,
    ends: str,
    done: bytes = b"data: [DONE]\n\n",
) -> Reply:
    begun = [*opening, *contents[:_PIECES_BEFORE_A_FAILURE]]
    match ends:
        case "midfail":
            error = {"message": _SERVER_ERROR, "type": "server_error", "param": None, "code": None}
            return _sse([*begun, _data(_upstream_json({"error": error}))])
        case "cut":
            # Where the upstream's connection broke, in the middle of a line.
            return _sse([*begun, contents[-1][: len(contents[-1]) // 2]])
        case "stall":
            return Reply(begun, SSE, headers=EVENT_HEADERS, ends="never")
        case "nodone":
            return _sse([*opening, *contents, closing])
        case _:
            return _sse([*opening, *contents, closing, done])


def _chunk(
    asked: Asked, delta: dict[str, str | None], finish_reason: str | None, number: int
) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    record = {
        "id": f"chatcmpl-{asked.id}",
        "object": "chat.completion.chunk",
        "created": asked.created,
        "model": "gpt-4o-mini",
        "service_tier": "default",
        "system_fingerprint": "fp_replica",
        "choices": [choice],
        # The upstream pads its chunks so that their lengths give nothing away.
        "obfuscation": asked.id[number % 19 : number % 19 + 3 + number % 7],
    }
    return _data(_upstream_json(record))


def _words(message: str) -> Iterator[bytes]:
    """Yield one frame a word, the word as it stands: a quote in it makes the JSON invalid."""
    for number, word in enumerate(message.split(" ")):
        content = f" {word}" if number else word
        yield _event("message", '{"choices":[{"delta":{"content":"' + content + '"}}]}')


def _upstream_json(record: dict[str, object]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _data(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def _event(event: str, data: str) -> bytes:
    return f"event: {event}\ndata: {data}\n\n".encode()


def _json(body: dict[str, object]) -> Reply:
    return Reply([json_encode(body).encode()], JSON, headers=AJAX_HEADERS)


def _sse(chunks: list[bytes]) -> Reply:
    return Reply([chunk for chunk in chunks if chunk], SSE, headers=EVENT_HEADERS)


_DONE = b"data: [DONE]\n\n"
_STOPPED = b'data: {"choices":[{"finish_reason":"stop"}]}\n\n'
EVENT_HEADERS = (*ADMIN_HEADERS, ("Cache-Control", "no-cache"))
_SILENCE = Reply([], None, ends="silently")
