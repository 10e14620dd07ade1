"""Replies as servers really send them, from a real server: through the provider that reads their
dialect, else through `stream_deltas`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from calls_site import JSON, Asked, Line, Site, page
from field_cases import expected_of, outcome_of, says_as_expected
from vector_files import Case, cases, input_bytes

from tailrace import OpenAIProvider, WordPressChatProvider, stream_deltas
from tailrace._calls.token_cache import TokenCache
from tailrace.errors import StreamError, TailraceError

if TYPE_CHECKING:
    from tailrace import ChatStream
    from tailrace.providers._page import SiteTokens

CAPTURES = Path(__file__).parents[2] / "vectors" / "captures" / "ai-power"
AIPKIT_PAGE = (CAPTURES / "2.4.71" / "page_inline.body").read_bytes()
CACHE_KEY = b'{"success":true,"data":{"cache_key":"aipkit_sse_key"}}'
HELLO = [{"role": "user", "content": "Hello"}]


def site_of(case: Case) -> Site:
    """A server of the case's dialect, whose answer to a message is the case's reply."""
    is_aipkit = case["dialect"] == "aipkit"

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET" and "action=" not in asked.path:
            port = str(site.port).encode()
            aipkit = AIPKIT_PAGE.replace(b"18088", port).replace(b"18087", port)
            await line.reply(aipkit if is_aipkit else page())
        elif is_aipkit and asked.method == "POST":
            await line.reply(CACHE_KEY, JSON)
        else:
            await line.reply(
                input_bytes(case["input"]), case["content_type"], f"{case['status']} OK"
            )

    site = Site(answer)
    return site


async def check(case: Case, stream: ChatStream) -> None:
    """Read the stream, and compare what came with what the case expects."""
    text, error = "", None
    async with stream:
        try:
            async for delta in stream:
                text += delta
        except TailraceError as raised:
            error = raised
    assert error is None or isinstance(error, StreamError)
    found = outcome_of(text, stream.end, stream.finish_reason, stream.usage, error)
    assert found == expected_of(case)
    assert says_as_expected(case, error)


@pytest.mark.parametrize("case", cases("field"))
async def test_a_reply_from_a_server(case: Case) -> None:
    async with site_of(case) as site:
        if case["dialect"] == "openai":
            await check(
                case, OpenAIProvider.create_async_generator("m", HELLO, url=f"{site.url}/v1")
            )
        elif case["dialect"] in ("ai-power", "aipkit"):
            cache: TokenCache[SiteTokens] = TokenCache()
            await check(
                case,
                WordPressChatProvider.create_async_generator(
                    "", HELLO, url=site.url, token_cache=cache
                ),
            )
        else:
            async with (
                aiohttp.ClientSession() as session,
                session.post(site.url) as response,
            ):
                await check(case, stream_deltas(response, dialect=case["dialect"]))
