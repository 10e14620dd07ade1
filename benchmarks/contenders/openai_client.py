"""The openai package.

Its decoder of events alone; its client, which makes objects of chunks; the same read by us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from openai import OpenAI
from openai._streaming import SSEDecoder  # it has no public name

from contenders import Contender
from contenders.httpx_events import Body
from tailrace import stream_deltas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workloads import Reply

__all__ = ["CLIENT", "CONTENDERS", "MESSAGES", "TRANSPORT"]


class AtHand(httpx.BaseTransport):
    """Answers every request with the feeds it was given last."""

    def __init__(self) -> None:
        self.feeds: Sequence[bytes] = ()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The feeds as an event stream."""
        return httpx.Response(
            200,
            headers={"Content-Type": "text/event-stream"},
            stream=Body(self.feeds),
            request=request,
        )


MESSAGES = [{"role": "user", "content": "What runs off below the mill?"}]
TRANSPORT = AtHand()
CLIENT = OpenAI(
    api_key="none", base_url="http://127.0.0.1/v1", http_client=httpx.Client(transport=TRANSPORT)
)


def events(_: Reply, feeds: Sequence[bytes]) -> list[str]:
    """Its events, each one's data read with json."""
    texts: list[str] = []
    for event in SSEDecoder().iter_bytes(iter(feeds)):
        if event.data == "[DONE]":
            break
        choices = event.json()["choices"]
        if choices and (content := choices[0]["delta"].get("content")):
            texts.append(content)
    return texts


def client(_: Reply, feeds: Sequence[bytes]) -> list[str]:
    """A streamed completion."""
    TRANSPORT.feeds = feeds
    chunks = CLIENT.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
    return [
        content for chunk in chunks if chunk.choices and (content := chunk.choices[0].delta.content)
    ]


def client_read_by_us(_: Reply, feeds: Sequence[bytes]) -> list[str]:
    """The same completion; its bytes instead of its objects."""
    TRANSPORT.feeds = feeds
    create = CLIENT.chat.completions.with_streaming_response.create
    with (
        create(model="gpt-4o", messages=MESSAGES, stream=True) as response,
        stream_deltas(response) as deltas,
    ):
        return list(deltas)


CONTENDERS = (
    Contender("openai SSEDecoder + json", events, ("openai", "python")),
    Contender("openai client, whole objects", client, ("openai", "httpx"), share=0.1),
    Contender(
        "tailrace, over the openai client",
        client_read_by_us,
        ("openai", "httpx", "tailrace"),
        share=0.1,
    ),
)
