"""The rules and their cases, as they are shipped.

The rules are `rules.toml`; the cases `cases.json`, which is made from the vectors.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from fnmatch import filter as matching
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CLAIMS",
    "DEFAULT_CLAIMS",
    "LEVELS",
    "PARTS",
    "Case",
    "Event",
    "Failure",
    "Kind",
    "Level",
    "Rule",
    "rules",
]

Event = tuple[Any, ...]
"""``(event, data, id)`` or ``(event, data, id, retry)``: type, data, last event id in force, the
block's own retry in ms or None. A part that the decoder does not claim may be None."""

Kind = Literal["sse", "deltas"]
"""The kind of a decoder: from bytes to events, or from the bytes of a chat reply to text."""

Level = Literal["specification", "chunk", "robustness", "field"]
"""The authority behind a rule; `LEVELS` explains each."""

Failure = Literal["never", "any", "must"]

LEVELS: Mapping[Level, str] = {
    "specification": "what WHATWG says of event streams",
    "chunk": "what RFC 8259 and OpenAI's reference say of the chunks in them",
    "robustness": "our own choices, where others may have chosen otherwise",
    "field": "what servers were reported to send, and what we take it for",
}
PARTS = ("reasoning", "tool_calls", "usage", "finish_reason")
"""The claims that a chat reply's parts beside its text need to be compared."""
CLAIMS: Mapping[Kind, Mapping[str, str]] = {
    "sse": {
        "types": "an event's type is told",
        "ids": "the last event id in force is told",
        "retry": "the reconnection time that an event's own block set is told",
        "limits": "max_event_bytes is taken",
    },
    "deltas": {
        "ends": "a reply that is no whole answer fails",
        "bodies": "one JSON body is read in place of a stream",
        "choices": "of several choices that of index 0 is taken",
        "completions": "`text` is read where there is no delta",
        "limits": "max_event_bytes is taken",
        "head": "the reply's status and content_type are taken",
        "reasoning": "the reasoning is told",
        "tool_calls": "whole tool calls are told",
        "usage": "the counts of tokens are told",
        "finish_reason": "the finish reason is told",
        "error_messages": "a failure tells the server's own words",
        "openai-responses": "dialect is taken, and OpenAI's Responses are read",
        "anthropic": "dialect is taken, and Anthropic's Messages are read",
        "gemini": "dialect is taken, and Gemini's generateContent is read",
        "ollama": "dialect is taken, and Ollama's own API is read",
        "ai-power": "dialect is taken, and WordPress's AI Power up to 2.2 is read",
        "aipkit": "dialect is taken, and WordPress's AI Power from 2.3 on is read",
    },
}
DEFAULT_CLAIMS: Mapping[Kind, frozenset[str]] = {
    "sse": frozenset({"types", "ids"}),
    "deltas": frozenset(),
}

_LINE_END = re.compile(rb"[\r\n]")
_CHUNK = (
    b'{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795163059,"model":"m",'
    b'"choices":[{"index":0,"logprobs":null,"delta":'
)


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes, and the events of the stream, or the text of the reply, that must come of them.

    `name`: the case's name in `cases.json`; `data`: the bytes; `expected`: the events or the text;
    `max_event_bytes`: the limit the decoder is called with, None for none; `brief`: whether the
    case is one of so many that it is cut in two ways alone, whole and byte by byte.

    Of what servers really send there is more: `dialect`: the form of the reply, `openai` unless
    another is named; `head`: its ``status`` and ``content_type``; `parts`: what must come beside
    the text, by the names of `PARTS`; `message`: words of the server that a failure must tell,
    empty for none; `reports`: the public threads that the case was made up after.
    """

    name: str
    data: bytes
    expected: tuple[Event, ...] | str
    max_event_bytes: int | None = None
    brief: bool = False
    dialect: str = "openai"
    head: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    reports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule in one sentence, its source, and the cases that show it.

    `id`: the rule's name; `kind`: of the decoders it is for; `level`: a key of `LEVELS`; `says`:
    the rule; `source`: the document behind it, and `url` its address; `needs`: the claims without
    which the rule is not tried; `failure`: whether decoding ``never``, ``must`` or may (``any``)
    end with an error; `cases`: its cases.
    """

    id: str
    kind: Kind
    level: Level
    says: str
    source: str
    url: str
    needs: frozenset[str]
    failure: Failure
    cases: tuple[Case, ...]


@cache
def rules() -> tuple[Rule, ...]:
    """Return all rules, in the order of `rules.toml`."""
    folder = resources.files(__package__ or "")
    document = tomllib.loads((folder / "rules.toml").read_text("utf-8"))
    bundled: dict[str, dict[str, Any]] = json.loads((folder / "cases.json").read_text("utf-8"))[
        "cases"
    ]
    return tuple(
        Rule(
            id=rule["id"],
            kind=rule["kind"],
            level=rule["level"],
            says=rule["says"],
            source=rule["source"],
            url=document["sources"][rule["source"]],
            needs=frozenset(rule.get("needs", ())),
            failure=rule.get("failure", "never"),
            cases=tuple(
                _case(name, bundled[name])
                for pattern in rule["cases"]
                for name in matching(bundled, pattern)
            ),
        )
        for rule in document["rule"]
    )


def _case(name: str, bundled: dict[str, Any]) -> Case:
    data = _bytes(bundled["input"])
    if "expect" in bundled:
        if bundled["expect"] == "accept":
            return Case(name, _beside_content(_LINE_END.sub(b" ", data)), "x", brief=True)
        return Case(name, _beside_content(data), "", brief=True)
    if "events" in bundled:
        keys = ("event", "data", "id", "retry")
        events = tuple(tuple(event[key] for key in keys) for event in bundled["events"])
        return Case(name, data, events, bundled.get("max_event_bytes"))
    if "reports" in bundled:
        return _field_case(name, data, bundled)
    return Case(name, data, _bytes(bundled["text"]).decode(), bundled.get("max_event_bytes"))


def _field_case(name: str, data: bytes, bundled: dict[str, Any]) -> Case:
    return Case(
        name,
        data,
        bundled["text"],
        dialect=bundled["dialect"],
        head={"status": bundled["status"], "content_type": bundled["content_type"]},
        parts={part: _value(bundled[part]) for part in PARTS},
        message=bundled["message"],
        reports=tuple(bundled["reports"]),
    )


def _value(value: Any) -> Any:
    """Return JSON's lists as tuples, as decoders give them."""
    return tuple(map(_value, value)) if isinstance(value, list) else value


def _bytes(described: Any) -> bytes:
    """Read bytes as `tests/vectors` writes them.

    They are text, an object with ``hex``, one with ``text`` and ``times``, or a list of these.
    """
    if isinstance(described, str):
        return described.encode()
    if isinstance(described, list):
        return b"".join(map(_bytes, described))
    if "hex" in described:
        return bytes.fromhex(described["hex"])
    return str(described["text"]).encode() * int(described.get("times", 1))


def _beside_content(text: bytes) -> bytes:
    """Put a JSON text into a chunk whose content is ``x``, on a data line for each of its lines.

    A chunk with the finish reason and the sentinel end the stream, as OpenAI's do.
    """
    lines = _LINE_END.split(
        _CHUNK + b'{"content":"x"},"finish_reason":null}],"other":' + text + b"}"
    )
    last = _CHUNK + b'{},"finish_reason":"stop"}]}'
    return b"data: " + b"\ndata: ".join(lines) + b"\n\ndata: " + last + b"\n\ndata: [DONE]\n\n"
