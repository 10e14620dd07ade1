"""Readers of lines.

The response path of gpt4free and a loop over aiohttp's lines, both over aiohttp's own stream
reader.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol

from decoders.at_hand import AtHand

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tailrace.conformance import Part

__all__ = ["aiohttp_lines", "gpt4free"]

READ_LIMIT = 2**20  # more than any case holds: no transport that could be told to wait


def reader(chunks: Iterable[bytes]) -> StreamReader:
    """The reads, as they would have come in."""
    loop = asyncio.get_running_loop()
    content = StreamReader(BaseProtocol(loop), READ_LIMIT, loop=loop)
    for chunk in chunks:
        content.feed_data(chunk)
    content.feed_eof()
    return content


async def gpt4free(
    chunks: Iterable[bytes], *, status: int = 200, content_type: str = "text/event-stream"
) -> AsyncIterator[Part]:
    """What it yields that is text, or that the kit has a name for."""
    from g4f.Provider.template.OpenaiTemplate import read_response  # noqa: PLC0415 - only who asks for it needs it
    from g4f.providers.response import FinishReason, Reasoning, Usage  # noqa: PLC0415

    async with aiohttp.ClientSession(connector=AtHand(chunks, status, content_type)) as session:
        response = await session.post("http://127.0.0.1/v1/chat/completions")
        async for item in read_response(
            response, stream=True, prompt="", provider_info={}, download_media=False
        ):
            if type(item) is str:
                yield item
            elif isinstance(item, Reasoning):
                yield "reasoning", item.token or ""
            elif isinstance(item, FinishReason):
                yield "finish_reason", item.reason
            elif isinstance(item, Usage):
                counts = item.get_dict()
                if {"prompt_tokens", "completion_tokens"} <= counts.keys():
                    yield "usage", counts["prompt_tokens"], counts["completion_tokens"]


gpt4free.claims = ("head", "reasoning", "usage", "finish_reason", "error_messages")  # type: ignore[attr-defined]


async def aiohttp_lines(chunks: Iterable[bytes]) -> AsyncIterator[str]:
    """Lines as aiohttp gives them, and json: what many programs have in them."""
    async for line in reader(chunks):
        if not line.startswith(b"data: "):
            continue
        data = line[6:].strip()
        if data == b"[DONE]":
            return
        choices = json.loads(data)["choices"]
        if choices and (content := choices[0]["delta"].get("content")):
            yield content
