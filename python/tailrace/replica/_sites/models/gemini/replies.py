"""Contents, whole, as events, or as a JSON array bit by bit, as Gemini's server writes them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._sites.models.gemini.errors import error, error_object
from tailrace.replica._sites.models.gemini.requests import signature_of
from tailrace.replica._sites.models.logprobs import likeliest, logprob
from tailrace.replica._sites.models.site import FAILURE_MESSAGE, JSON, as_stream, escaped
from tailrace.replica._sites.outcomes import CHUNKS_BEFORE_FAILURE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tailrace.replica._sites.models.behaviors import ModelBehavior
    from tailrace.replica._sites.models.gemini.requests import ContentRequest
    from tailrace.replica._sites.models.replies import ModelReply

Record = dict[str, Any]

_REASONS = {"length": "MAX_TOKENS", "filter": "SAFETY"}
ESCAPED = "<>&='"
"""The characters that Google's JSON printer escapes."""

_UNAVAILABLE = "The model is overloaded. Please try again later."


def as_content(
    request: ContentRequest, reply: ModelReply, behavior: ModelBehavior, *, as_events: bool
) -> SiteResponse:
    """Return the response to a request for contents; `as_events`: a stream is not an array."""
    writer = _Writer(request, reply)
    if not request.meant.streams:
        if behavior.end == "stall":
            return NO_RESPONSE
        if not behavior.is_whole:
            return error(500, FAILURE_MESSAGE)
        return SiteResponse([_json(writer.whole(), indent=2)], f"{JSON}; charset=UTF-8")
    records = list(writer.chunks())
    if behavior.end == "nodone":
        records[-1]["candidates"][0].pop("finishReason")
    begun = records[:CHUNKS_BEFORE_FAILURE]
    if behavior.end == "midfail":
        records = [*begun, error_object(503, _UNAVAILABLE)]
    elif behavior.end in ("stall", "cut"):
        records = [*begun, records[-1]]
    chunks = list(_events(records) if as_events else _elements(records))
    if behavior.end == "cut":
        last = chunks[len(begun)]
        chunks = [*chunks[: len(begun)], last[: len(last) // 2]]
    if behavior.end == "stall":
        chunks = chunks[: len(begun)]
    return as_stream(
        chunks,
        "stall" if behavior.end == "stall" else "complete",
        content_type="text/event-stream" if as_events else f"{JSON}; charset=UTF-8",
    )


def _events(records: Sequence[Record]) -> Iterator[bytes]:
    for record in records:
        yield b"data: %b\r\n\r\n" % _json(record)


def _elements(records: Sequence[Record]) -> Iterator[bytes]:
    """Yield an array's elements, each with what stands in front of it, and then its end."""
    for number, record in enumerate(records):
        yield (b",\r\n" if number else b"[") + _json(record, indent=2) + b"\n"
    yield b"]\n"


def _json(record: Record, indent: int | None = None) -> bytes:
    data = json.dumps(record, ensure_ascii=False, indent=indent).encode("utf-8", "replace")
    return escaped(data, ESCAPED)


class _Writer:
    def __init__(self, request: ContentRequest, reply: ModelReply) -> None:
        self._request = request
        self._reply = reply

    def whole(self) -> Record:
        """Return the whole response."""
        reply = self._reply
        if reply.refusal:
            return self._blocked()
        thoughts, text = "".join(reply.reasoning), "".join(reply.text)
        parts: list[Record] = []
        if thoughts and self._request.shows_thoughts:
            parts.append({"text": thoughts, "thought": True})
        if text:
            parts.append({"text": text})
        candidate = self._candidate([*parts, *self._calls()], self._reason)
        if self._request.logprobs is not None:
            candidate["logprobsResult"] = self._logprobs(reply.text)
            candidate["avgLogprobs"] = _mean([logprob(token) for token in reply.text])
        return self._record(candidate, self._usage(len(reply.text)))

    def chunks(self) -> Iterator[Record]:
        """Yield the parts of the response: the last tells why it ended."""
        reply = self._reply
        if reply.refusal:
            yield self._blocked()
            return
        parts = list(self._parts())
        said = 0
        for number, part in enumerate(parts or [None]):
            said += part is not None and "text" in part and "thought" not in part
            is_last = number >= len(parts) - 1
            held = [] if part is None else [part]
            candidate = self._candidate(held, self._reason if is_last else None)
            if self._request.logprobs is not None and part and "thought" not in part:
                candidate["logprobsResult"] = self._logprobs(
                    [part["text"]] if "text" in part else []
                )
            yield self._record(candidate, self._usage(said))

    def _parts(self) -> Iterator[Record]:
        reply = self._reply
        if self._request.shows_thoughts:
            yield from ({"text": token, "thought": True} for token in reply.reasoning)
        yield from ({"text": token} for token in reply.text)
        yield from self._calls()

    def _calls(self) -> Iterator[Record]:
        """Yield the calls, whole; the first of them with the signature of thoughts."""
        for number, call in enumerate(self._reply.calls):
            if call.is_whole:
                id_ = self._reply.identifier("", 8, number)
                part: Record = {
                    "functionCall": {"name": call.name, "args": call.arguments, "id": id_}
                }
                if number == 0:
                    part["thoughtSignature"] = base64.b64encode(signature_of(id_)).decode("ascii")
                yield part

    @property
    def _reason(self) -> str:
        return _REASONS.get(self._reply.end, "STOP")

    def _candidate(self, parts: list[Record], reason: str | None) -> Record:
        content = {"parts": parts, "role": "model"} if parts else {"role": "model"}
        candidate: Record = {"content": content}
        if reason is not None:
            candidate["finishReason"] = reason
        return {**candidate, "index": 0}

    def _record(self, candidate: Record, usage: Record) -> Record:
        return {"candidates": [candidate], **self._tail(usage)}

    def _blocked(self) -> Record:
        """Return the response to a prompt that is blocked: it has no candidate."""
        return {
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            **self._tail(self._usage(0)),
        }

    def _tail(self, usage: Record) -> Record:
        return {
            "usageMetadata": usage,
            "modelVersion": self._request.meant.model,
            "responseId": self._reply.identifier("", 22),
        }

    def _usage(self, said: int) -> Record:
        """Return the counts of tokens up to the word `said`; calls count when all is said."""
        reply = self._reply
        called = sum(len(call.pieces) for call in reply.calls) if said == len(reply.text) else 0
        prompt, thought = reply.prompt_tokens, len(reply.reasoning)
        details = [{"modality": "TEXT", "tokenCount": reply.text_prompt_tokens}]
        if reply.image_tokens:
            details.append({"modality": "IMAGE", "tokenCount": reply.image_tokens})
        usage: Record = {
            "promptTokenCount": prompt,
            "candidatesTokenCount": said + called,
            "totalTokenCount": prompt + said + called + thought,
            "cachedContentTokenCount": reply.cached_tokens,
            "promptTokensDetails": details,
            "thoughtsTokenCount": thought,
        }
        return {name: value for name, value in usage.items() if value}

    def _logprobs(self, tokens: Sequence[str]) -> Record:
        top = self._request.logprobs or 0
        return {
            "topCandidates": [
                {"candidates": [_chosen(*each) for each in likeliest(token, top)]}
                for token in tokens
            ],
            "chosenCandidates": [_chosen(token, logprob(token)) for token in tokens],
        }


def _chosen(token: str, value: float) -> Record:
    return {"token": token, "logProbability": value}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
