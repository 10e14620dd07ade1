"""httpx-sse, which reads an httpx response; here one whose bytes are at hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import orjson
from httpx_sse import EventSource

from contenders import Contender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from workloads import Reply

__all__ = ["CONTENDERS", "Body"]


class Body(httpx.SyncByteStream):
    """The feeds, as httpx wants them."""

    def __init__(self, feeds: Sequence[bytes]) -> None:
        self._feeds = feeds

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._feeds)


def with_json(loads: Callable[[str], Any]) -> Callable[[Reply, Sequence[bytes]], list[str]]:
    """Its events, each one's data read with `loads`."""

    def decode(reply: Reply, feeds: Sequence[bytes]) -> list[str]:
        response = httpx.Response(
            200, headers={"Content-Type": reply.content_type}, stream=Body(feeds)
        )
        texts: list[str] = []
        for event in EventSource(response).iter_sse():
            if event.data == "[DONE]":
                break
            choices = loads(event.data)["choices"]
            if choices and (content := choices[0]["delta"].get("content")):
                texts.append(content)
        return texts

    return decode


CONTENDERS = (
    Contender("httpx-sse + orjson", with_json(orjson.loads), ("httpx-sse", "httpx", "orjson")),
    Contender("httpx-sse + json", with_json(json.loads), ("httpx-sse", "httpx", "python")),
)
