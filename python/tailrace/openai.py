"""The package `openai` with its streams read by the core: the same client, the same calls.

The package is the caller's: nothing here imports it, and no extra installs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tailrace._fast.clients import fast_copy
from tailrace._fast.streams import MAX_EVENT_BYTES, Reading

if TYPE_CHECKING:
    import openai

__all__ = ["fast"]

_Client = TypeVar("_Client", bound="openai.OpenAI | openai.AsyncOpenAI")

_SAMPLE = (
    "openai.types.chat",
    "ChatCompletionChunk",
    (
        b'data: {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", '
        b'"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": null}]}\n\n'
    ),
)


def fast(client: _Client, *, max_event_bytes: int = MAX_EVENT_BYTES) -> _Client:
    """Return a copy of a client of the package `openai` whose streams are read by the core.

    The copy is made by the client's `with_options`: it has the same settings and shares the
    connections. What `create(stream=True)` yields, of chat completions, Responses, legacy
    completions or any other stream of server-sent events, are instances of the package's classes.
    Their fields are read from the event's JSON when they are asked for; asked for anything else, an
    object becomes the package's own first.

    `client`: an `openai.OpenAI` or `openai.AsyncOpenAI`, or of a class derived from these;
    `max_event_bytes`: bytes of one event held at most.

    Raises InvalidRequestError when `client` is no such client, cannot be copied by its
    `with_options`, or reads streams in a way of its own; MissingRequirementsError when the
    installed version of the package makes its streams in a way that is not known here.
    """
    kinds = ("openai.OpenAI", "openai.AsyncOpenAI")
    reading = Reading(named=False, max_event_bytes=max_event_bytes)
    return fast_copy(client, kinds, reading, _SAMPLE)
