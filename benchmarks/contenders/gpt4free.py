"""gpt4free: the function through which its OpenAI-compatible providers read a reply.

It is given an object with what it asks of a response: headers, a status, and as `content` aiohttp's
own stream reader, filled with the feeds. No socket, no session: what is left is the cost of its
response path alone. It strips white space from before the answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from g4f.Provider.template.OpenaiTemplate import read_response

from contenders import Contender

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workloads import Reply

__all__ = ["CONTENDERS"]

LOOP = asyncio.new_event_loop()
READ_LIMIT = (
    2**30
)  # everything is fed before anything is read: no transport that could be told to wait


class Response:
    """What is asked of an aiohttp response."""

    status = 200
    ok = True

    def __init__(self, content_type: str, content: StreamReader) -> None:
        self.headers = {"content-type": content_type}
        self.content = content


def decode(reply: Reply, feeds: Sequence[bytes]) -> list[str]:
    """What it yields that is text."""
    return LOOP.run_until_complete(read(reply, feeds))


async def read(reply: Reply, feeds: Sequence[bytes]) -> list[str]:
    """The feeds, through aiohttp's reader and gpt4free's reading of it."""
    content = StreamReader(BaseProtocol(LOOP), READ_LIMIT, loop=LOOP)
    for feed in feeds:
        content.feed_data(feed)
    content.feed_eof()
    response = Response(reply.content_type, content)
    found = read_response(response, stream=True, prompt="", provider_info={}, download_media=False)
    return [item async for item in found if type(item) is str]


CONTENDERS = (
    Contender("gpt4free's response path", decode, ("g4f", "aiohttp", "python"), strips=True),
)
