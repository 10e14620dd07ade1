"""Readers of lines.

The response path of gpt4free and a loop over aiohttp's lines, both over aiohttp's own stream
reader.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

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


async def gpt4free(chunks: Iterable[bytes]) -> AsyncIterator[str]:
    """What it yields that is text."""
    from g4f.Provider.template.OpenaiTemplate import read_response  # noqa: PLC0415 - only who asks for it needs it

    from contenders.gpt4free import Response  # noqa: PLC0415

    response = Response("text/event-stream", reader(chunks))
    async for item in read_response(
        response, stream=True, prompt="", provider_info={}, download_media=False
    ):
        if type(item) is str:
            yield item


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
